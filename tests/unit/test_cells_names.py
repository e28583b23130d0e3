import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stores
from tessera.cells.names import check_dataset, check_name, check_version
from tessera.cells.store import Pointer, decode, to_collect
from tessera.errors import InputError
from versions import make_version

HOUR = 3600.0
ONE, TWO, THREE = (str(uuid.UUID(int=n)) for n in (1, 2, 3))


@pytest.fixture(scope="module")
def storage():
    with stores.object_storage():
        yield


@pytest.fixture(scope="module", params=stores.KINDS)
def published(request, tmp_path_factory):
    """A store with one version of one dataset, the name of the version, and its folder."""
    if request.param == "objects":
        request.getfixturevalue("storage")
    folder = tmp_path_factory.mktemp("names")
    version = make_version(folder / "made", 1, matrices=False)
    store = stores.Place(request.param, folder).store
    store.publish("toy", folder / "made", None)
    return store, version, folder / "made"


def told(call, *arguments):
    with pytest.raises(InputError) as caught:
        call(*arguments)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../a", ".hidden", "a\0", "a b", "é", "x" * 101]
)
def test_names_of_datasets_do_not_lead_out_of_the_store(published, name):
    expected = [
        f"store: {name!r} is no name of a dataset; expected letters, digits and _ . - only, "
        "a letter or digit first, 100 at most."
    ]
    store, _, folder = published
    calls: list = [
        (store.current, name), (store.publish, name, folder, None), (store.rollback, name),
        (store.versions, name), (store.collect, name, 1, 0.0), (store.check, name, ONE),
        (store.manifest, name, ONE), (store.path, name, ONE, "genes.parquet"),
        (store.arrays, name, ONE, "X"),
    ]  # fmt: skip
    for call, *arguments in calls:
        assert told(call, *arguments) == expected


@pytest.mark.parametrize(
    "name", ["", "..", ONE.upper()[:-1] + "A", "{" + ONE + "}", ONE[:-1], ONE + "/.."]
)
def test_names_of_versions_are_uuids(published, name):
    store, _, _ = published
    for call in (store.check, store.manifest, store.rollback):
        assert told(call, "toy", name) == [
            f"store: {name!r} is no name of a version; expected a UUID as the store lists them."
        ]


@pytest.mark.parametrize(
    "name",
    ["", "..", "../CURRENT", "views/../../x", "/etc/passwd", "a//b", "./a", "a\\..\\b", "a\0"],
)
def test_names_of_files_stay_within_a_version(published, name):
    store, version, _ = published
    for call in (store.path, store.arrays):
        assert told(call, "toy", version, name) == [
            f"store: {name!r} is no file of a version; expected a path within the version."
        ]


TIMES = st.floats(0, 100, allow_nan=False)
NAMES = st.integers(0, 8).map(lambda n: str(uuid.UUID(int=n)))


@given(
    NAMES, st.dictionaries(NAMES, TIMES), st.dictionaries(NAMES, TIMES),
    st.integers(1, 5), st.floats(0, 50).map(lambda seconds: seconds / HOUR),
)  # fmt: skip
def test_collection_by_its_rule(current, written, retired, keep, grace):
    written = {**written, current: 0.0}
    retired.pop(current, None)
    gone = to_collect(Pointer(current, tuple(retired.items())), written, keep, grace, 100.0)
    since = {**written, **retired}
    assert len(set(gone)) == len(gone)
    assert current not in gone
    assert set(gone) <= set(written)
    assert all(100.0 - since[version] > grace * HOUR for version in gone)
    stay = set(written) - set(gone)
    assert len(stay) >= min(keep, len(written))
    # What stays without need is in its time of grace, or newer than all that goes.
    newest = sorted(set(written) - {current}, key=lambda one: (since[one], one))[
        -(keep - 1) or len(written) :
    ]
    for version in stay - {current} - set(newest if keep > 1 else []):
        assert 100.0 - since[version] <= grace * HOUR


@given(NAMES, st.lists(st.tuples(NAMES, TIMES)), st.lists(st.tuples(NAMES, TIMES)))
def test_a_pointer_is_read_as_it_was_written(version, retired, removing):
    pointer = Pointer(version, tuple(retired), tuple(removing))
    assert decode(pointer.encode(), "x") == pointer
    assert decode(pointer.encode(), "x").token == pointer.token
    assert Pointer(version, tuple(retired)).token == pointer.token


def test_good_names_are_taken_as_they_are():
    assert check_dataset("Zeng_2023.v1-a") == "Zeng_2023.v1-a"
    assert check_version(ONE) == ONE
    assert check_name("views/a+b%2Fc/serving.npy") == "views/a+b%2Fc/serving.npy"
    assert re.fullmatch(r"[0-9a-f]{64}", Pointer(TWO, ((THREE, 1.0),)).token)
