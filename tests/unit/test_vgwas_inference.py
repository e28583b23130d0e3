import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st
from scipy import stats

from tessera.pvalues import log10p_of_t
from tessera.vgwas.inference import (
    ALPHA,
    cluster_table,
    fwer_level,
    fwer_p,
    inflation,
    leading,
    ledger,
    listed_clusters,
    snp_table,
)
from tessera.vgwas.parts import CLUSTERS
from tessera.vgwas.rows import STATUS
from tessera.vgwas.study import EDGES


def test_familywise_p_by_hand():
    null = np.array([3, 1, 2, 2, 5])
    np.testing.assert_allclose(fwer_p([0, 1, 2, 2.5, 5, 6], null), np.array([6, 6, 5, 3, 2, 1]) / 6)
    assert fwer_p(4.0, null) == 2 / 6
    assert np.isnan(fwer_p([1, 2], np.zeros(0))).all()


@how(max_examples=150, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 130), st.booleans())
def test_level_is_where_the_familywise_p_passes_alpha(seed, many, ties):
    rng = np.random.default_rng(seed)
    null = rng.integers(0, 6, many) if ties else rng.normal(5, 1, many)
    level = fwer_level(null)
    if many < 19:
        assert level is None
        return
    assert level in null
    assert fwer_p(level * (1 + 1e-8), null) <= ALPHA
    assert fwer_p(level * (1 - 1e-12), null) > ALPHA, "a tie but for rounding"
    assert fwer_p(level, null) > ALPHA
    for value in [*null, *(null + 0.5)]:
        assert (fwer_p(value, null) <= ALPHA) == (value > level)


def test_familywise_error_rate_is_alpha_under_the_null():
    rng = np.random.default_rng(0)
    draws = rng.gumbel(size=(4000, 100))
    p = np.array([fwer_p(draw[0], draw[1:]) for draw in draws])
    assert stats.binomtest(int((p <= ALPHA).sum()), 4000, ALPHA).pvalue > 0.001
    beyond = [draw[0] > fwer_level(draw[1:]) for draw in draws]
    assert np.mean(beyond) == (p <= ALPHA).mean()


def counts_of(p):
    return np.histogram(np.minimum(-np.log10(p), 19.999), EDGES)[0]


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.3, 4.0])
def test_inflation_of_chi_squared_statistics(factor):
    quantiles = (np.arange(50_000) + 0.5) / 50_000
    chi2 = factor * stats.chi2.isf(quantiles, 1)
    np.testing.assert_allclose(inflation(counts_of(stats.chi2.sf(chi2, 1))), factor, rtol=4e-3)
    drawn = factor * np.random.default_rng(1).chisquare(1, 50_000)
    np.testing.assert_allclose(inflation(counts_of(stats.chi2.sf(drawn, 1))), factor, rtol=0.05)


def test_inflation_of_few_tests():
    assert inflation(np.zeros(1000, np.int64)) is None
    one = np.zeros(1000, np.int64)
    one[0] = 1
    assert inflation(one) > 0
    last = np.zeros(1000, np.int64)
    last[-1] = 5
    assert inflation(last) > 100


def test_table_of_snps():
    variants = pd.DataFrame(
        {"id": list("abcd"), "chr": "1", "pos": range(4), "a1": list("ACGT"), "a2": list("CGTA")}
    )
    part = {
        "maf": np.array([0.1, 0.2, np.nan, 0.4]),
        "missing": np.array([0, 0, 1, 0.0]),
        "status": np.array([0, STATUS.index("low_mac"), STATUS.index("all_missing"), 0], np.uint8),
        "df": np.array([50, np.nan, np.nan, 40]),
        "max_t": np.array([-6.0, np.nan, np.nan, 3]),
        "max_cluster": np.array([12, 0, 0, 0], np.int32),
    }
    null_t, null_cluster = np.linspace(3, 5, 99), np.repeat([0, 12, 20], 33)
    table = snp_table(variants, part, null_t, null_cluster)
    assert table["status"].tolist() == ["tested", "low_mac", "all_missing", "tested"]
    assert table["alleles"].tolist() == ["A/C", "C/G", "G/T", "T/A"]
    np.testing.assert_allclose(table["p_fwer"], [0.01, np.nan, np.nan, 1])
    np.testing.assert_allclose(table["p_fwer_cluster"], [0.67, np.nan, np.nan, 1])
    expected = [log10p_of_t(6, 50), np.nan, np.nan, log10p_of_t(3, 40)]
    np.testing.assert_allclose(table["max_log10p"], expected)
    without = snp_table(variants, part, np.zeros(0), np.zeros(0, np.int64))
    assert without[["p_fwer", "p_fwer_cluster"]].isna().all(axis=None)


def found(*rows):
    frame = pd.DataFrame(rows, columns=["snp", "size", "voxel", "t"])
    return pa.Table.from_pandas(frame, CLUSTERS, preserve_index=False)


def test_clusters_are_listed_that_are_rare_or_hold_a_hit():
    null = np.array([4, 5, 9] * 33)
    hit_t = np.array([5.0, 6.0, 5.0])
    batches = [
        found((0, 3, 7, 4.9), (0, 3, 8, -5.1), (1, 3, 7, 5.5)),
        found((1, 5, 2, 3.5), (2, 10, 0, -3.5), (2, 4, 1, 3.0)),
    ]
    for parts in (batches, [pa.concat_tables(batches)]):
        table = listed_clusters(parts, null, hit_t)
        assert table[["snp", "size", "voxel"]].to_numpy().tolist() == [
            [0, 3, 8],
            [1, 5, 2],
            [2, 10, 0],
        ]
        np.testing.assert_allclose(table["p_fwer"], [1, 0.67, 0.01])
    none = listed_clusters(batches, np.zeros(0, np.int64), hit_t)
    assert none["voxel"].tolist() == [8]
    assert none["p_fwer"].isna().all()


