"""Positions, shapes and fluxes of detected sources on a co-add.

Circular and Kron apertures are those of `sep` (Barbary 2016; SExtractor's definitions), but all of
a source are summed in one walk over its pixels, and two things differ. An aperture is summed ring
by ring, so that a pixel lost to a neighbour or to missing data is replaced by the mean of its ring,
not of the whole aperture. And the error is multiplied by what correlated noise adds
(`tessera.astro.noise`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt
import sep

from tessera.astro.noise import aperture_factors
from tessera.astro.rings import half_light_radius, sum_rings

Image = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Bits = npt.NDArray[np.uint8]
Segments = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Field:
    """One patch, ready to be measured.

    Attributes
    ----------
    image, variance
        (Y, X) float32, background subtracted; finite everywhere.
    bad
        (Y, X) bool: no data.
    segments
        (Y, X) int32, source n has n + 1.
    covariance
        Of the normalised sky, see `tessera.astro.noise.autocovariance`.
    sky_variance
        Variance that the pixels of a source have in common: of the sky that was subtracted.
    """

    image: Image
    variance: Image
    bad: Mask
    segments: Segments
    covariance: Floats
    sky_variance: float


CENTROID_HEIGHT = 30.0
"""Peak of the filtered image from which a windowed centroid is better than the peak's position."""


def centres(
    field: Field, x: Floats, y: Floats, height: Floats, fwhm: float
) -> tuple[Floats, Floats, Flags]:
    """Refine the positions of bright sources by the windowed centroid (XWIN_IMAGE of SExtractor).

    Parameters
    ----------
    field
        The patch.
    x, y
        (N,) positions of the peaks of the filtered image, pixels.
    height
        (N,) their heights. Below CENTROID_HEIGHT the peak stands: the centroid is noisier, and at
        the detection limit wanders off.
    fwhm
        Of a point source, pixels.

    Returns
    -------
    x, y and whether the position is what it should be: the peak also stands where the centroid left
    it by more than half the FWHM.
    """
    x, y, found = x.copy(), y.copy(), np.ones(len(x), bool)
    bright = np.flatnonzero(height >= CENTROID_HEIGHT)
    new_x, new_y, _flag = sep.winpos(
        field.image, x[bright], y[bright], fwhm / 2.3548, mask=field.bad
    )
    near = np.hypot(new_x - x[bright], new_y - y[bright]) <= 0.5 * fwhm  # False for NaN
    found[bright] = near
    x[bright[near]], y[bright[near]] = new_x[near], new_y[near]
    return x, y, found


def circles(field: Field, x: Floats, y: Floats, radii: Floats) -> tuple[Floats, Floats]:
    """Measure circular apertures.

    Parameters
    ----------
    field
        The patch.
    x, y
        (N,) centres.
    radii
        (K,) increasing, pixels.

    Returns
    -------
    (N, K) fluxes and their variances, with correlated noise and the error of the background. NaN
    where a whole ring has no data.

    Raises
    ------
    ValueError
        If the radii do not increase.
    """
    if (np.diff(radii) < 0).any():
        raise ValueError("the radii of the apertures must increase")
    one = np.ones(len(x))
    flux, naive = _rings(field, x, y, (one, one, 0 * one), radii * one[:, None], True)
    factors = aperture_factors(field.covariance, np.zeros(len(radii)), radii)
    sky = field.sky_variance * (np.pi * radii**2) ** 2
    return np.cumsum(flux, axis=1), np.cumsum(naive, axis=1) * factors + sky


