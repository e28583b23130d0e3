import numpy as np
import pytest

from tessera.cells.normalize import NORMALIZATIONS, cpm, normalised

FORMULAS = {
    "cpm": lambda x: x,
    "log1p_cpm": np.log1p,
    "log2_cpm": lambda x: np.log2(x + 1),
}


@pytest.mark.parametrize("normalize", FORMULAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_bits_as_numpy_on_the_dense_matrix(normalize, dtype):
    rng = np.random.default_rng(1)
    dense = rng.poisson(1.5, (50, 40)).astype(dtype)
    totals = dense.sum(axis=1, dtype=np.float64)
    cells, genes = np.nonzero(dense)
    with np.errstate(invalid="ignore"):
        expected = FORMULAS[normalize](dense.astype(np.float64) * 1e6 / totals[:, None])
    found = normalised(dense[cells, genes], cells.astype(np.int32), totals, normalize)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, expected[cells, genes])


def test_the_same_bits_in_any_piece():
    rng = np.random.default_rng(2)
    values, cells, totals = rng.random(1000), np.arange(1000, dtype=np.int32), rng.random(1000) * 99
    whole = normalised(values, cells, totals, "log2_cpm")
    for start in range(0, 1000, 37):
        at = slice(start, start + 37)
        np.testing.assert_array_equal(
            normalised(values[at], cells[at], totals, "log2_cpm"), whole[at]
        )


def test_values_themselves_where_nothing_is_to_be_done():
    values = np.array([1, 2.5], np.float32)
    assert normalised(values, np.array([0, 1]), np.array([1.0, 2.5]), "none") is values
    assert ("none", *FORMULAS) == NORMALIZATIONS


def test_cells_of_total_zero_and_no_negative_zero():
    cells, totals = np.array([0, 0, 1], np.int32), np.array([0, 1e300])
    found = normalised(np.array([2, -2, -1e-300]), cells, totals, "cpm")
    np.testing.assert_array_equal(found, [0, 0, 0])
    assert not np.signbit(found[2])
    np.testing.assert_array_equal(cpm(np.array([2.0, 3.0]), np.array([0.0, 4.0])), [0, 750_000])
