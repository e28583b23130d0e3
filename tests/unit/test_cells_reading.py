import re
import threading
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

import stores
from tessera.cells.reading import Cells
from tessera.cells.store import Pointer
from tessera.errors import InputError
from versions import COLUMNS, GENES, counts_of, make_version, statistics


@pytest.fixture(scope="module")
def storage():
    with stores.object_storage():
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two versions; not to be written to."""
    folder = tmp_path_factory.mktemp("made")
    return [(folder / str(seed), make_version(folder / str(seed), seed)) for seed in range(2)]


@pytest.fixture
def place(tmp_path):
    return stores.Place("folder", tmp_path)


@pytest.fixture(params=stores.KINDS)
def published(request, tmp_path, made, monkeypatch):
    """A store that holds the first version."""
    monkeypatch.setenv("TESSERA_CACHE", str(tmp_path / "cache"))
    if request.param == "objects":
        request.getfixturevalue("storage")
    place = stores.Place(request.param, tmp_path)
    place.store.publish("toy", made[0][0], None)
    return place


@pytest.fixture
def cells(published):
    return Cells(published.location, "toy")


def told(call, *arguments):
    with pytest.raises(InputError) as caught:
        call(*arguments)
    return str(caught.value).splitlines()


def expected(seed, gene, by):
    """Return a row per group, straight from the counts."""
    counts, obs = counts_of(seed)
    labels = obs[by].agg("|".join, axis=1)
    values = counts[:, GENES.index(gene)]
    rows = [[g, *statistics(values[labels == g])] for g in sorted(set(labels))]
    frame = pd.DataFrame(rows, columns=["group", *COLUMNS])
    return frame.astype({"n": np.int64, "count_nonzero": np.int64})


def test_a_gene_in_all_groups(cells, made):
    now = cells.snapshot()
    assert now.version == made[0][1]
    assert now.groupings == ["cell_type", "cell_type+sex"]
    for gene in GENES:
        pd.testing.assert_frame_equal(cells.gene(gene), expected(0, gene, ["cell_type"]))
        frame = cells.gene(gene, "cell_type+sex")
        pd.testing.assert_frame_equal(frame, expected(0, gene, ["cell_type", "sex"]))


def test_what_a_reader_does_to_an_answer_is_its_own_affair(cells):
    before = cells.gene("Sst")
    changed = cells.gene("Sst")
    changed.loc[:, "group"] = "x"
    changed.loc[:, "mean"] = 7.0
    pd.testing.assert_frame_equal(cells.gene("Sst"), before)


def test_the_highest_genes_of_a_group(cells):
    for by in ("mean", "fraction", "max"):
        frame = cells.top_genes("Exc", by=by, n=4)
        assert list(frame) == ["gene", *COLUMNS]
        every = pd.concat([expected(0, gene, ["cell_type"])[:1] for gene in GENES])
        every = every.assign(group=GENES).rename(columns={"group": "gene"})
        best = every.sort_values(by, ascending=False, kind="stable")[:4].reset_index(drop=True)
        pd.testing.assert_frame_equal(frame, best)
    assert len(cells.top_genes("Exc|F", "cell_type+sex", n=100)) == len(GENES)
    assert len(cells.top_genes("Exc", n=0)) == len(cells.top_genes("Exc", n=-1)) == 0


def test_missing_values_are_never_the_highest(place, tmp_path):
    make_version(
        tmp_path / "v", 0, n_cells=3, groupings={"cell_type": ("cell_type",)}, matrices=False
    )
    place.store.publish("toy", tmp_path / "v", None)
    cells = Cells(place.location, "toy")
    alone = next(g for g, n in cells.gene("Sst")[["group", "n"]].to_numpy() if n == 1)
    assert len(cells.top_genes(alone, by="var")) == 0
    assert cells.gene("Sst").set_index("group")["var"].isna()[alone]


def test_cells_of_a_gene(cells, made):
    counts, obs = counts_of(0)
    for at, gene in enumerate(GENES):
        frame = cells.gene_cells(gene)
        nonzero = np.flatnonzero(counts[:, at])
        assert frame.cell.tolist() == obs.index[nonzero].tolist()
        np.testing.assert_array_equal(frame.value, counts[nonzero, at])
        assert frame.value.dtype == np.float32
    whole = anndata.read_zarr(made[0][0] / "gene_major.zarr")
    np.testing.assert_array_equal(whole.X.toarray(), counts)


def test_sql_has_a_view_per_grouping_and_the_tables(cells):
    frame = cells.sql('SELECT * FROM "cell_type+sex" WHERE gene = \'Vip\' ORDER BY "group"')
    pd.testing.assert_frame_equal(
        frame.drop(columns="gene"), expected(0, "Vip", ["cell_type", "sex"]), check_dtype=False
    )
    total = cells.sql("SELECT (SELECT sum(sum) FROM genes), (SELECT sum(total) FROM cells)")
    assert total.iloc[0].tolist() == [counts_of(0)[0].sum()] * 2
    assert told(cells.sql, "FROM cells", 59) == [
        "SQL: the answer has more than 59 rows; add LIMIT 59, or let SQL add up."
    ]


def test_what_is_not_there_is_told_with_what_is(cells):
    assert told(cells.gene, "slc17a7") == [
        "toy: has no gene slc17a7; expected the name of one of its 9 genes (did you mean Slc17a7?)."
    ]
    assert told(cells.gene_cells, "Zzz") == [
        "toy: has no gene Zzz; expected the name of one of its 9 genes."
    ]
    assert told(cells.gene, "\udcff") == [
        "toy: has no gene \udcff; expected the name of one of its 9 genes."
    ]
    for grouping, hint in (("cell_typ", " (did you mean cell_type?)"), ("../cells", ""), ("", "")):
        assert told(cells.gene, "Sst", grouping) == [
            f"toy: has no grouping {grouping}; expected one of cell_type, cell_type+sex{hint}."
        ]
    assert told(cells.top_genes, "exc", None, "men") == [
        "toy: has no group of cell_type exc; expected one of Exc, Glia, Inh (did you mean Exc?).",
        f"toy: has no statistic in cell_type men; expected one of {', '.join(COLUMNS)} "
        "(did you mean mean?).",
    ]


def test_a_dataset_that_is_not_there_is_told_with_those_that_are(place, made, cells):
    assert told(Cells(place.location + "/none", "toy").snapshot) == [
        f"{place.location}/none: holds no published dataset; publish one first (snakemake cells)."
    ]
    location = cells.store.location
    assert told(Cells(location, "toi").gene, "Sst") == [
        f"{location}: has no dataset toi; expected one of toy (did you mean toy?)."
    ]


def test_a_new_version_is_read_at_once_and_a_snapshot_stays(cells, made):
    now = cells.snapshot()
    before = now.gene("Sst")
    cells.store.publish("toy", made[1][0], cells.store.current("toy"))
    pd.testing.assert_frame_equal(cells.gene("Sst"), expected(1, "Sst", ["cell_type"]))
    pd.testing.assert_frame_equal(now.gene("Sst"), before)
    # So do files that it had not opened before.
    frame = now.gene("Sst", "cell_type+sex")
    pd.testing.assert_frame_equal(frame, expected(0, "Sst", ["cell_type", "sex"]))
    cells.store.rollback("toy")
    pd.testing.assert_frame_equal(cells.gene("Sst"), before)


def test_two_versions_stay_open(place, made, tmp_path):
    store, versions = place.store, [*(folder for folder, _ in made), tmp_path / "third"]
    make_version(versions[2], 2, matrices=False)
    cells, pointer, seen = Cells(place.location, "toy"), None, []
    for folder in versions:
        pointer = store.publish("toy", folder, pointer)
        seen.append(cells.snapshot())
        assert cells.snapshot() is seen[-1]
    store.rollback("toy")
    assert cells.snapshot() is seen[1]
    store.rollback("toy", seen[0].version)
    assert cells.snapshot() is not seen[0]


def test_a_reader_whose_version_is_removed_asks_once_more(published, cells, made):
    pointer, asked = cells.store.current("toy"), []

    def question(now):
        asked.append(now.version)
        if len(asked) == 1:
            now.gene("Sst")
            cells.store.publish("toy", made[1][0], pointer)
            for name in published.names():
                if now.version in name:
                    published.remove(name)
        return now.gene("Sst"), now.gene("Sst", "cell_type+sex")

    fine, coarse = cells.ask(question)
    assert asked == [made[0][1], made[1][1]]
    pd.testing.assert_frame_equal(fine, expected(1, "Sst", ["cell_type"]))
    pd.testing.assert_frame_equal(coarse, expected(1, "Sst", ["cell_type", "sex"]))


@pytest.mark.parametrize("name", ["gene_index.npy", "views/cell_type/serving.npy", "cells.parquet"])
def test_a_file_that_is_missing_twice_is_told(place, made, name):
    version = place.store.publish("toy", made[0][0], None).version
    path = place.store.path("toy", version, name)
    path.unlink()
    cells = Cells(place.location, "toy")
    call = cells.gene if name != "cells.parquet" else cells.gene_cells
    assert told(call, "Sst") == [
        f"toy: the version that is current lacks a file ({path} is missing); "
        "publish it again, or roll back to another version."
    ]


def test_a_missing_chunk_is_not_taken_for_zeros(place, made):
    version = place.store.publish("toy", made[0][0], None).version
    before = Cells(place.location, "toy").gene_cells("Sst")
    assert len(before) > 0
    for name in ("data", "indices", "indptr"):
        path = place.store.path("toy", version, f"gene_major.zarr/X/{name}/c/0")
        content = path.read_bytes()
        path.unlink()
        [line] = told(Cells(place.location, "toy").gene_cells, "Sst")
        assert re.fullmatch(
            rf"toy: the version that is current lacks a file \(X/{name}/c/0 is missing in .*\); "
            "publish it again, or roll back to another version\\.",
            line,
        )
        path.write_bytes(content)
        assert Cells(place.location, "toy").gene_cells("Sst").equals(before)


def test_threads_that_read_while_versions_change_meet_one_at_a_time(place, made):
    for folder, _ in made:
        place.store.publish("toy", folder, place.store.current("toy"))
    cells, faults, done = Cells(place.location, "toy"), [], threading.Event()
    truth = [expected(seed, "Sst", ["cell_type"]) for seed in range(2)]
    other = [expected(seed, "Sst", ["cell_type", "sex"]) for seed in range(2)]

    def read():
        while not done.is_set():
            now = cells.snapshot()
            seed = [version for _, version in made].index(now.version)
            same = now.gene("Sst").equals(truth[seed])
            if not (same and now.gene("Sst", "cell_type+sex").equals(other[seed])):
                faults.append(now.version)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    home = Path(place.location, "toy")
    for number in range(50):
        (home / "next").write_bytes(Pointer(made[number % 2][1]).encode())
        (home / "next").replace(home / "CURRENT")
    done.set()
    for reader in readers:
        reader.join()
    assert faults == []


def test_a_relative_store_is_read_from_where_it_was_opened(place, made, tmp_path, monkeypatch):
    place.store.publish("toy", made[0][0], None)
    monkeypatch.chdir(tmp_path)
    cells = Cells("store", "toy")
    assert len(cells.sql("FROM cells")) == 60
    assert all(path.is_absolute() for path in cells.snapshot().views.values())