def _rings(
    field: Field,
    x: Floats,
    y: Floats,
    ellipse: tuple[Floats, Floats, Floats],
    radii: Floats,
    exact: bool,
) -> tuple[Floats, Floats]:
    """Return (N, K) sums of image and variance ring by ring; `radii` are in units of a and b.

    Lost pixels are replaced; NaN without any others. Those that an ellipse cuts count by their
    overlap if `exact`, which must be a circle, or else by 5 x 5 points.
    """
    a, b, theta = ellipse
    cos, sin = np.cos(theta), np.sin(theta)
    # An ellipse is where xx dx² + yy dy² + xy dx dy is the square of its radius; the box around it.
    form = np.stack(
        [
            (cos / a) ** 2 + (sin / b) ** 2,
            (sin / a) ** 2 + (cos / b) ** 2,
            2 * cos * sin * (1 / a**2 - 1 / b**2),
            b,
            np.hypot(a * cos, b * sin),
            np.hypot(a * sin, b * cos),
        ],
        axis=1,
    )
    flux, naive = np.zeros(radii.shape), np.zeros(radii.shape)
    planes = field.image, field.variance, field.bad, field.segments
    sum_rings(*planes, x, y, form, radii, exact, flux, naive)
    return flux, naive


@dataclass(frozen=True)
class Kron:
    """Kron photometry: (N,) arrays.

    Attributes
    ----------
    flux, variance
        Within the ellipse; NaN where it has no data.
    factor
        The ellipse's semi-axes in units of a and b.
    fallback
        The Kron radius could not be measured; the least factor stands.
    """

    flux: Floats
    variance: Floats
    factor: Floats
    fallback: Flags


KRON_LEAST = 3.5
"""Least semi-axis of the Kron ellipse in units of a (SExtractor's PHOT_AUTOPARAMS)."""


def kron(
    field: Field, x: Floats, y: Floats, a: Floats, b: Floats, theta: Floats, multiple: float
) -> Kron:
    """Measure elliptical apertures of `multiple` times the Kron (1980) radius.

    Parameters
    ----------
    field
        The patch.
    x, y, a, b, theta
        (N,) ellipses of second moments; pixels, radians from x towards y.
    multiple
        Of the first-moment radius, 2.5 in SExtractor.
    """
    number = np.arange(1, len(x) + 1)
    shape = {"mask": field.bad, "segmap": field.segments, "seg_id": number}
    radius, _flag = sep.kron_radius(field.image, x, y, a, b, theta, 6.0, **shape)
    fallback = ~(np.isfinite(radius) & (radius > 0))
    # Noise can make the first moment any number; the ellipse it was measured in is the most.
    factor = np.where(fallback, KRON_LEAST, np.clip(radius * multiple, KRON_LEAST, 6.0 * multiple))
    # Three rings, so that what stands in for lost pixels is taken from nearby.
    radii = factor[:, None] * np.array([0.5, 0.75, 1.0])
    flux, naive = _rings(field, x, y, (a, b, theta), radii, False)
    mean_radius = factor * np.sqrt(a * b)
    table = np.geomspace(1.0, 60.0, 16)
    factors = np.interp(mean_radius, table, aperture_factors(field.covariance, np.zeros(16), table))
    sky = field.sky_variance * (np.pi * mean_radius**2) ** 2
    return Kron(flux.sum(axis=1), naive.sum(axis=1) * factors + sky, factor, fallback)


def half_light(field: Field, x: Floats, y: Floats, limit: float, flux: Floats) -> Floats:
    """Return the radius that holds half of `flux`, pixels; NaN where there is none.

    Parameters
    ----------
    field
        The patch.
    x, y
        (N,) centres.
    limit
        Greatest radius, pixels.
    flux
        (N,) total flux.
    """
    return half_light_radius(field.image, field.bad, field.segments, x, y, limit, flux)


@nb.njit(nogil=True, cache=True)
def moments(image: Image, segments: Segments, x: Floats, y: Floats) -> Floats:
    """Return second moments of the isophotes on the unfiltered image.

    Parameters
    ----------
    image
        (Y, X) float32.
    segments
        (Y, X) int32, source n has n + 1.
    x, y
        (N,) centres about which the moments are taken.

    Returns
    -------
    (N, 4) float64: sum I, and sum I dx², I dy², I dx dy over it.
    """
    sums = np.zeros((x.size, 4))
    for j in range(image.shape[0]):
        for i in range(image.shape[1]):
            n = segments[j, i] - 1
            if n >= 0:
                value, dx, dy = image[j, i], i - x[n], j - y[n]
                sums[n, 0] += value
                sums[n, 1] += value * dx * dx
                sums[n, 2] += value * dy * dy
                sums[n, 3] += value * dx * dy
    for n in range(x.size):
        for k in range(1, 4):
            sums[n, k] = sums[n, k] / sums[n, 0] if sums[n, 0] > 0 else np.nan
    return sums


