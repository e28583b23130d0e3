"""A version holds what pandas makes of the whole matrix, and no tiling changes a byte of it."""

from __future__ import annotations

import itertools
import json
from functools import cache
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.stats import trim_mean

from assembled import SETTINGS, Given, Made, make
from tessera.cells.assemble import Serving, assemble, by_name
from tessera.cells.gene_index import find_gene
from tessera.cells.manifest import check_manifest
from tessera.cells.simulate import Tissue, simulate, truth

GROUPINGS = [["cell_type"], ["cell_type", "donor"]]
COLUMNS = [
    *("n", "count_nonzero", "fraction", "sum", "mean", "var", "min", "p05", "p25", "median"),
    *("p75", "p95", "max", "trimmed_mean"),
]
NASTY = ["nan", "<script>alert(1)</script>", "b", "B", "\N{GREEK SMALL LETTER BETA}", 'a,b"c', "1"]


@cache
def tissue() -> Tissue:
    return simulate(1)


def tissue_given() -> Given:
    return Given(tissue().counts.toarray(), list(tissue().genes), tissue().cells.copy())


def small(seed: int = 3, cells: int = 40, *, negative: bool = False) -> Given:
    """Values of genes with nasty names, with empty cells and genes, in groups of any size."""
    random = np.random.default_rng(seed)
    values = random.poisson(0.7, (cells, len(NASTY))).astype(float)
    values[:, 2] = 0
    values[5] = 0
    if negative:
        values *= random.choice([-1.37, 1, 2.5], values.shape)
    kinds = random.choice(["T cell", "<b>B</b>", "NA", "zz"], cells, p=[0.5, 0.3, 0.15, 0.05])
    table = pd.DataFrame(
        {
            "cell": [f"c{k}" for k in range(cells)],
            "kind": kinds,
            "sex": random.choice(["f", "m"], cells),
            "age": random.integers(20, 30, cells),
        }
    )  # fmt: skip
    return Given(values, list(NASTY), table)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def read(made: Made, view: str) -> pd.DataFrame:
    return pd.read_parquet(made.version / "views" / view / "stats.parquet")


def brute(given: Given, by: list[str], normalize: str) -> pd.DataFrame:
    """All statistics by pandas, numpy and scipy, of the dense matrix."""
    values = given.values
    if normalize != "none":
        totals = values.sum(1, keepdims=True)
        values = np.divide(values * 1e6, totals, out=np.zeros_like(values), where=totals != 0)
        if normalize != "cpm":
            values = np.log1p(values) if normalize == "log1p_cpm" else np.log2(values + 1)
    label = given.cells[by].astype(str).agg("|".join, axis=1)
    rows = []
    for k, gene in enumerate(given.genes):
        for group, column in pd.Series(values[:, k]).groupby(label.to_numpy()):
            rows.append(
                {
                    "gene": gene, "group": group, "n": len(column),
                    "count_nonzero": (column != 0).sum(), "fraction": (column != 0).mean(),
                    "sum": column.sum(), "mean": column.mean(), "var": column.var(),
                    "min": column.min(), **{f"p{p:02d}": column.quantile(p / 100) for p in (5, 25)},
                    "median": column.median(),
                    **{f"p{p}": column.quantile(p / 100) for p in (75, 95)}, "max": column.max(),
                    "trimmed_mean": trim_mean(column.to_numpy(), 0.25),
                }
            )  # fmt: skip
    return pd.DataFrame(rows).sort_values(["gene", "group"], ignore_index=True)


@pytest.mark.parametrize("normalize", ["none", "cpm", "log1p_cpm", "log2_cpm"])
def test_the_truth_of_planted_genes_is_recovered(tmp_path: Path, normalize: str) -> None:
    made = make(tmp_path, tissue_given(), [["cell_type"]], {"normalize": normalize})
    told = truth(tissue(), [normalize]).set_index(["gene", "group"])
    found = read(made, "cell_type").set_index(["gene", "group"]).loc[told.index]
    for column in COLUMNS:
        exact = normalize == "none" and column in ("n", "sum", "min", "median", "max")
        np.testing.assert_allclose(
            found[column], told[column], rtol=0 if exact else 1e-12, atol=0, err_msg=column
        )


@pytest.mark.parametrize("normalize", ["none", "cpm", "log1p_cpm", "log2_cpm"])
@pytest.mark.parametrize("by", [["kind"], ["kind", "sex"]])
def test_a_view_is_what_pandas_finds(tmp_path: Path, by: list[str], normalize: str) -> None:
    given = small()
    made = make(tmp_path, given, [by], {"normalize": normalize}, batch_nnz=1000)
    found, wanted = read(made, "+".join(by)), brute(given, by, normalize)
    assert found.columns.tolist() == ["gene", "group", *COLUMNS]
    assert (
        found[["gene", "group"]].to_numpy().tolist()
        == wanted[["gene", "group"]].to_numpy().tolist()
    )
    for column in COLUMNS:
        np.testing.assert_allclose(found[column], wanted[column], rtol=1e-12, atol=1e-12)


