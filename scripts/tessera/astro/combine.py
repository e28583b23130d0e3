"""The weighted mean of the samples of a stack that were not clipped, and what there is to say."""

from __future__ import annotations

import numba as nb
import numpy as np

from tessera.astro.bits import CLIPPED, EDGE, FEW, INTERP, NODATA, SAT, UNUSABLE

UNUSED, GOOD, OUTLIER, SKIRT, DOUBTFUL = 0, 1, 2, 3, 4
"""States of a sample."""


@nb.njit(nogil=True, cache=True, error_model="numpy")
def combine(image, variance, mask, state, weights):  # type: ignore[no-untyped-def]
    """Weighted means of what is left, and what there is to say about each pixel."""
    count, height, width = image.shape
    result = np.empty((height, width), np.float32), np.empty((height, width), np.float32)
    bits, nimage = np.zeros((height, width), np.uint8), np.empty((height, width), np.int16)
    weight, total, spread = np.empty(width), np.empty(width), np.empty(width)
    used, dropped = np.empty(width, np.int32), np.empty(width, np.int32)
    for y in range(height):
        weight[:] = 0
        total[:] = 0
        spread[:] = 0
        used[:] = 0
        dropped[:] = 0
        for n in range(count):
            for x in range(width):
                good = state[n, y, x] == GOOD
                w = weights[n] if good else 0.0
                weight[x] += w
                total[x] += w * (image[n, y, x] if good else 0.0)
                spread[x] += w * w * (variance[n, y, x] if good else 0.0)
                used[x] += good
                dropped[x] += state[n, y, x] > GOOD
                seen = mask[n, y, x]
                bits[y, x] |= seen & (INTERP if good else SAT if not seen & NODATA else 0)
        for x in range(width):
            if used[x] + dropped[x] < 3:
                bits[y, x] |= FEW
            if dropped[x]:
                bits[y, x] |= CLIPPED
            if used[x]:
                result[0][y, x] = total[x] / weight[x]
                result[1][y, x] = spread[x] / weight[x] ** 2
                nimage[y, x] = used[x]
            else:
                result[0][y, x], result[1][y, x], bits[y, x], nimage[y, x] = _make_do(
                    image[:, y, x], variance[:, y, x], mask[:, y, x], state[:, y, x],
                    weights, bits[y, x],
                )  # fmt: skip
    return result[0], result[1], bits, nimage


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _make_do(image, variance, mask, state, weights, bits):  # type: ignore[no-untyped-def]
    """Combine a pixel without good samples: those of skirts, else those that are saturated.

    So bright stars have no holes. What is defective or a cosmic ray in every visit is no data.
    """
    skirts = 0
    for n in range(state.size):
        skirts += state[n] == SKIRT
    weight, total, spread = 0.0, 0.0, 0.0
    for n in range(state.size):
        saturated = mask[n] & SAT and not mask[n] & (NODATA | EDGE)
        wanted = state[n] == SKIRT if skirts else saturated
        if wanted and np.isfinite(image[n]) and np.isfinite(variance[n]):
            weight += weights[n]
            total += weights[n] * image[n]
            spread += weights[n] ** 2 * variance[n]
            bits |= mask[n] & (UNUSABLE | INTERP)
    if weight == 0:
        return np.float32(np.nan), np.float32(np.nan), np.uint8(NODATA), 0
    return np.float32(total / weight), np.float32(spread / weight**2), bits, skirts
