"""An HDF5 file that is not trusted: errors as sentences, and nothing outside of it."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from tessera.cells import h5ad_probe
from tessera.cells.streams import reading
from tessera.errors import InputError, Problem
from tessera.job import THREAD_VARIABLES

WRITE = "write the file again with anndata's write_h5ad"

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_PATIENCE, _SPEED = 60, 1e6  # seconds, and bytes per second beyond


@contextmanager
def reading_h5(file: str) -> Iterator[None]:
    """Turn errors of reading an HDF5 file into `InputError`.

    Parameters
    ----------
    file
        The file as the user named it.
    """
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:  # what a damaged file raises is all but any
        text = " ".join(str(error).split()).rstrip(".")
        raise InputError(_damaged(file, f" ({text[:100]})" if text else "")) from None


def _damaged(file: str, why: str = "") -> Problem:
    what = "is cut short" if "truncated" in why else f"is damaged{why}"
    return Problem(file, "", what, "copy it again, or write it again")


def open_h5(file: str) -> h5py.File:
    """Open a file for reading that `check_safety` found no fault with.

    Raises
    ------
    InputError
        It cannot be opened.
    """
    with reading_h5(file):
        return h5py.File(file, "r")


def check_safety(file: str) -> None:
    """Read through a file in a process of its own: one that damages it reads no further.

    Raises
    ------
    InputError
        The file is damaged, or holds what `tessera.cells.h5ad_probe` refuses.
    """
    with reading(file), Path(file).open("rb") as stream:
        status = os.fstat(stream.fileno())
        if stream.read(len(_SIGNATURE)) != _SIGNATURE:
            what, remedy = "is no .h5ad file", "name one that anndata's write_h5ad wrote"
            raise InputError(Problem(file, "", what, remedy))
    problems = _probe(file, status.st_size, status.st_mtime_ns)
    if problems:
        raise InputError(problems)


@functools.lru_cache(maxsize=16)
def _probe(file: str, size: int, modified: int) -> list[Problem]:
    """Return what is wrong with a file of a size and time."""
    try:
        probe = subprocess.run(
            [sys.executable, h5ad_probe.__file__, str(Path(file).absolute())],
            env=os.environ | dict.fromkeys(THREAD_VARIABLES, "1"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE + size / _SPEED,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [_damaged(file, " (reading it has no end)")]
    if probe.returncode:
        last = probe.stderr.strip().splitlines()[-1:] if probe.returncode > 0 else []
        texts = [line.partition(": ")[2] or line for line in last]  # without the exception's name
        return [_damaged(file, "".join(f" ({text[:100].rstrip('.')})" for text in texts))]
    return [Problem(file, place, what, WRITE) for place, what in json.loads(probe.stdout)]


def text_of(value: Any) -> str:
    """Return a text of an HDF5 file, which may be bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)
