"""What lies where between ingestion and publication: row tiles, runs of genes, parts of genes.

All arrays are plain ``.npy``. What is gone through once is read, not mapped: pages of a mapping
that were touched count as memory of the process.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # slow to import, and the plan of a run needs nothing but names
    import pandas as pd

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

FACTS = "facts.json"
GENES, CELLS = "genes.parquet", "cells.parquet"
RANGE = "range.json"
VERSION = "content"
"""Folder of a version inside the folder that a job makes: Snakemake leaves a file of its own there,
and a version holds nothing but what its manifest lists."""


def grouping_name(columns: Sequence[str]) -> str:
    """Return the name of a grouping in paths: its columns joined by ``+``, safe in any file system.

    Parameters
    ----------
    columns
        Columns of the metadata. Blanks become ``_``; all but letters and digits of ASCII and
        ``_ - ~ .`` is percent-encoded, as is a dot at the beginning.
    """
    return "+".join(_safe(name) for name in columns)


def _safe(name: str) -> str:
    text = quote(name, safe=" ").replace(" ", "_")
    return "%2E" + text[1:] if text.startswith(".") else text


def gene_ranges(nnz: Array, parts: int) -> list[tuple[int, int]]:
    """Cut genes into contiguous ranges of about equally many non-zero values.

    Parameters
    ----------
    nnz
        ``(genes,)`` whole numbers.
    parts
        Number of ranges; all are made, so that some may be empty.

    Returns
    -------
    list of (int, int)
        First and last + 1 of each range, in order; together they cover all genes.
    """
    ends = np.cumsum(np.asarray(nnz, np.int64))
    total = int(ends[-1]) if len(ends) else 0
    if total:
        goals = np.array([total * k // parts for k in range(1, parts)], np.int64)
        edges = (np.searchsorted(ends, goals) + 1).clip(max=len(ends)).tolist()
    else:
        edges = [len(ends) * k // parts for k in range(1, parts)]
    edges = [0, *edges, len(ends)]
    return list(itertools.pairwise(edges))


def gene_batches(nnz: Array, most: int, length: int | None = None) -> Iterator[tuple[int, int]]:
    """Cut genes into contiguous batches of a bounded number of non-zero values.

    Parameters
    ----------
    nnz
        ``(genes,)`` whole numbers.
    most
        Values of a batch; a gene that has more is a batch of its own.
    length
        Genes of a batch at most, where that is bounded too.

    Yields
    ------
    start, stop
        First and last + 1 of the genes.
    """
    ends = np.concatenate([[0], np.cumsum(np.asarray(nnz, np.int64))])
    start = 0
    while start < len(ends) - 1:
        stop = max(int(np.searchsorted(ends, ends[start] + most, side="right")) - 1, start + 1)
        if length is not None:
            stop = min(stop, start + max(length, 1))
        yield start, stop
        start = stop


class ArrayFile:
    """A ``.npy`` file of one dimension, of which pieces are read into memory.

    Parameters
    ----------
    path
        The file; one that holds no plain numbers is refused.
    """

    def __init__(self, path: Path) -> None:
        # The header alone: a mapping takes no memory before it is touched.
        head = np.load(path, mmap_mode="r", allow_pickle=False)
        if head.ndim != 1:
            raise ValueError(f"{path} has {head.ndim} dimensions, where one was expected")
        self.dtype = head.dtype
        self._path, self._offset, self._length = path, int(head.offset), len(head)

    def __len__(self) -> int:
        return self._length

    def read(self, start: int, stop: int) -> Array:
        """Return a copy of the elements ``start`` to ``stop - 1``."""
        offset = self._offset + start * self.dtype.itemsize
        found = np.fromfile(self._path, self.dtype, count=stop - start, offset=offset)
        if len(found) != stop - start:
            raise ValueError(f"{self._path} ends before its element {stop}")
        return found


class ArrayWriter:
    """Writes a ``.npy`` file piece by piece, in order, as a context; the bytes of `numpy.save`.

    Parameters
    ----------
    path, dtype, shape
        The file, and what it will hold; more or fewer elements in the end are an error.
    """

    def __init__(self, path: Path, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> None:
        self._dtype = np.dtype(dtype)
        self._many, self._written = int(np.prod(shape, dtype=np.int64)), 0
        self._stream = path.open("wb")
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": tuple(int(length) for length in shape),
        }
        np.lib.format.write_array_header_1_0(self._stream, header)

    def __enter__(self) -> ArrayWriter:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._stream.close()
        if kind is None and self._written != self._many:
            said = f"{self._written} elements, where {self._many} were expected"
            raise ValueError(f"{self._stream.name} was given {said}")

    def write(self, values: Array) -> None:
        """Append elements, in the order of their memory."""
        self._written += values.size
        np.ascontiguousarray(values, self._dtype).tofile(self._stream)


def save(path: Path, values: Array) -> None:
    """Write an array as a ``.npy`` file."""
    np.save(path, values, allow_pickle=False)


def mapped(path: Path) -> Array:
    """Map a ``.npy`` file into memory, to be read only."""
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def write_json(path: Path, content: object) -> None:
    """Write plain values as JSON, the same bytes for the same content."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


