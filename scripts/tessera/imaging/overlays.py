"""Pictures of a plane of an image with the outlines of the objects in it."""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from tessera.figures import FIGURE_WIDTH, ORANGE, house_style, png
from tessera.imaging.charts import short

T = TypeVar("T", bound=np.generic)

_PIXELS = 1400  # of a picture's longer edge, at most
_TALL = 7.5  # inches of a picture at most
_ORANGE = tuple(int(ORANGE[k : k + 2], 16) for k in (1, 3, 5))
_CLIP = (0.5, 99.5)  # percentiles shown black and white


def busiest(lo: npt.ArrayLike, hi: npt.ArrayLike, depth: int) -> int:
    """Return the plane that cuts the most objects; of several the one nearest to the middle.

    Parameters
    ----------
    lo, hi
        (N,) first planes of objects, and those after their last.
    depth
        Number of planes.
    """
    steps = np.bincount(np.asarray(lo, np.int64), minlength=depth + 1)
    steps -= np.bincount(np.asarray(hi, np.int64), minlength=depth + 1)
    cut = np.cumsum(steps)[:depth]
    best = np.flatnonzero(cut == cut.max())
    return int(best[np.argmin(abs(2 * best - (depth - 1)))])


@house_style()
def overlay(
    plane: npt.NDArray[np.generic],
    labels: npt.NDArray[np.generic],
    *,
    title: str,
    pixel_size: tuple[float, float] = (1.0, 1.0),
    unit: str = "",
) -> bytes:
    """Draw a plane in grey with the outlines of objects.

    Parameters
    ----------
    plane : (y, x) array
        Intensities.
    labels : (y, x) array of bool or integers
        Objects, or where any is; outlines are drawn where the number changes, inside of objects.
    title
        What it shows.
    pixel_size
        Edges of a pixel along y and x.
    unit
        Of `pixel_size`; a scale bar is drawn if it is known.

    Returns
    -------
    bytes
        PNG. Large planes are shrunk: each pixel is the mean of a block, and is an outline where
        the block has one. Grey goes from the 0.5th to the 99.5th percentile.
    """
    shrink = -(-max(plane.shape) // _PIXELS)
    grow = max(1, _PIXELS // 2 // max(plane.shape))
    grey = _repeated(_blocks(plane, shrink), grow)
    # On a plane that is shown larger an outline is as wide as that allows: a third of a pixel.
    lines = _outline(_repeated(labels, grow))
    for _ in range(max(0, grow // 3 - 1)):
        inside = np.where(lines, 0, _repeated(labels, grow))
        lines |= _outline(inside)
    shown = np.repeat(_scaled(grey)[..., None], 3, axis=2)
    shown[_blocks(lines, shrink) > 0] = _ORANGE
    aspect = pixel_size[0] / pixel_size[1]
    height, width = shown.shape[0] * aspect, float(shown.shape[1])
    scale = min(FIGURE_WIDTH / width, _TALL / height)
    tall = height * scale + 0.3
    figure = Figure(figsize=(FIGURE_WIDTH, tall))
    axes = figure.add_axes((0, 0, width * scale / FIGURE_WIDTH, height * scale / tall))
    axes.imshow(shown, aspect="auto", interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(short(title), parse_math=False)
    if unit:
        _bar(axes, plane.shape[1] * pixel_size[1], unit)
    return png(figure)


def _repeated(plane: npt.NDArray[T], times: int) -> npt.NDArray[T]:
    return plane.repeat(times, axis=0).repeat(times, axis=1)


def _blocks(plane: npt.NDArray[np.generic], edge: int) -> npt.NDArray[np.float64]:
    """Return the means of blocks; those at the ends may be smaller."""
    if edge == 1:
        return plane.astype(np.float64)
    total = plane
    for axis in (0, 1):
        total = np.add.reduceat(total, np.arange(0, plane.shape[axis], edge), axis, np.float64)
    sizes = [np.diff(np.append(np.arange(0, n, edge), n)) for n in plane.shape]
    return total / np.outer(*sizes)


def _outline(labels: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Return the pixels of objects beside one of something else."""
    lines = np.zeros(labels.shape, bool)
    across, along = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    lines[1:] |= across
    lines[:-1] |= across
    lines[:, 1:] |= along
    lines[:, :-1] |= along
    return lines & (labels != 0)


def _scaled(grey: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    low, high = np.percentile(grey, _CLIP)
    if high <= low:
        low, high = float(grey.min()), float(grey.max())
    share = (grey - low) / (high - low) if high > low else np.zeros(grey.shape)
    return np.round(255 * np.clip(share, 0, 1)).astype(np.uint8)


def _bar(axes: Axes, width: float, unit: str) -> None:
    """Draw a bar of a round length, up to a quarter of the width."""
    length = bar_length(width)
    dark = [withStroke(linewidth=2.5, foreground="black")]
    start, share = 0.03, length / width
    axes.plot(
        [start, start + share], [0.05, 0.05], transform=axes.transAxes, color="white", lw=3,
        solid_capstyle="butt", path_effects=[withStroke(linewidth=5, foreground="black")],
    )  # fmt: skip
    axes.annotate(
        f"{length:g} {unit}", (start, 0.05), (0, 5), "axes fraction", "offset points",
        path_effects=dark, parse_math=False, color="white", fontsize=8,
    )  # fmt: skip


def bar_length(width: float) -> float:
    """Return the largest of 1, 2, 5, 10, ... that is at most a quarter of a width."""
    power = 10.0 ** math.floor(math.log10(width / 4))
    return max((step * power for step in (1, 2, 5) if step * power <= width / 4), default=power)
