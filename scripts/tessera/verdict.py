"""Verdicts: how one bad item is set aside while all others go on.

Every step of an item reads the verdict of the step before. When that holds problems, or when the
step finds some itself, its outputs are small, valid and marked, and carry the problems on; the
group step lists them. So one call finishes the whole graph.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from tessera.errors import InputError, Problem
from tessera.job import Job, atomic

MARK = "quarantined.json"


def read_verdict(path: str | Path) -> list[Problem]:
    """Return the problems of an item; none for one that is sound so far."""
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    return [Problem(**problem) for problem in content["problems"]]


def write_verdict(path: str | Path, problems: Iterable[Problem]) -> None:
    """Write the problems of an item, in a stable order."""
    content = {"problems": [problem.as_dict() for problem in problems]}
    with atomic(path) as place:
        place.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _write_marked(path: Path, problems: list[Problem]) -> None:
    if path.suffix == ".npy":
        with atomic(path) as place:
            np.save(place, np.empty(0, np.float32))
    elif path.suffix == ".npz":
        with atomic(path) as place:
            np.savez(place)
    elif path.suffix == ".json":
        write_verdict(path, problems)
    elif not path.suffix:
        with atomic(path, folder=True) as place:
            write_verdict(place / MARK, problems)
    else:
        raise ValueError(f"no marked form of {path.name}")


def judge(job: Job, work: Callable[[Job], None]) -> None:
    """Do the work of one item, or pass on why it cannot be done.

    Parameters
    ----------
    job
        The running job. Read of it: ``input.verdict`` where there is one, and all outputs. An
        output named ``verdict`` is written here.
    work
        Writes the other outputs; raises `InputError` when the item's data are at fault.
    """
    earlier = getattr(job.input, "verdict", None)
    problems = read_verdict(earlier) if earlier else []
    if not problems:
        try:
            work(job)
        except InputError as error:
            print(error)
            problems = list(error.problems)
    verdict = getattr(job.output, "verdict", None)
    if problems:
        for path in map(Path, job.output):
            _write_marked(path, problems)
    elif verdict:
        write_verdict(verdict, [])
