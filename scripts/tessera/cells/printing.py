"""Tables on a terminal, in a pipe, or as JSON: what the console command prints."""

from __future__ import annotations

import json
import math
import shutil
from typing import Any, TextIO

import pandas as pd

FORMATS = ("table", "tsv", "json")

_LEAST, _MOST = 1e-4, 1e7  # numbers of a table outside of this are shown with an exponent


def plain(value: Any) -> Any:
    """Return a cell of a table as JSON has it: what is missing or not finite is None."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if hasattr(value, "item"):
        return plain(value.item())
    return None if value is pd.NA or value is pd.NaT else value


def harmless(text: str) -> str:
    """Return a text in which what steers a terminal, such as escapes, is spelled out."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def write_table(frame: pd.DataFrame, stream: TextIO, form: str) -> None:
    """Print a table.

    Parameters
    ----------
    frame
        Columns of numbers and of text; the index is not shown.
    stream
        Where to.
    form
        ``table`` for people: aligned, with six digits, cut at the width of the terminal. ``tsv``
        and ``json`` (a list of objects) hold every digit.
    """
    if form == "json":
        names = list(frame.columns)
        rows = frame.itertuples(index=False, name=None)
        records = [dict(zip(names, map(plain, row), strict=True)) for row in rows]
        json.dump(records, stream, ensure_ascii=False, allow_nan=False, indent=1)
        stream.write("\n")
    elif form == "tsv":
        frame.to_csv(stream, sep="\t", index=False, na_rep="NaN", lineterminator="\n")
    else:
        _write_aligned(frame, stream)


def _write_aligned(frame: pd.DataFrame, stream: TextIO) -> None:
    columns: list[list[str]] = []
    for name, column in frame.items():
        numbers = pd.api.types.is_numeric_dtype(column)
        cells = [_number(v) if numbers else harmless(str(v)) for v in column.tolist()]
        cells.insert(0, harmless(str(name)))
        width = max(map(len, cells))
        columns.append([cell.rjust(width) if numbers else cell.ljust(width) for cell in cells])
    widest = shutil.get_terminal_size((10_000, 24)).columns if stream.isatty() else 10_000
    for row in zip(*columns, strict=True):
        line = "  ".join(row).rstrip()
        stream.write((line if len(line) <= widest else line[: widest - 1] + "…") + "\n")


def _number(value: float | None) -> str:
    value = plain(value)
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    if value and not _LEAST <= abs(value) < _MOST:
        return f"{value:.3e}"
    return f"{value:.6g}"
