"""Whatever dies, however the work is cut: the same versions. Bad uploads: readers go on."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest

from tessera.cells.reading import Cells
from tools import ROOT, copy_house, exists, kill_and_resume, plan, snakemake, tree_digest

STORE = "results/cells/store"
TILED = ["--config", "threads=1", "cells={batch_nnz: 100000}"]
MOMENTS = (
    "results/work/cells/*/verdict.json",
    "results/work/cells/tissue/stats/*/*.npy",
    "results/work/cells/*/version",
    f"{STORE}/*/CURRENT",
)


def versions_of(folder: Path) -> dict[str, str]:
    """Digest of every file of every version; CURRENT as its first word."""
    found = {
        path: digest for path, digest in tree_digest(folder / STORE).items() if "/versions/" in path
    }
    for path in (folder / STORE).glob("*/CURRENT"):
        found[path.parent.name] = path.read_text().split()[0]
    return found


@pytest.fixture
def done(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, of this pipeline alone."""
    folder = tmp_path / "run"
    words = ("neuro", "astro", "vgwas", "wgr")
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns(*words))
    return folder


def upload(folder: Path, text: str) -> None:
    """Replace the cells of `upload` by a CSV, with metadata for a, b, c."""
    data = folder / "toy/cells/data"
    (data / "new.csv").write_text(text)
    (data / "new.tsv").write_text("cell\tcell_type\tdonor\na\tx\t1\nb\tx\t1\nc\ty\t1\n")
    sheet = "dataset\tmatrix\tmetadata\nupload\tdata/new.csv\tdata/new.tsv\n"
    (folder / "toy/cells/datasets.tsv").write_text(sheet)


def test_killed_and_resumed_in_other_tiles(finished: Path, tmp_path: Path) -> None:
    """Batches of 100,000 values, one thread, kill -9 four times: the same bytes are published."""
    house = copy_house(tmp_path / "house")
    shutil.copytree(finished / "toy/cells", house / "toy/cells")
    kill_and_resume(house, ["cells", *TILED], map(exists, MOMENTS))
    assert versions_of(house) == versions_of(finished)
    tables = ("datasets.tsv", "quarantine.tsv", "ledger.json")
    for name in tables:
        found, expected = (root / "results/cells" / name for root in (house, finished))
        assert found.read_bytes() == expected.read_bytes(), name


def test_a_refused_upload_changes_nothing_for_readers(done: Path) -> None:
    before = versions_of(done)
    stop, seen = threading.Event(), set()

    def poll() -> None:
        cells = Cells(str(done / STORE), "upload")
        while not stop.is_set():
            seen.add((cells.snapshot().version, cells.gene("GAPDH", "cell_type")["n"].sum()))

    reader = threading.Thread(target=poll)
    reader.start()
    try:
        upload(done, "cell,GAPDH,ACTB\na,1,2\nb,,4\nc,5,6\n")
        run = snakemake(done, "cells")
    finally:
        stop.set()
        reader.join()
    assert run.returncode == 0, run.stderr
    quarantine = (done / "results/cells/quarantine.tsv").read_text()
    assert "new.csv\trow 3, column GAPDH\t" in quarantine
    assert seen == {(before["upload"], 300)}
    assert versions_of(done) == before


def test_a_new_version_takes_the_place_of_the_old_and_can_be_taken_back(done: Path) -> None:
    old = versions_of(done)["upload"]
    upload(done, "cell,GAPDH,ACTB\na,1,2\nb,3,4\nc,5,6\n")
    run = snakemake(done, "cells")
    assert run.returncode == 0, run.stderr
    new = versions_of(done)["upload"]
    assert new != old
    table = Cells(str(done / STORE), "upload").gene("GAPDH", "cell_type")
    assert table["n"].tolist() == [2, 1]
    command = [sys.executable, str(ROOT / "scripts/cells.py"), "rollback"]
    back = subprocess.run(
        [*command, "--store", str(done / STORE), "--dataset", "upload"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert back.returncode == 0, back.stderr
    assert versions_of(done)["upload"] == old
    # The run finds that what it published is no longer what readers see only if asked to.
    assert Cells(str(done / STORE), "upload").gene("GAPDH", "cell_type")["n"].sum() == 300


def test_strict_fails_with_the_reason(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "toy/cells", tmp_path / "toy/cells")
    run = snakemake(tmp_path, "results/work/cells/check.json", "--config", "cells={strict: true}")
    page = snakemake(tmp_path, "results/cells/cells.html", "--config", "cells={strict: true}")
    assert run.returncode == 0 or "spoiled.csv" in run.stderr
    assert page.returncode != 0
    assert "spoiled.csv" in page.stderr
    assert "Traceback" not in page.stderr


def test_settings_rerun_what_they_touch_and_nothing_else(done: Path) -> None:
    def counts(**section: object) -> dict[str, int]:
        return plan(done, ["cells"], {"cells": section}).counts

    assert counts() == {}
    assert counts(keep_versions=5) == {"cells": 1, "cells_gc": 4, "cells_report": 1}
    assert counts(strict=True) == {"cells": 1, "cells_check": 1, "cells_report": 1}
    again = counts(trim=0.1)
    assert "cells_check" not in again
    assert again["cells_aggregate"] == 8
    # Tiles of cells and genes are not kept, and have to be made again.
    assert again["cells_ingest"] == 4


def test_changed_files_rerun_their_dataset_alone(done: Path) -> None:
    path = done / "toy/cells/data/tenx.metadata.tsv"
    text = path.read_text()
    path.unlink()
    path.write_text(f"{text}extra\tAstro\tD1\t41\n")
    counts = plan(done, ["cells"]).counts
    assert counts["cells_ingest"] == counts["cells_publish"] == 1


def test_another_writer_between_two_runs_is_not_lost(done: Path, tmp_path: Path) -> None:
    """What was published meanwhile stays among the versions."""
    upload(done, "cell,GAPDH,ACTB\na,1,2\nb,3,4\nc,5,6\n")
    assert snakemake(done, "cells").returncode == 0
    first = versions_of(done)["upload"]
    upload(done, "cell,GAPDH,ACTB\na,1,2\nb,3,4\nc,5,7\n")
    assert snakemake(done, "cells").returncode == 0
    assert versions_of(done)["upload"] != first
    assert (done / STORE / "upload/versions" / first / "manifest.json").exists()
    view = done / STORE / "upload/versions" / first / "views/cell_type/stats.parquet"
    assert len(pd.read_parquet(view)) == 4
