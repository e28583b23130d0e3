"""Cleaning a detector: sky, variance, defects, cosmic rays, and what contradicts itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exposures import GAIN, READ_NOISE, SETTINGS, SHAPE, SKY, Exposure
from tessera.astro.bits import BAD, CR, EDGE, INTERP, SAT
from tessera.astro.clean import Cleaned, clean, estimate_background, pixel_noise, source_mask
from tessera.astro.planes import read_ccd
from tessera.astro.visits import read_visit
from tessera.errors import InputError

RAYS = {"engine": "sparse", "sigclip": 4.5, "sigfrac": 0.3, "objlim": 5.0, "iterations": 4}
CLEANING: dict[str, Any] = {
    "mask_bits": {"BAD": 0, "SAT": 1, "INTERP": 2, "CR": 3, "EDGE": 4},
    "background": {"box": 64},
    "cosmic_rays": RAYS,
}


def cleaned(
    tmp_path: Path, spoil: Callable[[Exposure], None] = lambda e: None, **changed: Any
) -> Cleaned:
    exposure = Exposure(ccds=1)
    spoil(exposure)
    path = str(exposure.write(tmp_path / "v.fits"))
    record = read_visit(path, SETTINGS)["ccds"][0]
    return clean(read_ccd(path, record), record, CLEANING | changed, path)


def no_variance(e: Exposure) -> None:
    e.with_variance = False


@pytest.mark.parametrize("spoil", [lambda e: None, no_variance])
def test_the_sky_and_its_noise_are_found(tmp_path: Path, spoil: Callable[[Exposure], None]) -> None:
    result = cleaned(tmp_path, spoil)
    truth = np.sqrt((SKY + 4.5) / GAIN + (READ_NOISE / GAIN) ** 2)
    assert result.facts["noise"] == pytest.approx(truth, rel=0.03)
    assert result.facts["noise_ratio"] == pytest.approx(1, abs=0.05)  # stars raise it
    assert result.facts["sky"] == pytest.approx(SKY + 4.5, abs=1)
    assert abs(np.median(result.image)) < 0.05 * truth
    assert result.facts["fwhm"] == pytest.approx(2 * 2.3548, rel=0.1)
    assert (result.mask[2:-2, 2:-2] == 0).mean() > 0.98
    assert (result.mask[:, 0] & EDGE).all()


def test_sources_do_not_raise_the_sky(tmp_path: Path) -> None:
    """A bright, wide galaxy on a sky with a gradient: the sky at its place is that of the truth."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:512, :512].astype(float)
    sky = 500 + 0.05 * x - 0.03 * y
    radius = np.hypot(x - 250, y - 260)
    image = (sky + 3000 * np.exp(-radius / 9) + rng.normal(0, 10, sky.shape)).astype(np.float32)
    found = estimate_background(image, np.zeros(image.shape, bool), 64)
    assert abs((found - sky)[radius < 20].mean()) < 1.0
    assert np.abs(found - sky).max() < 4.0


def test_blank_sky_is_not_taken_for_sources() -> None:
    noise = np.random.default_rng(5).normal(0, 3, (1024, 1024)).astype(np.float32)
    assert source_mask(noise, np.zeros_like(noise), 3.0).mean() < 0.05
    assert pixel_noise(noise, np.ones(noise.shape, bool)) == pytest.approx(3, rel=0.01)
    found = estimate_background(noise, np.zeros(noise.shape, bool), 128)
    assert abs(found.mean()) < 0.02


@pytest.mark.parametrize("engine", ["sparse", "astroscrappy"])
def test_cosmic_rays_are_found_and_filled_in(tmp_path: Path, engine: str) -> None:
    rng = np.random.default_rng(6)
    hits = rng.integers(5, 170, (40, 2))

    def strike(e: Exposure) -> None:
        for y, x in hits:
            e.image[0][y, x : x + 3] += 2000

    result = cleaned(tmp_path, strike, cosmic_rays=RAYS | {"engine": engine})
    clean_one = cleaned(tmp_path)
    marked = np.array([[result.mask[y, x + i] & CR for i in range(3)] for y, x in hits])
    assert (marked > 0).mean() > 0.95
    struck = (result.mask & CR) > 0
    assert (result.mask[struck] & INTERP).all()
    assert np.abs(np.median((result.image - clean_one.image)[struck])) < 10
    assert result.facts["n_cr"] == struck.sum()


