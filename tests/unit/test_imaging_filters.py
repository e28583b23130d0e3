"""Filters of tiles against those of the whole image by scipy and scikit-image."""

import numpy as np
import pytest
from scipy.ndimage import median_filter
from skimage.restoration import denoise_nl_means

from tessera.imaging.boxes import Box
from tessera.imaging.filters import filtered
from tessera.imaging.grid import Step, filter_margin
from voxels import Voxels, tiles_of

SHAPES = [(6, 13, 14), (1, 23, 21), (3, 4, 5), (2, 9, 1)]
DTYPES = ("uint8", "int8", "uint16", "int16", "float32", "float64")


def image(shape, dtype, seed=0):
    values = np.random.default_rng(seed).normal(20, 30, shape)
    return values.clip(0 if dtype.startswith("u") else -100, 120).astype(dtype)


def flat(values):
    return values[0] if values.shape[0] == 1 else values


def assert_same(values, step, expected, edges):
    for edge in edges:
        for tile in tiles_of(values.shape, edge):
            part = filtered(Voxels(values), step, tile)
            assert part.flags.c_contiguous
            assert part.dtype == expected.dtype
            inner = expected.reshape(values.shape)[tile.slices()]
            np.testing.assert_array_equal(part, inner, f"{edge} {tile}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_median_is_that_of_scipy_from_any_tiles(shape, dtype):
    values = image(shape, dtype)
    for size in (3, 5):
        expected = median_filter(flat(values), size, mode="reflect")
        assert_same(values, Step("median", (("size", size),)), expected, (7, 64))


@pytest.mark.parametrize("dtype", ["int16", "float64"])
@pytest.mark.parametrize("shape", SHAPES[:3])
def test_nlm_is_that_of_scikit_image_from_any_tiles(shape, dtype):
    values = image(shape, dtype)
    for patch, distance in ((3, 1), (5, 2)):
        numbers = (("patch_size", patch), ("patch_distance", distance), ("h", 25.0))
        single = flat(values).astype(np.float32)
        expected = denoise_nl_means(single, patch, distance, 25.0, fast_mode=False)
        assert_same(values, Step("nlm", numbers), expected, (9, 64))


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_filter_leaves_values_and_type(dtype):
    values = image((4, 5, 6), dtype)
    assert_same(values, Step("none"), values, (3, 64))


@pytest.mark.parametrize(
    "step",
    [
        Step("gaussian", (("sigma", 0.9),)),
        Step("median", (("size", 5),)),
        Step("nlm", (("patch_size", 3), ("patch_distance", 2), ("h", 5.0))),
    ],
)
def test_a_filter_looks_no_farther_than_its_margin(step):
    values, reach = image((15, 15, 15), "uint8"), filter_margin(step)
    middle, other = Box((7, 7, 7), (8, 8, 8)), values.copy()
    near = middle.grown((reach,) * 3, Box((0, 0, 0), values.shape))
    other[...] = 255 - other
    other[near.slices()] = values[near.slices()]
    assert filtered(Voxels(values), step, middle) == filtered(Voxels(other), step, middle)
    other[...] = values
    other[7, 7, 7 + reach] ^= 255  # the margin is not wider than it must be
    if step.kind == "gaussian":
        assert filtered(Voxels(values), step, middle) != filtered(Voxels(other), step, middle)
