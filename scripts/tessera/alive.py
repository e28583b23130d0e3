"""Who is at work in a folder: locks that the kernel frees when their process ends."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import IO

FOLDER = Path(".snakemake", "tessera")
RUN = FOLDER / "run.lock"
JOBS = FOLDER / "jobs.lock"

_held: list[IO[bytes]] = []


def hold(path: Path) -> None:
    """Hold a lock, shared with others, until this process ends.

    Where the file system has no locks or cannot be written to, nothing is held.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
        fcntl.flock(file, fcntl.LOCK_SH)
    except OSError:
        return
    _held.append(file)


def is_held(path: Path) -> bool:
    """Tell whether a process holds a lock."""
    if not path.exists():
        return False
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def await_jobs(tell: Callable[[], None]) -> None:
    """Wait until no job is at work; call ``tell`` first if one is."""
    if not is_held(JOBS):
        return
    tell()
    with JOBS.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
