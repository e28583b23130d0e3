import time
from pathlib import Path

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import S3Store

import stores
from tessera.cells.manifest import MANIFEST
from tessera.cells.object_store import ObjectStore
from tessera.cells.store import Conflict, Pointer, open_store
from tessera.errors import InputError
from versions import make_version

HOUR = 3600.0


@pytest.fixture(scope="module", autouse=True)
def storage():
    with stores.object_storage() as address:
        yield address


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    names = [make_version(folder / str(seed), seed, matrices=False) for seed in range(2)]
    return [(folder / str(seed), name) for seed, name in enumerate(names)]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TESSERA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def place(tmp_path, cache):
    return stores.Place("objects", tmp_path)


def told(call, *arguments):
    with pytest.raises(InputError) as caught:
        call(*arguments)
    return str(caught.value)


def test_the_storage_of_these_tests_keeps_conditions_of_puts(place):
    objects = S3Store.from_url(place.location)
    first = obstore.put(objects, "x", b"1", mode="create")
    with pytest.raises(AlreadyExistsError):
        obstore.put(objects, "x", b"2", mode="create")
    second = obstore.put(objects, "x", b"3", mode={"e_tag": first["e_tag"]})
    with pytest.raises(PreconditionError):
        obstore.put(objects, "x", b"4", mode={"e_tag": first["e_tag"]})
    assert second["e_tag"] != first["e_tag"]
    assert bytes(obstore.get(objects, "x").bytes()) == b"3"


def test_a_version_that_is_being_removed_cannot_become_current(place, made):
    (_, first), (folder, _) = made
    pointer = place.store.publish("toy", made[0][0], None)
    pointer = place.store.publish("toy", folder, pointer)
    mark = Pointer(pointer.version, pointer.retired, ((first, time.time()),))
    place.write("toy/CURRENT", mark.encode())
    expected = f"toy: version {first} is just being removed; try again later."
    for call in (
        lambda: place.store.publish("toy", made[0][0], pointer),
        lambda: place.store.rollback("toy", first),
    ):
        with pytest.raises(Conflict) as caught:
            call()
        assert str(caught.value) == expected
    # Another publisher does not lose by it: the version is the one that it began from.
    assert place.store.current("toy").token == pointer.token


def test_a_version_that_was_removed_while_it_was_checked_cannot_become_current(place, made):
    (folder, first), (_, second) = made
    pointer = place.store.publish("toy", made[1][0], None)
    with pytest.raises(Conflict):
        place.store.publish("toy", folder, None)

    class Slow(ObjectStore):
        def check(self, dataset, version):
            faults = super().check(dataset, version)
            time.sleep(1.1)  # the storage tells times in whole seconds
            assert place.store.collect("toy", 1, 0.0) == [first]
            return faults

    for call in (
        lambda slow: slow.publish("toy", folder, pointer),
        lambda slow: slow.rollback("toy", first),
    ):
        with pytest.raises(Conflict) as caught:
            call(Slow(place.location))
        assert str(caught.value) == f"toy: version {first} was removed meanwhile; try again."
        assert place.store.current("toy") == Pointer(second)
        with pytest.raises(Conflict):
            place.store.publish("toy", folder, None)


def test_marks_that_came_and_went_are_told_from_none(place, made):
    # A publisher may be stopped between its look at CURRENT and its put for any time.
    (folder, first), (_, second) = made
    pointer = place.store.publish("toy", made[1][0], None)
    with pytest.raises(Conflict):
        place.store.publish("toy", folder, None)
    before = obstore.head(S3Store.from_url(place.location), "toy/CURRENT")["e_tag"]
    time.sleep(1.1)  # the storage tells times in whole seconds
    assert place.store.collect("toy", 1, 0.0) == [first]
    assert place.store.current("toy") == pointer == Pointer(second)
    assert obstore.head(S3Store.from_url(place.location), "toy/CURRENT")["e_tag"] != before


def test_what_a_killed_collector_had_begun_to_remove_is_removed_by_another(place, made):
    (_, first), (folder, _) = made
    pointer = place.store.publish("toy", made[0][0], None)
    pointer = place.store.publish("toy", folder, pointer)
    place.remove(f"toy/versions/{first}/{MANIFEST}")
    for age, gone in ((0.5, []), (1.5, [first])):
        mark = Pointer(pointer.version, pointer.retired, ((first, time.time() - age * HOUR),))
        place.write("toy/CURRENT", mark.encode())
        assert place.store.collect("toy", 1, 0.0) == gone
    assert place.store.current("toy").removing == ()
    assert all(name == "toy/CURRENT" or pointer.version in name for name in place.names())
    assert place.store.publish("toy", made[0][0], place.store.current("toy")).version == first