class Rows:
    """Reads a folder ``rows/``: the matrix cell by cell, in tiles, and each tile gene by gene.

    Parameters
    ----------
    folder
        As `tessera.cells.ingest.ingest` fills it.

    Attributes
    ----------
    facts
        ``n_cells``, ``n_genes``, ``nnz``, ``dtype`` (of values: ``<f4`` or ``<f8``), ``whole``,
        ``negative``, ``tiles`` (a list of first cell, last + 1, values of each), ``warnings``,
        ``grouping_columns``.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        text = (self._folder / FACTS).read_text(encoding="utf-8")
        self.facts: dict[str, Any] = json.loads(text)

    @property
    def n_tiles(self) -> int:
        """Number of row tiles."""
        return len(self.facts["tiles"])

    @cached_property
    def genes(self) -> pd.DataFrame:
        """A row per gene, in the order of the output: gene, nnz int64, sum float64."""
        return self._table(GENES)

    @cached_property
    def cells(self) -> pd.DataFrame:
        """A row per cell, in the order of the file: cell, total float64, the metadata."""
        return self._table(CELLS)

    def _table(self, name: str) -> pd.DataFrame:
        import pandas as pd

        return pd.read_parquet(self._folder / name)

    def grouping(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return the columns of a grouping of all cells, as categories: a fraction of `cells`."""
        import pyarrow.parquet as pq

        names = list(columns)
        found = pq.read_table(
            self._folder / CELLS, columns=names, read_dictionary=names, use_threads=False
        )
        return found.to_pandas()

    def column(self, table: str, name: str) -> Array:
        """Return one column of numbers of `GENES` or `CELLS`, without the rest of the table."""
        import pyarrow.parquet as pq

        found = pq.read_table(self._folder / table, columns=[name], use_threads=False)
        return np.asarray(found.column(0).to_numpy())

    def tile(self, number: int) -> tuple[Array, Array, Array]:
        """Return a tile cell by cell, mapped into memory.

        Returns
        -------
        indptr
            ``(cells of the tile + 1,)`` int64.
        genes
            ``(nnz,)`` int32, ascending within a cell.
        values
            ``(nnz,)`` float32 or float64, none of them 0.
        """
        return self._arrays(number, "indptr", "genes", "values")

    def run(self, number: int) -> tuple[Array, Array, Array]:
        """Return a tile gene by gene, mapped into memory.

        Returns
        -------
        indptr
            ``(genes + 1,)`` int64.
        cells
            ``(nnz,)`` int32, numbers of cells among all, ascending within a gene.
        values
            ``(nnz,)`` float32 or float64.
        """
        return self._arrays(number, "run_indptr", "run_cells", "run_values")

    def run_files(self, number: int) -> tuple[ArrayFile, ArrayFile, ArrayFile]:
        """Return the same to be read piece by piece."""
        one, two, three = self._paths(number, "run_indptr", "run_cells", "run_values")
        return ArrayFile(one), ArrayFile(two), ArrayFile(three)

    def _arrays(self, number: int, *names: str) -> tuple[Array, Array, Array]:
        one, two, three = (mapped(path) for path in self._paths(number, *names))
        return one, two, three

    def _paths(self, number: int, *names: str) -> list[Path]:
        return [tile_path(self._folder, number, name) for name in names]


def tile_path(folder: Path, number: int, name: str) -> Path:
    """Return the file of an array of a tile."""
    return folder / f"{number:05}.{name}.npy"


class Part:
    """Reads a folder ``genes/PART/``: a range of genes, gene by gene, cells ascending.

    Parameters
    ----------
    folder
        As `tessera.cells.transpose.transpose_part` fills it.

    Attributes
    ----------
    start, stop
        First gene and last + 1.
    indptr
        ``(stop - start + 1,)`` int64.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        text = (self._folder / RANGE).read_text(encoding="utf-8")
        facts = json.loads(text)
        self.start, self.stop, self.nnz = facts["start"], facts["stop"], facts["nnz"]
        self.indptr: Ints = np.load(self._folder / "indptr.npy", allow_pickle=False)

    @cached_property
    def cells(self) -> Array:
        """``(nnz,)`` int32, ascending within a gene; mapped into memory."""
        return mapped(self._folder / "cells.npy")

    @cached_property
    def values(self) -> Array:
        """``(nnz,)`` float32 or float64; mapped into memory."""
        return mapped(self._folder / "values.npy")

    @cached_property
    def files(self) -> tuple[ArrayFile, ArrayFile]:
        """Cells and values, to be read piece by piece."""
        return ArrayFile(self._folder / "cells.npy"), ArrayFile(self._folder / "values.npy")
