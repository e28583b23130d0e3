"""The Gaussian filter of a block, with the bits of scipy's.

Source: `scipy.ndimage.gaussian_filter` of single precision, mode *reflect*, truncated at four
standard deviations: lines along z, then y, then x, each added up in double precision from the
farthest pair of neighbours inwards, and rounded to single precision. The same order of the same
operations gives the same bits; going through the block plane by plane keeps all three passes in
the processor's cache.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

TRUNCATE = 4.0
Floats = npt.NDArray[np.float32]


def radius(sigma: float) -> int:
    """Return how many voxels on each side the filter looks at."""
    return int(TRUNCATE * sigma + 0.5)


def gaussian(block: np.ndarray, sigma: float, plane: bool) -> Floats:
    """Filter a block that comes with its margin.

    Parameters
    ----------
    block
        (Z, Y, X) of any numeric dtype, with `radius` voxels more on each side than are asked for.
    sigma
        Standard deviation, voxels.
    plane
        Whether the image is a plane: then it is filtered along y and x alone, and the block has no
        margin along z.

    Returns
    -------
    ndarray
        float32, without the margin.
    """
    if block.dtype == np.float64:  # integers of 16 bits are the same in single precision
        block = block.astype(np.float32)
    r = radius(sigma)
    weights = _weights(sigma, r)
    margins = (0 if plane else 2 * r, 2 * r, 2 * r)
    shape = [n - m for n, m in zip(block.shape, margins, strict=True)]
    out = np.empty(shape, np.float32)
    _filter(block, weights, plane, out)
    return out


def _weights(sigma: float, r: int) -> npt.NDArray[np.float64]:
    """Return the weight of the centre, and of each pair of neighbours outwards."""
    steps = np.arange(-r, r + 1)
    bell = np.exp(-0.5 / (sigma * sigma) * steps**2)
    return (bell / bell.sum())[r:]


@numba.njit(cache=True, nogil=True)
def _filter(block, weights, plane, out):  # type: ignore[no-untyped-def]
    r = len(weights) - 1
    depth, height = out.shape[:2]
    line = np.empty(block.shape[2], np.float64)
    across = np.empty((block.shape[1], block.shape[2]), np.float32)
    for z in range(depth):
        for y in range(block.shape[1]):
            if plane:
                for x in range(block.shape[2]):
                    across[y, x] = block[z, y, x]
                continue
            for x in range(block.shape[2]):
                line[x] = np.float64(block[z + r, y, x]) * weights[0]
            for k in range(r, 0, -1):
                a, b, w = block[z + r - k, y], block[z + r + k, y], weights[k]
                for x in range(block.shape[2]):
                    line[x] += (np.float64(a[x]) + np.float64(b[x])) * w
            for x in range(block.shape[2]):
                across[y, x] = line[x]
        for y in range(height):
            for x in range(block.shape[2]):
                line[x] = np.float64(across[y + r, x]) * weights[0]
            for k in range(r, 0, -1):
                a, b, w = across[y + r - k], across[y + r + k], weights[k]
                for x in range(block.shape[2]):
                    line[x] += (np.float64(a[x]) + np.float64(b[x])) * w
            # Rounded to single precision before the last pass, as what is stored between passes.
            for x in range(block.shape[2]):
                line[x] = np.float64(np.float32(line[x]))
            _along(line, weights, out[z, y])


@numba.njit(cache=True, nogil=True)
def _along(line, weights, out):  # type: ignore[no-untyped-def]
    r = len(weights) - 1
    total = np.empty(len(out), np.float64)
    for x in range(len(out)):
        total[x] = line[x + r] * weights[0]
    for k in range(r, 0, -1):
        a, b, w = line[r - k :], line[r + k :], weights[k]
        for x in range(len(out)):
            total[x] += (a[x] + b[x]) * w
    for x in range(len(out)):
        out[x] = total[x]
