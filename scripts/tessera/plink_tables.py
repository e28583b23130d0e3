"""The text files of PLINK filesets: variants (``.bim``, ``.pvar``), people (``.fam``, ``.psam``).

Columns are separated by tabs or blanks. A header is the last of the leading lines that start with
``#``; without one the columns are those of PLINK 1
(https://www.cog-genomics.org/plink/2.0/formats). Rows in messages are lines of the file, from 1.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from tessera.errors import InputError, Problem

# The columns of files without a header, under the names they have in PLINK 2.
VARIANTS = ("CHROM", "ID", "CM", "POS", "ALT", "REF")
SAMPLES = ("FID", "IID", "PAT", "MAT", "SEX", "PHENO1")

_TOLD = 20  # bad rows that are told one by one
_CHUNK = 100_000  # rows held at a time with the columns that are not wanted
_INTEGERS = np.iinfo(np.int64)


@dataclass(frozen=True)
class Table:
    """A text file of a fileset, before its rows are read.

    Attributes
    ----------
    file
        Its path.
    columns
        Names of the columns, without ``#``.
    skip
        Lines before the first row.
    rows
        Rows, without blank lines at the end.
    """

    file: str
    columns: tuple[str, ...]
    skip: int
    rows: int

    def lines(self) -> Iterator[bytes]:
        """Go through the rows as they are stored."""
        with Path(self.file).open("rb") as stream:
            yield from islice(stream, self.skip, self.skip + self.rows)


def open_table(file: str, default: tuple[str, ...]) -> Table:
    """Read the header of a table and count its rows.

    Parameters
    ----------
    file
        The table.
    default
        `VARIANTS` or `SAMPLES`: the columns if there is no header, some of which a header must
        have. People may have more phenotypes than one.

    Raises
    ------
    InputError
        The file is missing, unreadable, empty, or its header lacks a column.
    """
    try:
        with Path(file).open("rb") as stream:
            skip, header, line = 0, b"", stream.readline()
            while line.startswith(b"#"):
                skip, header, line = skip + 1, line, stream.readline()
        rows = count_lines(file) - skip
    except OSError as error:
        raise unreadable(file, error) from None
    if rows < 1:
        whom = "variants" if default is VARIANTS else "individuals"
        raise InputError(Problem(file, "", f"holds no {whom}", "export the fileset again"))
    if not header:
        more = len(line.split()) - len(default) if default is SAMPLES else 0
        return Table(file, default + tuple(f"PHENO{n + 2}" for n in range(more)), skip, rows)
    columns = tuple(header.decode("utf-8", "replace").lstrip("#").split())
    needed = ("CHROM", "POS", "ID", "REF", "ALT") if default is VARIANTS else ("IID",)
    missing = [name for name in needed if name not in columns]
    if missing:
        what = f"the header has no {' and no '.join(missing)}"
        remedy = f"name the columns in the last line that starts with #: #{' '.join(needed)}"
        raise InputError(Problem(file, f"row {skip}", what, remedy))
    return Table(file, columns, skip, rows)


def read_columns(table: Table, names: dict[str, str], *, integer: str = "") -> pd.DataFrame:
    """Read some columns of a table.

    Parameters
    ----------
    table
        The table.
    names
        Column of the answer to column of the table.
    integer
        The column of the table whose numbers are read as int64; all others are str.

    Raises
    ------
    InputError
        With the first 20 bad rows and how many more: of the wrong width, without an integer, or
        not in UTF-8.
    """
    width = len(table.columns)
    parts = []
    try:
        with Path(table.file).open(encoding="utf-8", newline="") as stream:
            for _ in range(table.skip):
                stream.readline()
            with warnings.catch_warnings():
                # What pandas warns of, a first row that is too wide, is an error below.
                warnings.simplefilter("ignore", pd.errors.ParserWarning)
                chunks = pd.read_csv(
                    stream,
                    sep=r"\s+",
                    header=None,
                    names=range(width + 1),  # one more, which takes what is too much in a row
                    index_col=False,
                    dtype=str,
                    na_filter=False,
                    quoting=csv.QUOTE_NONE,
                    skip_blank_lines=False,
                    nrows=table.rows,
                    chunksize=_CHUNK,
                )
                for chunk in chunks:
                    if (chunk[width - 1] == "").any() or (chunk[width] != "").any():
                        raise ValueError("a row is too short or too long")
                    columns = {new: chunk[table.columns.index(old)] for new, old in names.items()}
                    part = pd.DataFrame(columns)
                    for new in (new for new, old in names.items() if old == integer):
                        part[new] = part[new].astype(np.int64)
                    parts.append(part)
        if sum(len(part) for part in parts) != table.rows:
            raise ValueError("rows are missing")
    except OSError as error:
        raise unreadable(table.file, error) from None
    except (ValueError, OverflowError):  # pandas' own errors are ValueErrors
        raise InputError(_bad_rows(table, integer)) from None
    return pd.concat(parts, ignore_index=True)


def unreadable(file: str, error: OSError) -> InputError:
    """Tell that a file is missing or cannot be read."""
    if not isinstance(error, FileNotFoundError):
        what = f"cannot be read ({error.strerror or error})"
        return InputError(Problem(file, "", what, "check that it is a readable file"))
    if file.endswith(".pvar") and Path(f"{file}.zst").exists():
        what = "is compressed by zstd, which is not read here"
        remedy = f"decompress it: plink2 --zst-decompress {file}.zst {file}"
        return InputError(Problem(f"{file}.zst", "", what, remedy))
    return InputError(Problem(file, "", "the file does not exist", remedy_for_missing(file)))


def remedy_for_missing(file: str) -> str:
    """Say what to do about a file that does not exist."""
    if Path(file).parts[:1] == ("toy",):
        return "run `snakemake toy` first, which makes the toy data"
    return "correct the path or provide the file"


def count_lines(file: str) -> int:
    """Count lines up to the last one that is not blank."""
    count = seen = 0
    with Path(file).open("rb") as stream:
        while chunk := stream.read(1 << 20):
            if text := chunk.rstrip():
                count = seen + text.count(b"\n") + 1
            seen += chunk.count(b"\n")
    return count


def _bad_rows(table: Table, integer: str) -> list[Problem]:
    """Look for what is wrong in a table that could not be read: row by row, slower."""
    problems: list[Problem] = []
    bad, width = 0, len(table.columns)
    for number, line in enumerate(table.lines(), start=table.skip + 1):
        if fault := _fault(line, width, table.columns.index(integer) if integer else -1):
            bad += 1
            if bad <= _TOLD:
                problems.append(Problem(table.file, f"row {number}", *fault))
    if bad > _TOLD:
        more = f"{bad - _TOLD} more bad rows"
        problems.append(Problem(table.file, "", more, "correct them in the same way"))
    if not bad:
        what = f"cannot be read as {table.rows} rows of {width} columns"
        problems.append(Problem(table.file, "", what, "export the fileset again"))
    return problems


def _fault(line: bytes, width: int, integer: int) -> tuple[str, str] | None:
    """Tell what is wrong with a row, if anything, and what to do about it."""
    fields = line.split()
    if len(fields) != width:
        remedy = "separate the columns by tabs, and leave none empty"
        return f"found {len(fields)} columns where {width} are expected", remedy
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return "holds a character that is not in UTF-8", "save the file as text in UTF-8"
    if integer >= 0:
        found = fields[integer].decode("utf-8")
        try:
            if not _INTEGERS.min <= int(found) <= _INTEGERS.max:
                raise ValueError("beyond 64 bits")
        except ValueError:
            return f"found {found[:40]} as the position", "expected an integer, in base pairs"
    return None
