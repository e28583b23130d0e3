"""Options and fixtures that all layers of the tests share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

from tools import House, copy_house, made_once, shared_by_workers, snakemake


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--reference-data",
        default=os.environ.get("TESSERA_REFERENCE_DATA"),
        help="folder of public reference data; tests that use it are skipped without",
    )


def pytest_make_parametrize_id(config: pytest.Config, val: object) -> str | None:
    """Name bytes by their number: what is in them (the time in gzip's header) may differ by run."""
    return f"{len(val)}-bytes" if isinstance(val, bytes) else None


@pytest.fixture
def reference_data(request: pytest.FixtureRequest) -> Path:
    folder = request.config.getoption("--reference-data")
    if not folder:
        pytest.skip("needs --reference-data DIR")
    return Path(folder)


@pytest.fixture(scope="session", autouse=True)
def compiled(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compile kernels once for all runs and workers of the session, not once per folder."""
    os.environ.setdefault("NUMBA_CACHE_DIR", str(shared_by_workers(tmp_path_factory) / "numba"))


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """BLAS as in a job: on small matrices several threads wait for one another."""
    with threadpool_limits(1):
        yield


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(copy_house(tmp_path / "house"))


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the toy data, made once for all tests; not to be written to."""

    def make(folder: Path) -> None:
        run = snakemake(folder, "toy")
        assert run.returncode == 0, run.stderr

    return made_once(shared_by_workers(tmp_path_factory) / "toy", make)


@pytest.fixture
def workdir(toy: Path, tmp_path: Path) -> Path:
    """A working directory of its own, with the toy data."""
    folder = tmp_path / "work"
    folder.mkdir()
    shutil.copytree(toy / "toy", folder / "toy", copy_function=os.link)
    return folder
