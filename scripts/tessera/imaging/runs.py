"""Objects in a tile: runs of voxels along x, joined where they touch, and measured in one walk.

No volume of labels is made: an object is a set of runs, and all that is measured of it adds up
over them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from tessera.imaging.boxes import Box, Index
from tessera.imaging.pieces import LIMB, PIECE, shifted

Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int32]

# Of rows (z, y) before this one that may touch it: step in z, step in y, and how far runs may be
# apart in x. 4 and 8 are those of a plane, which has no row of another z.
_ROWS = {
    6: ((-1, 0, 0), (0, -1, 0)),
    18: ((-1, -1, 0), (-1, 0, 1), (-1, 1, 0), (0, -1, 1)),
    26: ((-1, -1, 1), (-1, 0, 1), (-1, 1, 1), (0, -1, 1)),
}


@dataclass(frozen=True)
class Runs:
    """R runs of a tile of Z x Y rows, in raster order, and the object that each is of.

    Attributes
    ----------
    row
        (Z * Y + 1,) int64: the first run of each row.
    start, stop
        (R,) int32: x of the first voxel, and of the one after the last.
    of
        (R,) int32: objects counted from 0, in raster order of their first voxels.
    count
        Number of objects.
    """

    row: npt.NDArray[np.int64]
    start: Ints
    stop: Ints
    of: Ints
    count: int


def find_runs(mask: Mask, connectivity: int) -> Runs:
    """Label the objects of a tile.

    Parameters
    ----------
    mask
        (Z, Y, X), contiguous.
    connectivity
        6, 18 or 26: voxels of an object share a face, at least an edge, at least a corner. In a
        plane these are 4, 8 and 8.
    """
    flat = mask.reshape(-1, mask.shape[2]).view(np.uint8)
    row = _count(flat)
    start, stop = np.empty(row[-1], np.int32), np.empty(row[-1], np.int32)
    _fill(flat, row, start, stop)
    of = np.empty(row[-1], np.int32)
    steps = np.array(_ROWS[connectivity], np.int64)
    _join(row, start, stop, mask.shape[1], steps, of)
    return Runs(row, start, stop, of, int(_number(of)))


@numba.njit(cache=True, nogil=True)
def _count(mask):  # type: ignore[no-untyped-def]
    row = np.zeros(mask.shape[0] + 1, np.int64)
    for r in range(mask.shape[0]):
        n = 0
        before = np.uint8(0)
        for x in range(mask.shape[1]):
            n += mask[r, x] & ~before & 1
            before = mask[r, x]
        row[r + 1] = row[r] + n
    return row


@numba.njit(cache=True, nogil=True)
def _fill(mask, row, start, stop):  # type: ignore[no-untyped-def]
    width = mask.shape[1]
    for r in range(mask.shape[0]):
        x = 0
        for k in range(row[r], row[r + 1]):
            while not mask[r, x]:
                x += 1
            start[k] = x
            while x < width and mask[r, x]:
                x += 1
            stop[k] = x


@numba.njit(cache=True, nogil=True)
def _root(parent, k):  # type: ignore[no-untyped-def]
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = parent[k]
    return k


@numba.njit(cache=True, nogil=True)
def _join(row, start, stop, height, steps, parent):  # type: ignore[no-untyped-def]
    """Union-find over runs; the root of an object is its first run."""
    for k in range(len(parent)):
        parent[k] = k
    for r in range(len(row) - 1):
        if row[r] == row[r + 1]:
            continue
        z, y = r // height, r % height
        for s in range(len(steps)):
            if z + steps[s, 0] < 0 or not 0 <= y + steps[s, 1] < height:
                continue
            q = r + steps[s, 0] * height + steps[s, 1]
            reach = steps[s, 2]
            j = row[q]
            for k in range(row[r], row[r + 1]):
                while j < row[q + 1] and stop[j] + reach <= start[k]:
                    j += 1
                i = j
                while i < row[q + 1] and start[i] < stop[k] + reach:
                    a, b = _root(parent, i), _root(parent, k)
                    if a < b:
                        parent[b] = a
                    elif b < a:
                        parent[a] = b
                    i += 1


@numba.njit(cache=True, nogil=True)
def _number(of):  # type: ignore[no-untyped-def]
    """Turn parents into numbers of objects: a parent stands before its children."""
    count = 0
    for k in range(len(of)):
        if of[k] == k:
            of[k] = count
            count += 1
        else:
            of[k] = of[of[k]]
    return count


def measure(runs: Runs, values: np.ndarray, tile: Box, shape: Index, unit: float) -> np.ndarray:
    """Measure the objects of a tile.

    Parameters
    ----------
    runs
        Of the tile.
    values
        (Z, Y, X) intensities, integers of up to 16 bits or floats.
    tile
        Its place in the image.
    shape
        Shape of the image.
    unit
        Of sums of intensities (`tessera.imaging.pieces.unit_of`).

    Returns
    -------
    ndarray
        (objects,) of `PIECE`.
    """
    pieces = np.zeros(runs.count, PIECE)
    pieces["low"], pieces["high"] = np.inf, -np.inf
    found = runs.row, runs.start, runs.stop, runs.of
    fields = ("first", "n", "lo", "hi", "sums", "squares")
    _shapes(*found, tile.shape, *(pieces[name] for name in fields))
    add = _add_floats if values.dtype.kind == "f" else _add_integers
    flat = values.reshape(-1, values.shape[2])
    add(*found, flat, 1 / unit, *(pieces[name] for name in ("total", "low", "high")))
    # From places in the tile to those in the image; sums were counted from the tile's first voxel.
    pieces["sums"], pieces["squares"] = shifted(pieces, -pieces["lo"])
    at = np.stack(np.unravel_index(pieces["first"], tile.shape), axis=1) + tile.lo
    pieces["first"] = (at[:, 0] * shape[1] + at[:, 1]) * shape[2] + at[:, 2]
    pieces["lo"] += tile.lo
    pieces["hi"] += tile.lo
    return pieces


@numba.njit(cache=True, nogil=True)
def _shapes(row, start, stop, of, shape, first, n, lo, hi, sums, squares):  # type: ignore[no-untyped-def]
    for r in range(len(row) - 1):
        z, y = r // shape[1], r % shape[1]
        for k in range(row[r], row[r + 1]):
            a, b = np.int64(start[k]), np.int64(stop[k])
            p, m = of[k], b - a
            if n[p] == 0:
                first[p] = r * shape[2] + a
                lo[p, 0], lo[p, 1], lo[p, 2] = z, y, a
            n[p] += m
            lo[p, 1], lo[p, 2] = min(lo[p, 1], y), min(lo[p, 2], a)
            hi[p, 0], hi[p, 1], hi[p, 2] = z + 1, max(hi[p, 1], y + 1), max(hi[p, 2], b)
            along = (a + b - 1) * m // 2
            sums[p, 0] += m * z
            sums[p, 1] += m * y
            sums[p, 2] += along
            squares[p, 0] += m * z * z
            squares[p, 1] += m * z * y
            squares[p, 2] += z * along
            squares[p, 3] += m * y * y
            squares[p, 4] += y * along
            squares[p, 5] += _squares_below(b) - _squares_below(a)


@numba.njit(cache=True, nogil=True)
def _squares_below(n):  # type: ignore[no-untyped-def]
    return (n - 1) * n * (2 * n - 1) // 6


@numba.njit(cache=True, nogil=True)
def _add_integers(row, start, stop, of, values, scale, total, low, high):  # type: ignore[no-untyped-def]
    for r in range(len(row) - 1):
        for k in range(row[r], row[r + 1]):
            least = most = values[r, start[k]]
            whole = np.int64(0)
            for x in range(start[k], stop[k]):
                v = values[r, x]
                whole += v
                least, most = min(least, v), max(most, v)
            p = of[k]
            total[p, 1] += whole
            low[p], high[p] = min(low[p], least), max(high[p], most)
    for p in range(len(total)):
        total[p, 0] = total[p, 1] >> LIMB
        total[p, 1] &= (1 << LIMB) - 1


@numba.njit(cache=True, nogil=True)
def _add_floats(row, start, stop, of, values, scale, total, low, high):  # type: ignore[no-untyped-def]
    for r in range(len(row) - 1):
        for k in range(row[r], row[r + 1]):
            p = of[k]
            for x in range(start[k], stop[k]):
                v = np.float64(values[r, x])
                units = np.int64(np.rint(v * scale))
                total[p, 0] += units >> LIMB
                total[p, 1] += units & ((1 << LIMB) - 1)
                low[p], high[p] = min(low[p], v), max(high[p], v)


def paint(runs: Runs, labels: npt.NDArray[np.uint32], shape: Index) -> npt.NDArray[np.uint32]:
    """Make the volume of labels of a tile.

    Parameters
    ----------
    runs
        Of the tile.
    labels
        (objects,) the label of each; 0 for none.
    shape
        Shape of the tile.
    """
    volume = np.zeros(shape, np.uint32)
    _paint(runs.row, runs.start, runs.stop, runs.of, labels, volume.reshape(-1, shape[2]))
    return volume


@numba.njit(cache=True, nogil=True)
def _paint(row, start, stop, of, labels, volume):  # type: ignore[no-untyped-def]
    for r in range(len(row) - 1):
        for k in range(row[r], row[r + 1]):
            for x in range(start[k], stop[k]):
                volume[r, x] = labels[of[k]]
