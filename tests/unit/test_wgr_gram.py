"""Products of genotypes against whole numbers and against genotypes that are adjusted first."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from ridges import adjusted as plainly_adjusted
from ridges import contiguous, filled, genotypes, make_cohort, others
from tessera.wgr.gram import PANEL, Block, adjusted, products, trait_products
from tessera.wgr.sums import RawGrams

pytestmark = pytest.mark.usefixtures("one_thread")


def block_of(g):
    return Block.of(g.copy())


def all_products(g, people):
    """Products of each fold."""
    block = block_of(g)
    return [products(block, block.means(), people, edge) for edge in people.edges]


def all_adjusted(g, people, traits, df):
    """Products of adjusted genotypes of each fold, with one another and with traits."""
    block = block_of(g)
    means = block.means()
    grams, loads, scales = adjusted(block, all_products(g, people), means, df)
    with_traits = [
        trait_products(block, means, people, traits, edge, loads, scales)
        for edge in (people.edges if traits is not None else [])
    ]
    return grams, with_traits, loads, scales


def lacking(block):
    """(B, n): whether a genotype is missing."""
    out = np.zeros(block.counts.shape, bool)
    for person, (a, b) in enumerate(itertools.pairwise(block.first)):
        out[block.missing[a:b], person] = True
    return out


def padded(columns, places, width):
    out = np.zeros((len(columns), width))
    out[:, places] = columns
    return out


@how(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(10, 3000))
def test_whole_counts_give_whole_numbers(seed, n_variants, n):
    rng = np.random.default_rng(seed)
    g = genotypes(rng, n_variants, n)
    people = make_cohort(rng, n, 2, folds=int(rng.integers(2, 6)))
    parts = all_products(g, people)
    counts = g.astype(np.int64)
    for part, (a, b) in zip(parts, people.edges, strict=True):
        np.testing.assert_array_equal(part.gram, counts[:, a:b] @ counts[:, a:b].T)
    # So that all people less a fold is what a sum over the others is, to the bit.
    total = sum(part.gram for part in parts)
    for part, edge in zip(parts, people.edges, strict=True):
        seen = counts[:, others(n, edge)]
        np.testing.assert_array_equal(total - part.gram, seen @ seen.T)


def test_whole_beyond_what_single_precision_can_count():
    """Five million people: the sum of squares is above 2^24, beyond which odd numbers are lost."""
    n = 5_000_001
    g = np.full((3, n), 2, np.float32)
    g[1, ::2], g[2, 1::3] = 1, 0
    people = make_cohort(np.random.default_rng(0), n, 0, folds=1)
    counts = g.astype(np.int64)
    expected = counts @ counts.T
    assert expected.max() > 2**24
    (part,) = all_products(g, people)
    np.testing.assert_array_equal(part.gram, expected)


@how(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.01, 0.2, 0.9]), st.integers(2, 6))
def test_sums_of_some_people_are_those_of_all_less_the_others(seed, lost, folds):
    """By either route the same whole numbers, so that a trait's bytes have one answer."""
    rng = np.random.default_rng(seed)
    g = genotypes(rng, 7, 500, 0.02)
    block, raw = block_of(g), RawGrams(block_of(g))
    rows = np.flatnonzero(rng.random(500) >= lost)
    for k, (a, b) in enumerate(contiguous(len(rows), folds)):
        own = block.counts[:, rows[a:b]].astype(np.int64)
        np.testing.assert_array_equal(raw.of(rows[a:b], k, folds), own @ own.T)


@how(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 30),
    st.integers(30, 5000),
    st.sampled_from([0.001, 0.02, 0.3]),
    st.booleans(),
)
def test_products_of_filled_genotypes(seed, n_variants, n, missing, whole):
    rng = np.random.default_rng(seed)
    g = genotypes(rng, n_variants, n, missing)
    if not whole:
        g = (g * np.float32(0.95) + rng.uniform(0, 0.1, g.shape)).astype(np.float32)
    people = make_cohort(rng, n, 3, folds=3)
    full = filled(g)
    for part, (a, b) in zip(all_products(g, people), people.edges, strict=True):
        x, q = full[:, a:b], people.basis[a:b]
        raw = np.nan_to_num(g[:, a:b].astype(np.float64)) if whole else x
        np.testing.assert_allclose(part.gram, raw @ raw.T, rtol=1e-13, atol=1e-11)
        np.testing.assert_allclose(part.with_basis, x @ q, atol=1e-12)
        np.testing.assert_allclose(part.basis, q.T @ q, atol=1e-13)


def test_block_of_some_people_is_that_of_their_genotypes():
    rng = np.random.default_rng(5)
    g = genotypes(rng, 13, 301, 0.05)
    rows = np.sort(rng.permutation(301)[:200])
    some, alone = block_of(g).of_people(rows), block_of(g[:, rows])
    np.testing.assert_array_equal(some.counts, alone.counts)
    np.testing.assert_array_equal(lacking(some), lacking(alone))
    np.testing.assert_array_equal(some.means(), alone.means())
    np.testing.assert_allclose(alone.means(), np.nanmean(g[:, rows].astype(float), axis=1))
    np.testing.assert_allclose(some.tile(37, 155, some.means()), filled(g[:, rows])[:, 37:155])
    whole = block_of(g)
    assert whole.of_people(np.arange(301)) is whole


