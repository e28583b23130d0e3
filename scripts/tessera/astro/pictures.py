"""Pictures of a survey: exposures before and after cleaning, co-adds, the mosaic, residuals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.colors import FuncNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from tessera.astro.bits import BAD, CR, EDGE, SAT
from tessera.astro.quality import FAINT_SNR, block_width, isolated_points, robust
from tessera.astro.skymap import Window
from tessera.astro.thumbnail import thumbnail
from tessera.figures import (
    BLUE,
    FIGURE_WIDTH,
    GREEN,
    GREY,
    ORANGE,
    QUANTITY_MAP,
    VERMILION,
    house_style,
    png,
)

Plane = npt.NDArray[Any]

_LIMIT = 650  # pixels of a plane as drawn: as many as the picture has
_LIGHT = "gray_r"  # dark on white: colours of marks are told apart on it
_NOTHING = "#e9ecf0"
_BITS = (
    (CR, ORANGE, "cosmic ray"),
    (SAT, VERMILION, "saturated"),
    (BAD, BLUE, "defective"),
    (EDGE, GREEN, "edge"),
)
_FLUX = "flux per pixel (ADU at the zero point)"
_MOST_MARKED = 3000
_FEWEST = 5
_MINUS = "\N{MINUS SIGN}"


@house_style()
def exposure_picture(raw: Plane, cleaned: Plane, mask: Plane, title: str) -> bytes:
    """Draw a detector before and after cleaning, masked pixels in the colour of their bit.

    Parameters
    ----------
    raw, cleaned
        (Y, X) ADU; the second without sky.
    mask
        (Y, X) bits of `tessera.astro.bits`.
    title
        Names the exposure and the detector.

    Returns
    -------
    bytes
        PNG.
    """
    figure, axes, bars = _two_panels(raw.shape)
    for panel, bar, plane, name in zip(
        axes, bars, (raw, cleaned), ("as read", "cleaned"), strict=True
    ):
        small = thumbnail(plane, _LIMIT)
        stretch = _stretch([small])
        shown = _show(panel, small, raw.shape, cmap=_light(), norm=stretch)
        _level_bar(figure, shown, stretch, bar, "counts (ADU)")
        panel.set_title(f"{title}, {name}" if panel is axes[0] else name, parse_math=False)
        panel.set(xlabel="x (pixels)")
    axes[0].set_ylabel("y (pixels)")

    keys = []
    cover = np.zeros(thumbnail(mask, _LIMIT).shape, np.uint8)
    for number, (bit, colour, name) in reversed(list(enumerate(_BITS, 1))):
        marked = (mask & bit) != 0
        if count := int(np.count_nonzero(marked)):
            cover[thumbnail(marked, _LIMIT) > 0] = number
            keys.append(Patch(color=colour, label=f"{name}: {_count(count, 'pixel')}"))
    colours = ListedColormap(["none", *(colour for _, colour, _ in _BITS)])
    _show(axes[1], cover, raw.shape, cmap=colours, vmin=0, vmax=len(_BITS))
    if keys:
        _legend(figure, axes[1], keys[::-1])
    return png(figure)


@house_style()
def coadd_picture(
    image: Plane,
    variance: Plane,
    n_images: Plane,
    sources: pd.DataFrame,
    *,
    zero_point: float,
    pixel_scale: float,
    title: str,
) -> bytes:
    """Draw a co-add with its sources marked, and its depth.

    Parameters
    ----------
    image, variance
        (Y, X), NaN where there is no data.
    n_images
        (Y, X) exposures per pixel.
    sources
        Rows of the catalogue that lie on it.
    zero_point, pixel_scale
        Magnitude of a flux of 1; arcsec per pixel.
    title
        Names the patch.

    Returns
    -------
    bytes
        PNG. The depth is the magnitude of a point source of a signal-to-noise ratio of 5: noise of
        the pixel times the median ratio of the errors of faint point sources to it. Where these are
        fewer than five, the number of exposures is shown instead.
    """
    figure, axes, bars = _two_panels(image.shape)
    small = thumbnail(image, _LIMIT)
    stretch = _stretch([small])
    shown = _show(axes[0], small, image.shape, cmap=_light(), norm=stretch)
    _level_bar(figure, shown, stretch, bars[0], _FLUX)
    axes[0].set_title(f"{title}: {_count(len(sources), 'source')}", parse_math=False)
    axes[0].set(xlabel="x (pixels)", ylabel="y (pixels)")
    _mark_sources(figure, axes[0], sources, pixel_scale, max(image.shape))

    # In blocks about as large as a source: the variance of single pixels goes up and down with the
    # phase of the resampling, that of sources does not.
    noise = np.sqrt(thumbnail(np.where(n_images > 0, variance, np.nan), _LIMIT // 4))
    ratio = _error_per_noise(sources, variance)
    if ratio is None:
        exposures = thumbnail(np.where(n_images > 0, n_images, np.nan), _LIMIT)
        shown = _show(axes[1], exposures, image.shape, cmap=_quantity(), vmin=0)
        axes[1].set_title("number of exposures")
        _exposures_bar(figure, shown, bars[1])
    else:
        with np.errstate(divide="ignore"):
            depth = zero_point - 2.5 * np.log10(5 * ratio * noise)
        low, high = _range(depth, 1, 99.5)
        shown = _show(axes[1], depth, image.shape, cmap=_quantity(), vmin=low, vmax=high)
        axes[1].set_title("depth")
        label = "5-sigma point source (mag)"
        figure.colorbar(shown, cax=bars[1], orientation="horizontal", label=label, extend="both")
    axes[1].set(xlabel="x (pixels)")
    return png(figure)


@house_style()
def mosaic_picture(
    images: Mapping[str, Plane],
    n_images: Mapping[str, Plane],
    windows: Mapping[str, Window],
    pixel_scale: float,
) -> bytes:
    """Draw all patches at their places on the global grid, and the exposures behind them.

    Parameters
    ----------
    images, n_images
        Name of a patch to its thumbnails: mean flux and mean number of exposures.
    windows
        Name of a patch to its pixels of the global grid.
    pixel_scale
        Arcsec per pixel of that grid.

    Returns
    -------
    bytes
        PNG, in arcmin from the middle of what is shown.
    """
    y0, y1, x0, x1 = (
        pick(window[k] for window in windows.values())
        for k, pick in enumerate((min, max, min, max))
    )
    arcmin = pixel_scale / 60
    y, x = (y0 + y1) / 2, (x0 + x1) / 2
    figure, axes, bars = _two_panels((y1 - y0, x1 - x0))
    stretch = _stretch(list(images.values()))
    most = max((float(np.nanmax(n, initial=0.0)) for n in n_images.values()), default=0.0)
    colours: dict[str, Any] = {"cmap": _quantity(), "vmin": 0, "vmax": max(most, 1)}
    for name, window in windows.items():
        shape = window[1] - window[0], window[3] - window[2]
        corner = (window[2] - x) * arcmin, (window[0] - y) * arcmin
        place: dict[str, Any] = {"shape": shape, "corner": corner, "unit": arcmin}
        light = _show(axes[0], images[name], **place, cmap=_light(), norm=stretch)
        seen = np.where(n_images[name] > 0, n_images[name], np.nan)
        count = _show(axes[1], seen, **place, **colours)
        width, height = shape[1] * arcmin, shape[0] * arcmin
        for panel in axes:
            panel.add_patch(Rectangle(corner, width, height, fill=False, ec=GREY, lw=0.4))
        if len(windows) <= 30:
            axes[1].text(
                corner[0] + width / 2,
                corner[1] + height / 2,
                name,
                ha="center",
                va="center",
                fontsize=8,
                color="white",
                path_effects=[withStroke(linewidth=1.5, foreground="black")],
                parse_math=False,
            )
    for panel in axes:
        panel.set(
            xlim=((x0 - x) * arcmin, (x1 - x) * arcmin),
            ylim=((y0 - y) * arcmin, (y1 - y) * arcmin),
            xlabel="x from the middle (arcmin)",
            facecolor=_NOTHING,
        )
    axes[0].set_ylabel("y from the middle (arcmin)")
    axes[0].set_title("co-add of all patches")
    axes[1].set_title("number of exposures")
    _level_bar(figure, light, stretch, bars[0], _FLUX)
    _exposures_bar(figure, count, bars[1])
    return png(figure)


@house_style()
def notice_picture(text: str) -> bytes:
    """Draw one line of text, for a picture that there is nothing to make of; PNG."""
    figure = Figure(figsize=(FIGURE_WIDTH, 1.0))
    figure.text(0.5, 0.5, text, ha="center", va="center", color=GREY, fontsize=12, parse_math=False)
    return png(figure)


def _two_panels(shape: Sequence[int]) -> tuple[Figure, list[Axes], list[Axes]]:
    """Lay out two images of (Y, X) pixels side by side, a colour bar below each."""
    wide = 4.35
    tall = float(np.clip(wide * shape[0] / shape[1], 1.5, 8.0))
    below, above = 1.15, 0.35
    height = below + tall + above
    figure = Figure(figsize=(FIGURE_WIDTH, height))
    axes, bars = [], []
    for left in (0.65, 5.5):
        box = left / FIGURE_WIDTH, below / height, wide / FIGURE_WIDTH, tall / height
        axes.append(figure.add_axes(box, facecolor=_NOTHING))
        bar = (left + 0.2) / FIGURE_WIDTH, 0.48 / height, 2.1 / FIGURE_WIDTH, 0.12 / height
        bars.append(figure.add_axes(bar))
    return figure, axes, bars


def _show(
    panel: Axes,
    small: Plane,
    shape: Sequence[int],
    *,
    corner: tuple[float, float] = (-0.5, -0.5),
    unit: float = 1.0,
    **style: Any,
) -> AxesImage:
    """Draw the thumbnail of a plane of (Y, X) pixels, row 0 at the bottom.

    `corner` is the place of its lower left corner, `unit` the width of a pixel. Blocks at the other
    ends may reach beyond the plane.
    """
    (left, bottom), step = corner, block_width(shape, small) * unit
    right, top = left + small.shape[1] * step, bottom + small.shape[0] * step
    extent = (left, right, bottom, top)
    shown = panel.imshow(small, extent=extent, origin="lower", interpolation="nearest", **style)
    panel.set(xlim=(left, left + shape[1] * unit), ylim=(bottom, bottom + shape[0] * unit))
    return shown


def _light() -> mpl.colors.Colormap:
    return mpl.colormaps[_LIGHT].with_extremes(bad=_NOTHING)


def _quantity() -> mpl.colors.Colormap:
    return mpl.colormaps[QUANTITY_MAP].with_extremes(bad=_NOTHING)


def _stretch(planes: Sequence[Plane]) -> FuncNorm:
    """Return a stretch that shows the noise of the sky and bright stars alike."""
    values = np.concatenate([plane[np.isfinite(plane)] for plane in planes])
    sky, noise = robust(values)
    if not noise > 0:
        sky, noise = (float(np.median(values)) if values.size else 0.0), 1.0
    top = float(np.percentile(values, 99.8)) if values.size else 0.0

    def forward(value: Plane) -> Plane:
        drawn: Plane = np.arcsinh((value - sky) / (3 * noise))
        return drawn

    def inverse(drawn: Plane) -> Plane:
        value: Plane = sky + 3 * noise * np.sinh(drawn)
        return value

    return FuncNorm((forward, inverse), sky - 5 * noise, max(top, sky + 30 * noise))


def _level_bar(figure: Figure, shown: AxesImage, stretch: FuncNorm, bar: Axes, label: str) -> None:
    """Draw the colour bar of a stretched image, ticks evenly spaced as drawn."""
    figure.colorbar(shown, cax=bar, orientation="horizontal", label=label)
    low, *ticks, high = np.asarray(stretch.inverse(np.array([0, 0.05, 0.35, 0.65, 0.95, 1])))
    bar.set_xticks(ticks, [_figure(tick, high - low) for tick in ticks])
    bar.minorticks_off()


def _exposures_bar(figure: Figure, shown: AxesImage, bar: Axes) -> None:
    figure.colorbar(shown, cax=bar, orientation="horizontal", label="exposures")
    bar.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _figure(value: float, span: float) -> str:
    """Write a number with as many decimals as a span of values needs."""
    decimals = max(0, 2 - int(np.floor(np.log10(span))))
    return f"{value:,.{decimals}f}".replace("-", _MINUS)


def _range(values: Plane, low: float, high: float) -> tuple[float, float]:
    """Return two percentiles of the finite values, apart from each other."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    bottom, top = (float(np.percentile(finite, each)) for each in (low, high))
    return (bottom, top) if top > bottom else (bottom - 0.1, top + 0.1)


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _legend(figure: Figure, panel: Axes, keys: Sequence[Any]) -> None:
    """Put a legend beside the colour bar of a panel."""
    place = panel.get_position()
    anchor = place.x0 + 2.45 / FIGURE_WIDTH, 0.03
    figure.legend(handles=list(keys), loc="lower left", bbox_to_anchor=anchor, fontsize=8)


