"""Kernels of photometry: sums over rings of pixels around sources."""

from __future__ import annotations

import numba as nb
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Segments = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

_HALF_DIAGONAL = 0.7072
"""How far a pixel reaches from its centre, pixels, rounded up."""

_RINGS = 64
"""Rings within the greatest radius, between which the half-light radius is interpolated."""


@nb.njit(nogil=True, cache=True, error_model="numpy")
def sum_rings(
    image: Image,
    variance: Image,
    bad: Mask,
    segments: Segments,
    x: Floats,
    y: Floats,
    form: Floats,
    radii: Floats,
    exact: bool,
    flux: Floats,
    naive: Floats,
) -> None:
    """Add up image and variance ring by ring, into `flux` and `naive`, (N, K) and 0 before.

    `form` holds, by source, the xx, yy and xy of the squared distance in units of the ellipse, its
    lesser semi-axis, and how far it reaches in x and in y; `radii` (N, K) increase. What a ring
    has lost to neighbours and missing data is replaced by its mean; NaN where all of it is lost.
    """
    height, width = image.shape
    for n in range(x.size):
        xx, yy, xy, b, across, along = form[n]
        r, light, noise = radii[n], flux[n], naive[n]
        area, seen = np.zeros(r.size), np.zeros(r.size)
        margin = _HALF_DIAGONAL / b
        sure, edge = np.maximum(r - margin, 0) ** 2, (r + margin) ** 2
        ry, rx = r[-1] * along + 0.5, r[-1] * across + 0.5
        for j in range(max(int(y[n] - ry), 0), min(int(y[n] + ry) + 2, height)):
            dy = j - y[n]
            for i in range(max(int(x[n] - rx), 0), min(int(x[n] + rx) + 2, width)):
                dx = i - x[n]
                square = xx * dx * dx + yy * dy * dy + xy * dx * dy
                if square >= edge[-1]:
                    continue
                mine = not bad[j, i] and (segments[j, i] <= 0 or segments[j, i] == n + 1)
                value, spread = image[j, i], variance[j, i]
                k = 0
                while square >= edge[k]:
                    k += 1
                before = 0.0
                while before < 1 and k < r.size:
                    if square < sure[k]:
                        within = 1.0
                    elif exact:
                        within = _overlap(abs(dx), abs(dy), r[k])
                    else:
                        within = _sampled(dx, dy, xx, yy, xy, r[k] * r[k])
                    share = within - before
                    area[k] += share
                    if mine:
                        seen[k] += share
                        light[k] += share * value
                        noise[k] += share * spread
                    before = within
                    k += 1
        light *= area / seen
        noise *= area / seen


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _sampled(dx: float, dy: float, xx: float, yy: float, xy: float, square: float) -> float:
    """Return the share of 5 x 5 points of a pixel that lie within an ellipse."""
    inside = 0
    for j in range(-2, 3):
        py = dy + 0.2 * j
        for i in range(-2, 3):
            px = dx + 0.2 * i
            inside += xx * px * px + yy * py * py + xy * px * py < square
    return inside / 25


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _overlap(dx: float, dy: float, radius: float) -> float:
    """Return the area that a circle about the origin shares with a pixel centred at dx, dy >= 0."""
    left, low = max(dx - 0.5, 0.0), max(dy - 0.5, 0.0)
    area = _corner(left, dx + 0.5, low, dy + 0.5, radius)
    # Parts beyond an axis are mirrored.
    if dx < 0.5:
        area += _corner(0.0, 0.5 - dx, low, dy + 0.5, radius)
    if dy < 0.5:
        area += _corner(left, dx + 0.5, 0.0, 0.5 - dy, radius)
        if dx < 0.5:
            area += _corner(0.0, 0.5 - dx, 0.0, 0.5 - dy, radius)
    return area


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _corner(left: float, right: float, low: float, high: float, radius: float) -> float:
    """Return the area that a circle about the origin shares with a box of the first quadrant."""
    square = radius * radius
    # The circle leaves the box on its right at `first` and on its left at `last`.
    first = min(max(np.sqrt(max(square - right * right, 0.0)), low), high)
    last = min(max(np.sqrt(max(square - left * left, 0.0)), low), high)
    area = (right - left) * (first - low)
    if first < last:
        begin = np.sqrt(max(square - first * first, 0.0))
        end = np.sqrt(max(square - last * last, 0.0))
        area += (0.5 * (begin + end) - left) * (last - first)
        sine = min(0.5 * np.sqrt((last - first) ** 2 + (begin - end) ** 2) / radius, 1.0)
        area += square * (np.arcsin(sine) - sine * np.sqrt(1 - sine * sine))
    return area


@nb.njit(nogil=True, cache=True, error_model="numpy")
def half_light_radius(
    image: Image,
    bad: Mask,
    segments: Segments,
    x: Floats,
    y: Floats,
    limit: float,
    flux: Floats,
) -> Floats:
    """Sum 5 x 5 points of each pixel ring by ring, lost ones replaced, until half is reached."""
    height, width = image.shape
    step = limit / _RINGS
    result = np.full(x.size, np.nan)
    for n in range(x.size):
        # Most sources need but a few of the rings: so many are summed, then twice as many.
        rings = _RINGS // 4 if flux[n] > 0 else 2 * _RINGS
        while rings <= _RINGS:
            light, area, seen = np.zeros(rings), np.zeros(rings), np.zeros(rings)
            reach = rings * step + 0.5
            for j in range(max(int(y[n] - reach), 0), min(int(y[n] + reach) + 2, height)):
                for i in range(max(int(x[n] - reach), 0), min(int(x[n] + reach) + 2, width)):
                    if (i - x[n]) ** 2 + (j - y[n]) ** 2 >= (rings * step + _HALF_DIAGONAL) ** 2:
                        continue
                    mine = not bad[j, i] and (segments[j, i] <= 0 or segments[j, i] == n + 1)
                    for row in range(-2, 3):
                        for column in range(-2, 3):
                            dx, dy = i - x[n] + 0.2 * column, j - y[n] + 0.2 * row
                            ring = int(np.sqrt(dx * dx + dy * dy) / step)
                            if ring < rings:
                                area[ring] += 1
                                if mine:
                                    seen[ring] += 1
                                    light[ring] += 0.04 * image[j, i]
            total, ring = 0.0, 0
            while ring < rings:
                more = light[ring] * area[ring] / seen[ring] if seen[ring] > 0 else 0.0
                if total + more >= 0.5 * flux[n]:
                    break
                total += more
                ring += 1
            if ring < rings:
                result[n] = step * (ring + (0.5 * flux[n] - total) / more)
                break
            rings *= 2
    return result
