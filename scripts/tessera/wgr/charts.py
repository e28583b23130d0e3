"""Charts of a whole-genome regression: tests of a trait, and the choice of its shrinkage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tessera.figures import BLUE, FIGURE_WIDTH, VERMILION, house_style, png, shorten
from tessera.gwas_charts import LOG10P, Line, Track, manhattan, qq
from tessera.wgr.summary import GENOME_WIDE, HIT, LISTED, SUGGESTIVE, Summary

_LEADERS = 5
_ACROSS = 5  # panels in a row at most
_MARGIN = (0.72, 0.12, 0.45, 0.3)  # inches: left, right, top (of each row), bottom
_GAP = 0.5  # inches between columns: the numbers of the axis
_TICKS = 0.15  # inches between rows
_MINUS = "\N{MINUS SIGN}"


def draw_trait(summary: Summary) -> dict[str, bytes]:
    """Draw the association tests of a trait.

    Returns
    -------
    dict of str to bytes
        PNG by file name: ``manhattan.png`` and ``qq.png``.
    """
    points = summary.points
    lines = [
        Line(LISTED, f"suggestive: p = {_p(SUGGESTIVE)}"),
        Line(HIT, f"genome-wide: p = {_p(GENOME_WIDE)}", threshold=True),
    ]
    track = Track(points["log10p"].to_numpy(), f"association ({LOG10P})", 3.15, lines, _LEADERS)
    return {
        "manhattan.png": manhattan(
            points["chromosome"], points["position"], points["id"], [track], "variants"
        ),
        "qq.png": qq(summary.expected, summary.observed, summary.tests, summary.lambda_gc),
    }


@house_style()
def loco_chart(curves: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Draw how the error of prediction depends on the shrinkage, one panel per trait.

    Parameters
    ----------
    curves
        Of each trait: ``h2`` (the heritability that each amount of shrinkage stands for),
        ``loss`` (error of cross-validated predictions at each), ``loss_name``, ``rsq`` and
        ``best`` (index of the one that was chosen).

    Returns
    -------
    bytes
        PNG, readable for 50 traits and more. Losses are relative to the best of the trait, each
        panel on its own scale.
    """
    if not curves:
        return _nothing()
    columns = min(max(len(curves), 2), _ACROSS)
    rows = -(-len(curves) // columns)
    left, right, top, bottom = _MARGIN
    tall = 1.6 if rows > 1 else 2.4  # inches from one row to the next
    height = rows * tall + bottom
    figure = Figure(figsize=(FIGURE_WIDTH, height))
    step = (FIGURE_WIDTH - left - right + _GAP) / columns
    inches = np.array([FIGURE_WIDTH, height, FIGURE_WIDTH, height])
    for k, (trait, curve) in enumerate(curves.items()):
        row, column = divmod(k, columns)
        x, y = left + column * step, height - (row + 1) * tall + _TICKS
        box = np.array([x, y, step - _GAP, tall - top - _TICKS]) / inches
        panel = figure.add_axes((box[0], box[1], box[2], box[3]))
        _curve(panel, trait, curve)
        panel.tick_params(labelbottom=k + columns >= len(curves))
    middle = left + (min(len(curves), columns) * step - _GAP) / 2
    name = "h² that the shrinkage stands for"
    figure.text(middle / FIGURE_WIDTH, 0.08 / height, name, ha="center")
    losses = {curve["loss_name"] for curve in curves.values()}
    name = losses.pop().replace("-log", f"{_MINUS}log") if len(losses) == 1 else "loss"
    figure.text(
        0.05 / FIGURE_WIDTH,
        (bottom + height) / 2 / height,
        f"{name}\nabove the best (%)",
        rotation=90,
        va="center",
        multialignment="center",
    )
    return png(figure)


def _nothing() -> bytes:
    figure = Figure(figsize=(FIGURE_WIDTH, 1))
    figure.text(0.5, 0.5, "no trait was analysed", ha="center")
    return png(figure)


def _curve(panel: Axes, trait: str, curve: Mapping[str, Any]) -> None:
    h2, loss = (np.asarray(curve[key], np.float64) for key in ("h2", "loss"))
    best = curve["best"]
    excess = 100 * (loss / loss[best] - 1)
    panel.plot(h2, excess, "-o", color=BLUE, lw=1, ms=3)
    panel.plot(h2[best], excess[best], "D", color=VERMILION, ms=5, mew=0.4, mec="black")
    highest = max(np.nanmax(excess), 0.01)
    panel.set(xlim=(-0.03, 1.03), ylim=(-0.12 * highest, 1.12 * highest))
    panel.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    panel.locator_params(axis="y", nbins=3)
    panel.tick_params(labelsize=7)
    told = f"best h² {h2[best]:.3g}, R² {curve['rsq'][best]:.3f}".replace("-", _MINUS)
    panel.annotate(told, (0, 1), (0, 3), "axes fraction", "offset points", fontsize=7)
    panel.set_title(shorten(trait), fontsize=8, pad=13, parse_math=False)


def _p(value: float) -> str:
    return f"{value:.0e}".replace("e-0", f"e{_MINUS}")
