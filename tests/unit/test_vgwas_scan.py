import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

import gwas
from gwas import Known, blocks_of, genotypes, make_study, p_of, refit, scan, settings
from tessera.errors import InputError
from tessera.pvalues import log10p_of_t
from tessera.vgwas.rows import STATUS, Rules, make_rows
from tessera.vgwas.scan import Mapper
from tessera.vgwas.study import EDGES


@pytest.fixture(scope="module")
def known():
    return Known()


@pytest.mark.parametrize("missing", ["mean", "complete"])
@pytest.mark.parametrize("coding", ["additive", "dominant", "recessive"])
def test_hits_are_those_of_full_designs_in_double_precision(known, coding, missing):
    chosen = settings(coding=coding, missing=missing)
    snps, hits, _, _ = scan(known.study, known.g, chosen)
    tested = (snps["status"] == 0).to_numpy()
    assert tested.sum() > 30
    beta, error, t, df = known.refit(coding=coding, missing=missing)
    with np.errstate(invalid="ignore"):
        p = p_of(t, df)
    expected = np.argwhere((p <= chosen.threshold_p) & tested[:, None])
    np.testing.assert_array_equal(hits[["snp", "voxel"]], expected)
    at = tuple(expected.T)
    assert len(expected) > 5
    for name, values in (("beta", beta), ("se", error), ("t", t)):
        np.testing.assert_allclose(hits[name], values[at], rtol=2e-6)
    told = -np.log10(np.maximum(p[at], 1e-300))
    seen = p[at] > 1e-290
    np.testing.assert_allclose(hits["log10p"][seen], told[seen], rtol=2e-6)
    np.testing.assert_array_equal(df[tested], snps["df"][tested])
    assert len(np.unique(df[tested])) == 1 if missing == "mean" else len(np.unique(df[tested])) > 2


@pytest.mark.parametrize("missing", ["mean", "complete"])
@pytest.mark.parametrize("r", [0.9, 0.999, 0.99999])
def test_overwhelming_effects_keep_their_digits(r, missing):
    rng = np.random.default_rng(11)
    n = 300
    g = genotypes(rng, 4, n, 0.02, 0.3)
    covariates = rng.normal(size=(2, n))
    filled = np.where(np.isnan(g), np.nanmean(g, axis=1, keepdims=True), g)
    unit = (filled[0] - filled[0].mean()) / filled[0].std()
    y = r * unit + np.sqrt(1 - r**2) * rng.normal(size=(3, n))
    y[1] *= -1
    if missing == "complete":
        y[:, np.isnan(g[0])] = rng.normal(size=(3, np.isnan(g[0]).sum()))
    study = make_study(y + 10, covariates)
    hits = scan(study, g, settings(missing=missing))[1]
    hits = hits[hits["snp"] == 0]
    beta, error, t, df = refit(y + 10, covariates, g, missing=missing)
    assert hits["voxel"].tolist() == [0, 1, 2]
    assert hits["t"].abs().min() > 15 * (r > 0.9) + 15
    for name, values in (("beta", beta), ("se", error), ("t", t)):
        np.testing.assert_allclose(hits[name], values[0], rtol=5e-6)
    np.testing.assert_allclose(hits["log10p"], log10p_of_t(t[0], df[0]), rtol=5e-6)


@pytest.mark.parametrize("threshold", [1e-3, 1e-12])
def test_strongest_voxel_is_exact_even_where_nothing_passes(threshold):
    known = Known(3, n=60, n_voxels=150)
    known.study = make_study(known.y[20:], known.covariates)
    t = refit(known.y[20:], known.covariates, known.g)[2]
    chosen = settings(threshold_p=threshold, cluster_t=40.0)
    snps, hits, clusters, _ = scan(known.study, known.g, chosen)
    tested = np.flatnonzero(snps["status"] == 0)
    strongest = t[tested, np.abs(t[tested]).argmax(axis=1)]
    np.testing.assert_allclose(snps["max_t"][tested], strongest, rtol=1e-6)
    assert not len(clusters)
    assert set(hits["snp"]) != set(tested)  # of some SNPs nothing passed
    assert (snps["max_cluster"] == 0).all()


