from __future__ import annotations

import numpy as np
import pytest
import sep

from coadds import grid, simulate
from tessera.astro import noise
from tessera.astro.detect import moffat_kernel


def sky(scale: float = 1.0, seed: int = 1, visits: int = 4):
    return simulate(grid(420, 1000, 0, [5.0]), (420, 420), visits=visits, seed=seed, scale=scale)


def brute_force(covariance: np.ndarray, weights: np.ndarray) -> float:
    total = 0.0
    cells = list(np.ndindex(*weights.shape))
    for a in cells:
        for b in cells:
            dy, dx = b[0] - a[0], b[1] - a[1]
            if max(abs(dy), abs(dx)) <= noise.LAG:
                total += weights[a] * weights[b] * covariance[noise.LAG + dy, noise.LAG + dx]
    return total / np.square(weights).sum()


@pytest.fixture(scope="module")
def coadd():
    return sky()


def test_white_noise_has_no_covariance():
    image = np.random.default_rng(0).normal(0, 3, (400, 400)).astype(np.float32)
    covariance, _ = noise.autocovariance(image, np.full_like(image, 9), np.ones(image.shape, bool))
    assert np.abs(covariance - noise.white()).max() < 0.015
    assert np.array_equal(covariance, covariance[::-1, ::-1])


def test_covariance_equals_direct_sums(coadd):
    normalised = coadd.image / np.sqrt(coadd.variance)
    blank = np.random.default_rng(1).random(coadd.image.shape) < 0.6
    covariance, uneven = noise.autocovariance(coadd.image, coadd.variance, blank)
    values = np.where(blank & (np.abs(normalised) < 4.5), normalised, np.nan).astype(np.float64)
    mean = np.nanmean(values)
    height, width = values.shape
    for dy, dx in ((0, 0), (0, 1), (2, 3), (3, -2), (6, 6)):
        first = values[: height - dy, max(0, -dx) : width - max(0, dx)]
        second = values[dy:, max(0, dx) : width - max(0, -dx)]
        expected = np.nanmean(first * second) - mean**2 - uneven
        for sign in (1, -1):
            found = covariance[noise.LAG + sign * dy, noise.LAG + sign * dx]
            assert found == pytest.approx(expected, abs=1e-6)


def test_a_wrong_variance_plane_is_found_out(coadd):
    blank = np.ones(coadd.image.shape, bool)
    right, _ = noise.autocovariance(coadd.image, coadd.variance, blank)
    wrong, _ = noise.autocovariance(coadd.image, coadd.variance / np.float32(1.5), blank)
    assert right[noise.LAG, noise.LAG] == pytest.approx(1, abs=0.02)
    assert wrong[noise.LAG, noise.LAG] == pytest.approx(1.5, abs=0.03)


@pytest.mark.parametrize("shape", [(3, 3), (5, 4), (17, 15)])
def test_kernel_factor_equals_the_double_sum(coadd, shape):
    covariance, _ = noise.autocovariance(coadd.image, coadd.variance, np.ones((420, 420), bool))
    weights = np.random.default_rng(3).random(shape)
    assert noise.kernel_factor(covariance, weights) == pytest.approx(
        brute_force(covariance, weights), rel=1e-9
    )


@pytest.mark.parametrize("scale", [1.0, 0.74])
def test_factors_predict_the_scatter_of_apertures(scale):
    """What is predicted from lags of a few pixels is what sums over hundreds of pixels show."""
    radii = np.array([1.5, 3.0, 6.0])
    pulls = [[], [], []]
    factors = []
    for seed in range(3):
        coadd = sky(scale, seed)
        covariance, _ = noise.autocovariance(coadd.image, coadd.variance, np.ones((420, 420), bool))
        factors.append(noise.aperture_factors(covariance, np.zeros(3), radii))
        y, x = (part.ravel().astype(float) for part in np.mgrid[12:400:14, 12:400:14])
        for k, radius in enumerate(radii):
            total, error, _ = sep.sum_circle(
                coadd.image, x, y, radius, var=coadd.variance, subpix=0
            )
            pulls[k].append(total / error)
    measured = np.array([np.var(np.concatenate(pull)) for pull in pulls])
    # 2300 apertures each tell the variance to 3 %.
    np.testing.assert_allclose(np.mean(factors, axis=0), measured, rtol=0.1)
    assert measured[-1] > (1.15 if scale == 1 else 2.0)


@pytest.mark.parametrize("scale", [1.0, 0.74])
def test_undetected_sources_are_taken_out(scale):
    """A field of sources below the limit has the noise of an empty one."""
    faint = grid(420, 12, 5, [1.0, 2.0, 3.0])
    faint[["x", "y"]] = np.random.default_rng(6).uniform(0, 420, (len(faint), 2))
    crowded = simulate(faint, (420, 420), visits=4, seed=7, scale=scale)
    empty = sky(scale, 7)
    kernel = moffat_kernel(4.2 / scale, 3.0)
    everywhere = np.ones((420, 420), bool)
    with_sources, without = (
        noise.autocovariance(planes.image, planes.variance, everywhere)[0]
        for planes in (crowded, empty)
    )
    truth = noise.kernel_factor(without, kernel)
    assert noise.kernel_factor(with_sources, kernel) > 1.3 * truth
    cleaned = noise.kernel_factor(noise.without_sources(with_sources, kernel), kernel)
    assert cleaned == pytest.approx(truth, rel=0.12)
    untouched = noise.kernel_factor(noise.without_sources(without, kernel), kernel)
    assert untouched == pytest.approx(truth, rel=0.08)
    assert truth == pytest.approx(empty.white_variance / np.median(empty.variance), rel=0.08)


def test_an_uneven_sky_is_told_from_noise(coadd):
    blank = np.ones(coadd.image.shape, bool)
    even, none = noise.autocovariance(coadd.image, coadd.variance, blank)
    assert none < 5e-4
    y, x = np.indices(coadd.image.shape)
    wave = 0.1 * np.sqrt(2 * coadd.variance) * np.sin(0.06 * x + 0.03 * y)
    found, uneven = noise.autocovariance((coadd.image + wave).astype("f4"), coadd.variance, blank)
    # At 12 pixels such a wave has lost a part of its variance of 0.01.
    assert 0.005 < uneven < 0.01
    factors = [noise.kernel_factor(part, np.ones((7, 7))) for part in (even, found)]
    assert factors[1] == pytest.approx(factors[0], rel=0.12)


def test_too_few_pixels_mean_white_noise(coadd):
    blank = np.zeros(coadd.image.shape, bool)
    covariance, uneven = noise.autocovariance(coadd.image, coadd.variance, blank)
    assert np.array_equal(covariance, noise.white())
    assert uneven == 0
    blank[:30, :30] = True
    covariance, _ = noise.autocovariance(coadd.image, coadd.variance, blank)
    assert np.array_equal(covariance, noise.white())


def test_nan_outside_the_mask_does_no_harm(coadd):
    image, variance = coadd.image.copy(), coadd.variance.copy()
    blank = np.ones(image.shape, bool)
    blank[:50], blank[100, 100] = False, False
    expected, uneven = noise.autocovariance(image, variance, blank)
    image[~blank], variance[~blank] = np.nan, np.nan
    again = noise.autocovariance(image, variance, blank)
    assert np.array_equal(again[0], expected)
    assert again[1] == uneven
