"""The exact test of Hardy-Weinberg equilibrium against fractions, and against PLINK 2."""

from fractions import Fraction
from math import comb, factorial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st
from scipy import special

from filesets import needs_plink2, people, plink2, snps
from tessera.genotypes import write_bed
from tessera.wgr.hwe import hwe_p


def p_of(others, hets, homs):
    return hwe_p(*(np.array([value], np.float64) for value in (others, hets, homs)))[0]


def by_fractions(others, hets, homs):
    """Chances of all numbers of heterozygotes that go with the alleles counted, exactly."""
    n, alleles = others + hets + homs, 2 * homs + hets

    def ways(het):
        hom = (alleles - het) // 2
        return 2**het * factorial(n) // (factorial(het) * factorial(hom) * factorial(n - het - hom))

    possible = range(alleles % 2, min(alleles, 2 * n - alleles) + 1, 2)
    total = comb(2 * n, alleles)
    assert sum(map(ways, possible)) == total
    return Fraction(sum(ways(het) for het in possible if ways(het) <= ways(hets)), total)


def test_all_tables_of_few_people():
    for n in range(1, 15):
        for hets in range(n + 1):
            for homs in range(n - hets + 1):
                counts = n - hets - homs, hets, homs
                expected = float(by_fractions(*counts))
                np.testing.assert_allclose(p_of(*counts), expected, rtol=1e-13)


@how(max_examples=100, deadline=None)
@given(st.integers(0, 120), st.integers(0, 120), st.integers(0, 120))
def test_tables_of_more_people(others, hets, homs):
    if others + hets + homs:
        expected = float(by_fractions(others, hets, homs))
        np.testing.assert_allclose(p_of(others, hets, homs), expected, rtol=1e-11, atol=1e-300)


def test_either_allele_may_be_counted():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 400, (3, 200)).astype(np.float64)
    np.testing.assert_array_equal(hwe_p(*counts), hwe_p(*counts[::-1]))


def test_one_allele_or_nobody_is_in_equilibrium():
    np.testing.assert_array_equal(hwe_p(*np.array([[0.0, 9, 0], [0, 0, 0], [0, 0, 5]])), [1, 1, 1])


def by_gamma(others, hets, homs):
    n, alleles = others + hets + homs, 2 * homs + hets
    possible = np.arange(alleles % 2, min(alleles, 2 * n - alleles) + 1, 2)
    hom = (alleles - possible) / 2
    log = possible * np.log(2) - sum(
        special.gammaln(k + 1) for k in (possible, hom, n - possible - hom)
    )
    log -= special.logsumexp(log)
    seen = log[possible == hets][0]
    return np.exp(special.logsumexp(log[log <= seen + 1e-7]))


@pytest.mark.parametrize(
    "counts",
    [
        (249_000, 1000, 0),
        (122_000, 250_000, 128_000),
        (125_000, 248_000, 127_000),
        (499_990, 10, 0),
        (499_990, 0, 10),
        (90_000, 400_000, 10_000),
    ],
)
def test_half_a_million_people(counts):
    np.testing.assert_allclose(p_of(*counts), by_gamma(*counts), rtol=1e-6, atol=1e-290)


@pytest.mark.parametrize("counts", [(0, 500_000, 0), (250_000, 0, 250_000)])
def test_as_far_from_equilibrium_as_can_be(counts):
    assert 0 <= p_of(*counts) < 1e-300


@needs_plink2
def test_as_plink2(tmp_path):
    rng = np.random.default_rng(1)
    frequency = rng.uniform(0.002, 0.5, (300, 1))
    g = rng.binomial(2, frequency, (300, 157)).astype(np.int8)
    g[::3][rng.random((100, 157)) < 0.6] = 1  # too many heterozygotes
    g[rng.random(g.shape) < 0.05] = -1
    write_bed(tmp_path / "g", [g], people(157), snps(300))
    plink2("--bfile", tmp_path / "g", "--hardy", "--out", tmp_path / "out")
    theirs = pd.read_csv(tmp_path / "out.hardy", sep="\t")["P"]
    ours = hwe_p(*((g == value).sum(axis=1).astype(float) for value in (0, 1, 2)))
    assert (theirs < 1e-4).sum() > 10
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
