"""Charts of a survey: residuals against a reference catalogue, and number counts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Ellipse

from tessera.astro.pictures import notice_picture
from tessera.astro.quality import Comparison, robust
from tessera.figures import BLUE, FIGURE_WIDTH, GREY, VERMILION, house_style, png

_FEWEST = 5
_PALE = "#c5cbd3"
_MAGNITUDE = "magnitude in the reference (mag)"
_MINUS = "\N{MINUS SIGN}"


@house_style()
def residuals_picture(comparison: Comparison | None) -> bytes:
    """Draw positions and magnitudes against a reference, the pull of the fluxes, completeness.

    Returns
    -------
    bytes
        PNG; without a reference, or a source in common, it says so.
    """
    if comparison is None or comparison.pairs.empty:
        why = "no source in common with the reference" if comparison else "no reference catalogue"
        return notice_picture(why)
    pairs = comparison.pairs
    engine = ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.12)
    figure = Figure(figsize=(FIGURE_WIDTH, 8.2), layout=engine)
    places, mags, pulls, share = figure.subplots(2, 2).ravel()
    _positions(places, pairs)
    _magnitudes(mags, pairs)
    _pulls(pulls, pairs)
    _completeness(share, comparison)
    return png(figure)


@house_style()
def number_counts(catalogue: pd.DataFrame, depth: float | None) -> bytes:
    """Draw how many sources there are by magnitude, point sources and extended ones.

    Parameters
    ----------
    catalogue
        With ``mag`` and ``extended``.
    depth
        Magnitude of a point source at a signal-to-noise ratio of 5, if known.

    Returns
    -------
    bytes
        PNG.
    """
    figure = Figure(figsize=(FIGURE_WIDTH, 3.0), layout="constrained")
    panel = figure.add_subplot()
    mag = catalogue["mag"].to_numpy()
    extended = catalogue["extended"].to_numpy(bool)
    known = mag[np.isfinite(mag)]
    if known.size:
        bins = list(np.arange(np.floor(2 * known.min()) / 2, known.max() + 0.5, 0.5))
        for chosen, colour, name in (
            (np.ones(mag.size, bool), GREY, "all"),
            (~extended, BLUE, "point sources"),
            (extended, VERMILION, "extended sources"),
        ):
            label = f"{name}: {np.count_nonzero(chosen):,}"
            panel.hist(mag[chosen], bins, histtype="step", color=colour, lw=1.4, label=label)
        panel.set_yscale("log")
        panel.set_ylim(0.7, None)
        if depth is not None:
            panel.axvline(depth, color="black", lw=1, ls="--", label=f"5 sigma: {depth:.2f} mag")
        panel.legend(loc="upper left")
    panel.set(xlabel="magnitude (mag)", ylabel="sources per 0.5 mag")
    return png(figure)


def _positions(panel: Axes, pairs: pd.DataFrame) -> None:
    bright = pairs["bright"].to_numpy()
    _dots(panel, pairs["dra"], pairs["ddec"], bright)
    panel.set(xlabel="RA offset times cos dec (mas)", ylabel="dec offset (mas)", title="positions")
    # What is shown follows the bright sources; without any, all.
    basis = pairs[bright] if bright.sum() >= _FEWEST else pairs
    (ra, ra_rms), (dec, dec_rms) = robust(basis["dra"]), robust(basis["ddec"])
    if not np.isfinite(ra):
        return
    reach = max(max(abs(ra), abs(dec)) + 5 * max(ra_rms, dec_rms), 1.0)
    panel.set(xlim=(-reach, reach), ylim=(-reach, reach), box_aspect=1)
    panel.axhline(0, color=GREY, lw=0.6)
    panel.axvline(0, color=GREY, lw=0.6)
    panel.add_patch(
        Ellipse((ra, dec), 2 * ra_rms, 2 * dec_rms, fill=False, ec=VERMILION, lw=1.4, zorder=4)
    )
    text = f"median {ra:.1f}, {dec:.1f} mas\nrobust rms {ra_rms:.1f}, {dec_rms:.1f} mas"
    _note(panel, text.replace("-", _MINUS))


def _magnitudes(panel: Axes, pairs: pd.DataFrame) -> None:
    mag, dmag, bright = (pairs[key].to_numpy() for key in ("mag", "dmag", "bright"))
    _dots(panel, mag, dmag, bright)
    panel.axhline(0, color=GREY, lw=0.6)
    steps = np.floor(2 * mag) / 2
    bands = [
        (step + 0.25, *robust(dmag[steps == step]))
        for step in np.unique(steps)
        if np.count_nonzero(steps == step) >= _FEWEST
    ]
    if bands:
        middle, median, rms = np.array(bands).T
        panel.plot(middle, median, color=VERMILION, lw=1.4, marker="o", ms=3)
        panel.fill_between(middle, median - rms, median + rms, color=VERMILION, alpha=0.2, lw=0)
        reach = float(np.clip(4 * np.nanmax(rms), 0.05, 1.5))
        panel.set_ylim(-reach, reach)
    median, rms = robust(dmag[bright])
    if np.isfinite(median):
        text = f"bright: median {1e3 * median:.1f}, robust rms {1e3 * rms:.1f} mmag"
        _note(panel, text.replace("-", _MINUS))
    panel.set(
        xlabel=_MAGNITUDE,
        ylabel="catalogue less reference (mag)",
        title="magnitudes",
    )


def _pulls(panel: Axes, pairs: pd.DataFrame) -> None:
    pull = pairs["pull"].to_numpy()
    pull = pull[np.isfinite(pull)]
    bins = list(np.linspace(-5, 5, 41))
    panel.hist(np.clip(pull, -5, 5), bins, color=_PALE)
    x = np.linspace(-5, 5, 201)
    unit = pull.size * 0.25 * np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)
    panel.plot(x, unit, color=BLUE, lw=1.4)
    if pull.size:
        median, rms = robust(pull)
        _note(panel, f"median {median:.2f}\nrobust rms {rms:.2f}".replace("-", _MINUS))
    panel.set(
        xlabel="flux difference over its error (sigma)",
        ylabel="sources",
        title="pull of the fluxes",
    )


def _completeness(panel: Axes, comparison: Comparison) -> None:
    mags = comparison.reference["mag"].to_numpy()[comparison.covered]
    found = comparison.found[comparison.covered]
    panel.set(xlabel=_MAGNITUDE, ylabel="share found", title="completeness")
    panel.set_ylim(0, 1.05)
    panel.axhline(1, color=GREY, lw=0.6)
    steps = np.floor(2 * mags) / 2
    bands = [(s + 0.25, found[steps == s].mean(), np.sum(steps == s)) for s in np.unique(steps)]
    if bands:
        middle, share, n = np.array(bands).T
        error = np.sqrt(share * (1 - share) / n)
        panel.errorbar(middle, share, error, color=BLUE, lw=1.4, marker="o", ms=3, elinewidth=0.8)


def _dots(panel: Axes, x: npt.ArrayLike, y: npt.ArrayLike, bright: npt.NDArray[np.bool_]) -> None:
    """Draw pairs as dots, bright isolated point sources in colour."""
    x, y = np.asarray(x), np.asarray(y)
    size = 8 if len(x) < 2000 else 3
    for chosen, colour, name in ((~bright, _PALE, "other"), (bright, BLUE, "bright, isolated")):
        label = f"{name}: {np.count_nonzero(chosen):,}"
        panel.scatter(x[chosen], y[chosen], s=size, color=colour, lw=0, label=label)
    panel.legend(loc="lower left", fontsize=7, markerscale=2)


def _note(panel: Axes, text: str) -> None:
    panel.text(0.02, 0.98, text, transform=panel.transAxes, va="top", fontsize=8)
