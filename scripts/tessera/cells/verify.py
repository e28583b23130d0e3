"""A version looked at before it is published: by other routes than those it was made on.

What is wrong here is nobody's data but a bug, or a disk that lost something: it is raised as
`VerificationError`, and nothing is published.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from tessera.cells.assemble import (
    CELL_MAJOR,
    DEFINITION,
    GROUPS,
    SERVING,
    STATS,
    Serving,
    by_name,
    view_folder,
)
from tessera.cells.groups import JOIN
from tessera.cells.layout import CELLS, GENES, Array, Part, Rows
from tessera.cells.manifest import MANIFEST, check_manifest
from tessera.cells.routes import ROUNDING, TILES, Route, routes
from tessera.cells.spot_checks import Sample
from tessera.cells.zarr_matrices import one_thread

_SHOWN = 5
_ROWS = 20_000  # of a view that are looked at at a time


class VerificationError(Exception):
    """A version is not what was read; the message says in which ways, a line each."""


def verify(
    rows: str | Path,
    parts: Sequence[str | Path],
    version: str | Path,
    settings: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    """Compare a version with what was read.

    Parameters
    ----------
    rows, parts
        Folders of the row tiles and of all genes, from which the version was put together.
    version
        Its folder.
    settings
        ``normalize``, ``trim`` and ``min_cells`` of the pipeline.
    seed
        Of the sample.

    Returns
    -------
    dict
        ``version``; ``checks``, what was compared, a sentence each; ``warnings`` of the reading.

    Raises
    ------
    VerificationError
        If anything differs.
    """
    version = Path(version)
    _refuse([f"{MANIFEST}: {fault}" for fault in check_manifest(version)])
    manifest = json.loads((version / MANIFEST).read_text(encoding="utf-8"))
    with one_thread():
        return _verified(Rows(rows), list(map(Part, parts)), version, manifest, settings, seed)


def _verified(
    tiles: Rows,
    parts: Sequence[Part],
    version: Path,
    manifest: Mapping[str, Any],
    settings: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    found = routes(tiles, parts, version)
    faults = _compare(found, tiles)
    checks = [
        f"{len(manifest['files']):,} files have the bytes and digests of the manifest",
        f"count and sum of each of {tiles.facts['n_genes']:,} genes, and a fingerprint of all "
        f"{tiles.facts['nnz']:,} values with their places, are the same by {len(found)} routes: "
        f"{', '.join(found)}",
    ]
    genes = pd.read_parquet(version / GENES)["gene"].tolist()
    cells = pd.read_parquet(version / CELLS)
    if [len(cells), len(genes)] != [tiles.facts["n_cells"], tiles.facts["n_genes"]]:
        faults.append("the tables have other cells or genes than were read")
    _refuse(faults)
    sample = Sample.draw(version / CELL_MAJOR, found[TILES].nnz, seed)
    for name in manifest["groupings"]:
        view = _View.read(version, name, cells, settings)
        wrong = list(view.faults(genes, found[TILES]))
        if not wrong:
            pairs, wrong = view.spot_check(sample, genes)
            checks += view.checks(name, pairs)
        faults += [f"view {name}: {fault}" for fault in wrong]
    _refuse(faults)
    return {"version": manifest["version"], "checks": checks, "warnings": tiles.facts["warnings"]}


def _refuse(faults: Sequence[str]) -> None:
    if faults:
        raise VerificationError("\n".join(faults))


def _compare(found: Mapping[str, Route], tiles: Rows) -> list[str]:
    """Tell where routes differ from the first, or that from what was counted when reading."""
    base, genes = found[TILES], tiles.genes
    read = Route(genes["nnz"].to_numpy(), genes["sum"].to_numpy(), base.sizes, base.mark)
    faults = []
    for name, route in {**found, GENES: read}.items():
        gap = np.abs(route.sums - base.sums)
        wrong = np.flatnonzero((route.nnz != base.nnz) | ~(gap <= ROUNDING * base.sizes))
        faults += [
            f"gene {genes['gene'][k]}: {route.nnz[k]:,} values that add up to "
            f"{float(route.sums[k])!r} by {name}, but {base.nnz[k]:,} and {float(base.sums[k])!r} "
            f"by {TILES}"
            for k in wrong[:_SHOWN]
        ]
        if len(wrong) > _SHOWN:
            faults.append(f"{len(wrong) - _SHOWN:,} more genes differ by {name}")
        if not len(wrong) and route.mark != base.mark:
            faults.append(f"values are others, or at other places, by {name} than by {TILES}")
    return faults


@dataclass(frozen=True)
class _View:
    """A view as published, and the groups of cells counted again.

    Attributes
    ----------
    folder, columns, groups
        Where it is; its statistics and groups.
    cells
        Numbers of the cells of each group that is large enough, as the metadata have it.
    every
        Whether every cell is in one of these.
    settings
        Those of the pipeline.
    """

    folder: Path
    columns: list[str]
    groups: list[str]
    cells: dict[str, Array]
    every: bool
    settings: Mapping[str, Any]

    @classmethod
    def read(
        cls, version: Path, name: str, cells: pd.DataFrame, settings: Mapping[str, Any]
    ) -> _View:
        folder = view_folder(version, name)
        told = json.loads((folder / DEFINITION).read_text(encoding="utf-8"))
        first, *more = told["by"]
        label = cells[first].astype(str)
        for column in more:
            label = label + JOIN + cells[column].astype(str)
        found = {
            name: at
            for name, at in label.groupby(label).indices.items()
            if len(at) >= settings["min_cells"]
        }
        every = sum(map(len, found.values())) == len(cells)
        return cls(folder, told["columns"], told["groups"], found, every, settings)

    @property
    def _sizes(self) -> Array:
        return np.array([len(self.cells[group]) for group in self.groups])

    def checks(self, name: str, pairs: int) -> list[str]:
        """Say what was compared."""
        return [
            f"view {name}: the cells of all {len(self.groups):,} groups were counted again, and "
            f"{STATS} and {SERVING} hold the same",
            f"view {name}: {pairs:,} pairs of gene and group, drawn at random, were worked out "
            f"again from the matrix, in {len(self.columns)} statistics",
        ]

    def spot_check(self, sample: Sample, genes: Sequence[str]) -> tuple[int, list[str]]:
        """Work out a sample again; returns how many pairs, and what differs."""
        serving = Serving(self.folder / SERVING)
        cells = [self.cells[group] for group in self.groups]
        pairs, wrong = sample.compare(
            lambda gene: serving.genes([gene])[0], self.columns, cells, self.settings
        )
        faults = [
            f"gene {genes[gene]}, group {self.groups[group]}: {column} is {value!r}, but "
            f"{wanted!r} when worked out from {CELL_MAJOR}"
            for gene, group, column, value, wanted in wrong[:_SHOWN]
        ]
        if len(wrong) > _SHOWN:
            faults.append(f"{len(wrong) - _SHOWN:,} more statistics differ")
        return pairs, faults

    def faults(self, genes: Sequence[str], route: Route) -> Iterator[str]:
        """Compare groups, table and array with one another, the metadata and the values."""
        table = pd.read_parquet(self.folder / GROUPS)
        if not self.groups == sorted(self.cells) == table["group"].tolist():
            yield "its groups are not those of the metadata"
            return
        for k in np.flatnonzero(table["n"].to_numpy() != self._sizes)[:_SHOWN]:
            yield (
                f"group {self.groups[k]}: {table['n'][k]:,} cells, where the metadata have "
                f"{self._sizes[k]:,}"
            )
        serving, rows = Serving(self.folder / SERVING), pq.ParquetFile(self.folder / STATS)
        if serving.shape != (len(genes), len(self.groups), len(self.columns)):
            yield f"{SERVING} is of shape {serving.shape}"
        elif rows.metadata.num_rows != len(genes) * len(self.groups):
            yield f"{STATS} has {rows.metadata.num_rows:,} rows"
        else:
            yield from self._walk(genes, route, serving, rows)

    def _walk(
        self, genes: Sequence[str], route: Route, serving: Serving, rows: pq.ParquetFile
    ) -> Iterator[str]:
        """Go through the table and the array side by side, in the order of the table."""
        order, n = by_name(genes), len(self.groups)
        start = 0
        for batch in rows.iter_batches(batch_size=max(1, _ROWS // n) * n):
            frame = batch.to_pandas()
            places = order[start : start + len(frame) // n]
            start += len(places)
            names = [genes[place] for place in places]
            values = serving.genes(places)
            told = frame[self.columns].to_numpy(np.float64).reshape(values.shape)
            same = ((told == values) | (np.isnan(told) & np.isnan(values))).all(-1).ravel()
            same &= frame["gene"].to_numpy() == np.repeat(np.array(names, object), n)
            same &= frame["group"].to_numpy() == np.tile(np.array(self.groups, object), len(names))
            for k in np.flatnonzero(~same)[:1].tolist():
                yield (
                    f"gene {names[k // n]}, group {self.groups[k % n]}: {STATS} and {SERVING} are "
                    "not the same"
                )
            yield from self._totals(names, places, values, route)

    def _totals(
        self, names: Sequence[str], places: Array, values: Array, route: Route
    ) -> Iterator[str]:
        """Compare counts and sums over all groups with those of the genes."""
        column = dict(zip(self.columns, np.moveaxis(values, -1, 0), strict=True))
        wrong: dict[str, Array] = {}
        if "n" in column:
            wrong["n is not the number of cells"] = (column["n"] != self._sizes).any(1)
        # Cells of groups that are too small are in no row.
        if "count_nonzero" in column and self.every:
            added = column["count_nonzero"].sum(1)
            wrong["count_nonzero does not add up to its values"] = added != route.nnz[places]
        if "sum" in column and self.every and self.settings["normalize"] == "none":
            gap = np.abs(column["sum"].sum(1) - route.sums[places])
            wrong["sum does not add up to that of its values"] = ~(
                gap <= ROUNDING * route.sizes[places]
            )
        for what, which in wrong.items():
            yield from (f"gene {names[k]}: {what}" for k in np.flatnonzero(which)[:_SHOWN])
