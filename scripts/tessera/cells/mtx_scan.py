"""The bytes of a matrix in the coordinate format: lines of gene, cell and value. Compiled."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from tessera.cells.decimals import BLANK, NINE, ZERO, number
from tessera.cells.walk import AT, FREE, LINE, RARES, VALUES, WRONG

ENTRIES = FREE
"""State: entries met so far."""
NOT_THREE, NO_GENE, NO_CELL = 1, 2, 3
"""What is wrong with a line: no numbers of gene and cell and a value; a gene or a cell that the
matrix does not have."""

_LF, _CR, _TAB = b"\n\r\t"


@nb.njit(nogil=True, cache=True)
def _whole(text: Any, at: Any, stop: Any) -> Any:
    """Return a whole number without a sign and where it ends; -1 if there is none."""
    value, first = np.int64(0), at
    while at < stop and ZERO <= text[at] <= NINE and at - first < 18:
        value = value * 10 + (text[at] - ZERO)
        at += 1
    if at == first or (at < stop and text[at] != BLANK and text[at] != _TAB):
        value = np.int64(-1)
    return value, at


@nb.njit(nogil=True, cache=True)
def _blanks(text: Any, at: Any, stop: Any) -> Any:
    while at < stop and (text[at] == BLANK or text[at] == _TAB):
        at += 1
    return at


@nb.njit(nogil=True, cache=True)
def scan(
    text: Any,
    n_genes: Any,
    n_cells: Any,
    pattern: Any,
    state: Any,
    cells: Any,
    genes: Any,
    values: Any,
    rare: Any,
    wrong: Any,
) -> Any:
    """Read the lines that end in a block.

    Parameters
    ----------
    text
        uint8.
    n_genes, n_cells
        Size of the matrix.
    pattern
        Whether entries have no values, but are 1.
    state, cells, genes, values, rare
        As in `tessera.cells.walk.Walk`.
    wrong
        ``(n, 4)`` int64: start and stop in the block, line and fault of lines that are wrong.

    Returns
    -------
    bool
        Whether there is more that had no room.
    """
    at, line, entries = state[AT], state[LINE], state[ENTRIES]
    n, n_rare, n_wrong = state[VALUES], state[RARES], state[WRONG]
    end, more = len(text), False
    while at < end:
        if n == len(values) or n_rare == len(rare) or n_wrong == len(wrong):
            more = True
            break
        stop = at
        while stop < end and text[stop] != _LF:
            stop += 1
        if stop == end:
            break
        after = stop - 1 if stop > at and text[stop - 1] == _CR else stop
        while after > at and (text[after - 1] == BLANK or text[after - 1] == _TAB):
            after -= 1
        start = _blanks(text, at, after)
        if start < after:
            gene, next_at = _whole(text, start, after)
            cell, value_at = _whole(text, _blanks(text, next_at, after), after)
            value_at = _blanks(text, value_at, after)
            fault = 0
            if gene < 0 or cell < 0 or (value_at == after) != pattern:
                fault = NOT_THREE
            elif gene < 1 or gene > n_genes:
                fault = NO_GENE
            elif cell < 1 or cell > n_cells:
                fault = NO_CELL
            entries += 1
            if fault:
                wrong[n_wrong, 0], wrong[n_wrong, 1] = start, after
                wrong[n_wrong, 2], wrong[n_wrong, 3] = line, fault
                n_wrong += 1
            else:
                value = 1.0 if pattern else number(text, value_at, after)
                cells[n], genes[n], values[n] = cell - 1, gene - 1, value
                if np.isnan(value):
                    rare[n_rare, 0], rare[n_rare, 1] = value_at, after
                    rare[n_rare, 2], rare[n_rare, 3], rare[n_rare, 4] = line, 0, n
                    n_rare += 1
                n += 1
        line += 1
        at = stop + 1
    state[AT], state[LINE], state[ENTRIES] = at, line, entries
    state[VALUES], state[RARES], state[WRONG] = n, n_rare, n_wrong
    return more