def test_dosages_are_put_to_zero_in_place_where_missing():
    g = np.array([[0, 1, np.nan, 2], [1, 1, 0, 0]], np.float32)
    block = Block.of(g)
    assert block.counts is g
    np.testing.assert_array_equal(g, [[0, 1, 0, 2], [1, 1, 0, 0]])
    np.testing.assert_array_equal(lacking(block), [[0, 0, 1, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(block.means(), [1, 0.5])
    np.testing.assert_array_equal(block.tile(1, 4, np.array([7.0, 8.0])), [[1, 7, 2], [1, 0, 0]])


@pytest.mark.parametrize(("value", "whole"), [(1.0, True), (1.5, False), (np.nan, True)])
def test_whole_counts_are_told_from_dosages(value, whole):
    g = np.ones((4, 9), np.float32)
    g[3, 8] = value
    assert Block.of(g).whole == whole


def test_nobody_has_the_genotype():
    g = np.ones((2, 5), np.float32)
    g[1] = np.nan
    block = Block.of(g)
    np.testing.assert_array_equal(block.means(), [1, 0])
    np.testing.assert_array_equal(block.tile(0, 5, block.means())[1], np.zeros(5))


def test_tiles_cover_a_range_once():
    block = block_of(np.zeros((1, 2), np.float32))
    for start, stop in ((0, 1), (3, 2051), (10, 2058), (7, 20_000)):
        tiles = block.tiles(start, stop)
        assert tiles[0][0] == start
        assert tiles[-1][1] == stop
        assert all(one[1] == other[0] for one, other in itertools.pairwise(tiles))


@how(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 25),
    st.integers(40, 4000),
    st.sampled_from([0, 0.01, 0.2]),
    st.sampled_from(["v1", "v4"]),
    st.integers(1, 6),
)
def test_adjusted_are_products_of_adjusted_genotypes(
    seed, n_variants, n, missing, convention, folds
):
    rng = np.random.default_rng(seed)
    g = genotypes(rng, n_variants, n, missing)
    y = rng.normal(size=(n, PANEL))
    people = make_cohort(rng, n, 3, folds)
    df = people.df(convention)
    x = plainly_adjusted(g, people.basis, df)
    grams, with_traits, loads, scales = all_adjusted(g, people, y, df)
    for gram, right, (a, b) in zip(grams, with_traits, contiguous(n, folds), strict=True):
        np.testing.assert_allclose(gram, x[:, a:b] @ x[:, a:b].T, atol=1e-12 * n)
        np.testing.assert_array_equal(gram, gram.T)
        np.testing.assert_allclose(right, x[:, a:b] @ y[a:b], atol=1e-12 * n)
    explicit = scales[:, None] * (filled(g) - loads @ people.basis.T)
    np.testing.assert_allclose(explicit, x, atol=1e-10)


def test_variants_that_do_not_vary_beyond_covariates_count_nothing():
    rng = np.random.default_rng(8)
    g = genotypes(rng, 6, 400, 0.02)
    people = make_cohort(rng, 400)
    g[1] = 2
    g[3] = np.nan
    g[4] = rng.integers(0, 3, 400)
    basis = np.linalg.qr(np.column_stack([np.ones(400), g[4], rng.normal(size=400)]))[0]
    people = type(people)(people.rows, basis, 5, (0,))
    y = rng.normal(size=(400, PANEL))
    grams, with_traits, _, scales = all_adjusted(g, people, y, people.df("v4"))
    assert (scales == 0).tolist() == [False, True, False, True, True, False]
    for gram, right in zip(grams, with_traits, strict=True):
        assert not gram[scales == 0].any()
        assert not gram[:, scales == 0].any()
        assert not right[scales == 0].any()
        assert np.isfinite(gram).all()


def test_a_rare_variant_of_many_people_does_vary():
    """One carrier of 100,000, and covariates of large norm: more than rounding is left."""
    rng = np.random.default_rng(9)
    g = np.zeros((2, 100_000), np.float32)
    g[0, 777] = 1
    g[1] = 2 - g[0]
    people = make_cohort(rng, 100_000, 5)
    _, _, _, scales = all_adjusted(g, people, None, people.df("v4"))
    one = plainly_adjusted(g, people.basis, people.df("v4"))
    expected = np.linalg.norm(one[0]) / np.linalg.norm(filled(g)[0] - filled(g)[0].mean())
    np.testing.assert_allclose(scales, expected, rtol=1e-3)


@pytest.mark.parametrize("missing", [0, 0.03])
@pytest.mark.parametrize("n_variants", [1, 3, 20, 100])
@pytest.mark.parametrize("n_covariates", [0, 4])
def test_bytes_of_a_trait_do_not_depend_on_its_companions(n_variants, missing, n_covariates):
    rng = np.random.default_rng(n_variants)
    n = 2501
    g = genotypes(rng, n_variants, n, missing)
    people = make_cohort(rng, n, n_covariates)
    y, more = rng.normal(size=n), 1e3 * rng.normal(size=(n, 40))

    def of(columns, place):
        traits = padded(columns, np.arange(columns.shape[1]), -(-columns.shape[1] // PANEL) * PANEL)
        _, with_traits, *_ = all_adjusted(g, people, traits, people.df("v4"))
        return [part[:, place].tobytes() for part in with_traits]

    alone = of(y[:, None], 0)
    for many, place in ((1, 0), (1, 1), (4, 2), (15, 15), (16, 16), (16, 3), (40, 33), (40, 0)):
        assert of(np.insert(more[:, :many], place, y, axis=1), place) == alone
