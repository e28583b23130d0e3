"""From measured patches to a catalogue: what to keep, which sources are extended, total fluxes.

See `tessera.astro.sources` for the definitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tessera.astro import detect, growth
from tessera.astro.sources import FLAGS, Settings, detection_level

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_LIKE = 40.0
"""Correlation length of the FWHM over a patch, in units of the FWHM."""

_MORE = 2.0
"""Rows that are no source in simulated surveys, over the peaks that the theory of an even Gaussian
field predicts: 1.3 to 2.0. Sources too faint to be found lift peaks of noise, and some rows are
parts of sources."""

_EXTENDED_SIGMA = 3.0
_SHARP_SIGMA = 5.0
_EXTENDED_LEAST = 0.03
"""Excess of a wide aperture's total over a narrow one's, as a share, that counts as extended."""


def pooled_level(
    significance: Floats, facts: Mapping[str, Mapping[str, Any]], settings: Settings
) -> tuple[float, float]:
    """Return how high a peak must be, and how many peaks of noise are then expected.

    Parameters
    ----------
    significance
        (N,) heights of all sources of all patches.
    facts
        Of `measure_patch`, by patch.
    settings
        `threshold_sigma` gives the least level, `purity` may raise it.
    """

    def false(level: npt.ArrayLike) -> Floats:
        levels = np.asarray(level, np.float64)
        each = [
            detect.noise_peaks(levels, fact["roughness"], fact["sky_pixels"])
            for _, fact in sorted(facts.items())
        ]
        return np.asarray(_MORE * sum(each, np.zeros_like(levels)))

    levels = np.arange(detection_level(settings), 8.0, 0.01)
    found = len(significance) - np.searchsorted(np.sort(significance), levels)
    pure = false(levels) <= (1 - settings.purity) * found
    level = float(levels[np.argmax(pure)] if pure.any() else levels[-1])
    return level, float(false(level))


def finish(
    tables: Mapping[str, pd.DataFrame],
    facts: Mapping[str, Mapping[str, Any]],
    *,
    settings: Settings,
    pixel_scale: float,
    zero_point: float,
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Pool the patches and complete their tables.

    Parameters
    ----------
    tables, facts
        What `tessera.astro.sources.measure_patch` returned, by patch. Sources that lie in two
        patches are completed in both: merge afterwards.
    settings, pixel_scale
        As given to it.
    zero_point
        Magnitude of a flux of 1.

    Returns
    -------
    tables
        By patch, the columns of the catalogue but sky coordinates.
    facts
        JSON-able: the level a peak had to reach, the number of peaks of noise expected above it,
        stars and pooled growth curve, FWHM (arcsec).
    """
    names = sorted(tables)
    heights = [tables[name]["significance"].to_numpy() for name in names]
    level, false = pooled_level(np.concatenate([np.zeros(0), *heights]), facts, settings)
    stars = {name: growth.stars_of(facts[name]["curves"]) for name in names}
    curve = growth.pool([stars[name] for name in names])
    known = [facts[name]["fwhm"] for name in names if facts[name]["stars"]]
    fwhm = float(np.median(known)) if known else None
    result = {}
    for name in names:
        unit = facts[name]["fwhm"]
        local = curve
        if not facts[name]["stars"]:
            # Its ladder was built on a guess: read the profile of the other patches there.
            local = growth.assumed(curve, unit / fwhm if fwhm else 1.0)
        result[name] = _complete(
            tables[name][heights[names.index(name)] >= level].reset_index(drop=True),
            local,
            stars[name],
            unit / pixel_scale,
            pixel_scale,
            zero_point,
        )
    return result, {
        "level": level,
        "noise_peaks": false,
        "stars": curve.stars,
        "fwhm": fwhm,
        "growth": dict(zip(growth.LADDER.tolist(), np.round(curve.share, 6).tolist(), strict=True)),
        "seeing_scatter": list(curve.seeing),
    }


