"""Expression matrices of every kind: which kind a file is, what its header tells, its values."""

from __future__ import annotations

import gzip
import itertools
import re
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tessera.cells.archive import open_archive
from tessera.cells.chunks import Chunk, Source
from tessera.cells.gene_names import unique_genes
from tessera.cells.metadata import Metadata
from tessera.cells.mtx import MtxMatrix, find_files, open_matrix
from tessera.cells.streams import Bytes, PlainFile, reading, table_stream
from tessera.cells.text_matrix import TextMatrix
from tessera.errors import InputError, Problem

__all__ = ["Chunk", "Facts", "Source", "check_dataset", "files_of", "look", "open_source"]

SMALL = 1 << 22
"""Values up to which a matrix is read as a whole when it is checked."""

_ZIP, _HDF5, _MTX, _GZIP = b"PK", b"\x89HDF\r\n\x1a\n", b"%%MatrixMarket", b"\x1f\x8b"
_SAMPLE = 1 << 22  # bytes unpacked to tell how well a file is compressed


@dataclass(frozen=True)
class Facts:
    """What is known of a dataset before it is read.

    Attributes
    ----------
    kind
        ``csv``, ``zip``, ``mtx`` or ``h5ad``.
    genes
        Number of genes in the file.
    cells
        Number of cells; None where only reading all of the file tells.
    columns
        Names of the columns of the metadata.
    warnings
        What is odd but no fault.
    """

    kind: str
    genes: int
    cells: int | None
    columns: list[str]
    warnings: list[str]


def kind_of(matrix: str) -> str:
    """Tell the kind of a matrix from what it begins with, and its name where that is no help.

    Raises
    ------
    InputError
        It is missing or cannot be read.
    """
    path = Path(matrix)
    if path.is_dir():
        return "mtx"
    with reading(matrix):
        with path.open("rb") as stream:
            start = stream.read(len(_MTX))
        if start[:2] == _GZIP:
            with suppress(EOFError, OSError, zlib.error), gzip.open(path) as stream:
                start = stream.read(len(_MTX))
    if start[:2] == _ZIP or path.suffix.casefold() == ".zip":
        return "zip"
    if start.startswith(_HDF5) or path.suffix.casefold() in (".h5ad", ".h5"):
        return "h5ad"
    if start.startswith(_MTX) or re.search(r"\.mtx(\.gz)?$", matrix):
        return "mtx"
    return "csv"


def open_source(matrix: str, metadata: str | None) -> Source:
    """Open a matrix and read its header.

    Parameters
    ----------
    matrix
        A CSV or TSV of cells x genes (compressed by gzip or not), a ZIP of it and its metadata, an
        AnnData file, or the folder, or the matrix, of three files as 10x writes them.
    metadata
        A CSV or TSV with a row per cell; None for a ZIP or an AnnData file, which have their own.

    Raises
    ------
    InputError
        With all that the headers show to be wrong.
    """
    return _open(matrix, metadata)[0]


def _open(matrix: str, metadata: str | None) -> tuple[Any, Metadata | None, str]:
    kind = kind_of(matrix)
    problems: list[Problem] = []
    if metadata and kind in ("zip", "h5ad"):
        what = f"is named beside {matrix}, which brings metadata of its own"
        problems.append(Problem(metadata, "", what, "leave the column metadata of the sheet empty"))
    opened: Any = None
    table: Metadata | None = None
    warnings: list[str] = []
    text: Bytes = PlainFile(matrix)
    notes: Bytes | None = PlainFile(metadata) if metadata and not problems else None
    try:
        if kind == "zip":
            text, notes, warnings = open_archive(matrix)
    except InputError as error:
        raise InputError([*problems, *error.problems]) from None
    if notes:
        try:
            table = Metadata(notes)
        except InputError as error:
            problems += error.problems
    try:
        if kind == "h5ad":
            from tessera.cells.h5ad import H5ad

            opened = H5ad(matrix)
        else:
            opened = MtxMatrix(matrix, table) if kind == "mtx" else TextMatrix(text, table)
    except InputError as error:
        problems = [*error.problems, *problems]
    if problems:
        raise InputError(problems)
    opened.warnings += warnings
    return opened, table, kind


def files_of(matrix: str) -> list[str]:
    """Return the files that a matrix consists of, the matrix itself first.

    Names that are missing are left out, but for the first; `open_source` tells of them.
    """
    if Path(matrix).is_dir() or re.search(r"\.mtx(\.gz)?$", matrix):
        try:
            return list(find_files(matrix))
        except InputError:
            there = Path(matrix) / "matrix.mtx"
            packed = there.with_name("matrix.mtx.gz")
            if Path(matrix).is_dir():
                return [str(packed if packed.exists() else there)]
    return [matrix]


