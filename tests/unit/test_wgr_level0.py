"""Level 0 against models that are refitted for every fold and person, one trait at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

import ridges
from ridges import H2, degrees, genotypes, make_cohort, rest
from tessera.wgr.cohort import Cohort
from tessera.wgr.gram import PANEL, Block
from tessera.wgr.level0 import level0
from tessera.wgr.ridge import ridge
from tessera.wgr.sums import RawGrams

pytestmark = pytest.mark.usefixtures("one_thread")

CONVENTIONS = ("v1", "v4")


def predict(g, traits, people, convention, n_variants=5000, h2=H2):
    block = Block.of(g.copy()).of_people(people.rows)
    return np.stack(list(level0(block, traits, people, h2, n_variants, convention)))


def traits_of(rng, g, people, convention, many=1):
    """(n, T) adjusted and scaled traits, the work of some of the variants."""
    full = ridges.filled(g[:, people.rows])
    effects = rng.normal(size=(many, len(g))) * (rng.random((many, len(g))) < 0.3)
    y = effects @ full + 2 * rng.normal(size=(many, len(people.rows)))
    y = rest(y, people.basis)
    sd = np.linalg.norm(y, axis=1) / np.sqrt(degrees(convention, people.basis))
    return (y / sd[:, None]).T


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("folds", [5, 3, 0])
@pytest.mark.parametrize(("missing", "whole"), [(0, True), (0.04, True), (0.04, False)])
def test_equals_refitted_models(convention, folds, missing, whole):
    rng = np.random.default_rng(folds)
    g = genotypes(rng, 25, 163, missing)
    if not whole:
        g = (g * np.float32(0.9) + rng.uniform(0, 0.2, g.shape)).astype(np.float32)
    people = make_cohort(rng, 163, 3, folds)
    traits = traits_of(rng, g, people, convention, 3)
    # From shrinkage that leaves next to nothing to hardly any: 25 variants of 40.
    found = predict(g, traits, people, convention, 40)
    assert found.shape == (3, len(H2), 163)
    for ours, y in zip(found, traits.T, strict=True):
        expected = ridges.level0(g, y, people.basis, convention, folds, 40)
        np.testing.assert_allclose(ours, expected, atol=2e-11)


@how(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 40),
    st.sampled_from([0, 2, 5, 10]),
    st.sampled_from(CONVENTIONS),
    st.sampled_from([40, 10**4, 10**7]),
)
def test_equals_refitted_models_of_any_size(seed, n_variants, folds, convention, total):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(60, 140))
    g = genotypes(rng, n_variants, n, 0.05 * rng.random(), least=0.2)
    people = make_cohort(rng, n, int(rng.integers(0, 4)), folds)
    traits = traits_of(rng, g, people, convention)
    expected = ridges.level0(g, traits[:, 0], people.basis, convention, folds, total)
    np.testing.assert_allclose(
        predict(g, traits, people, convention, total)[0], expected, atol=1e-10
    )


def test_more_people_than_are_held_at_a_time():
    rng = np.random.default_rng(3)
    g = genotypes(rng, 12, 9001, 0.01)
    people = make_cohort(rng, 9001, 4)
    traits = traits_of(rng, g, people, "v4")
    expected = ridges.level0(g, traits[:, 0], people.basis, "v4", 5, 300)
    np.testing.assert_allclose(predict(g, traits, people, "v4", 300)[0], expected, atol=1e-10)


@pytest.mark.parametrize("folds", [4, 0])
def test_each_cohort_is_as_if_there_were_no_others(folds):
    """People without the trait count for nothing: neither for means nor for scales."""
    rng = np.random.default_rng(4)
    g = genotypes(rng, 9, 200, 0.05)
    for rows in (np.arange(200), np.flatnonzero(rng.random(200) < 0.7), np.arange(50, 130)):
        basis = ridges.orthonormal(rng.normal(size=(len(rows), 2)))
        people = Cohort(rows, basis, folds, (0,))
        traits = traits_of(rng, g, people, "v4")
        found = predict(g, traits, people, "v4", 90)
        expected = ridges.level0(g[:, rows], traits[:, 0], basis, "v4", folds, 90)
        np.testing.assert_allclose(found[0], expected, atol=1e-11)
        alone = Cohort(np.arange(len(rows)), basis, folds, (0,))
        assert predict(g[:, rows], traits, alone, "v4", 90).tobytes() == found.tobytes()
        # Sums over all people, less those without the trait, are the same numbers.
        everyone = Block.of(g.copy())
        own = everyone.of_people(rows)
        shared = np.stack(list(level0(own, traits, people, H2, 90, "v4", RawGrams(everyone))))
        assert shared.tobytes() == found.tobytes()


@pytest.mark.parametrize("folds", [5, 0])
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_predictions_are_centred_and_of_unit_variance(folds, convention):
    rng = np.random.default_rng(5)
    g = genotypes(rng, 30, 300, 0.02)
    people = make_cohort(rng, 300, 3, folds)
    found = predict(g, traits_of(rng, g, people, convention, 4), people, convention)
    np.testing.assert_allclose(found.mean(axis=2), 0, atol=1e-14)
    np.testing.assert_allclose(found.std(axis=2, ddof=1), 1, rtol=1e-13)


@pytest.mark.parametrize("folds", [5, 0])
def test_nothing_to_tell_is_zero(folds):
    rng = np.random.default_rng(6)
    g = genotypes(rng, 8, 120)
    people = make_cohort(rng, 120, 3, folds)
    traits = traits_of(rng, g, people, "v4", 2)
    traits[:, 1] = 0  # what is left of a combination of covariates
    found = predict(g, traits, people, "v4")
    assert found[0].any()
    assert not found[1].any()
    # Variants that do not vary, and one that nobody has: as if they were not there.
    flat = np.concatenate([np.full((1, 120), 1), g, np.full((1, 120), np.nan)]).astype(np.float32)
    np.testing.assert_allclose(predict(flat, traits, people, "v4"), found, atol=1e-12)
    assert not predict(flat[[0, -1]], traits, people, "v4").any()


@pytest.mark.parametrize("folds", [5, 0])
def test_two_variants_that_are_the_same_share_their_effect(folds):
    """They count as one with twice the variance, of half the shrinkage."""
    rng = np.random.default_rng(7)
    g = genotypes(rng, 1, 150, 0.02)
    people = make_cohort(rng, 150, 1, folds)
    traits = traits_of(rng, g, people, "v1")
    both = predict(np.concatenate([g, g]), traits, people, "v1", 200)
    np.testing.assert_allclose(both, predict(g, traits, people, "v1", 100), atol=1e-10)


@pytest.mark.parametrize("folds", [5, 0])
@pytest.mark.parametrize("n_variants", [1, 3, 20, 100])
@pytest.mark.parametrize("total", [30, 10**6])
def test_bytes_of_a_trait_do_not_depend_on_its_companions(folds, n_variants, total):
    """Neither on which they are, nor on how many, nor on its place; with either kind of factor."""
    rng = np.random.default_rng(n_variants)
    g = genotypes(rng, n_variants, 1009, 0.02)
    people = make_cohort(rng, 1009, 3, folds)
    traits = traits_of(rng, g, people, "v4", 40)
    traits[:, 39] *= 1e-6
    traits[:, 38] = 0

    def of(*companions, place=0):
        columns = np.insert(traits[:, list(companions)], place, traits[:, 0], axis=1)
        return predict(g, columns, people, "v4", total)[place].tobytes()

    alone = of()
    assert of(1, 2, 3, 4) == alone
    assert of(4, 39, 2, 38, place=2) == alone
    assert of(38, 37, 36, 35, place=4) == alone
    assert of(*range(1, 17)) == alone
    assert of(*range(1, 16), place=15) == alone
    assert of(*range(16, 0, -1), place=16) == alone
    assert of(*range(20, 36), place=5) == alone
    assert of(*range(1, 40), place=30) == alone


def exactly(matrix, right):
    """Solve by Gauss's method with 64 bits of precision."""
    a, b = matrix.astype(np.longdouble), right.astype(np.longdouble)
    for k in range(len(a)):
        share = (a[k + 1 :, k] / a[k, k])[:, None]
        a[k + 1 :, k:] -= share * a[k, k:]
        b[k + 1 :] -= share * b[k]
    for k in reversed(range(len(a))):
        b[k] = (b[k] - a[k, k + 1 :] @ b[k + 1 :]) / a[k, k]
    return b


