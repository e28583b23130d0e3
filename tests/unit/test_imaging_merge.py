"""Objects put together from tiles against those of the whole image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tessera.imaging.boxes import Box, Tiling, whole
from tessera.imaging.merge import merge, split
from tessera.imaging.runs import find_runs, measure, paint
from tessera.imaging.simulate import chains, percolation, serpentine
from tessera.imaging.steps import Labels
from voxels import in_tiles, known, labelled, tiles_of

SHAPES = [(11, 13, 17), (1, 29, 31), (19, 1, 23), (23, 19, 1)]
EDGES = (3, 4, 5, 8, 16, 64)


def painted(mask, tiling, merged, connectivity):
    """Return the labels of an image, tile by tile."""
    number = Labels(merged.parts, merged.objects["first"])
    labels = np.zeros(mask.shape, np.uint32)
    for k in range(len(tiling)):
        tile = tiling.tile(k)
        runs = find_runs(np.ascontiguousarray(mask[tile.slices()]), connectivity)
        held = np.zeros(tile.shape, np.uint8)
        first = measure(runs, held, tile, mask.shape, 1.0)["first"]
        labels[tile.slices()] = paint(runs, number(first).astype(np.uint32), tile.shape)
    return labels


def assert_same(mask, connectivity, edges=EDGES):
    """Assert that tiles of any edge give the objects and the labels of the whole image."""
    values = np.random.default_rng(5).integers(0, 2**16, mask.shape, np.uint16)
    labels = labelled(mask, connectivity)
    expected = known(labels, values)
    for edge in edges:
        tiling, merged = in_tiles(mask, values, connectivity, edge)
        assert merged.objects.tobytes() == expected.tobytes(), edge
        np.testing.assert_array_equal(painted(mask, tiling, merged, connectivity), labels)


@pytest.mark.parametrize("connectivity", [6, 18, 26])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("density", [0.04, 0.15, 0.35, 1])
def test_random_voxels_at_densities_around_percolation(shape, connectivity, density):
    assert_same(percolation(shape, density, 7), connectivity)


@pytest.mark.parametrize("connectivity", [6, 18, 26])
@pytest.mark.parametrize("shape", SHAPES)
def test_an_object_that_winds_through_all_tiles_is_one(shape, connectivity):
    mask = serpentine(shape)
    assert labelled(mask, connectivity).max() == 1
    assert_same(mask, connectivity)


@pytest.mark.parametrize("connectivity", [6, 18, 26])
@pytest.mark.parametrize("step", [(1, 1, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1)])
@pytest.mark.parametrize("mirrored", [(), (2,), (1,), (1, 2)])
def test_chains_cross_cuts_at_edges_and_corners(step, mirrored, connectivity):
    mask, truth = chains((12, 12, 12), step)
    mask = np.ascontiguousarray(np.flip(mask, mirrored))
    assert_same(mask, connectivity, (3, 4, 6))
    if sum(step) == {18: 2, 26: 3}.get(connectivity):
        assert labelled(mask, connectivity).max() == len(truth)


@settings(max_examples=40, deadline=None)
@given(
    arrays(bool, st.tuples(*[st.integers(2, 7)] * 3)),
    st.sampled_from([6, 18, 26]),
    st.integers(1, 4),
)
def test_any_small_mask_whatever_the_edge(mask, connectivity, edge):
    assert_same(mask, connectivity, [edge])


@pytest.mark.parametrize(
    "box", [Box((5, 0, 0), (6, 13, 17)), Box((0, 7, 0), (11, 8, 17)), Box((2, 3, 5), (9, 11, 16))]
)
def test_a_box_of_an_image_has_the_objects_of_that_box(box):
    mask = percolation((11, 13, 17), 0.3, 2)
    values = np.random.default_rng(5).integers(0, 2**16, mask.shape, np.uint16)
    labels = labelled(mask[box.slices()], 26)
    expected = known(labels, np.ascontiguousarray(values[box.slices()]), box.lo, mask.shape)
    for edge in EDGES:
        _, merged = in_tiles(mask, values, 26, edge, box=box)
        assert merged.objects.tobytes() == expected.tobytes()


def test_sums_beyond_one_limb_are_written_the_same_way_from_any_tiles():
    mask, values = np.ones((8, 32, 32), bool), np.full((8, 32, 32), 2**16 - 1, np.uint16)
    found = {in_tiles(mask, values, 26, edge)[1].objects.tobytes() for edge in (4, 16, 64)}
    assert len(found) == 1


def test_sums_of_floats_are_the_same_bytes_from_any_tiles():
    mask = percolation((9, 21, 22), 0.3, 3)
    values = np.random.default_rng(1).normal(0, 1e20, mask.shape).astype(np.float32)
    found = {
        in_tiles(mask, values, 26, edge, 2.0**17)[1].objects.tobytes() for edge in (3, 5, 8, 64)
    }
    assert len(found) == 1


def test_no_voxel_is_lost_on_the_way_through_open_pieces():
    mask = percolation((12, 20, 20), 0.2, 9)
    tiling = Tiling(whole(mask.shape), 5)
    opened = shell = count = 0
    for tile in tiles_of(mask.shape, 5):
        inner = np.ascontiguousarray(mask[tile.slices()])
        runs = find_runs(inner, 26)
        pieces = measure(runs, inner.view(np.uint8), tile, mask.shape, 1.0)
        found = split(runs, pieces, tile, tiling.box)
        assert found.closed["n"].sum() + found.open["n"].sum() == inner.sum()
        assert (np.diff(found.shell.place) > 0).all()
        assert set(found.shell.of.tolist()) == set(range(1, len(found.open) + 1))
        near = inner.copy()  # what of the tile is not next to a cut
        keep = [
            slice(int(lo > 0), n - int(hi < end))
            for lo, hi, n, end in zip(tile.lo, tile.hi, tile.shape, mask.shape, strict=True)
        ]
        near[tuple(keep)] = False
        np.testing.assert_array_equal(found.shell.place, np.flatnonzero(near))
        opened, shell = opened + len(found.open), shell + len(found.shell.place)
        count += len(found.closed)
    _, merged = in_tiles(mask, mask.view(np.uint8), 26, 5)
    assert merged.objects["n"].sum() == mask.sum()
    assert len(merged.parts) == opened > 0
    assert (np.diff(merged.parts[:, 0]) > 0).all()
    assert set(merged.parts[:, 1].tolist()) <= set(merged.objects["first"].tolist())
    assert count + len(set(merged.parts[:, 1].tolist())) == len(merged.objects)


def test_an_empty_image_has_no_objects():
    mask = np.zeros((4, 9, 9), bool)
    tiling, merged = in_tiles(mask, mask.view(np.uint8), 26, 4)
    assert len(merged.objects) == len(merged.parts) == 0
    assert not painted(mask, tiling, merged, 26).any()


def test_tiles_are_taken_one_at_a_time():
    mask, taken = percolation((4, 12, 12), 0.3, 1), []
    tiling = Tiling(whole(mask.shape), 4)

    def tiles():
        for number in range(len(tiling)):
            taken.append(number)
            tile = tiling.tile(number)
            inner = np.ascontiguousarray(mask[tile.slices()])
            runs = find_runs(inner, 26)
            pieces = measure(runs, inner.view(np.uint8), tile, mask.shape, 1.0)
            yield split(runs, pieces, tile, tiling.box)

    merge(tiles(), tiling, 26)
    assert taken == list(range(9))
