"""Thresholds of histograms of tiles against those of scikit-image of the whole image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.filters import threshold_li, threshold_otsu

from stacks import sentences
from tessera.imaging.histograms import bins_for, counted, extent, histogram, threshold
from voxels import tiles_of

INTEGERS = ("uint8", "int8", "uint16", "int16")
FLOATS = ("float32", "float64")
PLACE = ("image.tif", " after the filter median-3")


def image(dtype, seed=0, shape=(6, 17, 19)):
    """Return two populations that nowhere come near the ends of 16 bits."""
    rng = np.random.default_rng(seed)
    values = rng.normal(30, 5, shape)
    some = rng.random(shape) < rng.uniform(0.05, 0.6)
    values[some] += rng.uniform(10, 40)
    if dtype.startswith("f") or dtype.endswith("16"):
        values = values * 10 ** rng.uniform(0, 2)
    return values.clip(0).astype(dtype)


def by_tiles(values, kind, edge=8):
    blocks = [values[tile.slices()] for tile in tiles_of(values.shape, edge)]
    low, high = extent(blocks)
    counts = sum(histogram(block, kind, low, high) for block in blocks)
    assert counts.dtype == np.int64
    assert counts.sum() == values.size
    assert len(counts) == bins_for(values.dtype, kind)
    return threshold(counts, kind, values.dtype, low, high, PLACE), (high - low) / len(counts)


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
def test_otsu_is_that_of_scikit_image_to_the_bit(dtype):
    for seed in range(12):
        values = image(dtype, seed)
        for edge in (5, 64):
            assert by_tiles(values, "otsu", edge)[0] == float(threshold_otsu(values)), seed


@pytest.mark.parametrize("dtype", INTEGERS)
def test_li_of_integers_is_that_of_scikit_image(dtype):
    for seed in range(12):
        values = image(dtype, seed)
        found, expected = by_tiles(values, "li")[0], float(threshold_li(values))
        assert found == pytest.approx(expected, rel=1e-12)
        np.testing.assert_array_equal(values > found, values > expected)


@pytest.mark.parametrize("dtype", FLOATS)
def test_li_of_floats_is_that_of_scikit_image_within_a_few_bins(dtype):
    for seed in range(12):
        values = image(dtype, seed)
        found, width = by_tiles(values, "li")
        assert abs(found - threshold_li(values.astype(float))) <= 4 * width


@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_signed_values_over_the_whole_range_of_their_type(dtype):
    info = np.iinfo(dtype)
    values = np.random.default_rng(1).integers(info.min, info.max, (4, 9, 9), dtype, endpoint=True)
    values.flat[:2] = info.min, info.max
    wide = values.astype(np.int32)  # scikit-image takes the least away, which wraps around
    assert by_tiles(values, "otsu")[0] == float(threshold_otsu(wide))
    assert by_tiles(values, "li")[0] == pytest.approx(float(threshold_li(wide)), rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(INTEGERS + FLOATS), st.integers(1, 9))
def test_histograms_of_tiles_add_up_to_that_of_the_image(seed, dtype, edge):
    values = image(dtype, seed, (3, 7, 8))
    low, high = extent([values])
    for kind in ("otsu", "li"):
        blocks = (values[tile.slices()] for tile in tiles_of(values.shape, edge))
        counts = sum(histogram(block, kind, low, high) for block in blocks)
        np.testing.assert_array_equal(counts, histogram(values, kind, low, high))


def test_values_with_a_bin_each_are_counted_by_value():
    values = np.array([[[-3, -3, 100, -(2**15), 2**15 - 1]]], np.int16)
    counts = histogram(values, "otsu", 0, 0)
    assert {int(k) - 2**15: int(counts[k]) for k in np.flatnonzero(counts)} == {
        -3: 2, 100: 1, -(2**15): 1, 2**15 - 1: 1
    }  # fmt: skip
    assert [dtype for dtype in INTEGERS + FLOATS if counted(np.dtype(dtype))] == list(INTEGERS)


def test_two_values_are_parted():
    for dtype in INTEGERS + FLOATS:
        values = np.full((2, 4, 4), 5, dtype)
        values[0] = 9
        for kind in ("otsu", "li"):
            found = by_tiles(values, kind)[0]
            np.testing.assert_array_equal(values > found, values == 9)


@pytest.mark.parametrize("kind", ["otsu", "li"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_an_image_of_one_value_is_refused(kind, dtype):
    values = np.full((3, 4, 5), -7 if dtype != "uint8" else 7, dtype)
    assert sentences(by_tiles, values, kind) == [
        f"image.tif: every value after the filter median-3 is {values[0, 0, 0]:g}, so that "
        f"{kind.capitalize()}'s threshold is not defined; give a fixed threshold, or leave it out."
    ]


@pytest.mark.parametrize("kind", ["otsu", "li"])
def test_values_far_from_zero_and_close_together_have_thresholds(kind):
    rng = np.random.default_rng(3)
    for low, width in ((30000, 100), (1e6, 8), (1e8, 64)):
        values = rng.uniform(low, low + width, (8, 12, 12)).astype(np.float32)
        whole = threshold_otsu if kind == "otsu" else threshold_li
        found, bin_width = by_tiles(values, kind)
        expected = float(whole(values.astype(np.float64)))
        assert abs(found - expected) <= max(4 * bin_width, np.spacing(np.float32(low)))


@pytest.mark.parametrize("kind", ["otsu", "li"])
@pytest.mark.parametrize(
    "ends", [(1.0, 1 + 2**-52), (-1.7e308, 1.7e308), (0.0, 5e-324), (0.0, float("inf"))]
)
def test_values_that_no_bins_can_part_are_refused(kind, ends):
    (sentence,) = sentences(by_tiles, np.array(ends).reshape(1, 1, 2), kind)
    assert f"go from {ends[0]!r} to {ends[1]!r}, which bins cannot part" in sentence
