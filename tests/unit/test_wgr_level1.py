"""Level 1 against models that are refitted without each fold and each person."""

import numpy as np
import pytest
from scipy import special

import ridges
from ridges import H2, contiguous, logistic_null, logistic_weights, ridge_weights, shrinkage
from tessera.wgr.level1 import Features, contributions, fit_binary, fit_quantitative, loco

pytestmark = pytest.mark.usefixtures("one_thread")

CLIP = 1e-5  # of REGENIE's probabilities


class Known:
    """Predictions of level 0 of `blocks` blocks, a trait, and people of a study who have it."""

    def __init__(self, folds, n=90, blocks=4, seed=0, everyone=None, effect=0.4):
        rng = np.random.default_rng(seed)
        everyone = everyone or n
        self.rows = np.sort(rng.permutation(everyone)[:n])
        self.parts = [rng.normal(size=(len(H2), everyone)) for _ in range(blocks)]
        for part in self.parts:  # the shrinkages of a block resemble one another
            part += 2 * part[0]
        self.x = np.concatenate(self.parts)[:, self.rows].T
        self.people = ridges.make_cohort(rng, n, 2, folds)
        signal = effect * (self.x @ rng.normal(size=self.x.shape[1])) / np.sqrt(self.x.shape[1])
        y = ridges.rest(signal + rng.normal(size=n), self.people.basis)
        self.y = y / np.linalg.norm(y) * np.sqrt(n - 3)
        p = special.expit(signal - 0.5 + self.people.basis[:, 1])
        self.cases = (rng.random(n) < p).astype(np.float64)
        self.offset = special.logit(logistic_null(self.cases, self.people.basis, np.zeros(n)))
        self.edges = contiguous(n, folds)
        self.chromosomes = np.repeat(np.arange(1, blocks + 1), len(H2))

    @property
    def features(self):
        return Features(self.parts, self.rows)

    def fit(self, binary, convention="v4"):
        if binary:
            return fit_binary(self.features, self.cases, self.offset, self.people, H2)
        return fit_quantitative(self.features, self.y, self.people, H2, convention)

    def weights(self, binary, number, convention="v4"):
        """(n, J) coefficients of each person, of a model that has not seen it."""
        many = self.x.shape[1]
        if binary:
            tau = 3 / np.pi**2 * many * (1 - H2[number]) / H2[number]
            folds = self.people.folds
            return logistic_weights(self.x, self.cases, self.offset, tau, folds)
        tau = shrinkage(H2, many, convention)[number]
        return ridge_weights(self.x, self.y, tau, self.edges)

    def contributed(self, model, binary):
        values = self.cases if binary else self.y
        offset = self.offset if binary else None
        return contributions(self.features, model, self.people, self.chromosomes, values, offset)


@pytest.mark.parametrize("convention", ["v1", "v4"])
@pytest.mark.parametrize("folds", [5, 3, 0])
def test_losses_of_a_quantitative_trait(folds, convention):
    known = Known(folds, everyone=130)
    model = known.fit(False, convention)
    fitted = [
        (known.x * known.weights(False, number, convention)).sum(axis=1)
        for number in range(len(H2))
    ]
    errors = [np.mean((known.y - f) ** 2) for f in fitted]
    np.testing.assert_allclose(model.loss, errors, rtol=1e-11)
    rsq = [np.corrcoef(known.y, f)[0, 1] ** 2 for f in fitted]
    np.testing.assert_allclose(model.rsq, rsq, rtol=1e-9)
    assert model.best == np.argmin(errors)
    assert model.coefficients.shape == (folds or 1, 20)
    assert model.inverse.shape == ((0, 0) if folds else (20, 20))


@pytest.mark.parametrize("folds", [5, 3, 0])
def test_losses_of_a_binary_trait(folds):
    known = Known(folds, everyone=130, seed=1)
    model = known.fit(True)
    losses, rsq = [], []
    for number in range(len(H2)):
        log_odds = known.offset + (known.x * known.weights(True, number)).sum(axis=1)
        p = np.clip(special.expit(log_odds), CLIP, 1 - CLIP)
        losses.append(-np.mean(known.cases * np.log(p) + (1 - known.cases) * np.log(1 - p)))
        rsq.append(np.corrcoef(known.cases, p)[0, 1] ** 2)
    np.testing.assert_allclose(model.loss, losses, rtol=1e-9)
    np.testing.assert_allclose(model.rsq, rsq, rtol=1e-7)
    assert model.best == np.argmin(losses)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("folds", [5, 0])
