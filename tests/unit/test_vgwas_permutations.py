import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st
from scipy import stats

from gwas import blocks_of, coded, fit, genotypes, largest_cluster, make_study, settings
from tessera.vgwas.permutations import permutation
from tessera.vgwas.scan import Mapper


@how(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(0, 10**6), st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_permutations_stay_within_blocks_and_follow_from_seed_and_number(n, k, seed, parts):
    blocks = np.random.default_rng(seed).integers(0, parts, n) * 7
    places = permutation(k, blocks, seed)
    np.testing.assert_array_equal(np.sort(places), np.arange(n))
    np.testing.assert_array_equal(blocks[places], blocks)
    permutation(k + 1, blocks, seed)
    np.testing.assert_array_equal(permutation(k, blocks, seed), places)


def test_permutations_differ_by_number_and_by_seed_and_the_first_is_the_identity():
    one_block = np.zeros(12, np.int64)
    drawn = {tuple(permutation(k, one_block, seed)) for k in range(1, 200) for seed in (1, 2, 3)}
    assert len(drawn) == 3 * 199
    np.testing.assert_array_equal(permutation(0, one_block, 9), np.arange(12))
    alone = np.arange(12)  # each subject a block of its own
    np.testing.assert_array_equal(permutation(5, alone, 9), alone)


def test_every_order_is_as_likely():
    blocks = np.array([0, 1, 0, 1, 0])
    drawn = [tuple(permutation(k, blocks, 3)) for k in range(1, 1201)]
    _, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(counts) == 6 * 2
    assert stats.chisquare(counts).pvalue > 0.001


class Case:
    """A study with effects, covariates that go with the SNPs, and missing genotypes."""

    def __init__(self, seed, blocks=None, n=40, n_snps=12, n_voxels=125):
        rng = np.random.default_rng(seed)
        self.g = genotypes(rng, n_snps, n, 0.05, 0.2)
        known = np.where(np.isnan(self.g), np.nanmean(self.g, axis=1, keepdims=True), self.g)
        self.covariates = np.array([known[0] + rng.normal(size=n), rng.normal(size=n) + 50])
        self.y = rng.normal(size=(n_voxels, n)) + 2 * self.covariates[0]
        self.y += 0.8 * rng.normal(size=(1, n))
        self.y[3] += 2 * known[5]
        self.study = make_study(self.y, self.covariates, blocks=blocks)
        self.n = n

    def nuisance(self):
        return [np.ones(self.n), *self.covariates]

    def rest(self, x, known=None):
        """What the covariates leave of a column, among those known; 0 for the others."""
        known = np.ones(self.n, bool) if known is None else known
        design = np.column_stack(self.nuisance())[known]
        out = np.zeros(self.n)
        out[known] = x[known] - design @ np.linalg.lstsq(design, x[known], rcond=None)[0]
        return out

    def refit(self, scheme, missing, places, coding="additive"):
        """Fit all of it again with permuted data: t (S, V) and df (S,)."""
        t, df = [], []
        maps = np.array([self.rest(y) for y in self.y])
        for g in coded(self.g, coding):
            known = ~np.isnan(g)
            x = np.where(known, g, g[known].mean())
            nuisance = self.nuisance()
            if missing == "complete":
                # Those left out are so by a column each, wherever the SNP's values have gone.
                nuisance += [np.arange(self.n) == i for i in np.flatnonzero(~known)]
                x = self.rest(x, known)[places]
                y = self.y
            elif scheme == "smith":
                x, y = self.rest(x)[places], self.y
            else:
                y = maps[:, np.argsort(places)] + (self.y - maps)
            result = fit(y, nuisance, x)
            t.append(result[2])
            df.append(result[3])
        return np.array(t), np.array(df)


@pytest.mark.parametrize(
    ("scheme", "missing", "coding", "cluster_p"),
    [
        ("smith", "mean", "additive", 0.05),
        ("smith", "mean", "additive", 1e-9),
        ("smith", "mean", "dominant", 0.05),
        ("freedman-lane", "mean", "additive", 0.05),
        ("freedman-lane", "mean", "recessive", 1e-9),
        ("smith", "complete", "additive", 0.05),
    ],
)
def test_largest_of_each_permutation_are_those_of_models_fitted_anew(
    scheme, missing, coding, cluster_p
):
    case = Case(2, blocks=np.arange(40) % 3 // 2)
    chosen = settings(scheme=scheme, missing=missing, coding=coding, seed=4, cluster_p=cluster_p)
    numbers = [0, 1, 2, 77, 1000]
    null = Mapper(case.study, chosen).null(blocks_of(case.g, 5), numbers)
    assert null.permutations.tolist() == numbers
    for k, max_t, max_cluster in zip(numbers, null.max_t, null.max_cluster, strict=True):
        places = permutation(k, case.study.blocks, 4)
        t, df = case.refit(scheme, missing, places, coding)
        np.testing.assert_allclose(max_t, np.abs(t).max(), rtol=2e-6)
        sizes = [
            largest_cluster(row, chosen.least_t(d), case.study.ijk)
            for row, d in zip(t, df, strict=True)
        ]
        assert max_cluster == max(sizes)
    assert (null.max_cluster > 3).all() == (cluster_p == 0.05)


@pytest.mark.parametrize("scheme", ["smith", "freedman-lane"])
@pytest.mark.parametrize(("n_snps", "n_voxels"), [(1, 1), (1, 3), (4, 1)])
def test_tiny_studies(scheme, n_snps, n_voxels):
    case = Case(9, n=12, n_snps=max(6, n_snps), n_voxels=8)
    case.g, case.y = case.g[:n_snps], case.y[:n_voxels]
    case.study = make_study(case.y, case.covariates)
    null = Mapper(case.study, settings(scheme=scheme)).null(blocks_of(case.g), range(20))
    for k, max_t in enumerate(null.max_t):
        t, _ = case.refit(scheme, "mean", permutation(k, case.study.blocks, 1))
        np.testing.assert_allclose(max_t, np.abs(t).max(), rtol=1e-5, atol=1e-6)


def test_permutation_zero_is_the_scan():
    case = Case(5)
    for scheme in ("smith", "freedman-lane"):
        mapper = Mapper(case.study, settings(scheme=scheme, cluster_p=0.05))
        [observed] = mapper.scan(blocks_of(case.g))
        null = mapper.null(blocks_of(case.g), [0])
        np.testing.assert_allclose(null.max_t, observed.snps["max_t"].abs().max(), rtol=1e-9)
        assert null.max_cluster[0] == observed.snps["max_cluster"].max() > 3


def test_order_and_parts_of_the_permutations_do_not_matter():
    case = Case(6)
    mapper = Mapper(case.study, settings())
    whole = mapper.null(blocks_of(case.g), range(1, 9))
    turned = mapper.null(blocks_of(case.g), [8, 3])
    assert turned.max_t.tolist() == whole.max_t[[7, 2]].tolist()
    assert turned.max_cluster.tolist() == whole.max_cluster[[7, 2]].tolist()
    halves = [mapper.null(blocks_of(part), range(1, 9)) for part in (case.g[:5], case.g[5:])]
    assert np.maximum(*(half.max_t for half in halves)).tolist() == whole.max_t.tolist()


class Small:
    """Few subjects, many covariates, one of which goes with the SNPs; no effect."""

    n, n_voxels, n_snps, alpha = 24, 64, 4, 0.05

    def __init__(self):
        rng = np.random.default_rng(20)
        self.g = rng.binomial(2, 0.4, (self.n_snps, self.n)).astype(np.float32)
        self.covariates = rng.normal(size=(6, self.n))
        self.covariates[0] = self.g.mean(axis=0) + 0.2 * rng.normal(size=self.n)
        noise = rng.normal(size=(self.n_voxels, self.n))
        self.study = make_study(noise + 3 * self.covariates[0], self.covariates)
        self.y = self.study.model.y.astype(float)

    def brute(self, many):
        """Freedman & Lane with least squares: largest |t| and largest cluster of permutations."""
        rng = np.random.default_rng(99)
        nuisance = [np.ones(self.n), *self.covariates]
        least = settings(cluster_p=0.05).least_t(self.n - 8)
        max_t, size = np.zeros((2, many))
        for p in range(many):
            y = self.y[:, rng.permutation(self.n)]
            for x in self.g:
                t = fit(y, nuisance, x)[2]
                max_t[p] = max(max_t[p], np.abs(t).max())
                size[p] = max(size[p], largest_cluster(t, least, self.study.ijk))
        return max_t, size

    def kennedy(self, many):
        """The same numerators with denominators as observed: nothing is adjusted again."""
        rng = np.random.default_rng(98)
        basis = self.study.model.basis
        x = self.g - self.g @ basis.T @ basis
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        r = np.array([np.abs(x[:, rng.permutation(self.n)] @ self.y.T).max() for _ in range(many)])
        return r * np.sqrt((self.n - 8) / (1 - r**2))


def test_schemes_agree_with_brute_force_and_kennedys_is_liberal():
    """The level of 300 permutations lies in the interval of such an order statistic."""
    case, many = Small(), 300
    max_t, size = case.brute(600)
    low, high = stats.binom.ppf([0.0005, 0.9995], many, 1 - case.alpha) / many

    def within(values, brute):
        level = np.quantile(values, 1 - case.alpha, method="higher")
        return np.quantile(brute, low) <= level <= np.quantile(brute, high)

    for scheme in ("smith", "freedman-lane"):
        chosen = settings(scheme=scheme, cluster_p=0.05)
        null = Mapper(case.study, chosen).null(blocks_of(case.g), range(1, many + 1))
        assert within(null.max_t, max_t)
        assert within(null.max_cluster, size)
    liberal = case.kennedy(2000)
    assert not within(liberal, max_t)
    level = np.quantile(liberal, 1 - case.alpha)
    assert (max_t > level).mean() > 2 * case.alpha


@pytest.mark.parametrize("cluster_p", [0.01, 0.001, 1e-9])
def test_permutations_with_subjects_left_out(cluster_p):
    case = Case(2, blocks=np.arange(40) % 3 // 2)
    chosen = settings(missing="complete", seed=4, cluster_p=cluster_p)
    numbers = range(12)
    null = Mapper(case.study, chosen).null(blocks_of(case.g, 5), numbers)
    expected = [
        np.abs(case.refit("smith", "complete", permutation(k, case.study.blocks, 4))[0]).max()
        for k in numbers
    ]
    np.testing.assert_allclose(null.max_t, expected, rtol=2e-6)
