"""Sample sheets: tab-separated tables, read with every error at once."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tessera.config import Schema, check_value, closest, did_you_mean, expectation
from tessera.errors import InputError, Problem

Cell = str | float | int | None
Row = dict[str, Cell]

_SEPARATORS = {",": "commas", ";": "semicolons", "|": "bars", " ": "spaces"}
_SIGNATURES = {b"PK\x03\x04": "a spreadsheet or zip archive", b"\x1f\x8b": "compressed by gzip"}
_LISTED = 200  # entries of a folder compared with a missing name: hundreds may be missing
_AS_TEXT = "save it as tab-separated text in UTF-8"


def read_sheet(
    path: Path | str, schema: Schema, *, key: Sequence[str], others: bool = False
) -> list[Row]:
    r"""Read a tab-separated sheet with a header and validate each cell.

    UTF-8 with or without byte-order mark, any line ending, quoted cells; blank lines and lines
    that start with ``#`` are skipped. Empty cells and ``n/a`` (BIDS) are null.

    Parameters
    ----------
    path
        The sheet.
    schema
        JSON schema of one row, as from `tessera.config.load_schema`. Beside the usual keywords a
        column may have ``x-prefix`` (dropped where a cell starts with it) and ``format: path``
        (an existing file: relative to the sheet's folder if it is there, otherwise to the
        working directory), with ``x-folder`` if a folder will do. Columns that are not
        ``required`` may be absent or null.
    key
        Columns whose values together identify a row.
    others
        Whether columns that the schema does not name, but allows (``additionalProperties``), are
        returned as well, as text.

    Returns
    -------
    list of dict
        One per row, with all columns of the schema, and then the others; paths are usable from the
        working directory.

    Raises
    ------
    InputError
        With every fault of the sheet. A place counts lines of the file from 1:
        ``row 3, column bval``.
    """
    sheet = _Sheet(str(path), schema, others)
    lines = sheet.split(_read_text(Path(path)))
    if not lines:
        raise InputError(Problem(str(path), "", "the sheet is empty", "add a header and rows"))
    (number, header), body = lines[0], lines[1:]
    sheet.read_header(number, header)
    rows = {number: sheet.read_row(number, cells) for number, cells in body}
    if not rows:
        sheet.add("", "no rows below the header", "add a row for each item")
    sheet.check_unique(rows, key)
    if sheet.problems:
        raise InputError(sheet.problems)
    return list(rows.values())


@dataclass
class _Sheet:
    """A sheet on its way from text to rows, and the problems met so far."""

    file: str
    schema: Schema
    others: bool = False
    columns: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def add(self, place: str, what: str, remedy: str) -> None:
        self.problems.append(Problem(self.file, place, what, remedy))

    def split(self, text: str) -> list[tuple[int, list[str]]]:
        """Cut the text into the cells of each line that holds any, with the line's number."""
        lines: list[tuple[int, list[str]]] = []
        for number, line in enumerate(io.StringIO(text, newline=None), start=1):
            if line.startswith("#"):
                continue
            try:
                cells = [c.strip() for c in next(csv.reader([line], "excel-tab", strict=True), [])]
            except csv.Error as error:
                remedy = "close each quotation mark in the line where it opens"
                self.add(f"row {number}", f"cannot be cut into cells ({error})", remedy)
                if not lines:  # the header: nothing below it can be read
                    raise InputError(self.problems) from None
                continue
            if any(cells):
                lines.append((number, cells))
        return lines

    def read_header(self, number: int, header: list[str]) -> None:
        """Take the columns from the header; unknown or missing ones are problems."""
        known = list(self.schema["properties"])
        self.columns = _trimmed(header, 0)
        joined = next((s for s in _SEPARATORS if s in header[0]), None)
        if len(self.columns) == 1 and joined:
            what = f"the cells are separated by {_SEPARATORS[joined]}"
            raise InputError(
                [*self.problems, Problem(self.file, "", what, "separate them by tabs")]
            )
        missing = [name for name in self.schema["required"] if name not in self.columns]
        for index, name in enumerate(self.columns):
            place = f"row {number}, column {name or index + 1}"
            if not name:
                self.add(place, "the column has no name", "name the column in the header")
            elif name in self.columns[:index]:
                self.add(place, "the column occurs twice", "remove or rename one of the two")
            elif name not in known and not self.schema.get("additionalProperties", False):
                absent = [column for column in known if column not in self.columns]
                meant = closest(name, absent)
                missing = [column for column in missing if column != meant]
                remedy = f"expected {', '.join(known)}{did_you_mean(name, absent)}"
                self.add(place, "unknown column", remedy)
        for name in missing:
            self.add(f"row {number}", f"column {name} is missing", "add it to the header and rows")

    def read_row(self, number: int, cells: list[str]) -> Row:
        """Convert and check the cells of one row."""
        cells = _trimmed(cells, len(self.columns))
        named = [*self.schema["properties"], *(self.columns if self.others else [])]
        row: Row = dict.fromkeys(named)
        if len(cells) != len(self.columns):
            what = f"found {len(cells)} cells where the header has {len(self.columns)}"
            self.add(f"row {number}", what, "separate all cells by one tab, empty ones as well")
            return row
        for name, text in zip(self.columns, cells, strict=True):
            if name in row:
                row[name] = self.read_cell(f"row {number}, column {name}", name, text)
        return row

    def read_cell(self, place: str, name: str, text: str) -> Cell:
        column = self.schema["properties"].get(name, {"type": "string"})
        if not text or text.casefold() == "n/a":
            if name in self.schema["required"]:
                what = f"found {text}" if text else "the cell is empty"
                self.add(place, what, f"expected {expectation(column)}")
            return None
        if not text.isprintable():
            self.add(place, f"found {text!r} with an invisible character", "type the cell anew")
            return None
        value, problems = check_value(
            text.removeprefix(column.get("x-prefix", "")), column, file=self.file, place=place
        )
        self.problems += problems
        if problems:
            return None
        if column.get("format") == "path":
            return self.find_file(place, value, folder=column.get("x-folder", False))
        return value

    def find_file(self, place: str, text: str, *, folder: bool) -> str | None:
        beside = Path(self.file).parent / text
        path = beside if _exists(beside) else Path(text)
        if set("{}<>") & set(str(path)):
            remedy = "rename it, for these mark placeholders in paths"
            self.add(place, f"{str(path)!r} holds one of {{ }} < >", remedy)
        elif not _exists(path):
            self.add(place, f"file {text!r} does not exist", _remedy_for_missing(beside, path))
        elif path.is_dir() and not folder:
            self.add(place, f"{str(path)!r} is a folder", "name a file in it")
        else:
            return str(path)
        return None

    def check_unique(self, rows: dict[int, Row], key: Sequence[str]) -> None:
        first: dict[tuple[Cell, ...], int] = {}
        for number, row in rows.items():
            values = tuple(row[name] for name in key)
            if any(row[name] is None for name in key if name in self.schema["required"]):
                continue  # a problem already
            if values in first:
                pairs = zip(key, values, strict=True)
                shown = ", ".join(f"{name} {value}" for name, value in pairs if value is not None)
                remedy = f"each row needs its own {' and '.join(key)}"
                self.add(f"row {number}", f"{shown} is already in row {first[values]}", remedy)
            else:
                first[values] = number


