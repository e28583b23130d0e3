"""What tests of several layers use: dry runs, real runs, copies of the project, digests."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Planned:
    """What a dry run found: the rules that would run, with how many jobs each and why."""

    jobs: list[Any] = field(default_factory=list)
    everything: list[Any] = field(default_factory=list)
    rules: dict[str, Any] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        names = [job.rule.name for job in self.jobs]
        return {name: names.count(name) for name in sorted(set(names))}


def plan(
    directory: Path,
    targets: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
    snakefile: Path = ROOT / "Snakefile",
) -> Planned:
    """Dry-run in this process, in hundredths of a second."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.enums import Quietness, RerunTrigger
    from snakemake.settings.types import (
        ConfigSettings,
        DAGSettings,
        OutputSettings,
        ResourceSettings,
        StorageSettings,
        WorkflowSettings,
    )

    before = Path.cwd(), dict(os.environ), list(sys.path)
    triggers = frozenset(RerunTrigger.all()) - {RerunTrigger.CODE}
    quiet = OutputSettings(quiet={Quietness.ALL}, verbose=False)
    try:
        with SnakemakeApi(quiet) as api:
            workflow_api = api.workflow(
                resource_settings=ResourceSettings(cores=2),
                config_settings=ConfigSettings(config=dict(config or {})),
                storage_settings=StorageSettings(),
                workflow_settings=WorkflowSettings(),
                snakefile=snakefile,
                workdir=directory,
            )
            dag_api = workflow_api.dag(
                DAGSettings(targets=frozenset(targets), rerun_triggers=triggers)
            )
            dag_api.execute_workflow(executor="dryrun")
            workflow = workflow_api._workflow
            return Planned(
                jobs=[job for job in workflow.dag.jobs if workflow.dag.needrun(job)],
                everything=list(workflow.dag.jobs),
                rules={rule.name: rule for rule in workflow.rules},
            )
    finally:
        os.chdir(before[0])
        os.environ.clear()
        os.environ.update(before[1])
        sys.path[:] = before[2]


@dataclass
class House:
    """A copy of the project that a test may change."""

    root: Path

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.root / path
        text = file.read_text(encoding="utf-8")
        assert old in text, f"{path} no longer holds {old!r}"
        file.write_text(text.replace(old, new), encoding="utf-8")


def copy_house(target: Path) -> Path:
    for name in ("config.yaml", "Snakefile"):
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    for name in ("rules", "schemas", "scripts", "envs", "report", "profiles"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, target / name, ignore=ignore)
    return target


def snakemake(
    directory: Path, *arguments: str, snakefile: Path = ROOT / "Snakefile", **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command line for real, on two cores."""
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(snakefile)),
        *("--cores", "2", "--directory", str(directory), *arguments),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def exists(pattern: str) -> Callable[[Path], bool]:
    """Return a moment of a run: something of this pattern is there."""
    return lambda folder: any(folder.glob(pattern))


def kill_and_resume(
    house: Path,
    arguments: Sequence[str],
    moments: Iterable[Callable[[Path], bool]],
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Run a copy of the project, kill -9 the run at each moment, clear up, and run it to its end.

    The head dies as a crashing machine would have it; the jobs that it started live on. `meanwhile`
    is called before each blow.
    """
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    resume = [sys.executable, "scripts/resume.py"]
    for moment in moments:
        run = subprocess.Popen(
            command, cwd=house, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + 300
        while not moment(house):
            assert run.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        meanwhile()
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        again = subprocess.run(resume, cwd=house, capture_output=True, text=True, check=False)
        assert again.returncode == 0, again.stderr
    last = subprocess.run(command, cwd=house, capture_output=True, text=True, check=False)
    assert last.returncode == 0, last.stderr
    assert not list(house.rglob(".tmp-*"))


def tree_digest(folder: Path) -> dict[str, str]:
    """Relative path to digest of every file of a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".snakemake_timestamp"
    }


def of_here_and_now(path: Path, content: bytes, folder: Path) -> bool:
    """Tell whether an unpacked result holds the folder of the run, the host or a date."""
    if str(folder).encode() in content:
        return True
    if not path.name.endswith((".json", ".tsv", ".html", ".regenie.gz")):
        return False
    text = re.sub(r"base64,[^\"')]+", "", content.decode())
    host = rf"\b{re.escape(socket.gethostname())}\b"
    return re.search(rf"20[2-9]\d-\d\d-\d\d|{host}", text) is not None


def columns_told(row: str) -> list[str]:
    """Return the names of columns in a row of a table of the docs."""
    return [cell for part in row.split(";") for cell in re.findall(r"`(\w+)`", part.split(":")[0])]


def shared_by_workers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that all workers of pytest-xdist have in common, or that of the session."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Make a folder unless another worker made it, or wait while that is at it."""
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            place = folder.with_suffix(".part")
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            make(place)
            place.rename(folder)
    return folder
