from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import maximum_filter

from tessera.astro.bits import BAD, CLIPPED, CR, EDGE, FEW, INTERP, NODATA, SAT, UNUSABLE
from tessera.astro.clip import MARGIN, coadd_stack


def stack(image, variance=None, mask=None, weights=None, seeing=None, *,
          clip="varmedian", sigma=3.0, iterations=2):  # fmt: skip
    """Co-add with plain values for what is not given."""
    image = np.asarray(image, np.float32)
    n = image.shape[0]
    return coadd_stack(
        image,
        np.ones_like(image) if variance is None else np.asarray(variance, np.float32),
        np.zeros(image.shape, np.uint8) if mask is None else np.asarray(mask, np.uint8),
        np.ones(n) if weights is None else np.asarray(weights, float),
        np.full(n, 4.0) if seeing is None else np.asarray(seeing, float),
        clip=clip,
        sigma=sigma,
        iterations=iterations,
    )


def messy(rng, n=9, shape=(24, 31)):
    """Noise on a gradient with outliers, clusters of them, flags, holes and NaN."""
    y, x = np.indices(shape)
    image = rng.normal(0, 1, (n, *shape)) + 5 * np.exp(-((y - 9) ** 2 + (x - 12) ** 2) / 9)
    variance = rng.uniform(0.5, 2.0, (n, *shape))
    image[rng.random(image.shape) < 0.02] += 30
    for _ in range(4):
        v, j, i = rng.integers(n), rng.integers(shape[0]), rng.integers(shape[1])
        image[v, j : j + 3, i : i + 3] += 12
    mask = np.zeros(image.shape, np.uint8)
    for bit in (BAD, SAT, CR, EDGE, INTERP):
        mask[rng.random(image.shape) < 0.03] |= bit
    mask[0, :, :9] = NODATA
    mask[1:, :6, :5] |= SAT
    mask[:, 20:, 25:] = NODATA
    image[mask == NODATA] = variance[mask == NODATA] = np.nan
    image[rng.random(image.shape) < 0.01] = np.nan
    return image.astype(np.float32), variance.astype(np.float32), mask


def outliers_about_median(image, variance, good, seeing, sigma, iterations):
    """The definition, pixel by pixel in plain Python: outliers, and those that may be alone."""
    _, height, width = image.shape
    first = np.array(
        [[np.median(image[good[:, y, x], y, x].astype(float)) if good[:, y, x].any() else 0.0
          for x in range(width)] for y in range(height)]
    )  # fmt: skip
    brightest = maximum_filter(np.abs(first), 5, mode="constant")
    out = np.zeros((2, *image.shape), bool)
    for y, x in np.ndindex(height, width):
        left = np.flatnonzero(good[:, y, x])
        known = [v for v in left if seeing[v] > 0]
        peak = np.median(1 / seeing[known] ** 2) if known else np.nan
        for _ in range(iterations):
            if left.size < 3:
                break
            values, noise = image[left, y, x].astype(float), variance[left, y, x].astype(float)
            spread = np.pi / 2 * left.size / np.sum(1 / np.sqrt(noise)) ** 2
            ratio = 1 / seeing[left] ** 2 / peak
            excess = np.maximum(ratio, 1 / ratio) - 1
            tolerated = np.where(np.isnan(excess), 0.3, 0.15 + excess) * brightest[y, x]
            excess = np.abs(values - np.median(values)) - tolerated
            far = excess > sigma * np.sqrt(noise + spread)
            if far.all() or not far.any():
                break
            out[0, left[far], y, x] = True
            out[1, left[excess > 4 / 3 * sigma * np.sqrt(noise + spread)], y, x] = True
            left = left[~far]
    return out


def around_clusters(out):
    """What is within 5 pixels of an outlier that has two others next to it."""
    found = np.zeros(out.shape, bool)
    j, i = np.indices(out.shape[1:])
    for v, y, x in np.argwhere(out):
        if out[v, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].sum() >= 3:
            found[v] |= (j - y) ** 2 + (i - x) ** 2 <= 30
    return found


