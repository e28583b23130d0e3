"""Association tests against regressions that are written out for each variant."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st
from scipy import stats

from ridges import Trial, degrees, filled, rest, rules
from tessera.wgr import assoc
from tessera.wgr.assoc import (
    Code,
    Field,
    chisq_of_log10p,
    log10p_of_chisq,
)
from tessera.wgr.firth import approximate_firth
from tessera.wgr.spa import saddlepoint

pytestmark = pytest.mark.usefixtures("one_thread")

FOUR = [Field.BETA, Field.SE, Field.CHISQ, Field.LOG10P]


def figures(beta, se):
    chisq = np.square(beta / se)
    return np.array([beta, se, chisq, -stats.chi2.logsf(chisq, 1) / np.log(10)])


@pytest.mark.parametrize("convention", ["v1", "v4"])
@pytest.mark.parametrize("missing", [0, 0.05])
def test_quantitative_traits_by_the_formula(convention, missing):
    known = Trial(missing=missing)
    found = known.tester(convention=convention).test(known.g)
    q = known.people.basis
    g = rest(filled(known.g), q)
    for trait, ours in enumerate(found):
        df = degrees(convention, q)
        y = rest(known.y[trait : trait + 1], q)[0]
        unit = np.linalg.norm(y) / np.sqrt(df)
        residual = y - unit * known.loco[trait]
        sd = np.linalg.norm(residual) / np.sqrt(df)
        squares = np.square(g).sum(axis=1)
        expected = figures(g @ residual / squares, sd / np.sqrt(squares))
        np.testing.assert_allclose(ours[FOUR], expected, rtol=1e-10, atol=1e-13)
        assert (ours[Field.CODE] == Code.PLAIN).all()
        np.testing.assert_array_equal(ours[Field.N], (~np.isnan(known.g)).sum(axis=1))
        frequency = np.nanmean(known.g.astype(float), axis=1) / 2
        np.testing.assert_allclose(ours[Field.A1FREQ], frequency, rtol=1e-14)
        assert (ours[Field.INFO] == 1).all()


def test_without_a_prediction_beta_is_that_of_least_squares():
    known = Trial(seed=1)
    known.loco[:] = 0
    found = known.tester().test(known.g)[0]
    for variant, g in enumerate(filled(known.g)):
        design = np.column_stack([known.people.basis, g])
        expected = np.linalg.lstsq(design, known.y[0], rcond=None)[0][-1]
        np.testing.assert_allclose(found[Field.BETA, variant], expected, rtol=1e-9, atol=1e-12)


def test_more_people_than_are_multiplied_at_a_time():
    known = Trial(n=9001, n_variants=20, seed=2)
    q = known.people.basis
    g = rest(filled(known.g), q)
    found = known.tester().test(known.g)[1]
    residual = known.linear(1).residual
    expected = g @ residual / np.square(g).sum(axis=1)
    np.testing.assert_allclose(found[Field.BETA], expected, rtol=1e-9)


@pytest.mark.parametrize("missing", [0, 0.05])
def test_binary_traits_by_the_score_test(missing):
    known = Trial(seed=3, missing=missing)
    found = known.tester(binary=True).test(known.g)
    for trait, ours in enumerate(found):
        turned, p = known.turned(trait)
        denominator = np.square(turned) @ (p * (1 - p))
        stat = turned @ (known.cases[trait] - p) / np.sqrt(denominator)
        expected = figures(stat / np.sqrt(denominator), 1 / np.sqrt(denominator))
        np.testing.assert_allclose(ours[FOUR], expected, rtol=1e-9, atol=1e-12)
        assert (ours[Field.CODE] == Code.PLAIN).all()


@pytest.mark.parametrize("convention", ["v1", "v4"])
def test_firth_in_the_place_of_a_small_p(convention):
    known = Trial(seed=4, cases=0.1)
    found = known.tester(True, test="firth", firth_p=0.3, convention=convention).test(known.g)
    score = known.tester(True).test(known.g)
    for trait, ours in enumerate(found):
        small = score[trait, Field.LOG10P] > -np.log10(0.3)
        assert 0 < small.sum() < len(small)
        np.testing.assert_array_equal(ours[:, ~small], score[trait][:, ~small])
        turned, _ = known.turned(trait)
        if convention == "v1":
            turned = rest(filled(known.g), known.people.basis)
        offset = known.logistic(trait, firth=True).null.firth_offset
        beta, se, chisq, ok = approximate_firth(known.cases[trait], turned[small], offset)
        assert ok.all()
        log10p = -stats.chi2.logsf(chisq, 1) / np.log(10)
        expected = [beta, se, chisq, log10p]
        np.testing.assert_allclose(ours[FOUR][:, small], expected, rtol=1e-7, atol=1e-10)
        assert (ours[Field.CODE, small] == Code.CORRECTED).all()


@pytest.mark.parametrize("convention", ["v1", "v4"])
@pytest.mark.parametrize("flipped", [False, True])
def test_saddle_point_in_the_place_of_a_small_p(convention, flipped):
    """Carriers are those of the rarer allele, whichever is counted."""
    known = Trial(seed=5, cases=0.1, n=600)
    if flipped:
        known.g = 2 - known.g
    found = known.tester(True, test="spa", firth_p=0.3, convention=convention).test(known.g)
    score = known.tester(True).test(known.g)
    full = filled(known.g)
    for trait, ours in enumerate(found):
        small = score[trait, Field.LOG10P] > -np.log10(0.3)
        np.testing.assert_array_equal(ours[:, ~small], score[trait][:, ~small])
        turned, p = known.turned(trait)
        denominator = np.square(turned) @ (p * (1 - p))
        stat = turned @ (known.cases[trait] - p) / np.sqrt(denominator)
        common = full.mean(axis=1, keepdims=True) > 1
        carriers = np.where(common, 2 - full, full) != 0
        log10p, ok = saddlepoint(
            stat[small], denominator[small], turned[small], p, carriers[small], convention == "v4"
        )
        assert ok.all()
        chisq = stats.chi2.isf(10**-log10p, 1)
        beta = np.sign(stat[small]) * np.sqrt(chisq / denominator[small])
        expected = np.array([beta, 1 / np.sqrt(denominator[small]), chisq, log10p])
        np.testing.assert_allclose(ours[FOUR][:, small], expected, rtol=1e-6, atol=1e-9)
        assert (ours[Field.CODE, small] == Code.CORRECTED).all()


def test_a_saddle_point_that_fails_keeps_effect_and_error():
    """Of a weak effect the approximation of a single tail may be above 1/2."""
    known = Trial(seed=6, n=300, cases=0.05)
    known.g = np.random.default_rng(0).binomial(2, 0.01, (100, 300)).astype(np.float32)
    (ours,) = known.tester(True, (0,), test="spa", firth_p=0.99, convention="v1").test(known.g)
    (score,) = known.tester(True, (0,)).test(known.g)
    failed = ours[Field.CODE] == Code.FAILED
    assert 0 < failed.sum() < 100
    assert np.isnan(ours[FOUR[2:]][:, failed]).all()
    np.testing.assert_array_equal(ours[FOUR[:2]][:, failed], score[FOUR[:2]][:, failed])
    assert np.isfinite(ours[FOUR][:, ~failed]).all()


def test_reasons_to_leave_a_variant_out():
    known = Trial(n=200, n_variants=1, missing=0)
    rng = np.random.default_rng(0)
    g = np.tile(rng.binomial(2, 0.4, 200).astype(np.float32), (12, 1))
    g[1, :50] = np.nan  # a quarter
    g[2], g[2, :2] = 0, 2  # two people with both copies: MAC 4
    g[3] = 2 - g[2]
    g[4], g[4, :9] = 0, 1  # MAC 9: a frequency of 0.0225
    g[5] = 2 - g[4]
    g[6] = 1  # nobody without, nobody with two
    g[8] = np.nan
    g[9], g[9, :2] = 0, 1
    g[10] = 2
    info = np.ones(12)
    info[[7, 9]] = 0.29
    odd = np.arange(12) == 11
    limits = {"min_mac": 5, "maf": 0.03, "hwe": 1e-6, "max_missing": 0.2, "min_info": 0.3}
    expected = [
        Code.PLAIN, Code.MISSING, Code.RARE, Code.RARE, Code.MAF, Code.MAF, Code.HWE, Code.POOR,
        Code.MISSING, Code.RARE, Code.RARE, Code.ODD,
    ]  # fmt: skip
    for binary in (False, True):
        found = known.tester(binary, **limits).test(g, info, odd)
        for ours in found:
            assert ours[Field.CODE].tolist() == expected
            dropped = ours[Field.CODE] >= Code.MISSING
            assert np.isnan(ours[FOUR][:, dropped]).all()
            assert np.isfinite(ours[FOUR][:, ~dropped]).all()
            np.testing.assert_array_equal(ours[Field.INFO], info)
            assert ours[Field.N].tolist() == [200, 150, *[200] * 6, 0, 200, 200, 200]


@pytest.mark.parametrize("limit", ["min_mac", "maf", "hwe", "max_missing", "min_info"])
def test_a_limit_that_is_just_met_leaves_nothing_out(limit):
    known = Trial(n=200, n_variants=1, missing=0)
    g = np.zeros((1, 200), np.float32)
    g[0, :10] = 1
    g[0, 190:] = np.nan
    # Ten heterozygotes of 190 are the likeliest number: the p-value is 1.
    just = {"min_mac": 10, "maf": 10 / 380, "hwe": 1 - 1e-9, "max_missing": 0.05, "min_info": 0.5}
    past = {"min_mac": 10.5, "maf": 0.0264, "hwe": 1.1, "max_missing": 0.049, "min_info": 0.51}
    for limits, kept in ((just, True), (past, False)):
        (found, _) = known.tester(**{limit: limits[limit]}).test(g, np.array([0.5]))
        assert (found[Field.CODE, 0] == Code.PLAIN) == kept


@pytest.mark.parametrize("binary", [False, True])
def test_nothing_beyond_the_covariates(binary):
    known = Trial(n=300, n_variants=3, missing=0)
    rng = np.random.default_rng(1)
    known.g[1] = 1
    known.g[2] = rng.integers(0, 3, 300)
    basis = np.linalg.qr(np.column_stack([np.ones(300), known.g[2], rng.normal(size=300)]))[0]
    known.people = type(known.people)(known.people.rows, basis, 5, (0,))
    for test in ("score", "firth", "spa") if binary else ("score",):
        for ours in known.tester(binary, test=test, firth_p=0.999999, min_mac=0).test(known.g):
            assert (ours[Field.CODE, 1:] == Code.FLAT).all()
            assert ours[Field.CODE, 0] != Code.FLAT
            assert np.isnan(ours[FOUR][:, 1:]).all()


@pytest.mark.parametrize("binary", [False, True])
def test_sums_of_masks_have_no_other_allele(binary):
    """A count of up to 2 for each of many variants: no folding, no frequency above 1."""
    rng = np.random.default_rng(2)
    known = Trial(n=250, n_variants=3, missing=0)
    known.g = rng.binomial(30, 0.2, (3, 250)).astype(np.float32)
    known.g[2] = 0
    known.g[2, :4] = 1
    limits = {"min_mac": 5, "maf": 0.4, "hwe": 0.99}
    summed = np.array([15.0, 20, 15])
    for ours in known.tester(binary, **limits).test(known.g, summed=summed):
        assert ours[Field.CODE].tolist() == [Code.PLAIN, Code.PLAIN, Code.RARE]
        expected = known.g.sum(axis=1) / (2 * 250 * summed)
        np.testing.assert_allclose(ours[Field.A1FREQ], expected, rtol=1e-12)
    # One less its mean is as good as the other.
    loose = known.tester(binary, **limits).test(known.g, summed=summed)[:, FOUR, :2]
    half = known.tester(binary).test(known.g[:2] / 16)[:, FOUR]
    half[:, :2] /= 16
    np.testing.assert_allclose(loose, half, rtol=1e-9, atol=1e-12)


def test_a_trait_without_a_model_fails_and_stops_no_other():
    known = Trial(n_variants=5)
    known.g[2], known.g[2, :30] = 0, 1
    whole = known.tester().test(known.g)
    models = [None, known.linear(0), None, known.linear(1)]
    found = assoc.Tester(known.people, models, rules(min_mac=40)).test(known.g)
    tested = found[1, Field.CODE] == Code.PLAIN
    assert 0 < tested.sum() < 5
    for place, trait in ((1, 0), (3, 1)):
        np.testing.assert_array_equal(found[place][:, tested], whole[trait][:, tested])
    for place in (0, 2):
        assert (found[place, Field.CODE, tested] == Code.FAILED).all()
        assert (found[place, Field.CODE, ~tested] == Code.RARE).all()
        assert np.isnan(found[place, FOUR]).all()
        np.testing.assert_array_equal(found[place, Field.N], found[1, Field.N])
    none = assoc.Tester(known.people, [None], rules()).test(known.g)
    assert (none[0, Field.CODE] == Code.FAILED).all()


@pytest.mark.parametrize("test", ["qt", "score", "firth", "spa"])
def test_the_other_allele_has_the_other_sign(test):
    known = Trial(seed=10, n=500, cases=0.15)
    tester = known.tester() if test == "qt" else known.tester(True, test=test, firth_p=0.3)
    one, other = tester.test(known.g), tester.test(2 - known.g)
    np.testing.assert_array_equal(other[:, Field.CODE], one[:, Field.CODE])
    np.testing.assert_allclose(other[:, Field.BETA], -one[:, Field.BETA], rtol=1e-6, atol=1e-9)
    for field in (Field.SE, Field.CHISQ, Field.LOG10P):
        np.testing.assert_allclose(other[:, field], one[:, field], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(other[:, Field.A1FREQ], 1 - one[:, Field.A1FREQ])


def test_p_values_however_small():
    chisq = np.array([0, 1e-6, 1, 3.84, 30, 1400])
    np.testing.assert_allclose(log10p_of_chisq(chisq), -stats.chi2.logsf(chisq, 1) / np.log(10))
    far = log10p_of_chisq(np.array([1e4, 1e5, 1e8]))
    # The tail is that of a normal density over its argument, twice.
    z = np.sqrt([1e4, 1e5, 1e8])
    near = (z**2 / 2 + np.log(z) + np.log(np.pi / 2) / 2) / np.log(10)
    np.testing.assert_allclose(far, near, rtol=1e-7)
    assert np.isfinite(far).all()


@how(max_examples=200, deadline=None)
@given(st.floats(-6, 5.5))
def test_chisq_and_p_are_each_others_inverse(size):
    chisq = 10**size
    again = chisq_of_log10p(float(log10p_of_chisq(chisq)))
    np.testing.assert_allclose(again, chisq, rtol=1e-9)


def test_a_perfect_variant_has_a_finite_p():
    known = Trial(n=3000, n_variants=1, missing=0)
    known.y[0] = known.g[0] + 1e-4 * known.y[1]
    known.loco[:] = 0
    found = known.tester().test(known.g)[0]
    np.testing.assert_allclose(found[Field.BETA, 0], 1, rtol=1e-3)
    assert np.isfinite(found[FOUR]).all()