def test_an_upload_that_was_killed_is_no_version_and_is_finished_or_collected(place, made):
    (folder, first), _ = made
    pointer = place.store.publish("toy", made[1][0], None)
    above = f"toy/versions/{first}/"
    place.write(above + "genes.parquet", b"the first half")
    place.write(above + "views/cell_type/rest.txt", b"of another try")
    assert place.store.versions("toy") == [pointer.version]
    assert place.store.check("toy", first) == ["is missing"]
    assert "has no version" in told(place.store.rollback, "toy", first)
    assert place.store.collect("toy", 1, 1.0) == []
    pointer = place.store.publish("toy", folder, pointer)
    assert pointer.version == first
    assert place.store.check("toy", first) == []
    begun = "00000000-0000-0000-0000-000000000001"
    place.write(f"toy/versions/{begun}/genes.parquet", b"the first half")
    time.sleep(1.1)  # the storage tells times in whole seconds
    # Its publisher may be alive: it goes after an hour, even if there is no time of grace.
    assert place.store.collect("toy", 1, 0.0) == [made[1][1]]
    assert place.store.versions("toy") == [first]
    assert all(place.read(name) for name in place.names() if begun in name)
    assert {name.split("/")[2] for name in place.names() if "/versions/" in name} == {first, begun}


def test_a_file_is_fetched_once_and_named_by_its_digest(place, made, cache):
    folder, version = made[0]
    place.store.publish("toy", folder, None)
    path = place.store.path("toy", version, "genes.parquet")
    entry = next(
        e for e in place.store.manifest("toy", version)["files"] if e["path"] == "genes.parquet"
    )
    assert path == cache / entry["sha256"][:2] / entry["sha256"]
    place.remove(f"toy/versions/{version}/genes.parquet")
    assert place.store.path("toy", version, "genes.parquet") == path
    assert path.read_bytes() == (folder / "genes.parquet").read_bytes()
    path.write_bytes(b"short")
    with pytest.raises(FileNotFoundError):
        place.store.path("toy", version, "genes.parquet")


def test_what_is_fetched_damaged_is_refused_and_not_kept(place, made, cache):
    folder, version = made[0]
    place.store.publish("toy", folder, None)
    size = (folder / "genes.parquet").stat().st_size
    place.write(f"toy/versions/{version}/genes.parquet", b"x" * size)
    assert told(place.store.path, "toy", version, "genes.parquet") == (
        f"{place.location}/toy/versions/{version}/genes.parquet: has other content than it had; "
        "make the version again from its data."
    )
    assert [path for path in cache.rglob("*") if path.is_file()] == []
    place.write(f"toy/versions/{version}/{MANIFEST}", b'{"files": []}')
    assert told(open_store(place.location).manifest, "toy", version) == (
        f"toy, version {version}: manifest.json is damaged; make the version again from its data."
    )


def test_without_a_name_the_cache_is_the_users_own(place, made, monkeypatch, tmp_path):
    folder, version = made[0]
    place.store.publish("toy", folder, None)
    monkeypatch.delenv("TESSERA_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    path = place.store.path("toy", version, "cells.parquet")
    assert path.is_relative_to(tmp_path / "home" / ".cache" / "tessera")


def test_a_storage_that_cannot_be_used_is_told_in_one_sentence(monkeypatch, storage):
    remedy = "check bucket, AWS_ENDPOINT_URL, AWS_REGION and the keys in the environment"
    for location in ("s3://no-such-bucket/x", "s3://"):
        said = told(lambda: open_store(location).publish("toy", Path("x"), None))  # noqa: B023
    said = told(open_store("s3://no-such-bucket/x").datasets)
    assert said.startswith("s3://no-such-bucket/x: cannot be used (")
    assert said.endswith(f"); {remedy}.")
    assert "\n" not in said
    assert told(open_store, "s3://").endswith(f"); {remedy}.")


def test_what_there_is_is_what_there_is_in_a_folder(place, made, tmp_path):
    folder = stores.Place("folder", tmp_path)
    for one in (place, folder):
        one.store.publish("toy", made[0][0], None)
    assert place.names() == sorted(folder.names())
    assert folder.read("toy/CURRENT").decode() == f"{made[0][1]}\n"
    assert place.read("toy/CURRENT").decode() == f'{made[0][1]}\n{{"serial": 1}}'