@pytest.mark.parametrize(("n", "seed"), [(3, 0), (4, 1), (9, 2), (40, 3)])
def test_varmedian_equals_its_definition(n, seed):
    rng = np.random.default_rng(seed)
    image, variance, mask = messy(rng, n)
    weights = rng.uniform(0.5, 2, n)
    seeing = rng.uniform(3, 5, n)
    seeing[n // 2] = np.nan
    good = (mask & UNUSABLE == 0) & np.isfinite(image) & np.isfinite(variance)
    far, farther = outliers_about_median(image, variance, good, seeing, 3.0, 3)
    out = farther | (far & around_clusters(far))
    around = around_clusters(far) & good & ~out
    assert out.sum() > 10
    assert n == 3 or around.sum() > 10
    kept = good & ~out & ~around
    kept |= around & ~kept.any(axis=0)
    result = stack(image, variance, mask, weights, seeing, iterations=3)
    any_good = kept.any(axis=0)
    w = weights[:, None, None] * kept
    with np.errstate(invalid="ignore"):
        expected = np.nansum(w * image, axis=0) / w.sum(axis=0)
        spread = np.nansum(w**2 * variance, axis=0) / w.sum(axis=0) ** 2
    np.testing.assert_array_equal(result[3], kept.sum(axis=0))
    np.testing.assert_allclose(result[0][any_good], expected[any_good], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(result[1][any_good], spread[any_good], rtol=1e-5)
    np.testing.assert_array_equal(result[2] & CLIPPED > 0, (out | around).any(axis=0))
    covered = (mask & NODATA == 0).any(axis=0) & np.isfinite(result[0])
    np.testing.assert_array_equal(result[2] & FEW > 0, (good.sum(axis=0) < 3) & covered)
    sat = ((mask & SAT > 0) & (mask & NODATA == 0)).any(axis=0)
    np.testing.assert_array_equal(result[2][any_good] & SAT > 0, sat[any_good])
    interp = ((mask & INTERP > 0) & kept).any(axis=0)
    np.testing.assert_array_equal(result[2][any_good] & INTERP > 0, interp[any_good])
    assert not (result[2][any_good] & (BAD | CR | EDGE | NODATA)).any()


@pytest.mark.parametrize(("n", "iterations"), [(2, 2), (10, 5), (14, 1), (14, 5), (60, 3)])
def test_mean_is_the_published_protocol(n, iterations):
    rng = np.random.default_rng(n)
    image, variance, mask = messy(rng, n)
    good = (mask & UNUSABLE == 0) & np.isfinite(image) & np.isfinite(variance)
    values = np.where(good, image.astype(float), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for _ in range(iterations):
            centre, scatter = np.nanmean(values, axis=0), np.nanstd(values, axis=0, ddof=1)
            values[np.abs(values - centre) > 3 * scatter] = np.nan
        expected = np.nanmean(values, axis=0)
    result = stack(image, variance, mask, clip="mean", iterations=iterations)
    count = np.isfinite(values).sum(axis=0)
    np.testing.assert_array_equal(result[3], count)
    np.testing.assert_allclose(result[0][count > 0], expected[count > 0], rtol=1e-5, atol=1e-6)
    if n <= 10:
        assert (count == good.sum(axis=0)).all()
        assert not (result[2] & CLIPPED).any()
    else:
        assert (result[2] & CLIPPED).any()


@pytest.mark.parametrize("clip", ["none", "mean", "varmedian"])
@pytest.mark.parametrize("n", [1, 2])
def test_one_or_two_visits_are_averaged_and_marked(clip, n):
    image = np.arange(n * 12, dtype=float).reshape(n, 3, 4) * 100
    weights = np.array([1.0, 3.0])[:n]
    result = stack(image, weights=weights, clip=clip)
    np.testing.assert_allclose(result[0], np.average(image, axis=0, weights=weights), rtol=1e-6)
    np.testing.assert_allclose(result[1], (weights**2).sum() / weights.sum() ** 2)
    assert (result[2] == FEW).all()
    assert (result[3] == n).all()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_tile_with_its_margin_gives_the_same_bytes(data):
    """Also with a visit more that sees nothing of it, and with planes that are views."""
    n = data.draw(st.integers(1, 7), label="n")
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000), label="seed"))
    image, variance, mask = messy(rng, n, (60, 70)) if n > 1 else messy(rng, 2, (60, 70))
    image, variance, mask = image[:n], variance[:n], mask[:n]
    clip = data.draw(st.sampled_from(["varmedian", "mean"]))
    weights, seeing = rng.uniform(1, 2, n), rng.uniform(3, 5, n)
    whole = stack(image, variance, mask, weights, seeing, clip=clip, sigma=2.0)
    y0, x0 = data.draw(st.integers(0, 59)), data.draw(st.integers(0, 69))
    y1, x1 = data.draw(st.integers(y0 + 1, 60)), data.draw(st.integers(x0 + 1, 70))
    top, left = max(0, y0 - MARGIN), max(0, x0 - MARGIN)
    cut = (slice(None), slice(top, y1 + MARGIN), slice(left, x1 + MARGIN))
    planes = [plane[cut] for plane in (image, variance, mask)]
    if data.draw(st.booleans(), label="another visit"):
        at = data.draw(st.integers(0, n))
        for k, blank in enumerate((np.nan, np.nan, NODATA)):
            planes[k] = np.insert(planes[k], at, np.asarray(blank, planes[k].dtype), axis=0)
        weights, seeing = np.insert(weights, at, 1.5), np.insert(seeing, at, 2.0)
    part = stack(*planes, weights, seeing, clip=clip, sigma=2.0)
    inner = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
    for ours, theirs in zip(part, whole, strict=True):
        assert ours[inner].tobytes() == theirs[y0:y1, x0:x1].tobytes()


