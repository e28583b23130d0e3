"""Outputs appear complete or not at all; bad input ends in sentences, not in a traceback."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tessera.errors import InputError, Problem
from tessera.job import Job, atomic


def fake(tmp_path: Path) -> SimpleNamespace:
    return SimpleNamespace(
        input=[], output=[], params=SimpleNamespace(), wildcards=[], threads=1,
        log=[str(tmp_path / "logs" / "x.log")], rule="rule",
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_finished_file_replaces_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.txt"
    for text in ("one", "two"):
        with atomic(target) as place:
            place.write_text(text)
    assert target.read_text() == "two"
    assert [p.name for p in target.parent.iterdir()] == ["file.txt"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic(target) as place:
        place.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_a_folder_appears_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "maps"
    with atomic(target, folder=True) as place:
        (place / "a").write_text("1")
        assert not target.exists()
    with atomic(target, folder=True) as place:
        (place / "b").write_text("2")
    assert [p.name for p in target.iterdir()] == ["b"]


def test_a_killed_writer_leaves_nothing_under_the_final_name(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\nfrom tessera.job import atomic\n"
        "with atomic('file.txt') as place:\n"
        "    place.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {"PYTHONPATH": str(Path(__file__).parents[2] / "scripts")}
    run = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=False)
    assert run.returncode == -9
    assert not (tmp_path / "file.txt").exists()
    with atomic(tmp_path / "file.txt") as place:
        place.write_text("whole")
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_bad_input_is_told_without_a_traceback(tmp_path: Path) -> None:
    job = fake(tmp_path)
    with pytest.raises(SystemExit) as ended, Job(job):
        print("working")
        raise InputError(Problem("a.tsv", "row 3", "no such thing", "mend it"))
    assert ended.value.code == 1
    assert Path(job.log[0]).read_text() == "working\na.tsv: row 3: no such thing; mend it.\n"


def test_a_bug_leaves_its_traceback_in_the_log(tmp_path: Path) -> None:
    job = fake(tmp_path)
    with pytest.raises(SystemExit), Job(job):
        raise ZeroDivisionError
    assert "Traceback" in Path(job.log[0]).read_text()


def test_progress_passes_items_on_and_reaches_the_log(tmp_path: Path) -> None:
    job = fake(tmp_path)
    with Job(job) as running:
        assert list(running.progress(range(5), "counting", 5)) == [0, 1, 2, 3, 4]
    text = Path(job.log[0]).read_text()
    assert "rule counting: 100%" in text
    assert "\r" not in text
    assert re.search(r"\nTook \d+\.\d\d s of CPU, \d\d+ MB\.\n$", text)


def test_standard_streams_come_back(tmp_path: Path) -> None:
    before = sys.stdout
    with Job(fake(tmp_path)):
        assert sys.stdout is not before
    assert sys.stdout is before
