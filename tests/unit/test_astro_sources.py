"""Large patches: a first look at a part of them is enough, and at all of them where it is not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from tessera.astro import sources

SHAPE = (600, 2200)
FWHM = 7.0


def field() -> tuple[np.ndarray, np.ndarray]:
    """Return an image with stars in its left third, and their places."""
    rng = np.random.default_rng(3)
    places = [(x, y) for x in range(30, 600, 45) for y in range(30, SHAPE[0] - 30, 45)]
    image = np.zeros(SHAPE)
    for x, y in places:
        image[y, x] = rng.uniform(1500, 15000)
    image = gaussian_filter(image, FWHM / 2.3548) + rng.normal(size=SHAPE)
    return image.astype(np.float32), np.array(places, float)


def measure(image: np.ndarray, nimage: np.ndarray) -> tuple[np.ndarray, dict]:
    table, facts = sources.measure_patch(
        image, np.ones_like(image), np.zeros(SHAPE, np.uint8), nimage,
        settings=sources.Settings(), pixel_scale=0.27,
    )  # fmt: skip
    return table.loc[table["significance"] > 6, ["x", "y"]].to_numpy(), facts


@pytest.mark.parametrize("deepest", ["left", "right"])
def test_stars_are_found_in_the_part_or_in_the_whole(deepest: str) -> None:
    """In the second case the part with the most exposures has none."""
    image, places = field()
    nimage = np.full(SHAPE, 5, np.int16)
    nimage[:, 660:] = 4 if deepest == "left" else 9
    found, facts = measure(image, nimage)
    # Of a Moffat profile that is fitted to Gaussians.
    assert facts["fwhm"] == pytest.approx(FWHM * 0.27, rel=0.12)
    assert facts["stars"] > 60
    assert cKDTree(found).query(places)[0].max() < 0.5
    assert len(found) < len(places) + 10


def test_what_lies_far_from_the_part_does_not_alter_what_is_found_in_it() -> None:
    """Sources of the part are the same, whatever the rest of a patch looks like."""
    image, _ = field()
    nimage = np.full(SHAPE, 5, np.int16)
    nimage[:, 1536:] = 4
    other = image.copy()
    other[:, 1700:] = np.random.default_rng(4).normal(size=(SHAPE[0], SHAPE[1] - 1700))
    one, same = (measure(each, nimage)[0] for each in (image, other))
    one, same = one[one[:, 0] < 1400], same[same[:, 0] < 1400]
    assert len(one) == len(same)
    assert np.abs(one - same).max() < 0.02
