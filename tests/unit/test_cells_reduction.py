import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st
from scipy.stats import trim_mean

from tessera.cells.reduction import reduce_group, scratch, sort

finite = st.floats(-1e300, 1e300, allow_subnormal=True)
numbers = st.one_of(
    finite,
    st.floats(0.5, 20),
    st.integers(1, 12).map(float),
    st.floats(1e-3, 1e6).map(np.log1p).map(float),
    st.sampled_from([1e-308, 5e-324, -5e-324, 1e308, -1e308, 1.0, 1.0 + 2**-52]),
)


def sorted_by(values):
    values = np.array(values, np.float64)
    sort(values, values.min(), values.max(), *scratch(len(values)))
    return values


@how(max_examples=200, deadline=None)
@given(st.lists(numbers, min_size=1, max_size=300))
def test_any_values_are_sorted(values):
    np.testing.assert_array_equal(sorted_by(values), np.sort(values))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [17, 33, 500, 4097])
def test_values_that_crowd_are_sorted(seed, n):
    rng = np.random.default_rng(seed)
    for values in (
        rng.normal(size=n),
        rng.lognormal(0, 5, n),
        np.append(1 + rng.random(n - 1) * 1e-9, 1e9),
        np.append(rng.normal(size=n - 1) * 1e-9, 1e9),
        rng.poisson(3, n) * 1.0,
        np.full(n, 2.5),
        np.sort(rng.random(n))[::-1],
        rng.normal(size=n) * 1e-320,
    ):
        np.testing.assert_array_equal(sorted_by(values), np.sort(values))


def reduced(stored, zeros, percentiles, trim):
    stored = np.array(stored, np.float64)
    total = 0.0
    for value in stored.tolist():
        total += value
    quantiles, out = np.true_divide(percentiles, 100), np.empty(9 + len(percentiles))
    n = len(stored) + zeros
    reduce_group(stored, n, total, quantiles, trim, scratch(max(len(stored), 1)), out)
    return out


some = st.one_of(st.floats(-1e6, 1e6).filter(bool), st.integers(1, 5).map(float))
ranked = st.lists(st.floats(0, 100), max_size=4).map(lambda found: sorted({*found, 50.0}))


@how(max_examples=300, deadline=None)
@given(
    st.lists(some, max_size=80),
    st.integers(0, 200),
    ranked,
    st.sampled_from([0, 0.05, 0.1, 0.25, 0.3333, 0.4999]) | st.floats(0, 0.4999),
)
def test_all_statistics_are_those_of_the_dense_values(stored, zeros, percentiles, trim):
    if not stored and not zeros:
        zeros = 1
    dense = np.concatenate([stored, np.zeros(zeros)])
    np.random.default_rng(len(dense)).shuffle(dense)
    n, size = len(dense), np.abs(dense).max()
    found = reduced(stored, zeros, percentiles, trim)
    assert found[:3].tolist() == [n, len(stored), len(stored) / n]
    np.testing.assert_allclose(found[3], dense.sum(), rtol=1e-12, atol=1e-13 * n * size)
    np.testing.assert_allclose(found[4], dense.mean(), rtol=1e-12, atol=1e-13 * size)
    if n == 1:
        assert np.isnan(found[5])
    else:
        np.testing.assert_allclose(
            found[5], dense.var(ddof=1), rtol=1e-10, atol=1e-13 * size * size
        )
    assert found[6] == dense.min()
    assert found[-2] == dense.max()
    for percentile, value in zip(percentiles, found[7:-2], strict=True):
        exact = np.median(dense) if percentile == 50 else np.percentile(dense, percentile)
        assert value == exact
    np.testing.assert_allclose(
        found[-1], trim_mean(dense, trim), rtol=1e-12, atol=1e-13 * size, err_msg="trimmed"
    )


def test_in_any_order_of_cells_the_same_ranks():
    rng = np.random.default_rng(1)
    values = rng.normal(size=500)
    first = reduced(values, 300, [5, 25, 50, 75, 95], 0.25)
    second = reduced(rng.permutation(values), 300, [5, 25, 50, 75, 95], 0.25)
    ranks = [0, 1, 2, 6, 7, 8, 9, 10, 11, 12, 13]
    np.testing.assert_array_equal(first[ranks], second[ranks])
    np.testing.assert_allclose(first, second, rtol=1e-12)


def test_by_hand():
    #            -2 0 0 0 1 4: median 0, mean 0.5, without the ends 0.25
    found = reduced([4, -2, 1], 3, [25, 50, 90], 0.2)
    np.testing.assert_array_equal(found[:5], [6, 3, 0.5, 3, 0.5])
    np.testing.assert_allclose(found[5:], [3.9, -2, 0, 0, 2.5, 4, 0.25], rtol=1e-15)
