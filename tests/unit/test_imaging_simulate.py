"""Simulated images: their truth is what a labelling of them finds, however they are made."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tessera.imaging.simulate import (
    COLUMNS,
    Balls,
    chains,
    percolation,
    scatter,
    serpentine,
)

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 14), st.integers(1, 14))
FULL = np.ones((3, 3, 3))


def labelled(mask, connectivity):
    """Return the objects that SciPy finds, as a truth has them."""
    structure = ndimage.generate_binary_structure(3, {6: 1, 18: 2, 26: 3}[connectivity])
    labels, count = ndimage.label(mask, structure)
    sizes = np.bincount(labels.ravel())[1:]
    centres = ndimage.center_of_mass(mask, labels, range(1, count + 1))
    rows = []
    for k, (size, centre, box) in enumerate(
        zip(sizes, centres, ndimage.find_objects(labels), strict=True)
    ):
        lo, hi = [s.start for s in box], [s.stop for s in box]
        rows.append([k + 1, size, *centre, *lo, *hi])
    return pd.DataFrame(rows, columns=list(COLUMNS))


@pytest.mark.parametrize("shape", [(30, 50, 60), (1, 100, 120)])
def test_balls_are_what_their_truth_says_under_any_connectivity(shape):
    balls = scatter(shape, 9, (3, 6), 4)
    mask = balls.mask(0, shape[0])
    for connectivity in (6, 26):
        found = labelled(mask, connectivity)
        pd.testing.assert_frame_equal(balls.truth(), found, check_dtype=False)
    assert len(balls.truth()) == 9


def test_the_size_of_a_ball_is_that_of_its_radius():
    balls = Balls((60, 60, 60), np.array([[30.0, 30.0, 30.0]]), np.array([20.0]), 0)
    assert balls.truth()["n_voxels"][0] == pytest.approx(4 / 3 * np.pi * 20**3, rel=0.01)
    assert balls.truth().iloc[0, 2:].tolist() == [30, 30, 30, 10, 10, 10, 51, 51, 51]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_threshold_halfway_finds_the_balls_again(dtype):
    balls = scatter((20, 40, 40), 5, (3, 6), 1, dtype)
    values = balls.voxels()
    assert values.dtype == dtype
    np.testing.assert_array_equal(values > 0.45 * np.iinfo(dtype).max, balls.mask(0, 20))


def test_slabs_of_an_image_do_not_depend_on_their_size():
    balls = scatter((20, 30, 30), 4, (2, 5), 7)
    whole = balls.voxels()
    for step in (1, 7):
        slabs = [balls.voxels(z, min(z + step, 20)) for z in range(0, 20, step)]
        np.testing.assert_array_equal(np.concatenate(slabs), whole)
    again = scatter((20, 30, 30), 4, (2, 5), 7).voxels()
    np.testing.assert_array_equal(again, whole)
    assert not np.array_equal(scatter((20, 30, 30), 4, (2, 5), 8).voxels(), whole)


def test_more_balls_than_there_is_room_for():
    with pytest.raises(ValueError, match="no room for 50 balls"):
        scatter((20, 20, 20), 50, (4, 5), 0)


@given(SHAPES)
@settings(max_examples=60, deadline=None)
def test_the_serpentine_is_one_object_of_one_voxel_that_is_everywhere(shape):
    mask = serpentine(shape)
    assert labelled(mask, 6)["n_voxels"].tolist() == [mask.sum()]
    smooth = ndimage.minimum_filter(mask, size=(1, 2, 2), mode="constant")
    assert shape[1] == 1 or shape[2] == 1 or not smooth.any()
    padded = np.pad(mask, [(0, n % 2) for n in shape])
    d, h, w = (n // 2 for n in padded.shape)
    assert padded.reshape(d, 2, h, 2, w, 2).any(axis=(1, 3, 5)).all()
    slabs = [serpentine(shape, z, z + 1) for z in range(shape[0])]
    np.testing.assert_array_equal(np.concatenate(slabs), mask)


@pytest.mark.parametrize(
    ("step", "objects"),
    [((1, 1, 1), {26}), ((0, 1, 1), {18, 26}), ((1, 1, 0), {18, 26}), ((0, 0, 1), {6, 18, 26})],
)
@pytest.mark.parametrize("spacing", [3, 4])
def test_chains_are_objects_under_some_connectivities_and_single_voxels_under_others(
    step, objects, spacing
):
    mask, truth = chains((9, 11, 13), step, spacing)
    for connectivity in (6, 18, 26):
        found = labelled(mask, connectivity)
        if connectivity in objects:
            pd.testing.assert_frame_equal(truth, found, check_dtype=False)
        else:
            assert found["n_voxels"].eq(1).all()
            assert len(found) == mask.sum() > len(truth)


def test_chains_that_would_touch_are_refused():
    for step, spacing in (((1, 1, 1), 2), ((0, 0, 0), 4), ((2, 1, 1), 4)):
        with pytest.raises(ValueError, match="no chains"):
            chains((9, 9, 9), step, spacing)


def test_percolation_has_its_density_and_is_made_slab_by_slab():
    mask = percolation((40, 50, 60), 0.3, 5)
    assert mask.mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / mask.size))
    slabs = [percolation((40, 50, 60), 0.3, 5, z, z + 8) for z in range(0, 40, 8)]
    np.testing.assert_array_equal(np.concatenate(slabs), mask)
    for density in (0.0, 1.0):
        assert percolation((4, 5, 6), density, 5).mean() == density
