"""Logistic ridge regression against a general optimiser and closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st
from scipy import optimize, special

import ridges
from tessera.wgr.level1 import Features
from tessera.wgr.logistic import NotConverged
from tessera.wgr.ridge_logistic import fit_ridge_logistic, probabilities

pytestmark = pytest.mark.usefixtures("one_thread")


def trial(seed, n=200, many=8, intercept=-0.5):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, many))
    offset = intercept + 0.5 * rng.normal(size=n)
    cases = rng.random(n) < special.expit(offset + x @ rng.normal(size=many) / 2)
    return x, cases.astype(np.float64), offset


def fit(x, cases, offset, tau, edges=None, start=None):
    features = Features([x.T], np.arange(len(x)))
    start = np.zeros(x.shape[1]) if start is None else start
    return fit_ridge_logistic(features, cases, offset, edges or [(0, len(x))], tau, start)


@how(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 10), st.floats(-1, 4))
def test_equals_a_general_optimiser(seed, many, size):
    x, cases, offset = trial(seed, 150, many)
    tau = 10**size

    def loss(b):
        log_odds = offset + x @ b
        value = np.logaddexp(0, log_odds).sum() - cases @ log_odds + tau * b @ b / 2
        return value, x.T @ (special.expit(log_odds) - cases) + tau * b

    found, inverse = fit(x, cases, offset, tau)
    expected = optimize.minimize(loss, np.zeros(many), jac=True, method="BFGS", tol=1e-9).x
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert loss(found)[0] <= loss(expected)[0] + 1e-9
    p = special.expit(offset + x @ found)
    assert np.abs(x.T @ (cases - p) - tau * found).max() < 1e-9 * len(x)
    information = (x.T * (p * (1 - p))) @ x + tau * np.eye(many)
    np.testing.assert_allclose(inverse @ information, np.eye(many), atol=1e-8)


def test_learns_from_the_given_people_only():
    x, cases, offset = trial(1, 5000, 4)
    seen = np.r_[100:2500, 2600:4990]
    expected = ridges.logistic_ridge(x[seen], cases[seen], offset[seen], 3.0)
    unseen = np.setdiff1d(np.arange(5000), seen)
    x[unseen], offset[unseen] = np.nan, np.nan
    found, _ = fit(x, cases, offset, 3.0, [(100, 2500), (2600, 4990)])
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_one_column_of_ones_is_a_proportion_that_is_shrunk():
    """At the optimum, cases less expected cases are tau times the coefficient."""
    cases = (np.arange(50) < 13).astype(np.float64)
    for tau in (1e-6, 1.0, 40.0):
        (b,), _ = fit(np.ones((50, 1)), cases, np.zeros(50), tau)
        np.testing.assert_allclose(13 - 50 * special.expit(b), tau * b, atol=1e-7)


@pytest.mark.parametrize("size", [0.1, 3.0, 30.0])
def test_does_not_depend_on_where_it_starts(size):
    x, cases, offset = trial(2)
    expected, _ = fit(x, cases, offset, 2.0)
    start = size * np.random.default_rng(0).normal(size=8)
    found, _ = fit(x, cases, offset, 2.0, start=start)
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_shrinks_to_nothing_and_stays_finite_under_separation():
    x, _, offset = trial(3)
    cases = (x[:, 0] > 0.3).astype(np.float64)
    sizes = [np.linalg.norm(fit(x, cases, offset, tau)[0]) for tau in (1e-2, 1, 1e2, 1e4, 1e8)]
    assert (np.diff(sizes) < 0).all()
    assert np.isfinite(sizes[0])
    assert sizes[-1] < 1e-5


def test_no_log_odds_is_too_large():
    with np.errstate(all="raise", under="ignore"):
        p, weights = probabilities(np.array([-1e5, -800.0, 0, 800, 1e300]))
    np.testing.assert_array_equal(p, [0, 0, 0.5, 1, 1])
    np.testing.assert_array_equal(weights, [0, 0, 0.25, 0, 0])


@pytest.mark.parametrize("seed", range(6))
def test_a_rare_disease_converges(seed):
    """Fitted probabilities lie on either side of 1e-5, which REGENIE takes for 0."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(20_000, 5))
    offset = rng.normal(-10.5, 2, size=20_000)
    cases = (rng.random(20_000) < special.expit(offset)).astype(np.float64)
    found, _ = fit(x, cases, offset, 1.0)
    expected = ridges.logistic_ridge(x, cases, offset, 1.0, steps=20)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_no_fit():
    x, cases, offset = trial(4)
    with pytest.raises(NotConverged, match="the logistic ridge regression does not converge"):
        fit(1e4 * x, cases, offset + 1e9, 1e-9)
