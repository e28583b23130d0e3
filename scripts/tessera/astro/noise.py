"""The noise of a resampled image: the correlation of neighbouring pixels, and what follows from it.

Resampling makes every output pixel a weighted sum of inputs that its neighbours share. A variance
plane propagated through it (sum of w² V) is right for one pixel and too small for a sum of pixels
(Casertano et al. 2000, AJ 120, 2747, for drizzling; Labbé et al. 2003, AJ 125, 1107, from empty
apertures): by a quarter for Lanczos-3 at unit scale, by more where pixels become smaller. With the
covariance c(d) of the *normalised* sky, image / sqrt(variance), at a lag of d pixels,

    Var(sum w I) = F * sum w² V,     F = sum_d c(d) (w*w)(d) / sum w²,

where w*w is the autocorrelation of the weights. c(0) is 1 where the variance plane is right; being
measured too, it corrects that plane.
"""

from __future__ import annotations

import numba as nb
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

LAG = 6
"""Greatest lag of the covariance, pixels. The Lanczos-3 kernel spans six pixels, so white noise
resampled to a similar scale has none beyond five."""

_FAR = tuple(
    (dy, dx)
    for dy in range(0, 15, 3)
    for dx in range(-14, 15, 4)
    if 9.5 < np.hypot(dy, dx) < 15 and (dy > 0 or dx > 0)
)
"""Lags at which neither resampling nor a point-spread function of five pixels correlates pixels:
what is left there is an uneven sky."""

_CLIP = 4.5
"""Normalised pixels farther than this from zero are left out: what the mask of sources missed."""

_ENOUGH = 1_500_000
"""Pixels that tell a covariance to 0.001; of more only some rows are taken."""

_LEAST = 2000
"""Pairs of blank pixels below which a lag's covariance says too little: white noise is assumed."""


