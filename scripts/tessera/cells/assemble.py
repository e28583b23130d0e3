"""A version put together: views, tables, matrices, definitions and, last, the manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tessera.cells.definitions import definition
from tessera.cells.gene_index import write_gene_index
from tessera.cells.groups import groups_of
from tessera.cells.layout import (
    CELLS,
    GENES,
    Array,
    ArrayWriter,
    Part,
    Rows,
    grouping_name,
    write_json,
)
from tessera.cells.manifest import write_manifest
from tessera.cells.statistics import columns
from tessera.cells.zarr_matrices import write_cell_major, write_gene_major

FORMAT = 1
"""Of a version; another number where an old reader could not read a new version."""

STATS, GROUPS, SERVING, DEFINITION = (
    "stats.parquet", "groups.parquet", "serving.npy", "definition.json",
)  # fmt: skip
GENE_INDEX = "gene_index.npy"
CELL_MAJOR, GENE_MAJOR = "cell_major.zarr", "gene_major.zarr"
COUNTS = ("n", "count_nonzero")
"""Statistics that are whole numbers."""

_ROW_GROUP = 20_000  # rows of a row group of a view, about: what a reader of one gene unpacks
_TABLE_ROWS = 1 << 17  # rows of a row group of the tables of cells and genes
_META = b"tessera"


def view_folder(version: Path, grouping: str) -> Path:
    """Return the folder of a view."""
    return version / "views" / grouping


def assemble(
    dataset: str,
    rows: str | Path,
    parts: Sequence[str | Path],
    stats: Mapping[str, Sequence[str | Path]],
    groupings: Sequence[Sequence[str]],
    settings: Mapping[str, Any],
    folder: Path,
) -> str:
    """Write a whole version, as it is published.

    Parameters
    ----------
    dataset
        Its name.
    rows
        The folder of the row tiles.
    parts
        The folders of all genes in their order.
    stats
        Name of each grouping to the files of its statistics, one for each part, in order:
        float64 ``(genes of the part, groups, statistics)``.
    groupings
        Columns of the metadata of each view; the first is the default one.
    settings
        ``normalize``, ``statistics``, ``percentiles``, ``trim``, ``min_cells`` and
        ``duplicate_genes`` of the pipeline.
    folder
        An empty folder, which is filled.

    Returns
    -------
    str
        The name of the version. Neither tiles nor parts change a byte of it.
    """
    tiles = Rows(rows)
    names, genes = [grouping_name(by) for by in groupings], list(tiles.genes["gene"])
    definitions, listed = {}, {}
    for name, by in zip(names, groupings, strict=True):
        groups = groups_of(tiles.cells, by, settings["min_cells"])
        kept = columns(settings["percentiles"], settings["statistics"])
        told = definition(settings, by, kept, groups.labels)
        definitions[name] = {key: told[key] for key in told if key != "groups"}
        listed[name] = {"by": list(by), "groups": len(groups.labels)}
        view = view_folder(folder, name)
        view.mkdir(parents=True)
        write_json(view / DEFINITION, told)
        _write_groups(view / GROUPS, groups.table)
        every = columns(settings["percentiles"])
        _write_serving(view / SERVING, stats[name], len(genes), every, told)
        _write_stats(view, genes, told)
    for name in (GENES, CELLS):
        _copy_table(Path(rows) / name, folder / name)
    write_gene_index(folder / GENE_INDEX, genes)
    write_cell_major(tiles, folder / CELL_MAJOR)
    write_gene_major(tiles, list(map(Part, parts)), folder / GENE_MAJOR)
    facts = {
        "format": FORMAT,
        "dataset": dataset,
        "definitions": definitions,
        "cells": tiles.facts["n_cells"],
        "genes": tiles.facts["n_genes"],
        "nnz": tiles.facts["nnz"],
        "groupings": listed,
    }
    return write_manifest(folder, facts)


def _write_groups(path: Path, table: pd.DataFrame) -> None:
    """Write the groups: their labels and values as text, and the number of their cells."""
    arrays = {
        name: pa.array(table[name].tolist(), pa.int64() if name == "n" else pa.string())
        for name in table.columns
    }
    pq.write_table(pa.table(arrays), path, compression="zstd")


def _write_serving(
    path: Path,
    files: Sequence[str | Path],
    n_genes: int,
    every: Sequence[str],
    told: Mapping[str, Any],
) -> None:
    """Put the statistics of all parts together, with the chosen columns alone."""
    kept = [every.index(name) for name in told["columns"]]
    shape = (n_genes, len(told["groups"]), len(kept))
    with ArrayWriter(path, np.float64, shape) as writer:
        for file in files:
            found = np.load(file, mmap_mode="r", allow_pickle=False)
            if found.shape[1:] != (shape[1], len(every)):
                raise ValueError(f"{file} is no statistics of {shape[1]} groups: {found.shape}")
            for start, stop in _batches(len(found), shape[1]):
                writer.write(found[start:stop][:, :, kept])


def _batches(genes: int, groups: int) -> Iterator[tuple[int, int]]:
    """Cut genes into pieces of about the rows of a row group."""
    step = max(1, _ROW_GROUP // max(groups, 1))
    for start in range(0, genes, step):
        yield start, min(start + step, genes)


class Serving:
    """Reads statistics of chosen genes from ``serving.npy``, which is never mapped or loaded.

    Parameters
    ----------
    path
        The file.

    Attributes
    ----------
    shape
        Genes, groups, statistics.
    """

    def __init__(self, path: Path) -> None:
        head = np.load(path, mmap_mode="r", allow_pickle=False)
        self.shape: tuple[int, int, int] = head.shape
        self._path, self._offset = path, int(head.offset)

    def genes(self, places: npt.ArrayLike) -> Array:
        """Return ``(places, groups, statistics)`` float64 of genes in any order."""
        places = np.asarray(places, np.int64)
        size = self.shape[1] * self.shape[2]
        found = np.empty((len(places), size))
        with self._path.open("rb") as stream:
            for row, place in zip(found, places.tolist(), strict=True):
                stream.seek(self._offset + place * size * 8)
                if stream.readinto(row.view(np.uint8).data) != size * 8:
                    raise ValueError(f"{self._path} ends before gene {place}")
        return found.reshape(len(places), *self.shape[1:])


def by_name(genes: Sequence[str]) -> Array:
    """Return the places of genes in the order of their names, by code points."""
    return np.array(sorted(range(len(genes)), key=genes.__getitem__), np.int64)


def _write_stats(view: Path, genes: Sequence[str], told: Mapping[str, Any]) -> None:
    """Write the view as a table, by name of the gene and then by group."""
    serving = Serving(view / SERVING)
    groups = pa.array(told["groups"], pa.string())
    schema = pa.schema(
        [("gene", pa.string()), ("group", pa.string())]
        + [(c, pa.int64() if c in COUNTS else pa.float64()) for c in told["columns"]],
        metadata={_META: json.dumps(told, ensure_ascii=False)},
    )
    order = by_name(genes)
    with pq.ParquetWriter(
        view / STATS, schema, compression="zstd", use_dictionary=["gene", "group"]
    ) as writer:
        for start, stop in _batches(len(order), len(groups)):
            places = order[start:stop]
            values = serving.genes(places).reshape(-1, len(told["columns"]))
            each = pa.array([genes[place] for place in places], pa.string())
            table = [
                each.take(pa.array(np.repeat(np.arange(len(places)), len(groups)))),
                pa.concat_arrays([groups] * len(places)),
                *(_column(values[:, k], schema.field(2 + k)) for k in range(values.shape[1])),
            ]
            writer.write_table(pa.table(table, schema=schema), row_group_size=_ROW_GROUP)


def _column(values: Array, field: pa.Field) -> pa.Array:
    if pa.types.is_integer(field.type):
        return pa.array(values.astype(np.int64))
    return pa.array(values, field.type, from_pandas=True)  # NaN is null


def _copy_table(source: Path, target: Path) -> None:
    """Write a table anew, in row groups that do not depend on how it came about."""
    table = pq.read_table(source, use_threads=False).combine_chunks()
    pq.write_table(
        table.replace_schema_metadata(), target, compression="zstd", row_group_size=_TABLE_ROWS
    )
