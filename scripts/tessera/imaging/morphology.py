"""Erosion, dilation, opening and closing of a mask by a ball, or by a disc in a plane.

The ball of radius r holds the voxels whose distance from its centre is r at most, as
`skimage.morphology.ball` and `disk` have it. Beyond the image there is nothing that erodes and
nothing that dilates, as in scikit-image.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

from tessera.imaging.grid import Step

Mask = npt.NDArray[np.bool_]


def transformed(mask: Mask, step: Step, plane: bool) -> Mask:
    """Apply a morphology.

    Parameters
    ----------
    mask
        (Z, Y, X). Where it ends inside the image, as many voxels at its faces as
        `tessera.imaging.grid.shape_margin` tells have no meaning afterwards.
    step
        What to do.
    plane
        Whether the image is a plane.
    """
    if step.kind == "none":
        return mask
    ball = _ball(int(step["radius"]), plane)
    for dilate in {"erode": (0,), "dilate": (1,), "open": (0, 1), "close": (1, 0)}[step.kind]:
        # Eroding is dilating what is not there: beyond the image nothing is then added either way.
        mask = _dilated(mask, ball) if dilate else ~_dilated(~mask, ball)
    return mask


def _ball(radius: int, plane: bool) -> npt.NDArray[np.int64]:
    """Return the rows of a ball: steps along z and y, and how far it reaches along x."""
    depth = 0 if plane else radius
    rows = [
        (z, y, math.isqrt(radius**2 - z**2 - y**2))
        for z in range(-depth, depth + 1)
        for y in range(-radius, radius + 1)
        if z**2 + y**2 <= radius**2
    ]
    return np.array(rows, np.int64)


def _dilated(mask: Mask, ball: npt.NDArray[np.int64]) -> Mask:
    out = np.zeros(mask.shape, np.uint8)
    _dilate(np.ascontiguousarray(mask).view(np.uint8), ball, out)
    return out.view(np.bool_)


@numba.njit(cache=True, nogil=True)
def _dilate(mask, ball, out):  # type: ignore[no-untyped-def]
    """Add the ball around every set voxel, a row at a time, widened once for each reach along x."""
    depth, height, width = mask.shape
    wide = np.empty((ball[:, 2].max() + 1, width), np.uint8)
    for z in range(depth):
        for y in range(height):
            row = mask[z, y]
            found = np.uint8(0)
            for x in range(width):
                wide[0, x] = row[x]
                found |= row[x]
            if not found:
                continue
            for reach in range(1, len(wide)):
                before, now = wide[reach - 1], wide[reach]
                for x in range(width):
                    now[x] = before[x]
                for x in range(width - reach):
                    now[x] |= row[x + reach]
                for x in range(width - reach):
                    now[x + reach] |= row[x]
            for k in range(len(ball)):
                i, j = z + ball[k, 0], y + ball[k, 1]
                if 0 <= i < depth and 0 <= j < height:
                    added, onto = wide[ball[k, 2]], out[i, j]
                    for x in range(width):
                        onto[x] |= added[x]
