"""Locks end with their process, however it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tessera.alive import await_jobs, is_held

HOLDER = (
    "import sys, time\nfrom pathlib import Path\nfrom tessera.alive import hold\n"
    "hold(Path(sys.argv[1]))\nprint('held', flush=True)\ntime.sleep(60)\n"
)


def holder(path: Path) -> subprocess.Popen[str]:
    environment = {"PYTHONPATH": str(Path(__file__).parents[2] / "scripts")}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_is_held_while_its_process_lives(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "run.lock"
    assert not is_held(path)
    process = holder(path)
    try:
        assert is_held(path)
        second = holder(path)  # shared: two may work at once
        second.kill()
        second.wait()
        assert is_held(path)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not is_held(path)


def test_nobody_to_wait_for(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    told: list[int] = []
    await_jobs(lambda: told.append(1))
    assert not told
