"""Tables of the pipeline as parquet: their columns, and files that are the same each time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tessera.imaging.grid import Point, Step
from tessera.imaging.objects import schema

# Not codes such as 007, nor numbers of more digits than would come back.
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?")

ROW_GROUP = 100_000
"""Rows that a reader takes at once, however many parts they came in."""

NEIGHBOURS = pa.schema(
    [
        ("image", pa.string()), ("params", pa.string()), ("label", pa.uint32()),
        ("neighbour", pa.uint32()), ("distance", pa.float64()),
    ]
)  # fmt: skip
IMAGES = pa.schema(
    [
        ("image", pa.string()), ("path", pa.string()), ("depth", pa.int64()),
        ("height", pa.int64()), ("width", pa.int64()), ("ndim", pa.int64()),
        ("dtype", pa.string()), ("voxel_z", pa.float64()), ("voxel_y", pa.float64()),
        ("voxel_x", pa.float64()), ("unit", pa.string()), ("status", pa.string()),
    ]
)  # fmt: skip
"""What is told of an image; columns of the sheet follow."""
PARAMETERS = pa.schema(
    [
        *((name, pa.string()) for name in ("params", "filter", "threshold", "morphology")),
        ("filter_name", pa.string()), ("sigma", pa.float64()), ("size", pa.int64()),
        ("threshold_name", pa.string()), ("value", pa.float64()), ("low", pa.float64()),
        ("high", pa.float64()), ("op", pa.string()), ("radius", pa.int64()),
        ("polarity", pa.string()), ("connectivity", pa.int64()), ("min_size", pa.int64()),
        ("border", pa.string()),
    ]
)  # fmt: skip
"""What is told of a point of the grid; null where it does not apply."""


class TableWriter:
    """A parquet file written piece by piece, as a context.

    Its bytes depend on the rows alone, not on how they were cut into pieces, and no more than a
    row group and a piece are held.

    Parameters
    ----------
    path
        The file.
    fields
        Its columns.
    """

    def __init__(self, path: str | Path, fields: pa.Schema) -> None:
        self._fields = fields
        # Without a copy of the schema in Arrow's own terms: the columns' types say it all.
        self._writer = pq.ParquetWriter(path, fields, compression="zstd", store_schema=False)
        self._rest = fields.empty_table()
        self._any = False

    def add(self, table: pa.Table) -> None:
        """Append rows of these columns."""
        self._rest = pa.concat_tables([self._rest, table.select(self._fields.names)])
        self._write(len(self._rest) // ROW_GROUP * ROW_GROUP)

    def _write(self, many: int) -> None:
        if many:
            full = self._rest.slice(0, many).combine_chunks()
            self._writer.write_table(full, row_group_size=ROW_GROUP)
            self._rest = self._rest.slice(many).combine_chunks()
            self._any = True

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._write(len(self._rest))
            if not self._any:
                self._writer.write_table(self._rest)
        self._writer.close()


def object_schema(properties: Sequence[str]) -> pa.Schema:
    """Return the columns of ``objects.parquet``.

    Parameters
    ----------
    properties
        Groups of columns, of `tessera.imaging.objects.GROUPS`.
    """
    of_point = schema(properties)
    return pa.schema([("image", pa.string()), ("params", pa.string()), *of_point])


def of_point(table: pa.Table, image: str, params: str) -> pa.Table:
    """Return a table with columns ``image`` and ``params`` before its own."""
    for k, (name, value) in enumerate((("image", image), ("params", params))):
        column = pa.repeat(pa.scalar(value, pa.string()), len(table))
        table = table.add_column(k, pa.field(name, pa.string()), column)
    return table


def neighbour_table(
    a: npt.NDArray[np.int64], b: npt.NDArray[np.int64], distance: npt.NDArray[np.float64]
) -> pa.Table:
    """Return a table of what `tessera.imaging.neighbours.neighbours` found, by label."""
    arrays = [pa.array(a + 1, pa.uint32()), pa.array(b + 1, pa.uint32()), pa.array(distance)]
    return pa.table(arrays, names=["label", "neighbour", "distance"])


def gather(parts: Iterable[str | Path], path: str | Path, fields: pa.Schema) -> int:
    """Put the files of images into one, a row group at a time.

    Parameters
    ----------
    parts
        Files of these columns, in the order wanted.
    path
        The file to write.
    fields
        Its columns.

    Returns
    -------
    int
        Number of rows.
    """
    rows = 0
    with TableWriter(path, fields) as writer:
        for part in parts:
            with pq.ParquetFile(part) as file:
                for batch in file.iter_batches(ROW_GROUP):
                    writer.add(pa.Table.from_batches([batch]).cast(fields))
                    rows += len(batch)
    return rows


def image_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> pa.Table:
    """Return the table of images.

    Parameters
    ----------
    rows
        Of each image what `IMAGES` names, as far as it is known, and the sheet's text of each of
        the sample columns.
    columns
        Names of sample columns, in the order of the sheet.

    Returns
    -------
    pyarrow.Table
        `IMAGES`, and the sample columns: numbers where all that is there are numbers written as
        such (not ``007``), text elsewhere; null where the sheet has nothing.
    """
    arrays = [pa.array([row.get(field.name) for row in rows], field.type) for field in IMAGES]
    samples = [_typed([str(row.get(name) or "") for row in rows]) for name in columns]
    return pa.table([*arrays, *samples], names=[*IMAGES.names, *columns])


def _typed(texts: list[str]) -> pa.Array:
    """Return a column of the narrowest type that loses nothing."""
    there = [text if text not in ("", "n/a") else None for text in texts]
    known = [text for text in there if text is not None]
    kinds = ((pa.int64(), int, _WHOLE), (pa.float64(), float, _NUMBER))
    for kind, read, form in kinds if known else ():
        if all(form.fullmatch(text) for text in known):
            return pa.array([None if text is None else read(text) for text in there], kind)
    return pa.array(there, pa.string())


def parameter_table(points: Sequence[Point], settings: Mapping[str, Any]) -> pa.Table:
    """Return the table of the points of the grid.

    Parameters
    ----------
    points
        In the order of the grid.
    settings
        The section of the configuration: ``polarity``, ``connectivity``, ``min_size`` and
        ``border`` are the same for all of them.

    Returns
    -------
    pyarrow.Table
        `PARAMETERS`, null where a step has no such number.
    """
    rows = []
    for point in points:
        steps = {
            "filter": point.filter, "threshold": point.threshold, "morphology": point.morphology
        }  # fmt: skip
        row: dict[str, Any] = {"params": point.name}
        row |= {name: words(step) for name, step in steps.items()}
        row |= {"filter_name": point.filter.kind, "threshold_name": point.threshold.kind}
        row["op"] = point.morphology.kind
        for step in steps.values():
            row |= {name: value for name, value in step.numbers if name in PARAMETERS.names}
        row |= {name: settings[name] for name in ("polarity", "connectivity", "min_size", "border")}
        rows.append(row)
    arrays = [pa.array([row.get(field.name) for row in rows], field.type) for field in PARAMETERS]
    return pa.table(arrays, schema=PARAMETERS)


def words(step: Step) -> str:
    """Return a step in words: ``gaussian, sigma 2``."""
    numbers = (f"{name.replace('_', ' ')} {value:g}" for name, value in step.numbers)
    return ", ".join([step.kind, *numbers])


def write_small(path: str | Path, table: pa.Table) -> None:
    """Write a table that is held as a whole."""
    with TableWriter(path, table.schema) as writer:
        writer.add(table)
