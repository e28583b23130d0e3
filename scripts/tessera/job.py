"""The bridge between a Snakemake job and the library: log, threads, progress, atomic outputs."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import shutil
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, TypeVar

from threadpoolctl import threadpool_limits
from tqdm import tqdm

from tessera.alive import JOBS, hold
from tessera.errors import InputError

T = TypeVar("T")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def sync(path: Path) -> None:
    """Bring a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic(target: str | Path, *, folder: bool = False) -> Iterator[Path]:
    """Write a file, or a whole folder, so that it appears complete or not at all.

    Parameters
    ----------
    target
        Where the result belongs; its parent folders are made.
    folder
        Whether the result is a folder that the caller fills.

    Yields
    ------
    Path
        A place beside the target, of the same suffix, to write to. It is synced to disk and
        renamed when the block ends, and removed when the block fails. What a killed process
        left there is cleared by the next one.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    place = target.with_name(f".tmp-{target.name}")
    _remove(place)
    if folder:
        place.mkdir()
    try:
        yield place
        for path in sorted(place.rglob("*")) if folder else []:
            sync(path)
        sync(place)
        if folder:
            _remove(target)
        place.replace(target)
        sync(target.parent)
    except BaseException:
        _remove(place)
        raise


class Job:
    """One running job, as a context: ``with Job(snakemake) as job: ...``.

    Everything printed goes to the job's log, which ends with what the job took. Bad input ends the
    job with its sentences in the log and status 1, without a traceback; any other exception leaves
    its traceback there.

    Parameters
    ----------
    snakemake
        The object that Snakemake puts into a script's namespace.
    """

    def __init__(self, snakemake: Any) -> None:
        self.input = snakemake.input
        self.output = snakemake.output
        self.params = snakemake.params
        self.wildcards = snakemake.wildcards
        self.threads: int = snakemake.threads
        self._log_path = Path(snakemake.log[0])
        self._rule = f"{snakemake.rule} {' '.join(snakemake.wildcards)}".strip()
        self._terminal: TextIO = sys.stderr
        self._log: TextIO

    def __enter__(self) -> Job:
        # One thread for BLAS and OpenMP: jobs parallelise over items themselves, and a product
        # split over several threads may differ in its last bit. The variables reach libraries
        # that are still to be loaded, threadpoolctl those that are loaded already.
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
        threadpool_limits(1)
        hold(JOBS)
        self._log_path.parent.mkdir(parents=True, exist_ok=True)
        self._log = self._log_path.open("w", encoding="utf-8", buffering=1)
        self._streams = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = self._log
        logging.basicConfig(stream=self._log, level=logging.INFO, format="%(message)s", force=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, InputError):
            print(error, file=self._log)
        elif error is not None:
            traceback.print_exception(kind, error, trace, file=self._log)
        else:
            print(_cost(), file=self._log)
        sys.stdout, sys.stderr = self._streams
        self._log.close()
        if error is not None:
            sys.exit(1)  # the log has it all, and Snakemake shows the log of a failed job

    def progress(self, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        """Pass items on while a bar advances, in the log and (where it is one) on the terminal."""
        shared: dict[str, Any] = {"desc": f"{self._rule} {label}", "total": total}
        # In a file a bar is redrawn as a new line: every few seconds is enough.
        log_bar = tqdm(items, file=_Lines(self._log), ascii=True, ncols=90, mininterval=5, **shared)
        if not self._terminal.isatty():
            yield from log_bar
            return
        with tqdm(file=self._terminal, leave=False, **shared) as bar:
            for item in log_bar:
                yield item
                bar.update()


def _cost() -> str:
    """Tell what this process took: exact, where Snakemake's benchmarks are sampled."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    return f"Took {own.ru_utime + own.ru_stime:.2f} s of CPU, {peak_mb():.0f} MB."


def peak_mb() -> float:
    """Return the largest memory that this process has held, in MB.

    Linux tells it exactly; what ``getrusage`` tells begins with the memory of the parent process.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1.024e-3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1.024e-3


class _Lines:
    """A text stream in which every redrawing of a progress bar becomes a line of its own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        line = text.strip("\r\n ")
        if line:
            self._stream.write(line + "\n")

    def flush(self) -> None:
        self._stream.flush()
