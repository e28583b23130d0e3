"""The product in single precision is a sieve: nothing that is told depends on it."""

import numpy as np
import pytest

from gwas import (
    Known,
    Worse,
    assert_same,
    everything,
    genotypes,
    make_study,
    refit,
    scan,
    settings,
)
from tessera.vgwas import engines
from tessera.vgwas.engines import MOST, margin
from tessera.vgwas.exact import r_of_t
from tessera.vgwas.permutations import permutation


@pytest.fixture
def worse(monkeypatch):
    monkeypatch.setitem(engines.ENGINES, "worse", Worse)


class Brink:
    """Pairs whose correlations are within 0.4 margins of a value, as observed and permuted."""

    n, n_snps, each, permutations = 60, 6, 40, 3

    def __init__(self, scheme, value, surely):
        rng = np.random.default_rng(3)
        n, self.g = self.n, rng.binomial(2, 0.4, (self.n_snps, self.n)).astype(np.float32)
        covariates = rng.normal(size=(2, n))
        basis = make_study(rng.normal(size=(1, n)), covariates).model.basis
        maps = []
        for k in range(self.permutations + 1):
            places = permutation(k, np.zeros(n, np.int64), 1)
            for g in self.g.astype(float):
                x = g - g @ basis.T @ basis
                target = value + margin(n) * rng.uniform(-0.4, 0.4, self.each)
                target[0] += surely
                maps.append(self.solve(scheme, x[places], basis, places, target, rng))
        self.study = make_study(np.concatenate(maps), covariates)

    def solve(self, scheme, x, basis, places, target, rng):
        """Find how much of the SNP each map needs, by bisection."""
        turned = basis[:, places]
        low, high = np.zeros((len(target), 1)), np.full((len(target), 1), 30.0)
        noise = rng.normal(size=(len(target), self.n))
        for _ in range(50):
            middle = (low + high) / 2
            y = noise + middle * x
            y -= y @ basis.T @ basis
            if scheme == "smith":
                rest = x - x @ basis.T @ basis
                r = y @ rest / (np.linalg.norm(rest) * np.linalg.norm(y, axis=1))
            else:
                left = (y**2).sum(axis=1) - ((y @ turned.T) ** 2).sum(axis=1)
                r = y @ x / (np.linalg.norm(x) * np.sqrt(left))
            below = (r < target)[:, None]
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return y


@pytest.mark.parametrize("scheme", ["smith", "freedman-lane"])
@pytest.mark.parametrize("passes", [True, False])
def test_pairs_on_the_brink_are_decided_exactly(worse, scheme, passes):
    """Of a threshold, or below it of being the strongest."""
    p = 1e-5 if passes else 1e-15
    chosen = settings(scheme=scheme, threshold_p=p, cluster_p=p)
    case = Brink(scheme, float(r_of_t(chosen.hit_t(56), 56)) if passes else 0.75, 0.1 * passes)
    expected = everything(case.study, case.g, chosen, 512)
    snps, hits, *_, max_t, _ = expected
    if passes:
        assert 80 < len(hits) < 160  # of 240 on the brink
    else:
        assert not len(hits)
        basis = case.study.model.basis
        x = case.g - case.g @ basis.T @ basis
        r = case.study.model.y.astype(float) @ (x / np.linalg.norm(x, axis=1, keepdims=True)).T
        largest = np.abs(r / case.study.model.norm[:, None]).max(axis=0)
        np.testing.assert_allclose(np.abs(r_of_t(snps["max_t"], 56)), largest, rtol=1e-9)
        np.testing.assert_allclose(r_of_t(max_t, 56), 0.75, rtol=1e-5)
    noisy = settings(**{**vars(chosen), "engine": "worse"})
    for size in (3, 512):
        assert_same(everything(case.study, case.g, noisy, size), expected)


@pytest.mark.parametrize("scheme", ["smith", "freedman-lane"])
@pytest.mark.parametrize("threshold", [{"cluster_p": 0.01}, {"cluster_t": 30.0}])
def test_neither_blocks_nor_the_product_change_a_byte(worse, scheme, threshold):
    known = Known(7, n=60, n_voxels=2100, n_snps=70)
    chosen = {"scheme": scheme, "threshold_p": 1e-4, **threshold}
    expected = everything(known.study, known.g, settings(**chosen), 512)
    assert len(expected[1]) > 10
    assert len(expected[2]) > (100 if "cluster_p" in threshold else 0)
    assert_same(scan(known.study, known.g, settings(**chosen), 1), expected[:4])
    for size in (7, 64):
        assert_same(everything(known.study, known.g, settings(**chosen), size), expected)
    for size in (17, 512):
        noisy = settings(engine="worse", **chosen)
        assert_same(everything(known.study, known.g, noisy, size), expected)


