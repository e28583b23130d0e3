"""Saddlepoint p-values against plain formulas, exact tails by enumeration, and the normal."""

import numpy as np
import pytest
from scipy import optimize, special, stats

from tessera.wgr.logistic import fit_null
from tessera.wgr.spa import saddlepoint


def plain_tail(s, m, p, c, carriers, turn):
    """Log of the upper tail of turn * score, from the cumulants as they are usually written."""
    fast = 2 * carriers.sum() < len(p)
    chosen = carriers if fast else np.ones(len(p), bool)
    rest = (p * (1 - p) * m**2)[~chosen].sum() / c**2
    m, p = turn * m[chosen] / c, p[chosen]

    def cumulant(t):
        each = np.logaddexp(np.log1p(-p), np.log(p) + t * m)  # log(1 - p + p e^tm)
        return each.sum() - t * (m * p).sum() + t * t * rest / 2

    def slope(t):
        return (m * (special.expit(special.logit(p) + t * m) - p)).sum() + t * rest

    t = optimize.brentq(lambda t: slope(t) - s, 0, 1e4, xtol=1e-14, rtol=1e-14, maxiter=500)
    tilted = special.expit(special.logit(p) + t * m)
    bend = (m**2 * tilted * (1 - tilted)).sum() + rest
    w, v = np.sqrt(2 * (t * s - cumulant(t))), t * np.sqrt(bend)
    return special.log_ndtr(-(w + np.log(v / w) / w))


def plain(stat, denom, m, p, carriers, both_tails):
    """-log10 p, NaN where that is above 1."""
    c, turn = np.sqrt(denom), 1 if stat >= 0 else -1
    log = plain_tail(abs(stat), m, p, c, carriers, turn)
    other = plain_tail(abs(stat), m, p, c, carriers, -turn) if both_tails else log
    log = np.logaddexp(log, other)
    return -log / np.log(10) if log <= 0 else np.nan