def look(matrix: str, metadata: str | None = None) -> dict[str, Any]:
    """Tell the size of a matrix from its header alone, for planning; bad ones have a size of 0.

    Parameters
    ----------
    matrix, metadata
        As for `open_source`; of metadata only the size of the file is looked at.

    Returns
    -------
    dict
        What JSON can hold. ``kind``; ``nnz_bound``: values that are not zero, at most; ``cells``:
        None where the header does not tell; ``genes``: 0 where it cannot be read; ``bytes`` of both
        files. Of a file compressed by gzip the bound is an estimate, from its first megabytes.
    """
    known: dict[str, Any] = {"kind": "unknown", "nnz_bound": 0, "cells": None, "genes": 0}
    known["bytes"] = 0
    with suppress(InputError, OSError):
        known["kind"] = kind_of(matrix)
        files = [files_of(matrix)[0], *([metadata] if metadata else [])]
        known["bytes"] = sum(Path(file).stat().st_size for file in files)
        known |= _SIZES[known["kind"]](matrix)
    return known


def _size_of_text(matrix: str) -> dict[str, Any]:
    size = float(Path(matrix).stat().st_size)
    with reading(matrix), Path(matrix).open("rb") as stream:
        if stream.read(2) == _GZIP:
            stream.seek(0)
            with gzip.open(stream) as text:
                sample = len(text.read(_SAMPLE))
            size = size * sample / stream.tell() if sample == _SAMPLE else sample
    return _size_of_table(PlainFile(matrix), size)


def _size_of_table(source: Any, size: float) -> dict[str, Any]:
    header, _, stream = table_stream(source)
    stream.close()
    return {"nnz_bound": int(size / 2), "genes": len(header) - 1}


def _size_of_archive(matrix: str) -> dict[str, Any]:
    member, _, _ = open_archive(matrix)
    return _size_of_table(member, member.size)


def _size_of_mtx(matrix: str) -> dict[str, Any]:
    file = find_files(matrix)[0]
    (genes, cells, entries), _, _, stream = open_matrix(file)
    stream.close()
    return {"nnz_bound": min(entries, genes * cells), "cells": cells, "genes": genes}


def _size_of_h5ad(matrix: str) -> dict[str, Any]:
    from tessera.cells.h5ad import H5ad

    source = H5ad(matrix)
    return {"nnz_bound": source.nnz, "cells": source.n_cells, "genes": len(source.genes)}


_SIZES = {
    "csv": _size_of_text,
    "zip": _size_of_archive,
    "mtx": _size_of_mtx,
    "h5ad": _size_of_h5ad,
}


def check_dataset(
    matrix: str,
    metadata: str | None,
    groupings: Sequence[Sequence[str]],
    duplicate_genes: str,
    normalize: str,
) -> Facts:
    """Find what is wrong with a dataset, short of reading all values of a large one.

    Parameters
    ----------
    matrix, metadata
        As for `open_source`.
    groupings
        Columns of the metadata that cells will be grouped by, together.
    duplicate_genes
        Rule for names of genes that occur twice, see `tessera.cells.gene_names.unique_genes`.
    normalize
        Normalisation of the views.

    Raises
    ------
    InputError
        With all that is wrong in headers, names and metadata, and among the values of a matrix
        that has up to `SMALL` of them. Where the names of cells are not in a header, those of a
        large matrix are not compared with the metadata.
    """
    source, table, kind = _open(matrix, metadata)
    columns = list(dict.fromkeys(itertools.chain.from_iterable(groupings)))
    problems: list[Problem] = []
    whole = True

    def attempt(work: Any, *arguments: Any) -> None:
        try:
            work(*arguments)
        except InputError as error:
            problems.extend(error.problems)

    def values() -> None:
        nonlocal whole
        chunks = source.chunks(SMALL if small else SMALL >> 4)
        for chunk in chunks if small else itertools.islice(chunks, 1):
            whole &= bool((chunk.values == np.rint(chunk.values)).all())

    known = source.nnz if kind in ("mtx", "h5ad") else _SIZES[kind](matrix)["nnz_bound"]
    small = known <= SMALL
    attempt(unique_genes, source.file, source.genes, duplicate_genes)
    attempt(values)
    if small or source.n_cells is not None:
        attempt(source.table, columns)
    elif table:
        attempt(table.check, columns)
    if problems:
        raise InputError(problems)
    warnings = list(source.warnings)
    if normalize != "none" and not whole:
        warnings.append(
            f"{source.file}: values are no whole numbers; {normalize} is meant for raw counts"
        )
    named = source.columns if kind == "h5ad" else table.columns if table else []
    return Facts(kind, len(source.genes), source.n_cells, list(named), warnings)