def test_negative_values_lie_below_the_zeros(tmp_path: Path) -> None:
    given = small(negative=True)
    made = make(tmp_path, given, [["kind"]], batch_nnz=1000)
    found, wanted = read(made, "kind"), brute(given, ["kind"], "none")
    for column in COLUMNS:
        np.testing.assert_allclose(found[column], wanted[column], rtol=1e-12, atol=1e-12)
    assert found["min"].min() < 0


def test_no_tiling_changes_a_byte(tmp_path: Path) -> None:
    given, every = small(cells=60), []
    for number, (batch, parts) in enumerate(itertools.product([1000, 20], [1, 3, 9])):
        made = make(
            tmp_path / str(number), given, [["kind"], ["sex"]], batch_nnz=batch, parts=parts
        )
        every.append(contents(made.version))
    assert all(each == every[0] for each in every)
    assert check_manifest(made.version) == []
    assert not any(str(tmp_path).encode() in content for content in every[0].values())


def test_the_matrices_are_read_by_anndata_as_they_were_given(tmp_path: Path) -> None:
    given = tissue_given()
    given.cells["umap_1"], given.cells["umap_2"] = tissue().umap.T.astype(float)
    made = make(tmp_path, given, GROUPINGS, batch_nnz=50_000)
    for name, form in (("cell_major.zarr", "csr"), ("gene_major.zarr", "csc")):
        data = anndata.read_zarr(made.version / name)
        assert data.X.format == form
        assert data.X.dtype == np.float32
        np.testing.assert_array_equal(data.X.toarray(), given.values)
        assert data.var_names.tolist() == given.genes
        assert data.obs_names.tolist() == given.cells["cell"].tolist()
        assert data.obs.columns.tolist() == ["total", "cell_type", "donor", "age"]
        np.testing.assert_array_equal(data.obs["total"], given.values.sum(1))
        for column in ("cell_type", "donor", "age"):
            assert data.obs[column].tolist() == given.cells[column].tolist()
        np.testing.assert_array_equal(data.var["nnz"], (given.values != 0).sum(0))
        np.testing.assert_array_equal(data.obsm["X_umap"], given.cells[["umap_1", "umap_2"]])


def test_what_every_file_says(tmp_path: Path) -> None:
    given = small()
    made = make(tmp_path, given, [["kind"], ["kind", "sex"]], {"min_cells": 3}, dataset="data")
    manifest = json.loads((made.version / "manifest.json").read_text())
    assert {key: manifest[key] for key in ("format", "dataset", "cells", "genes", "nnz")} == {
        "format": 1, "dataset": "data", "cells": 40, "genes": len(NASTY),
        "nnz": int(np.count_nonzero(given.values)),
    }  # fmt: skip
    sizes = given.cells.groupby(["kind", "sex"]).size()
    large = sizes[sizes >= 3]
    assert manifest["groupings"]["kind+sex"] == {"by": ["kind", "sex"], "groups": len(large)}
    assert list(manifest["groupings"]) == ["kind", "kind+sex"]
    view = made.version / "views/kind+sex"
    told = json.loads((view / "definition.json").read_text())
    assert told["groups"] == ["|".join(key) for key in large.index]
    assert told["by"] == ["kind", "sex"]
    assert "Groups of fewer than 3 cells are left out." in told["text"]
    groups = pd.read_parquet(view / "groups.parquet")
    assert groups.columns.tolist() == ["group", "kind", "sex", "n"]
    assert groups["n"].tolist() == large.tolist()
    schema = pq.read_schema(view / "stats.parquet")
    assert json.loads(schema.metadata[b"tessera"]) == told
    types = {field.name: str(field.type) for field in schema}
    assert types["n"] == types["count_nonzero"] == "int64"
    assert {types[name] for name in COLUMNS if name not in ("n", "count_nonzero")} == {"double"}
    assert types["gene"] == types["group"] == "string"
    index = np.load(made.version / "gene_index.npy", allow_pickle=False)
    assert [find_gene(index, gene) for gene in NASTY] == list(range(len(NASTY)))
    genes = pd.read_parquet(made.version / "genes.parquet")
    assert genes["gene"].tolist() == NASTY
    np.testing.assert_array_equal(genes["sum"], given.values.sum(0))
    cells = pd.read_parquet(made.version / "cells.parquet")
    assert cells.columns.tolist() == ["cell", "total", "kind", "sex", "age"]