def test_table_of_clusters_names_what_it_lists():
    snps = pd.DataFrame({"id": ["rs1", "rs2", "rs3"], "chr": ["1", "1", "X"], "pos": [5, 6, 7]})
    voxels = pd.DataFrame(
        {"x": [1.0, 2, 3], "y": [0.0, 0, 1.23456], "z": [5.0, 6, 7], "label": ["", "a", "b"]}
    )
    rows = pd.DataFrame(
        {
            "snp": [2, 0, 0, 1],
            "size": [3, 9, 3, 9],
            "voxel": [1, 2, 0, 0],
            "t": [4.0, -5, 4.56789, 6],
            "p_fwer": [1, 0.1234567, 1, 0.02],
        }
    )
    table = cluster_table(rows, snps, voxels)
    assert table["snp"].tolist() == ["rs1", "rs2", "rs1", "rs3"]
    assert table["size"].tolist() == [9, 9, 3, 3]
    assert table["label"].tolist() == ["b", "", "", "a"]
    assert table["peak_t"].tolist() == [-5, 6, 4.5679, 4]
    assert table["peak_y"].tolist() == [1.235, 0, 0, 0]
    assert table["p_fwer"].tolist() == [0.123457, 0.02, 1, 1]
    assert (table["chr"] + ":" + table["pos"].astype(str)).tolist() == ["1:5", "1:6", "1:5", "X:7"]


def snps_of(strength, p=None, p_cluster=None, size=None):
    count = len(strength)
    none = np.full(count, np.nan)
    return pd.DataFrame(
        {
            "max_log10p": strength,
            "max_cluster": np.zeros(count, int) if size is None else size,
            "p_fwer": none if p is None else p,
            "p_fwer_cluster": none if p_cluster is None else p_cluster,
        }
    )


def test_leading_snps_with_permutations():
    snps = snps_of(
        [3, 9, np.nan, 5, 8, 2], [1, 0.02, np.nan, 0.2, 0.05, 1], [0.01, 1, np.nan, 1, 0.03, 0.06]
    )
    leads = leading(snps, 10**6, 5)
    assert (leads.snps, leads.n_voxel, leads.n_cluster) == ([0, 1, 4], 2, 2)
    assert leading(snps, 10**6, 2).snps == [0, 1]
    assert leading(snps, 10**6, 1).snps == [1]  # the strongest is always there
    nothing = leading(snps_of([3, 4], [0.3, 0.2], [1, 1]), 10, 5)
    assert (nothing.snps, nothing.n_voxel, nothing.n_cluster) == ([1], 0, 0)


def test_leading_snps_without_permutations_pass_bonferroni():
    limit = -np.log10(ALPHA / 1000)
    snps = snps_of([limit - 1e-9, limit, 7, 7, np.nan, 6], size=[9, 1, 1, 2, 0, 0])
    leads = leading(snps, 1000, 10)
    assert (leads.snps, leads.n_voxel, leads.n_cluster) == ([3, 2, 5, 1], 4, 0)
    assert leading(snps_of([np.nan, np.nan]), 0, 10).snps == []
    assert leading(snps_of([np.nan, 0.5]), 7, 10).snps == [1]


@how(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 30), st.integers(1, 8), st.booleans())
def test_leads_hold_the_strongest_and_are_not_too_many(seed, count, most, permuted):
    rng = np.random.default_rng(seed)
    strength = rng.integers(0, 12, count).astype(float)
    strength[rng.random(count) < 0.3] = np.nan
    p, p_cluster = rng.choice([0.01, 0.04, 0.5, 1], (2, count))
    p, p_cluster = np.where(np.isnan(strength), np.nan, [p, p_cluster])
    leads = leading(snps_of(strength, p, p_cluster) if permuted else snps_of(strength), 100, most)
    assert len(set(leads.snps)) == len(leads.snps) <= most
    assert (len(leads.snps) > 0) == np.isfinite(strength).any()
    if leads.snps:
        assert np.nanmax(strength) == strength[leads.snps].max()
    assert len(leads.snps) <= leads.n_voxel + leads.n_cluster + 1


def test_ledger_adds_up():
    rng = np.random.default_rng(0)
    tables = [
        pd.DataFrame({"status": rng.choice(names, 200)})
        for names in (["used", "no map", "covariate missing"], list(STATUS), ["tested", "nan"])
    ]
    account = ledger(*tables)
    assert list(account) == ["subjects", "snps", "voxels"]
    for entry, table, used in zip(
        account.values(), tables, ["used", "tested", "tested"], strict=True
    ):
        assert entry["read"] == 200 == entry["tested"] + sum(entry["dropped"].values())
        assert entry["tested"] == (table["status"] == used).sum()
        assert set(entry["dropped"]) == set(table["status"]) - {used}
        assert all(type(n) is int for n in entry["dropped"].values())
    none = ledger(*(table.assign(status="nan") for table in tables))
    assert none["subjects"] == {"read": 200, "tested": 0, "dropped": {"nan": 200}}
