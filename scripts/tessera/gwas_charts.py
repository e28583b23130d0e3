"""Charts of association studies along the genome: Manhattan, and quantiles against chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patheffects import withStroke
from matplotlib.textpath import text_to_path
from scipy.stats import beta

from tessera.figures import (
    BLUE,
    FIGURE_WIDTH,
    GREY,
    ORANGE,
    SKY,
    VERMILION,
    house_style,
    png,
    shorten,
)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LOG10P = "\N{MINUS SIGN}log\N{SUBSCRIPT ONE}\N{SUBSCRIPT ZERO} p"
BAND = "#c5cbd3"

_AXES_LEFT, _AXES_WIDTH = 0.65, 9.25  # inches
_BELOW, _ABOVE = 0.55, 0.4  # inches around a panel: its ticks and name, its legend
_MEGABASE = 1e6
_PEAK = 1.0  # Mb to both sides that belong to the peak of a leading variant
_MOST_LABELS = 12
_COLUMNS, _ROWS = 1000, 300
_NAMED = {name: rank for rank, name in enumerate(("X", "Y", "XY", "MT", "M"))}


@dataclass(frozen=True)
class Line:
    """A line across a panel; what lies beyond the one that is a `threshold` is set off."""

    height: float
    name: str
    threshold: bool = False


@dataclass(frozen=True)
class Track:
    """One statistic of all variants along the genome: a panel of a Manhattan plot.

    Attributes
    ----------
    values : (N,) array
        One number per variant.
    label
        What they are, and their unit.
    inches
        Height of the panel.
    lines
        Drawn across; at most one is a threshold.
    leaders
        How many of the leading variants are named where none lies beyond the threshold.
    """

    values: Floats
    label: str
    inches: float
    lines: Sequence[Line] = ()
    leaders: int = 0


@house_style()
def manhattan(
    chromosome: npt.ArrayLike,
    position: npt.ArrayLike,
    names: npt.ArrayLike,
    tracks: Sequence[Track],
    noun: str,
) -> bytes:
    """Draw statistics of variants along the genome.

    Parameters
    ----------
    chromosome, position, names : (N,) array
        Place (base pairs) and id of each variant, in any order.
    tracks
        The panels from top to bottom.
    noun
        What the variants are called, in the plural.

    Returns
    -------
    bytes
        PNG. Named are the leading variants beyond a threshold, at most one in 1 Mb to both sides
        and 12 of them. Of variants that would hide each other the highest is drawn.
    """
    names = np.asarray(names)
    x, code, spans = lay_out(chromosome, position)
    height = sum(track.inches + _BELOW for track in tracks) + _ABOVE
    figure = Figure(figsize=(FIGURE_WIDTH, height))
    top = height - _ABOVE
    for track in tracks:
        panel = _panel(figure, top - track.inches, track.inches)
        top -= track.inches + _BELOW
        level = next((line.height for line in track.lines if line.threshold), None)
        y = np.asarray(track.values, np.float64)
        _points(panel, x, y, code, spans, track.lines, noun)
        found = [] if level is None else leading(x, y, code, level, _PEAK, _MOST_LABELS)
        found = found or leading(x, y, code, -np.inf, _PEAK, track.leaders)
        _write_names(panel, track.inches, x[found], y[found], names[found])
        panel.set_ylabel(track.label)
        if track is not tracks[-1]:
            panel.set_xlabel("")
            panel.tick_params(labelbottom=False)
    return png(figure)


@house_style()
def qq(expected: npt.ArrayLike, observed: npt.ArrayLike, tests: float, lam: float) -> bytes:
    """Draw p-values against those that chance alone would give.

    Parameters
    ----------
    expected, observed : (B,) array
        Quantiles in -log10 p.
    tests
        How many tests they are the quantiles of.
    lam
        Genomic control: median chi-square over that of chance.

    Returns
    -------
    bytes
        PNG.
    """
    expected, observed = np.asarray(expected), np.asarray(observed)
    figure = Figure(figsize=(FIGURE_WIDTH, 4.4), layout="constrained")
    panel = figure.add_subplot()
    panel.set(xlabel=f"expected by chance ({LOG10P})", ylabel=f"observed ({LOG10P})")
    if not observed.size:
        panel.text(0.5, 0.5, "no test", ha="center", transform=panel.transAxes)
        return png(figure)
    # The k-th smallest of n independent uniform p has the distribution Beta(k, n + 1 - k).
    rank = np.unique(np.geomspace(1, tests, 200).round())
    middle = -np.log10(rank / (tests + 1))
    high, low = (-np.log10(beta.ppf(q, rank, tests + 1 - rank)) for q in (0.025, 0.975))
    name = f"observed: {tests:,.0f} tests"
    panel.plot(expected, observed, "o", color=BLUE, ms=3.5, mew=0, zorder=3, label=name)
    panel.plot([0, middle[0]], [0, middle[0]], color=GREY, lw=1, label="chance")
    name = "95 % of studies, if tests were independent"
    panel.fill_between(middle, low, high, color=BAND, lw=0, label=name)
    panel.set(xlim=(0, 1.04 * middle[0]), ylim=(0, 1.08 * max(observed.max(), high[0])))
    told = f"genomic control lambda = {lam:.3f}"
    panel.legend(loc="upper left", title=told, alignment="left")
    return png(figure)


def lay_out(
    chromosome: npt.ArrayLike, position: npt.ArrayLike
) -> tuple[Floats, Ints, list[tuple[str, float, float]]]:
    """Lay chromosomes end to end, each from its first variant to its last, with gaps between them.

    Parameters
    ----------
    chromosome, position : (N,) array
        Name or number, and place in base pairs, of each variant.

    Returns
    -------
    x : (N,) array
        Place of each variant (Mb). On a single chromosome it is the position itself.
    code : (N,) array of int
        Number of each variant's chromosome in their order.
    spans : list of (str, float, float)
        Name, first and last x of each chromosome.
    """
    chromosome = np.asarray(chromosome)
    names = sorted(pd.unique(chromosome), key=lambda name: _natural(str(name)))
    code = np.asarray(pd.Categorical(chromosome, categories=names).codes, np.int64)
    place = np.asarray(position, np.float64) / _MEGABASE
    ends = pd.Series(place).groupby(code).agg(["min", "max"]).to_numpy().reshape(-1, 2)
    lengths = ends[:, 1] - ends[:, 0]
    gap = 0.05 * max(lengths.sum(), 1e-6) / max(len(names), 1)
    starts = np.cumsum(lengths + 2 * gap) - lengths - gap
    if len(names) == 1:
        starts = ends[:, 0]
    spans = [
        (_bare(str(name)), float(start - gap), float(start + length + gap))
        for name, start, length in zip(names, starts, lengths, strict=True)
    ]
    return place + (starts - ends[:, 0])[code], code, spans


def thin(x: Floats, y: Floats, across: tuple[float, float], up: tuple[float, float]) -> Ints:
    """Return the highest point of each cell of a fine grid: in a picture it hides the others.

    Parameters
    ----------
    x, y : (N,) array
    across, up
        What the picture spans in x and in y.

    Returns
    -------
    (K,) array of int
        Which points to keep; the answer is the same set whatever their order.
    """
    column = (_COLUMNS * (x - across[0]) / (across[1] - across[0])).astype(np.int64)
    row = (_ROWS * (y - up[0]) / (up[1] - up[0])).astype(np.int64)
    cell = column * (_ROWS + 1) + row
    order = np.lexsort((x, -y, cell))
    first = np.ones(order.size, bool)
    first[1:] = np.diff(cell[order]) != 0
    return np.asarray(order[first], np.int64)


def leading(
    x: Floats, y: Floats, code: npt.NDArray[Any], level: float, within: float, most: int
) -> list[int]:
    """Return the highest point of each peak, highest first.

    Parameters
    ----------
    x, y : (N,) array
        Place along a chromosome, and height.
    code : (N,) array
        Chromosome.
    level
        Only what is higher counts.
    within
        To both sides of a leading point, in the unit of `x`, others are of its peak.
    most
        At most this many.
    """
    left = np.flatnonzero(y > level)
    left = left[np.lexsort((x[left], -y[left]))]
    found: list[int] = []
    while left.size and len(found) < most:
        k = left[0]
        found.append(int(k))
        left = left[(code[left] != code[k]) | (np.abs(x[left] - x[k]) > within)]
    return found


def _natural(name: str) -> tuple[int, int, str]:
    """Return a key that sorts 1, 2, 10, X, Y, MT and then the rest; 0 means *unplaced*."""
    bare = _bare(name)
    if bare.isdecimal() and int(bare):
        return 0, int(bare), name
    if bare.upper() in _NAMED:
        return 1, _NAMED[bare.upper()], name
    return 2, 0, name


def _bare(name: str) -> str:
    return name[3:] if name.lower().startswith("chr") and len(name) > 3 else name


def _panel(figure: Figure, bottom: float, height: float) -> Axes:
    """Add axes as wide as the figure at a place in inches."""
    whole = figure.get_size_inches()[1]
    left, width = _AXES_LEFT / FIGURE_WIDTH, _AXES_WIDTH / FIGURE_WIDTH
    return figure.add_axes((left, bottom / whole, width, height / whole))


def _points(
    panel: Axes,
    x: Floats,
    y: Floats,
    code: Ints,
    spans: list[tuple[str, float, float]],
    lines: Sequence[Line],
    noun: str,
) -> None:
    """Draw dots in the colours of their chromosomes, and diamonds beyond the threshold."""
    known = np.array([*(line.height for line in lines), *([y.min(), y.max()] if y.size else [0.0])])
    low, high = known.min(), known.max()
    # Room above the highest for names.
    panel.set_ylim(low - 0.04 * (high - low or 1), high + 0.3 * (high - low or 1))
    panel.set_xlim(spans[0][1] if x.size else 0, spans[-1][2] if x.size else 1)
    level = next((line.height for line in lines if line.threshold), np.inf)
    beyond = y > level
    shown = thin(x, y, panel.get_xlim(), panel.get_ylim())
    for parity, colour in enumerate((BLUE, SKY)):
        chosen = shown[(code[shown] % 2 == parity) & ~beyond[shown]]
        panel.plot(x[chosen], y[chosen], "o", ms=2, mew=0, color=colour)
    chosen = shown[beyond[shown]]
    for line in lines:
        colour, style = (VERMILION, "-") if line.threshold else ("black", "--")
        panel.axhline(line.height, color=colour, ls=style, lw=1, label=line.name)
    if np.isfinite(level):
        name = f"{noun} beyond it: {np.count_nonzero(beyond):,}"
        panel.plot(
            x[chosen], y[chosen], "D", ms=4, mew=0.4, mec="black", color=ORANGE, label=name, ls=""
        )
    if lines:
        panel.legend(loc="lower left", bbox_to_anchor=(-0.005, 0.99), ncols=3, borderpad=0.2)
    if not x.size:
        panel.text(0.5, 0.88, f"no {noun} were tested", ha="center", transform=panel.transAxes)
    _name_chromosomes(panel, spans)


def _name_chromosomes(panel: Axes, spans: list[tuple[str, float, float]]) -> None:
    if len(spans) == 1:
        panel.ticklabel_format(axis="x", style="plain", useOffset=False)
        name = shorten(spans[0][0])
        panel.set_xlabel(f"position on chromosome {name} (Mb)", parse_math=False)
        return
    left, right = panel.get_xlim()
    ticks, names, free = [], [], -np.inf
    for name, first, last in spans:
        middle = (first + last) / 2
        half = (_width(shorten(name), 7) + 0.045) / 2 * (right - left) / _AXES_WIDTH
        # It would run into the name before it, or off the page.
        if middle - half < free or middle + half > right + 0.01 * (right - left):
            continue
        free = middle + half
        ticks.append(middle)
        names.append(shorten(name))
    panel.set_xticks(ticks, names, fontsize=7, parse_math=False)
    panel.tick_params(axis="x", length=0)
    panel.set_xlabel("chromosome")


def _write_names(panel: Axes, height: float, x: Floats, y: Floats, names: npt.ArrayLike) -> None:
    """Write names above their points, raised where two would overlap; `height` is in inches."""
    (left, right), (low, high) = panel.get_xlim(), panel.get_ylim()
    across, up = _AXES_WIDTH / (right - left), height / (high - low)
    # Everything in inches from the lower left corner: (left, right, bottom, top) of what is taken.
    taken = [
        (u - 0.04, u + 0.04, v - 0.04, v + 0.04)
        for u, v in zip((x - left) * across, (y - low) * up, strict=True)
    ]
    for k, name in enumerate(map(shorten, np.asarray(names))):
        u, v, width = (x[k] - left) * across, (y[k] - low) * up, _width(name, 7) + 0.06
        start, bottom = float(np.clip(u - width / 2, 0.03, _AXES_WIDTH - width)), v + 0.06
        while any(
            start < b and a < start + width and bottom < d and c < bottom + 0.12
            for a, b, c, d in taken
        ):
            bottom += 0.02
        if bottom + 0.12 > height:  # no room left: the table of hits has it
            continue
        taken.append((start, start + width, bottom, bottom + 0.12))
        panel.annotate(
            name,
            (x[k], y[k]),
            (left + (start + width / 2) / across, low + bottom / up),
            fontsize=7,
            ha="center",
            va="bottom",
            arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.6, "shrinkA": 0, "shrinkB": 2},
            path_effects=[withStroke(linewidth=2, foreground="white")],
            parse_math=False,
        )


def _width(name: str, points: float) -> float:
    """Return how wide a text of a size in points is, in inches."""
    width, _, _ = text_to_path.get_text_width_height_descent(
        name, FontProperties(size=points), False
    )
    return float(width) / 72