def _mark_sources(
    figure: Figure, panel: Axes, sources: pd.DataFrame, pixel_scale: float, size: int
) -> None:
    """Draw circles around point sources and ellipses around extended ones."""
    brightest = sources.nlargest(_MOST_MARKED, "snr")
    extended = brightest["extended"].to_numpy(bool)
    least = 0.012 * size  # else nothing of a mark could be seen
    keys = []
    for chosen, colour, name in (
        (~extended, BLUE, "point source"),
        (extended, VERMILION, "extended source"),
    ):
        rows = brightest[chosen]
        if rows.empty:
            continue
        if name == "point source":
            width = max(2.5 * float(rows["fwhm"].median()) / pixel_scale, least)
            wide = high = np.full(len(rows), width)
            angles = np.zeros(len(rows))
        else:
            wide, high = (np.maximum(6 * rows[axis].to_numpy(), least) for axis in "ab")
            angles = np.degrees(rows["theta"].to_numpy())
        panel.add_collection(
            EllipseCollection(
                wide,
                high,
                angles,
                units="xy",
                facecolors="none",
                edgecolors=colour,
                linewidths=0.6,
                offsets=rows[["x", "y"]].to_numpy(),
                offset_transform=panel.transData,
            )
        )
        total = int((sources["extended"] == (name != "point source")).sum())
        label = _count(total, name)
        keys.append(Patch(facecolor="none", edgecolor=colour, label=label))
    if len(sources) > _MOST_MARKED:
        keys.append(Patch(color="none", label=f"the {_MOST_MARKED:,} most significant are marked"))
    if keys:
        _legend(figure, panel, keys)


def _error_per_noise(sources: pd.DataFrame, variance: Plane) -> float | None:
    """Return the error of a faint point source over the noise of a pixel; None if too few tell."""
    faint = sources[isolated_points(sources) & (sources["snr"] < FAINT_SNR)]
    row, column = (
        np.clip(np.rint(faint[axis]).astype(int), 0, n - 1)
        for axis, n in zip("yx", variance.shape, strict=True)
    )
    ratios = faint["flux_err"].to_numpy() / np.sqrt(variance[row, column])
    ratios = ratios[np.isfinite(ratios)]
    return float(np.median(ratios)) if ratios.size >= _FEWEST else None
