"""Tables of traits and covariates, and lists of individuals, in the formats of REGENIE.

A table has a header ``FID IID NAME...`` and a row per individual, with cells separated by tabs, or
by tabs and blanks at will (https://rgcgithub.github.io/regenie/options). Rows in messages are lines
of the file, from 1.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tessera.config import did_you_mean
from tessera.errors import InputError, Problem, told
from tessera.plink_tables import unreadable

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

TOLD = 10  # faults of a kind that are told one by one

_MISSING = {"", ".", "na", "nan", "n/a"}  # in any case; -9 is a number, as for REGENIE
_SPELLINGS = sorted(
    {"".join(s) for word in _MISSING for s in itertools.product(*({c, c.upper()} for c in word))}
)
_SEPARATORS = {",": "commas", ";": "semicolons"}
_UNPACKED, _RATIO = 1 << 30, 100  # a .gz unpacks to so many bytes, or times its size, at most


@dataclass(frozen=True)
class Faults:
    """Cells of one column that are neither a finite number nor missing.

    Attributes
    ----------
    count
        How many.
    first
        Line of the file and text of the first 10.
    """

    count: int
    first: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Table:
    """Numbers of n individuals.

    Attributes
    ----------
    file
        The file as the user named it.
    ids
        ``fid`` (no such column if the file has none) and ``iid``, both str.
    names
        Names of the c columns.
    values
        ``(c, n)`` float64, NaN where missing (``NA``, ``NaN``, ``n/a`` and ``.`` in any case, or
        empty between tabs) or faulty.
    faults
        Column to its cells that are no finite numbers, where there are any.
    """

    file: str
    ids: pd.DataFrame
    names: tuple[str, ...]
    values: Floats
    faults: dict[str, Faults]


def read_table(path: str, chosen: Sequence[str] | None = None) -> Table:
    """Read a table of traits or covariates.

    Parameters
    ----------
    path
        The table, which may be compressed by gzip.
    chosen
        Names of the columns to read, in this order, as ``wgr.traits`` gives them; all if None.

    Raises
    ------
    InputError
        With every fault of the file, the first 10 of a kind: it is missing, empty, not in UTF-8,
        without header or rows, or separated by commas; a column occurs twice, a chosen one does
        not exist, a row has a wrong number of cells, an individual no id or two rows. Cells that
        are no numbers are left to the caller, in `Table.faults`.
    """
    text = _Text(path)
    keys = _keys(text.names)
    given = text.names[len(keys) :]
    wanted = given if chosen is None else list(dict.fromkeys(chosen))
    problems = []
    for name in dict.fromkeys(name for name in given if text.names.count(name) > 1):
        what, remedy = f"column {name} occurs twice", "remove or rename one of the two"
        problems.append(Problem(path, "header", what, remedy))
    known = f"expected one of {', '.join(given[:20])}{' and others' if given[20:] else ''}"
    for name in wanted:
        if name not in given:
            what, remedy = "has no column {}, which wgr.traits names", did_you_mean(name, given)
            problems.append(Problem(path, "header", what.format(name), known + remedy))
    problems += text.keep_whole_rows()
    if not len(text.lines):
        raise InputError(problems)
    first, at = range(len(keys)), [text.names.index(name) for name in wanted if name in given]
    frame = text.read(
        [*first, *at], dtype=dict.fromkeys(first, str), na_values=dict.fromkeys(at, _SPELLINGS)
    )
    ids = frame[list(first)].set_axis(keys, axis=1)
    if text.tabs:
        ids = ids.apply(lambda column: column.str.strip())
    problems += _check_ids(path, ids, text.lines)
    if problems:
        raise InputError(problems)
    values, faults = _numbers(text, frame, at)
    return Table(path, ids, tuple(wanted), values, faults)


def column_names(path: str) -> list[str]:
    """Return the names of the columns of a table, beside the ids, from its first line alone.

    None where there is no such header, which `read_table` tells of.
    """
    try:
        with Path(path).open("rb") as stream:
            packed = stream.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else Path(path).open("rb") as stream:
            header = stream.readline().decode("utf-8-sig").split()
    except (OSError, EOFError, UnicodeDecodeError, zlib.error):
        return []
    return header[len(_keys(header)) :] if header and _keys(header) else []


def read_ids(path: str) -> pd.DataFrame:
    """Read a list of individuals: ``FID IID`` or a single id per line, with or without a header.

    Parameters
    ----------
    path
        The list, which may be compressed by gzip. Cells after FID and IID are not looked at.

    Returns
    -------
    DataFrame
        A row per line: ``fid`` (no such column where lines hold one id) and ``iid``, both str.

    Raises
    ------
    InputError
        The file is missing, empty, not in UTF-8 or separated by commas, or lines have one id where
        others have two; the first 10 of these.
    """
    rows = {
        number: [cell.decode() for cell in cells[:2]]
        for number, line in enumerate(_read(path).split(b"\n"), start=1)
        if (cells := line.split(maxsplit=2))
    }
    start = next(iter(rows))
    _refuse_separators(path, start, rows[start])
    if keys := _keys(rows[start]):
        del rows[start]
    if not rows:
        what, remedy = "names nobody", "list individuals in it, or take it out of the config"
        raise InputError(Problem(path, "", what, remedy))
    keys = keys or ["fid", "iid"][-len(rows[start]) :]
    wrong = [number for number, cells in rows.items() if len(cells) != len(keys)]
    if wrong:
        what = "holds one id where others hold FID and IID"
        if len(keys) == 1:
            what = "holds more than the one id that others hold"
        remedy = "write FID and IID in all rows, or IID alone in all"
        raise InputError(told(path, wrong, lambda n: (f"row {wrong[n]}", what), remedy))
    return pd.DataFrame(list(rows.values()), columns=keys, dtype=str)


class _Text:
    """The text of a table on its way into columns.

    Attributes
    ----------
    names
        The cells of the header.
    tabs
        Whether tabs alone separate, so that cells may be empty: only where the header and the row
        below it leave no doubt.
    content
        Header and rows.
    lines
        ``(n,)`` int64: line of the file of each row.
    """

    def __init__(self, path: str) -> None:
        self.path, self.content = path, _read(path)
        rows = (line for line in io.BytesIO(self.content) if line.strip())
        header, below = next(rows), next(rows, b"")
        self.names = [name.decode() for name in header.split()]
        self.tabs = b"\t" in below and header.strip(b"\n").split(b"\t") == header.split()
        self.lines = np.empty(0, np.int64)
        _refuse_separators(path, 1, self.names)
        keys, remedy = _keys(self.names), "name the columns FID IID NAME... in the first line"
        if b'"' in header:
            what, remedy = "the cells are in quotes", "write it without them (R: quote = FALSE)"
        elif not keys:
            what = f"no header: it starts with {' '.join(self.names[:2])[:40]}"
        elif len(keys) == len(self.names):
            what, remedy = "no columns but those of the ids", "add columns of numbers"
        elif not below:
            what, remedy = "no rows below the header", "add a row for each individual"
        else:
            return
        raise InputError(Problem(path, "", what, remedy))

    def keep_whole_rows(self) -> list[Problem]:
        """Leave out blank lines and rows with a wrong number of cells; return these."""
        right = len(self.names)

        def width(line: bytes) -> int:
            return (
                (line.count(b"\t") + 1 if self.tabs else len(line.split())) if line.strip() else 0
            )

        widths = np.fromiter(map(width, io.BytesIO(self.content)), np.int64)
        if (widths != right).any():
            kept = zip(io.BytesIO(self.content), widths, strict=True)
            self.content = b"".join(line for line, found in kept if found == right)
        self.lines = np.flatnonzero(widths == right)[1:] + 1
        wrong = np.flatnonzero((widths != right) & (widths > 0))
        remedy = (
            "separate all cells by one tab" if self.tabs else "write NA where there is no value"
        )
        return told(
            self.path,
            wrong,
            lambda n: (
                f"row {wrong[n] + 1}",
                f"found {widths[wrong[n]]} cells where the header has {right}",
            ),
            remedy,
        )

    def read(self, columns: Sequence[int], **options: Any) -> pd.DataFrame:
        """Read columns, under their numbers and in their order."""
        try:
            frame = pd.read_csv(
                io.BytesIO(self.content),
                sep="\t" if self.tabs else r"\s+",
                header=None,
                skiprows=1,
                names=range(len(self.names)),
                usecols=list(columns),
                index_col=False,
                quoting=csv.QUOTE_NONE,
                keep_default_na=False,
                skip_blank_lines=False,
                low_memory=False,
                float_precision="round_trip",
                **options,
            )
            if len(frame) != len(self.lines):
                raise ValueError("rows are missing")
        except ValueError:  # pandas' own errors among them
            what = f"cannot be read as {len(self.lines)} rows of {len(self.names)} cells"
            remedy = "write it anew, as plain text"
            raise InputError(Problem(self.path, "", what, remedy)) from None
        return frame[list(columns)]


def _numbers(
    text: _Text, frame: pd.DataFrame, columns: Sequence[int]
) -> tuple[Floats, dict[str, Faults]]:
    """Return columns as numbers; those that hold anything else are read anew, as text."""
    values = np.full((len(columns), len(text.lines)), np.inf)
    for row, column in zip(values, columns, strict=True):
        if frame[column].dtype.kind in "iuf":
            row[:] = frame[column]
    slow = [n for n, row in enumerate(values) if np.isinf(row).any()]
    faults = {}
    if slow:
        cells = text.read([columns[n] for n in slow], dtype=str, na_filter=False)
        for n in slow:
            found = cells.pop(columns[n]).tolist()
            values[n] = [_number(cell) for cell in found]
            if len(bad := np.flatnonzero(np.isinf(values[n]))):
                first = tuple((int(text.lines[i]), found[i].strip()[:40]) for i in bad[:TOLD])
                faults[text.names[columns[n]]] = Faults(len(bad), first)
                values[n, bad] = np.nan
    return values, faults


def _number(cell: str) -> float:
    """Return a number, NaN for a missing one, and infinity for what is no finite number."""
    cell = cell.strip()
    if cell.casefold() in _MISSING:
        return math.nan
    try:
        return float(cell) if cell.isascii() and "_" not in cell else math.inf
    except ValueError:
        return math.inf


def _keys(names: Sequence[str]) -> list[str]:
    """Tell which of the first two columns are which id; neither if this is no header."""
    keys = [name.lstrip("#").casefold() for name in names[:2]]
    return keys if set(keys) == {"fid", "iid"} else keys[:1] if keys[0] == "iid" else []


def _check_ids(path: str, ids: pd.DataFrame, lines: Ints) -> list[Problem]:
    """Look for individuals without an id, or with two rows."""
    empty = np.flatnonzero((ids == "").any(axis=1))
    problems = told(path, empty, lambda n: (f"row {lines[empty[n]]}", "no id"), "fill it in")
    again = np.flatnonzero(ids.duplicated() & ~(ids == "").any(axis=1))

    def tell(n: int) -> tuple[str, str]:
        individual = ids.iloc[again[n]]
        earlier = lines[np.flatnonzero((ids == individual).all(axis=1))[0]]
        who = ", ".join(f"{key.upper()} {individual[key]}" for key in ids)
        return f"row {lines[again[n]]}", f"{who} is already in row {earlier}"

    return problems + told(path, again, tell, "keep one row of each individual")


def _refuse_separators(path: str, number: int, cells: Sequence[str]) -> None:
    for mark, name in _SEPARATORS.items():
        if mark in cells[0]:
            what, remedy = f"the cells are separated by {name}", "separate them by tabs or blanks"
            raise InputError(Problem(path, f"row {number}", what, remedy))


def _read(path: str) -> bytes:
    """Return the text of a file, unpacked, in UTF-8, with lines that end in line feeds."""

    def refuse(what: str, remedy: str, place: str = "") -> InputError:
        return InputError(Problem(path, place, what, remedy))

    try:
        content = Path(path).read_bytes()
        if content.startswith(b"\x1f\x8b"):
            most = max(_UNPACKED, _RATIO * len(content))
            with gzip.open(io.BytesIO(content)) as stream:
                content = stream.read(most + 1)
            if len(content) > most:
                raise refuse(
                    f"unpacks to more than {most} bytes", "unpack it and name what is inside"
                )
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise refuse(f"cannot be unpacked ({error})", "copy or compress it again") from None
    except OSError as error:
        raise unreadable(path, error) from None
    content = content.removeprefix(b"\xef\xbb\xbf")
    if b"\0" in content:
        raise refuse("is binary or not in UTF-8", "save it as text in UTF-8")
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        content.isascii() or content.decode()
    except UnicodeDecodeError as error:
        row = f"row {content.count(bytes([10]), 0, error.start) + 1}"
        what = "holds a character that is not in UTF-8"
        raise refuse(what, "save the file as text in UTF-8", row) from None
    if not content.strip():
        raise refuse("the file is empty", "name the file that was meant")
    return content
