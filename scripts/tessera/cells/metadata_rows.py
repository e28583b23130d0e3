"""The rows of a table of metadata, as text, with the lines of the file they stand in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tessera.cells.faults import RAGGED, check_names, check_unique, told
from tessera.cells.streams import Bytes, Utf8, reading, table_stream
from tessera.errors import InputError, Problem

if TYPE_CHECKING:
    import pyarrow as pa

_MOST = 4 << 30  # bytes of a table, which is held in memory
_QUOTES = "close each quotation mark in the line where it opens"


@dataclass(frozen=True)
class Rows:
    """A table of metadata.

    Attributes
    ----------
    cells
        Names of the n cells, the first column.
    table
        All columns as text, without blanks around it.
    lines
        ``(n,)`` int64: line of the file of each row.
    """

    cells: list[str]
    table: pa.Table
    lines: npt.NDArray[np.int64]


def read_rows(source: Bytes) -> Rows:
    """Read a table, leaving out rows in which all cells are empty.

    Raises
    ------
    InputError
        With all that is wrong: rows of another length than the header, cells without a name, with
        line breaks in them, or with the same name; or why it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    header, separator, stream = table_stream(source)
    with stream:
        table, wrong = _parse(source.name, stream, separator, len(header))
    lines = np.arange(2, table.num_rows + len(wrong) + 2)
    lines = lines[~np.isin(lines, [line for line, _ in wrong])]
    columns = [pc.utf8_trim(column, " \t") for column in table.columns]
    kept = np.zeros(len(lines), np.bool_)
    for column in columns:
        kept |= pc.not_equal(column, "").to_numpy()
    table = pa.table(columns, table.column_names).filter(pa.array(kept))
    lines = lines[kept]
    cells = table.column(0).to_pylist()

    def tell(n: int) -> tuple[str, str]:
        line, found = wrong[n]
        return f"row {line}", f"found {found} cells where the header has {len(header)}"

    problems = told(source.name, wrong, tell, RAGGED)
    for number, name in enumerate(header):
        broken = np.flatnonzero(pc.match_substring(table.column(number), "\n").to_numpy())
        if len(broken):  # the numbers of later lines are those of rows, and may be too small
            place = f"row {lines[broken[0]]}, column {name or number + 1}"
            problems.append(Problem(source.name, place, "holds a line break", _QUOTES))
    if not cells and not wrong:
        what, remedy = "no rows below the header", "add a row for each cell"
        problems.append(Problem(source.name, "", what, remedy))
    problems += check_names(source.name, lambda n: f"row {lines[n]}", cells, "cell")
    problems += check_unique(source.name, lambda n: f"row {lines[n]}", cells)
    if problems:
        raise InputError(problems)
    return Rows(cells, table, lines)


def _parse(
    file: str, stream: Any, separator: str, width: int
) -> tuple[pa.Table, list[tuple[int, int]]]:
    """Return the rows of the right length, and line and length of the others."""
    import pyarrow as pa
    from pyarrow import csv

    wrong: list[tuple[int, int]] = []

    def skip(row: Any) -> str:
        wrong.append((row.number + 1, row.actual_columns))
        return "skip"

    names = [str(number) for number in range(width)]
    try:
        with reading(file):
            table = csv.read_csv(
                Utf8(stream, file, _MOST, 2),
                read_options=csv.ReadOptions(column_names=names, use_threads=False),
                parse_options=csv.ParseOptions(
                    delimiter=separator,
                    ignore_empty_lines=False,
                    newlines_in_values=True,
                    invalid_row_handler=skip,
                ),
                convert_options=csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
                ),
            )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return pa.table([pa.array([], pa.string())] * width, names), []
        raise InputError(Problem(file, "", "cannot be cut into cells", _QUOTES)) from None
    return table, wrong