def test_clusters_and_counts_are_those_of_the_maps_of_t(known):
    chosen = settings(cluster_p=0.02, connectivity=6)
    snps, _, clusters, counts = scan(known.study, known.g, chosen)
    t, df = known.refit()[2:]
    tested = np.flatnonzero(snps["status"] == 0)
    for s in tested:
        expected = gwas.largest_cluster(t[s], chosen.least_t(df[s]), known.study.ijk, 6)
        assert snps["max_cluster"][s] == expected
        assert max(clusters.loc[clusters["snp"] == s, "size"], default=0) == expected
    peaks = t[clusters["snp"], clusters["voxel"]]
    np.testing.assert_allclose(clusters["t"], peaks, rtol=1e-6)
    sample = np.ix_(tested, known.study.sample)
    log10p = log10p_of_t(t[sample], df[0])
    expected, _ = np.histogram(np.minimum(log10p, 19.999), EDGES)
    np.testing.assert_array_equal(counts, expected)


def test_snps_that_cannot_be_tested_are_told_apart():
    rng = np.random.default_rng(4)
    n = 40
    plain = rng.permutation(np.repeat([0, 1, 2], [20, 15, 5])).astype(np.float32)
    carriers = np.maximum(plain, 1)
    snps = {
        "tested": plain,
        "monomorphic": np.where(np.arange(n) < 4, np.nan, 2),
        "all_missing": np.full(n, np.nan),
        "missing": np.where(np.arange(n) < 9, np.nan, plain),
        "low_mac": (np.arange(n) < 3).astype(float),
        "multiallelic": plain,
        "constant": carriers,
        "collinear": np.roll(plain, 1),
    }
    study = make_study(rng.normal(size=(7, n)), [rng.normal(size=n), np.roll(plain > 0, 1)])
    multiallelic = np.array([name == "multiallelic" for name in snps])
    dosages = np.array(list(snps.values()), np.float32)
    for missing in ("mean", "complete"):
        chosen = settings(
            coding="dominant", missing=missing, min_mac=4, threshold_p=1.0, max_missing=0.2
        )
        table, hits, clusters, _ = scan(study, dosages, chosen, 3, multiallelic)
        assert [STATUS[s] for s in table["status"]] == list(snps)
        assert set(hits["snp"]) == {0}
        assert len(hits) == 7
        assert set(clusters["snp"]) <= {0}
        assert table["max_t"].notna().tolist() == [True] + [False] * 7
        assert table["df"].notna().tolist() == [True] + [False] * 7
        assert table["max_cluster"][1:].tolist() == [0] * 7
        expected = [25 / 80, np.nanmean(snps["missing"]) / 2, 3 / 80]
        np.testing.assert_allclose(table["maf"][[0, 3, 4]], expected)
        np.testing.assert_allclose(table["missing"][:4], [0, 0.1, 1, 9 / 40])
        null = Mapper(study, chosen).null(blocks_of(dosages[1:], 3, multiallelic[1:]), [0, 1])
        assert null.max_t.tolist() == null.max_cluster.tolist() == [0, 0]


@pytest.mark.parametrize("missing", ["mean", "complete"])
def test_block_without_a_snp_to_test(known, missing):
    dosages = known.g.copy()
    dosages[8:16] = np.nan
    chosen = settings(missing=missing)
    snps, hits, _, _ = scan(known.study, dosages, chosen, 8)
    whole = scan(known.study, known.g, chosen)
    assert (snps["status"][8:16] == STATUS.index("all_missing")).all()
    expected = whole[1][~whole[1]["snp"].between(8, 15)].reset_index(drop=True)
    pd.testing.assert_frame_equal(hits, expected, check_exact=True)


