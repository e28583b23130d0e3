"""From a gene's name to its place, by binary search in a file that is mapped and never loaded."""

from __future__ import annotations

import difflib
import functools
import io
import math
import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_LOOKED_AT = 500  # names of a like beginning among which the nearest is looked for


def write_gene_index(path: str | Path, genes: Sequence[str]) -> None:
    """Write ``gene_index.npy``.

    Parameters
    ----------
    path
        Where to.
    genes
        Different names, in the order of ``genes.parquet``; g of them.

    Notes
    -----
    A structured array of shape ``(g,)``: ``gene``, the name in UTF-8, and ``at`` (int64), its place
    in `genes`, sorted by name. The order of bytes in UTF-8 is that of code points.
    """
    names = [gene.encode() for gene in genes]
    width = max(map(len, names), default=1)
    index = np.empty(len(names), dtype=[("gene", f"S{width}"), ("at", "<i8")])
    index["gene"], index["at"] = names, np.arange(len(names))
    np.save(path, index[np.argsort(index["gene"], kind="stable")], allow_pickle=False)


def mapped(path: Path) -> npt.NDArray[Any]:
    """Map a ``.npy`` file of numbers or a structured array; it is never loaded.

    As `numpy.load` does with ``mmap_mode="r"``, in a fraction of the time: the first answer after a
    new version was published waits for it.
    """
    with path.open("rb") as stream:
        content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    start = 10 + int.from_bytes(content[8:10], "little")
    shape, plain, dtype = _header(content[:start])
    if not plain:
        raise ValueError(f"{path} is not an array of plain values in the order of C")
    if not math.prod(shape):
        return np.empty(shape, dtype)  # there is nothing to map
    return np.ndarray(shape, dtype, content, start)


@functools.lru_cache(maxsize=32)
def _header(content: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header of a ``.npy`` file; mostly the next version has the same."""
    stream = io.BytesIO(content)
    form = np.lib.format.read_magic(stream)
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    return shape, form == (1, 0) and not fortran and not dtype.hasobject, dtype


def find_gene(index: npt.NDArray[np.void], gene: str) -> int | None:
    """Return the place of a gene in ``genes.parquet``, or None if there is no such gene."""
    # What a command line could not decode is no gene either.
    name, names = gene.encode(errors="surrogatepass"), index["gene"]
    low, high = 0, len(index)
    while low < high:  # np.searchsorted would copy the whole, strided column
        middle = (low + high) // 2
        if names[middle] < name:
            low = middle + 1
        else:
            high = middle
    return int(index["at"][low]) if low < len(index) and names[low] == name else None


def genes_at(index: npt.NDArray[np.void], places: npt.NDArray[np.int64]) -> list[str]:
    """Return the names of the genes at these places of ``genes.parquet``, in their order."""
    rows = np.flatnonzero(np.isin(index["at"], places))
    names = dict(zip(index["at"][rows].tolist(), index["gene"][rows].tolist(), strict=True))
    return [names[place].decode() for place in places.tolist()]


def nearest_gene(index: npt.NDArray[np.void], gene: str) -> str | None:
    """Return a gene that may have been meant: one spelled alike, with a like beginning."""
    names = [name.decode() for name in index["gene"].tolist()]
    given = gene.casefold()
    same = next((name for name in names if name.casefold() == given), None)
    if same is not None or not given:
        return same
    for length in (3, 2, 1):
        like = {
            name.casefold(): name for name in names if name.casefold()[:length] == given[:length]
        }
        near = sorted(like, key=lambda name: (abs(len(name) - len(given)), name))[:_LOOKED_AT]
        matches = difflib.get_close_matches(given, near, n=1)
        if matches:
            return like[matches[0]]
    return None
