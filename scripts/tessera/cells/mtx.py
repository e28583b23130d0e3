"""The three files of 10x Genomics: a sparse matrix of genes x cells, and the names of both.

The matrix is in the coordinate format of Matrix Market (https://math.nist.gov/MatrixMarket/formats.html):
lines of gene, cell and value, numbered from 1. Rows in messages are lines of the file, from 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pandas as pd

from tessera.cells import mtx_scan
from tessera.cells.chunks import Chunk
from tessera.cells.faults import FINITE, check_names, check_unique, shown, told
from tessera.cells.metadata import Metadata, cell_table
from tessera.cells.metadata_columns import merged
from tessera.cells.streams import PlainFile, reading, unquoted
from tessera.cells.walk import WRONG, Walk
from tessera.errors import InputError, Problem

_LONGEST = 1 << 16  # bytes of a line
_NAMES = 1 << 20  # bytes of a line of names
_FIELDS = ("integer", "real", "double", "pattern")
_LARGEST = 2**31 - 1


class MtxMatrix:
    """A matrix of Matrix Market with its siblings; see `tessera.cells.chunks.Source`.

    Parameters
    ----------
    path
        The folder, or the ``matrix.mtx`` or ``matrix.mtx.gz`` in it.
    metadata
        Rows of cells; None if there are none.

    Raises
    ------
    InputError
        A file is missing or there twice, the matrix is of another form, or its size is not that
        of the names.
    """

    ordered = True  # as 10x writes it; who meets a cell that is not has to begin again

    def __init__(self, path: str, metadata: Metadata | None) -> None:
        matrix, barcodes, features = find_files(path)
        self.file, self._metadata = matrix, metadata
        self.warnings: list[str] = []
        size, self._pattern, _, stream = open_matrix(matrix)
        stream.close()
        self.nnz = size[2]
        self.genes = _read_names(features, "gene", 1)
        self.names = _read_names(barcodes, "cell", 0)
        self.n_cells: int | None = len(self.names)
        problems = []
        turned = size[:2] == (len(self.names), len(self.genes)) and size[0] != size[1]
        for count, names, file, of in (
            (size[0], self.genes, features, "genes"),
            (size[1], self.names, barcodes, "cells"),
        ):
            if count != len(names):
                what = f"has {count} {of} where {file} names {len(names)}"
                remedy = "name the three files that were written together"
                if turned:
                    remedy = "write the matrix as genes x cells, as 10x does"
                problems.append(Problem(self.file, "size", what, remedy))
        problems += check_unique(barcodes, lambda n: f"row {n + 1}", self.names)
        if problems:
            raise InputError(problems)

    def chunks(self, most: int) -> Iterator[Chunk]:
        """Go through the values that are not zero; see `tessera.cells.chunks.Source`."""
        size, _, line, stream = open_matrix(self.file)
        walk = _Walk(self.file, line, size, self._pattern, most)
        with stream:
            yield from walk.chunks(stream)

    def table(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return the cells with their metadata; see `tessera.cells.chunks.Source`."""
        frame, odd = cell_table(self.file, self.names, self._metadata, columns)
        self.warnings = merged(self.warnings, odd)
        return frame


def find_files(path: str) -> tuple[str, str, str]:
    """Return the paths of the matrix, the names of its cells and those of its genes.

    Raises
    ------
    InputError
        One is missing, or there both compressed and not.
    """
    given = Path(path)
    problems: list[Problem] = []

    def find(folder: Path, *names: str) -> str:
        choices = [folder / f"{name}{end}" for name in names for end in ("", ".gz")]
        there = [choice for choice in choices if choice.is_file()]
        if not there:
            what, remedy = f"has no {names[0]} or {names[0]}.gz", "put it there"
            problems.append(Problem(str(folder), "", what, f"{remedy}, as 10x names it"))
        if len(there) > 1:
            what = f"has both {there[0].name} and {there[1].name}"
            problems.append(Problem(str(folder), "", what, "leave one of them there"))
        return str(there[0]) if there else ""

    folder, prefix = (given, "") if given.is_dir() else (given.parent, "")
    if given.is_dir():
        matrix = find(folder, "matrix.mtx")
    else:
        matrix = path
        prefix = re.sub(r"matrix\.mtx(\.gz)?$", "", given.name)
        prefix = "" if prefix == given.name else prefix
    barcodes = find(folder, f"{prefix}barcodes.tsv")
    features = find(folder, f"{prefix}features.tsv", f"{prefix}genes.tsv")
    if problems:
        raise InputError(problems)
    return matrix, barcodes, features


