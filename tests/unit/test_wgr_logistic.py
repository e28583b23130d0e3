"""The null model against closed forms, a general optimiser, and REGENIE's figures."""

import numpy as np
import pytest
import regenie_example
from scipy import optimize, special

from tessera.wgr.logistic import NotConverged, fit_null


def orthonormal(columns):
    return np.linalg.qr(np.column_stack([np.ones(len(columns)), columns]))[0]


def trait(seed, n=300, n_covariates=3, intercept=-1.0):
    rng = np.random.default_rng(seed)
    covariates, offset = rng.normal(size=(n, n_covariates)), 0.5 * rng.normal(size=n)
    p = special.expit(intercept + covariates @ rng.normal(size=n_covariates) / 2 + offset)
    return (rng.random(n) < p).astype(np.float64), orthonormal(covariates), offset


def optimum(y, basis, offset, jeffreys):
    """Log-odds of the highest (penalised) likelihood by a search that knows no derivative."""

    def cost(beta):
        log_odds = offset + basis @ beta
        p = special.expit(log_odds)
        penalty = np.linalg.slogdet((basis.T * (p * (1 - p))) @ basis)[1] / 2
        return np.logaddexp(0, log_odds).sum() - y @ log_odds - jeffreys * penalty

    start = np.zeros(basis.shape[1])
    found = optimize.minimize(cost, start, method="Powell", options={"xtol": 1e-9, "ftol": 1e-15})
    found = optimize.minimize(cost, found.x, method="Powell", options={"xtol": 1e-9, "ftol": 1e-15})
    return offset + basis @ found.x


@pytest.mark.parametrize("seed", range(3))
def test_equals_a_general_optimiser(seed):
    y, basis, offset = trait(seed)
    model = fit_null(y, basis, offset, firth=True)
    assert model.status == "ok"
    np.testing.assert_allclose(special.logit(model.p), optimum(y, basis, offset, 0), atol=1e-5)
    np.testing.assert_allclose(model.firth_offset, optimum(y, basis, offset, 1), atol=1e-5)


@pytest.mark.parametrize("cases", [(13, 4), (1, 30), (7, 7)])
def test_a_table_of_two_by_two(cases):
    """Proportions are the fit; with Jeffreys' prior, those after adding 1/2 to each cell."""
    sizes = 40, 60
    y = np.concatenate([np.arange(size) < some for size, some in zip(sizes, cases, strict=True)])
    group = np.repeat([0.0, 1.0], sizes)
    model = fit_null(y.astype(np.float64), orthonormal(group), np.zeros(100), firth=True)
    plain = [some / size for size, some in zip(sizes, cases, strict=True)]
    half = [(some + 0.5) / (size + 1) for size, some in zip(sizes, cases, strict=True)]
    np.testing.assert_allclose(model.p, np.repeat(plain, sizes), rtol=1e-12)
    np.testing.assert_allclose(special.expit(model.firth_offset), np.repeat(half, sizes), rtol=1e-9)


@pytest.mark.parametrize(("n", "intercept"), [(100, 0.0), (2_000, -4.0), (200_000, -7.0)])
def test_full_convergence(n, intercept):
    y, basis, offset = trait(1, n, intercept=intercept)
    model = fit_null(y, basis, offset, firth=True)
    information = (basis.T * model.w) @ basis
    score = basis.T @ (y - model.p)
    assert np.sqrt(score @ model.projector @ score) < 1e-10
    np.testing.assert_allclose(model.projector @ information, np.eye(4), atol=1e-10)
    np.testing.assert_allclose(model.w, model.p * (1 - model.p), rtol=1e-12)
    p = special.expit(model.firth_offset)
    w = p * (1 - p)
    inverse = np.linalg.inv((basis.T * w) @ basis)
    leverage = np.einsum("ij,jk,ik->i", basis, inverse, basis) * w
    score = basis.T @ (y - p + leverage * (0.5 - p))
    assert np.sqrt(score @ inverse @ score) < 1e-10