def _complete(
    table: pd.DataFrame,
    curve: growth.Curve,
    stars: growth.Stars,
    unit: float,
    pixel_scale: float,
    zero_point: float,
) -> pd.DataFrame:
    """Add total fluxes and what follows from them to one patch; `unit` is its FWHM in pixels."""
    steps = range(len(growth.LADDER))
    flux = table[[f"_flux_{k}" for k in steps]].to_numpy(np.float64)
    variance = table[[f"_variance_{k}" for k in steps]].to_numpy(np.float64)
    x, y = table["x"].to_numpy(), table["y"].to_numpy()
    depth = table["n_images"].to_numpy(np.float64)
    share, uncertain = growth.local_shares(curve, x, y, depth, stars, _LIKE * unit)
    with np.errstate(all="ignore"):
        extended, sharp = _larger(flux, variance, share, uncertain)
        total, error = _point_total(flux, variance, share, uncertain)
        ellipse = table["kron_radius"] * np.sqrt(table["a"] * table["b"]) / unit
        beyond = curve.profile.enclosed(ellipse.to_numpy())
        kron, kron_error = (
            table[key].to_numpy() / beyond for key in ("flux_kron", "flux_kron_err")
        )
        extended &= np.isfinite(kron) & (kron > 0)
        total = np.where(extended, kron, total)
        error = np.where(extended, kron_error, error)
        positive = total > 0
        magnitude = np.where(positive, zero_point - 2.5 * np.log10(total), np.nan)
        magnitude_error = np.where(positive, 2.5 / np.log(10) * error / total, np.nan)
    half_of_star = curve.profile.radius(
        0.5 * float(curve.profile.enclosed(growth.LADDER[growth.WIDE]))
    )
    flags = table["flags"].to_numpy().copy()
    flags[sharp] |= FLAGS["SHARP"][0]
    flags[~np.isfinite(total)] |= FLAGS["UNMEASURED"][0]
    if not curve.stars:
        flags |= FLAGS["ASSUMED"][0]
    done = table.drop(columns=[name for name in table if name.startswith("_")]).assign(
        flux=total,
        flux_err=error,
        mag=magnitude,
        mag_err=magnitude_error,
        snr=total / error,
        flux_total=total,
        flux_total_err=error,
        fwhm=table["_half_light"].to_numpy() / half_of_star * unit * pixel_scale,
        extended=extended,
        flags=flags,
    )
    # What is smaller than a star and was seen by one or two exposures is a cosmic ray; at the rim
    # of the survey it is often the skirt of what lies beyond.
    few, truncated = ((flags & FLAGS[name][0]) != 0 for name in ("FEW", "TRUNCATED"))
    return done[~(few & (sharp | truncated))].reset_index(drop=True)


def _larger(
    flux: Floats, variance: Floats, share: Floats, uncertain: Floats
) -> tuple[Flags, Flags]:
    """Tell sources whose light is less, and more, concentrated than a star's.

    A wide aperture is W = N + R, a narrow one and a ring of independent noise; the excess of the
    star's total it implies over that of N is (N + R) / w - N / n with n, w the star's shares.
    """
    narrow, wide = growth.INNER, growth.OUTER
    n, w = share[:, narrow], share[:, wide]
    excess = flux[:, wide] / w - flux[:, narrow] / n
    ring = np.maximum(variance[:, wide] - variance[:, narrow], 0)
    error = np.sqrt(variance[:, narrow] * (1 / n - 1 / w) ** 2 + ring / w**2)
    scale = np.abs(flux[:, narrow]) / n
    error = np.hypot(error, scale * uncertain[:, narrow])
    extended = excess > np.maximum(_EXTENDED_SIGMA * error, _EXTENDED_LEAST * scale)
    sharp = excess < -np.maximum(_SHARP_SIGMA * error, 0.3 * scale)
    return extended, sharp


def _point_total(
    flux: Floats, variance: Floats, share: Floats, uncertain: Floats
) -> tuple[Floats, Floats]:
    """Return the total of the aperture with the least error, as for a point source."""
    totals = flux / share
    # The size of the systematic part is read off one aperture for all, lest noise choose.
    scale = np.abs(totals[:, 1:2])
    errors = np.sqrt(variance / share**2 + (uncertain * scale) ** 2)
    best = np.argmin(np.where(np.isfinite(errors), errors, np.inf), axis=1)[:, None]
    return (
        np.take_along_axis(totals, best, axis=1)[:, 0],
        np.take_along_axis(errors, best, axis=1)[:, 0],
    )