def profile(kind, fwhm, y, x, half=25):
    """A star of unit flux at (y, x) from the middle, averaged over 5 x 5 points per pixel."""
    grid = (np.arange(-half * 5 - 2, half * 5 + 3)) / 5
    square = (grid[:, None] - y) ** 2 + (grid[None, :] - x) ** 2
    if kind == "gauss":
        sigma = fwhm / 2.3548
        density = np.exp(-square / (2 * sigma**2)) / (2 * np.pi * sigma**2)
    else:
        alpha = fwhm / 2 / np.sqrt(2 ** (1 / 3) - 1)
        density = 2 / (np.pi * alpha**2) * (1 + square / alpha**2) ** -3
    size = 2 * half + 1
    return density.reshape(size, 5, size, 5).mean(axis=(1, 3))


@pytest.mark.parametrize("n", [3, 6, 10])
@pytest.mark.parametrize("fwhm", [1.8, 3.0, 6.0])
@pytest.mark.parametrize("kind", ["gauss", "moffat"])
def test_stars_in_changing_seeing_keep_their_flux(kind, fwhm, n):
    """The noise of the sky alone, so that the variance does not excuse a bright core."""
    rng = np.random.default_rng(8)
    for snr in (1e2, 1e3, 1e4):
        seeing = fwhm * (1 + rng.uniform(-0.3, 0.3, n))
        seeing[:2] = 1.3 * fwhm, 0.7 * fwhm
        flux = snr * np.sqrt(4 * np.pi / n) * fwhm / 2.3548
        place = rng.uniform(-0.5, 0.5, 2)
        stars = np.array([flux * profile(kind, each, *place) for each in seeing])
        image = stars + rng.normal(0, 1, stars.shape)
        lost = stack(image, seeing=seeing)[0] - stack(image, clip="none")[0]
        near = np.hypot(*np.mgrid[-25:26, -25:26]) < 3 * fwhm
        # Clipped noise within the circle is not a bias: a few samples beyond three sigma.
        noise = 3.5 * 4 / n
        assert abs(lost[near].sum()) < 0.92e-3 * flux + noise


def visits(rng, n, half=30):
    """Blank sky whose noise is that of resampled visits: correlated, 0.8 of the variance."""
    white = rng.normal(0, 1, (n, 2 * half + 2, 2 * half + 2))
    image = 0.25 * (white[:, 1:, 1:] + white[:, :-1, 1:] + white[:, 1:, :-1] + white[:, :-1, :-1])
    return image * 2


