"""Datasets put together for tests: from counts to row tiles, parts, statistics and a version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tessera.cells.aggregate import aggregate_part
from tessera.cells.assemble import assemble
from tessera.cells.groups import groups_of
from tessera.cells.ingest import ingest
from tessera.cells.layout import Part, Rows, gene_ranges, grouping_name
from tessera.cells.transpose import transpose_part

SETTINGS: dict[str, Any] = {
    "normalize": "none",
    "statistics": [
        *("n", "count_nonzero", "fraction", "sum", "mean", "var", "min", "max", "median"),
        *("percentiles", "trimmed_mean"),
    ],
    "percentiles": [5, 25, 50, 75, 95],
    "trim": 0.25,
    "min_cells": 1,
    "duplicate_genes": "error",
}


@dataclass
class Chunk:
    cells: np.ndarray
    genes: np.ndarray
    values: np.ndarray


@dataclass
class Given:
    """A matrix that is in memory, as a source of `ingest`."""

    values: np.ndarray
    genes: list[str]
    cells: pd.DataFrame
    file: str = "given"
    ordered: bool = True
    warnings: list[str] = field(default_factory=list)

    def chunks(self, most: int) -> Iterator[Chunk]:
        cells, genes = np.nonzero(self.values)
        for start in range(0, len(cells), most):
            at = slice(start, start + most)
            yield Chunk(
                cells[at].astype(np.int32),
                genes[at].astype(np.int32),
                self.values[cells[at], genes[at]].astype(np.float64),
            )

    def table(self, columns: list[str]) -> pd.DataFrame:
        return self.cells


@dataclass
class Made:
    """Where everything of a dataset is."""

    rows: Path
    parts: list[Path]
    stats: dict[str, list[Path]]
    version: Path
    settings: dict[str, Any]


def make(
    folder: Path,
    given: Given,
    groupings: Sequence[Sequence[str]],
    settings: Mapping[str, Any] | None = None,
    *,
    batch_nnz: int = 5000,
    parts: int = 3,
    dataset: str = "made",
) -> Made:
    """Go the way of the pipeline, from a matrix in memory to a version."""
    settings = {**SETTINGS, **(settings or {})}
    rows = folder / "rows"
    rows.mkdir(parents=True)
    columns = list(dict.fromkeys(name for by in groupings for name in by))
    rules = {key: settings[key] for key in ("duplicate_genes", "normalize")}
    ingest(given, rows, batch_nnz=batch_nnz, grouping_columns=columns, **rules)
    tiles = Rows(rows)
    places = []
    for k, (start, stop) in enumerate(gene_ranges(tiles.genes["nnz"].to_numpy(), parts)):
        places.append(folder / f"genes/{k + 1}of{parts}")
        places[-1].mkdir(parents=True)
        transpose_part(tiles, start, stop, places[-1], batch_nnz=batch_nnz)
    stats: dict[str, list[Path]] = {}
    rules = {key: settings[key] for key in ("normalize", "percentiles", "trim")}
    for by in groupings:
        groups = groups_of(tiles.cells, by, settings["min_cells"])
        for place in places:
            file = folder / "stats" / grouping_name(by) / f"{place.name}.npy"
            file.parent.mkdir(parents=True, exist_ok=True)
            totals = tiles.cells["total"].to_numpy()
            aggregate_part(
                Part(place), totals, groups.codes, groups.sizes, file, batch_nnz=batch_nnz, **rules
            )
            stats.setdefault(grouping_name(by), []).append(file)
    version = folder / "version"
    version.mkdir()
    assemble(dataset, rows, places, stats, groupings, settings, version)
    return Made(rows, places, stats, version, settings)
