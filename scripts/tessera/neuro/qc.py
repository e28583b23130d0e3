"""The page a person looks at to trust, or not to trust, the tensor maps of one subject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tessera.figures import (
    BLUE,
    FIGURE_WIDTH,
    GREEN,
    GREY,
    ORANGE,
    QUANTITY_MAP,
    SKY,
    VERMILION,
    AxialView,
    house_style,
    mosaic,
    png,
)
from tessera.neuro.readings import read_figures
from tessera.neuro.summary import (
    WHITE_MATTER_FA,
    SubjectResult,
    display_name,
    find_shells,
    outlier_volumes,
)
from tessera.page import Notice, Picture, Section, Table, html_page

_MD_UNIT = "10$^{-3}$ mm$^2$/s"
_TIMES = "\N{MULTIPLICATION SIGN}"
_MD_SHOWN = 2.0  # end of the colour scale: beyond lies fluid
_MD_TOP = 3.0  # free water at body temperature, in 10^-3 mm2/s
_SHELL_COLOURS = (BLUE, ORANGE, GREEN, SKY, GREY)


def direction_colours(v1: np.ndarray, fa: np.ndarray) -> np.ndarray:
    """Colour the principal direction: red left-right, green front-back, blue up-down, times FA.

    Parameters
    ----------
    v1 : (3, Z, Y, X) array
        Unit vectors in scanner RAS axes.
    fa : (Z, Y, X) array

    Returns
    -------
    (3, Z, Y, X) array of float32
        In 0 to 1; 0 where there is no tensor.

    References
    ----------
    Pajevic & Pierpaoli (1999), Magnetic Resonance in Medicine 42:526 ("absolute value" scheme).
    """
    return np.nan_to_num(np.clip(np.abs(v1) * fa, 0, 1), nan=0.0).astype(np.float32)


def qc_page(result: SubjectResult, row: Mapping[str, Any]) -> str:
    """Write the quality page of a finished subject.

    Parameters
    ----------
    result : SubjectResult
    row : mapping
        What `tessera.neuro.summary.summarise` made of it, so that page and table agree.

    Returns
    -------
    str
        One HTML file with everything in it.
    """
    shells = find_shells(result.bvals, result.b0_max)
    apart = outlier_volumes(result.volumes.mean, shells)
    readings = read_figures(row, int(np.count_nonzero(result.mask)), np.flatnonzero(apart))
    striking = [f"{reading.quantity}: {reading.text}" for reading in readings if reading.look]
    verdict = (
        Notice(f"{len(striking)} of {len(readings)} numbers to look at", striking)
        if striking
        else Notice("No number stands out", good=True)
    )
    table = Table(
        ("Quantity", "Value", "Reading"),
        [(reading.quantity, reading.value, reading.text) for reading in readings],
        frozenset(i for i, reading in enumerate(readings) if reading.look),
    )
    depth, height, width = result.mask.shape
    facts = [
        ("Voxels", f"{width} {_TIMES} {height} {_TIMES} {depth}"),
        ("Voxel size", f"{str(row['voxel_mm']).replace('x', f' {_TIMES} ')} mm"),
        ("Volumes", f"{row['n_volumes']}, of which {np.count_nonzero(result.fitted)} fitted"),
        ("b-values (s/mm²)", _describe_shells(result.bvals, shells)),
        ("Directions fitted", f"{row['n_directions']}, b up to {row['bmax_fit']:.0f} s/mm²"),
        ("Denoising", result.denoise),
        ("Estimator", result.estimator),
    ]
    return html_page(
        display_name(result.subject, result.session),
        "Diffusion tensor maps: quality page",
        facts,
        [
            Section("", [verdict]),
            Section("Numbers", [table]),
            Section("Mask", [_mask_picture(result)]),
            Section("Tensor maps", _map_pictures(result, row)),
            Section("Fit and noise", _noise_pictures(result)),
            Section("Volumes", [_volume_picture(result, shells, apart)]),
        ],
    )


def quarantine_page(
    subject: str, session: str | None, problems: Sequence[Mapping[str, str]]
) -> str:
    """Write the page of a subject that was set aside: what is wrong, and what to do about it.

    Parameters
    ----------
    subject, session : str, str or None
        Labels without ``sub-`` and ``ses-``.
    problems : sequence of mappings
        As `tessera.errors.Problem.as_dict` gives them.
    """
    count = "one problem" if len(problems) == 1 else f"{len(problems)} problems"
    notice = Notice(
        "Set aside: this subject was not analysed",
        [f"Its input has {count}, listed below. No map was made; all other subjects went on."],
    )
    table = Table(
        ("File", "Place", "What is wrong", "What to do"),
        [
            (problem["file"], problem["place"] or "whole file", problem["what"], problem["remedy"])
            for problem in problems
        ],
    )
    return html_page(
        display_name(subject, session),
        "Diffusion tensor maps: quality page",
        [],
        [Section("", [notice]), Section("Problems", [table])],
    )


def _describe_shells(bvals: np.ndarray, shells: Sequence[np.ndarray]) -> str:
    weighted = shells[1:]
    if len(weighted) > 5:
        n = sum(map(len, weighted))
        top = bvals.max()
        return (
            f"0 ({_TIMES}{len(shells[0])}), {n} volumes in {len(weighted)} shells up to {top:.0f}"
        )
    return ", ".join(
        f"{0 if i == 0 else np.median(bvals[shell]):.0f} ({_TIMES}{len(shell)})"
        for i, shell in enumerate(shells)
    )


_SIDES = (
    "Anterior is up, the subject's left (L) is at the left of the picture; slices are the stored "
    "planes nearest to axial, named by the scanner z of their centre."
)


@house_style()
def _mask_picture(result: SubjectResult) -> Picture:
    view = AxialView(result.affine, result.mask)
    lost = result.mask & ~result.valid
    figure = _slices(
        view,
        result.mean_b0,
        limits=(0.0, _top(result.mean_b0[result.mask], 98)),
        bar_label="mean b = 0 signal",
        outline=view.tiles(result.mask),
        highlight=view.tiles(lost) if lost.any() else None,
    )
    caption = f"Mean of the b = 0 volumes with the outline of the mask. {_SIDES}"
    if lost.any():
        caption += " Red: voxels of the mask without a tensor."
    return Picture(png(figure), "Axial slices of the mean b = 0 volume, mask outlined", caption)


@house_style()
def _map_pictures(result: SubjectResult, row: Mapping[str, Any]) -> list[Picture]:
    view = AxialView(result.affine, result.mask)
    fa, md = _inside(result, result.maps["fa"]), _inside(result, result.maps["md"]) * 1e3
    colours = _slices(view, direction_colours(result.maps["v1"], np.nan_to_num(fa)))
    _direction_key(colours)
    return [
        Picture(
            png(_slices(view, fa, bar_label="FA")),
            "Axial slices of fractional anisotropy",
            "Fractional anisotropy, 0 (black) to 1 (white).",
        ),
        Picture(
            png(colours),
            "Axial slices of the principal direction in colour",
            "Principal direction, as bright as FA: red left-right, green front-back, blue up-down "
            "in scanner axes. The corpus callosum crosses red, the corticospinal tracts rise blue; "
            "other colours there mean wrong gradient vectors.",
        ),
        Picture(
            png(
                _slices(
                    view,
                    md,
                    limits=(0.0, _MD_SHOWN),
                    colours=QUANTITY_MAP,
                    bar_label=f"MD ({_MD_UNIT})",
                )
            ),
            "Axial slices of mean diffusivity",
            "Mean diffusivity. Tissue lies near 0.8; from 2 on, towards 3 in fluid, all is yellow.",
        ),
        Picture(
            png(_histograms(result, row)),
            "Histograms of FA and MD in the mask",
            f"Distribution over the valid voxels of the mask (grey) and over those with FA > "
            f"{WHITE_MATTER_FA} (blue line); the dashed line is the median of the mask. The last "
            "bin holds all that lies above.",
        ),
    ]


@house_style()
def _noise_pictures(result: SubjectResult) -> list[Picture]:
    view = AxialView(result.affine, result.mask)
    with np.errstate(divide="ignore", invalid="ignore"):
        residual = _inside(result, 100 * result.maps["residual"] / result.maps["s0"])
    sigma = np.where(result.mask, result.sigma, np.nan)
    return [
        Picture(
            png(
                _slices(
                    view,
                    residual,
                    limits=(0.0, _top(residual, 99)),
                    colours=QUANTITY_MAP,
                    bar_label="residual (% of S0)",
                )
            ),
            "Axial slices of the residual of the fit",
            "Root-mean-square residual of the tensor fit as a percentage of S0. Noise is even; "
            "crossing fibres, pulsation, motion and artefacts show their own shapes.",
        ),
        Picture(
            png(
                _slices(
                    view,
                    sigma,
                    limits=(0.0, _top(sigma, 99)),
                    colours=QUANTITY_MAP,
                    bar_label="sigma (signal units)",
                )
            ),
            "Axial slices of the noise standard deviation",
            "Standard deviation of the noise in each of the real and the imaginary channel. It "
            "varies smoothly with the coils; anatomy in it means that signal was taken for noise.",
        ),
    ]


@house_style()
def _volume_picture(
    result: SubjectResult, shells: Sequence[np.ndarray], apart: np.ndarray
) -> Picture:
    mean = result.volumes.mean
    figure = Figure(figsize=(FIGURE_WIDTH, 2.9), layout="constrained")
    panel = figure.add_subplot()
    panel.plot(np.arange(1, mean.size + 1), mean, color="#d1d5db", lw=0.8, zorder=1)
    few = len(shells) <= 1 + len(_SHELL_COLOURS)
    for i, shell in enumerate(shells):
        if not shell.size:
            continue
        # Beyond the distinguishable colours all shells share one.
        colour = "black" if i == 0 else _SHELL_COLOURS[i - 1] if few else BLUE
        label = "b = 0" if i == 0 else f"b = {np.median(result.bvals[shell]):.0f}"
        used = shell[result.fitted[shell]]
        spared = shell[~result.fitted[shell]]
        panel.scatter(used + 1, mean[used], s=14, color=colour, lw=0, label=label if few else None)
        panel.scatter(spared + 1, mean[spared], s=14, facecolors="none", edgecolors=colour, lw=0.8)
    known = apart & np.isfinite(mean)
    if known.any():
        panel.scatter(
            np.flatnonzero(known) + 1,
            mean[known],
            s=90,
            facecolors="none",
            edgecolors=VERMILION,
            lw=1.4,
            label="out of line",
        )
    panel.set(xlabel="volume, counted from 1", ylabel="mean signal in mask", ylim=(0, None))
    panel.margins(x=0.01)
    if panel.get_legend_handles_labels()[0]:
        panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    caption = (
        "Mean signal of each volume in the mask. Within a shell it should vary little and without "
        "jumps or drift; a volume out of line is ringed."
    )
    if not result.fitted.all():
        caption += " Open dots are volumes that the tensor was not fitted to."
    return Picture(png(figure), "Mean signal in the mask against volume number", caption)


def _slices(view: AxialView, volume: np.ndarray, **options: Any) -> Figure:
    return mosaic(
        view.tiles(volume),
        pixel_aspect=view.pixel_aspect,
        labels=view.labels(),
        sides=("L", "R"),
        **options,
    )


def _inside(result: SubjectResult, volume: np.ndarray) -> np.ndarray:
    """Return a map with NaN wherever there is no tensor."""
    return np.where(result.valid, volume, np.nan)


def _top(values: np.ndarray, percentile: float) -> float:
    """Return the upper end of a colour scale; 1 where nothing is above zero."""
    finite = values[np.isfinite(values)]
    top = float(np.percentile(finite, percentile)) if finite.size else 0.0
    return top if top > 0 else 1.0


def _direction_key(figure: Figure) -> None:
    """Draw the half sphere of directions, seen from above, at the right of a mosaic."""
    width, height = figure.get_size_inches()
    side = 0.62
    left = figure.axes[0].get_position().x1 + 0.22 / width
    key = figure.add_axes((left, 0.5 - side / height / 2, side / width, side / height))
    y, x = np.mgrid[1:-1:101j, -1:1:101j]
    inside = x**2 + y**2 <= 1
    z = np.sqrt(np.clip(1 - x**2 - y**2, 0, 1))
    key.imshow(np.dstack([np.abs(x), np.abs(y), z, inside]), extent=(-1, 1, -1, 1))
    key.set_axis_off()
    for text, at in {"L": (-1.25, 0), "R": (1.25, 0), "A": (0, 1.28), "P": (0, -1.28)}.items():
        key.text(*at, text, ha="center", va="center", fontsize=8)
    key.text(0, -1.9, "blue: up-down", ha="center", va="center", fontsize=7)


def _histograms(result: SubjectResult, row: Mapping[str, Any]) -> Figure:
    valid = result.valid
    fa, md = result.maps["fa"][valid], result.maps["md"][valid] * 1e3
    white = fa > WHITE_MATTER_FA
    figure = Figure(figsize=(FIGURE_WIDTH, 2.6), layout="constrained")
    _histogram(figure.add_subplot(1, 2, 1), fa, white, 1.0, row["fa_median"], "FA")
    median = None if row["md_median"] is None else row["md_median"] * 1e3
    _histogram(figure.add_subplot(1, 2, 2), md, white, _MD_TOP, median, f"MD ({_MD_UNIT})")
    return figure


def _histogram(
    panel: Axes, values: np.ndarray, white: np.ndarray, top: float, median: float | None, name: str
) -> None:
    # The last bin gathers what lies above the range.
    bins = list(np.linspace(0, top, 61 if values.size > 5000 else 31))
    values = np.clip(values, 0, top)
    panel.hist(values, bins, color="#c5cbd3")
    panel.hist(values[white], bins, histtype="step", color=BLUE)
    if median is not None:
        panel.axvline(median, color="black", lw=1, ls="--")
    panel.set(xlabel=name, ylabel="voxels", xlim=(0, top))
