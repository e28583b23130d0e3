"""Where the pixels of the sky map fall on an exposure, by a lattice of exact positions.

The way from the sky map's pixel to the sky and on to the exposure's pixel is smooth but dear, the
more so with a distortion that has to be inverted. So it is gone only at the nodes of a lattice, and
between them positions follow a cubic in each direction (the product of two 4-point Lagrange
interpolants). It is local: a pixel looks at the 4 x 4 nodes around it.

The lattice belongs to the global grid: nodes are where both pixel coordinates are multiples of
`STEP`, and they are computed in aligned squares of nodes, so that even code whose last bit depends
on its companions gives a node the same position for every window.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt
from astropy.wcs import WCS

from tessera.astro.skymap import Window
from tessera.astro.wcsheader import unit_vectors

Floats = npt.NDArray[np.float64]

STEP = 64
"""Pixels between nodes."""
_SQUARE = 16
"""Nodes along the side of the squares that are computed together."""
_TOLERANCE = 1e-6
"""Pixels by which the way there and back may miss."""


@dataclass(frozen=True)
class Lattice:
    """Positions on an exposure at nodes of the global lattice.

    Attributes
    ----------
    window
        Pixels of the sky map for which there are enough nodes.
    row, column
        Numbers of the first node; node n is at pixel n `STEP`.
    nodes
        (2, R, C) float64, y and x on the exposure, 0-based pixels. NaN where the sky map has no
        sky, or the exposure's WCS does not reach.
    """

    window: Window
    row: int
    column: int
    nodes: Floats

    def positions(self, window: Window) -> Floats:
        """Interpolate positions, and how areas change.

        Parameters
        ----------
        window
            Pixels of the sky map, within those of the lattice.

        Returns
        -------
        (3, Y, X) float64
            y and x on the exposure, 0-based pixels, and the area of a pixel of the sky map in
            pixels of the exposure (the Jacobian determinant, without sign).

        Raises
        ------
        ValueError
            If the lattice does not reach that far.
        """
        (y0, y1, x0, x1), (top, bottom, left, right) = window, self.window
        if not (top <= y0 <= y1 <= bottom and left <= x0 <= x1 <= right):
            raise ValueError(f"window {window} is not within {self.window}")
        out = np.empty((3, y1 - y0, x1 - x0))
        _interpolate(self.nodes, y0 - STEP * self.row, x0 - STEP * self.column, out)
        return out


def lattice(sky: WCS, exposure: WCS, window: Window) -> Lattice:
    """Compute the nodes that a window needs.

    Parameters
    ----------
    sky
        WCS of the sky map; pixel (0, 0) of the global grid is at 0-based (0, 0).
    exposure
        WCS of the exposure, in the same celestial frame.
    window
        Pixels of the sky map.

    Notes
    -----
    For distortions as cameras have them the interpolation misses the exact position by less than
    1e-4 pixels, within the exposure and a lattice cell around it.
    """
    y0, y1, x0, x1 = window
    row, column = y0 // STEP - 1, x0 // STEP - 1
    rows, columns = (y1 - 1) // STEP + 3 - row, (x1 - 1) // STEP + 3 - column
    first, left = row // _SQUARE, column // _SQUARE
    squares = [
        [
            _square(sky, exposure, j, i)
            for i in range(left, (column + columns - 1) // _SQUARE + 1)
        ]
        for j in range(first, (row + rows - 1) // _SQUARE + 1)
    ]  # fmt: skip
    nodes = np.block(squares)
    skip_rows, skip_columns = row - first * _SQUARE, column - left * _SQUARE
    cut = nodes[:, skip_rows : skip_rows + rows, skip_columns : skip_columns + columns]
    return Lattice(window, row, column, np.ascontiguousarray(cut))


def _square(sky: WCS, exposure: WCS, row: int, column: int) -> Floats:
    """Positions (2, `_SQUARE`, `_SQUARE`) of an aligned square of nodes."""
    along = STEP * np.arange(_SQUARE, dtype=np.float64)
    y, x = np.meshgrid(along + STEP * _SQUARE * row, along + STEP * _SQUARE * column, indexing="ij")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # Far from the exposure a distortion may diverge; that is told by the way back.
        warnings.simplefilter("ignore")
        world = sky.all_pix2world(x.ravel(), y.ravel(), 0, ra_dec_order=True)
        there = exposure.all_world2pix(
            *world, 0, tolerance=1e-9, maxiter=30, quiet=True, ra_dec_order=True
        )
        back = exposure.all_pix2world(*there, 0, ra_dec_order=True)
        miss = np.linalg.norm(unit_vectors(*back) - unit_vectors(*world), axis=-1)
    pixel = np.radians(np.sqrt(abs(np.linalg.det(exposure.pixel_scale_matrix))))
    reached = miss <= _TOLERANCE * pixel
    position = np.stack([there[1], there[0]])
    return np.where(reached, position, np.nan).reshape(2, _SQUARE, _SQUARE)


def needed(
    lattice: Lattice, window: Window, shape: tuple[int, int], margin: int = 3
) -> Window | None:
    """Tell which pixels of an exposure a window needs.

    Parameters
    ----------
    lattice
        Positions on the exposure.
    window
        Pixels of the sky map, within those of the lattice.
    shape
        (Y, X) of the exposure.
    margin
        Reach of the kernel in pixels of the exposure; that of Lanczos-3 suffices for all.

    Returns
    -------
    (y0, y1, x0, x1) or None
        A section of the exposure that holds every pixel needed, and perhaps a few more; None if
        there is none.
    """
    y0, y1, x0, x1 = window
    rows = slice(y0 // STEP - 1 - lattice.row, (y1 - 1) // STEP + 3 - lattice.row)
    columns = slice(x0 // STEP - 1 - lattice.column, (x1 - 1) // STEP + 3 - lattice.column)
    nodes = lattice.nodes[:, rows, columns]
    # The map is one-to-one near the exposure: what is inside the border stays inside. Should it
    # fold far away, an exposure that lies within the window still holds nodes, or meets the border.
    parts = [(y0, y0 + 1, x0, x1), (y1 - 1, y1, x0, x1), (y0, y1, x0, x0 + 1), (y0, y1, x1 - 1, x1)]
    if not np.isfinite(nodes).all():
        parts = [window]
    points = [lattice.positions(part)[:2].reshape(2, -1) for part in parts]
    points.append(nodes[:, 1:-2, 1:-2].reshape(2, -1))
    every = np.concatenate(points, axis=1)
    every = every[:, np.isfinite(every).all(axis=0)]
    if not every.size:
        return None
    bounds = np.array(shape)
    low = np.clip(np.floor(every.min(axis=1)) - margin, 0, bounds).astype(int)
    high = np.clip(np.floor(every.max(axis=1)) + margin + 2, 0, bounds).astype(int)
    if (low >= high).any():
        return None
    return int(low[0]), int(high[0]), int(low[1]), int(high[1])


@nb.njit(nogil=True, cache=True)
def _cubic(a, b, c, d):  # type: ignore[no-untyped-def]
    """Coefficients in t of the cubic through a, b, c, d at t = -1, 0, 1, 2."""
    return b, c - a / 3 - b / 2 - d / 6, (a + c) / 2 - b, (d - a) / 6 + (b - c) / 2


@nb.njit(nogil=True, cache=True)
def _interpolate(nodes, row, column, out):  # type: ignore[no-untyped-def]
    """Fill `out` as `Lattice.positions` has it; its corner lies at (row, column) from node 0, 0."""
    _, height, width = out.shape
    along = np.empty((4, 4))
    for y in range(height):
        j, rest = divmod(row + y, STEP)
        t = rest / STEP
        start = 0
        while start < width:
            i, first = divmod(column + start, STEP)
            stop = min(width, start + STEP - first)
            # Values and slopes along y at the four columns of nodes around the cell.
            for k in range(4):
                for axis in range(2):
                    c0, c1, c2, c3 = _cubic(
                        nodes[axis, j - 1, i - 1 + k], nodes[axis, j, i - 1 + k],
                        nodes[axis, j + 1, i - 1 + k], nodes[axis, j + 2, i - 1 + k],
                    )  # fmt: skip
                    along[axis, k] = ((c3 * t + c2) * t + c1) * t + c0
                    along[2 + axis, k] = (3 * c3 * t + 2 * c2) * t + c1
            y0, y1, y2, y3 = _cubic(along[0, 0], along[0, 1], along[0, 2], along[0, 3])
            x0, x1, x2, x3 = _cubic(along[1, 0], along[1, 1], along[1, 2], along[1, 3])
            p0, p1, p2, p3 = _cubic(along[2, 0], along[2, 1], along[2, 2], along[2, 3])
            q0, q1, q2, q3 = _cubic(along[3, 0], along[3, 1], along[3, 2], along[3, 3])
            for x in range(start, stop):
                s = (first + x - start) / STEP
                out[0, y, x] = ((y3 * s + y2) * s + y1) * s + y0
                out[1, y, x] = ((x3 * s + x2) * s + x1) * s + x0
                by_y = ((p3 * s + p2) * s + p1) * s + p0  # d y / d t, down the cell
                bx_y = ((q3 * s + q2) * s + q1) * s + q0
                by_x = (3 * y3 * s + 2 * y2) * s + y1
                bx_x = (3 * x3 * s + 2 * x2) * s + x1
                out[2, y, x] = abs(by_y * bx_x - bx_y * by_x) / (STEP * STEP)
            start = stop
