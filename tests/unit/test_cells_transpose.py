import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from tessera.cells.layout import Part
from tessera.cells.transpose import transpose_part
from triples import Triples, contents, counts, parts_of, rows_of


def joined(parts):
    indptr, end = [np.zeros(1, np.int64)], 0
    for part in parts:
        assert (part.indptr[0], part.indptr[-1]) == (0, part.nnz)
        indptr.append(part.indptr[1:] + end)
        end += part.nnz
    cells, values = [np.concatenate([getattr(p, n) for p in parts]) for n in ("cells", "values")]
    return np.concatenate(indptr), cells, values


@pytest.fixture(scope="module", params=[np.float32, np.float64])
def dense(request):
    return counts(1).astype(request.param) * (1 if request.param == np.float32 else 0.1)


@pytest.fixture(scope="module")
def rows(dense, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    return {n: rows_of(Triples.of(dense), folder / str(n), batch_nnz=n) for n in (9, 33, 5000)}


def test_genes_are_those_of_the_matrix(rows, dense, tmp_path):
    indptr, cells, values = joined(parts_of(rows[33], tmp_path))
    for gene, column in enumerate(dense.T):
        at = slice(*indptr[gene : gene + 2])
        np.testing.assert_array_equal(cells[at], np.flatnonzero(column))
        np.testing.assert_array_equal(values[at], column[column != 0])
    assert cells.dtype == np.int32
    assert values.dtype == dense.dtype


@how(max_examples=10, deadline=None)
@given(st.sampled_from([9, 33, 5000]), st.integers(1, 40), st.integers(1, 400))
def test_the_same_bytes_for_any_tiles_parts_and_batches(
    rows, tmp_path_factory, tile, parts, batch_nnz
):
    folder = tmp_path_factory.mktemp("parts")
    one = joined(parts_of(rows[tile], folder / "one", parts, batch_nnz))
    two = joined(parts_of(rows[5000], folder / "two", 1, 5000))
    for a, b in zip(one, two, strict=True):
        assert a.tobytes() == b.tobytes()


def test_a_part_has_the_same_bytes_whatever_the_tiles(rows, tmp_path):
    expected = None
    for tile, found in rows.items():
        for batch_nnz in (1, 20, 5000):
            folder = tmp_path / f"{tile} {batch_nnz}"
            folder.mkdir()
            transpose_part(found, 2, 17, folder, batch_nnz=batch_nnz)
            expected = expected or contents(folder)
            assert contents(folder) == expected
    part = Part(folder)
    assert (part.start, part.stop, part.nnz) == (2, 17, part.indptr[-1])
    cells, values = part.files
    np.testing.assert_array_equal(cells.read(3, 9), part.cells[3:9])
    np.testing.assert_array_equal(values.read(3, 9), part.values[3:9])


def test_a_part_without_genes(rows, tmp_path):
    transpose_part(rows[33], 4, 4, tmp_path, batch_nnz=10)
    part = Part(tmp_path)
    assert (part.nnz, len(part.cells), len(part.values), part.indptr.tolist()) == (0, 0, 0, [0])


def test_tiles_that_are_not_what_was_counted_are_found_out(tmp_path):
    dense = counts(2)
    rows = rows_of(Triples.of(dense), tmp_path / "rows", batch_nnz=100)
    for other in (counts(3), np.abs(dense) + 1, dense * 0):
        spoiled = rows_of(Triples.of(other), tmp_path / f"other{other.sum()}", batch_nnz=100)
        (tmp_path / f"other{other.sum()}" / "genes.parquet").write_bytes(
            (tmp_path / "rows" / "genes.parquet").read_bytes()
        )
        folder = tmp_path / f"part{other.sum()}"
        folder.mkdir()
        with pytest.raises(ValueError, match="the runs of the tiles are not what"):
            transpose_part(spoiled, 0, 30, folder, batch_nnz=10_000)
    assert rows.facts["nnz"] == (dense != 0).sum()