@pytest.mark.parametrize("n", [3, 4, 10])
@pytest.mark.parametrize("kind", ["gauss", "moffat", "track"])
@pytest.mark.parametrize("peak", [10, 100, 10_000])
def test_what_is_in_one_visit_leaves_nothing(kind, peak, n):
    """Transients and trails: what is left is no more than the noise of an aperture of 8 pixels."""
    rng = np.random.default_rng(1)
    left, highest = [], []
    for _ in range(8):
        if kind == "track":
            seen = np.zeros((61, 61))
            along = np.linspace(-12, 12, 200)
            angle = rng.uniform(0, np.pi)
            y, x = 30 + along * np.sin(angle), 30 + along * np.cos(angle)
            seen[np.round(y).astype(int), np.round(x).astype(int)] = peak
            seen[1:] += 0.1 * seen[:-1]
        else:
            seen = profile(kind, 4.0, *rng.uniform(-0.5, 0.5, 2), half=30)
            seen *= peak / seen.max()
        clean = visits(rng, n)
        dirty = clean.copy()
        dirty[n // 2] += seen
        rest = stack(dirty)[0] - stack(clean)[0]
        near = np.hypot(*np.mgrid[-30:31, -30:31]) < 15
        left.append(rest[near].sum())
        highest.append(np.abs(rest).max())
    aperture_noise = np.sqrt(np.pi) * 8 * 2 / np.sqrt(n)
    assert abs(np.mean(left)) < aperture_noise
    assert max(highest) < 5 / np.sqrt(n) * 3 / 2


@pytest.mark.parametrize("n", [3, 4, 12, 40])
def test_clipping_costs_no_noise(n):
    image = np.random.default_rng(n).normal(0, 1, (n, 300, 300))
    clipped, plain = stack(image)[0], stack(image, clip="none")[0]
    assert plain.std() <= clipped.std() < 1.002 * plain.std()
    assert abs(clipped.mean(dtype=float) - plain.mean(dtype=float)) < 2e-4


def test_two_camps_are_left_alone():
    """Half of the samples far from the other half: the median lies between, all would go."""
    image = np.zeros((4, 5, 5))
    image[2:] = 1000
    result = stack(image)
    np.testing.assert_allclose(result[0], 500)
    assert (result[3] == 4).all()


def test_an_outlier_in_three_visits_is_found():
    image = np.zeros((3, 9, 9))
    image[1, 4, 4] = 50
    result = stack(image)
    assert result[0][4, 4] == 0
    assert result[3][4, 4] == 2
    assert result[2][4, 4] == CLIPPED
    assert (np.delete(result[2].ravel(), 40) == 0).all()


def test_a_core_that_is_saturated_everywhere_has_a_value():
    image = np.full((3, 4, 4), 7.0)
    image[:, 1, 1] = 100, 200, np.nan
    image[:, 2, 2] = np.nan
    mask = np.zeros(image.shape, np.uint8)
    mask[:, 1, 1] = SAT, SAT | INTERP, BAD
    mask[:, 2, 2] = BAD
    mask[:, 3, 3] = NODATA
    mask[0, 0, 0] = SAT
    result = stack(image, 2 * np.ones(image.shape), mask, weights=[1, 3, 1])
    assert result[0][1, 1] == 175
    assert result[1][1, 1] == pytest.approx((1 + 9) * 2 / 16)
    assert result[2][1, 1] == SAT | INTERP | FEW
    assert result[3][1, 1] == 0
    for place in ((2, 2), (3, 3)):
        assert np.isnan(result[0][place])
        assert np.isnan(result[1][place])
        assert result[2][place] == NODATA
        assert result[3][place] == 0
    assert result[0][0, 0] == 7
    assert result[2][0, 0] == SAT | FEW


def test_a_thousand_visits():
    rng = np.random.default_rng(0)
    image = rng.normal(10, 1, (1000, 1, 2))  # too small for a cluster
    image[rng.random(image.shape) < 0.1] += 500
    result = stack(image, seeing=np.full(1000, np.nan))
    assert np.abs(result[0] - 10).max() < 0.2
    assert (np.abs(result[3] - 900) < 40).all()


def test_what_does_not_fit_is_refused():
    image = np.zeros((3, 4, 4))
    with pytest.raises(ValueError, match="differ"):
        stack(image, variance=np.zeros((3, 4, 5)))
    with pytest.raises(ValueError, match="weights"):
        stack(image, weights=[1, 0, 1])
    with pytest.raises(ValueError, match="3 visits"):
        stack(image, weights=[1, 1])
    with pytest.raises(ValueError, match="method"):
        stack(image, clip="median")
    with pytest.raises(ValueError, match="stack of shape"):
        stack(np.zeros((0, 4, 4)))


@pytest.mark.parametrize("bit", [BAD, CR, EDGE, SAT])
def test_only_saturated_pixels_are_made_do_with(bit):
    mask = np.full((4, 5, 5), bit, np.uint8)
    image, variance, bits, nimage = stack(np.full((4, 5, 5), 7.0), mask=mask)
    assert (nimage == 0).all()
    if bit == SAT:
        assert (image == 7).all()
        assert (bits & SAT).all()
    else:
        assert np.isnan(image).all()
        assert np.isnan(variance).all()
        assert (bits == NODATA).all()
