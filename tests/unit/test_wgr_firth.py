"""Approximate Firth regression against closed forms, a general optimiser, and REGENIE's figures."""

import numpy as np
import pytest
import regenie_example
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st
from scipy import optimize, special, stats

from tessera.wgr.firth import approximate_firth
from tessera.wgr.logistic import fit_null


def deviance(y, g, offset, b):
    log_odds = offset + b * g
    p = special.expit(log_odds)
    information = (g * g * p * (1 - p)).sum()
    return 2 * (np.logaddexp(0, log_odds) - y * log_odds).sum() - np.log(information), information


def by_search(y, g, offset):
    """BETA, SE and CHISQ by minimising the penalised deviance without derivatives."""
    scale = 1 / np.sqrt(deviance(y, g, offset, 0)[1])
    found = optimize.minimize_scalar(
        lambda b: deviance(y, g, offset, b * scale)[0], (-1, 1), tol=1e-14
    )
    b = found.x * scale
    least, information = deviance(y, g, offset, b)
    return b, 1 / np.sqrt(information), deviance(y, g, offset, 0)[0] - least


def variants(seed, n, n_variants, intercept=-1.5, rare=0.02):
    """Trait, residualised genotypes of rare and common variants, offset."""
    rng = np.random.default_rng(seed)
    offset = intercept + 0.5 * rng.normal(size=n)
    y = (rng.random(n) < special.expit(offset)).astype(np.float64)
    y[0] = 1
    frequency = np.geomspace(rare, 0.5, n_variants)
    g = rng.binomial(2, frequency[:, None], (n_variants, n)).astype(np.float64)
    g[:, 0] = np.maximum(g[:, 0], 1)
    return y, g - g.mean(axis=1, keepdims=True), offset


@pytest.mark.parametrize(("n", "intercept"), [(60, -1.0), (500, -2.0), (5000, -3.5), (700, 2.0)])
def test_equals_a_search_without_derivatives(n, intercept):
    y, g, offset = variants(n, n, 25, intercept)
    beta, se, chisq, ok = approximate_firth(y, g, offset)
    assert ok.all()
    expected = np.array([by_search(y, row, offset) for row in g])
    # A minimum is found to the root of the precision of doubles.
    assert (np.abs(beta - expected[:, 0]) < 2e-6 * se).all()
    np.testing.assert_allclose(se, expected[:, 1], rtol=2e-6)
    np.testing.assert_allclose(chisq, expected[:, 2], rtol=1e-9, atol=1e-9)


def test_score_is_zero():
    y, g, offset = variants(1, 1000, 40)
    beta, se, _, _ = approximate_firth(y, g, offset)
    p = special.expit(offset + beta[:, None] * g)
    weights = p * (1 - p) * np.square(g)
    share = weights / weights.sum(axis=1, keepdims=True)
    score = (g * (y - p + share * (0.5 - p))).sum(axis=1)
    assert (np.abs(score * se) < 1e-9).all()
    np.testing.assert_allclose(se, 1 / np.sqrt(weights.sum(axis=1)), rtol=1e-12)


