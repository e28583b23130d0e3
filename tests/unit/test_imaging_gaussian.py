"""The Gaussian filter has the bits of scipy's, whatever block it is given."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from tessera.imaging.filters import filtered
from tessera.imaging.gaussian import gaussian, radius
from tessera.imaging.grid import Step
from voxels import Voxels, tiles_of

DTYPES = ("uint8", "int8", "uint16", "int16", "float32", "float64")
SHAPES = [(9, 21, 26), (1, 30, 33), (3, 4, 5), (1, 2, 3), (2, 1, 1), (4, 1, 9)]


def image(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 1e5, shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)


def reference(values, sigma):
    flat = values[0] if values.shape[0] == 1 else values
    single = flat.astype(np.float32)
    return gaussian_filter(single, sigma, mode="reflect", truncate=4).reshape(values.shape)


def by_tiles(values, sigma, edge):
    step, out = Step("gaussian", (("sigma", sigma),)), np.empty(values.shape, np.float32)
    for tile in tiles_of(values.shape, edge):
        part = filtered(Voxels(values), step, tile)
        assert part.dtype == np.float32
        out[tile.slices()] = part
    return out


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sigma", [0.2, 0.7, 1.7, 3])
def test_every_type_has_the_bits_of_scipy(dtype, sigma):
    for shape in SHAPES:
        values = image(shape, dtype)
        assert by_tiles(values, sigma, 64).tobytes() == reference(values, sigma).tobytes(), shape


@pytest.mark.parametrize("shape", [(9, 21, 26), (1, 30, 33), (3, 4, 5)])
@pytest.mark.parametrize("edge", [1, 4, 7, 16])
def test_bits_do_not_depend_on_the_tiles(shape, edge):
    values = image(shape, "uint16", 1)
    for sigma in (0.5, 1.3) if edge == 1 else (0.5, 1.3, 2.5):
        assert by_tiles(values, sigma, edge).tobytes() == reference(values, sigma).tobytes()


@settings(max_examples=50, deadline=None)
@given(
    st.tuples(*[st.integers(1, 9)] * 3), st.floats(0.2, 3), st.integers(1, 10), st.integers(0, 99)
)
def test_any_sigma_of_any_small_image(shape, sigma, edge, seed):
    values = image(shape, "float32", seed)
    assert by_tiles(values, sigma, edge).tobytes() == reference(values, sigma).tobytes()


def test_the_radius_is_that_of_scipy_at_four_standard_deviations():
    for sigma in (0.2, 0.37, 0.38, 1, 2.5, 7.1):
        line = np.zeros(201, np.float32)
        line[100] = 1e30
        seen = np.flatnonzero(gaussian_filter(line, sigma, truncate=4))
        assert seen.max() - 100 == radius(sigma)


def test_a_block_comes_back_without_its_margin():
    block = image((12, 14, 16), "uint8")
    assert gaussian(block, 1.0, False).shape == (4, 6, 8)
    assert gaussian(block[:1], 1.0, True).shape == (1, 6, 8)


def test_a_constant_image_stays_constant():
    out = by_tiles(np.full((6, 7, 8), 77, np.uint8), 1.3, 4)
    assert np.unique(out).size == 1
