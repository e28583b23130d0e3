"""Expression matrices on their toy data: truth recovered, promises kept."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import anndata
import duckdb
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tessera.cells.reading import Cells
from tools import ROOT, columns_told, of_here_and_now

PUBLISHED = ("tissue", "tenx", "upload")
COLUMNS = [
    *("gene", "group", "n", "count_nonzero", "fraction", "sum", "mean", "var", "min", "p05", "p25"),
    *("median", "p75", "p95", "max", "trimmed_mean"),
]
GROUPINGS = {"cell_type": ["cell_type"], "cell_type+donor": ["cell_type", "donor"]}


@pytest.fixture(scope="module")
def results(finished: Path) -> Path:
    return finished / "results/cells"


@pytest.fixture(scope="module")
def versions(results: Path) -> dict[str, Path]:
    """Folder of the version that is current, of each dataset."""
    found = {}
    for dataset in PUBLISHED:
        folder = results / "store" / dataset
        found[dataset] = folder / "versions" / (folder / "CURRENT").read_text().split()[0]
    return found


def normalised(version: Path) -> tuple[np.ndarray, pd.DataFrame, list[str]]:
    """Read a published matrix with the field's own reader, and normalise it by the book."""
    matrix = anndata.read_zarr(version / "cell_major.zarr")
    counts = matrix.X.toarray().astype(np.float64)
    values = np.log2(counts / counts.sum(axis=1, keepdims=True) * 1e6 + 1)
    return values, matrix.obs.astype(str), list(matrix.var_names)


def test_the_truth_of_planted_genes_is_recovered(finished: Path, versions: dict) -> None:
    truth = pd.read_csv(
        finished / "toy/cells/data/truth.tsv", sep="\t", keep_default_na=False, na_values="n/a"
    )
    truth = truth[truth["normalize"] == "log2_cpm"].set_index(["gene", "group"])
    found = pd.read_parquet(versions["tissue"] / "views/cell_type/stats.parquet")
    found = found.set_index(["gene", "group"]).loc[truth.index]
    assert len(found) > 40
    for column in COLUMNS[2:]:
        exact = column in ("n", "count_nonzero", "min", "max")
        np.testing.assert_allclose(
            found[column].to_numpy(np.float64),
            truth[column].to_numpy(np.float64),
            rtol=1e-15 if exact else 1e-12,
            atol=1e-12,
            err_msg=column,
        )


@pytest.mark.parametrize("dataset", PUBLISHED)
@pytest.mark.parametrize("grouping", GROUPINGS)
def test_views_are_what_numpy_makes_of_the_whole_matrix(
    versions: dict, dataset: str, grouping: str
) -> None:
    values, cells, genes = normalised(versions[dataset])
    label = np.array(["|".join(row) for row in cells[GROUPINGS[grouping]].to_numpy()])
    view = pd.read_parquet(versions[dataset] / f"views/{grouping}/stats.parquet")
    assert view.columns.tolist() == COLUMNS
    groups = sorted(set(label))
    order = sorted(range(len(genes)), key=genes.__getitem__)
    assert view["gene"].tolist() == [genes[k] for k in order for _ in groups]
    assert view["group"].tolist() == groups * len(genes)
    for number, group in enumerate(groups):
        own = values[label == group][:, order]
        expected = {
            "n": np.full(len(genes), len(own)),
            "count_nonzero": np.count_nonzero(own, axis=0),
            "sum": own.sum(axis=0),
            "mean": own.mean(axis=0),
            "var": own.var(axis=0, ddof=1) if len(own) > 1 else np.full(len(genes), np.nan),
            "min": own.min(axis=0),
            "median": np.median(own, axis=0),
            "max": own.max(axis=0),
            **{f"p{q:02d}": np.percentile(own, q, axis=0) for q in (5, 25, 75, 95)},
            "trimmed_mean": stats.trim_mean(own, 0.25),
        }
        rows = view.iloc[number :: len(groups)]
        for column, wanted in expected.items():
            found = rows[column].to_numpy(np.float64)
            if column in ("n", "count_nonzero", "median", "min", "max"):
                np.testing.assert_array_max_ulp(found, wanted.astype(np.float64), 1)
            else:
                np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12, err_msg=column)
        np.testing.assert_array_equal(rows["fraction"], rows["count_nonzero"] / rows["n"])


def test_markers_stand_out_in_their_type(finished: Path, results: Path) -> None:
    markers = pd.read_csv(finished / "toy/cells/data/markers.tsv", sep="\t")
    cells = Cells(str(results / "store"), "tissue")
    for gene, kind in zip(markers["gene"], markers["cell_type"], strict=True):
        table = cells.gene(gene, "cell_type").set_index("group")
        assert table["mean"].idxmax() == kind


