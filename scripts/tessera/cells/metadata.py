"""Metadata of cells: a table whose first column names the cell, matched to the cells of a matrix.

Rows in messages are lines of the file, from 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from tessera.cells.metadata_columns import (
    as_numbers,
    as_text,
    check_columns,
    check_groups,
    few,
    unknown_columns,
)
from tessera.cells.metadata_rows import Rows, read_rows
from tessera.cells.streams import Bytes, table_stream
from tessera.errors import InputError, Problem


class Metadata:
    """A CSV or TSV with a row for each cell.

    Parameters
    ----------
    source
        The table; its first column holds the names of the cells.

    Attributes
    ----------
    file
        As the user named it.
    columns
        Names of the other columns.

    Raises
    ------
    InputError
        The header cannot be read, or its columns have no names, the same, or reserved ones.
    """

    def __init__(self, source: Bytes) -> None:
        self.file, self._source = source.name, source
        header, _, stream = table_stream(source)
        stream.close()
        self.columns = header[1:]
        problems = check_columns(self.file, "row 1", self.columns)
        if problems:
            raise InputError(problems)

    @cached_property
    def _rows(self) -> Rows:
        return read_rows(self._source)

    def check(self, columns: Sequence[str]) -> None:
        """Read all rows, and look for columns that group cells.

        Raises
        ------
        InputError
            Rows that cannot be read, the same cell twice, columns that do not exist.
        """
        problems = unknown_columns(self.file, "row 1", self.columns, columns)
        try:
            _ = self._rows
        except InputError as error:
            problems += error.problems
        if problems:
            raise InputError(problems)

    def match(
        self, matrix: str, cells: Sequence[str], columns: Sequence[str]
    ) -> tuple[pd.DataFrame, list[str]]:
        """Return the rows of some cells.

        Parameters
        ----------
        matrix
            The file that the cells are of.
        cells
            Their names, unique.
        columns
            Columns that group cells, and are text whatever they look like. In the others what
            looks like numbers throughout becomes numbers.

        Returns
        -------
        table : DataFrame
            A row for each of ``cells``, in their order: ``cell`` and the columns of the file.
        warnings : list of str
            Rows of other cells.

        Raises
        ------
        InputError
            Rows that cannot be read, the same cell twice, cells without a row, columns that do not
            exist, gaps in those that group.
        """
        self.check([])
        problems = unknown_columns(self.file, "row 1", self.columns, columns)
        known, lines = self._rows.cells, self._rows.lines
        names = np.asarray(cells, object)
        rows = pd.Index(known, dtype=object).get_indexer(pd.Index(names, dtype=object))
        absent = np.flatnonzero(rows < 0)
        if len(absent):
            problems.append(self._absent(matrix, names, known[0], absent))
        kept = rows[rows >= 0]
        frame = pd.DataFrame({"cell": names[rows >= 0]}, dtype=object)
        for number, name in enumerate(self.columns, start=1):
            column = self._rows.table.column(number).take(kept)
            values = as_text(column) if name in columns else as_numbers(column)
            frame[name] = pd.Series(values, dtype=values.dtype)
            if name in columns:

                def place(n: int, name: str = name) -> str:
                    return f"row {lines[kept[n]]}, column {name}"

                problems += check_groups(self.file, place, values)
        if problems:
            raise InputError(problems)
        extra = np.ones(len(known), np.bool_)
        extra[kept] = False
        others = np.flatnonzero(extra)
        if not len(others):
            return frame, []
        shown = few([known[n] for n in others[:6]])
        count = f"{len(others):,} of {len(known):,} rows are of cells that {matrix} does not hold"
        return frame, [f"{self.file}: {count}: {shown}"]

    def _absent(
        self,
        matrix: str,
        cells: npt.NDArray[np.object_],
        known: str,
        absent: npt.NDArray[np.int64],
    ) -> Problem:
        shown = few(cells[absent[:6]].tolist())
        what = f"{len(absent):,} of {len(cells):,} cells of {matrix} have no row: {shown}"
        remedy = "add a row for each of them, or take them out of the matrix"
        if len(absent) == len(cells):
            remedy = f"name the cells as the matrix does; here the first is {known[:80]}"
        return Problem(self.file, "", what, remedy)


def cell_table(
    matrix: str, names: list[str], metadata: Metadata | None, columns: Sequence[str]
) -> tuple[pd.DataFrame, list[str]]:
    """Return cells with their metadata, and warnings; with their names alone if there is none.

    Raises
    ------
    InputError
        As `Metadata.match`.
    """
    if metadata:
        return metadata.match(matrix, names, columns)
    if columns:
        what = f"there are no metadata, and so no column {columns[0]}"
        raise InputError(Problem(matrix, "", what, "name the file of metadata in the sheet"))
    return pd.DataFrame({"cell": np.asarray(names, object)}, dtype=object), []
