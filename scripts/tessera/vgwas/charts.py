"""Charts of an association study: Manhattan, quantiles against chance, null distributions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patheffects import withStroke
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator
from scipy.stats import beta

from tessera.figures import BLUE, FIGURE_WIDTH, GREY, ORANGE, SKY, VERMILION, house_style, png

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_PALE = "#c5cbd3"
_LOG10P = "\N{MINUS SIGN}log\N{SUBSCRIPT ONE}\N{SUBSCRIPT ZERO} p"
_AXES_LEFT, _AXES_WIDTH = 0.65, 9.25  # inches
_MEGABASE = 1e6
_PEAK = 1.0  # Mb to both sides that belong to the peak of a leading SNP
_MOST_LABELS = 12
_TOP = 5
_LONGEST_NAME = 24
_NAMED = {name: rank for rank, name in enumerate(("X", "Y", "XY", "MT", "M"))}


@house_style()
def manhattan(
    snps: pd.DataFrame,
    level: float | None,
    hit_level: float,
    cluster_level: float | None = None,
) -> bytes:
    """Draw the strongest voxel and the largest cluster of each SNP along the genome.

    Parameters
    ----------
    snps
        One row per SNP: ``id``, ``chr``, ``pos`` (base pairs), ``status`` (only ``"tested"`` is
        drawn), ``max_log10p`` (-log10 p of its strongest voxel) and ``max_cluster`` (voxels).
    level
        -log10 p of the familywise threshold; None without permutations.
    hit_level
        -log10 p from which on a pair of SNP and voxel is listed.
    cluster_level
        Familywise threshold of the size of a cluster (voxels); None without permutations.

    Returns
    -------
    bytes
        PNG. Named are the leading SNPs beyond the threshold, at most one in 1 Mb to both sides and
        12 of them; without any, the five leading ones.
    """
    tested = snps[(snps["status"] == "tested") & np.isfinite(snps["max_log10p"])]
    names = tested["id"].astype(str).to_numpy()
    x, code, chromosomes = _genome(
        tested["chr"].astype(str).to_numpy(), tested["pos"].to_numpy(np.float64)
    )
    figure = Figure(figsize=(FIGURE_WIDTH, 6.4))
    voxels = _panel(figure, bottom=2.85, height=3.15)
    clusters = _panel(figure, bottom=0.55, height=1.75)
    p = tested["max_log10p"].to_numpy(np.float64)
    sizes = tested["max_cluster"].to_numpy(np.float64)

    marks = [(hit_level, "black", "--", f"listed among the hits: from {hit_level:.2f}")]
    if level is not None:
        marks.append((level, VERMILION, "-", f"familywise threshold, voxels: {level:.2f}"))
    _points(voxels, x, p, code, chromosomes, level, marks)
    leading = [] if level is None else _leading(x, p, code, level)
    leading = leading or _leading(x, p, code, None)[:_TOP]
    _write_names(voxels, 3.15, x[leading], p[leading], names[leading])
    voxels.set_ylabel(f"strongest voxel of the SNP ({_LOG10P})")

    marks = []
    if cluster_level is not None:
        name = f"familywise threshold, clusters: {cluster_level:,.0f} voxels"
        marks.append((cluster_level, VERMILION, "-", name))
    _points(clusters, x, sizes, code, chromosomes, cluster_level, marks)
    clusters.set_ylabel("largest cluster (voxels)")
    if cluster_level is not None:
        leading = _leading(x, sizes, code, cluster_level)
        _write_names(clusters, 1.75, x[leading], sizes[leading], names[leading])
    voxels.set_xlabel("")
    voxels.tick_params(labelbottom=False)
    return png(figure)


@house_style()
def qq(observed_counts: Floats, edges: Floats, lam: float) -> bytes:
    """Draw the p of a sample of all tests against those that chance alone would give.

    Parameters
    ----------
    observed_counts : (B,) array
        Number of tests of the sample by -log10 p.
    edges : (B + 1,) array
        Borders of the bins in -log10 p, rising from 0.
    lam
        Genomic control: median chi-square over that of chance.

    Returns
    -------
    bytes
        PNG. The share of tests beyond the lower border of a bin is exact, so that a point of the
        chart is a true quantile whatever the width of the bins.
    """
    counts = np.asarray(observed_counts, np.float64)
    beyond = np.cumsum(counts[::-1])[::-1]
    filled = counts > 0
    figure = Figure(figsize=(FIGURE_WIDTH, 4.4), layout="constrained")
    panel = figure.add_subplot()
    panel.set(xlabel=f"expected by chance ({_LOG10P})", ylabel=f"observed ({_LOG10P})")
    if not filled.any():
        panel.text(0.5, 0.5, "no test", ha="center", transform=panel.transAxes)
        return png(figure)
    total = beyond[0]
    # The k-th smallest of n independent uniform p has the distribution Beta(k, n + 1 - k).
    rank = np.unique(np.geomspace(1, total, 200).round())
    middle = -np.log10(rank / (total + 1))
    high, low = (-np.log10(beta.ppf(q, rank, total + 1 - rank)) for q in (0.025, 0.975))
    expected = -np.log10(beyond[filled] / total)
    observed = np.asarray(edges, np.float64)[:-1][filled]
    name = f"observed: {total:,.0f} tests"
    panel.plot(expected, observed, "o", color=BLUE, ms=3.5, mew=0, zorder=3, label=name)
    panel.plot([0, middle[0]], [0, middle[0]], color=GREY, lw=1, label="chance")
    name = "95 % of studies, if tests were independent"
    panel.fill_between(middle, low, high, color=_PALE, lw=0, label=name)
    panel.set(xlim=(0, 1.04 * middle[0]), ylim=(0, 1.08 * max(observed[-1], high[0])))
    told = f"genomic control lambda = {lam:.3f}"
    panel.legend(loc="upper left", title=told, alignment="left")
    return png(figure)


@house_style()
def null_distributions(
    max_t: Floats,
    max_cluster: Ints,
    t_level: float | None,
    cluster_level: float | None,
    observed_t: float,
    observed_cluster: int,
) -> bytes:
    """Draw what the permutations gave at most, beside the thresholds and what was observed.

    Parameters
    ----------
    max_t, max_cluster : (P,) array
        Largest |t| and largest cluster (voxels) of each permutation.
    t_level, cluster_level
        Familywise thresholds of the same, if known.
    observed_t, observed_cluster
        Largest of the data themselves.

    Returns
    -------
    bytes
        PNG.
    """
    figure = Figure(figsize=(FIGURE_WIDTH, 3.4))
    figure.subplots_adjust(left=0.06, right=0.99, bottom=0.14, top=0.9, wspace=0.17)
    left, right = figure.subplots(1, 2)
    max_t, sizes = np.asarray(max_t, np.float64), np.asarray(max_cluster, np.float64)
    _null(left, max_t, t_level, observed_t, "{:.2f}", whole=False)
    left.set(
        xlabel="largest |t| of all tests",
    )
    _null(right, sizes, cluster_level, observed_cluster, "{:,.0f}", whole=True)
    right.set(xlabel="size of the largest cluster (voxels)")
    return png(figure)


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


def _genome(
    chromosome: npt.NDArray[np.object_], pos: Floats
) -> tuple[Floats, Ints, list[tuple[str, float, float]]]:
    """Lay chromosomes end to end, each from its first SNP to its last, with gaps between them.

    Returns
    -------
    x : (N,) array
        Place of each SNP (Mb). On a single chromosome it is the position itself.
    code : (N,) array of int
        Number of each SNP's chromosome in their order.
    chromosomes : list of (str, float, float)
        Name, first and last x of each.
    """
    names = sorted(set(chromosome), key=_natural)
    code = np.asarray(pd.Categorical(chromosome, categories=names).codes, np.int64)
    place = pos / _MEGABASE
    spans = pd.Series(place).groupby(code).agg(["min", "max"]).to_numpy().reshape(-1, 2)
    lengths = spans[:, 1] - spans[:, 0]
    gap = 0.05 * max(lengths.sum(), 1e-6) / max(len(names), 1)
    starts = np.cumsum(lengths + 2 * gap) - lengths - gap
    if len(names) == 1:
        starts = spans[:, 0]
    chromosomes = [
        (_bare(name), float(start - gap), float(start + length + gap))
        for name, start, length in zip(names, starts, lengths, strict=True)
    ]
    return place + (starts - spans[:, 0])[code], code, chromosomes


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
    chromosomes: list[tuple[str, float, float]],
    level: float | None,
    marks: list[tuple[float, str, str, str]],
) -> None:
    """Draw SNPs as dots in the colours of their chromosomes, and those beyond a level as diamonds.

    `marks` are the lines across: height, colour, style, name.
    """
    known = np.array([*y, *(mark[0] for mark in marks), 0.0 if not y.size else y[0]])
    low, high = known.min(), known.max()
    # Room above the highest for names.
    panel.set_ylim(low - 0.04 * (high - low or 1), high + 0.3 * (high - low or 1))
    panel.set_xlim(chromosomes[0][1] if x.size else 0, chromosomes[-1][2] if x.size else 1)
    beyond = np.zeros(x.size, bool) if level is None else y > level
    shown = _thin(panel, x, y)
    for parity, colour in enumerate((BLUE, SKY)):
        chosen = shown[(code[shown] % 2 == parity) & ~beyond[shown]]
        panel.plot(x[chosen], y[chosen], "o", ms=2, mew=0, color=colour)
    chosen = shown[beyond[shown]]
    for height, colour, style, name in marks:
        panel.axhline(height, color=colour, ls=style, lw=1, label=name)
    if level is not None:
        name = f"SNPs beyond it: {np.count_nonzero(beyond):,}"
        panel.plot(
            x[chosen], y[chosen], "D", ms=4, mew=0.4, mec="black", color=ORANGE, label=name, ls=""
        )
    if marks:
        panel.legend(loc="lower left", bbox_to_anchor=(-0.005, 0.99), ncols=3, borderpad=0.2)
    if not x.size:
        panel.text(0.5, 0.88, "no SNP was tested", ha="center", transform=panel.transAxes)
    _name_chromosomes(panel, chromosomes)


def _thin(panel: Axes, x: Floats, y: Floats) -> Ints:
    """Return the highest SNP of each cell of a fine grid: the rest would be hidden by it."""
    columns, rows = 1000, 300
    (left, right), (low, high) = panel.get_xlim(), panel.get_ylim()
    column = (columns * (x - left) / (right - left)).astype(np.int64)
    cell = column * rows + (rows * (y - low) / (high - low)).astype(np.int64)
    order = np.lexsort((x, -y, cell))
    first = np.ones(order.size, bool)
    first[1:] = np.diff(cell[order]) != 0
    return np.asarray(order[first], np.int64)


def _name_chromosomes(panel: Axes, chromosomes: list[tuple[str, float, float]]) -> None:
    if len(chromosomes) == 1:
        panel.ticklabel_format(axis="x", style="plain", useOffset=False)
        name = _short(chromosomes[0][0])
        panel.set_xlabel(f"position on chromosome {name} (Mb)", parse_math=False)
        return
    left, right = panel.get_xlim()
    ticks, names, free = [], [], -np.inf
    for name, first, last in chromosomes:
        middle = (first + last) / 2
        half = (_width(_short(name), 7) + 0.045) / 2 * (right - left) / _AXES_WIDTH
        # It would run into the name before it, or off the page.
        if middle - half < free or middle + half > right + 0.01 * (right - left):
            continue
        free = middle + half
        ticks.append(middle)
        names.append(_short(name))
    panel.set_xticks(ticks, names, fontsize=7, parse_math=False)
    panel.tick_params(axis="x", length=0)
    panel.set_xlabel("chromosome")


def _leading(x: Floats, y: Floats, code: Ints, level: float | None) -> list[int]:
    """Return the highest SNP of each peak, highest first; only those beyond a level if given."""
    order = np.lexsort((x, -y))
    if level is not None:
        order = order[y[order] > level]
    leading: list[int] = []
    # A peak holds thousands of SNPs at most: enough are looked at to find the few to be named.
    for k in order[:20_000]:
        near = (code[k] == code[j] and abs(x[k] - x[j]) <= _PEAK for j in leading)
        if not any(near):
            leading.append(int(k))
        if len(leading) == _MOST_LABELS:
            break
    return leading


def _write_names(panel: Axes, height: float, x: Floats, y: Floats, names: npt.ArrayLike) -> None:
    """Write names above their points, raised where two would overlap; `height` is in inches."""
    (left, right), (low, high) = panel.get_xlim(), panel.get_ylim()
    across, up = _AXES_WIDTH / (right - left), height / (high - low)
    # Everything in inches from the lower left corner: (left, right, bottom, top) of what is taken.
    taken = [
        (u - 0.04, u + 0.04, v - 0.04, v + 0.04)
        for u, v in zip((x - left) * across, (y - low) * up, strict=True)
    ]
    for k, name in enumerate(map(_short, np.asarray(names))):
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


def _short(name: str) -> str:
    return (
        name
        if len(name) <= _LONGEST_NAME
        else name[: _LONGEST_NAME - 1] + "\N{HORIZONTAL ELLIPSIS}"
    )


def _width(name: str, points: float) -> float:
    """Return how wide a text of a size in points is, in inches."""
    width, _, _ = text_to_path.get_text_width_height_descent(
        name, FontProperties(size=points), False
    )
    return float(width) / 72


def _null(
    panel: Axes, null: Floats, level: float | None, observed: float, form: str, whole: bool
) -> None:
    known = [*null, observed] if level is None else [*null, observed, level]
    low = min(known)
    # What lies far out must not press the histogram into a line: it is shown by an arrow.
    reach = max([low, *null] if level is None else [level, *null])
    end = max(reach, min(observed, low + 4 * max(reach - low, 1.0)))
    step = max((reach - low) / 30, 0.01)
    if whole:
        step = np.ceil(step)
    bins = low - step / 2 + step * np.arange(np.ceil((reach - low) / step) + 2)
    panel.hist(null, list(bins), color=_PALE, label=f"permutations: {null.size:,}")
    if level is not None:
        name = f"familywise threshold: {form.format(level)}"
        panel.axvline(level, color=VERMILION, lw=1.4, label=name)
    name = f"observed: {form.format(observed)}"
    if observed > end:
        within = panel.get_xaxis_transform()
        panel.plot(end, 0.5, ">", color=BLUE, transform=within, label=name)
        panel.text(end, 0.55, form.format(observed), ha="right", color=BLUE, transform=within)
    else:
        panel.axvline(observed, color=BLUE, lw=1.4, ls="--", label=name)
    margin = step + 0.03 * (end - low)
    panel.set(xlim=(low - margin, end + margin), ylabel="permutations")
    panel.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=whole))
    panel.yaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
    panel.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 0.99),
        ncols=3,
        fontsize=8,
        handlelength=1.5,
        columnspacing=1.2,
    )