def test_one_matrix_in_two_forms_has_one_answer(finished: Path, versions: dict) -> None:
    """The 10x triple holds the cells of one donor of the h5ad."""
    whole = pd.read_parquet(versions["tissue"] / "views/cell_type+donor/stats.parquet")
    part = pd.read_parquet(versions["tenx"] / "views/cell_type+donor/stats.parquet")
    same = whole[whole["group"].str.endswith("|D1")].reset_index(drop=True)
    pd.testing.assert_frame_equal(part, same, check_exact=True)


@pytest.mark.parametrize("dataset", PUBLISHED)
def test_the_field_reads_what_is_published(versions: dict, dataset: str) -> None:
    by_cell = anndata.read_zarr(versions[dataset] / "cell_major.zarr")
    by_gene = anndata.read_zarr(versions[dataset] / "gene_major.zarr")
    assert (by_cell.X.format, by_gene.X.format) == ("csr", "csc")
    assert (by_gene.X.tocsr() != by_cell.X).nnz == 0
    pd.testing.assert_frame_equal(by_cell.obs, by_gene.obs)
    manifest = json.loads((versions[dataset] / "manifest.json").read_text())
    assert by_cell.shape == (manifest["cells"], manifest["genes"])
    view = versions[dataset] / "views/cell_type/stats.parquet"
    rows = duckdb.sql(f"SELECT count(*) FROM '{view}' WHERE gene = 'nan'").fetchall()
    assert rows == [(len(set(by_cell.obs["cell_type"])),)]


def test_serving_holds_what_the_parquet_holds(results: Path, versions: dict) -> None:
    cells = Cells(str(results / "store"), "tissue")
    view = pd.read_parquet(versions["tissue"] / "views/cell_type/stats.parquet")
    for gene in ("True", "1-Mar", "GAPDH", "TRUTH-ZERO1"):
        own = view[view["gene"] == gene].drop(columns="gene").reset_index(drop=True)
        served = cells.gene(gene, "cell_type")
        pd.testing.assert_frame_equal(served[own.columns], own, check_dtype=False)


def test_every_view_carries_its_definition(versions: dict) -> None:
    for version in versions.values():
        for grouping in GROUPINGS:
            view = version / "views" / grouping
            told = json.loads((view / "definition.json").read_text())
            assert told["normalize"] == "log2_cpm"
            assert (told["log_base"], told["pseudocount"], told["scale"]) == (2, 1, 1e6)
            assert (told["trim"], told["ddof"], told["zeros"]) == (0.25, 1, "included")
            assert "Allen Institute" in " ".join(told["text"])


def test_a_bad_dataset_is_set_aside_with_its_reason(results: Path) -> None:
    with (results / "quarantine.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["dataset"] for row in rows] == ["spoiled"]
    assert rows[0]["file"].endswith("spoiled.csv")
    assert re.fullmatch(r"row \d+, column .+", rows[0]["place"])
    assert not (results / "store/spoiled").exists()
    table = pd.read_csv(results / "datasets.tsv", sep="\t").set_index("dataset")
    assert (table["status"] == "published").to_dict() == {
        **dict.fromkeys(PUBLISHED, True),
        "spoiled": False,
    }


def test_everything_read_is_accounted_for(results: Path) -> None:
    ledger = json.loads((results / "ledger.json").read_text())
    assert ledger["datasets"]["read"] == 4
    for account in ledger.values():
        assert account["read"] == account["used"] + sum(account["dropped"].values())


def test_results_name_neither_place_nor_time(finished: Path, results: Path) -> None:
    for path in sorted(results.rglob("*")):
        if path.is_file() and path.name != "CURRENT" and path.parent.name != "store":
            assert not of_here_and_now(path, path.read_bytes(), finished), path


def test_results_are_not_writable_by_others(results: Path) -> None:
    for path in results.rglob("*"):
        assert not path.stat().st_mode & 0o002, path


def test_the_docs_tell_the_output_tree(results: Path, versions: dict) -> None:
    text = (ROOT / "docs/cells.md").read_text("utf-8")
    told = set(re.findall(r"^\| `([^`]+)`", text, re.M)) | set(re.findall(r", `([^`]+)` \|", text))
    own = {p.relative_to(results).as_posix() for p in results.rglob("*") if p.is_file()}
    own = {p for p in own if not p.startswith("store/")}
    names = {re.sub(r"^(tissue|tenx|upload|spoiled)/", "DATASET/", p) for p in own}
    names = {re.sub(r"^DATASET/figures/.*", "DATASET/figures/", p) for p in names}
    assert names <= told
    version = versions["tissue"]
    inside = {p.relative_to(version).as_posix() for p in version.rglob("*") if p.is_file()}
    inside = {re.sub(r"^views/[^/]+/", "views/GROUPING/", p) for p in inside}
    inside = {re.sub(r"^((cell|gene)_major\.zarr)/.*", r"\1", p) for p in inside}
    assert {f".../{p}" for p in inside} - {".../manifest.json"} <= told
    row = next(line for line in text.splitlines() if "genes.parquet` |" in line)
    genes = pd.read_parquet(version / "genes.parquet")
    assert columns_told(row.split("|")[2]) == genes.columns.tolist()
