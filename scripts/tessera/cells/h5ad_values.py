"""The values of X of an AnnData file, a range at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Piece = tuple[Ints, Ints, npt.NDArray[Any]]

_ALIGNED = 64 << 20  # bytes of a row of chunks that are unpacked together


def dense(x: h5py.Dataset, most: int) -> Iterator[Piece]:
    """Go through a dense array of cells x genes by ranges of cells.

    Parameters
    ----------
    x
        The array.
    most
        Values to read at a time: more only where one cell has more, or one row of chunks.

    Yields
    ------
    cells, genes, values
        ``(n,)`` each, what is not zero.
    """
    n_cells, n_genes = x.shape
    step = max(1, most // n_genes)
    if x.chunks and x.chunks[0] * n_genes * x.dtype.itemsize <= _ALIGNED:
        step = -(-step // x.chunks[0]) * x.chunks[0]
    for start in range(0, n_cells, step):
        block = x[start : start + step]
        cells, genes = np.nonzero(block)
        values = block[cells, genes]
        for a in range(0, len(values), most):
            part = slice(a, a + most)
            yield cells[part] + start, genes[part], values[part]


def sparse(x: h5py.Group, by_cell: bool, most: int) -> Iterator[Piece]:
    """Go through a compressed sparse matrix by ranges of what it stores.

    Parameters
    ----------
    x
        The matrix; its ``indptr`` rises from 0 to the number of values.
    by_cell
        Whether it is compressed by rows, which are cells.
    most
        Values at a time.

    Yields
    ------
    cells, genes, values
        ``(n,)`` each; places may be out of range.
    """
    indptr = x["indptr"][:].astype(np.int64)
    for start in range(0, int(indptr[-1]), most):
        stop = min(start + most, int(indptr[-1]))
        first = int(np.searchsorted(indptr, start, side="right")) - 1
        last = int(np.searchsorted(indptr, stop, side="left"))
        counts = np.diff(np.clip(indptr[first : last + 1], start, stop))
        major = np.repeat(np.arange(first, last), counts)
        minor = x["indices"][start:stop].astype(np.int64)
        values = x["data"][start:stop]
        yield (major, minor, values) if by_cell else (minor, major, values)
