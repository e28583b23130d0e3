"""What L.A.Cosmic looks at: the clipped Laplacian over the noise, and the fine structure.

Kernels of `tessera.astro.cosmics`, which has the formulas. Sums are taken in the reference's order.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from tessera.astro.medians import median7, middle5, middle7, middle9, row_medians7

BORDER = 3
"""Within this distance from the edge med_7(s) is s itself, and no cosmic ray can be found."""

_ZERO, _QUARTER, _TWO, _FOUR = (np.float32(value) for value in (0, 0.25, 2, 4))
_LEAST_VARIANCE = np.float32(0.00001)


@nb.njit(nogil=True, cache=True)
def significance(image: Any, variance: Any) -> Any:
    """Return s of the whole image.

    Row medians of the variance wait in a ring of 7 until the row in their middle is due.
    """
    ny, nx = image.shape
    s = np.empty((ny, nx), np.float32)
    ring = np.empty((7, nx - 2 * BORDER), np.float32)
    smooth = np.empty(nx, np.float32)
    for y in range(2 * BORDER):
        row_medians7(variance[y], ring[y])
    for y in range(ny):
        smooth[:] = variance[y]
        if BORDER <= y < ny - BORDER:
            row_medians7(variance[y + BORDER], ring[(y + BORDER) % 7])
            a, b, c, d, e, f, g = ring[0], ring[1], ring[2], ring[3], ring[4], ring[5], ring[6]
            inner = smooth[BORDER : nx - BORDER]
            for i in range(len(inner)):
                inner[i] = middle7(a[i], b[i], c[i], d[i], e[i], f[i], g[i])
        row = s[y]
        if 0 < y < ny - 1:
            above, here, below = image[y - 1], image[y], image[y + 1]
            for i in range(1, nx - 1):
                row[i] = _laplacian_inside(here[i], here[i - 1], here[i + 1], above[i], below[i])
            row[0] = _laplacian(image, y, 0)
            row[nx - 1] = _laplacian(image, y, nx - 1)
        else:
            for i in range(nx):
                row[i] = _laplacian(image, y, i)
        for i in range(nx):
            row[i] /= _TWO * np.sqrt(max(smooth[i], _LEAST_VARIANCE))
    return s


@nb.njit(nogil=True, cache=True)
def significance_at(image: Any, variance: Any, y: Any, x: Any) -> Any:
    """Return s of one pixel."""
    return _laplacian(image, y, x) / (_TWO * noise_of(variance, y, x))


@nb.njit(nogil=True, cache=True)
def _laplacian_inside(c: Any, left: Any, right: Any, up: Any, down: Any) -> Any:
    """Mean of the four clipped Laplacians of a pixel that is split in four."""
    to_left = (_FOUR * c - c) - left
    to_right = (_FOUR * c - right) - c
    up, down = c + up, down + c
    return _mean_positive(to_left - up, to_right - up, to_left - down, to_right - down)


@nb.njit(nogil=True, cache=True)
def _mean_positive(a: Any, b: Any, c: Any, d: Any) -> Any:
    """Mean with negatives set to 0, of upper left, upper right, lower left and lower right."""
    return ((max(a, _ZERO) + max(d, _ZERO)) + (max(c, _ZERO) + max(b, _ZERO))) * _QUARTER


@nb.njit(nogil=True, cache=True)
def _laplacian(image: Any, y: Any, x: Any) -> Any:
    """Mean of the four clipped Laplacians of any pixel.

    What lies outside the image counts as 0. The reference has code of its own for each side, with
    other roundings.
    """
    ny, nx = image.shape
    c = image[y, x]
    left = image[y, x - 1] if x > 0 else _ZERO
    right = image[y, x + 1] if x < nx - 1 else _ZERO
    up = image[y - 1, x] if y > 0 else _ZERO
    down = image[y + 1, x] if y < ny - 1 else _ZERO
    if 0 < y < ny - 1 and x < nx - 1:
        return _laplacian_inside(c, left, right, up, down)
    four = _FOUR * c
    three = four - c
    upper_left = (three - left) - (c + up)
    upper_right = ((four - right) - c) - (c + up)
    lower_left = (three - left) - (down + c)
    lower_right = ((four - right) - c) - (down + c)
    if x == nx - 1:
        upper_right = three - (c + up)
        lower_right = (four - down) - (c + c)
    if y == 0:
        upper_left = (c + c) - left
        upper_right = (c + c) - right
    if y == ny - 1:
        lower_left = three - (c + left) if x > 0 else c + c
        lower_right = three - (right + c) if x < nx - 1 else three - c
    return _mean_positive(upper_left, upper_right, lower_left, lower_right)


@nb.njit(nogil=True, cache=True)
def noise_of(variance: Any, y: Any, x: Any) -> Any:
    """Noise that a pixel would have without a cosmic ray."""
    smooth = median7(variance, y, x) if inside(variance, y, x) else variance[y, x]
    return np.sqrt(max(smooth, _LEAST_VARIANCE))


@nb.njit(nogil=True, cache=True)
def fine_structure(image: Any, y: Any, x: Any) -> Any:
    """med_5 - med_9(med_5) of the image at one pixel; 0 within 4 pixels of the edge.

    Within 2 pixels of the edge med_5 is the image itself.
    """
    ny, nx = image.shape
    if not (4 <= y < ny - 4 and 4 <= x < nx - 4):
        return _ZERO
    left, right = max(x - 4, 2), min(x + 5, nx - 2)
    across = np.empty((13, 9), np.float32)
    fine = image[y - 4 : y + 5, x - 4 : x + 5].copy()
    width = right - left
    for j in range(max(y - 6, 0), min(y + 7, ny)):
        row = image[j, left - 2 : right + 2]
        out = across[j - y + 6]
        for i in range(width):
            out[i] = middle5(row[i], row[i + 1], row[i + 2], row[i + 3], row[i + 4])
    for j in range(max(y - 4, 2), min(y + 5, ny - 2)):
        out = fine[j - y + 4, left - x + 4 :]
        k = j - y + 4
        a, b, c, d, e = across[k], across[k + 1], across[k + 2], across[k + 3], across[k + 4]
        for i in range(width):
            out[i] = middle5(a[i], b[i], c[i], d[i], e[i])
    m = np.empty(9, np.float32)
    for j in range(9):
        r = fine[j]
        m[j] = middle9(r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8])
    return fine[4, 4] - middle9(m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7], m[8])


@nb.njit(nogil=True, cache=True)
def inside(plane: Any, y: Any, x: Any) -> Any:
    """Tell whether a pixel lies at least `BORDER` from the edge."""
    ny, nx = plane.shape
    return BORDER <= y < ny - BORDER and BORDER <= x < nx - BORDER