def _read_text(path: Path) -> str:
    def refuse(what: str, remedy: str, place: str = "") -> InputError:
        return InputError(Problem(str(path), place, what, remedy))

    if not _exists(path):
        raise refuse("the sheet does not exist", _remedy_for_missing(path))
    if path.is_dir():
        raise refuse("is a folder", "name the sheet in it")
    try:
        with path.open("rb") as stream:
            start = stream.read(4096)
            for signature, kind in _SIGNATURES.items():
                if start.startswith(signature):
                    raise refuse(f"is {kind}, not text", _AS_TEXT)
            if b"\0" in start:
                raise refuse("is binary or not in UTF-8", _AS_TEXT)
            content = start + stream.read()
    except OSError as error:
        raise refuse(f"cannot be read ({error.strerror})", "check its permissions") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise refuse("holds a character that is not in UTF-8", _AS_TEXT, f"row {number}") from None


def _remedy_for_missing(*candidates: Path) -> str:
    """Say what to do about a file that is at none of the places where it was sought."""
    if any(path.parts[:1] == ("toy",) for path in candidates):
        return "run `snakemake toy` first, which makes the toy data"
    for path in candidates:
        with contextlib.suppress(OSError):
            names = [entry.name for entry in itertools.islice(path.parent.iterdir(), _LISTED)]
            if match := closest(path.name, names):
                return f"correct the path (did you mean {path.parent / match}?)"
    folders = dict.fromkeys(str(path.parent) for path in candidates)
    places = ["the working directory" if folder == "." else folder for folder in folders]
    return f"correct the path (sought in {' and in '.join(places)})"


def _exists(path: Path) -> bool:
    """Tell whether a path exists; one that cannot be looked up (too long, say) does not."""
    try:
        return path.exists()
    except OSError:
        return False


def _trimmed(cells: list[str], width: int) -> list[str]:
    """Drop empty cells at the end of a line that go beyond the given width."""
    while len(cells) > width and not cells[-1]:
        cells = cells[:-1]
    return cells
