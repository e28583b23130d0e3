"""A matrix as text: a row for each cell, a column for each gene, separated by commas or tabs.

The file is read a few megabytes at a time, and rows of any length may end anywhere. Rows in
messages are lines of the file, from 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from tessera.cells import text_scan
from tessera.cells.chunks import Chunk
from tessera.cells.faults import FINITE, RAGGED, check_names, check_unique, invisible, shown, told
from tessera.cells.metadata import Metadata, cell_table
from tessera.cells.metadata_columns import merged
from tessera.cells.streams import Bytes, reading, table_stream, unquoted
from tessera.cells.walk import WRONG, Walk
from tessera.errors import InputError, Problem

_LINE = 4 << 20  # bytes of a line that are looked at together
_LONGEST = 1 << 20  # bytes of a single cell of the table
_ROWS = 1 << 16  # rows that begin in a block


class TextMatrix:
    """A CSV or TSV of cells and genes; see `tessera.cells.chunks.Source`.

    Parameters
    ----------
    source
        The matrix.
    metadata
        Rows of cells; None if there are none.

    Raises
    ------
    InputError
        The file is not such a table, has no genes or no cells, or genes without a name.
    """

    ordered = True
    n_cells: int | None = None

    def __init__(self, source: Bytes, metadata: Metadata | None) -> None:
        self.file, self._source, self._metadata = source.name, source, metadata
        self.warnings: list[str] = []
        header, _, stream = table_stream(source)
        with stream, reading(self.file):
            below = any(line.strip() for line in iter(lambda: stream.readline(_LINE), b""))
        self.genes = header[1:]
        if not self.genes:
            what = "the header names no genes"
            remedy = "write a row for each cell and a column for each gene, separated by commas"
            raise InputError(Problem(self.file, "row 1", what, f"{remedy} or tabs"))
        problems = check_names(self.file, lambda n: f"row 1, column {n + 2}", self.genes, "gene")
        if not below:
            what, remedy = "no rows below the header", "add a row for each cell"
            problems.append(Problem(self.file, "", what, remedy))
        if problems:
            raise InputError(problems)
        self._names: list[str] = []

    def chunks(self, most: int) -> Iterator[Chunk]:
        """Go through the values that are not zero; see `tessera.cells.chunks.Source`."""
        _, separator, stream = table_stream(self._source)
        walk = _Walk(self.file, self.genes, separator, most)
        self._names = walk.names
        with stream:
            yield from walk.chunks(stream)

    def table(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return the cells with their metadata; see `tessera.cells.chunks.Source`."""
        names = [name for name in self._names if name]  # those without are faults of `chunks`
        frame, odd = cell_table(self.file, names, self._metadata, columns)
        self.warnings = merged(self.warnings, odd)
        return frame


class _Walk(Walk):
    """A pass over a matrix.

    Attributes
    ----------
    names
        Of the cells met so far.
    """

    def __init__(self, file: str, genes: list[str], separator: str, most: int) -> None:
        super().__init__(file, 2, most, _LONGEST, "a cell of the table", 2)
        self.state[text_scan.COLUMN] = -1
        self._genes, self._separator = genes, ord(separator)
        self._found = np.empty((_ROWS, 3), np.int64)
        self.names: list[str] = []
        self._lines: list[npt.NDArray[np.int64]] = []
        self._nameless: list[tuple[int, str]] = []

    def scan(self, block: npt.NDArray[np.uint8]) -> bool:
        more = text_scan.scan(
            block,
            self._separator,
            len(self._genes),
            self.state,
            *self.out,
            self.rare,
            self._found,
            self.wrong,
        )
        return bool(more)

    def digest(self, text: bytes) -> None:
        """Take the names of the cells whose rows begin in the block."""
        found = self._found[: self.state[text_scan.NAMES]]
        if not len(found):
            return
        self.state[text_scan.NAMES] = 0
        self._lines.append(found[:, 2].copy())
        lines = text_scan.joined(np.frombuffer(text, np.uint8), found).tobytes()[:-1]
        if b'"' not in lines:
            try:
                names = lines.decode().split("\n")
            except UnicodeDecodeError:
                names = [""]
            if all(names) and not invisible("".join(names)):
                self.names += names
                return
        for raw, line in zip(lines.split(b"\n"), found[:, 2].tolist(), strict=True):
            name, fault = _name(raw)
            self.names.append(name)
            if fault:
                self._nameless.append((line, fault))

    def faults(self) -> int:
        return len(self.bad) + len(self._nameless) + int(self.state[WRONG])

    def problems(self) -> list[Problem]:
        wrong, right = self.wrong[: self.state[WRONG]].tolist(), len(self._genes) + 1
        nameless = self._nameless
        empty = [(line, column) for line, column, found in self.bad if not found]
        bad = [(line, column, found) for line, column, found in self.bad if found]
        lines = np.concatenate([*self._lines, np.empty(0, np.int64)])

        def cell(line: int, column: int) -> str:
            return f"row {line}, column {self._genes[column]}"

        def tell_wrong(n: int) -> tuple[str, str]:
            line, found = wrong[n]
            return f"row {line}", f"found {found} cells where the header has {right}"

        def tell_nameless(n: int) -> tuple[str, str]:
            return f"row {nameless[n][0]}", nameless[n][1]

        def tell_empty(n: int) -> tuple[str, str]:
            return cell(*empty[n]), "the value is missing"

        def tell_bad(n: int) -> tuple[str, str]:
            line, column, found = bad[n]
            return cell(line, column), f"found {found}"

        problems = []
        for faults, tell, remedy in (
            (wrong, tell_wrong, RAGGED),
            (nameless, tell_nameless, "write the name of each cell first, as text in UTF-8"),
            (empty, tell_empty, "write 0 where nothing was counted"),
            (bad, tell_bad, FINITE),
        ):
            problems += told(self.file, faults, tell, remedy, least=self.enough)
        return problems + check_unique(self.file, lambda n: f"row {lines[n]}", self.names)


def _name(raw: bytes) -> tuple[str, str]:
    """Return the name of a cell, empty if there is none, and what is wrong about it."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return "", "holds a character that is not in UTF-8"
    name = unquoted(text)
    if name == text and text.startswith('"'):
        return "", "a quotation mark is not closed in its line"
    if invisible(name):
        return "", f"the name of the cell, {shown(name)}, holds an invisible character"
    return name, "" if name else "the cell has no name"
