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
    covariance = noise.autocovariance(image, np.full_like(image, 9), np.ones(image.shape, bool))
    assert np.abs(covariance - noise.white()).max() < 0.015
    assert np.array_equal(covariance, covariance[::-1, ::-1])


def test_covariance_equals_direct_sums(coadd):
    normalised = coadd.image / np.sqrt(coadd.variance)
    blank = np.random.default_rng(1).random(coadd.image.shape) < 0.6
    covariance = noise.autocovariance(coadd.image, coadd.variance, blank)
    values = np.where(blank & (np.abs(normalised) < 4.5), normalised, np.nan).astype(np.float64)
    mean = np.nanmean(values)
    # Columns within LAG of the sides are left out as the first of a pair.
    for dy, dx in ((0, 1), (2, 3), (3, -2), (5, 5)):
        first = values[: values.shape[0] - dy, noise.LAG : -noise.LAG]
        second = values[dy:, noise.LAG + dx : values.shape[1] - noise.LAG + dx]
        expected = np.nanmean(first * second) - mean**2
        assert covariance[noise.LAG + dy, noise.LAG + dx] == pytest.approx(expected, abs=2e-3)


def test_a_wrong_variance_plane_is_found_out(coadd):
    blank = np.ones(coadd.image.shape, bool)
    right = noise.autocovariance(coadd.image, coadd.variance, blank)
    wrong = noise.autocovariance(coadd.image, coadd.variance / np.float32(1.5), blank)
    assert right[noise.LAG, noise.LAG] == pytest.approx(1, abs=0.02)
    assert wrong[noise.LAG, noise.LAG] == pytest.approx(1.5, abs=0.03)


@pytest.mark.parametrize("shape", [(3, 3), (5, 4), (17, 15)])
def test_kernel_factor_equals_the_double_sum(coadd, shape):
    covariance = noise.autocovariance(coadd.image, coadd.variance, np.ones((420, 420), bool))
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
        covariance = noise.autocovariance(coadd.image, coadd.variance, np.ones((420, 420), bool))
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
    crowded = simulate(faint, (420, 420), visits=4, seed=7, scale=scale)
    empty = sky(scale, 7)
    kernel = moffat_kernel(4.2 / scale, 3.0)
    everywhere = np.ones((420, 420), bool)
    with_sources, without = (
        noise.autocovariance(planes.image, planes.variance, everywhere)
        for planes in (crowded, empty)
    )
    truth = noise.kernel_factor(without, kernel)
    assert noise.kernel_factor(with_sources, kernel) > 1.3 * truth
    cleaned = noise.kernel_factor(noise.without_sources(with_sources, kernel), kernel)
    assert cleaned == pytest.approx(truth, rel=0.12)
    untouched = noise.kernel_factor(noise.without_sources(without, kernel), kernel)
    assert untouched == pytest.approx(truth, rel=0.08)
    assert truth == pytest.approx(empty.white_variance / np.median(empty.variance), rel=0.08)


def test_too_few_pixels_mean_white_noise(coadd):
    blank = np.zeros(coadd.image.shape, bool)
    assert np.array_equal(noise.autocovariance(coadd.image, coadd.variance, blank), noise.white())
    blank[:30, :30] = True
    assert np.array_equal(noise.autocovariance(coadd.image, coadd.variance, blank), noise.white())


def test_nan_outside_the_mask_does_no_harm(coadd):
    image, variance = coadd.image.copy(), coadd.variance.copy()
    blank = np.ones(image.shape, bool)
    blank[:50], blank[100, 100] = False, False
    expected = noise.autocovariance(image, variance, blank)
    image[~blank], variance[~blank] = np.nan, np.nan
    assert np.array_equal(noise.autocovariance(image, variance, blank), expected)
