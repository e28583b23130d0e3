"""Matrices in Zarr: anndata reads them, whatever their size, type and number of shards."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import zarr

from assembled import Given, make
from tessera.cells import zarr_matrices
from tessera.cells.layout import Part, Rows
from tessera.cells.zarr_matrices import (
    array_of,
    slices_of,
    tables_of,
    write_cell_major,
    write_gene_major,
)


def given(cells: int = 50, genes: int = 30, scale: float = 1.0) -> Given:
    random = np.random.default_rng(1)
    values = random.poisson(0.8, (cells, genes)) * scale
    table = pd.DataFrame(
        {
            "cell": [f"c{k}" for k in range(cells)],
            "kind": random.choice(["x", "y"], cells),
            "barcode": [f"AA{k}" for k in range(cells)],
            "depth": random.random(cells),
        }
    )
    return Given(values, [f"g{k}" for k in range(genes)], table)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zarr_matrices, "CHUNK", 16)
    monkeypatch.setattr(zarr_matrices, "SHARD", 64)
    monkeypatch.setattr(zarr_matrices, "_PIECE", 48)


@pytest.mark.usefixtures("small_shards")
def test_many_shards_are_read_as_they_were_given(tmp_path: Path) -> None:
    source = given()
    made = make(tmp_path, source, [["kind"]], batch_nnz=100, parts=4)
    for name in ("cell_major.zarr", "gene_major.zarr"):
        path = made.version / name
        array = array_of(zarr.open_group(path, mode="r"), "data")
        assert (array.chunks, array.shards) == ((16,), (64,))
        files = [each for each in (path / "X/data/c").iterdir() if each.is_file()]
        assert len(files) == -(-array.shape[0] // 64) > 5
        np.testing.assert_array_equal(anndata.read_zarr(path).X.toarray(), source.values)


@pytest.mark.usefixtures("small_shards")
def test_slices_hold_all_values_in_order(tmp_path: Path) -> None:
    made = make(tmp_path, given(), [["kind"]])
    group = zarr.open_group(made.version / "cell_major.zarr", mode="r")
    matrix = anndata.read_zarr(made.version / "cell_major.zarr").X
    pieces = list(slices_of(group))
    assert [start for start, _, _ in pieces] == list(range(0, matrix.nnz, 48))
    np.testing.assert_array_equal(np.concatenate([index for _, index, _ in pieces]), matrix.indices)
    np.testing.assert_array_equal(np.concatenate([data for _, _, data in pieces]), matrix.data)


@pytest.mark.parametrize(("scale", "dtype"), [(1.0, np.float32), (0.1, np.float64)])
def test_no_digit_is_lost(tmp_path: Path, scale: float, dtype: type) -> None:
    source = given(scale=scale)
    made = make(tmp_path, source, [["kind"]])
    for name in ("cell_major.zarr", "gene_major.zarr"):
        matrix = anndata.read_zarr(made.version / name).X
        assert matrix.dtype == dtype
        np.testing.assert_array_equal(matrix.toarray(), source.values)


def test_every_chunk_is_a_file_even_if_it_holds_zeros(tmp_path: Path) -> None:
    source = given(genes=1)
    source.cells["umap_1"] = source.cells["umap_2"] = 0.0
    made = make(tmp_path, source, [["kind"]])
    assert (made.version / "cell_major.zarr/X/indices/c/0").is_file()
    assert (made.version / "cell_major.zarr/obsm/X_umap/c/0/0").is_file()
    assert not anndata.read_zarr(made.version / "cell_major.zarr").X.indices.any()


def test_text_that_recurs_is_categorical(tmp_path: Path) -> None:
    made = make(tmp_path, given(), [["kind"]])
    obs, var, obsm = tables_of(Rows(made.rows))
    assert isinstance(obs["kind"].dtype, pd.CategoricalDtype)
    assert not isinstance(obs["barcode"].dtype, pd.CategoricalDtype)
    assert (obs.index.name, var.index.name, obsm) == ("cell", "gene", {})
    written = anndata.read_zarr(made.version / "gene_major.zarr").obs
    assert written["kind"].tolist() == obs["kind"].tolist()
    assert written["depth"].tolist() == obs["depth"].tolist()


def test_metadata_without_a_value_stay_without(tmp_path: Path) -> None:
    source = given()
    source.cells["note"] = [None, "seen", *[None] * 48]
    made = make(tmp_path, source, [["kind"]])
    note = anndata.read_zarr(made.version / "cell_major.zarr").obs["note"]
    assert note.isna().tolist() == [True, False, *[True] * 48]


def test_parts_that_are_not_all_there_are_refused(tmp_path: Path) -> None:
    made = make(tmp_path, given(), [["kind"]])
    rows, parts = Rows(made.rows), list(map(Part, made.parts))
    parts[1].indptr[-1] += 1
    with pytest.raises(ValueError, match=r"X/data was given \d+ values of \d+"):
        write_gene_major(rows, parts, tmp_path / "one.zarr")
    write_cell_major(rows, tmp_path / "two.zarr")
    with pytest.raises(FileExistsError):
        write_cell_major(rows, tmp_path / "two.zarr")
