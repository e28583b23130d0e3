"""Verification passes what is sound, and tells what is not, wherever the fault was planted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from hypothesis import given as drawn
from hypothesis import settings as how
from hypothesis import strategies as st
from scipy.stats import trim_mean

from assembled import Given, Made, make
from tessera.cells import routes, zarr_matrices
from tessera.cells.layout import Part, Rows
from tessera.cells.manifest import MANIFEST, write_manifest
from tessera.cells.routes import rows_between
from tessera.cells.spot_checks import statistic
from tessera.cells.verify import VerificationError, verify


def matrix(seed: int = 2) -> Given:
    random = np.random.default_rng(seed)
    values = random.poisson(0.9, (60, 25)).astype(float)
    values[:, 4] = 0
    table = pd.DataFrame(
        {
            "cell": [f"c{k}" for k in range(60)],
            "kind": random.choice(["x", "y", "z"], 60),
            "sex": random.choice(["f", "m"], 60),
        }
    )
    return Given(values, [f"g{k}" for k in range(25)], table, warnings=["a warning"])


def build(folder: Path, **settings: Any) -> Made:
    return make(folder, matrix(), [["kind"], ["kind", "sex"]], settings, batch_nnz=200)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return build(tmp_path_factory.mktemp("sound") / "made")


@pytest.fixture
def made(sound: Made, tmp_path: Path) -> Made:
    """A copy that may be spoiled."""
    home = sound.rows.parent
    shutil.copytree(home, tmp_path / "made")

    def moved(path: Path) -> Path:
        return tmp_path / "made" / path.relative_to(home)

    parts = list(map(moved, sound.parts))
    return Made(moved(sound.rows), parts, {}, moved(sound.version), sound.settings)


def look(made: Made) -> dict[str, Any]:
    return verify(made.rows, made.parts, made.version, made.settings, 1)


def refused(made: Made, *, told_anew: bool = False) -> list[str]:
    """Return what verification says; with a new manifest, as if the fault had come before it."""
    if told_anew:
        facts = json.loads((made.version / MANIFEST).read_text())
        (made.version / MANIFEST).unlink()
        del facts["version"], facts["files"]
        write_manifest(made.version, facts)
    with pytest.raises(VerificationError) as caught:
        look(made)
    return str(caught.value).splitlines()


@pytest.mark.parametrize("normalize", ["none", "cpm", "log1p_cpm", "log2_cpm"])
def test_what_is_sound_passes(tmp_path: Path, normalize: str) -> None:
    made = build(tmp_path, normalize=normalize, percentiles=[2.5, 50, 99], min_cells=5, trim=0.1)
    found = look(made)
    manifest = json.loads((made.version / MANIFEST).read_text())
    assert found["version"] == manifest["version"]
    assert found["warnings"] == ["a warning"]
    nnz, n_files = np.count_nonzero(matrix().values), len(manifest["files"])
    assert found["checks"][:2] == [
        f"{n_files} files have the bytes and digests of the manifest",
        f"count and sum of each of 25 genes, and a fingerprint of all {nnz} values with their "
        "places, are the same by 4 routes: cells of the tiles, genes of the parts, "
        "cell_major.zarr, gene_major.zarr",
    ]
    assert found["checks"][2] == (
        "view kind: the cells of all 3 groups were counted again, and stats.parquet and "
        "serving.npy hold the same"
    )
    assert found["checks"][3].endswith(
        "pairs of gene and group, drawn at random, were worked out again from the matrix, in 12 "
        "statistics"
    )
    assert len(found["checks"]) == 6


def test_the_seed_decides_the_sample_alone(sound: Made) -> None:
    assert look(sound) == look(sound)


def change(path: Path, alter: Callable[[np.ndarray], None]) -> None:
    values = np.load(path)
    alter(values)
    np.save(path, values)


def nudge(values: np.ndarray) -> None:
    values[3] += 1


def test_a_changed_value_of_a_part_is_found(made: Made) -> None:
    change(made.parts[1] / "values.npy", nudge)
    (line,) = refused(made)
    assert line.startswith("gene g")
    assert "by genes of the parts, but" in line
    assert line.endswith("by cells of the tiles")


def test_a_changed_byte_of_a_part_is_found(made: Made) -> None:
    path = made.parts[2] / "values.npy"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1  # a high bit of the last value's fraction
    path.write_bytes(content)
    assert "by genes of the parts, but" in refused(made)[0]


def test_values_at_other_cells_are_found(made: Made) -> None:
    """Two values of a gene change places: no count and no sum of a gene tells."""
    values = np.load(made.parts[0] / "values.npy")
    k = int(np.flatnonzero(np.diff(values[: Part(made.parts[0]).indptr[1]]))[0])

    def swap(values: np.ndarray) -> None:
        values[[k, k + 1]] = values[[k + 1, k]]

    change(made.parts[0] / "values.npy", swap)
    assert refused(made) == [
        "values are others, or at other places, by genes of the parts than by cells of the tiles"
    ]


def test_a_changed_value_of_a_tile_is_found_on_all_routes(made: Made) -> None:
    change(made.rows / "00001.values.npy", nudge)
    lines = refused(made)
    others = ("genes of the parts", "cell_major.zarr", "gene_major.zarr", "genes.parquet")
    assert len(lines) == len(others)
    for line, name in zip(lines, others, strict=True):
        assert f"by {name}, but" in line


def test_genes_that_do_not_exist_are_found(made: Made) -> None:
    def beyond(genes: np.ndarray) -> None:
        genes[0] = 25

    change(made.rows / "00000.genes.npy", beyond)
    with pytest.raises(ValueError, match="genes 0 to 25, where there are 25"):
        look(made)


def test_many_genes_that_differ_are_counted(made: Made) -> None:
    def double(values: np.ndarray) -> None:
        values *= 2

    change(made.rows / "00000.values.npy", double)
    lines = refused(made)
    assert sum("more genes differ by" in line for line in lines) == 4
    assert len(lines) == 4 * 6


@pytest.mark.parametrize("name", ["views/kind/stats.parquet", "gene_major.zarr/X/data/c/0"])
def test_a_changed_byte_of_the_version_is_found(made: Made, name: str) -> None:
    path = made.version / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert refused(made) == [f"manifest.json: {name} has other content than it had"]


def test_a_missing_and_an_extra_file_are_found(made: Made) -> None:
    (made.version / "views/kind/groups.parquet").unlink()
    (made.version / "more.txt").write_text("more")
    assert refused(made) == [
        "manifest.json: views/kind/groups.parquet is missing",
        "manifest.json: more.txt is not in manifest.json",
    ]


def alter_table(path: Path, alter: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    table = pq.read_table(path)
    changed = alter(table.to_pandas())
    pq.write_table(pa.Table.from_pandas(changed, table.schema, preserve_index=False), path)


def test_a_changed_value_of_a_view_is_found(made: Made) -> None:
    def alter(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[(table["gene"] == "g7") & (table["group"] == "y"), "p75"] += 1e-6
        return table

    alter_table(made.version / "views/kind/stats.parquet", alter)
    assert refused(made, told_anew=True) == [
        "view kind: gene g7, group y: stats.parquet and serving.npy are not the same"
    ]


def test_a_missing_row_of_a_view_is_found(made: Made) -> None:
    alter_table(made.version / "views/kind+sex/stats.parquet", lambda table: table.iloc[1:])
    assert refused(made, told_anew=True) == ["view kind+sex: stats.parquet has 149 rows"]


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        ("n", "n is not the number of cells"),
        ("count_nonzero", "count_nonzero does not add up to its values"),
        ("sum", "sum does not add up to that of its values"),
    ],
)
def test_counts_and_sums_that_do_not_add_up_are_found(
    made: Made, column: str, sentence: str
) -> None:
    view = made.version / "views/kind"
    told = json.loads((view / "definition.json").read_text())

    def more(values: np.ndarray) -> None:
        values[9, 1, told["columns"].index(column)] += 1

    def alter(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[(table["gene"] == "g9") & (table["group"] == "y"), column] += 1
        return table

    change(view / "serving.npy", more)
    alter_table(view / "stats.parquet", alter)
    assert refused(made, told_anew=True) == [f"view kind: gene g9: {sentence}"]


@pytest.mark.parametrize("column", ["fraction", "mean", "var", "p25", "median", "trimmed_mean"])
def test_a_wrong_statistic_is_found_by_working_it_out_again(made: Made, column: str) -> None:
    """As if the kernel were wrong: table and array agree, in all genes."""
    view = made.version / "views/kind"
    told = json.loads((view / "definition.json").read_text())

    def off(values: np.ndarray) -> None:
        values[:, :, told["columns"].index(column)] += 1e-6

    change(view / "serving.npy", off)
    alter_table(
        view / "stats.parquet", lambda table: table.assign(**{column: table[column] + 1e-6})
    )
    lines = refused(made, told_anew=True)
    assert len(lines) == 6
    assert f": {column} is " in lines[0]
    assert lines[0].startswith("view kind: gene g0, group x")
    assert lines[0].endswith("when worked out from cell_major.zarr")
    assert lines[-1].endswith("more statistics differ")


def test_a_cell_in_another_group_is_found(made: Made) -> None:
    def alter(table: pd.DataFrame) -> pd.DataFrame:
        table["kind"] = ["y" if kind == "x" else kind for kind in table["kind"]]
        return table

    alter_table(made.version / "cells.parquet", alter)
    lines = refused(made, told_anew=True)
    assert lines == [
        f"view {name}: its groups are not those of the metadata" for name in ("kind", "kind+sex")
    ]


def test_a_group_of_another_size_is_found(made: Made) -> None:
    def alter(table: pd.DataFrame) -> pd.DataFrame:
        at = table.index[table["kind"] == "x"][0]
        table.loc[at, "kind"] = "y"
        return table

    before = matrix().cells["kind"].value_counts()
    alter_table(made.version / "cells.parquet", alter)
    lines = refused(made, told_anew=True)
    assert lines[:2] == [
        f"view kind: group x: {before['x']} cells, where the metadata have {before['x'] - 1}",
        f"view kind: group y: {before['y']} cells, where the metadata have {before['y'] + 1}",
    ]


def test_a_missing_cell_is_found(made: Made) -> None:
    alter_table(made.version / "cells.parquet", lambda table: table.iloc[:-1])
    lines = refused(made, told_anew=True)
    assert lines == ["the tables have other cells or genes than were read"]


def test_a_missing_cell_of_a_matrix_is_found(made: Made) -> None:
    group = zarr.open_group(made.version / "cell_major.zarr", mode="r+")
    indptr = group["X/indptr"][:]
    indptr[12] = indptr[11]
    group["X/indptr"][:] = indptr
    assert refused(made, told_anew=True) == [
        "values are others, or at other places, by cell_major.zarr than by cells of the tiles"
    ]


def test_groups_that_are_too_small_are_in_no_view(tmp_path: Path) -> None:
    given = matrix()
    given.cells["kind"] = ["alone", *["x"] * 30, *["y"] * 29]
    made = make(tmp_path, given, [["kind"]], {"min_cells": 2})
    assert "the cells of all 2 groups were counted again" in look(made)["checks"][2]


def test_small_shards_and_pieces_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zarr_matrices, "CHUNK", 8)
    monkeypatch.setattr(zarr_matrices, "SHARD", 32)
    monkeypatch.setattr(zarr_matrices, "_PIECE", 24)
    monkeypatch.setattr(routes, "_PIECE", 7)
    made = build(tmp_path)
    assert look(made)
    found = routes.routes(Rows(made.rows), list(map(Part, made.parts)), made.version)
    first, *others = found.values()
    values = matrix().values
    np.testing.assert_array_equal(first.nnz, (values != 0).sum(0))
    np.testing.assert_array_equal(first.sums, values.sum(0))
    assert len({route.mark for route in (first, *others)}) == 1


@drawn(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.data())
@how(max_examples=200, deadline=None)
def test_rows_of_a_range_of_values(many: list[int], data: st.DataObject) -> None:
    total = sum(many)
    every = np.repeat(np.arange(len(many)), many)
    if total == 0:
        return
    start = data.draw(st.integers(0, total - 1))
    stop = data.draw(st.integers(start + 1, total))
    np.testing.assert_array_equal(rows_between(np.cumsum(many), start, stop), every[start:stop])


@pytest.mark.parametrize("column", ["p05", "p02.5", "p99.9"])
def test_percentiles_are_named_by_their_column(column: str) -> None:
    values = np.random.default_rng(1).random(17)
    assert statistic(column, values, 0.1) == np.percentile(values, float(column[1:]))


def test_statistics_worked_out_again() -> None:
    values = np.array([0.0, 0.0, 3.0, -1.0, 8.0])
    found = {
        name: statistic(name, values, 0.2)
        for name in ("n", "count_nonzero", "fraction", "sum", "mean", "var", "min", "median", "max")
    }
    assert found == {
        "n": 5, "count_nonzero": 3, "fraction": 0.6, "sum": 10, "mean": 2, "var": 13.5, "min": -1,
        "median": 0, "max": 8,
    }  # fmt: skip
    assert statistic("trimmed_mean", values, 0.2) == trim_mean(values, 0.2) == 1
