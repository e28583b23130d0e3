"""Pictures of arrays in one house style: slice mosaics, colours, and PNG of reproducible bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from nibabel.affines import voxel_sizes
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

# Okabe & Ito's palette: told apart with any colour vision.
BLUE, VERMILION, ORANGE, GREEN, SKY = "#0072B2", "#D55E00", "#E69F00", "#009E73", "#56B4E9"
PALETTE = (BLUE, VERMILION, GREEN, ORANGE, SKY, "#CC79A7", "#1f2933", "#F0E442")
GREY = "#6b7280"
QUANTITY_MAP = "viridis"  # perceptually uniform: equal steps of value look equal

FIGURE_WIDTH = 10.0  # inches; shown about 1,050 pixels wide on a page
_BAR_WIDTH = 1.15  # inches kept to the right of a mosaic for its colour bar or key

_STYLE = {
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "legend.frameon": False,
}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw with the house style alone, whatever the user's own matplotlib settings are.

    A context manager that serves as a decorator too.
    """
    settings: dict[Any, Any] = {**mpl.rcParamsDefault, **_STYLE}
    del settings["backend"]
    with mpl.rc_context(settings):
        yield


def png(figure: Figure) -> bytes:
    """Return a figure as PNG, without the date and program name that would change its bytes."""
    buffer = BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def shorten(name: str, longest: int = 24) -> str:
    """Cut a name that is too long for a chart."""
    return name if len(name) <= longest else name[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"


class AxialView:
    """Axial slices of a volume as a reader expects them: anterior up, the subject's left at left.

    Parameters
    ----------
    affine : (4, 4) array
        From voxel indices (x, y, z) to scanner RAS coordinates in mm.
    extent : (Z, Y, X) array of bool
        What the slices should span, usually the mask. Rows and columns far from it are cropped.
        Where it is empty the whole volume is shown.
    n_slices : int
        At most this many slices, spread evenly.

    Attributes
    ----------
    pixel_aspect : float
        Height of a pixel over its width, in mm.
    positions : tuple of float
        Scanner z of each slice's centre in mm.
    """

    def __init__(self, affine: np.ndarray, extent: np.ndarray, n_slices: int = 12) -> None:
        self._orientation = io_orientation(affine)
        inside = self._oriented(extent)
        if not inside.any():
            inside = np.ones_like(inside)
        spans = []
        for axis in range(3):
            hit = np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis})))
            spans.append((int(hit[0]), int(hit[-1]) + 1))
        low, high = spans[2]
        count = min(n_slices, high - low)
        # The centres of `count` equal intervals: nearly empty slices at the two ends are left out.
        self._slices = low + np.floor((np.arange(count) + 0.5) * (high - low) / count).astype(int)
        margin = [max(1, round(0.04 * (b - a))) for a, b in spans[:2]]
        self._window = tuple(
            slice(max(a - m, 0), min(b + m, size))
            for (a, b), m, size in zip(spans[:2], margin, inside.shape, strict=False)
        )
        to_scanner = affine @ inv_ornt_aff(self._orientation, extent.shape[::-1])
        sizes = voxel_sizes(to_scanner)
        self.pixel_aspect = float(sizes[1] / sizes[0])
        centre = [(size - 1) / 2 for size in inside.shape[:2]]
        self.positions = tuple(
            float(to_scanner[2] @ [centre[0], centre[1], k, 1.0]) for k in self._slices
        )

    def _oriented(self, volume: np.ndarray) -> np.ndarray:
        return apply_orientation(np.asarray(volume).T, self._orientation)

    def tiles(self, volume: np.ndarray) -> np.ndarray:
        """Cut the slices out of a volume.

        Parameters
        ----------
        volume : (Z, Y, X) or (3, Z, Y, X) array
            A map, or three of them (red, green, blue).

        Returns
        -------
        (N, H, W) or (N, H, W, 3) array
            Row 0 is the most anterior, column 0 the leftmost of the subject.
        """
        if volume.ndim == 4:
            return np.stack([self.tiles(channel) for channel in volume], axis=-1)
        across, along = self._window
        cut = self._oriented(volume)[across, along][:, :, self._slices]
        return np.ascontiguousarray(cut.transpose(2, 1, 0)[:, ::-1])

    def labels(self) -> tuple[str, ...]:
        """Name each slice by its scanner z."""
        return tuple(
            f"z {position:.0f} mm".replace("-", "\N{MINUS SIGN}") for position in self.positions
        )


