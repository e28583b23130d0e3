"""Counts, sizes and agreement are those that a look at every object, or every pair, gives."""

from __future__ import annotations

import math
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera.imaging.compare import (
    AGREEMENT,
    COUNTS,
    SIZES,
    agreement,
    boxes,
    counts,
    edge,
    match,
    sizes,
)
from tessera.imaging.objects import object_table
from tessera.imaging.pieces import PIECE

GRID = SimpleNamespace(shape=(10, 100, 100), ndim=3, voxel_size=(2.0, 0.5, 0.5))


def objects(n, lo=None, hi=None, grid=GRID, **options):
    n = np.asarray(n)
    pieces = np.zeros(len(n), PIECE)
    pieces["n"], pieces["first"] = n, np.arange(len(n))
    pieces["lo"] = np.ones(3) if lo is None else lo
    pieces["hi"] = pieces["lo"] + 1 if hi is None else hi
    return object_table(pieces, 1.0, grid, **options)


def test_counts_of_known_objects():
    told = counts("a", "p", objects([2, 4, 4, 10]), GRID, "keep")
    assert tuple(told) == COUNTS
    assert (told["objects"], told["flagged"]) == (4, 0)
    assert told["volume_fraction"] == 20 / 100_000
    assert (told["mean"], told["median"]) == (2.5, 2.0)
    assert told["q25"] == np.quantile([1, 2, 2, 5], 0.25)
    assert told["q95"] == np.quantile([1, 2, 2, 5], 0.95)


@pytest.mark.parametrize(("border", "flagged", "mean"), [("flag", 1, 1.0), ("keep", 0, 25.5)])
def test_flagged_objects_are_no_part_of_sizes_but_of_volume(border, flagged, mean):
    found = objects([2, 100], lo=[[1, 1, 1], [0, 5, 5]], hi=[[2, 2, 3], [4, 10, 10]])
    told = counts("a", "p", found, GRID, border)
    assert (told["objects"], told["flagged"], told["mean"]) == (2, flagged, mean)
    assert told["volume_fraction"] == 102 / 100_000
    assert sizes("a", "p", found, GRID, border)["objects"].sum() == 2 - flagged


def test_no_objects_have_a_count_and_no_sizes():
    told = counts("a", "p", objects([]), GRID, "keep")
    assert (told["objects"], told["volume_fraction"]) == (0, 0)
    assert math.isnan(told["mean"])
    assert math.isnan(told["q05"])
    assert sizes("a", "p", objects([]), GRID, "keep").empty
    assert tuple(sizes("a", "p", objects([]), GRID, "keep")) == SIZES


def test_every_object_is_in_the_bin_that_its_volume_lies_in():
    n = np.concatenate([10 ** np.arange(9), np.random.default_rng(0).integers(1, 10**7, 500)])
    grid = SimpleNamespace(shape=(1, 10**5, 10**5), ndim=2, voxel_size=(7.0, 1.0, 1.0))
    table = sizes("a", "p", objects(n, grid=grid), grid, "keep")
    assert (np.diff(table["bin"]) > 0).all()
    for row in table.itertuples():
        inside = n[(n >= row.low) & (n < row.high)]
        assert len(inside) == row.objects
        assert inside.sum() == pytest.approx(row.volume)
    assert table["objects"].sum() == len(n)
    assert {1.0, 10.0, 10.0**8} <= set(edge(np.array([0, 8, 64])))


def overlap(p, q):
    within = math.prod(max(0, min(p[1][k], q[1][k]) - max(p[0][k], q[0][k])) for k in range(3))
    size = [math.prod(box[1][k] - box[0][k] for k in range(3)) for box in (p, q)]
    return Fraction(int(within), int(sum(size) - within))


def slowly(one, other):
    """Match by looking at every pair."""
    found = [
        (-overlap(p, q), i, j) for i, p in enumerate(one.tolist()) for j, q in
        enumerate(other.tolist()) if overlap(p, q) >= Fraction(1, 2)
    ]  # fmt: skip
    a, b = set(), set()
    for _, i, j in sorted(found):
        if i not in a and j not in b:
            a.add(i)
            b.add(j)
    return len(a)


def random_boxes(random, count, span, longest):
    lo = random.integers(0, span, (count, 3))
    return np.stack([lo, lo + random.integers(1, longest, (count, 3))], axis=1)


@pytest.mark.parametrize(("span", "longest"), [(4, 4), (6, 9), (3, 40), (30, 5)])
def test_matches_are_those_of_a_look_at_every_pair(span, longest):
    random = np.random.default_rng(span)
    for _ in range(5):
        one, other = (random_boxes(random, count, span, longest) for count in (60, 45))
        nudged = one[:20] + random.integers(0, 2, (20, 2, 1))
        other = np.concatenate([other, nudged[(nudged[:, 1] > nudged[:, 0]).all(axis=1)]])
        assert match(one, other) == slowly(one, other) > 0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_an_image_agrees_with_itself(seed):
    random = np.random.default_rng(seed)
    one = np.unique(random_boxes(random, 30, 50, 20), axis=0)
    assert match(one, one) == len(one)
    assert match(one, one + 1000) == 0


def test_of_two_that_overlap_one_the_better_is_matched():
    one = np.array([[[0, 0, 0], [1, 1, 10]]])
    other = np.array([[[0, 0, 0], [1, 1, 6]], [[0, 0, 1], [1, 1, 10]]])
    assert match(one, other) == 1
    assert match(one, other[:1]) == 1
    assert match(one, np.array([[[0, 0, 0], [1, 1, 4]]])) == 0
    assert match(one, np.array([[[0, 0, 0], [1, 1, 5]]])) == 1  # half of the union, exactly


def test_agreement_of_every_two_points_once():
    of = {"a": np.zeros((0, 2, 3), int), "b": boxes(objects([1, 2])), "c": boxes(objects([3]))}
    table = agreement("x", {**of, "d": of["a"]})
    assert tuple(table) == AGREEMENT
    assert len(table) == 6
    row = table.set_index(["params_a", "params_b"])
    assert row.loc[("b", "c"), "f1"] == 2 / 3
    assert row.loc[("a", "b"), "f1"] == 0
    assert math.isnan(row.loc[("a", "d"), "f1"])
    assert tuple(agreement("x", {"a": of["b"]})) == AGREEMENT


def test_matching_many_objects_takes_no_square_of_their_number():
    random = np.random.default_rng(9)
    lo = random.integers(0, 4000, (100_000, 3))
    one = np.stack([lo, lo + random.integers(3, 20, (100_000, 3))], axis=1)
    giant = np.array([[[0, 0, 0], [4000, 4000, 4000]]])
    assert match(np.concatenate([one, giant]), np.concatenate([one, giant])) >= 99_999
