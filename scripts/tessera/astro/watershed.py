"""Kernels of a watershed: the parts of an image above an isophote, flooded from their peaks."""

from __future__ import annotations

import numba as nb
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


@nb.njit(nogil=True, cache=True)
def parts(
    filtered: Image, bits: npt.NDArray[np.int32], least: float, level: float
) -> npt.NDArray[np.int64]:
    """Return the flat indices of the connected parts above `least` (> 0) that reach `level`.

    Part by part, which keeps what is visited next in the cache, and each from its highest pixel
    down, those of equal height as they lie. `bits` are those of `filtered`: as integers they order
    positive numbers alike, and leave room for the index in the key that is sorted.
    """
    height, width = filtered.shape
    values, keys = filtered.ravel(), bits.ravel()
    count = 0
    for p in range(values.size):
        count += values[p] > least
    found = np.empty(count, np.int64)
    seen = np.zeros(values.size, np.bool_)
    start = 0
    for first in range(values.size):
        if seen[first] or not values[first] > least:
            continue
        seen[first] = True
        found[start] = first
        here, end = start, start + 1
        tall = False
        while here < end:
            p = found[here]
            here += 1
            tall |= values[p] >= level
            y, x = p // width, p % width
            for j in range(max(y - 1, 0), min(y + 2, height)):
                for i in range(max(x - 1, 0), min(x + 2, width)):
                    q = j * width + i
                    if values[q] > least and not seen[q]:
                        seen[q] = True
                        found[end] = q
                        end += 1
        if not tall:
            continue
        part = found[start:end]
        for k in range(part.size):
            part[k] |= (0x7FFFFFFF - np.int64(keys[part[k]])) << 32
        part.sort()
        part &= 0xFFFFFFFF
        start = end
    return found[:start]


@nb.njit(nogil=True, cache=True)
def _root(parent: npt.NDArray[np.int64], basin: int) -> int:
    while parent[basin] != basin:
        parent[basin] = parent[parent[basin]]
        basin = parent[basin]
    return basin


@nb.njit(nogil=True, cache=True)
def flood(  # type: ignore[no-untyped-def]
    filtered: Image,
    order: npt.NDArray[np.int64],
    basins: npt.NDArray[np.int32],
    prominence: float,
    contrast: float,
):
    """Write the number of its basin, from 1, to each pixel of `order`.

    Returns for each basin (from 0) the one it is part of, its peak's flat index, and whether it
    meets another.
    """
    height, width = filtered.shape
    parent = np.empty(order.size, np.int64)
    peak = np.empty(order.size, np.int64)
    touching = np.zeros(order.size, np.bool_)
    values = filtered.ravel()
    count = 0
    for p in order:
        y, x = p // width, p % width
        here = filtered[y, x]
        best, best_value = -1, np.float32(-1.0)
        for j in range(max(y - 1, 0), min(y + 2, height)):
            for i in range(max(x - 1, 0), min(x + 2, width)):
                if basins[j, i] > 0 and filtered[j, i] > best_value:
                    best, best_value = _root(parent, basins[j, i] - 1), filtered[j, i]
        if best < 0:
            parent[count] = count
            peak[count] = p
            count += 1
            basins[y, x] = count
            continue
        basins[y, x] = best + 1
        for j in range(max(y - 1, 0), min(y + 2, height)):
            for i in range(max(x - 1, 0), min(x + 2, width)):
                if basins[j, i] == 0 or basins[j, i] == basins[y, x]:
                    continue
                one, two = _root(parent, basins[y, x] - 1), _root(parent, basins[j, i] - 1)
                if one == two:
                    continue
                # In a part, basins are numbered by falling peak: the lower has the greater number.
                low, high = max(one, two), min(one, two)
                rise = values[peak[low]] - here
                if rise < max(min(prominence, here - 1), contrast * here):
                    parent[low] = high
                else:
                    touching[low] = True
                    touching[high] = True
    for basin in range(count):
        parent[basin] = _root(parent, basin)
    return parent[:count], peak[:count], touching[:count]


@nb.njit(nogil=True, cache=True)
def renumber(
    filtered: Image,
    order: npt.NDArray[np.int64],
    basins: npt.NDArray[np.int32],
    number: npt.NDArray[np.int32],
    count: int,
) -> Floats:
    """Turn basins into numbers of sources in place; return the sum of each source's pixels."""
    width = filtered.shape[1]
    total = np.zeros(count)
    for p in order:
        y, x = p // width, p % width
        n = number[basins[y, x] - 1]
        basins[y, x] = n
        if n > 0:
            total[n - 1] += filtered[y, x]
    return total