def mosaic(
    tiles: np.ndarray,
    *,
    pixel_aspect: float = 1.0,
    limits: tuple[float, float] = (0.0, 1.0),
    colours: str = "gray",
    bar_label: str = "",
    labels: Sequence[str] = (),
    sides: tuple[str, str] | None = None,
    outline: np.ndarray | None = None,
    highlight: np.ndarray | None = None,
) -> Figure:
    """Lay pictures side by side on black, with one colour scale for all.

    Parameters
    ----------
    tiles : (N, H, W) or (N, H, W, 3) array
        The pictures; values that are not finite are shown black. Three channels are red, green
        and blue in 0 to 1 and take no colour bar; the room for it is left to the caller.
    pixel_aspect : float
        Height of a pixel over its width.
    limits : (float, float)
        Values at the two ends of the colour scale.
    colours : str
        Name of a matplotlib colour map.
    bar_label : str
        Quantity and unit.
    labels : sequence of str
        A short name for each picture.
    sides : (str, str), optional
        What lies at the left and at the right edge, written on each picture.
    outline, highlight : (N, H, W) array of bool, optional
        Regions drawn as an exact outline of their pixels, and filled.

    Returns
    -------
    Figure
        To be drawn within `house_style`; its first axes hold the pictures.
    """
    # Three channels mark what is not shown by black, one by NaN.
    nothing = np.nan if tiles.ndim == 3 else 0
    tiles = tiles.astype(np.float32)
    border = [(0, 0), (1, 1), (1, 1)] + [(0, 0)] * (tiles.ndim - 3)
    tiles = np.pad(tiles, border, constant_values=nothing)
    n, height, width = tiles.shape[:3]
    rows = -(-n // 6)
    columns = -(-n // rows)
    # Inches per pixel width: fill the width, but neither blow a small tile up nor run off the page.
    scale = min(
        (FIGURE_WIDTH - _BAR_WIDTH) / (columns * width),
        7.0 / (rows * height * pixel_aspect),
        2.2 / width,
    )
    shown = (columns * width * scale, rows * height * pixel_aspect * scale)
    figure = Figure(figsize=(FIGURE_WIDTH, shown[1]))
    axes = figure.add_axes((0, 0, shown[0] / FIGURE_WIDTH, 1))
    axes.set_axis_off()

    canvas = _montage(tiles, rows, columns, nothing)
    image = axes.imshow(
        canvas if canvas.ndim == 3 else np.ma.masked_invalid(canvas),
        cmap=mpl.colormaps[colours].with_extremes(bad="black"),
        vmin=limits[0],
        vmax=limits[1],
        aspect="auto",
    )
    if highlight is not None:
        region = _montage(np.pad(highlight, border), rows, columns, False)
        cover = np.zeros((*region.shape, 4))
        cover[region] = mpl.colors.to_rgba(VERMILION, 0.8)
        axes.imshow(cover, aspect="auto", interpolation="nearest")
    if outline is not None:
        region = _montage(np.pad(outline, border), rows, columns, False)
        axes.add_collection(LineCollection(list(_edges(region)), colors=ORANGE, linewidths=0.9))
    _write_on_tiles(axes, labels, sides, columns, height, width)
    if tiles.ndim == 3:
        bar_height = min(shown[1] - 0.3, 2.2)
        bar = figure.add_axes(
            (
                (shown[0] + 0.15) / FIGURE_WIDTH,
                0.5 - bar_height / shown[1] / 2,
                0.13 / FIGURE_WIDTH,
                bar_height / shown[1],
            )
        )
        figure.colorbar(image, cax=bar, label=bar_label)
    return figure


def _montage(tiles: np.ndarray, rows: int, columns: int, nothing: float) -> np.ndarray:
    n, height, width, *channels = tiles.shape
    full = np.full((rows * columns, *tiles.shape[1:]), nothing, tiles.dtype)
    full[:n] = tiles
    grid = full.reshape(rows, columns, height, width, *channels)
    return grid.swapaxes(1, 2).reshape(rows * height, columns * width, *channels)


def _edges(region: np.ndarray) -> np.ndarray:
    """Return the (N, 2, 2) line segments between pixels inside and outside a region."""
    region = np.pad(region, 1)
    y, x = np.nonzero(region[1:] != region[:-1])
    flat = np.stack([np.stack([x - 1.5, y - 0.5], -1), np.stack([x - 0.5, y - 0.5], -1)], 1)
    y, x = np.nonzero(region[:, 1:] != region[:, :-1])
    upright = np.stack([np.stack([x - 0.5, y - 1.5], -1), np.stack([x - 0.5, y - 0.5], -1)], 1)
    return np.concatenate([flat, upright])


def _write_on_tiles(
    axes: Axes,
    labels: Sequence[str],
    sides: tuple[str, str] | None,
    columns: int,
    height: int,
    width: int,
) -> None:
    def write(x: float, y: float, text: str, across: str, along: str) -> None:
        axes.text(
            x * width - 0.5,
            y * height - 0.5,
            text,
            color="white",
            fontsize=7,
            ha=across,
            va=along,
            path_effects=[withStroke(linewidth=1.5, foreground="black")],
            parse_math=False,
        )

    for i, label in enumerate(labels):
        row, column = divmod(i, columns)
        write(column + 0.03, row + 0.02, label, "left", "top")
        if sides:
            write(column + 0.03, row + 0.98, sides[0], "left", "bottom")
            write(column + 0.97, row + 0.98, sides[1], "right", "bottom")
