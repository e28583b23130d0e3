"""The figures of a subject in plain words: what is expected, what deserves a look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tessera.neuro.summary import WHITE_MATTER_FA

_MD_UNIT = "\N{MULTIPLICATION SIGN} 10⁻³ mm²/s"


@dataclass(frozen=True)
class _Range:
    """Where a figure is expected to lie, and what it means inside and outside."""

    column: str
    quantity: str
    unit: str
    low: float
    high: float
    inside: str
    outside: str
    factor: float = 1.0


_RANGES = (
    _Range(
        "mask_ml",
        "Mask volume",
        "mL",
        900,
        1900,
        "as expected of a whole adult head",
        "outside 900 to 1900 mL; expected of a part of a head, a child or an animal, otherwise "
        "check the outline",
    ),
    _Range(
        "snr_b0",
        "SNR of one b = 0 volume",
        "",
        20,
        np.inf,
        "20 or more: noise hardly raises FA",
        "below 20: noise raises FA noticeably (Mukherjee et al. 2008)",
    ),
    _Range(
        "sigma_median",
        "Noise sigma, median",
        "signal units",
        np.finfo(float).tiny,
        np.inf,
        "standard deviation in each of the real and the imaginary channel",
        "no noise was found; was the acquisition filtered before?",
    ),
    _Range(
        "fa_median",
        "FA, median in mask",
        "",
        0.08,
        0.5,
        "as expected of a whole brain",
        "outside 0.08 to 0.5; check b-values, vectors and noise",
    ),
    _Range(
        "md_median",
        "MD, median in mask",
        _MD_UNIT,
        0.5,
        1.5,
        "as expected of a living brain",
        f"outside 0.5 to 1.5 {_MD_UNIT}; above: fluid (a mask that lies in CSF) or b-values given "
        "too small; below: fixed tissue, high b-values, or b-values given too large",
        1e3,
    ),
    _Range(
        "fa_wm_mean",
        f"FA, mean where FA > {WHITE_MATTER_FA}",
        "",
        0.27,
        0.65,
        "as expected of white matter",
        "outside 0.27 to 0.65; check gradients and noise",
    ),
    _Range(
        "md_wm_mean",
        f"MD, mean where FA > {WHITE_MATTER_FA}",
        _MD_UNIT,
        0.5,
        1.1,
        "as expected of white matter",
        f"outside 0.5 to 1.1 {_MD_UNIT}; above: fluid (a mask that lies in CSF) or b-values given "
        "too small; below: fixed tissue, high b-values, or b-values given too large",
        1e3,
    ),
    _Range(
        "residual_median",
        "Residual of the fit, median",
        "signal units",
        0,
        np.inf,
        "root mean square over the fitted volumes",
        "",
    ),
)

# Column, quantity, unit, share of all that is still unremarkable, meaning.
_COUNTS = (
    (
        "n_invalid",
        "Voxels without a tensor",
        "voxels",
        0.001,
        "fewer than 7 good samples; filled red on the mask picture",
    ),
    (
        "n_nonpositive_definite",
        "Tensors not positive definite",
        "voxels",
        0.02,
        "an eigenvalue is zero or below; a few are noise, many point at wrong gradients, motion, "
        "or a mask that reaches into air",
    ),
    (
        "n_nonfinite_samples",
        "Samples that are not a number",
        "samples",
        0.0,
        "left out of the fit",
    ),
    (
        "n_nonpositive_samples",
        "Samples of zero or below",
        "samples",
        0.001,
        "left out of the fit, since they have no logarithm",
    ),
)


@dataclass(frozen=True)
class Reading:
    """A figure, its value as shown, what it means, and whether it deserves a look."""

    quantity: str
    value: str
    text: str
    look: bool


def read_figures(row: Mapping[str, Any], n_mask: int, apart: np.ndarray) -> list[Reading]:
    """Say in plain words what each figure of a subject means and whether it deserves a look.

    Parameters
    ----------
    row : mapping
        As `tessera.neuro.summary.summarise` gives it.
    n_mask : int
        Voxels of the mask.
    apart : int array
        Indices of the outlying volumes.

    Returns
    -------
    list of Reading
        The limits are those of a living adult human brain, wide enough for any healthy one.

    References
    ----------
    Mukherjee et al. (2008), American Journal of Neuroradiology 29:843 (SNR of 20 or more).
    """
    readings = []
    for entry in _RANGES:
        value = row[entry.column]
        if value is None:
            readings.append(Reading(entry.quantity, "n/a", "no valid voxel", True))
            continue
        value *= entry.factor
        fine = entry.low <= value <= entry.high
        text = entry.inside if fine else entry.outside
        shown = f"{value:.4g} {entry.unit}"
        readings.append(Reading(entry.quantity, shown, text, not fine))
    for column, quantity, unit, tolerated, meaning in _COUNTS:
        count = row[column]
        total = n_mask * (row["n_volumes"] if unit == "samples" else 1)
        share = count / total if total else 0.0
        shown = f"{count} {unit} ({100 * share:.3g} %)" if count else "0"
        readings.append(Reading(quantity, shown, meaning if count else "none", share > tolerated))
    listed = ", ".join(map(str, apart[:20] + 1)) + (" and others" if apart.size > 20 else "")
    text = (
        f"volumes {listed} (counted from 1); look for dropped slices, spikes and motion"
        if apart.size
        else "the mean signal of every volume agrees with its shell"
    )
    readings.append(Reading("Volumes out of line", str(apart.size), text, bool(apart.size)))
    return readings
