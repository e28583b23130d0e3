"""AnnData files: the matrix X in ranges, the names of both sides, the metadata in obs.

The format is described at https://anndata.readthedocs.io/en/stable/fileformat-prose.html. A file
is untrusted: what it says about itself is checked before anything is read at its word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import h5py
import numpy as np
import pandas as pd

from tessera.cells.chunks import Chunk, as_floats
from tessera.cells.faults import COUNTED, FINITE, check_names, check_unique, told
from tessera.cells.h5ad_obs import UMAP, UMAP_COLUMNS, read_obs
from tessera.cells.h5ad_safety import WRITE, check_safety, open_h5, reading_h5, text_of
from tessera.cells.h5ad_values import Piece, dense, sparse
from tessera.cells.metadata_columns import check_columns, merged
from tessera.errors import InputError, Problem

_LARGEST = 2**31 - 1


class H5ad:
    """An AnnData file; see `tessera.cells.chunks.Source`.

    Parameters
    ----------
    file
        The file.

    Attributes
    ----------
    columns
        Names of the columns of obs.
    kind
        ``csr``, ``csc`` or ``dense``.
    nnz
        Values that X holds.

    Raises
    ------
    InputError
        It cannot be read, parts of it are missing or of another kind, their sizes disagree, or it
        refers to other files.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.warnings: list[str] = []
        check_safety(file)
        with open_h5(file) as h5, reading_h5(file):
            self.kind, shape = self._kind(h5)
            self.genes = self._index(h5, "var")
            self.names = self._index(h5, "obs")
            order = np.atleast_1d(h5["obs"].attrs.get("column-order", []))
            self.columns = [text_of(name) for name in order]
            self._umap = "obsm" in h5 and UMAP in h5["obsm"]
            self.nnz = self._check_shape(h5, shape)
        self.n_cells: int | None = len(self.names)
        self.ordered = self.kind != "csc"
        self._check_names()

    def _refuse(self, place: str, what: str) -> InputError:
        return InputError(Problem(self.file, place, what, WRITE))

    def _index(self, h5: h5py.File, part: str) -> list[str]:
        if part not in h5:
            raise self._refuse(part, "is missing")
        if not isinstance(h5[part], h5py.Group):
            raise self._refuse(part, "is of the form that anndata wrote before version 0.7")
        key = text_of(h5[part].attrs.get("_index", "_index"))
        names, gaps = h5[part].get(key), None
        if isinstance(names, h5py.Group):  # a nullable-string-array
            names, gaps = names.get("values"), names.get("mask")
        if not isinstance(names, h5py.Dataset) or names.ndim != 1:
            raise self._refuse(part, "has no names")
        if h5py.check_string_dtype(names.dtype) is None:
            raise self._refuse(part, "has names that are no text")
        if gaps is not None and np.any(gaps[()]):
            raise self._refuse(part, "has names that are missing")
        return [text_of(name) for name in names[:].tolist()]

    def _kind(self, h5: h5py.File) -> tuple[str, tuple[int, ...]]:
        """Return the form of X and its shape."""
        x = h5.get("X")
        if isinstance(x, h5py.Dataset):
            self._check_type(x)
            return "dense", x.shape
        if x is None:
            raise self._refuse("X", "is missing")
        kind = text_of(x.attrs.get("encoding-type", x.attrs.get("h5sparse_format", "")))[:3]
        if kind not in ("csr", "csc"):
            raise self._refuse("X", "is neither a dense array nor a sparse matrix")
        shape = np.asarray(x.attrs.get("shape", x.attrs.get("h5sparse_shape", ())))
        if shape.shape != (2,) or shape.dtype.kind not in "iu":
            raise self._refuse("X", "has no shape")
        for name in ("data", "indices", "indptr"):
            if not isinstance(x.get(name), h5py.Dataset) or x[name].ndim != 1:
                raise self._refuse("X", f"has no array {name}")
        self._check_type(x["data"])
        if x["indices"].dtype.kind not in "iu" or x["indptr"].dtype.kind not in "iu":
            raise self._refuse("X", "has places that are no whole numbers")
        return kind, tuple(shape.tolist())

    def _check_type(self, values: h5py.Dataset) -> None:
        if values.dtype.kind not in "iufb" or values.dtype.itemsize > 8:
            raise self._refuse("X", f"holds {values.dtype}, not numbers")

    def _check_shape(self, h5: h5py.File, shape: tuple[int, ...]) -> int:
        """Compare the sizes of the parts; return the number of values."""
        cells, genes = len(self.names), len(self.genes)
        if shape != (cells, genes):
            found = " x ".join(map(str, shape))
            what = f"is {found}, where obs names {cells} cells and var {genes} genes"
            raise self._refuse("X", what)
        for count, of in ((cells, "cells"), (genes, "genes")):
            if not 0 < count <= _LARGEST:
                remedy = f"expected from 1 to {_LARGEST}"
                raise InputError(Problem(self.file, "X", f"has {count} {of}", remedy))
        if self.kind == "dense":
            return cells * genes
        x = h5["X"]
        nnz, major = len(x["data"]), cells if self.kind == "csr" else genes
        if len(x["indices"]) != nnz or len(x["indptr"]) != major + 1:
            raise self._refuse("X", "has arrays whose lengths disagree")
        indptr = x["indptr"][:].astype(np.int64)
        if indptr[0] != 0 or indptr[-1] != nnz or (np.diff(indptr) < 0).any():
            raise self._refuse("X", "has an indptr that does not rise from 0 to the end")
        return nnz

    def _check_names(self) -> None:
        problems = check_names(self.file, lambda n: f"var, gene {n + 1}", self.genes, "gene")
        problems += check_names(self.file, lambda n: f"obs, cell {n + 1}", self.names, "cell")
        problems += check_columns(self.file, "obs", self.columns)
        problems += check_unique(self.file, lambda n: f"obs, cell {n + 1}", self.names)
        for name in UMAP_COLUMNS if self._umap else ():
            if name in self.columns:
                what = f"has a column {name} beside obsm {UMAP}"
                problems.append(Problem(self.file, "obs", what, "rename the column"))
        if problems:
            raise InputError(problems)

    def chunks(self, most: int) -> Iterator[Chunk]:
        """Go through the values that are stored; see `tessera.cells.chunks.Source`."""
        bad: list[tuple[int, int, float]] = []
        with open_h5(self.file) as h5:
            for cells, genes, values in self._pieces(h5, max(most, 1)):
                where = np.flatnonzero(~np.isfinite(values))[:COUNTED].tolist()
                bad += [(int(cells[n]), int(genes[n]), values[n]) for n in where]
                if not bad:
                    yield Chunk(cells, genes.astype(np.int32), as_floats(values))
                if len(bad) >= COUNTED:
                    break
        if bad:

            def tell(n: int) -> tuple[str, str]:
                cell, gene, value = bad[n]
                return f"X, cell {self.names[cell]}, gene {self.genes[gene]}", f"found {value}"

            raise InputError(told(self.file, bad, tell, FINITE, least=len(bad) >= COUNTED))

    def _pieces(self, h5: h5py.File, most: int) -> Iterator[Piece]:
        """Go through what X holds, with all places within the matrix."""
        by_cell = self.kind == "csr"
        x, n_cells, n_genes = h5["X"], len(self.names), len(self.genes)
        pieces = dense(x, most) if self.kind == "dense" else sparse(x, by_cell, most)
        while True:
            with reading_h5(self.file):
                piece = next(pieces, None)
            if piece is None:
                return
            cells, genes, _ = piece
            for numbers, count in ((cells, n_cells), (genes, n_genes)):
                if len(numbers) and not 0 <= numbers.min() <= numbers.max() < count:
                    raise self._refuse("X", "has an index that is outside of the matrix")
            yield piece

    def table(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return the cells with their metadata; see `tessera.cells.chunks.Source`."""
        with open_h5(self.file) as h5:
            frame, odd = read_obs(self.file, h5, self.names, columns)
        self.warnings = merged(self.warnings, odd)
        return frame
