"""Objects of a tile against those of scikit-image, voxel by voxel."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.measure import regionprops_table

from tessera.imaging.boxes import Box, whole
from tessera.imaging.pieces import unit_of
from tessera.imaging.runs import find_runs, measure, paint
from voxels import known, labelled, sums

SHAPES = [(9, 14, 17), (1, 40, 33), (12, 1, 19), (8, 30, 1), (1, 1, 50), (20, 1, 1), (1, 1, 1)]
DTYPES = ("uint8", "int8", "uint16", "int16")


def labels_of(mask, connectivity):
    runs = find_runs(mask, connectivity)
    return runs, paint(runs, np.arange(1, runs.count + 1, dtype=np.uint32), mask.shape)


@pytest.mark.parametrize("connectivity", [6, 18, 26])
@pytest.mark.parametrize("shape", SHAPES)
def test_labels_are_those_of_scikit_image_at_any_density(shape, connectivity):
    rng = np.random.default_rng(1)
    for density in (0, 0.05, 0.2, 0.35, 0.5, 0.8, 0.97, 1):
        mask = rng.random(shape) < density
        runs, labels = labels_of(mask, connectivity)
        np.testing.assert_array_equal(labels, labelled(mask, connectivity))
        assert labels.dtype == np.uint32
        assert runs.count == labels.max()


@settings(deadline=None)
@given(arrays(bool, st.tuples(*[st.integers(1, 5)] * 3)), st.sampled_from([6, 18, 26]))
def test_labels_are_those_of_scikit_image_for_any_small_mask(mask, connectivity):
    if mask.shape.count(1) > 1:  # scikit-image takes what is left for a line
        mask = np.concatenate([mask, mask], axis=mask.shape.index(1))
    np.testing.assert_array_equal(labels_of(mask, connectivity)[1], labelled(mask, connectivity))


@pytest.mark.parametrize(("connectivity", "neighbours"), [(6, 6), (18, 18), (26, 26)])
def test_a_voxel_has_as_many_neighbours_as_its_connectivity_says(connectivity, neighbours):
    joined = 0
    for place in np.ndindex(3, 3, 3):
        mask = np.zeros((3, 3, 3), bool)
        mask[1, 1, 1] = mask[place] = True
        joined += place != (1, 1, 1) and find_runs(mask, connectivity).count == 1
    assert joined == neighbours


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(7, 12, 13), (1, 25, 31)])
def test_objects_are_measured_as_voxel_by_voxel(shape, dtype):
    rng = np.random.default_rng(2)
    info = np.iinfo(dtype)
    values = rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    mask = rng.random(shape) < 0.25
    pieces = measure(find_runs(mask, 26), values, whole(shape), shape, 1.0)
    np.testing.assert_array_equal(pieces, known(labelled(mask, 26), values))


def test_objects_are_measured_as_by_regionprops():
    rng = np.random.default_rng(3)
    values, mask = rng.integers(0, 65535, (10, 20, 30), np.uint16), rng.random((10, 20, 30)) < 0.3
    pieces = measure(find_runs(mask, 6), values, whole(mask.shape), mask.shape, 1.0)
    names = ("area", "bbox", "centroid", "intensity_mean", "intensity_max", "intensity_min")
    table = regionprops_table(labelled(mask, 6), values, properties=names)
    assert pieces["n"].tolist() == table["area"].tolist()
    assert pieces["low"].tolist() == table["intensity_min"].tolist()
    assert pieces["high"].tolist() == table["intensity_max"].tolist()
    np.testing.assert_array_equal(np.array(sums(pieces)) / pieces["n"], table["intensity_mean"])
    for k in range(3):
        assert pieces["lo"][:, k].tolist() == table[f"bbox-{k}"].tolist()
        assert pieces["hi"][:, k].tolist() == table[f"bbox-{k + 3}"].tolist()
        centre = pieces["lo"][:, k] + pieces["sums"][:, k] / pieces["n"]
        np.testing.assert_allclose(centre, table[f"centroid-{k}"], rtol=1e-13)


def test_a_tile_is_measured_at_its_place_in_the_image():
    rng = np.random.default_rng(4)
    shape, tile = (50, 60, 70), Box((20, 31, 42), (28, 40, 53))
    values, mask = rng.integers(0, 255, tile.shape, np.uint8), rng.random(tile.shape) < 0.3
    pieces = measure(find_runs(mask, 26), values, tile, shape, 1.0)
    expected = known(labelled(mask, 26), values, tile.lo, shape)
    np.testing.assert_array_equal(pieces, expected)


@settings(max_examples=50, deadline=None)
@given(
    arrays(np.float32, (3, 4, 5), elements=st.floats(-(2.0**99), 2.0**99, width=32)),
    arrays(bool, (3, 4, 5)),
    st.sampled_from([np.float32, np.float64]),
)
def test_sums_of_floats_are_within_a_unit_per_voxel(values, mask, dtype):
    values = values.astype(dtype)
    greatest = float(np.abs(values).max())
    unit = unit_of(values.dtype, greatest)
    runs, labels = labels_of(mask, 26)
    pieces = measure(runs, values, whole(mask.shape), mask.shape, unit)
    for k, (total, piece) in enumerate(zip(sums(pieces, unit), pieces, strict=True), start=1):
        held = values[labels == k].astype(float)
        assert abs(total - math.fsum(held)) <= len(held) * 2.0**-52 * greatest
        assert (piece["low"], piece["high"]) == (held.min(), held.max())


def test_an_empty_mask_has_no_objects_and_paints_nothing():
    mask = np.zeros((3, 4, 5), bool)
    runs = find_runs(mask, 26)
    assert runs.count == 0
    assert len(measure(runs, np.ones(mask.shape), whole(mask.shape), mask.shape, 1.0)) == 0
    assert not paint(runs, np.empty(0, np.uint32), mask.shape).any()


def test_paint_leaves_out_objects_of_label_0():
    mask = np.zeros((1, 3, 9), bool)
    mask[0, 0, :3] = mask[0, 2, 4:] = True
    painted = paint(find_runs(mask, 6), np.array([0, 7], np.uint32), mask.shape)
    np.testing.assert_array_equal(painted[0, 2], [0] * 4 + [7] * 5)
    assert not painted[0, 0].any()
