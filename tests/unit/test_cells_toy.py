"""Toy data of expression matrices: the same cells in several forms, the same bytes at any time."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.io import mmread

from tessera.cells import toy
from tessera.cells.simulate import MARKERS, Tissue, simulate
from tessera.cells.toy import rows_of, write_toy


def write(folder: Path) -> Path:
    (folder / "data").mkdir(parents=True)
    write_toy(folder / "datasets.tsv", folder / "data", 1, "data")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("toy") / "cells")


@pytest.fixture(scope="module")
def tissue() -> Tissue:
    return simulate(1)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_seed_makes_the_same_bytes(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    first, again = contents(made), contents(write(tmp_path / "again"))
    assert first == again
    assert sum(map(len, first.values())) < 5e6


def test_the_sheet_names_files_that_are_there(made: Path) -> None:
    sheet = pd.read_csv(made / "datasets.tsv", sep="\t")
    assert sheet["dataset"].tolist() == ["tissue", "upload", "tenx", "spoiled"]
    assert sheet.columns.tolist() == ["dataset", "matrix", "metadata"]
    for name in [*sheet["matrix"], *sheet["metadata"].dropna()]:
        assert (made / name).exists()


def test_the_h5ad_holds_the_tissue(made: Path, tissue: Tissue) -> None:
    data = anndata.read_h5ad(made / "data/tissue.h5ad")
    assert data.X.format == "csr"
    assert (tissue.counts != data.X).nnz == 0
    assert tuple(data.var_names) == tissue.genes
    assert data.obs["cell_type"].tolist() == tissue.cells["cell_type"].tolist()
    assert isinstance(data.obs["donor"].dtype, pd.CategoricalDtype)
    np.testing.assert_array_equal(data.obsm["X_umap"], tissue.umap)


def test_the_10x_triple_holds_the_cells_of_a_donor(made: Path, tissue: Tissue) -> None:
    folder = made / "data/tenx"
    rows = rows_of(tissue, "tenx")
    assert set(tissue.cells["donor"].iloc[rows]) == {"D1"}
    with gzip.open(folder / "matrix.mtx.gz") as file:
        matrix = mmread(io.BytesIO(file.read())).tocsr()
    assert (tissue.counts[rows] != matrix.T).nnz == 0
    lines = gzip.decompress((folder / "features.tsv.gz").read_bytes()).decode().splitlines()
    assert tuple(line.split("\t")[1] for line in lines) == tissue.genes
    cells = gzip.decompress((folder / "barcodes.tsv.gz").read_bytes()).decode().split()
    metadata = pd.read_csv(made / "data/tenx.metadata.tsv", sep="\t")
    assert cells == metadata["cell"].tolist() == tissue.cells["cell"].iloc[rows].tolist()


def test_the_upload_is_a_table_wider_than_long(made: Path, tissue: Tissue) -> None:
    rows = rows_of(tissue, "upload")
    with zipfile.ZipFile(made / "data/upload.zip") as archive:
        assert archive.namelist() == ["matrix.csv", "metadata.csv"]
        with archive.open("matrix.csv") as file:
            table = pd.read_csv(file, index_col=0)
        with archive.open("metadata.csv") as file:
            metadata = pd.read_csv(file)
    assert table.shape == (300, 1500)
    np.testing.assert_array_equal(table.to_numpy(), tissue.counts[rows].toarray())
    assert table.index.tolist() == metadata["cell"].tolist()


def test_the_spoiled_table_lacks_one_value(made: Path) -> None:
    table = pd.read_csv(made / "data/spoiled.csv", index_col=0, keep_default_na=False, dtype=str)
    assert np.argwhere(table.to_numpy() == "").tolist() == [list(toy.SPOILED_AT)]


def test_truth_and_markers_are_told(made: Path) -> None:
    truth = pd.read_csv(made / "data/truth.tsv", sep="\t", keep_default_na=False, na_values="n/a")
    assert set(truth["normalize"]) == set(toy.NORMALIZE)
    assert truth["mean"].notna().all()
    markers = pd.read_csv(made / "data/markers.tsv", sep="\t")
    assert markers.groupby("cell_type")["gene"].apply(tuple).to_dict() == MARKERS
