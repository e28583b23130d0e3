"""Queries in SQL over the files of a version, and over nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from tessera.errors import InputError, Problem

MEMORY = "1GB"
SECONDS = 60.0
_ADDRESSES = 4 << 30  # bytes of address space, of which a program uses much more than of memory
_THREADS = min(4, os.cpu_count() or 1)
_WORKER = Path(__file__).with_name("sql_worker.py")

# What a program needs to find its libraries, and no keys of any storage.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH", "TZ")


def view_names(groupings: list[str]) -> dict[str, str]:
    """Return what the view of each grouping is called in SQL.

    Parameters
    ----------
    groupings
        Names of groupings, as of their folders.

    Returns
    -------
    dict
        The name itself, to be put into double quotes where it has anything but letters, digits and
        ``_``. SQL tells no upper from lower case, and has tables ``genes`` and ``cells`` besides:
        whatever would be called like another gets ``_`` at its end, until it is not.
    """
    taken, names = {"genes", "cells"}, {}
    for grouping in groupings:
        name = grouping
        while name.casefold() in taken:
            name += "_"
        taken.add(name.casefold())
        names[grouping] = name
    return names


def run_query(
    views: Mapping[str, Path], query: str, rows: int | None = None, seconds: float = SECONDS
) -> pd.DataFrame:
    """Answer a query.

    It is answered by DuckDB in a process of its own, with limits to its time and memory, that can
    read the files of the views and can write none.

    Parameters
    ----------
    views
        Name of each view, and the Parquet file that it shows.
    query
        One SELECT, in the language of DuckDB.
    rows
        How many rows the answer may have; any number if None.
    seconds
        How long it may take.

    Raises
    ------
    InputError
        If it is anything but one SELECT, is wrong, reads or writes another file, takes longer,
        needs more memory or gives more rows.
    FileNotFoundError
        If a file is gone.
    """
    request = {
        "views": {name: str(path) for name, path in views.items()}, "query": query, "rows": rows,
        "memory": MEMORY, "threads": _THREADS, "address_space": _ADDRESSES,
        "cpu_seconds": int(seconds * _THREADS) + 5,
    }  # fmt: skip
    try:
        # Safe path (-P): modules of ours beside the worker are called like some of Python's.
        run = subprocess.run(
            [sys.executable, "-P", str(_WORKER)],
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=seconds,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        )
    except subprocess.TimeoutExpired:
        what, remedy = f"the query takes longer than {seconds:g} s", "ask for less"
        raise InputError(Problem("SQL", "", what, remedy)) from None
    if run.returncode == 0:
        return _frame(run.stdout)
    for path in views.values():
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing")
    raise InputError(Problem("SQL", "", *_told(_fault(run.stderr), views, rows)))


def _frame(content: bytes) -> pd.DataFrame:
    table = pa.ipc.open_stream(content).read_all()
    for at, field in enumerate(table.schema):
        if pa.types.is_decimal(field.type):  # sums of whole numbers are, whatever they are of
            table = table.set_column(at, field.name, table.column(at).cast(pa.float64()))
    return table.to_pandas()


def _fault(said: bytes) -> dict[str, Any]:
    """Return what the worker told; of one that died nothing but memory is the reason."""
    try:
        return json.loads(said)
    except ValueError:
        return {"kind": "OutOfMemoryException", "said": ""}


def _told(fault: dict[str, Any], views: Mapping[str, Path], rows: int | None) -> tuple[str, str]:
    """Put what is wrong into what and remedy, without the places of files."""
    names = "views are " + ", ".join('"' + name.replace('"', '""') + '"' for name in views)
    said = str(fault["said"])
    match fault["kind"]:
        case "statements":
            return f"found {said} statements", "expected one SELECT"
        case "type":
            what = f"found a statement of the kind {said}"
            return what, "expected a SELECT, which only reads"
        case "rows":
            what = f"the answer has more than {rows:,} rows"
            return what, f"add LIMIT {rows}, or let SQL add up"
        case "PermissionException":
            what = "the query reads or writes a file, or loads something"
            return what, f"only views can be read ({names})"
        case "OutOfMemoryException":
            return f"the query needs more than {MEMORY} of memory", "ask for less"
        case _:
            what = said.strip().splitlines()[0].rstrip(".;! ")
            return what, f"correct the query ({names})"