def test_covariate_that_only_those_left_out_had():
    """Then the covariate leaves the model of that SNP, and a degree of freedom comes back."""
    rng = np.random.default_rng(8)
    n = 30
    covariates = np.array([rng.normal(size=n), np.arange(n) == 4])
    g = genotypes(rng, 6, n, 0, 0.3)
    g[:3, 4] = np.nan
    y = rng.normal(size=(11, n))
    y[:, 4] += 20
    study = make_study(y, covariates)
    snps, hits, _, _ = scan(study, g, settings(missing="complete", threshold_p=1.0))
    _, _, t, df = refit(y, covariates, g, missing="complete")
    np.testing.assert_array_equal(snps["df"], df)
    assert snps["df"].tolist() == [n - 1 - 2 - 1] * 3 + [n - 3 - 1] * 3
    np.testing.assert_allclose(hits["t"], t.ravel(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("missing", ["mean", "complete"])
@pytest.mark.parametrize(
    ("n", "n_voxels", "n_snps"), [(40, 1, 5), (40, 3, 1), (12, 9, 7), (6, 1, 1)]
)
def test_tiny_studies(n, n_voxels, n_snps, missing):
    rng = np.random.default_rng(n + n_voxels)
    covariates = rng.normal(size=(2, n))
    g = np.array([rng.permutation(np.arange(n) % 3) for _ in range(n_snps)], np.float32)
    g[rng.random(g.shape) < 0.05] = np.nan
    y = rng.normal(size=(n_voxels, n))
    chosen = settings(missing=missing, threshold_p=1.0, max_missing=0.5)
    snps, hits, _, _ = scan(make_study(y, covariates), g, chosen)
    beta, error, t, df = refit(y, covariates, g, missing=missing)
    assert (snps["status"] == 0).all()
    assert len(hits) == t.size
    np.testing.assert_array_equal(snps["df"], df)
    for name, values in (("beta", beta), ("se", error), ("t", t)):
        np.testing.assert_allclose(hits[name], values.ravel(), rtol=1e-5, atol=1e-6)


def test_too_many_hits_stop_the_run():
    rng = np.random.default_rng(1)
    study, g = make_study(rng.normal(size=(10, 30))), genotypes(rng, 8, 30, 0, 0.3)
    assert len(scan(study, g, settings(threshold_p=1.0, max_hits=80))[1]) == 80
    with pytest.raises(InputError, match=r"vgwas\.max_hits.*lower vgwas\.threshold_p"):
        scan(study, g, settings(threshold_p=1.0, max_hits=79), 4)


@how(max_examples=60, deadline=None)
@given(st.data())
def test_rows_do_not_depend_on_their_block_and_are_orthogonal_to_the_covariates(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    n = data.draw(st.integers(5, 30))
    g = rng.integers(0, 3, (9, n)).astype(np.float32)
    g[rng.random(g.shape) < data.draw(st.sampled_from([0, 0.1, 0.5]))] = np.nan
    basis = make_study(rng.normal(size=(1, n)), rng.normal(size=(2, n))).model.basis
    coding = data.draw(st.sampled_from(["additive", "dominant", "recessive"]))
    rules = Rules(coding, data.draw(st.booleans()), 2, 0.4)
    whole, facts = make_rows(g, np.zeros(9, bool), basis, rules)
    start = data.draw(st.integers(0, 8))
    stop = data.draw(st.integers(start + 1, 9))
    part, told = make_rows(g[start:stop], np.zeros(stop - start, bool), basis, rules)
    inside = (whole.place >= start) & (whole.place < stop)
    np.testing.assert_array_equal(part.place + start, whole.place[inside])
    for name in ("x", "norm", "df"):
        assert getattr(part, name).tobytes() == getattr(whole, name)[inside].tobytes()
    for name in ("maf", "missing", "status"):
        assert getattr(told, name).tobytes() == getattr(facts, name)[start:stop].tobytes()
    np.testing.assert_allclose(whole.norm, np.linalg.norm(whole.x, axis=1))
    assert (np.abs(whole.x @ basis.T) <= 1e-7 * whole.norm[:, None]).all()
    assert (whole.df >= 1).all()
