"""Detection of sources on a co-add: a matched filter, thresholded in true standard deviations.

The image is filtered with the co-add's own point-spread function k under the weight of the inverse
variance V (as in Bertin & Arnouts 1996, A&AS 117, 393; optimal for isolated stars),

    m = sum k I / V / sqrt(F sum k² / V),

with F what correlated noise adds (`tessera.astro.noise`): on blank sky m has a standard deviation
of 1, and at a star its expected height is the star's best possible signal-to-noise ratio. A source
is a part of m above a low isophote, separated from others at saddles, with a peak above a
level. How many peaks of noise reach that level is known (`noise_peaks`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt
from scipy.ndimage import label

from tessera.astro.watershed import flood, parts, renumber

Image = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Kernel = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

ISOPHOTE = 2.0
"""Outline of a source, in standard deviations of the filtered image."""

PROMINENCE = 2.0
"""How far a peak must rise above the saddle to a higher one, in standard deviations, to be a source
of its own. At a saddle lower than 3 less is asked for, 1 less than its height: it is little more
than noise that happens to link two sources."""


@dataclass(frozen=True)
class Detections:
    """What `detect` found; N sources in the order of their peaks' rows and columns.

    Attributes
    ----------
    y, x
        (N,) int64 pixels of the peaks.
    height, total
        (N,) float64 peak of the filtered image, and its sum over the segment.
    touching
        (N,) bool: shares a border with another source.
    segments
        (Y, X) int32: 0 for sky, n + 1 for the pixels of source n.
    """

    y: npt.NDArray[np.int64]
    x: npt.NDArray[np.int64]
    height: Floats
    total: Floats
    touching: Mask
    segments: npt.NDArray[np.int32]


def moffat_kernel(fwhm: float, beta: float) -> Kernel:
    """Return a circular Moffat profile of unit sum.

    Parameters
    ----------
    fwhm
        Full width at half maximum, pixels; that of the profile as sampled, so that the integration
        over pixels is part of it.
    beta
        Exponent, > 1.

    Returns
    -------
    (K, K) float32 with K odd, of a radius of 1.5 FWHM: less would lose signal, more adds none.
    """
    radius = int(np.ceil(1.5 * fwhm))
    alpha = 0.5 * fwhm / np.sqrt(2 ** (1 / beta) - 1)
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    profile = (1 + (x**2 + y**2) / alpha**2) ** -beta
    return (profile / profile.sum()).astype(np.float32)


@nb.njit(nogil=True, cache=True)
def matched_filter(
    image: Image, variance: Image, good: Mask, kernel: Kernel, factor: float
) -> Image:
    """Return the filtered image in units of its standard deviation.

    Parameters
    ----------
    image, variance
        (Y, X) float32.
    good
        (Y, X) bool; other pixels count as unseen and get 0.
    kernel
        (K, K) float32, symmetric, K odd.
    factor
        F of the kernel (`tessera.astro.noise.kernel_factor`).

    Returns
    -------
    (Y, X) float32. Scratch: 2 K + 3 rows.
    """
    height, width = image.shape
    size = kernel.shape[0]
    radius = size // 2
    result = np.zeros((height, width), np.float32)
    # A ring of padded rows of I / V and 1 / V: each is computed once.
    signal = np.zeros((size, width + 2 * radius), np.float32)
    weight = np.zeros((size, width + 2 * radius), np.float32)
    folded = np.empty(width + 2 * radius, np.float32)
    top = np.empty(width, np.float32)
    bottom = np.empty(width, np.float32)
    squares = kernel * kernel
    for y in range(-radius, height):
        row = (y + radius) % size
        if y + radius < height:
            for x in range(width):
                inverse = np.float32(0.0)
                value = np.float32(0.0)
                if good[y + radius, x]:
                    inverse = np.float32(1.0) / variance[y + radius, x]
                    value = image[y + radius, x] * inverse
                signal[row, x + radius] = value
                weight[row, x + radius] = inverse
        else:
            signal[row] = 0
            weight[row] = 0
        if y < 0:
            continue
        _weigh(signal, y, kernel, folded, top)
        _weigh(weight, y, squares, folded, bottom)
        for x in range(width):
            if good[y, x] and bottom[x] > 0:
                result[y, x] = top[x] / np.sqrt(np.float32(factor) * bottom[x])
    return result


@nb.njit(nogil=True, cache=True)
def _weigh(ring: Image, y: int, kernel: Kernel, folded: Image, total: Image) -> None:
    """Write row y of the convolution with a symmetric kernel into `total`.

    Rows, then columns, of the same weight are added first: that leaves a quarter of the products.
    Each loop takes two columns of the kernel, which halves the traffic of `total`.
    """
    size, width = kernel.shape[0], total.size
    radius = size // 2
    total[:] = 0
    for j in range(radius + 1):
        above, below = ring[(y - j + size) % size], ring[(y + j) % size]
        for x in range(folded.size):
            folded[x] = above[x] + below[x] if j else above[x]
        k = kernel[radius + j, radius:]
        middle = folded[radius : radius + width]
        for x in range(width):
            total[x] += k[0] * middle[x]
        for i in range(1, radius, 2):
            left, right = folded[radius - i - 1 :], folded[radius + i :]
            for x in range(width):
                near, far = left[x + 1] + right[x], left[x] + right[x + 1]
                total[x] += k[i] * near + k[i + 1] * far
        if radius % 2:
            last = folded[2 * radius :]
            for x in range(width):
                total[x] += k[radius] * (folded[x] + last[x])


def noise_peaks(level: float | Floats, roughness: float, area: float) -> float | Floats:
    """Return the expected number of peaks of pure noise above a level in the filtered image.

    The Euler characteristic of the excursion set of a Gaussian random field of two dimensions
    (Adler 1981): area * roughness * level * exp(-level² / 2) / (2 pi)^1.5.

    Parameters
    ----------
    level
        In standard deviations; about 3 or more.
    roughness
        Variance of the field's slope per pixel, as of `roughness`.
    area
        Pixels of sky.
    """
    return area * roughness * level * np.exp(-0.5 * np.square(level)) / (2 * np.pi) ** 1.5


@nb.njit(nogil=True, cache=True)
def roughness(filtered: Image, blank: Mask) -> float:
    """Return the mean squared difference of neighbouring blank pixels of the filtered image.

    Parameters
    ----------
    filtered
        (Y, X) float32, as of `matched_filter`.
    blank
        (Y, X) bool: sky. Without any, 0.
    """
    height, width = filtered.shape
    # A sum for each column lets the columns go in step.
    total, pairs = np.zeros(width), np.zeros(width, np.int64)
    for y in range(height):
        for x in range(width - 1):
            if blank[y, x] and blank[y, x + 1]:
                total[x] += np.square(filtered[y, x + 1] - filtered[y, x])
                pairs[x] += 1
        if y == 0:
            continue
        for x in range(width):
            if blank[y, x] and blank[y - 1, x]:
                total[x] += np.square(filtered[y, x] - filtered[y - 1, x])
                pairs[x] += 1
    return total.sum() / pairs.sum() if pairs.any() else 0.0


def detect(filtered: Image, level: float, contrast: float) -> Detections:
    """Find the sources of a filtered image.

    Pixels above the isophote are visited from the highest down; each joins the segment of its
    highest neighbour or begins one. Where two segments meet, at the saddle between their peaks, the
    lower is a source of its own if its peak is higher than the saddle by PROMINENCE and by
    `contrast` times the saddle's height; otherwise it becomes part of the other. (A watershed
    with a threshold on topological persistence: Edelsbrunner et al. 2002.)

    Parameters
    ----------
    filtered
        (Y, X) float32 as of `matched_filter`; 0 where there is no data.
    level
        A source's peak is at least this.
    contrast
        Relative rise that keeps the arms and clumps of a bright galaxy in one source.
    """
    flat = filtered.ravel()
    above = parts(filtered, filtered.view(np.int32), ISOPHOTE, level)
    segments = np.zeros(filtered.shape, np.int32)
    parent, peak, touching = flood(filtered, above, segments, PROMINENCE, contrast)
    keep = (parent == np.arange(len(parent))) & (flat[peak] >= level)
    kept = np.flatnonzero(keep)
    kept = kept[np.argsort(peak[kept])]
    number = np.zeros(len(parent), np.int32)
    number[kept] = np.arange(1, len(kept) + 1)
    total = renumber(filtered, above, segments, number[parent], len(kept))
    y, x = np.divmod(peak[kept], filtered.shape[1])
    return Detections(y, x, flat[peak[kept]].astype(np.float64), total, touching[kept], segments)


@nb.njit(nogil=True, cache=True)
def refine(filtered: Image, y: npt.NDArray[np.int64], x: npt.NDArray[np.int64]) -> Floats:
    """Interpolate peaks of the filtered image between pixels.

    Parameters
    ----------
    filtered
        (Y, X) float32.
    y, x
        (N,) peaks.

    Returns
    -------
    (N, 2) float64 y and x: the maximum of a parabola through the logarithms of the peak and its two
    neighbours along each axis, exact for a Gaussian; the pixel itself at edges of the data. For
    faint stars this is as precise as a fit of the point-spread function.
    """
    result = np.empty((y.size, 2))
    for n in range(y.size):
        for axis in range(2):
            dy, dx = 1 - axis, axis
            result[n, axis] = y[n] if axis == 0 else x[n]
            j, i = y[n] - dy, x[n] - dx
            k, m = y[n] + dy, x[n] + dx
            if j < 0 or i < 0 or k >= filtered.shape[0] or m >= filtered.shape[1]:
                continue
            if filtered[j, i] <= 0 or filtered[k, m] <= 0:
                continue
            before, after = np.log(filtered[j, i]), np.log(filtered[k, m])
            bend = before + after - 2 * np.log(filtered[y[n], x[n]])
            if bend < 0:
                result[n, axis] += 0.5 * (before - after) / bend
    return result


def join_saturated(found: Detections, saturated: Mask) -> tuple[Detections, int]:
    """Make one source of all those that a saturated star was broken into.

    Parameters
    ----------
    found
        What was detected.
    saturated
        (Y, X) bool: saturated pixels, grown by what their surroundings may be spoilt.

    Returns
    -------
    The detections, where in each connected saturated region only the source of the greatest total
    is left (it takes over the segments of the others); and the number of those joined.
    """
    regions = label(saturated)[0]
    where = regions[found.y, found.x]
    owner = np.arange(len(where))
    order = np.lexsort((-found.total, where))
    for members in np.split(order, np.flatnonzero(np.diff(where[order])) + 1):
        if len(members) and where[members[0]] > 0:
            owner[members] = members[0]
    keep = owner == np.arange(len(owner))
    if keep.all():
        return found, 0
    number = np.append(0, np.cumsum(keep)[owner]).astype(np.int32)
    joined = Detections(
        found.y[keep],
        found.x[keep],
        found.height[keep],
        np.bincount(np.cumsum(keep)[owner] - 1, weights=found.total).astype(np.float64),
        found.touching[keep],
        number[found.segments],
    )
    return joined, int((~keep).sum())
