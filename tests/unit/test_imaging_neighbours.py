"""Neighbours are those of the Delaunay triangulation, in whatever dimension the points lie."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.optimize import linprog

from tessera.imaging.neighbours import neighbours


def pairs(points):
    a, b, _ = neighbours(np.asarray(points, float))
    return set(zip(a.tolist(), b.tolist(), strict=True))


def both(edges):
    return {(a, b) for a, b in edges} | {(b, a) for a, b in edges}


def meet(points, a, b):
    """Tell whether some place has points a and b nearest to it, both: by linear programming."""
    lifted = np.square(points).sum(axis=1)
    every = np.c_[points, np.ones(len(points))]  # |p|^2 - w p - c >= 0, and = 0 for a and b
    ends = [a, b]
    free = [(None, None)] * every.shape[1]
    found = linprog(0 * every[0], every, lifted, every[ends], lifted[ends], free)
    return found.status == 0


@pytest.mark.parametrize("ndim", [2, 3])
def test_neighbours_are_those_whose_voronoi_cells_touch(ndim):
    points = np.random.default_rng(ndim).random((24, ndim)) * [3, 1, 2][:ndim]
    expected = [(a, b) for a, b in itertools.combinations(range(24), 2) if meet(points, a, b)]
    assert pairs(points) == both(expected)


def test_each_pair_is_there_twice_and_sorted_with_its_distance():
    points = np.random.default_rng(0).random((200, 3))
    a, b, distance = neighbours(points)
    assert np.array_equal(np.lexsort((b, a)), np.arange(len(a)))
    assert len(pairs(points)) == len(a)
    there = dict(zip(zip(a, b, strict=True), distance, strict=True))
    assert all(there[b, a] == d for (a, b), d in there.items())
    np.testing.assert_allclose(distance, np.linalg.norm(points[a] - points[b], axis=1))


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("ndim", [2, 3])
def test_one_object_has_no_neighbour(count, ndim):
    a, b, distance = neighbours(np.zeros((count, ndim)))
    assert (len(a), len(b), len(distance)) == (0, 0, 0)
    assert (a.dtype, b.dtype, distance.dtype) == (np.int64, np.int64, np.float64)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_so_few_that_all_are_neighbours(count):
    points = np.random.default_rng(count).random((count, 3))
    assert pairs(points) == set(itertools.permutations(range(count), 2))


@pytest.mark.parametrize("direction", [(0, 0, 1), (1, 2, 3), (1e-7, 1, 1e5)])
def test_on_a_line_the_next_ones_are_neighbours(direction):
    along = np.array([3.0, 1, 0, 7, 2])
    expected = both([(2, 1), (1, 4), (4, 0), (0, 3)])
    assert pairs(along[:, None] * np.array(direction) + [5, 0, 1e3]) == expected


def test_on_a_tilted_plane_the_neighbours_are_those_in_the_plane():
    random = np.random.default_rng(4)
    flat = random.random((150, 2))
    turn, _ = np.linalg.qr(random.normal(size=(3, 3)))
    in_space = np.c_[flat, np.full(150, 40.0)] @ turn.T
    assert pairs(in_space) == pairs(flat)


def test_equal_centroids_are_neighbours_and_share_their_neighbours():
    points = np.random.default_rng(5).random((30, 3))
    alone = pairs(points)
    found = pairs(np.concatenate([points, points[3:4], points[3:4]]))
    same = {3, 30, 31}
    assert {(a, b) for a, b in found if a in same and b in same} == set(
        itertools.permutations(same, 2)
    )
    for one in same:
        assert {b for a, b in found if a == one} - same == {b for a, b in alone if a == 3}
    assert pairs(np.ones((4, 3))) == set(itertools.permutations(range(4), 2))


def test_points_too_close_to_tell_apart_all_have_neighbours():
    points = np.random.default_rng(6).random((40, 3))
    points = np.concatenate([points, points[:10] + 1e-15, points[:5] * (1 + 3e-16)])
    found = pairs(points)
    assert {a for a, _ in found} == set(range(55))
    assert found == both(found)


def test_a_regular_lattice_is_connected_along_its_axes_and_always_in_the_same_way():
    points = np.stack(np.meshgrid(*[np.arange(5.0)] * 3, indexing="ij"), -1).reshape(-1, 3)
    found = pairs(points)
    assert found == pairs(points.copy())
    near = {
        (a, b)
        for a, b in itertools.permutations(range(125), 2)
        if np.abs(points[a] - points[b]).sum() == 1
    }
    assert near <= found
    assert all(np.abs(points[a] - points[b]).max() == 1 for a, b in found)


@settings(max_examples=150, deadline=None)
@given(
    arrays.arrays(
        float,
        st.tuples(st.integers(0, 12), st.sampled_from([2, 3])),
        elements=st.sampled_from([0.0, 1.0, 2.0, 1.0 + 1e-13, 1 / 3, 1e-9, 1e6]),
    )
)
def test_no_set_of_points_fails_and_no_object_is_left_alone(points):
    found = pairs(points)
    assert found == both(found)
    assert {a for a, _ in found} == (set(range(len(points))) if len(points) > 1 else set())
