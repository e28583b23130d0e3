"""One finished run of the toy data, which most smoke tests look at."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools import made_once, shared_by_workers, snakemake


@pytest.fixture(scope="session")
def finished(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all pipelines ran to their end; not to be written to."""

    def make(folder: Path) -> None:
        shutil.copytree(toy / "toy", folder / "toy")
        run = snakemake(folder)
        assert run.returncode == 0, run.stderr

    return made_once(shared_by_workers(tmp_path_factory) / "finished", make)