def scores(seed, n=400, n_variants=40, intercept=-2.0, rare=0.005):
    """Score tests of variants from rare to common under the null."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(np.column_stack([np.ones(n), rng.normal(size=(n, 2))]))[0]
    y = (rng.random(n) < special.expit(intercept + rng.normal(size=n))).astype(np.float64)
    null = fit_null(y, basis, np.zeros(n), firth=False)
    frequency = np.geomspace(rare, 0.5, n_variants)
    g = rng.binomial(2, frequency[:, None], (n_variants, n)).astype(np.float64)
    g[:, 0] = np.maximum(g[:, 0], 1)
    m = g - (g * null.w) @ basis @ null.projector @ basis.T
    denom = np.square(m) @ null.w
    return m @ (y - null.p) / np.sqrt(denom), denom, m, null.p, g > 0


@pytest.mark.parametrize("both_tails", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_plain_formula(seed, both_tails):
    stat, denom, m, p, carriers = scores(seed)
    assert 5 < (2 * carriers.sum(axis=1) < 400).sum() < 38  # both forms
    for shift in (0.0, 1.5):
        shifted = stat + np.copysign(shift, stat)
        found, ok = saddlepoint(shifted, denom, m, p, carriers, both_tails)
        rows = zip(shifted, denom, m, carriers, strict=True)
        expected = [plain(s, d, row, p, who, both_tails) for s, d, row, who in rows]
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)
        np.testing.assert_array_equal(ok, np.isfinite(expected))
        assert ok.mean() > 0.8


@pytest.mark.parametrize("both_tails", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_exact_tails_of_few_people(seed, both_tails):
    """All 2^32 outcomes of 32 people, as pairs of the outcomes of two halves."""
    rng = np.random.default_rng(seed)
    n = 32
    p, m = rng.uniform(0.1, 0.5, n), rng.normal(size=n)
    denom = (p * (1 - p) * m**2).sum()
    outcomes = (np.arange(2**16)[:, None] >> np.arange(16)) & 1
    (one, chance), (other, weight) = (
        ((outcomes - q) @ u / np.sqrt(denom), np.where(outcomes, q, 1 - q).prod(axis=1))
        for q, u in ((p[:16], m[:16]), (p[16:], m[16:]))
    )
    order = np.argsort(other)
    other, below = other[order], np.concatenate([[0], np.cumsum(weight[order])])

    def tail(s, sign):
        at = np.searchsorted(other, sign * s - one, side="left" if sign > 0 else "right")
        return chance @ (1 - below[at] if sign > 0 else below[at])

    size = np.linspace(1, 3.5, 11)
    ahead = np.array([[tail(s, sign) for s in size] for sign in (1, -1)])
    exact = np.tile(ahead.sum(axis=0), 2) if both_tails else 2 * ahead.ravel()
    stat = np.concatenate([size, -size])
    rows = (stat, np.full(22, denom), np.tile(m, (22, 1)), p, np.ones((22, n), bool))
    found, ok = saddlepoint(*rows, both_tails)
    assert ok.all()
    np.testing.assert_allclose(10**-found, exact, rtol=0.03)
    assert np.abs(2 * stats.norm.sf(np.abs(stat)) / exact - 1).max() > 0.5  # the normal is not


@pytest.mark.parametrize(
    ("n_carriers", "prevalence", "cases"), [(100, 0.02, 8), (400, 0.05, 45), (1000, 0.002, 12)]
)
def test_rare_variant_of_a_rare_trait(n_carriers, prevalence, cases):
    """The exact tail is binomial; counts have steps, so half a case is taken back."""
    g = (np.arange(10_000) < n_carriers).astype(np.float64)
    denom = n_carriers * prevalence * (1 - prevalence)
    stat = (cases - 0.5 - n_carriers * prevalence) / np.sqrt(denom)
    row = (np.array([stat]), np.array([denom]), g[None], np.full(10_000, prevalence), g[None] > 0)
    found, ok = saddlepoint(*row, False)
    exact = stats.binom.sf(cases - 1, n_carriers, prevalence)
    assert ok.all()
    np.testing.assert_allclose(10**-found / 2, exact, rtol=0.2)
    assert stats.norm.sf(stat) < exact / 20


def test_normal_where_counts_are_large():
    rng = np.random.default_rng(3)
    n = 50_000
    p, m = np.full(n, 0.5), rng.normal(size=(20, n))
    denom, stat = np.square(m) @ (p * (1 - p)), np.linspace(-5, 5, 20)
    for both_tails in (True, False):
        found, ok = saddlepoint(stat, denom, m, p, np.ones(m.shape, bool), both_tails)
        assert ok.all()
        expected = -stats.chi2.logsf(stat**2, 1) / np.log(10)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_form_for_few_carriers_is_near_the_full_one():
    stat, denom, m, p, carriers = scores(4, n=20_000, rare=0.002)
    stat = np.copysign(np.abs(stat) + 2, stat)
    fast, _ = saddlepoint(stat, denom, m, p, carriers, True)
    full, _ = saddlepoint(stat, denom, m, p, np.ones(m.shape, bool), True)
    assert (fast != full).sum() > 20
    np.testing.assert_allclose(fast, full, rtol=2e-3)


def test_far_tails_stay_finite():
    _, denom, m, p, carriers = scores(5, n=20_000, n_variants=6, intercept=0.0, rare=0.2)
    for both_tails in (True, False):
        found = []
        for stat in (10.0, 30.0, 50.0, 60.0):
            log10p, ok = saddlepoint(np.full(6, stat), denom, m, p, carriers, both_tails)
            assert ok.all()
            found.append(log10p)
        assert np.isfinite(found).all()
        assert (np.diff(found, axis=0) > 0).all()
        assert (np.array(found)[-1] > 400).all()
    one = plain(60.0, denom[0], m[0], p, carriers[0], False)
    np.testing.assert_allclose(found[-1][0], one, rtol=1e-9)


@pytest.mark.parametrize("both_tails", [True, False])
def test_same_for_the_other_allele_and_the_other_coding(both_tails):
    stat, denom, m, p, carriers = scores(6)
    expected, ok = saddlepoint(stat, denom, m, p, carriers, both_tails)
    turned = saddlepoint(-stat, denom, -m, p, carriers, both_tails)
    np.testing.assert_array_equal(turned[0], expected)
    np.testing.assert_array_equal(turned[1], ok)
    scaled = saddlepoint(stat, denom * 9, m * 3, p, carriers, both_tails)
    np.testing.assert_allclose(scaled[0], expected, rtol=1e-9, atol=1e-12)
    other = saddlepoint(-stat, denom, m, 1 - p, carriers, both_tails)
    np.testing.assert_allclose(other[0], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("both_tails", [True, False])
def test_bytes_do_not_depend_on_the_other_rows(both_tails):
    stat, denom, m, p, carriers = scores(7, n=301)
    whole, _ = saddlepoint(stat, denom, m, p, carriers, both_tails)
    for rows in (slice(0, 1), slice(5, 12), slice(39, None), slice(None, None, -3)):
        part = stat[rows], denom[rows], m[rows], p, carriers[rows]
        np.testing.assert_array_equal(saddlepoint(*part, both_tails)[0], whole[rows])
    columns = np.asfortranarray(m), p, np.asfortranarray(carriers)
    np.testing.assert_array_equal(saddlepoint(stat, denom, *columns, both_tails)[0], whole)


def test_scores_that_cannot_be_are_marked():
    """The most that the score can reach is where exactly those with m > 0 are cases."""
    m = np.array([[1.0, 2.0, -1.0, -2.5, 0.5]])
    p = np.array([0.2, 0.1, 0.3, 0.2, 0.4])
    denom = np.square(m) @ (p * (1 - p))
    most = (m * ((m > 0) - p)).sum() / np.sqrt(denom)
    least = (m * ((m < 0) - p)).sum() / np.sqrt(denom)
    every = np.ones((1, 5), bool)
    for stat, possible in (
        (most * 0.98, True),
        (most * 1.02, False),
        (least * 0.98, True),
        (least * 1.02, False),
    ):
        for both_tails in (True, False):
            log10p, ok = saddlepoint(stat, denom, m, p, every, both_tails)
            assert ok.tolist() == [possible]
            assert np.isfinite(log10p).tolist() == [possible]
    assert [len(a) for a in saddlepoint(most[:0], denom[:0], m[:0], p, every[:0], True)] == [0, 0]


def test_tail_on_the_other_side_may_be_empty():
    """Beyond the least that the score can be, nothing is added to the tail that was seen."""
    rng = np.random.default_rng(8)
    m, p = rng.uniform(0.5, 1.5, (1, 40)), np.full(40, 0.02)
    denom = np.square(m) @ (p * (1 - p))
    every, stat = np.ones((1, 40), bool), np.array([3.0])
    assert (m @ p / np.sqrt(denom) < stat).all()
    both, ok = saddlepoint(stat, denom, m, p, every, True)
    one, _ = saddlepoint(stat, denom, m, p, every, False)
    assert ok.all()
    np.testing.assert_allclose(both, one + np.log10(2), rtol=1e-12)


def test_above_one_is_marked():
    """Skewed and near 0, twice one tail can be above 1; both tails together are not."""
    _, denom, m, p, carriers = scores(9)
    stat = np.full(40, -0.05)
    one, ok = saddlepoint(stat, denom, m, p, carriers, False)
    assert 0 < ok.sum() < 40
    assert np.isnan(one[~ok]).all()
    assert (one[ok] >= 0).all()
    expected = [
        plain(-0.05, d, row, p, who, False) for d, row, who in zip(denom, m, carriers, strict=True)
    ]
    np.testing.assert_allclose(one, expected, rtol=1e-6, atol=1e-8)


def test_no_step_at_score_zero():
    _, denom, m, p, carriers = scores(10, n=5000)
    for stat in (0.0, 1e-9, 0.99e-3, 1.01e-3, -1.01e-3):
        log10p, ok = saddlepoint(np.full(40, stat), denom, m, p, carriers, True)
        assert ok.mean() > 0.9
        np.testing.assert_allclose(log10p[ok], 0, atol=1e-3)
