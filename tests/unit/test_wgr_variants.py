"""Chromosomes by name, runs of variants, and which of them step 1 leaves out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

import ridges
from filesets import people, snps
from ridges import genotypes, orthonormal
from tessera.genotypes import GenotypeReader, find_filesets, write_bed
from tessera.wgr.variants import (
    COLLINEAR,
    FLAT,
    chromosome_number,
    chromosome_spans,
    read_at,
    screen,
)

LOOSE = {"max_missing": 1.0, "maf": 0.0, "hwe": 0.0}


@pytest.mark.parametrize(
    ("names", "number"),
    [
        (["1", "01", "chr1", "CHR1", "Chr01", " 1 "], 1),
        (["22", "chr22"], 22),
        (["X", "x", "chrX", "23", "XY", "PAR1", "PAR2", "25", "chrXY"], 23),
        (["Y", "chrY", "24", "MT", "chrM", "M", "26", "0", "", "Un", "1_KI270706v1_random"], 0),
        (["-1", "1.5", "100", "chr", "HLA-A"], 0),
    ],
)
def test_chromosome_by_name(names, number):
    assert {chromosome_number(name) for name in names} == {number}


def test_spans_by_chromosome():
    runs = [
        ("2", 0, 5), ("1", 5, 9), ("MT", 9, 12), ("chr2", 12, 13), ("X", 13, 20),
        ("PAR1", 20, 21), ("Y", 21, 30), ("MT", 30, 31),
    ]  # fmt: skip
    spans, others = chromosome_spans(runs)
    assert list(spans) == [1, 2, 23]
    assert spans == {1: [(5, 9)], 2: [(0, 5), (12, 13)], 23: [(13, 20), (20, 21)]}
    assert others == {"MT": 4, "Y": 9}
    assert chromosome_spans([]) == ({}, {})


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """Two filesets of 500 variants, and their counts."""
    folder = tmp_path_factory.mktemp("g")
    rng = np.random.default_rng(0)
    truth = rng.integers(-1, 3, (500, 11)).astype(np.int8)
    for name, part in (("a", truth[:300]), ("b", truth[300:])):
        write_bed(folder / name, [part], people(11), snps(len(part)))
    filesets = find_filesets([str(folder / "a"), str(folder / "b")])
    order = np.array([4, 0, 9, 2])
    with GenotypeReader(filesets, [order, order]) as opened:
        yield opened, np.where(truth < 0, np.nan, truth)[:, order]


@how(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, 499), max_size=60) | st.sets(st.integers(250, 350)))
def test_reads_variants_at_places(reader, places):
    opened, truth = reader
    at = np.array(sorted(places), np.int64)
    found = read_at(opened, at)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, truth[at])


def test_reads_none_and_all(reader):
    opened, truth = reader
    assert read_at(opened, np.empty(0, np.int64)).shape == (0, 4)
    np.testing.assert_array_equal(read_at(opened, np.arange(500)), truth)
    np.testing.assert_array_equal(read_at(opened, np.array([0, 499])), truth[[0, 499]])


def test_reasons_and_which_comes_first():
    rng = np.random.default_rng(1)
    g = np.tile(rng.binomial(2, 0.4, 200).astype(np.float32), (11, 1))
    g[1, :21] = np.nan  # 10.5 %
    g[2, :20] = np.nan  # 10 %
    g[3] = 2
    g[4] = np.nan
    g[5], g[5, :7] = 0, 1  # 1.75 %
    g[6] = 2 - g[5]
    g[7], g[7, :8] = 0, 1  # 2 %
    g[8] = 1
    g[8, ::2] = 0
    g[8, 1::4] = 2  # the same as a covariate
    g[9], g[9, 1::2] = 0, 2  # no heterozygotes
    g[10], g[10, :21], g[10, 199] = 0, np.nan, 1
    basis = orthonormal(np.column_stack([g[8], rng.normal(size=200)]))
    rules = {"max_missing": 0.1, "maf": 0.02, "hwe": 1e-6}
    missing, rare = "more genotypes missing than max_missing", "minor allele frequency below maf"
    assert screen(g, basis, rules) == [
        "", missing, "", FLAT, missing, rare, rare, "", COLLINEAR, "Hardy-Weinberg p below hwe",
        missing,
    ]  # fmt: skip
    loose = ["", "", "", FLAT, FLAT, "", "", "", COLLINEAR, "", ""]
    assert screen(g, basis, LOOSE) == loose


def test_a_frequency_is_that_of_people_whose_genotype_is_known():
    g = np.zeros((2, 100), np.float32)
    g[:, :50] = np.nan
    g[0, 50:53], g[1, 50:53] = 1, 2  # 3 and 6 of 100 alleles
    basis = orthonormal(np.empty((100, 0)))
    rules = LOOSE | {"maf": 0.04}
    assert screen(g, basis, rules) == ["minor allele frequency below maf", ""]


@how(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([50, 4095, 4097, 9000]))
def test_variants_that_vary_stay(seed, n):
    """Singletons of many people too, and dosages; and whatever allele is counted."""
    rng = np.random.default_rng(seed)
    g = genotypes(rng, 12, n, 0.02, least=0.01)
    g[0], g[0, -1] = 0, 1
    g[1] = rng.uniform(0, 0.01, n)
    basis = orthonormal(rng.normal(size=(n, 4)))
    left = ridges.rest(ridges.filled(g), basis)
    varies = np.square(left).sum(axis=1) > 1e-5
    for counts in (g, 2 - g):
        assert [not reason for reason in screen(counts, basis, LOOSE)] == varies.tolist()


def test_bytes_of_the_basis_do_not_matter():
    rng = np.random.default_rng(3)
    g = genotypes(rng, 30, 90, 0.1)
    basis = orthonormal(rng.normal(size=(90, 5)))
    turn = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    assert screen(g, basis @ turn, LOOSE | {"maf": 0.1}) == screen(g, basis, LOOSE | {"maf": 0.1})