def test_rows_are_in_the_order_of_code_points(tmp_path: Path) -> None:
    found = read(make(tmp_path, small(), [["kind"]]), "kind")
    assert found["gene"].drop_duplicates().tolist() == sorted(NASTY)
    assert found["group"].iloc[:4].tolist() == ["<b>B</b>", "NA", "T cell", "zz"]


def test_a_variance_that_is_not_there_is_null(tmp_path: Path) -> None:
    given = small()
    given.cells["kind"] = ["alone", *["rest"] * 39]
    table = pq.read_table(make(tmp_path, given, [["kind"]]).version / "views/kind/stats.parquet")
    alone = [
        value
        for value, of in zip(table["var"], table["group"], strict=True)
        if of.as_py() == "alone"
    ]
    assert {value.as_py() for value in alone} == {None}
    assert table["var"].null_count == len(NASTY)
    assert all(table[name].null_count == 0 for name in COLUMNS if name != "var")


@pytest.mark.parametrize(
    ("statistics", "columns"),
    [
        (["trimmed_mean", "n"], ["n", "trimmed_mean"]),
        (["percentiles"], ["p02.5", "median", "p97.5"]),
        (["median", "max"], ["median", "max"]),
    ],
)
def test_chosen_statistics_alone_are_written(
    tmp_path: Path, statistics: list[str], columns: list[str]
) -> None:
    given = small()
    percentiles = [97.5, 50, 2.5]
    made = make(tmp_path, given, [["kind"]], {"statistics": statistics, "percentiles": percentiles})
    found = read(made, "kind")
    assert found.columns.tolist() == ["gene", "group", *columns]
    assert Serving(made.version / "views/kind/serving.npy").shape[2] == len(columns)
    every = brute(given, ["kind"], "none")
    for name in set(columns) & set(every.columns):
        np.testing.assert_allclose(found[name], every[name], rtol=1e-12)


def test_serving_holds_what_the_table_holds(tmp_path: Path) -> None:
    made = make(tmp_path, small(), [["kind"]])
    values = np.load(made.version / "views/kind/serving.npy", allow_pickle=False)
    found = read(made, "kind")
    for place, gene in enumerate(NASTY):
        own = found.loc[found["gene"] == gene, COLUMNS].to_numpy(float)
        np.testing.assert_array_equal(values[place], own)
    reader = Serving(made.version / "views/kind/serving.npy")
    np.testing.assert_array_equal(reader.genes([4, 0, 4]), values[[4, 0, 4]])
    with pytest.raises(ValueError, match="ends before gene 7"):
        reader.genes([7])


@pytest.mark.parametrize("cells", [1, 7])
def test_a_matrix_of_nothing_but_zeros(tmp_path: Path, cells: int) -> None:
    table = pd.DataFrame({"cell": [f"c{k}" for k in range(cells)], "kind": "all"})
    given = Given(np.zeros((cells, 3)), ["x", "y", "z"], table)
    made = make(tmp_path, given, [["kind"]], {"normalize": "log2_cpm"})
    found = read(made, "kind")
    assert found["n"].tolist() == [cells] * 3
    assert (found[["mean", "median", "max", "trimmed_mean", "count_nonzero"]] == 0).all(axis=None)
    for name in ("cell_major.zarr", "gene_major.zarr"):
        data = anndata.read_zarr(made.version / name)
        assert (data.shape, data.X.nnz) == ((cells, 3), 0)


def test_statistics_of_other_groups_are_refused(tmp_path: Path) -> None:
    made = make(tmp_path, small(), [["kind"], ["sex"]])
    stats: dict[str, Any] = {**made.stats, "kind": made.stats["sex"]}
    (tmp_path / "again").mkdir()
    with pytest.raises(ValueError, match="is no statistics of 4 groups"):
        assemble("data", made.rows, made.parts, stats, [["kind"]], SETTINGS, tmp_path / "again")


def test_statistics_of_a_missing_part_are_refused(tmp_path: Path) -> None:
    made = make(tmp_path, small(), [["kind"]])
    (tmp_path / "again").mkdir()
    stats: dict[str, Any] = {"kind": made.stats["kind"][:2]}
    with pytest.raises(ValueError, match=r"was given \d+ elements, where \d+ were expected"):
        assemble("data", made.rows, made.parts, stats, [["kind"]], SETTINGS, tmp_path / "again")


def test_names_in_the_order_of_code_points() -> None:
    assert by_name(["b", "B", "\N{GREEK SMALL LETTER BETA}", "a", "\U0001f9ec"]).tolist() == [
        1,
        3,
        0,
        2,
        4,
    ]
