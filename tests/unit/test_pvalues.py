from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st
from scipy import stats
from scipy.special import betaln

from tessera.pvalues import log10p_of_t, t_of_p


def exact(t, df, digits=1500):
    """-log10 p of an even df from the finite series (Abramowitz & Stegun 26.7.4)."""
    with localcontext() as context:
        context.prec = digits
        square = Decimal(t) ** 2
        cosine2 = df / (df + square)
        term = total = Decimal(1)
        for k in range(2, df, 2):
            term *= cosine2 * (k - 1) / k
            total += term
        p = 1 - (1 - cosine2).sqrt() * total
        context.prec = 30
        return -float(p.ln() / Decimal(10).ln())


@pytest.mark.parametrize("df", [1, 2, 3, 7, 40, 733, 5000, 40_000])
def test_equals_scipy_where_that_does_not_underflow(df):
    least = 1e-100 if df < 30 else 1e-290
    t = np.r_[0, np.geomspace(1e-3, t_of_p(least, df), 300)]
    expected = -(stats.t.logsf(t, df) + np.log(2)) / np.log(10)
    np.testing.assert_allclose(log10p_of_t(t, df), expected, rtol=1e-9, atol=1e-8)
    np.testing.assert_array_equal(log10p_of_t(-t, df), log10p_of_t(t, df))


@pytest.mark.parametrize(
    ("t", "df"),
    [
        (0.5, 2), (3.25, 10), (1e30, 10), (1e9, 40), (30, 732), (60, 732), (1e3, 732), (1e6, 732),
        (36, 4998), (33.8, 4998), (40, 4998), (70.5, 4998), (120, 4998), (1e5, 100),
    ],
)  # fmt: skip
def test_equals_the_finite_series_in_1500_digits(t, df):
    digits = 1500 if df * np.log10(1 + t * t / df) < 2600 else 6_000
    np.testing.assert_allclose(log10p_of_t(t, df), exact(t, df, digits), rtol=1e-10)


@pytest.mark.parametrize("df", [1, 2, 4, 30])
def test_power_law_of_the_far_tail(df):
    """P(|T| > t) tends to 2 df^(df/2 - 1) / (B(1/2, df/2) t^df)."""
    t = 10.0 ** np.array([100, 140, 150])
    log = np.log(2) + (df / 2 - 1) * np.log(df) - betaln(0.5, df / 2) - df * np.log(t)
    np.testing.assert_allclose(log10p_of_t(t, df), -log / np.log(10), rtol=1e-12)


@how(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(1e-3, 1e8), min_size=2, max_size=30, unique=True),
    st.integers(1, 20_000),
)
def test_never_falls_as_t_grows(t, df):
    t = np.sort(t)
    answer = log10p_of_t(t, df)
    assert np.isfinite(answer).all()
    assert (answer >= 0).all()
    assert (np.diff(answer) >= -1e-9 * answer[1:]).all()
    apart = t[1:] > t[:-1] * (1 + 1e-6)
    assert (np.diff(answer)[apart] > 0).all()


@pytest.mark.parametrize("df", [30, 60, 734, 5000, 40_000])
def test_no_step_where_the_series_takes_over(df):
    t = t_of_p(1e-250, df) * (1 + np.linspace(-1e-3, 1e-3, 41))
    answer = log10p_of_t(t, df)
    assert answer[0] < 250 < answer[-1]
    slope = np.diff(answer)
    np.testing.assert_allclose(slope, slope.mean(), rtol=5e-3)


@how(max_examples=100, deadline=None)
@given(st.floats(1e-3, 100), st.integers(1, 40_000))
def test_t_of_p_is_the_inverse(log10p, df):
    t = t_of_p(10.0**-log10p, df)
    np.testing.assert_allclose(log10p_of_t(t, df), log10p, rtol=1e-9, atol=1e-7)


def test_shapes_are_broadcast():
    t, df = np.array([[1.0], [-60.0]]), np.array([10, 200, 732])
    answer = log10p_of_t(t, df)
    assert answer.shape == (2, 3)
    for i, j in np.ndindex(2, 3):
        assert answer[i, j] == log10p_of_t(t[i, 0], df[j])
    assert log10p_of_t(2.0, 5).shape == ()
    assert t_of_p(0.05, [5, 10]).shape == (2,)
    np.testing.assert_allclose(t_of_p(0.05, [5, 10]), [2.570582, 2.228139], rtol=1e-6)