def gram_of(kind, rng, size):
    if kind == "spread":
        turn = np.linalg.qr(rng.normal(size=(size, size)))[0]
        gram = (turn * np.geomspace(1e3, 1e-9, size)) @ turn.T
        return (gram + gram.T) / 2
    x = rng.normal(size=(size, 400))
    if kind == "linked":
        x = rng.normal(size=400) + 0.1 * x
    if kind == "twins":
        x[size // 2 :] = x[: size - size // 2]
    return x @ x.T


@pytest.mark.parametrize("kind", ["plain", "spread", "linked", "twins"])
@pytest.mark.parametrize("size", [1, 3, 70])
def test_ridge_is_as_precise_as_double_precision(kind, size):
    """From well-conditioned to where a factor in single precision would be of no use."""
    rng = np.random.default_rng(size)
    gram = gram_of(kind, rng, size)
    right = rng.normal(size=(size, PANEL)) * np.geomspace(1e-3, 1e3, PANEL)
    condition = 10 ** np.arange(1, 8.1, 0.5)
    lambdas = np.linalg.norm(gram, 2) / condition
    found = ridge(gram, right, lambdas)
    assert found.shape == (len(lambdas), size, PANEL)
    for ours, penalty, most in zip(found, lambdas, condition, strict=True):
        whole = gram + np.longdouble(penalty) * np.eye(size)
        expected = exactly(whole, right)
        largest = np.abs(expected).max(axis=0)
        # Where rounding of the matrix is more than that, double precision does no better.
        bound = (1e-12 + 3e-16 * most) * largest
        assert (np.abs(ours - expected).max(axis=0) <= bound).all()
        theirs = np.linalg.solve(whole.astype(np.float64), right)
        assert (np.abs(ours - theirs).max(axis=0) <= 2 * bound).all()


@pytest.mark.parametrize("condition", [1e2, 1e4, 1e5, 1e7])
@pytest.mark.parametrize("size", [1, 3, 20, 100])
def test_bytes_of_a_solution_do_not_depend_on_other_right_hand_sides(size, condition):
    rng = np.random.default_rng(0)
    gram = gram_of("linked", rng, size)
    lambdas = np.linalg.norm(gram, 2) / condition * np.array([1.0, 3.0, 50.0])
    column = rng.normal(size=size)
    alone = np.zeros((size, PANEL))
    alone[:, 0] = column
    expected = ridge(gram, alone, lambdas)[:, :, 0].tobytes()
    # Some that take more refinements, and some that take none.
    more = rng.normal(size=(size, 3 * PANEL)) * np.geomspace(1e-9, 1e9, 3 * PANEL)
    more[:, ::7] = 0
    more[:, 1::7] = np.linalg.eigh(gram)[1][:, [0]]
    for place in (0, 3, PANEL - 1, PANEL, 3 * PANEL - 1):
        right = more.copy()
        right[:, place] = column
        assert ridge(gram, right, lambdas)[:, :, place].tobytes() == expected