def ellipses(second: Floats, least: float) -> tuple[Floats, Floats, Floats]:
    """Return a, b (pixels) and theta (radians, -pi/2 to pi/2) of second moments.

    Parameters
    ----------
    second
        (N, 4) as of `moments`.
    least
        Least semi-axis, pixels. Moments that are no ellipse give a circle of this.
    """
    xx, yy, xy = np.nan_to_num(second[:, 1:]).T
    mean, half = 0.5 * (xx + yy), 0.5 * np.hypot(xx - yy, 2 * xy)
    a = np.sqrt(np.maximum(mean + half, least**2))
    b = np.sqrt(np.maximum(mean - half, least**2))
    return a, b, 0.5 * np.arctan2(2 * xy, xx - yy)


@dataclass(frozen=True)
class Surroundings:
    """What the mask planes say about each source: (N,) arrays.

    Attributes
    ----------
    isophote, core
        OR of the mask over the segment; over the pixels within the core's radius.
    n_images
        Median number of exposures of the core's pixels.
    missing, crowded
        Share of the pixels within the outer radius that have no data (or lie outside the patch);
        that belong to other sources.
    """

    isophote: Bits
    core: Bits
    n_images: npt.NDArray[np.int16]
    missing: Floats
    crowded: Floats


def surroundings(
    field: Field,
    mask: Bits,
    nimage: npt.NDArray[np.int16],
    x: Floats,
    y: Floats,
    core: float,
    outer: float,
) -> Surroundings:
    """Look up the planes around each source; `core` and `outer` are radii in pixels."""
    return Surroundings(*_surroundings(field.bad, field.segments, mask, nimage, x, y, core, outer))


@nb.njit(nogil=True, cache=True)
def _surroundings(  # type: ignore[no-untyped-def]
    bad: Mask,
    segments: Segments,
    mask: Bits,
    nimage: npt.NDArray[np.int16],
    x: Floats,
    y: Floats,
    core: float,
    outer: float,
):
    height, width = bad.shape
    size = x.size
    isophote = np.zeros(size, np.uint8)
    inside = np.zeros(size, np.uint8)
    counts = np.zeros(size, np.int16)
    missing, crowded = np.zeros(size), np.zeros(size)
    for j in range(height):
        for i in range(width):
            if segments[j, i] > 0:
                isophote[segments[j, i] - 1] |= mask[j, i]
    reach = int(np.ceil(outer)) + 1
    seen = np.empty((2 * reach + 1) ** 2, np.int16)
    for n in range(size):
        cy, cx = int(np.floor(y[n] + 0.5)), int(np.floor(x[n] + 0.5))
        pixels = lost = others = found = 0
        for j in range(cy - reach, cy + reach + 1):
            for i in range(cx - reach, cx + reach + 1):
                distance = (j - y[n]) ** 2 + (i - x[n]) ** 2
                if distance > outer * outer:
                    continue
                pixels += 1
                if j < 0 or i < 0 or j >= height or i >= width or bad[j, i]:
                    lost += 1
                    continue
                if segments[j, i] != 0 and segments[j, i] != n + 1:
                    others += 1
                if distance <= core * core:
                    inside[n] |= mask[j, i]
                    seen[found] = nimage[j, i]
                    found += 1
        missing[n] = lost / pixels
        crowded[n] = others / pixels
        if found:
            counts[n] = np.sort(seen[:found])[found // 2]
    return isophote, inside, counts, missing, crowded
