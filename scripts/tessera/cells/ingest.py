"""From a matrix as it comes to row tiles, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tessera.cells import entries
from tessera.cells.gene_names import unique_genes
from tessera.cells.layout import Array
from tessera.cells.row_tables import write_tables
from tessera.cells.row_tiles import RowTiles
from tessera.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from tessera.cells.chunks import Chunk, Source

Progress = Callable[[Iterable[Any], str], Iterable[Any]]

_RECORD = np.dtype([("cell", "<i4"), ("gene", "<i4"), ("value", "<f8")])
_SPILL = "spill"


def ingest(
    source: Source,
    folder: Path,
    *,
    batch_nnz: int,
    duplicate_genes: str,
    normalize: str,
    grouping_columns: list[str],
    progress: Progress = lambda items, _: items,
) -> None:
    """Write the row tiles of a matrix.

    Parameters
    ----------
    source
        The matrix. One whose cells do not come in order, said so or not, is gone through twice.
    folder
        An empty folder, which is filled: see `tessera.cells.layout.Rows`. The same bytes for any
        order of the values and any size of chunks.
    batch_nnz
        Non-zero values of a tile; more only where one cell has more.
    duplicate_genes
        Rule for names of genes that occur twice, see `tessera.cells.gene_names.unique_genes`.
    normalize
        Normalisation of the views: values that it has no answer for are refused.
    grouping_columns
        Columns of the metadata that cells will be grouped by.
    progress
        Passes items on, for a bar of progress.

    Raises
    ------
    InputError
        If values are not finite, occur twice, or cannot be normalised, names of genes occur twice
        against the rule, or the metadata are not fit for the groupings.
    """
    genes = unique_genes(source.file, source.genes, duplicate_genes)
    reader = _Reader(source, batch_nnz, grouping_columns, progress)
    tiles = RowTiles(folder, genes, normalize)
    if not (source.ordered and reader.in_order(tiles)):
        for path in folder.iterdir():
            path.unlink()
        tiles = RowTiles(folder, genes, normalize)
        reader.spilled(tiles, folder / _SPILL)
    names = reader.table["cell"].tolist()
    problems = tiles.problems(source.file, names)
    if problems:
        raise InputError(problems)
    tiles.finish()
    write_tables(folder, tiles, reader.table, source, grouping_columns)


class _Reader:
    """Goes through a source, its cells in order or not."""

    def __init__(
        self, source: Source, batch_nnz: int, columns: list[str], progress: Progress
    ) -> None:
        self._source, self._batch, self._columns = source, batch_nnz, columns
        self._progress = progress
        self._chunk, self._n_genes = max(1, batch_nnz // 4), len(source.genes)
        self.table: pd.DataFrame

    def _chunks(self, label: str) -> Iterable[Chunk]:
        return self._progress(self._source.chunks(self._chunk), label)

    def in_order(self, tiles: RowTiles) -> bool:
        """Write tiles as cells come; returns whether they came in order."""
        buffer, start = _Buffer(self._batch + self._chunk, self._n_genes), 0
        for chunk in self._chunks("values"):
            found = buffer.add(chunk)
            if found & entries.DISORDER:
                return False
            tiles.note(found, *buffer.new)
            while (cut := entries.cut_of(buffer.cells, self._batch)) is not None:
                tile = buffer.before(cut)
                tiles.write(start, cut, *tile)
                buffer.drop(len(tile[0]))
                start = cut
        self._read_table(buffer.last)
        tiles.write(start, len(self.table), buffer.cells, buffer.genes, buffer.values)
        return True

    def _read_table(self, last: int) -> None:
        self.table = self._source.table(self._columns)
        if last >= len(self.table):
            raise ValueError("the source gives values of cells that are not in its table")

    def spilled(self, tiles: RowTiles, folder: Path) -> None:
        """Count the values of each cell, write them to a file for each tile, and sort those."""
        counts, buffer = np.zeros(0, np.int64), _Buffer(self._chunk, self._n_genes)
        for chunk in self._chunks("counting"):
            tiles.note(buffer.add(chunk), *buffer.new)
            more = int(buffer.cells.max(initial=-1)) + 1 - len(counts)
            counts = np.concatenate([counts, np.zeros(max(0, more), np.int64)])
            entries.count(buffer.cells, counts)
            buffer.clear()
        self._read_table(len(counts) - 1)
        counts = np.concatenate([counts, np.zeros(len(self.table) - len(counts), np.int64)])
        edges = entries.cuts(counts, self._batch)
        folder.mkdir()
        self._spill(buffer, folder, np.array([start for start, _ in edges]))
        del buffer
        for number, (start, stop) in enumerate(self._progress(edges, "tiles")):
            path = folder / str(number)
            records = np.fromfile(path, _RECORD) if path.exists() else np.empty(0, _RECORD)
            cells, genes = records["cell"].copy(), records["gene"].copy()
            values = records["value"].astype(tiles.dtype)
            del records
            tiles.write(start, stop, cells, genes, values)
            path.unlink(missing_ok=True)
        folder.rmdir()

    def _spill(self, buffer: _Buffer, folder: Path, starts: Array) -> None:
        for chunk in self._chunks("sorting"):
            buffer.add(chunk)
            number = np.searchsorted(starts, buffer.cells, side="right") - 1
            order = np.argsort(number, kind="stable")
            records = np.empty(len(order), _RECORD)
            records["cell"], records["gene"] = buffer.cells[order], buffer.genes[order]
            records["value"] = buffer.values[order]
            ends = np.searchsorted(number[order], np.arange(len(starts) + 1))
            for tile in np.flatnonzero(np.diff(ends)).tolist():
                with (folder / str(tile)).open("ab") as stream:
                    records[ends[tile] : ends[tile + 1]].tofile(stream)
            buffer.clear()


class _Buffer:
    """Values other than zero that wait for their tile.

    Attributes
    ----------
    last
        The cell that came last.
    """

    def __init__(self, room: int, n_genes: int) -> None:
        self._cells, self._genes = np.empty(room, np.int32), np.empty(room, np.int32)
        self._values: Array = np.empty(room, np.float32)
        self._start = self._size = self.last = 0
        self._n_genes = n_genes

    @property
    def cells(self) -> Array:
        return self._cells[: self._size]

    @property
    def genes(self) -> Array:
        return self._genes[: self._size]

    @property
    def values(self) -> Array:
        return self._values[: self._size]

    @property
    def new(self) -> tuple[Array, Array, Array]:
        """Cells, genes and values of the last chunk."""
        new = slice(self._start, self._size)
        return self._cells[new], self._genes[new], self._values[new]

    def add(self, chunk: Chunk) -> int:
        """Append what is not zero in a chunk, and return what was met."""
        need = self._size + len(chunk.values)
        if need > len(self._values):  # a cell of more values than a tile
            room = need + need // 2
            self._cells, self._genes = self._copy(self._cells, room), self._copy(self._genes, room)
            self._values = self._copy(self._values, room)
        self._start = self._size
        many, found = self._keep(chunk)
        if found & entries.DOUBLE and self._values.dtype == np.float32:
            self._values = self._copy(self._values, len(self._values), np.float64)
            many, found = self._keep(chunk)
        self._size += many
        if many:
            self.last = int(self._cells[self._size - 1])
        return found

    def _copy(self, values: Array, room: int, dtype: type | None = None) -> Array:
        out = np.empty(room, dtype or values.dtype)
        out[: self._size] = values[: self._size]
        return out

    def _keep(self, chunk: Chunk) -> tuple[int, int]:
        new = slice(self._size, self._size + len(chunk.values))
        out = self._cells[new], self._genes[new], self._values[new]
        given = chunk.cells, chunk.genes, chunk.values, self.last, self._n_genes
        many, found = entries.keep(*given, *out)
        return int(many), int(found)

    def before(self, cell: int) -> tuple[Array, Array, Array]:
        """Return cells, genes and values of the cells before one, all being in order."""
        many = int(np.searchsorted(self.cells, cell))
        return self._cells[:many], self._genes[:many], self._values[:many]

    def drop(self, many: int) -> None:
        """Forget the first of them."""
        for each in (self._cells, self._genes, self._values):
            each[: self._size - many] = each[many : self._size].copy()
        self._size -= many

    def clear(self) -> None:
        """Forget all."""
        self._size = 0
