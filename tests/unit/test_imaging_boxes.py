"""Boxes, and the tiles that a box is cut into."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tessera.imaging.boxes import Box, Tiling, margins, whole

EDGE = st.integers(1, 9)


@st.composite
def boxes(draw, most=14):
    lo = draw(st.tuples(*[st.integers(0, 11)] * 3))
    shape = draw(st.tuples(*[st.integers(1, most)] * 3))
    return Box(lo, tuple(a + n for a, n in zip(lo, shape, strict=True)))


def tiles(tiling):
    return [tiling.tile(number) for number in range(len(tiling))]


@given(boxes(), EDGE)
def test_tiles_partition_a_box_in_raster_order_with_cuts_at_multiples_of_the_edge(box, edge):
    tiling = Tiling(box, edge)
    times = np.zeros(box.shape, int)
    for tile in tiles(tiling):
        assert tile.size > 0
        assert tile == tile.grown((0, 0, 0), box)
        times[tile.slices(box.lo)] += 1
        for lo, hi, first, last in zip(tile.lo, tile.hi, box.lo, box.hi, strict=True):
            assert lo % edge == 0 or lo == first
            assert hi % edge == 0 or hi == last
            assert lo // edge == (hi - 1) // edge
    assert (times == 1).all()
    assert [tile.lo for tile in tiles(tiling)] == sorted(tile.lo for tile in tiles(tiling))
    places = list(itertools.product(*map(range, tiling.counts)))
    assert [tiling.place(number) for number in range(len(tiling))] == places


@given(boxes(8), st.integers(2, 9))
def test_every_pair_of_tiles_that_touch_is_told_once_the_earlier_first(box, edge):
    every = list(enumerate(tiles(Tiling(box, edge))))
    touching = [
        (k, m)
        for (k, a), (m, b) in itertools.combinations(every, 2)
        if all(p <= s and q <= r for p, r, q, s in zip(a.lo, a.hi, b.lo, b.hi, strict=True))
    ]
    assert sorted(Tiling(box, edge).cuts()) == touching


@given(boxes(), st.tuples(*[st.integers(0, 5)] * 3))
def test_a_grown_box_is_what_of_the_wider_one_lies_within(box, by):
    within = Box((3, 3, 3), (40, 12, 30))
    grown = box.grown(by, within)
    for k in range(3):
        assert grown.lo[k] == max(box.lo[k] - by[k], within.lo[k])
        assert grown.hi[k] == min(box.hi[k] + by[k], within.hi[k])


def test_a_box_cuts_its_voxels_out_of_an_array_with_an_origin():
    image = np.arange(5 * 6 * 7).reshape(5, 6, 7)
    outer, inner = Box((1, 2, 3), (5, 6, 7)), Box((2, 2, 4), (4, 5, 7))
    part = image[outer.slices()]
    np.testing.assert_array_equal(part[inner.slices(outer.lo)], image[2:4, 2:5, 4:7])
    assert inner.shape == (2, 3, 3)
    assert inner.size == 18
    assert whole((5, 6, 7)).slices() == (slice(0, 5), slice(0, 6), slice(0, 7))


def test_a_plane_has_no_margin_along_z():
    assert margins(3, 4) == (4, 4, 4)
    assert margins(2, 4) == (0, 4, 4)