@pytest.mark.parametrize("seed", [2, 3])
def test_contributions_are_of_models_that_have_not_seen_the_person(folds, binary, seed):
    known = Known(folds, everyone=110, seed=seed)
    known.chromosomes = np.repeat([3, 1, 3, 23], len(H2))  # in whatever order, and more than once
    model = known.fit(binary)
    products = known.x * known.weights(binary, model.best)
    expected = np.zeros((23, 90))
    for chromosome in (1, 3, 23):
        chosen = known.chromosomes == chromosome
        expected[chromosome - 1] = products[:, chosen].sum(axis=1)
    found = known.contributed(model, binary)
    atol = 1e-8 if binary else 1e-11
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)
    assert not found[[1, *range(3, 22)]].any()
    left_out = np.array([products[:, known.chromosomes != c].sum(axis=1) for c in range(1, 24)])
    np.testing.assert_allclose(loco(found), left_out, rtol=0, atol=atol)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("folds", [5, 0])
def test_of_23_chromosomes(folds, binary):
    known = Known(folds, n=200, blocks=23, seed=4)
    model = known.fit(binary)
    found = loco(known.contributed(model, binary))
    products = known.x * known.weights(binary, model.best)
    whole = products.sum(axis=1)
    for chromosome in range(1, 24):
        own = products[:, known.chromosomes == chromosome].sum(axis=1)
        assert np.abs(own).max() > 1e-4
        np.testing.assert_allclose(found[chromosome - 1], whole - own, atol=1e-8)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("folds", [5, 0])
@pytest.mark.parametrize("chromosome", [1, 9, 23])
def test_a_single_chromosome_leaves_exactly_nothing(folds, binary, chromosome):
    known = Known(folds, seed=5)
    known.chromosomes = np.full(20, chromosome)
    contributed = known.contributed(known.fit(binary), binary)
    assert contributed[chromosome - 1].all()
    found = loco(contributed)
    assert not found[chromosome - 1].any()
    for other in set(range(23)) - {chromosome - 1}:
        np.testing.assert_array_equal(found[other], contributed[chromosome - 1])


def test_more_people_than_are_held_at_a_time():
    for folds in (3, 0):
        known = Known(folds, n=5000, blocks=1, seed=6, everyone=5600)
        model = known.fit(False)
        if folds:
            products = known.x * known.weights(False, model.best)
        else:
            tau = shrinkage(H2, 5, "v4")[model.best]
            inverse = np.linalg.inv(known.x.T @ known.x + tau * np.eye(5))
            hat = np.einsum("ij,jk,ik->i", known.x, inverse, known.x)
            fitted = known.x @ inverse @ known.x.T @ known.y
            products = ((fitted - hat * known.y) / (1 - hat))[:, None]
        found = known.contributed(model, False)
        np.testing.assert_allclose(found[0], products.sum(axis=1), atol=1e-10)


def test_features_are_columns_of_the_traits_people():
    known = Known(3, n=300, seed=7, everyone=5000)
    known.rows[-1] = 4999
    features = known.features
    assert (features.n_people, features.n_columns) == (300, 20)
    expected = np.concatenate(known.parts)[:, known.rows].T
    for start, stop in ((0, 300), (17, 18), (100, 260), (40, 40)):
        found = features.read(start, stop)
        np.testing.assert_array_equal(found, expected[start:stop])
        assert found.flags.c_contiguous


def test_blocks_without_variants_are_no_columns():
    """Screening may leave a block empty: it holds no prediction."""
    known = Known(4, seed=8)
    full = known.fit(False)
    known.parts = [known.parts[0], np.empty((0, 90)), *known.parts[1:], np.empty((0, 90))]
    again = known.fit(False)
    np.testing.assert_array_equal(again.loss, full.loss)
    np.testing.assert_array_equal(again.coefficients, full.coefficients)


@pytest.mark.parametrize("folds", [5, 0])
def test_noise_is_shrunk_and_a_signal_is_found(folds):
    noise = Known(folds, n=400, seed=9, effect=0).fit(False)
    signal = Known(folds, n=400, seed=9, effect=3).fit(False)
    assert H2[noise.best] <= 0.25
    assert H2[signal.best] >= 0.5
    assert noise.rsq[noise.best] < 0.05
    assert signal.rsq[signal.best] > 0.5


@pytest.mark.parametrize("folds", [5, 0])
def test_in_other_units_the_same(folds):
    """Level 1 is linear in a quantitative trait."""
    known = Known(folds, seed=10)
    one = known.fit(False)
    first = known.contributed(one, False)
    known.y = -4 * known.y
    other = known.fit(False)
    assert other.best == one.best
    np.testing.assert_allclose(other.loss, 16 * one.loss, rtol=1e-12)
    np.testing.assert_allclose(known.contributed(other, False), -4 * first, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("folds", [5, 0])
def test_cases_and_controls_may_change_places(folds):
    known = Known(folds, seed=11)
    one = known.fit(True)
    first = known.contributed(one, True)
    known.cases, known.offset = 1 - known.cases, -known.offset
    other = known.fit(True)
    np.testing.assert_allclose(other.loss, one.loss, rtol=1e-8)
    np.testing.assert_allclose(known.contributed(other, True), -first, rtol=1e-6, atol=1e-9)
