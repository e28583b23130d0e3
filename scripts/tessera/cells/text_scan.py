"""The bytes of a matrix as text: rows of a name and many numbers. Compiled."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from tessera.cells.decimals import BLANK, QUOTE, ZERO, number
from tessera.cells.walk import AT, FREE, LINE, RARES, VALUES, WRONG

COLUMN, CELL, NAMES = FREE, FREE + 1, FREE + 2
"""State: column of the next number, -1 at the beginning of a row; number of the row; names of cells
that wait."""

_LF, _CR = b"\n\r"


@nb.njit(nogil=True, cache=True)
def scan(
    text: Any,
    separator: Any,
    n_genes: Any,
    state: Any,
    cells: Any,
    genes: Any,
    values: Any,
    rare: Any,
    names: Any,
    wrong: Any,
) -> Any:
    """Read what ends in a block.

    Parameters
    ----------
    text
        uint8.
    separator
        The byte between cells of the table.
    n_genes
        Numbers that a row should have.
    state, cells, genes, values, rare
        As in `tessera.cells.walk.Walk`.
    names
        ``(n, 3)`` int64: start, stop and line of the names of cells.
    wrong
        ``(n, 2)`` int64: line, and cells in it, of rows of another length.

    Returns
    -------
    bool
        Whether there is more that had no room.
    """
    at, line, column, cell = state[AT], state[LINE], state[COLUMN], state[CELL]
    n, n_rare, n_names, n_wrong = state[VALUES], state[RARES], state[NAMES], state[WRONG]
    end, more = len(text), False
    while at < end:
        if column >= 0:
            while at + 1 < end and text[at] == ZERO and text[at + 1] == separator:
                column += 1
                at += 2
        if (
            n == len(values)
            or n_rare == len(rare)
            or n_names == len(names)
            or n_wrong == len(wrong)
        ):
            more = True
            break
        stop = at if column >= 0 else _after_quotes(text, at)
        while stop < end and text[stop] != separator and text[stop] != _LF:
            stop += 1
        if stop >= end:
            break
        last = text[stop] == _LF
        after = stop - 1 if last and stop > at and text[stop - 1] == _CR else stop
        if column < 0:
            if last and after == at:
                line += 1
                at = stop + 1
                continue
            names[n_names, 0], names[n_names, 1], names[n_names, 2] = at, after, line
            n_names += 1
        elif column < n_genes:
            value = number(text, at, after)
            if value != 0:
                cells[n], genes[n], values[n] = cell, column, value
                if np.isnan(value):
                    rare[n_rare, 0], rare[n_rare, 1], rare[n_rare, 2] = at, after, line
                    rare[n_rare, 3], rare[n_rare, 4] = column, n
                    n_rare += 1
                n += 1
        column += 1
        at = stop + 1
        if last:
            if column != n_genes:
                wrong[n_wrong, 0], wrong[n_wrong, 1] = line, column + 1
                n_wrong += 1
            line += 1
            column = -1
            cell += 1
    state[AT], state[LINE], state[COLUMN], state[CELL] = at, line, column, cell
    state[VALUES], state[RARES], state[NAMES], state[WRONG] = n, n_rare, n_names, n_wrong
    return more


@nb.njit(nogil=True, cache=True)
def _after_quotes(text: Any, at: Any) -> Any:
    """Return where the search for the end of a name may begin: after its quotation marks."""
    end = len(text)
    while at < end and text[at] == BLANK:
        at += 1
    if at == end or text[at] != QUOTE:
        return at
    at += 1
    while at < end and text[at] != _LF:
        if text[at] == QUOTE:
            if at + 1 < end and text[at + 1] == QUOTE:
                at += 1
            else:
                return at + 1
        at += 1
    return at


@nb.njit(nogil=True, cache=True)
def joined(text: Any, names: Any) -> Any:
    """Return names, without blanks around them, as lines; uint8."""
    size = 0
    for row in names:
        size += row[1] - row[0] + 1
    out, at = np.empty(size, np.uint8), 0
    for row in names:
        start, stop = row[0], row[1]
        while start < stop and text[start] == BLANK:
            start += 1
        while stop > start and text[stop - 1] == BLANK:
            stop -= 1
        for place in range(start, stop):
            out[at] = text[place]
            at += 1
        out[at] = _LF
        at += 1
    return out[:at]
