import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import killing
from tessera.cells.local_store import LocalStore
from tessera.cells.reading import Cells
from tessera.cells.store import Conflict
from versions import make_version

HOUR = 3600.0


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three versions; not to be written to."""
    folder = tmp_path_factory.mktemp("made")
    for seed in range(3):
        make_version(folder / str(seed), seed, matrices=False)
    return folder


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "store")


def test_nobody_can_write_to_what_is_published(store, made, tmp_path):
    before = os.umask(0)
    try:
        version = store.publish("toy", made / "0", None).version
    finally:
        os.umask(before)
    home = tmp_path / "store" / "toy"
    modes = {path: path.stat().st_mode & 0o777 for path in home.rglob("*")}
    published = home / "versions" / version
    for path, mode in modes.items():
        if path.is_relative_to(published):
            assert mode == (0o755 if path.is_dir() else 0o444), path
        else:
            assert mode == (0o755 if path.is_dir() else 0o644), path
    assert home.stat().st_mode & 0o777 == 0o755


def test_what_is_published_is_a_copy(store, made, tmp_path):
    source = tmp_path / "source"
    version = make_version(source, 7, matrices=False)
    store.publish("toy", source, None)
    with (source / "genes.parquet").open("r+b") as stream:
        stream.write(b"something else")
    assert store.check("toy", version) == []


def test_who_reads_a_version_that_is_mended_or_removed_reads_on(store, made, tmp_path):
    pointer = store.publish("toy", made / "0", None)
    cells = Cells(tmp_path / "store", "toy")
    now = cells.snapshot()
    before = now.gene("Gad1")
    store.path("toy", pointer.version, "cells.parquet").unlink()
    values = store.path("toy", pointer.version, "views/cell_type/serving.npy")
    inode = values.stat().st_ino
    assert store.publish("toy", made / "0", pointer) == pointer
    assert values.stat().st_ino != inode  # it took the place of the other, which is mapped still
    assert now.gene("Gad1").equals(before)
    pointer = store.publish("toy", made / "1", pointer)
    time.sleep(0.01)
    assert store.collect("toy", 1, 0.0) == [now.version]
    assert now.gene("Gad1").equals(before)
    assert not cells.gene("Gad1").equals(before)


def test_what_killed_processes_left_behind_goes_after_its_time(store, made, tmp_path):
    pointer = store.publish("toy", made / "0", None)
    versions = tmp_path / "store" / "toy" / "versions"
    for name in (".tmp-young", ".tmp-old", ".tmp-old-but-written-to", ".trash-x-y"):
        (versions / name / "views").mkdir(parents=True)
        (versions / name / "views" / "x").write_text("x")
        if "old" in name:
            for path in (
                versions / name / "views" / "x",
                versions / name / "views",
                versions / name,
            ):
                os.utime(path, (0, time.time() - 2 * HOUR))
    (versions / ".tmp-old-but-written-to" / "views" / "x").write_text("y")
    assert store.versions("toy") == [pointer.version]
    assert store.collect("toy", 1, 1.0) == []
    left = {path.name for path in versions.iterdir()}
    assert left == {pointer.version, ".tmp-young", ".tmp-old-but-written-to"}


def test_what_a_publisher_is_at_work_on_is_nobody_elses(store, made, tmp_path):
    store.publish("toy", made / "0", None)
    place = tmp_path / "store" / "toy" / "versions" / ".tmp-somebody"
    place.mkdir()
    with (place / "held").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        time.sleep(0.01)
        store.collect("toy", 1, 0.0)
        assert place.exists()
    store.collect("toy", 1, 0.0)
    assert not place.exists()


def test_other_files_in_a_store_are_left_alone(store, made, tmp_path):
    store.publish("toy", made / "0", None)
    (tmp_path / "store" / "notes").mkdir()
    (tmp_path / "store" / "notes" / "x.txt").write_text("x")
    (tmp_path / "store" / "toy" / "versions" / "mine").mkdir()
    (tmp_path / "store" / ".old").mkdir()
    (tmp_path / "store" / ".old" / "CURRENT").write_text("x")
    assert store.datasets() == ["toy"]
    assert len(store.versions("toy")) == 1
    assert store.collect("toy", 1, 0.0) == []
    assert (tmp_path / "store" / "notes" / "x.txt").exists()
    assert (tmp_path / "store" / "toy" / "versions" / "mine").exists()


def test_a_publisher_that_fails_leaves_nothing_behind(store, made, tmp_path):
    pointer = store.publish("toy", made / "0", None)
    with pytest.raises(Conflict):
        store.publish("toy", made / "1", None)
    names = {path.name for path in (tmp_path / "store" / "toy").rglob(".*")}
    assert names == {".lock"}
    assert store.current("toy") == pointer


def test_publishers_wait_for_one_another(store, made, tmp_path):
    pointer = store.publish("toy", made / "0", None)
    script = (
        "import sys; from tessera.cells.store import open_store\n"
        "store = open_store(sys.argv[1]); base = store.current('toy'); print('ready', flush=True)\n"
        "print(store.publish('toy', sys.argv[2], base).version)"
    )
    scripts = Path(killing.__file__).resolve().parents[1] / "scripts"
    versions = tmp_path / "store" / "toy" / "versions"
    with (tmp_path / "store" / "toy" / ".lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = subprocess.Popen(
            [sys.executable, "-c", script, store.location, str(made / "1")],
            stdout=subprocess.PIPE, text=True, cwd=scripts,
        )  # fmt: skip
        assert run.stdout.readline() == "ready\n"
        while not list(versions.glob(".tmp-*/copy/manifest.json")):
            time.sleep(0.01)
        # It has copied, and neither its version nor the switch can come before the lock is free.
        assert store.current("toy") == pointer
        assert store.versions("toy") == [pointer.version]
    assert run.communicate()[0].strip() == store.current("toy").version != pointer.version


def test_publishers_and_collectors_killed_at_any_time_do_no_harm(made, tmp_path):
    run = subprocess.run(
        [sys.executable, killing.__file__, str(tmp_path / "store"), str(made), "30", "1"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout)
    assert seen["not there"] + seen["there"] + seen["current"] == 20


def test_values_are_mapped_not_loaded(store, made, tmp_path):
    store.publish("toy", made / "0", None)
    view = Cells(tmp_path / "store", "toy").snapshot().view()
    assert type(view.values) is np.ndarray
    assert not view.values.flags.writeable
    assert not view.values.flags.owndata