@pytest.mark.parametrize("cases", [0, 1, 7, 19, 20])
@pytest.mark.parametrize("offset", [0.0, -2.0, 4.0])
def test_proportion_of_carriers(cases, offset):
    """A single proportion with Jeffreys' prior is that after adding 1/2 to each cell."""
    y, g = np.zeros(90), np.zeros((1, 90))
    g[0, :20] = 1
    y[:cases] = 1
    y[20:50] = 1
    beta, se, chisq, ok = approximate_firth(y, g, np.full(90, offset))
    p = (cases + 0.5) / 21
    assert ok.all()
    np.testing.assert_allclose(beta, special.logit(p) - offset, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(se, 1 / np.sqrt(20 * p * (1 - p)), rtol=1e-9)
    null = special.expit(offset)
    ratio = (cases + 0.5) * np.log(p / null) + (20.5 - cases) * np.log((1 - p) / (1 - null))
    np.testing.assert_allclose(chisq, 2 * ratio, rtol=1e-9, atol=1e-9)


def test_equals_the_joint_fit_where_nothing_else_is_free():
    """With the variant as the only column, the null model's fit is the same model."""
    y, g, offset = variants(2, 400, 1)
    length = np.linalg.norm(g[0])
    joint = fit_null(y, g.T / length, offset, firth=True)
    beta, se, _, _ = approximate_firth(y, g, offset)
    np.testing.assert_allclose(joint.firth_offset, offset + beta * g[0], atol=1e-9)
    assert se[0] > 0


def test_separation_gives_a_finite_effect():
    """All carriers are cases: without the penalty the effect is infinite."""
    y, _, offset = variants(3, 2000, 1)
    cases = np.flatnonzero(y == 1)
    g = np.zeros((3, 2000))
    for row, n_carriers in zip(g, (1, 3, len(cases)), strict=True):
        row[cases[:n_carriers]] = 1
    g -= g.mean(axis=1, keepdims=True)
    beta, _, chisq, ok = approximate_firth(y, g, offset)
    assert ok.all()
    assert (beta > 0).all()
    assert (np.diff(chisq) > 0).all()
    expected = [by_search(y, row, offset) for row in g]
    np.testing.assert_allclose(chisq, [row[2] for row in expected], rtol=1e-9)


def test_same_up_to_sign_and_scale():
    y, g, offset = variants(4, 800, 30)
    beta, se, chisq, _ = approximate_firth(y, g, offset)
    turned = approximate_firth(y, -g, offset)
    np.testing.assert_array_equal(turned[0], -beta)
    np.testing.assert_array_equal(turned[1], se)
    np.testing.assert_array_equal(turned[2], chisq)
    other = approximate_firth(1 - y, g, -offset)
    np.testing.assert_allclose(other[0], -beta, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(other[2], chisq, rtol=1e-8, atol=1e-10)
    scaled = approximate_firth(y, g * 40, offset)
    np.testing.assert_allclose(scaled[0], beta / 40, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(scaled[2], chisq, rtol=1e-8, atol=1e-10)


def test_bytes_do_not_depend_on_the_other_rows():
    y, g, offset = variants(5, 701, 23)
    whole = np.array(approximate_firth(y, g, offset))
    for rows in (slice(0, 1), slice(5, 12), slice(22, None), slice(None, None, -3)):
        np.testing.assert_array_equal(approximate_firth(y, g[rows], offset), whole[:, rows])
    np.testing.assert_array_equal(approximate_firth(y, np.asfortranarray(g), offset), whole)


def test_failures_are_marked():
    y, g, offset = variants(6, 300, 4)
    g[1] = 0
    g[2, 7] = np.nan
    beta, se, chisq, ok = approximate_firth(y, g, offset)
    assert ok.tolist() == [True, False, False, True]
    for array in (beta, se, chisq):
        assert np.isfinite(array).tolist() == ok.tolist()
    assert [len(array) for array in approximate_firth(y, g[:0], offset)] == [0] * 4


@how(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(10, 300), st.floats(-9, 9), st.floats(0.01, 5))
def test_a_maximum_is_found_whatever_the_data(seed, n, intercept, spread):
    """Few people, extreme prevalences, offsets that contradict the trait."""
    rng = np.random.default_rng(seed)
    offset = intercept + spread * rng.normal(size=n)
    y = (rng.random(n) < special.expit(rng.normal(size=n))).astype(np.float64)
    g = rng.binomial(2, rng.uniform(0.5 / n, 0.5), n) + 0.1 * rng.normal(size=n)
    beta, se, chisq, ok = approximate_firth(y, g[None], offset)
    assert ok.all()
    assert chisq[0] >= 0
    before, least, after = (
        deviance(y, g, offset, beta[0] + shift * se[0])[0] for shift in (-1e-3, 0, 1e-3)
    )
    assert least <= min(before, after) + 1e-9
    achieved = deviance(y, g, offset, 0)[0] - least
    np.testing.assert_allclose(chisq, achieved, rtol=1e-9, atol=1e-8)


def test_regenies_example(reference_data):
    y, ids = regenie_example.y2(), list(regenie_example.FIRTH_Y2)
    covariates = regenie_example.covariates(reference_data)
    basis = np.linalg.qr(np.column_stack([np.ones(500), covariates]))[0]
    null = fit_null(y, basis, np.zeros(500), firth=True)
    g = regenie_example.alleles(reference_data, ids)
    beta, se, chisq, ok = approximate_firth(y, g - g @ basis @ basis.T, null.firth_offset)
    assert ok.all()
    found = np.column_stack([beta, se, chisq, -stats.chi2.logsf(chisq, 1) / np.log(10)])
    np.testing.assert_allclose(found, list(regenie_example.FIRTH_Y2.values()), rtol=1e-5)