@pytest.mark.parametrize("scheme", ["smith", "freedman-lane"])
def test_torch_gives_the_same_bytes(scheme):
    pytest.importorskip("torch")
    known = Known(7, n=60, n_voxels=2100, n_snps=70)
    expected = everything(known.study, known.g, settings(scheme=scheme), 64)
    found = everything(known.study, known.g, settings(scheme=scheme, engine="torch"), 64)
    assert_same(found, expected)


@pytest.mark.parametrize("noise", ["normal", "t"])
def test_hits_with_subjects_left_out_do_not_depend_on_the_product(worse, noise):
    known = Known(9, n=60, n_voxels=600, n_snps=40, missing=0.04, noise=noise)
    chosen = {"missing": "complete", "threshold_p": 1e-3}
    expected = scan(known.study, known.g, settings(**chosen))[1:]
    assert len(expected[0]) > 20
    for size in (1, 7):
        assert_same(scan(known.study, known.g, settings(**chosen), size)[1:], expected)
    assert_same(scan(known.study, known.g, settings(engine="worse", **chosen))[1:], expected)


def test_more_pairs_than_the_first_guess_at_memory():
    rng = np.random.default_rng(1)
    study = make_study(rng.normal(size=(3000, 25)))
    g = genotypes(rng, 50, 25, 0, 0.3)
    hits = scan(study, g, settings(threshold_p=1.0))[1]
    assert len(hits) == 50 * 3000
    np.testing.assert_array_equal(hits["snp"], np.repeat(np.arange(50), 3000))
    np.testing.assert_array_equal(hits["voxel"], np.tile(np.arange(3000), 50))
    _, _, t, _ = refit(np.asarray(study.model.y, float), [], g)
    np.testing.assert_allclose(hits["t"], t.ravel(), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("n", [50, 740, 5000])
def test_single_precision_errs_by_far_less_than_the_margin(n):
    """Also where all products add up, as with a map that is the SNP itself."""
    rng = np.random.default_rng(n)
    x = rng.binomial(2, 0.3, (40, n)) - 0.6
    y = np.concatenate([rng.normal(size=(400, n)), x + 1e-3 * rng.normal(size=x.shape)])
    unit, maps = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (x, y))
    single = maps.astype(np.float32)
    passed = engines.Sgemm(single).sieve(unit.astype(np.float32), np.full(len(x), -1, np.float32))
    product = passed.r.reshape(len(x), len(y))
    assert np.abs(product).max() > 0.99
    exact = unit @ single.T.astype(float)
    assert np.abs(product - exact).max() < margin(n) / 4


def test_products_of_few_values_stay_within_the_margin():
    """Their rounding errors do not cancel: binary maps and carriers, people sorted by group."""
    rng = np.random.default_rng(0)
    for n in (128, 384, 740, 2000):
        sides = []
        for _ in range(2):
            ones = np.arange(n) < rng.integers(1, n, 600)[:, None]
            x = ones - ones.mean(axis=1, keepdims=True)
            sides.append(x / np.linalg.norm(x, axis=1, keepdims=True))
        x, y = sides
        error = np.abs(x.astype(np.float32) @ y.astype(np.float32).T - x @ y.T).max()
        assert error < 0.6 * margin(n), n


@pytest.mark.parametrize("scheme", ["smith", "freedman-lane"])
def test_more_pairs_than_there_is_room_for_are_taken_in_halves(scheme):
    rng = np.random.default_rng(0)
    study, g = make_study(rng.normal(size=(2600, 30))), genotypes(rng, 450, 30, 0, 0.3)
    chosen = settings(scheme=scheme, threshold_p=1.0, cluster_t=0.05, min_mac=1)
    assert MOST < 2600 * 450
    expected = everything(study, g, chosen, 50)
    assert len(expected[1]) > MOST
    assert_same(everything(study, g, chosen, 450), expected)
