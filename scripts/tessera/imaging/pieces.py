"""Pieces: what is known of an object, or of the part of one in a tile, in numbers that add up.

All of it is exact, so that the pieces of an object give the same numbers whatever tiles it was
cut into, and in whatever order they are put together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

PIECE = np.dtype(
    [
        ("first", np.int64),
        ("n", np.int64),
        ("lo", np.int64, (3,)),
        ("hi", np.int64, (3,)),
        ("sums", np.int64, (3,)),
        ("squares", np.int64, (6,)),
        ("total", np.int64, (2,)),
        ("low", np.float64),
        ("high", np.float64),
    ]
)
"""Of the voxels of a piece: the first in raster order of the whole image; their number; the
bounding box, half-open (z, y, x); the sums of z, y, x, counted from `lo`, and of the products zz,
zy, zx, yy, yx, xx of these; the sum of intensities, which is ``(total[0] * 2**26 + total[1]) *
unit``; the least and the greatest intensity."""

PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
"""Axes whose products the field `squares` holds."""
LIMB = 26
"""Bits of the lower part of a sum of intensities."""


def shifted(pieces: np.ndarray, by: Ints) -> tuple[Ints, Ints]:
    """Return sums and squares counted from ``lo - by`` instead of `lo`.

    Parameters
    ----------
    pieces
        (P,) of `PIECE`.
    by
        (P, 3) voxels.

    Notes
    -----
    Integers wrap around at 2**64, and what is on its way beyond that comes back: only the result
    must fit, which objects of 2**40 voxels in boxes of 2**11, say, do.
    """
    n, sums = pieces["n"], pieces["sums"]
    squares = pieces["squares"].copy()
    for k, (a, b) in enumerate(PAIRS):
        squares[:, k] += by[:, a] * sums[:, b] + by[:, b] * sums[:, a] + n * by[:, a] * by[:, b]
    return sums + n[:, None] * by, squares


def united(pieces: np.ndarray, of: Ints, count: int) -> np.ndarray:
    """Put pieces together.

    Parameters
    ----------
    pieces
        (P,) of `PIECE`.
    of
        (P,) the object that each is of, from 0; each object has a piece.
    count
        Number of objects.

    Returns
    -------
    ndarray
        (count,) of `PIECE`.
    """
    whole = np.zeros(count, PIECE)
    for field, extreme in (("first", np.minimum), ("lo", np.minimum), ("low", np.minimum),
                           ("hi", np.maximum), ("high", np.maximum)):  # fmt: skip
        kind = whole[field].dtype
        worst = math.inf if kind.kind == "f" else np.iinfo(np.int64).max
        whole[field] = worst if extreme is np.minimum else -worst
        extreme.at(whole[field], of, pieces[field])
    sums, squares = shifted(pieces, pieces["lo"] - whole["lo"][of])
    for field, values in (("n", pieces["n"]), ("sums", sums), ("squares", squares),
                          ("total", pieces["total"])):  # fmt: skip
        np.add.at(whole[field], of, values)
    return whole


def carried(total: Ints) -> Ints:
    """Return sums of intensities, (P, 2), with lower parts below 2**LIMB: one way to write each."""
    return np.stack([total[:, 0] + (total[:, 1] >> LIMB), total[:, 1] & ((1 << LIMB) - 1)], axis=1)


def unit_of(dtype: np.dtype, greatest: float) -> float:
    """Return the unit in which intensities are added up.

    Parameters
    ----------
    dtype
        Of the image.
    greatest
        The largest magnitude in a float image; ignored for integers, whose unit is 1.

    Returns
    -------
    float
        A power of two: sums of multiples of it do not depend on their order. The intensity of a
        voxel is rounded to it, by 2**-52 of the greatest intensity at most.
    """
    if dtype.kind in "iu" or greatest == 0:
        return 1.0
    return math.ldexp(1.0, max(math.frexp(greatest)[1], -900) - 2 * LIMB)


def concatenated(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return arrays of `PIECE` as one, which may be empty."""
    return np.concatenate([np.empty(0, PIECE), *parts])
