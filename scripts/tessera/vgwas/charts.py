"""Charts of a voxel-wise association study: what `tessera.gwas_charts` draws, and the null."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tessera import gwas_charts
from tessera.figures import BLUE, FIGURE_WIDTH, VERMILION, house_style, png
from tessera.gwas_charts import BAND, LOG10P, Line, Track

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_TOP = 5


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
    lines = [Line(hit_level, f"listed among the hits: from {hit_level:.2f}")]
    if level is not None:
        lines.append(Line(level, f"familywise threshold, voxels: {level:.2f}", threshold=True))
    p = tested["max_log10p"].to_numpy(np.float64)
    voxels = Track(p, f"strongest voxel of the SNP ({LOG10P})", 3.15, lines, _TOP)
    lines = []
    if cluster_level is not None:
        name = f"familywise threshold, clusters: {cluster_level:,.0f} voxels"
        lines = [Line(cluster_level, name, threshold=True)]
    sizes = tested["max_cluster"].to_numpy(np.float64)
    clusters = Track(sizes, "largest cluster (voxels)", 1.75, lines)
    names, chromosome = (tested[key].astype(str).to_numpy() for key in ("id", "chr"))
    return gwas_charts.manhattan(
        chromosome, tested["pos"].to_numpy(), names, [voxels, clusters], "SNPs"
    )


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
    expected = -np.log10(beyond[filled] / counts.sum())
    observed = np.asarray(edges, np.float64)[:-1][filled]
    return gwas_charts.qq(expected, observed, counts.sum(), lam)


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
    panel.hist(null, list(bins), color=BAND, label=f"permutations: {null.size:,}")
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
