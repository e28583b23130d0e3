from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera.astro.repair import fill

SHAPE = (90, 120)
Y, X = np.indices(SHAPE)
PLANE = (3.0 * X - 2.0 * Y + 50).astype(np.float32)


def brute_force(image: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """Walk from each bad pixel in eight directions, again for those that saw nothing good."""
    image, bad = image.astype(np.float64), bad.copy()
    while bad.any():
        value = np.full(image.shape, np.nan)
        for y, x in np.argwhere(bad):
            pairs = []
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    j, i = y + dy, x + dx
                    while (dy or dx) and 0 <= j < bad.shape[0] and 0 <= i < bad.shape[1]:
                        if not bad[j, i]:
                            pairs.append((image[j, i], 1 / np.hypot(j - y, i - x)))
                            break
                        j, i = j + dy, i + dx
            if pairs:
                values, weights = zip(*pairs, strict=True)
                value[y, x] = np.average(values, weights=weights)
        filled = np.isfinite(value)
        assert filled.any()
        image[filled] = value[filled].astype(np.float32)
        bad &= ~filled
    return image


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.floats(0, 0.98), st.integers(0, 2**20))
def test_equals_a_walk_in_eight_directions(ny, nx, share, seed):
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 100, (ny, nx)).astype(np.float32)
    bad = rng.random((ny, nx)) < share
    bad[rng.integers(ny), rng.integers(nx)] = False
    expected = brute_force(image, bad)
    spoiled = np.where(bad, np.float32(np.nan), image)
    given_mask = bad.copy()
    fill(spoiled, bad)
    np.testing.assert_allclose(spoiled, expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(spoiled[~bad], image[~bad])
    np.testing.assert_array_equal(bad, given_mask)


@pytest.mark.parametrize(
    "bad",
    [
        (X == 40) | (X == 41),
        Y == 17,
        (X - 60) ** 2 + (Y - 45) ** 2 < 30**2,
        (abs(X - 2 * Y) < 3) & (X > 5) & (X < 100) & (Y > 2),
        np.random.default_rng(1).random(SHAPE) < 0.2,
    ],
    ids=["columns", "row", "blob", "track", "scattered"],
)
def test_a_slope_goes_on_through_a_defect(bad):
    image = np.where(bad, np.float32(np.inf), PLANE)
    fill(image, bad)
    inner = (slice(12, -12), slice(12, -12))  # near the edge a direction may lack its opposite
    np.testing.assert_allclose(image[inner], PLANE[inner], atol=1e-3)


def test_values_stay_within_those_of_the_good_pixels():
    rng = np.random.default_rng(2)
    image = rng.gamma(2, 100, SHAPE).astype(np.float32)
    bad = (X - 50) ** 2 + (Y - 40) ** 2 < 35**2
    good = image[~bad]
    image[bad] = 1e30
    fill(image, bad)
    assert good.min() <= image[bad].min()
    assert image[bad].max() <= good.max()
    # Averaging, so less scattered than the pixels used, yet not flat.
    assert 0.1 * good.std() < image[bad].std() < 0.7 * good.std()


def test_great_defects_take_time_by_their_area_only():
    """A window grown about each pixel would take hours for this."""
    image = np.full((2048, 2048), np.nan, np.float32)
    bad = np.ones(image.shape, bool)
    bad[1000:1003, 2040:2045] = False
    image[~bad] = 7
    fill(image, bad)
    assert (image == 7).all()


def test_turned_and_mirrored_images_give_turned_and_mirrored_values():
    rng = np.random.default_rng(3)
    image = rng.normal(size=SHAPE).astype(np.float32)
    bad = rng.random(SHAPE) < 0.5
    expected = image.copy()
    fill(expected, bad)
    for turn in (np.flipud, np.fliplr, np.transpose):
        other = np.ascontiguousarray(turn(image))
        fill(other, np.ascontiguousarray(turn(bad)))
        np.testing.assert_allclose(other, turn(expected), rtol=1e-5, atol=1e-6)


def test_all_or_nothing():
    image = np.full((4, 5), np.nan, np.float32)
    fill(image, np.ones((4, 5), bool))
    assert not image.any()
    image = np.arange(20, dtype=np.float32).reshape(4, 5)
    before = image.copy()
    fill(image, np.zeros((4, 5), bool))
    np.testing.assert_array_equal(image, before)


def test_shapes_must_match():
    with pytest.raises(ValueError, match="bad pixels of shape"):
        fill(np.zeros((4, 5), np.float32), np.zeros((5, 4), bool))
