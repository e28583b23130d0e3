"""The matrix as AnnData in Zarr, by cell and by gene, written piece by piece.

The format is that of AnnData 0.12 in Zarr 3 (https://anndata.readthedocs.io/en/stable/fileformat-prose.html):
``anndata.read_zarr`` reads it whole, and a range of it is read by whoever takes a slice of the
arrays. Values lie in chunks of 65,536, and 64 chunks in a file (a *shard*).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd
import zarr
from anndata.io import write_elem
from zarr.codecs import ZstdCodec

from tessera.cells.layout import Array, Ints, Part, Rows

CHUNK, SHARD = 1 << 16, 1 << 22
"""Values of a chunk, which is what a reader has to unpack, and of a shard, which is a file."""

_LEVEL = 3  # of zstd
_PIECE = 1 << 20  # values that are read at a time, whole chunks of them
_UMAP = re.compile(r"umap_[12]")


def write_cell_major(rows: Rows, path: Path) -> None:
    """Write cells by genes, cell by cell (``X`` is a ``csr_matrix``).

    Parameters
    ----------
    rows
        The row tiles; their number does not change a byte.
    path
        The Zarr folder, which is made.
    """
    tiles = range(rows.n_tiles)
    pieces = ((tile[1], tile[2]) for tile in map(rows.tile, tiles))
    indptr = _joined(np.array(rows.tile(number)[0]) for number in tiles)
    _write(path, rows, "csr_matrix", indptr, pieces)


def write_gene_major(rows: Rows, parts: Sequence[Part], path: Path) -> None:
    """Write cells by genes, gene by gene (``X`` is a ``csc_matrix``).

    Parameters
    ----------
    rows
        The row tiles, for what is known of cells and genes.
    parts
        All genes in their order; the number of parts does not change a byte.
    path
        The Zarr folder, which is made.
    """
    indptr = _joined(part.indptr for part in parts)
    _write(path, rows, "csc_matrix", indptr, pieces_of(parts))


def _joined(each: Iterable[Ints]) -> Ints:
    """Return the ``indptr`` of matrices put one after the other."""
    ends, total = [np.zeros(1, np.int64)], 0
    for indptr in each:
        ends.append(indptr[1:] + total)
        total += int(indptr[-1])
    return np.concatenate(ends)


def pieces_of(parts: Iterable[Part]) -> Iterator[tuple[Array, Array]]:
    """Go through cells and values of parts, in order, a piece at a time."""
    for part in parts:
        cells, values = part.files
        for start in range(0, len(cells), _PIECE):
            stop = min(start + _PIECE, len(cells))
            yield cells.read(start, stop), values.read(start, stop)


def array_of(group: zarr.Group, name: str) -> zarr.Array[Any]:
    """Return ``indptr``, ``indices`` or ``data`` of a matrix as written here."""
    found = group[f"X/{name}"]
    if not isinstance(found, zarr.Array):
        raise ValueError(f"{group.store} has no array X/{name}")
    return found


def slices_of(group: zarr.Group) -> Iterator[tuple[int, Array, Array]]:
    """Go through a matrix as written here: place of the first value, ``indices``, ``data``."""
    indices, data = array_of(group, "indices"), array_of(group, "data")
    for start in range(0, data.shape[0], _PIECE):
        stop = min(start + _PIECE, data.shape[0])
        yield start, np.asarray(indices[start:stop]), np.asarray(data[start:stop])


def tables_of(rows: Rows) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, npt.NDArray[Any]]]:
    """Return ``obs``, ``var`` and ``obsm`` of a dataset.

    Returns
    -------
    obs
        By cell: ``total`` and the metadata. Text that recurs is categorical, as AnnData writes it.
    var
        By gene: ``nnz`` and ``sum``.
    obsm
        ``X_umap``, float64, where the data has a layout.
    """
    cells, genes = rows.cells, rows.genes
    plane = [name for name in cells.columns if _UMAP.fullmatch(name)]
    obs = cells.drop(columns=["cell", *plane]).set_axis(_text(cells["cell"], "cell"))
    for name in obs.columns:
        if pd.api.types.is_object_dtype(obs[name]) or pd.api.types.is_string_dtype(obs[name]):
            categories = sorted(obs[name].dropna().unique())
            if len(categories) < len(obs):
                obs[name] = pd.Categorical(obs[name], categories=pd.Index(categories, dtype=object))
            else:
                obs[name] = obs[name].astype(object)
    var = genes.drop(columns="gene").set_axis(_text(genes["gene"], "gene"))
    layout = {"X_umap": cells[plane].to_numpy(np.float64)} if len(plane) == 2 else {}
    return obs, var, layout


def _text(names: pd.Series, title: str) -> pd.Index:
    """Return names as an index of plain text, whatever pandas makes of it: the same bytes."""
    return pd.Index(names.astype(object), dtype=object, name=title)


def _write(
    path: Path,
    rows: Rows,
    encoding: str,
    indptr: Ints,
    pieces: Iterable[tuple[Array, Array]],
) -> None:
    obs, var, obsm = tables_of(rows)
    nnz = int(indptr[-1])
    with _as_published():
        root = zarr.open_group(path, mode="w-", zarr_format=3)
        root.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        matrix = root.create_group("X")
        shape = [rows.facts["n_cells"], rows.facts["n_genes"]]
        matrix.attrs.update(
            {"encoding-type": encoding, "encoding-version": "0.1.0", "shape": shape}
        )
        _array(matrix, "indptr", len(indptr), indptr.dtype)[:] = indptr
        with (
            _Shards(_array(matrix, "indices", nnz, np.int32)) as indices,
            _Shards(_array(matrix, "data", nnz, rows.facts["dtype"])) as data,
        ):
            for index, values in pieces:
                indices.append(index)
                data.append(values)
        elements: Mapping[str, Any] = {"obs": obs, "var": var, "obsm": obsm}
        for name in ("obs", "var", "obsm", "varm", "obsp", "varp", "layers", "uns"):
            write_elem(root, name, elements.get(name, {}))


def _array(group: zarr.Group, name: str, length: int, dtype: npt.DTypeLike) -> zarr.Array[Any]:
    """Make an array of one dimension; a short one has one chunk, no longer than itself."""
    chunk = min(CHUNK, max(length, 1))
    shards = (min(SHARD, -(-length // CHUNK) * CHUNK),) if length > CHUNK else None
    return group.create_array(
        name, shape=(length,), chunks=(chunk,), shards=shards, dtype=np.dtype(dtype),
        compressors=ZstdCodec(level=_LEVEL), fill_value=0,
    )  # fmt: skip


class _Shards:
    """Appends to an array, a whole shard at a time: a shard is written once."""

    def __init__(self, array: zarr.Array[Any]) -> None:
        self._array = array
        self._held = np.empty(min(SHARD, array.shape[0]), array.dtype)
        self._filled = self._done = 0

    def __enter__(self) -> _Shards:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._flush()
            if self._done != self._array.shape[0]:
                raise ValueError(
                    f"{self._array.path} was given {self._done} values of {self._array.shape[0]}"
                )

    def append(self, values: Array) -> None:
        """Append values; a piece of any length."""
        taken = 0
        while taken < len(values):
            if self._filled == len(self._held):
                self._flush()
            many = min(len(self._held) - self._filled, len(values) - taken)
            self._held[self._filled : self._filled + many] = values[taken : taken + many]
            self._filled += many
            taken += many

    def _flush(self) -> None:
        stop = self._done + self._filled
        if stop > self._array.shape[0]:
            raise ValueError(
                f"{self._array.path} was given more than {self._array.shape[0]} values"
            )
        if self._filled:
            self._array[self._done : stop] = self._held[: self._filled]
        self._done, self._filled = stop, 0


def one_thread() -> AbstractContextManager[Any]:
    """Let Zarr work in one thread of its own, where it would take one for each core and more.

    Their number is settled when a process first reads or writes.
    """
    return zarr.config.set({"threading.max_workers": 1, "async.concurrency": 1})


@contextmanager
def _as_published() -> Iterator[None]:
    """Write Zarr 3, and every chunk, so that a missing file can be told from zeros."""
    with (
        one_thread(),
        anndata.settings.override(zarr_write_format=3, auto_shard_zarr_v3=False),
        zarr.config.set({"array.write_empty_chunks": True}),
        warnings.catch_warnings(),
    ):
        # Both concern formats of text and metadata that Zarr 3 has yet to adopt.
        warnings.filterwarnings("ignore", category=zarr.errors.UnstableSpecificationWarning)
        warnings.filterwarnings("ignore", message=".*autosharding.*")
        yield
