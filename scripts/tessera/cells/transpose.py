"""From row tiles to genes: the runs of a gene of all tiles, put one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numba as nb
import numpy as np

from tessera.cells.layout import (
    GENES,
    RANGE,
    Array,
    ArrayFile,
    ArrayWriter,
    Ints,
    Rows,
    gene_batches,
    save,
    write_json,
)


def transpose_part(
    rows: Rows,
    start: int,
    stop: int,
    folder: Path,
    *,
    batch_nnz: int,
    progress: Callable[[Iterable[Any], str], Iterable[Any]] = lambda items, _: items,
) -> None:
    """Write a range of genes gene by gene, the cells of each ascending.

    Parameters
    ----------
    rows
        The row tiles.
    start, stop
        First gene and last + 1.
    folder
        An empty folder, which is filled: see `tessera.cells.layout.Part`. The same bytes for any
        tiling and any ``batch_nnz``.
    batch_nnz
        Values that are held in memory at a time.
    progress
        Passes items on, for a bar of progress.
    """
    nnz = rows.column(GENES, "nnz")[start:stop]
    indptr = np.concatenate([[0], np.cumsum(nnz, dtype=np.int64)])
    total = int(indptr[-1])
    tiles = [rows.run_files(number) for number in range(rows.n_tiles)]
    dtype = np.dtype(rows.facts["dtype"])
    with (
        ArrayWriter(folder / "cells.npy", np.int32, (total,)) as cells,
        ArrayWriter(folder / "values.npy", dtype, (total,)) as values,
    ):
        for first, last in progress(list(gene_batches(nnz, batch_nnz)), "genes"):
            ends = indptr[first : last + 1]
            if last - first == 1:  # one gene, maybe of more values than a batch: in order as it is
                for run_indptr, run_cells, run_values in tiles:
                    a, b = run_indptr.read(start + first, start + last + 1).tolist()
                    cells.write(run_cells.read(a, b))
                    values.write(run_values.read(a, b))
            else:
                batch = _gather(tiles, start + first, ends - ends[0], dtype)
                cells.write(batch[0])
                values.write(batch[1])
    save(folder / "indptr.npy", indptr)
    write_json(folder / RANGE, {"start": int(start), "stop": int(stop), "nnz": total})


def _gather(
    tiles: list[tuple[ArrayFile, ArrayFile, ArrayFile]], gene: int, indptr: Ints, dtype: np.dtype
) -> tuple[Array, Array]:
    """Return cells and values of consecutive genes, beginning with ``gene``."""
    place = indptr[:-1].copy()
    cells, values = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], dtype)
    for run_indptr, run_cells, run_values in tiles:
        ends = run_indptr.read(gene, gene + len(indptr))
        a, b = ends[[0, -1]].tolist()
        if b > a:
            _append(ends - a, run_cells.read(a, b), run_values.read(a, b), place, cells, values)
    if (place != indptr[1:]).any():
        raise ValueError("the runs of the tiles are not what genes.parquet counts")
    return cells, values


@nb.njit(nogil=True, cache=True)
def _append(
    ends: Any, run_cells: Any, run_values: Any, place: Any, cells: Any, values: Any
) -> None:
    """Copy the run of each gene to its place, and move the place on."""
    for gene in range(len(place)):
        put = place[gene]
        if put + ends[gene + 1] - ends[gene] > len(cells):
            place[gene] = -1  # counts that do not add up: told by the caller
            return
        for entry in range(ends[gene], ends[gene + 1]):
            cells[put] = run_cells[entry]
            values[put] = run_values[entry]
            put += 1
        place[gene] = put
