"""Charts of the comparison: distributions of sizes, numbers of objects, agreement of points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from tessera.figures import (
    FIGURE_WIDTH,
    GREY,
    PALETTE,
    QUANTITY_MAP,
    house_style,
    png,
    shorten,
)

_FAINT = "#c3c9d1"
_MARKERS = "osD^vPX*"
short = partial(shorten, longest=38)  # most points of a grid have names that fit

IMAGES = 12
"""Images that a chart has panels of."""
_WRITTEN = 12  # points up to which numbers are written into the chart of agreement


def size_unit(unit: str, ndim: int) -> str:
    """Return the unit of volumes, or of areas in two dimensions."""
    power = {2: "²", 3: "³"}[ndim]
    return f"{unit}{power}" if unit else {2: "pixels", 3: "voxels"}[ndim]


def size_name(unit: str, ndim: int) -> str:
    """Return what sizes are called on an axis."""
    name = {2: "area", 3: "volume"}[ndim]
    return f"{name} of an object ({size_unit(unit, ndim)})"


@house_style()
def size_chart(
    sizes: pd.DataFrame, images: Sequence[str], params: Sequence[str], axis: str
) -> bytes:
    """Draw how sizes of objects are distributed, a panel per image and a line per point.

    Parameters
    ----------
    sizes
        Rows of ``sizes.parquet``.
    images, params
        Names in their order; the first `IMAGES` images are shown, and the first eight points have
        colours of their own.
    axis
        Name and unit of sizes.

    Returns
    -------
    bytes
        PNG.
    """
    shown = list(images[:IMAGES])
    figure, panels = _panels(len(shown))
    for panel, image in zip(panels, shown, strict=False):
        of_image = sizes[sizes["image"] == image]
        for k, point in reversed(list(enumerate(params))):
            rows = of_image[of_image["params"] == point].sort_values("bin")
            if rows.empty:
                continue
            # Bins without objects are not in the table, and are drawn as none.
            full = np.arange(rows["bin"].min(), rows["bin"].max() + 1)
            high = np.zeros(len(full))
            high[rows["bin"].to_numpy() - full[0]] = rows["objects"]
            ratio = float(rows["high"].iloc[0] / rows["low"].iloc[0])
            edges = rows["low"].iloc[0] * ratio ** np.arange(len(full) + 1)
            named = k < len(PALETTE)
            panel.stairs(
                high, edges, color=PALETTE[k] if named else _FAINT, lw=1.3 if named else 0.8,
                label=short(point) if named else None, baseline=None,
            )  # fmt: skip
        panel.set_title(short(image), parse_math=False)
        if of_image.empty:
            _nothing(panel, "no object to tell the size of")
            panel.set_axis_off()
            continue
        panel.set_xscale("log")
        # A decade at least: its ends are what is labelled.
        panel.set_xlim(*_decades(float(of_image["low"].min()), float(of_image["high"].max())))
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        panel.set_ylim(bottom=0)
    of = sizes[sizes["image"].isin(shown)]
    if len(of) and len(params) > 1:
        _legend(figure, panels, sorted(set(of["params"]) & set(params), key=params.index))
    figure.supxlabel(axis, fontsize=9)
    figure.supylabel("objects", fontsize=9)
    return png(figure)


@house_style()
def stability_chart(counts: pd.DataFrame, parameters: pd.DataFrame, images: Sequence[str]) -> bytes:
    """Draw the number of objects against what varies, a panel per image and a line per filter.

    Parameters
    ----------
    counts
        Rows of ``counts.tsv``.
    parameters
        Rows of ``parameters.parquet``, in the order of the grid.
    images
        Names in their order; the first `IMAGES` are shown.

    Returns
    -------
    bytes
        PNG. Along x is the number that alone differs within a filter, if there is one; else every
        combination of threshold and morphology, in the order of the grid.
    """
    name, place = along(parameters)
    grid = parameters.assign(_place=place)
    filters = list(dict.fromkeys(grid["filter"]))
    figure, panels = _panels(min(len(images), IMAGES))
    for panel, image in zip(panels, images[:IMAGES], strict=False):
        rows = grid.merge(counts[counts["image"] == image], on="params")
        for k, each in enumerate(filters):
            line = rows[rows["filter"] == each].sort_values("_place", kind="stable")
            panel.plot(
                line["_place"], line["objects"], color=PALETTE[k % len(PALETTE)], lw=1.2, ms=4,
                marker=_MARKERS[k % len(_MARKERS)], label=short(each), clip_on=False,
            )  # fmt: skip
        panel.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        panel.set_ylim(0, max(1.0, 1.08 * float(rows["objects"].max())) if len(rows) else 1.0)
        panel.set_title(short(image), parse_math=False)
        if not name:
            steps = grid["threshold"] + ", " + grid["morphology"]
            names = dict(zip(place, steps.map(short), strict=True))
            panel.set_xticks(
                list(names), list(names.values()), rotation=40, ha="right", fontsize=7,
                parse_math=False,
            )  # fmt: skip
            panel.margins(x=0.1)
    if len(filters) > 1:
        _legend(figure, panels, filters)
    figure.supxlabel(name or "threshold, morphology", fontsize=9)
    figure.supylabel("objects", fontsize=9)
    return png(figure)


def along(parameters: pd.DataFrame) -> tuple[str, list[float]]:
    """Return what varies within a filter, and where each point of the grid lies along it.

    Returns
    -------
    str
        Name of the number; empty if it is not one number alone.
    list
        Its values; places of threshold and morphology in the order of the grid otherwise.
    """
    names = {"value": "threshold", "low": "low threshold", "high": "high threshold",
             "radius": "radius of the morphology (voxels)"}  # fmt: skip
    kinds = parameters[["threshold_name", "op"]].drop_duplicates()
    varying = [name for name in names if parameters[name].nunique(dropna=False) > 1]
    if len(kinds) == 1 and len(varying) == 1:
        return names[varying[0]], [float(value) for value in parameters[varying[0]]]
    steps = list(zip(parameters["threshold"], parameters["morphology"], strict=True))
    order = {step: float(k) for k, step in enumerate(dict.fromkeys(steps))}
    return "", [order[step] for step in steps]


@house_style()
def agreement_chart(agreement: pd.DataFrame, params: Sequence[str]) -> bytes:
    """Draw how well every two points agree, as the mean of F1 over images.

    Parameters
    ----------
    agreement
        Rows of ``agreement.tsv``; those without F1 (no object at either point) do not count.
    params
        Points, in the order of the grid.

    Returns
    -------
    bytes
        PNG. What is not known is left blank.
    """
    count = len(params)
    share = np.full((count, count), np.nan)
    np.fill_diagonal(share, 1)
    number = {point: k for k, point in enumerate(params)}
    means = agreement.dropna(subset="f1").groupby(["params_a", "params_b"])["f1"].mean()
    for (a, b), value in means.items():
        share[number[a], number[b]] = share[number[b], number[a]] = value
    cell = float(np.clip(5.5 / count, 0.16, 0.55))
    side = cell * count
    longest = max(len(short(point)) for point in params)
    left, below = 0.3 + 0.07 * longest, 0.3 + 0.045 * longest  # names are 8 points tall at most
    figure = Figure(figsize=(FIGURE_WIDTH, side + below + 0.2))
    height = float(figure.get_figheight())
    panel = figure.add_axes(
        (left / FIGURE_WIDTH, below / height, side / FIGURE_WIDTH, side / height)
    )
    panel.set_facecolor("#f1f3f5")
    image = panel.imshow(share, cmap=QUANTITY_MAP, vmin=0, vmax=1, aspect="auto")
    names = [short(point) for point in params]
    size = min(8.0, 72 * 0.7 * cell)
    panel.set_xticks(range(count), names, rotation=40, ha="right", fontsize=size, parse_math=False)
    panel.set_yticks(range(count), names, fontsize=size, parse_math=False)
    if count <= _WRITTEN:
        for (a, b), value in np.ndenumerate(share):
            if np.isfinite(value):
                colour = "white" if value < 0.6 else "black"
                words = f"{value:.2f}"
                panel.text(b, a, words, ha="center", va="center", fontsize=7, color=colour)
    tall = min(side, 2.0)
    place = (left + side + 0.2, below + side - tall, 0.13, tall)
    bar = figure.add_axes(
        (place[0] / FIGURE_WIDTH, place[1] / height, place[2] / FIGURE_WIDTH, place[3] / height)
    )
    figure.colorbar(image, cax=bar, label="F1 of objects")
    return png(figure)


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    """Make a panel per image, at least one."""
    across = min(max(count, 1), 3)
    down = -(-max(count, 1) // across)
    figure = Figure(figsize=(FIGURE_WIDTH, 2.6 * down + 0.9), layout="constrained")
    panels = list(figure.subplots(down, across, squeeze=False).ravel())
    for panel in panels[max(count, 1) :]:
        panel.set_axis_off()
    return figure, panels


def _legend(figure: Figure, panels: Sequence[Axes], order: Sequence[str]) -> None:
    """Name what the lines of all panels are, once, in the order given."""
    there: dict[str, Artist] = {}
    for panel in panels:
        handles, labels = panel.get_legend_handles_labels()
        there.update(zip(labels, handles, strict=True))
    names = [name for name in map(short, order) if name in there]
    if not names:
        return
    legend = figure.legend(
        handles=[there[name] for name in names], labels=names, loc="outside upper left", fontsize=8,
        ncols=min(3, max(1, len(names))), columnspacing=1.2, handlelength=1.6,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)


def _decades(low: float, high: float) -> tuple[float, float]:
    """Return powers of ten around a range."""
    return 10.0 ** math.floor(math.log10(low)), 10.0 ** math.ceil(math.log10(high))


def _nothing(panel: Axes, words: str) -> None:
    panel.text(0.5, 0.5, words, ha="center", va="center", transform=panel.transAxes, color=GREY)