@nb.njit(nogil=True, cache=True)
def _lagged_sums(
    normalised: Image, lags: npt.NDArray[np.int64], step: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Sum z(p) z(p + d) over the pairs that are both finite, for each lag (dy >= 0, dx).

    Only every `step`-th row is taken for p.
    """
    height, width = normalised.shape
    sums = np.zeros(len(lags))
    counts = np.zeros(len(lags), np.int64)
    for y in range(0, height, step):
        for k in range(len(lags)):
            dy, dx = lags[k]
            if y + dy >= height:
                continue
            total, count = 0.0, 0
            for x in range(max(0, -dx), min(width, width - dx)):
                product = normalised[y, x] * normalised[y + dy, x + dx]
                if not np.isnan(product):
                    total += product
                    count += 1
            sums[k] += total
            counts[k] += count
    return sums, counts


def white() -> Floats:
    """Return the covariance of white noise of unit variance, (2 LAG + 1, 2 LAG + 1)."""
    result = np.zeros((2 * LAG + 1, 2 * LAG + 1))
    result[LAG, LAG] = 1.0
    return result


def autocovariance(image: Image, variance: Image, blank: Mask) -> tuple[Floats, float]:
    """Measure the covariance of the normalised sky at small lags.

    Parameters
    ----------
    image
        (Y, X) sky-subtracted image.
    variance
        (Y, X) its per-pixel variance.
    blank
        (Y, X) bool: pixels with data and without sources.

    Returns
    -------
    covariance
        (2 LAG + 1, 2 LAG + 1) float64, symmetric about its centre, lag (dy, dx) at
        ``[LAG + dy, LAG + dx]``, without what follows.
    unevenness
        The covariance at lags of 10 to 15 pixels, not below 0: of a sky that was not taken off
        evenly, the same for all pixels of a source.

    White noise of unit variance (1 at the centre, 0 elsewhere) and 0 if there are too few blank
    pixels to tell.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        normalised = np.sqrt(variance)
        np.divide(image, normalised, out=normalised)
        normalised[~(blank & (normalised > -_CLIP) & (normalised < _CLIP))] = np.nan
    near = [(0, dx) for dx in range(LAG + 1)]
    near += [(dy, dx) for dy in range(1, LAG + 1) for dx in range(-LAG, LAG + 1)]
    step = -(-normalised.size // _ENOUGH)
    sums, counts = _lagged_sums(normalised, np.array([*near, *_FAR]), step)
    result = white()
    if counts.min() < _LEAST:
        return result, 0.0
    mean = np.mean(normalised, dtype=np.float64, where=np.isfinite(normalised))
    values = sums / counts - mean**2
    unevenness = max(float(np.median(values[len(near) :])), 0.0)
    for (dy, dx), value in zip(near, values, strict=False):
        result[LAG + dy, LAG + dx] = result[LAG - dy, LAG - dx] = value - unevenness
    return result, unevenness


def without_sources(covariance: Floats, kernel: npt.NDArray[np.floating]) -> Floats:
    """Take the fluctuations of sources too faint to be masked out of a measured covariance.

    They add a multiple of the point-spread function's autocorrelation, in the power spectrum a
    multiple of its squared transform, which is confined to low frequencies. The spectrum of
    resampled white noise is smooth there: even polynomials of degree 4 describe it out to 0.3
    cycles per pixel. The two are told apart by a least-squares fit to the azimuthal average.

    Parameters
    ----------
    covariance
        As of `autocovariance`.
    kernel
        (K, K) point-spread function.

    Returns
    -------
    (2 LAG + 1, 2 LAG + 1) covariance of the noise alone. That of sources is never negative.
    """
    kernel = np.asarray(kernel, np.float64)
    sources = np.zeros_like(covariance)
    full = _autocorrelation(kernel)
    centre = kernel.shape[0] - 1
    reach = min(LAG, centre)
    near = slice(LAG - reach, LAG + reach + 1)
    cut = slice(centre - reach, centre + reach + 1)
    sources[near, near] = full[cut, cut] / full[centre, centre]

    frequency = np.arange(1, 31) / 100.0
    angle = np.arange(24) * np.pi / 24
    y, x = np.mgrid[-LAG : LAG + 1, -LAG : LAG + 1]
    phase = np.cos(angle)[:, None, None] * x + np.sin(angle)[:, None, None] * y
    waves = np.cos(2 * np.pi * frequency[:, None, None, None] * phase).mean(axis=1)
    measured = np.tensordot(waves, covariance, axes=2)
    shape = np.tensordot(waves, sources, axes=2)
    basis = np.stack([np.ones_like(frequency), frequency**2, frequency**4, shape], axis=1)
    # A ring of the spectrum holds as many independent modes as it is long.
    root = np.sqrt(frequency)
    fit = np.linalg.lstsq(basis * root[:, None], measured * root, rcond=None)[0]
    return covariance - max(float(fit[-1]), 0.0) * sources


def _autocorrelation(weights: npt.NDArray[np.floating]) -> Floats:
    """Return the sums of products at all lags, (2 H - 1, 2 W - 1), lag 0 in the middle."""
    height, width = weights.shape
    size = 2 * height - 1, 2 * width - 1
    lags = np.fft.irfft2(np.abs(np.fft.rfft2(weights, size)) ** 2, size)
    return np.roll(lags, (height - 1, width - 1), (0, 1))


def kernel_factor(covariance: Floats, weights: npt.NDArray[np.floating]) -> float:
    """Return F, the true variance of a weighted sum over the naive sum of w² V.

    Parameters
    ----------
    covariance
        As of `autocovariance`.
    weights
        (H, W) weights of the sum, any size.
    """
    weights = np.asarray(weights, np.float64)
    full = _autocorrelation(weights)
    cy, cx = weights.shape[0] - 1, weights.shape[1] - 1
    ry, rx = min(LAG, cy), min(LAG, cx)
    near = full[cy - ry : cy + ry + 1, cx - rx : cx + rx + 1]
    lags = covariance[LAG - ry : LAG + ry + 1, LAG - rx : LAG + rx + 1]
    return max(float((near * lags).sum() / full[cy, cx]), 0.1)


def aperture_factors(covariance: Floats, inner: Floats, outer: Floats) -> Floats:
    """Return F of circular apertures and annuli.

    The naive variance of an aperture is the sum of overlap times V, as `sep` gives it, not of
    overlap² times V; F is relative to that.

    Parameters
    ----------
    covariance
        As of `autocovariance`.
    inner, outer
        (N,) radii in pixels; `inner` is 0 for an aperture.

    Returns
    -------
    (N,) float64.
    """
    result = np.empty(len(outer))
    for k, (low, high) in enumerate(zip(inner, outer, strict=True)):
        weights = _disc(high) - _disc(low, int(np.ceil(high)) + 1)
        result[k] = kernel_factor(covariance, weights) * (weights**2).sum() / weights.sum()
    return result


def _disc(radius: float, half: int | None = None) -> Floats:
    """Return the overlap of pixels with a centred circle, from 11 x 11 points per pixel."""
    half = int(np.ceil(radius)) + 1 if half is None else half
    points = (np.arange((2 * half + 1) * 11) + 0.5) / 11 - 0.5 - half
    inside = points[:, None] ** 2 + points[None, :] ** 2 < radius**2
    size = 2 * half + 1
    overlap: Floats = inside.reshape(size, 11, size, 11).mean(axis=(1, 3))
    return overlap