def test_same_whatever_the_basis_and_the_coding():
    y, basis, offset = trait(2)
    one = fit_null(y, basis, offset, firth=True)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    other = fit_null(y, basis @ turn, offset, firth=True)
    np.testing.assert_allclose(other.p, one.p, rtol=1e-11)
    np.testing.assert_allclose(other.firth_offset, one.firth_offset, atol=1e-9)
    other = fit_null(1 - y, basis, -offset, firth=True)
    np.testing.assert_allclose(1 - other.p, one.p, rtol=1e-11)
    np.testing.assert_allclose(-other.firth_offset, one.firth_offset, atol=1e-9)


def test_firth_fit_only_where_wanted():
    y, basis, offset = trait(3)
    with_firth = fit_null(y, basis, offset, firth=True)
    without = fit_null(y, basis, offset, firth=False)
    assert without.firth_offset is None
    np.testing.assert_array_equal(without.p, with_firth.p)


@pytest.mark.parametrize("n_left", [0, 3])
@pytest.mark.parametrize("n", [60, 3000])
def test_separated_by_a_covariate(n, n_left):
    """A covariate that only cases have, or all cases and some others."""
    rng = np.random.default_rng(n + n_left)
    y = (np.arange(n) < n // 6).astype(np.float64)
    mark = (np.arange(n) < n // 6 + n_left).astype(np.float64)
    basis, offset = orthonormal(np.column_stack([mark, rng.normal(size=n)])), np.zeros(n)
    model = fit_null(y, basis, offset, firth=True)
    assert model.status == "penalised"
    np.testing.assert_allclose(special.logit(model.p), model.firth_offset, atol=1e-12)
    assert model.p.min() > 0
    assert model.p.max() < 1
    alone = fit_null(y, basis, offset, firth=False)
    assert alone.status == "penalised"
    assert alone.firth_offset is None
    np.testing.assert_array_equal(alone.p, model.p)


def test_separated_along_a_continuous_covariate():
    rng = np.random.default_rng(0)
    x = np.sort(rng.normal(size=200))
    model = fit_null((x > 1).astype(np.float64), orthonormal(x), np.zeros(200), firth=True)
    assert model.status == "penalised"
    assert (np.diff(model.firth_offset) > 0).all()


def test_nearly_separated_is_not_separated():
    """One control among the carriers of a covariate keeps the fit finite."""
    y = (np.arange(1000) < 51).astype(np.float64)
    mark = ((np.arange(1000) >= 1) & (np.arange(1000) < 52)).astype(np.float64)
    model = fit_null(y, orthonormal(mark), np.zeros(1000), firth=False)
    assert model.status == "ok"
    np.testing.assert_allclose(model.p, np.where(mark == 1, 50 / 51, 1 / 949), rtol=1e-9)


@pytest.mark.parametrize("bad", ["offset", "basis"])
def test_no_fit_at_all(bad):
    y, basis, offset = trait(4)
    if bad == "offset":
        offset[5] = np.nan
    else:
        basis = np.column_stack([basis, np.zeros(300)])
    with pytest.raises(NotConverged, match="the information of the null model is singular") as got:
        fit_null(y, basis, offset, firth=True)
    assert isinstance(got.value, ArithmeticError)


def test_score_test_of_regenies_example(reference_data):
    y = regenie_example.y2()
    basis = orthonormal(regenie_example.covariates(reference_data))
    model = fit_null(y, basis, np.zeros(500), firth=False)
    g = regenie_example.alleles(reference_data, ["899", "958"])
    rest = g - (g * model.w) @ basis @ model.projector @ basis.T
    denom = np.square(rest) @ model.w
    beta, se = rest @ (y - model.p) / denom, 1 / np.sqrt(denom)
    beta_899, se_899, chisq_899, _ = regenie_example.SCORE_Y2["899"]
    np.testing.assert_allclose(beta, [beta_899, -0.703278], rtol=3e-6)
    np.testing.assert_allclose(se, [se_899, 0.301899], rtol=3e-6)
    np.testing.assert_allclose(np.square(beta / se), [chisq_899, 5.42664], rtol=3e-6)
