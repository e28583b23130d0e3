"""Values of a matrix with their cell and gene: chosen, put in order, added up. Compiled."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from tessera.cells.layout import Array, Ints

WHOLE, NEGATIVE, DOUBLE, ENDLESS, DISORDER, STRAY = 1, 2, 4, 8, 16, 32
"""What `keep` found: a value that is no whole number; that is negative; that is no single-precision
number; that is not finite; a cell that comes after a later one; a cell or gene that is none."""


@nb.njit(nogil=True, cache=True)
def keep(
    cells: Any,
    genes: Any,
    values: Any,
    before: Any,
    n_genes: Any,
    out: Any,
    out_genes: Any,
    out_values: Any,
) -> Any:
    """Copy the values that are not zero.

    Parameters
    ----------
    cells, genes, values
        ``(n,)``.
    before
        The cell before the first of them, or 0.
    n_genes
        How many genes there are.
    out, out_genes, out_values
        ``(n,)`` int32, int32 and float32 or float64: what is kept.

    Returns
    -------
    many, found
        How many were kept, and what was met, as a sum of `WHOLE` and its like.
    """
    at, found = 0, 0
    for entry in range(len(values)):
        value = values[entry]
        if value == 0:
            continue
        cell = cells[entry]
        if cell < before:
            found |= DISORDER
        before = cell
        gene = genes[entry]
        if cell < 0 or gene < 0 or gene >= n_genes:
            found |= STRAY
        out[at] = cell
        out_genes[at] = gene
        out_values[at] = value
        at += 1
        if value != np.rint(value):
            found |= WHOLE
        if value < 0:
            found |= NEGATIVE
        if np.float32(value) != value:
            found |= DOUBLE
        if not np.isfinite(value):
            found |= ENDLESS
    return at, found


@nb.njit(nogil=True, cache=True)
def ascending(cells: Any, genes: Any) -> Any:
    """Tell whether entries are sorted by cell, then gene, none of them twice."""
    for entry in range(1, len(cells)):
        cell, before = cells[entry], cells[entry - 1]
        if cell < before or (cell == before and genes[entry] <= genes[entry - 1]):
            return False
    return True


@nb.njit(nogil=True, cache=True)
def ends_of(keys: Any, first: Any, length: Any) -> Any:
    """Return where each of ``length`` keys, beginning with ``first``, starts once sorted."""
    ends = np.zeros(length + 1, np.int64)
    for key in keys:
        ends[key - first + 1] += 1
    for key in range(length):
        ends[key + 1] += ends[key]
    return ends


@nb.njit(nogil=True, cache=True)
def sort_by(keys: Any, others: Any, values: Any, ends: Any, first: Any, keys_too: Any) -> Any:
    """Sort by keys, those of the same key as they came.

    Parameters
    ----------
    keys, others, values
        ``(n,)``.
    ends
        From `ends_of`.
    first
        The first key.
    keys_too
        Whether the sorted keys are wanted as well; otherwise that array is empty.

    Returns
    -------
    keys, others, values
        Sorted copies.
    """
    place = ends[:-1].copy()
    sorted_keys = np.empty(len(keys) if keys_too else 0, keys.dtype)
    sorted_others, sorted_values = np.empty_like(others), np.empty_like(values)
    for entry in range(len(keys)):
        key = keys[entry] - first
        put = place[key]
        place[key] = put + 1
        if keys_too:
            sorted_keys[put] = keys[entry]
        sorted_others[put] = others[entry]
        sorted_values[put] = values[entry]
    return sorted_keys, sorted_others, sorted_values


def sort_entries(
    cells: Array, genes: Array, values: Array, span: tuple[int, int], n_genes: int
) -> tuple[Array, Array, Array]:
    """Sort by cell, then gene; equals stay in the order in which they came.

    Parameters
    ----------
    cells, genes, values
        ``(n,)``.
    span
        First cell and last + 1.
    n_genes
        Number of genes.
    """
    genes, cells, values = sort_by(genes, cells, values, ends_of(genes, 0, n_genes), 0, True)
    start, stop = span
    return sort_by(cells, genes, values, ends_of(cells, start, stop - start), start, True)


def repeated(cells: Array, genes: Array) -> Array:
    """Tell which sorted entries are of the cell and gene of the one before."""
    again = np.zeros(len(cells), np.bool_)
    again[1:] = (cells[1:] == cells[:-1]) & (genes[1:] == genes[:-1])
    return again


@nb.njit(nogil=True, cache=True)
def merge(cells: Any, genes: Any, values: Any) -> Any:
    """Add up the values of the same cell and gene, sorted, in place; return how many are left.

    Sums of zero are no longer entries.
    """
    at, entry = 0, 0
    while entry < len(cells):
        cell, gene, total = cells[entry], genes[entry], values[entry]
        entry += 1
        while entry < len(cells) and cells[entry] == cell and genes[entry] == gene:
            total += values[entry]
            entry += 1
        if total != 0:
            cells[at], genes[at], values[at] = cell, gene, total
            at += 1
    return at


@nb.njit(nogil=True, cache=True)
def add_up(
    cells: Any, genes: Any, values: Any, first: Any, totals: Any, nnz: Any, sums: Any
) -> None:
    """Add values to the totals of cells (from ``first`` on) and genes, one by one, in order."""
    for entry in range(len(values)):
        value, gene = np.float64(values[entry]), genes[entry]
        totals[cells[entry] - first] += value
        sums[gene] += value
        nnz[gene] += 1


def cuts(counts: Ints, most: int) -> list[tuple[int, int]]:
    """Cut cells into tiles of as many as fit.

    Parameters
    ----------
    counts
        ``(cells,)`` entries of each.
    most
        Entries of a tile; a cell of more is a tile of its own. Cells without entries belong to the
        tile before them.
    """
    ends = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    tiles: list[tuple[int, int]] = []
    start, n_cells = 0, len(counts)
    while start < n_cells or not tiles:
        stop = int(np.searchsorted(ends, ends[start] + most, side="right")) - 1
        if ends[stop] == ends[start] and stop < n_cells:
            stop += 1
            stop = int(np.searchsorted(ends, ends[stop], side="right")) - 1
        tiles.append((start, stop))
        start = stop
    return tiles


def cut_of(cells: Array, most: int) -> int | None:
    """Return the cell that the tile after the first of `cuts` begins with, if that is known.

    Parameters
    ----------
    cells
        ``(n,)`` cells of entries that came so far, ascending.
    most
        Entries of a tile.
    """
    if len(cells) <= most:
        return None
    if cells[most] > cells[0]:
        return int(cells[most])
    after = int(np.searchsorted(cells, cells[0], side="right"))
    return int(cells[after]) if after < len(cells) else None


@nb.njit(nogil=True, cache=True)
def count(cells: Any, counts: Any) -> None:
    """Count the entries of each cell, in place."""
    for cell in cells:
        counts[cell] += 1
