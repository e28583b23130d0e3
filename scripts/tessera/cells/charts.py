"""Charts of a view: dot plot and heat map of markers, cells in the plane by group and by gene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PathCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from tessera.cells.definitions import unit
from tessera.figures import (
    FIGURE_WIDTH,
    GREY,
    PALETTE,
    QUANTITY_MAP,
    house_style,
    png,
    shorten,
)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_FAINT = "#d3d7dd"

_LEFT, _RIGHT, _TOP = 1.75, 1.25, 0.35  # inches around a panel of groups by genes
_CELL = (0.3, 0.24)  # inches of a gene and of a group where there is room
_LEAST = 0.1  # inches of a group at least
_NARROWEST = 4.6  # inches of a panel: its legend
_TALL = 18.0  # inches of a panel at most, unless the groups need more
_NAMED = 60  # groups named in the plane
_SIZES = (0.2, 0.4, 0.6, 0.8, 1.0)


@house_style()
def dot_plot(
    genes: Sequence[str],
    groups: Sequence[str],
    fraction: Floats,
    mean: Floats,
    normalize: str,
) -> bytes:
    """Draw how many cells of each group have a gene, and how much of it.

    Parameters
    ----------
    genes, groups
        Names, in the order shown: genes from left to right, groups from top to bottom.
    fraction, mean : (genes, groups) array
        Share of the cells with the gene (area of the dot), and mean of the normalised values of
        all cells (colour).
    normalize
        Normalisation, for the labels.

    Returns
    -------
    bytes
        PNG.
    """
    figure, panel, size = _grid(genes, groups)
    if not genes:
        return _empty(figure, panel, "no gene marks a group")
    widest = (0.92 * 72 * min(*size, _CELL[0])) ** 2
    y, x = np.meshgrid(np.arange(len(groups)), np.arange(len(genes)))
    scale = _scale(mean)
    dots = panel.scatter(
        x.ravel(), y.ravel(), s=widest * fraction.ravel(), c=mean.ravel(), cmap=QUANTITY_MAP,
        norm=scale, linewidths=0.3, edgecolors=GREY,
    )  # fmt: skip
    panel.grid(color="#eceff2", lw=0.6)
    panel.set_axisbelow(True)
    _bar(figure, panel, dots, f"mean of {unit(normalize)}")
    handles = [
        panel.scatter([], [], s=widest * share, color=GREY, label=f"{100 * share:.0f} %")
        for share in _SIZES
    ]
    panel.legend(
        handles=handles, loc="lower right", bbox_to_anchor=(1, 1), ncols=len(handles),
        title=None, fontsize=8, borderpad=0.2, handletextpad=0.1, columnspacing=0.8,
    )  # fmt: skip
    words = "area: cells with the gene"
    panel.annotate(words, (0, 1), (0, 5), "axes fraction", "offset points", fontsize=8)
    return png(figure)


@house_style()
def heat_map(genes: Sequence[str], groups: Sequence[str], mean: Floats, normalize: str) -> bytes:
    """Draw means of genes in groups, each gene on its own scale from lowest to highest group.

    Parameters
    ----------
    genes, groups
        Names, in the order shown: genes from left to right, groups from top to bottom.
    mean : (genes, groups) array
        Means of the normalised values.
    normalize
        Normalisation, for the labels.

    Returns
    -------
    bytes
        PNG. A gene that is the same in all groups (nowhere, say) is left blank.
    """
    figure, panel, _ = _grid(genes, groups)
    if not genes:
        return _empty(figure, panel, "no gene marks a group")
    low, high = mean.min(1, keepdims=True), mean.max(1, keepdims=True)
    scaled = (mean - low) / np.where(high > low, high - low, np.nan)
    panel.set_facecolor("#f1f3f5")
    image = panel.imshow(
        scaled.T, cmap=QUANTITY_MAP, vmin=0, vmax=1, aspect="auto", interpolation="nearest"
    )
    bar = _bar(figure, panel, image, f"mean of {unit(normalize)},\nscaled gene by gene")
    bar.set_yticks([0, 1], ["lowest\ngroup", "highest\ngroup"])
    return png(figure)


@house_style()
def plane_by_group(umap: Floats, code: Ints, groups: Sequence[str]) -> bytes:
    """Draw cells in the plane in the colour of their group, whose name is at its centre.

    Parameters
    ----------
    umap : (n, 2) array
        Place of each cell.
    code : (n,) array
        Number of its group, -1 for none.
    groups
        Names.

    Returns
    -------
    bytes
        PNG. Colours recur after eight groups; the 60 largest groups have names.
    """
    figure = Figure(figsize=(FIGURE_WIDTH, 0.56 * FIGURE_WIDTH))
    panel = figure.add_axes((0.03, 0.05, 0.94, 0.93))
    colours = np.array([*(PALETTE[k % len(PALETTE)] for k in range(len(groups))), _FAINT])
    order = np.argsort(code < 0, kind="stable")[::-1]  # cells of no group lie below
    panel.scatter(
        umap[order, 0], umap[order, 1], s=_dot(len(code)), c=colours[code[order]], linewidths=0
    )
    _plane(panel)
    counts = np.bincount(code[code >= 0], minlength=len(groups))
    named = np.argsort(-counts, kind="stable")[:_NAMED]
    taken: list[tuple[float, float, float]] = []
    for k in named[counts[named] > 0]:
        x, y = np.median(umap[code == k], axis=0)
        x, y = _free(panel, float(x), float(y), len(shorten(groups[k])), taken)
        panel.text(
            x, y, shorten(groups[k]), ha="center", va="center", fontsize=8, weight="bold",
            parse_math=False, path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )  # fmt: skip
    return png(figure)


@house_style()
def plane_by_gene(umap: Floats, values: Mapping[str, Floats], normalize: str) -> bytes:
    """Draw cells in the plane in the colour of their value, a panel for each gene.

    Parameters
    ----------
    umap : (n, 2) array
        Place of each cell.
    values
        Gene to ``(n,)`` normalised values.
    normalize
        Normalisation, for the labels.

    Returns
    -------
    bytes
        PNG. Each panel has its own scale, up to the 99th percentile of cells with the gene;
        higher values lie above lower ones.
    """
    across = min(len(values), 4)
    down = -(-len(values) // across)
    figure = Figure(figsize=(FIGURE_WIDTH, 2.15 * down + 0.25), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for panel in panels[len(values) :]:
        panel.set_axis_off()
    for panel, (gene, value) in zip(panels, values.items(), strict=False):
        present = value[value != 0]
        top = float(np.percentile(present, 99)) if present.size else 1.0
        low = min(float(value.min(initial=0.0)), 0.0)
        order = np.argsort(value, kind="stable")
        dots = panel.scatter(
            umap[order, 0], umap[order, 1], s=_dot(len(value)) / 2, c=value[order],
            norm=Normalize(low, top if top > low else low + 1), cmap=QUANTITY_MAP, linewidths=0,
        )  # fmt: skip
        _plane(panel)
        title = shorten(gene) if present.size else f"{shorten(gene)} (in no cell)"
        panel.set_title(title, fontsize=9, parse_math=False)
        bar = figure.colorbar(dots, ax=panel, pad=0.02, aspect=14, shrink=0.8)
        bar.ax.tick_params(labelsize=7)
    figure.supxlabel(f"colour: {unit(normalize)} of the cell", fontsize=8)
    return png(figure)


def _scale(mean: Floats) -> Normalize:
    """Scale colours from zero, or from the lowest of negative means."""
    low, high = min(float(mean.min()), 0.0), float(mean.max())
    return Normalize(low, high if high > low else low + 1)


def _grid(genes: Sequence[str], groups: Sequence[str]) -> tuple[Figure, Axes, tuple[float, float]]:
    """Make a panel of genes by groups; returns also the inches of one gene and one group."""
    room = FIGURE_WIDTH - _LEFT - _RIGHT
    width = min(_CELL[0], room / max(len(genes), 1))
    tall = max(_LEAST, min(_CELL[1], _TALL / max(len(groups), 1)))
    across, down = max(width * len(genes), _NARROWEST), max(tall * len(groups), 1.3)
    # A name is as tall as its row, and 8 points where there is room.
    of_genes, of_groups = (min(8.0, 72 * 0.8 * size) for size in (width, tall))
    below = 0.15 + 0.65 * of_genes / 72 * max((len(shorten(gene)) for gene in genes), default=0)
    height = down + _TOP + below
    figure = Figure(figsize=(FIGURE_WIDTH, height))
    box = (_LEFT / FIGURE_WIDTH, below / height, across / FIGURE_WIDTH, down / height)
    panel = figure.add_axes(box)
    panel.set(xlim=(-0.5, max(len(genes), 1) - 0.5), ylim=(max(len(groups), 1) - 0.5, -0.5))
    panel.set_xticks(
        range(len(genes)), list(map(shorten, genes)), rotation=90, fontsize=of_genes,
        parse_math=False, style="italic",
    )  # fmt: skip
    panel.set_yticks(
        range(len(groups)), list(map(shorten, groups)), fontsize=of_groups, parse_math=False
    )
    panel.tick_params(length=2, pad=2)
    return figure, panel, (across / max(len(genes), 1), down / max(len(groups), 1))


def _bar(figure: Figure, panel: Axes, image: PathCollection | ScalarMappable, label: str) -> Axes:
    """Add a colour bar at the upper right of a panel."""
    box = panel.get_position()
    width, height = figure.get_size_inches()
    tall = min(1.5, box.height * height)
    place = (box.x1 + 0.15 / width, box.y1 - tall / height, 0.13 / width, tall / height)
    bar = figure.add_axes(place)
    figure.colorbar(image, cax=bar)
    bar.set_ylabel(label, fontsize=8)
    bar.tick_params(labelsize=7)
    return bar


def _empty(figure: Figure, panel: Axes, words: str) -> bytes:
    panel.set(xticks=[])
    panel.text(0.5, 0.5, words, ha="center", va="center", transform=panel.transAxes)
    return png(figure)


def _plane(panel: Axes) -> None:
    panel.set(xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2")
    panel.xaxis.label.set(fontsize=7, color=GREY)
    panel.yaxis.label.set(fontsize=7, color=GREY)
    panel.margins(0.03)


def _dot(n: int) -> float:
    """Area of a cell's dot in square points: small where there are many."""
    return float(np.clip(16_000 / max(n, 1), 0.4, 9))


def _free(
    panel: Axes, x: float, y: float, letters: int, taken: list[tuple[float, float, float]]
) -> tuple[float, float]:
    """Move a name up until it lies on no other; `taken` are middles and half widths."""
    (left, right), (low, high) = panel.get_xlim(), panel.get_ylim()
    tall, half = 0.028, 0.0036 * (letters + 1)  # in shares of the panel
    u, v = (x - left) / (right - left), (y - low) / (high - low)
    while any(abs(u - a) < half + b and abs(v - c) < tall for a, b, c in taken) and v < 1 - tall:
        v += tall / 5
    taken.append((u, half, v))
    return left + u * (right - left), low + v * (high - low)