def test_both_engines_find_the_same(tmp_path: Path) -> None:
    one, other = (
        cleaned(tmp_path, cosmic_rays=RAYS | {"engine": engine, "sigclip": 2.0})
        for engine in ("sparse", "astroscrappy")
    )
    assert one.facts["n_cr"] > 0
    assert (one.mask == other.mask).all()
    assert one.image.tobytes() == other.image.tobytes()


def test_pixels_that_are_no_numbers_are_bad_and_stay_where_they_are(tmp_path: Path) -> None:
    def spoil(e: Exposure) -> None:
        e.image[0][50, 60] = np.nan
        e.image[0][51, 60] = np.inf
        e.variance[0][90, 91] = -1
        e.variance[0][90, 92] = np.nan
        e.variance[0][90, 93] = 0

    result = cleaned(tmp_path, spoil)
    reference = cleaned(tmp_path)
    bad = (result.mask & BAD) > 0
    assert set(zip(*np.nonzero(bad), strict=True)) == {
        *((50, 60), (51, 60), (90, 91), (90, 92), (90, 93))
    }
    assert np.isfinite(result.image).all()
    assert np.isfinite(result.variance).all()
    assert (result.variance > 0).all()
    assert result.facts["n_nonfinite"] == 2
    near = np.zeros(SHAPE, bool)
    near[40:62, 50:71] = near[80:101, 81:104] = True
    assert np.abs(result.image - reference.image)[~near].max() < 0.1


def test_bits_of_the_input_are_translated(tmp_path: Path) -> None:
    def spoil(e: Exposure) -> None:
        e.mask[0][20, 30] = 1 << 7
        e.mask[0][21, 30] = 1 << 9
        e.mask[0][22, 30] = 1 << 0
        e.image[0][100:104, 100:104] = 65000.0

    bits = {"BAD": [7, 9], "SAT": None, "INTERP": None, "CR": None, "EDGE": None}
    result = cleaned(tmp_path, spoil, mask_bits=bits)
    assert result.mask[20, 30] & BAD
    assert result.mask[21, 30] & BAD
    assert not result.mask[22, 30] & BAD
    assert (result.mask[100:104, 100:104] & SAT).all()


def blank(e: Exposure) -> None:
    e.image[0][:] = 7


def all_bad(e: Exposure) -> None:
    e.mask[0][:] = 1


def no_variances(e: Exposure) -> None:
    e.variance[0][:] = 0


def weights(e: Exposure) -> None:
    e.variance[0] = 1 / e.variance[0]


def electrons(e: Exposure) -> None:
    e.with_variance = False
    e.image[0] *= GAIN


def subtracted(e: Exposure) -> None:
    e.with_variance = False
    e.image[0] -= SKY


def wrong_gain(e: Exposure) -> None:
    e.header[0]["GAIN"] = 8.0


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (blank, "CCD 1: the image is blank (every pixel is 7); leave this CCD out"),
        (all_bad, "less than 1 % of the pixels are usable"),
        (no_variances, "less than 1 % of the variances are above 0"),
        (weights, "times what the variance plane says; check the units of the two planes"),
        (electrons, "times what gain 2 and read noise 6 make of a sky of"),
        (subtracted, "check gain and units, and that the sky was not subtracted"),
        (wrong_gain, "per count, but gain 8 says 0.125; check the gain and the units"),
    ],
)
def test_what_contradicts_itself_is_refused(
    tmp_path: Path, spoil: Callable[[Exposure], None], words: str
) -> None:
    with pytest.raises(InputError) as error:
        cleaned(tmp_path, spoil)
    assert words in str(error.value)
    assert "v.fits: CCD 1:" in str(error.value)
