"""Morphology of masks against scikit-image, in one go and tile by tile."""

import numpy as np
import pytest
from skimage import morphology

from tessera.imaging.boxes import margins, whole
from tessera.imaging.grid import Step, shape_margin
from tessera.imaging.morphology import transformed
from voxels import tiles_of

NAMES = {"erode": "erosion", "dilate": "dilation", "open": "opening", "close": "closing"}
SHAPES = [(11, 14, 17), (1, 26, 29), (4, 5, 6), (1, 2, 3)]
DENSITIES = (0, 0.03, 0.3, 0.7, 0.97, 1)


def masks(shape, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.random(shape) < density for density in DENSITIES]


def reference(mask, op, radius):
    plane = mask.shape[0] == 1
    ball = morphology.disk(radius) if plane else morphology.ball(radius)
    shaped = getattr(morphology, NAMES[op])(mask[0] if plane else mask, ball, mode="ignore")
    return shaped.astype(bool).reshape(mask.shape)


@pytest.mark.parametrize("op", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_masks_are_those_of_scikit_image_up_to_the_faces(shape, op):
    for mask in masks(shape):
        before = mask.copy()
        for radius in (1, 2, 3, 5):
            found = transformed(mask, Step(op, (("radius", radius),)), shape[0] == 1)
            assert found.dtype == bool
            np.testing.assert_array_equal(found, reference(mask, op, radius))
        np.testing.assert_array_equal(mask, before)


@pytest.mark.parametrize("op", NAMES)
def test_a_ball_wider_than_the_image(op):
    for mask in masks((2, 5, 7), 1):
        found = transformed(mask, Step(op, (("radius", 9),)), False)
        np.testing.assert_array_equal(found, reference(mask, op, 9))


@pytest.mark.parametrize("op", NAMES)
@pytest.mark.parametrize("shape", SHAPES[:2])
def test_tiles_with_their_margins_make_up_the_whole(shape, op):
    ndim = 2 if shape[0] == 1 else 3
    for radius, edge in ((1, 3), (2, 6), (3, 9)):
        step = Step(op, (("radius", radius),))
        by = margins(ndim, shape_margin(step))
        for mask in masks(shape, 2)[1:-1]:
            expected = reference(mask, op, radius)
            for tile in tiles_of(shape, edge):
                seen = tile.grown(by, whole(shape))
                found = transformed(mask[seen.slices()], step, ndim == 2)
                inner = found[tile.slices(seen.lo)]
                np.testing.assert_array_equal(inner, expected[tile.slices()])


def test_no_morphology_leaves_the_mask():
    mask = masks((3, 4, 5))[2]
    assert transformed(mask, Step("none"), False) is mask


@pytest.mark.parametrize("op", ["open", "close"])
def test_doing_it_twice_changes_nothing(op):
    step = Step(op, (("radius", 2),))
    once = transformed(masks((12, 15, 18))[3], step, False)
    np.testing.assert_array_equal(transformed(once, step, False), once)
