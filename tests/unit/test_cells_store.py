import json
import shutil
import subprocess
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

import stores
from tessera.cells.manifest import MANIFEST
from tessera.cells.store import Conflict, Pointer, open_store
from tessera.errors import InputError
from versions import make_version

HOUR = 3600.0
ONE, TWO, THREE = (str(uuid.UUID(int=n)) for n in (1, 2, 3))


@pytest.fixture(scope="module")
def storage():
    with stores.object_storage():
        yield


@pytest.fixture(params=stores.KINDS)
def place(request, tmp_path):
    if request.param == "objects":
        request.getfixturevalue("storage")
    return stores.Place(request.param, tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three versions; not to be written to."""
    folder = tmp_path_factory.mktemp("made")
    names = [make_version(folder / str(seed), seed, matrices=False) for seed in range(3)]
    return [(folder / str(seed), name) for seed, name in enumerate(names)]


def told(call, *arguments):
    with pytest.raises(InputError) as caught:
        call(*arguments)
    return str(caught.value).splitlines()


def pretend(place, hours, dataset="toy"):
    """Make the versions as old as if they had been replaced so many hours ago."""
    pointer = place.store.current(dataset)
    older = tuple((one, when - hours * HOUR) for one, when in pointer.retired)
    place.write(f"{dataset}/CURRENT", replace(pointer, retired=older).encode())


def test_what_is_published_is_what_is_read(place, made):
    (folder, first), (_, second), _ = made
    store = place.store
    assert store.current("toy") is None
    assert store.versions("toy") == store.datasets() == []
    pointer = store.publish("toy", folder, None)
    assert pointer == store.current("toy") == Pointer(first)
    assert place.read("toy/CURRENT").decode().split()[0] == first
    before = time.time()
    pointer = store.publish("toy", made[1][0], pointer)
    assert pointer == store.current("toy")
    assert pointer.version == second
    [(retired, when)] = pointer.retired
    assert retired == first
    assert before <= when <= time.time()
    assert store.versions("toy") == sorted([first, second])
    assert store.datasets() == ["toy"]
    for source, version in made[:2]:
        assert store.check("toy", version) == []
        names = [path for path in source.rglob("*") if path.is_file() and path.name != MANIFEST]
        for path in names:
            copy = store.path("toy", version, path.relative_to(source).as_posix())
            assert copy.read_bytes() == path.read_bytes()
        manifest = json.loads((source / MANIFEST).read_text())
        assert store.manifest("toy", version) == manifest
        del manifest["files"]
        assert store.facts("toy", version) == manifest
    assert sum(name.startswith("toy/versions/") for name in place.names()) == 2 * len(names) + 2


def test_to_publish_again_what_is_current_changes_nothing(place, made):
    pointer = place.store.publish("toy", made[0][0], None)
    after = place.store.publish("toy", made[1][0], pointer)
    content = place.read("toy/CURRENT")
    # Whoever was killed after the switch asks again with what it began from.
    assert place.store.publish("toy", made[1][0], pointer) == after
    assert place.store.publish("toy", made[1][0], None) == after
    assert place.read("toy/CURRENT") == content


def test_a_publisher_that_comes_second_is_told(place, made):
    first = place.store.publish("toy", made[0][0], None)
    second = place.store.publish("toy", made[1][0], first)
    for base in (None, first):
        with pytest.raises(Conflict) as caught:
            place.store.publish("toy", made[2][0], base)
        assert str(caught.value) == (
            f"toy: is at version {made[1][1]}, which is not what this run began from: something "
            f"else was published meanwhile; run again to publish {made[2][1]} after it."
        )
    assert place.store.current("toy") == second
    # It is there, and may be made current by its name.
    assert place.store.check("toy", made[2][1]) == []
    assert place.store.rollback("toy", made[2][1]).version == made[2][1]
    with pytest.raises(Conflict, match=r"^other: is not published any more, which is not what "):
        place.store.publish("other", made[0][0], first)


def test_the_same_version_after_others_is_another_base(place, made):
    first = place.store.publish("toy", made[0][0], None)
    second = place.store.publish("toy", made[1][0], first)
    third = place.store.publish("toy", made[0][0], second)
    assert third.version == first.version
    assert third.token != first.token
    with pytest.raises(Conflict):
        place.store.publish("toy", made[2][0], first)


SECOND = """
import sys
from tessera.cells.store import Conflict, open_store
store = open_store(sys.argv[1])
base = store.current("toy")
print("ready", flush=True)
sys.stdin.readline()
try:
    print(store.publish("toy", sys.argv[2], base).version)
except Conflict:
    print("conflict")
"""


def test_of_two_processes_at_once_one_wins(place, made):
    place.store.publish("toy", made[0][0], None)
    scripts = Path(stores.__file__).resolve().parents[1] / "scripts"
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", SECOND, place.location, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=scripts,
        )
        for folder, _ in made[1:]
    ]
    for run in runs:
        assert run.stdout.readline() == "ready\n"
    for run in runs:
        run.stdin.write("\n")
        run.stdin.flush()
    said = [run.communicate()[0].strip() for run in runs]
    assert said.count("conflict") == 1
    winner = next(one for one in said if one != "conflict")
    assert place.store.current("toy").version == winner
    assert place.store.versions("toy") == sorted(version for _, version in made)


def test_rollback_goes_to_the_one_before_or_to_a_named_one(place, made):
    names = [version for _, version in made]
    pointer = None
    for folder, _ in made:
        pointer = place.store.publish("toy", folder, pointer)
    back = place.store.rollback("toy")
    assert (back.version, [one for one, _ in back.retired]) == (names[1], [names[0], names[2]])
    assert place.store.rollback("toy").version == names[2]
    assert place.store.rollback("toy", names[0]).version == names[0]
    assert place.store.rollback("toy", names[0]) == place.store.current("toy")


def test_rollback_that_cannot_be_says_why(place, made):
    (_, first), (_, second), _ = made
    for _ in range(2):
        assert told(place.store.rollback, "toy") == [
            "toy: has no version before the current one; name one of its versions, or publish one."
        ]
        pointer = place.store.publish("toy", made[0][0], None)
    assert told(place.store.rollback, "toy", second) == [
        f"toy: has no version {second}; expected one of {first}."
    ]
    assert told(place.store.rollback, "toy", "newest") == [
        "store: 'newest' is no name of a version; expected a UUID as the store lists them."
    ]
    place.store.publish("toy", made[1][0], pointer)
    place.write(f"toy/versions/{first}/genes.parquet", b"short")
    size = (made[0][0] / "genes.parquet").stat().st_size
    assert told(place.store.rollback, "toy") == [
        f"toy, version {first}: genes.parquet has 5 bytes instead of {size}; "
        "make the version again from its data."
    ]
    assert place.store.current("toy").version == second


def damage(place, version):
    """Do to a version all that may be done to it; returns what is to be found."""
    above = f"toy/versions/{version}/"
    place.remove(above + "cells.parquet")
    content = bytearray(place.read(above + "genes.parquet"))
    content[100] ^= 1
    place.write(above + "genes.parquet", bytes(content))
    size = len(place.read(above + "gene_index.npy"))
    place.write(above + "gene_index.npy", b"")
    place.write(above + "views/notes.txt", b"mine")
    return [
        "cells.parquet is missing",
        f"gene_index.npy has 0 bytes instead of {size}",
        "genes.parquet has other content than it had",
        "views/notes.txt is not in manifest.json",
    ]


def test_a_damaged_version_is_found_and_mended_by_publishing_it_again(place, made):
    folder, version = made[0]
    pointer = place.store.publish("toy", folder, None)
    expected = damage(place, version)
    assert place.store.check("toy", version) == expected
    assert place.store.publish("toy", folder, pointer) == pointer
    assert place.store.check("toy", version) == []
    later = place.store.publish("toy", made[1][0], pointer)
    damage(place, version)
    assert place.store.publish("toy", folder, later).version == version
    assert place.store.check("toy", version) == []
    place.write(f"toy/versions/{version}/{MANIFEST}", b"{}")
    assert place.store.check("toy", version) == ["manifest.json is damaged"]
    place.remove(f"toy/versions/{version}/{MANIFEST}")
    assert place.store.check("toy", version)[0].endswith("is missing")


def test_a_folder_that_is_not_what_its_manifest_says_is_refused(place, made, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(made[0][0], copy)
    (copy / "more.txt").write_text("x")
    (copy / "link").symlink_to("/etc/passwd")
    remedy = "make the version again from its data"
    assert told(place.store.publish, "toy", copy, None) == [
        f"{copy}: link is no plain file; {remedy}."
    ]
    (copy / "link").unlink()
    (copy / "cells.parquet").unlink()
    assert told(place.store.publish, "toy", copy, None) == [
        f"{copy}: cells.parquet is missing; {remedy}.",
        f"{copy}: more.txt is not in manifest.json; {remedy}.",
    ]
    (copy / MANIFEST).unlink()
    assert told(place.store.publish, "toy", copy, None) == [
        f"{copy}: manifest.json is missing or damaged; {remedy}."
    ]
    assert place.names() == []


def test_what_is_missing_is_missing(place, made):
    place.store.publish("toy", made[0][0], None)
    for version, name in ((made[0][1], "nothing.npy"), (ONE, "genes.parquet")):
        with pytest.raises(FileNotFoundError):
            place.store.path("toy", version, name)
    with pytest.raises(FileNotFoundError):
        place.store.manifest("toy", ONE)
    assert place.store.check("toy", ONE) == ["is missing"]


def test_whatever_stands_in_current_by_mistake_is_told_and_rollback_mends_it(place, made):
    place.store.publish("toy", made[0][0], None)
    for content in (
        b"",
        b"{",
        b"[]",
        b"{}",
        b"../x\n",
        b"\xff",
        made[0][1].encode() + b"\n[",
        made[0][1].encode() + b'\n{"retired": 2}',
    ):
        place.write("toy/CURRENT", content)
        [line] = told(place.store.current, "toy")
        assert line == (
            f"{place.location}/toy/CURRENT: does not name a version; "
            "roll back to one of the dataset's versions by its name."
        )
    assert told(place.store.rollback, "toy") == [line]
    assert place.store.rollback("toy", made[0][1]) == Pointer(made[0][1])
    assert place.store.current("toy") == Pointer(made[0][1])


def test_collect_removes_what_is_neither_among_the_newest_nor_in_its_time_of_grace(place, made):
    names = [version for _, version in made]
    pointer = None
    for folder, _ in made:
        pointer = place.store.publish("toy", folder, pointer)
    assert place.store.collect("toy", 1, 1.0) == []
    pretend(place, 2)
    assert place.store.collect("toy", 3, 1.0) == []
    assert place.store.collect("toy", 2, 1.0) == names[:1]
    assert place.store.versions("toy") == sorted(names[1:])
    assert place.store.collect("toy", 1, 3.0) == []
    assert place.store.collect("toy", 1, 1.0) == names[1:2]
    assert place.store.versions("toy") == names[2:]
    assert place.store.current("toy").version == names[2]
    assert all(name == "toy/CURRENT" or names[2] in name for name in place.names())
    assert place.store.collect("toy", 1, 0.0) == []
    assert told(place.store.rollback, "toy")[0].startswith("toy: has no version before")


def test_retired_versions_that_are_gone_are_forgotten(place, made):
    pointer = place.store.publish("toy", made[0][0], None)
    pointer = place.store.publish("toy", made[1][0], pointer)
    pretend(place, 2)
    place.store.collect("toy", 1, 1.0)
    pointer = place.store.publish("toy", made[2][0], place.store.current("toy"))
    assert [version for version, _ in pointer.retired] == [made[1][1]]


def test_the_time_of_grace_of_a_version_that_never_was_current_begins_when_it_was_written(
    place, made
):
    place.store.publish("toy", made[0][0], None)
    with pytest.raises(Conflict):
        place.store.publish("toy", made[1][0], None)
    assert place.store.collect("toy", 1, 1.0) == []
    time.sleep(1.1)  # the storage tells times in whole seconds
    assert place.store.collect("toy", 1, 0.0) == [made[1][1]]
    assert place.store.versions("toy") == [made[0][1]]


def test_a_dataset_that_never_was_is_nothing_to_collect(place):
    assert place.store.collect("toy", 1, 0.0) == []
    assert place.names() == []


def test_other_kinds_of_addresses_are_refused():
    assert told(open_store, "gs://bucket/x") == [
        "gs://bucket/x: is a gs address; expected a folder or s3://bucket/prefix."
    ]
