"""All values of a dataset gone through once, on each way there is, and what was found compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt
import zarr

from tessera.cells.assemble import CELL_MAJOR, GENE_MAJOR
from tessera.cells.layout import Array, Ints, Part, Rows
from tessera.cells.zarr_matrices import array_of, pieces_of, slices_of

TILES, PARTS = "cells of the tiles", "genes of the parts"
ROUNDING = 1e-12
"""By which sums may differ, of the sum of the absolute values: the order of additions."""

_PIECE = 1 << 20  # values of a tile looked at at a time

Triples = Iterable[tuple[Array, Array, Array]]


@dataclass(frozen=True)
class Route:
    """What was found on one way through all values.

    Attributes
    ----------
    nnz, sums, sizes
        ``(genes,)`` values of each gene, their sum, and the sum of their absolute values.
    mark
        Sum of a hash of cell, gene and value over all values, modulo 2^64: it is the same in
        whatever order they come, and hardly ever where one of them is another.
    """

    nnz: Ints
    sums: npt.NDArray[np.float64]
    sizes: npt.NDArray[np.float64]
    mark: int


def routes(tiles: Rows, parts: Sequence[Part], version: Path) -> dict[str, Route]:
    """Go through all values by row tiles, by parts, and by both matrices of a version."""
    many = np.concatenate([np.diff(part.indptr) for part in parts])
    ways = {TILES: _of_tiles(tiles), PARTS: _by_row(many, pieces_of(parts))}
    for name in (CELL_MAJOR, GENE_MAJOR):
        group = zarr.open_group(version / name, mode="r")
        many = np.diff(np.asarray(array_of(group, "indptr")[:]))
        triples = _by_row(many, ((index, data) for _, index, data in slices_of(group)))
        ways[name] = triples if name == GENE_MAJOR else ((row, i, v) for i, row, v in triples)
    return {name: _go(way, tiles.facts["n_genes"]) for name, way in ways.items()}


def rows_between(ends: Array, start: int, stop: int) -> Ints:
    """Return the row of each of the values ``start`` to ``stop - 1`` of a compressed matrix.

    Parameters
    ----------
    ends
        ``(rows,)`` where each row ends: ``indptr`` without its first.
    start, stop
        Places of values, the first before the other.
    """
    first, last = np.searchsorted(ends, [start, stop - 1], side="right")
    edges = np.concatenate([[start], ends[first:last], [stop]])
    return np.repeat(np.arange(first, last + 1), np.diff(edges))


def _of_tiles(tiles: Rows) -> Iterator[tuple[Array, Array, Array]]:
    for number, (cell, _, _) in enumerate(tiles.facts["tiles"]):
        indptr, genes, values = tiles.tile(number)
        for start in range(0, len(values), _PIECE):
            at = slice(start, min(start + _PIECE, len(values)))
            yield rows_between(indptr[1:], start, at.stop) + cell, genes[at], values[at]


def _by_row(
    many: Array, pieces: Iterable[tuple[Array, Array]]
) -> Iterator[tuple[Array, Array, Array]]:
    """Go through index, row and value of a compressed matrix whose rows have so many values."""
    ends, done = np.cumsum(many), 0
    for index, values in pieces:
        yield index, rows_between(ends, done, done + len(values)), values
        done += len(values)


def _go(way: Triples, n_genes: int) -> Route:
    nnz, sums, sizes = np.zeros(n_genes, np.int64), np.zeros(n_genes), np.zeros(n_genes)
    mark = 0
    for cells, genes, values in way:
        if len(genes) and not 0 <= genes.min() <= genes.max() < n_genes:
            raise ValueError(f"genes {genes.min()} to {genes.max()}, where there are {n_genes}")
        values = np.ascontiguousarray(values, np.float64)
        mark += int(_add(cells, genes, values, values.view(np.uint64), nnz, sums, sizes))
    return Route(nnz, sums, sizes, mark % (1 << 64))


@nb.njit(nogil=True, cache=True)
def _mix(x: Any) -> Any:
    """Mix the bits of a number (SplitMix64; Steele, Lea and Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@nb.njit(nogil=True, cache=True)
def _add(cells: Any, genes: Any, values: Any, bits: Any, nnz: Any, sums: Any, sizes: Any) -> Any:
    mark = np.uint64(0)
    for k in range(len(values)):
        gene = genes[k]
        nnz[gene] += 1
        sums[gene] += values[k]
        sizes[gene] += abs(values[k])
        place = (np.uint64(cells[k]) << np.uint64(32)) | np.uint64(gene)
        mark += _mix(_mix(place + np.uint64(0x9E3779B97F4A7C15)) ^ bits[k])
    return mark
