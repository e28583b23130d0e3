"""Columns of metadata: their names, gaps in those that group cells, numbers among the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tessera.cells.faults import Place, check_names, told
from tessera.config import did_you_mean
from tessera.errors import Problem

if TYPE_CHECKING:
    import pyarrow as pa

RESERVED = ("cell", "total")
"""Columns that the table of cells has anyway."""
NULLS = ("", "na", "n/a", "nan", "<na>", "null")
"""What means that a value is missing, in any case of letters."""

_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_WHOLE = "^[+-]?[0-9]{1,18}$"
_NAME = "^[+-]?0[0-9]"  # 007 is no number


def check_columns(file: str, place: str, columns: list[str]) -> list[Problem]:
    """Look at names of columns: there, unique, and none that results use for something else.

    Parameters
    ----------
    file
        The file they are in.
    place
        Where their names stand in it.
    columns
        Their names, without that of the column of cells.
    """
    problems = check_names(file, lambda n: f"{place}, column {n + 2}", columns, "column")
    for name in dict.fromkeys(name for name in columns if columns.count(name) > 1 and name):
        what, remedy = f"column {name} occurs twice", "remove or rename one of the two"
        problems.append(Problem(file, place, what, remedy))
    for name in RESERVED:
        if name in columns:
            what = f"column {name} has a name that the results use themselves"
            problems.append(Problem(file, place, what, "rename the column"))
    return problems


def unknown_columns(
    file: str, place: str, known: Sequence[str], wanted: Sequence[str]
) -> list[Problem]:
    """Look for columns that group cells but do not exist."""
    expected = f"expected one of {', '.join(known[:20])}{' and others' if known[20:] else ''}"
    return [
        Problem(
            file,
            place,
            f"has no column {name}, which cells.groupings names",
            (expected if known else "add it to the metadata") + did_you_mean(name, list(known)),
        )
        for name in dict.fromkeys(wanted)
        if name not in known
    ]


def check_groups(file: str, place: Place, values: npt.NDArray[np.object_]) -> list[Problem]:
    """Look for cells without a group, and for names of groups with invisible characters.

    Parameters
    ----------
    file
        The file they are in.
    place
        Number of a value to where it stands.
    values
        ``(n,)`` str, or None: the group of each cell.
    """
    codes, groups = pd.factorize(values)
    null = np.array([group.casefold() in NULLS for group in groups] + [True])
    gaps = np.flatnonzero(null[codes])  # the last stands for None, whose code is -1

    def tell(n: int) -> tuple[str, str]:
        found = values[gaps[n]]
        what = "the group is missing"
        return place(gaps[n]), f"found {found}, which means that {what}" if found else what

    problems = told(file, gaps, tell, "give each cell a group, unknown for instance")
    first = np.flatnonzero(~pd.Series(values).duplicated() & ~null[codes])
    return problems + check_names(
        file, lambda n: place(first[n]), [values[n] for n in first], "group"
    )


def as_text(column: pa.ChunkedArray) -> npt.NDArray[np.object_]:
    """Return a column as str, each text only once in memory; None where it is empty."""
    codes = column.combine_chunks().dictionary_encode()
    texts = np.array([text or None for text in codes.dictionary.to_pylist()] + [None], object)
    return texts[codes.indices.to_numpy(zero_copy_only=False)]


def as_numbers(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return a column as numbers where it holds nothing else, otherwise `as_text`.

    Whole numbers without gaps become int64; those with gaps (`NULLS`), and decimals, become
    float64. What begins with a zero before another digit is no number but a name, and a column
    with a number too large for double precision is text.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    gaps = pc.is_in(pc.utf8_lower(column), pa.array(NULLS))
    there = column.filter(pc.invert(gaps))

    def all_are(pattern: str) -> bool:
        return bool(pc.all(pc.match_substring_regex(there, pattern)).as_py())

    if (
        not len(there)
        or not all_are(_NUMBER)
        or pc.any(pc.match_substring_regex(there, _NAME)).as_py()
    ):
        return as_text(column)
    plain = pc.utf8_ltrim(there, "+")
    if len(there) == len(column) and all_are(_WHOLE):
        return plain.cast(pa.int64()).to_numpy()
    numbers = np.full(len(column), np.nan)
    numbers[~gaps.to_numpy()] = plain.cast(pa.float64()).to_numpy()
    return as_text(column) if np.isinf(numbers).any() else numbers


def few(names: Sequence[str]) -> str:
    """Return up to five names as text."""
    return ", ".join(name[:80] for name in names[:5]) + (" and others" if len(names) > 5 else "")


def merged(known: list[str], more: list[str]) -> list[str]:
    """Return warnings, each once."""
    return list(dict.fromkeys([*known, *more]))
