"""A bad item is set aside with its reason, in small valid outputs."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tessera.errors import InputError, Problem
from tessera.verdict import MARK, judge, read_verdict, write_verdict

PROBLEM = Problem("a.nii", "volume 3", "is broken", "mend it")


class Files(SimpleNamespace):
    def __iter__(self):
        return iter(vars(self).values())


def job(tmp_path: Path, earlier: list[Problem] | None = None):
    inputs = Files()
    if earlier is not None:
        write_verdict(tmp_path / "earlier.json", earlier)
        inputs.verdict = tmp_path / "earlier.json"
    outputs = Files(
        array=tmp_path / "a.npy", maps=tmp_path / "maps", verdict=tmp_path / "verdict.json"
    )
    return SimpleNamespace(input=inputs, output=outputs)


def fail(_: object) -> None:
    raise InputError(PROBLEM)


def test_a_sound_item_gets_a_clean_verdict(tmp_path: Path) -> None:
    done: list[object] = []
    running = job(tmp_path, earlier=[])
    judge(running, done.append)
    assert done == [running]
    assert read_verdict(running.output.verdict) == []


def test_a_bad_item_leaves_marked_outputs(tmp_path: Path) -> None:
    running = job(tmp_path)
    judge(running, fail)
    assert np.load(running.output.array).size == 0
    assert [p.name for p in running.output.maps.iterdir()] == [MARK]
    for path in (running.output.maps / MARK, running.output.verdict):
        assert json.loads(path.read_text())["problems"] == [PROBLEM.as_dict()]


def test_an_earlier_verdict_is_passed_on_without_work(tmp_path: Path) -> None:
    running = job(tmp_path, earlier=[PROBLEM])
    judge(running, lambda _: pytest.fail("work was done on a bad item"))
    assert read_verdict(running.output.verdict) == [PROBLEM]
