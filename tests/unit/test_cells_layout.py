import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from tessera.cells.groups import groups_of
from tessera.cells.layout import (
    ArrayFile,
    ArrayWriter,
    gene_batches,
    gene_ranges,
    grouping_name,
    save,
    write_json,
)
from triples import Triples, contents, counts, rows_of


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        (["cell_type"], "cell_type"),
        (["cell type", "donor"], "cell_type+donor"),
        (["a+b"], "a%2Bb"),
        (["../x"], "%2E.%2Fx"),
        ([".."], "%2E."),
        (["größe"], "gr%C3%B6%C3%9Fe"),
        (["a.b-c~d"], "a.b-c~d"),
        (["{x}"], "%7Bx%7D"),
    ],
)
def test_names_of_groupings(columns, name):
    assert grouping_name(columns) == name


@given(st.lists(st.text(min_size=1), min_size=1, max_size=3))
def test_a_name_of_a_grouping_is_one_safe_part_of_a_path(columns):
    name = grouping_name(columns)
    assert re.fullmatch(r"[A-Za-z0-9_~%+.-]+", name)
    assert not name.startswith(".")


nnz_lists = st.lists(st.integers(0, 50) | st.sampled_from([0, 1000]), max_size=40)


@how(deadline=None)
@given(nnz_lists, st.integers(1, 12))
def test_ranges_cover_all_genes_and_none_has_much_more_than_its_share(nnz, parts):
    ranges = gene_ranges(np.array(nnz, np.int64), parts)
    assert len(ranges) == parts
    assert [gene for start, stop in ranges for gene in range(start, stop)] == list(range(len(nnz)))
    for start, stop in ranges:
        most = max(nnz[start:stop], default=0)
        assert sum(nnz[start:stop]) <= sum(nnz) / parts + most + 1 or not sum(nnz)


def test_genes_without_values_are_shared_out_evenly():
    assert gene_ranges(np.zeros(10, np.int64), 3) == [(0, 3), (3, 6), (6, 10)]
    assert gene_ranges(np.zeros(0, np.int64), 2) == [(0, 0), (0, 0)]


@given(nnz_lists, st.integers(1, 100), st.none() | st.integers(0, 5))
def test_batches_cover_all_genes_within_bounds(nnz, most, length):
    batches = list(gene_batches(np.array(nnz, np.int64), most, length))
    assert [gene for start, stop in batches for gene in range(start, stop)] == list(range(len(nnz)))
    for start, stop in batches:
        assert sum(nnz[start:stop]) <= most or stop - start == 1
        assert length is None or stop - start <= max(length, 1)


@pytest.mark.parametrize("dtype", ["<f4", "<f8", "<i4", "<i8"])
def test_an_array_written_in_pieces_has_the_bytes_of_numpy_and_is_read_in_pieces(tmp_path, dtype):
    values = np.arange(24).astype(dtype).reshape(4, 3, 2)
    with ArrayWriter(tmp_path / "a.npy", dtype, values.shape) as writer:
        writer.write(values[:1])
        writer.write(values[1:1])
        writer.write(values[1:])
    np.save(tmp_path / "b.npy", values)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    save(tmp_path / "c.npy", values.ravel())
    file = ArrayFile(tmp_path / "c.npy")
    assert len(file) == 24
    assert file.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(file.read(5, 9), values.ravel()[5:9])
    assert len(file.read(7, 7)) == 0


def test_an_array_that_is_not_what_was_said(tmp_path):
    path = tmp_path / "a.npy"
    with (
        pytest.raises(ValueError, match=r"a\.npy was given 3 elements, where 5 were expected"),
        ArrayWriter(path, "<f4", (5,)) as writer,
    ):
        writer.write(np.zeros(3))
    np.save(path, np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"a\.npy has 2 dimensions, where one was expected"):
        ArrayFile(path)
    np.save(path, np.array([None, "x"], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects"):
        ArrayFile(path)
    save(path, np.arange(10.0))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match="mmap length is greater than file size"):
        ArrayFile(path)


def test_json_is_the_same_for_the_same_and_holds_no_nan(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": ["ü"]})
    assert (tmp_path / "a.json").read_text() == '{\n "b": 1,\n "a": [\n  "ü"\n ]\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", float("nan"))


def test_rows_are_read_as_they_were_written(tmp_path):
    dense = counts(1)
    rows = rows_of(Triples.of(dense), tmp_path / "rows", batch_nnz=40)
    assert rows.n_tiles > 4
    by_cell, by_gene = np.zeros_like(dense), np.zeros_like(dense)
    for number, (start, stop, nnz) in enumerate(rows.facts["tiles"]):
        indptr, genes, values = rows.tile(number)
        assert (len(indptr), indptr[-1], len(genes), len(values)) == (
            stop - start + 1,
            nnz,
            nnz,
            nnz,
        )
        for cell in range(start, stop):
            at = slice(*indptr[cell - start : cell - start + 2])
            assert (np.diff(genes[at]) > 0).all()
            by_cell[cell, genes[at]] = values[at]
        ends, cells, found = rows.run(number)
        read = [file.read(0, len(file)) for file in rows.run_files(number)]
        for mapped, copied in zip((ends, cells, found), read, strict=True):
            np.testing.assert_array_equal(mapped, copied)
        for gene in range(len(rows.genes)):
            at = slice(*ends[gene : gene + 2])
            assert (np.diff(cells[at]) > 0).all()
            by_gene[cells[at], gene] = found[at]
    np.testing.assert_array_equal(by_cell, dense)
    np.testing.assert_array_equal(by_gene, dense)
    assert list(rows.genes) == ["gene", "nnz", "sum"]
    np.testing.assert_array_equal(rows.column("genes.parquet", "nnz"), (dense != 0).sum(axis=0))
    np.testing.assert_array_equal(rows.genes["sum"], dense.sum(axis=0))
    np.testing.assert_array_equal(rows.cells["total"], dense.sum(axis=1))
    assert all(b"/tmp" not in each for each in contents(tmp_path / "rows").values())


def test_columns_of_a_grouping_are_read_alone_and_make_the_same_groups(tmp_path):
    metadata = {"kind": list("abcab") * 12, "donor": ["x", "y"] * 30, "age": range(60)}
    source = Triples.of(counts(2), metadata=metadata)
    rows = rows_of(source, tmp_path / "rows", grouping_columns=["kind", "donor"])
    alone = rows.grouping(["donor", "kind"])
    assert list(alone) == ["donor", "kind"]
    assert alone["kind"].tolist() == metadata["kind"]
    assert isinstance(alone["kind"].dtype, pd.CategoricalDtype)
    one, two = (groups_of(table, ["donor", "kind"]) for table in (alone, rows.cells))
    np.testing.assert_array_equal(one.codes, two.codes)
    np.testing.assert_array_equal(one.sizes, two.sizes)
    assert one.labels == two.labels