def open_matrix(file: str) -> tuple[tuple[int, int, int], bool, int, BinaryIO]:
    """Read the header of a matrix.

    Returns
    -------
    size : (int, int, int)
        Genes, cells and entries.
    pattern : bool
        Whether entries have no values, but are 1 by being there.
    line : int
        Number of the line below the header.
    stream : BinaryIO
        What stands there.

    Raises
    ------
    InputError
        It is no matrix of this form.
    """

    def refuse(place: str, what: str, remedy: str) -> InputError:
        stream.close()
        return InputError(Problem(file, place, what, remedy))

    with reading(file):
        stream = PlainFile(file).open()
        line = stream.readline(_LONGEST)
    words = line.decode("ascii", "replace").casefold().split()
    if not line:
        raise refuse("", "the file is empty", "name the file that was meant")
    if words[:1] != ["%%matrixmarket"] or len(words) != 5:
        what = "does not begin with %%MatrixMarket matrix coordinate integer general"
        raise refuse("row 1", what, "name a matrix.mtx as 10x writes it")
    if words[1:3] != ["matrix", "coordinate"] or words[4] != "general" or words[3] not in _FIELDS:
        remedy = "expected matrix coordinate integer, real or pattern general"
        raise refuse("row 1", f"found {shown(' '.join(words[1:]))}", remedy)
    number = 1
    while True:
        with reading(file):
            line = stream.readline(_LONGEST)
        number += 1
        if line.strip() and not line.startswith(b"%"):
            break
        if not line:
            raise refuse("", "ends before the size of the matrix", "copy or export it again")
    found = line.decode("ascii", "replace").split()
    if len(found) != 3 or not all(re.fullmatch("[0-9]{1,18}", word) for word in found):
        raise refuse(
            f"row {number}",
            f"found {shown(' '.join(found))}",
            "expected numbers of genes, cells, entries",
        )
    genes, cells, entries = map(int, found)
    for count, of in ((genes, "genes"), (cells, "cells")):
        if not 0 < count <= _LARGEST:
            remedy = f"expected from 1 to {_LARGEST}"
            raise refuse(f"row {number}", f"has {count} {of}", remedy)
    return (genes, cells, entries), words[3] == "pattern", number + 1, stream


def _read_names(file: str, of: str, column: int) -> list[str]:
    """Return one column of a file of names, the first where a row has no other."""
    names = []
    with reading(file):
        stream = PlainFile(file).open()
    with stream, reading(file):
        for row, line in enumerate(iter(lambda: stream.readline(_NAMES), b""), start=1):
            try:
                text = line.decode("utf-8-sig" if row == 1 else "utf-8")
            except UnicodeDecodeError:
                what, remedy = "holds a character that is not in UTF-8", "save it as text in UTF-8"
                raise InputError(Problem(file, f"row {row}", what, remedy)) from None
            cells = text.rstrip("\r\n").split("\t")
            names.append(unquoted(cells[column] if len(cells) > column else cells[0]))
    while names and not names[-1]:
        names.pop()
    problems = check_names(file, lambda n: f"row {n + 1}", names, of)
    if problems:
        raise InputError(problems)
    return names


class _Walk(Walk):
    """A pass over the entries."""

    def __init__(
        self, file: str, line: int, size: tuple[int, int, int], pattern: bool, most: int
    ) -> None:
        super().__init__(file, line, most, _LONGEST, "a line", 4)
        self._size, self._pattern = size, pattern
        self._odd: list[tuple[int, str]] = []

    def scan(self, block: npt.NDArray[np.uint8]) -> bool:
        size = self._size[:2]
        return bool(
            mtx_scan.scan(block, *size, self._pattern, self.state, *self.out, self.rare, self.wrong)
        )

    def digest(self, text: bytes) -> None:
        """Take the text of lines that are wrong."""
        genes, cells, _ = self._size
        for start, stop, line, fault in self.wrong[: self.state[WRONG]].tolist():
            found = text[start:stop].decode(errors="replace").strip()
            what = f"found {shown(found)}"
            if fault == mtx_scan.NO_GENE:
                what = f"gene {found.split()[0]} is not within 1 and {genes}"
            elif fault == mtx_scan.NO_CELL:
                what = f"cell {found.split()[1]} is not within 1 and {cells}"
            self._odd.append((line, what))
        self.state[WRONG] = 0

    def faults(self) -> int:
        return len(self.bad) + len(self._odd) + int(self.state[WRONG])

    def problems(self) -> list[Problem]:
        odd, bad, least = self._odd, self.bad, self.enough
        remedy = "expected the numbers of a gene and of a cell"
        remedy += ", and no value" if self._pattern else ", and a value"
        problems = told(
            self.file, odd, lambda n: (f"row {odd[n][0]}", odd[n][1]), remedy, least=least
        )
        problems += told(
            self.file,
            bad,
            lambda n: (f"row {bad[n][0]}", f"found the value {bad[n][2]}"),
            FINITE,
            least=least,
        )
        found, right = int(self.state[mtx_scan.ENTRIES]), self._size[2]
        if found != right and not least:
            what = f"holds {found} entries where its header says {right}"
            problems.append(Problem(self.file, "", what, "copy or export it again"))
        return problems
