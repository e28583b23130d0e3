"""How well a catalogue recovers a sky whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from astropy.table import Table
from scipy.spatial import cKDTree

from tessera.astro.wcsheader import unit_vectors

Floats = npt.NDArray[np.float64]

_CLEAR = 4.0
"""Distance (arcsec) to the next source from which on a galaxy counts as isolated."""

LADDERS: Mapping[str, tuple[float, float]] = {"5": (4.5, 5.5), "7": (6.3, 7.7), "10": (9.0, 11.0)}
"""Signal-to-noise ratios (the greatest possible) of the stars that completeness is told of."""


def nearest(
    ra: npt.ArrayLike, dec: npt.ArrayLike, other_ra: npt.ArrayLike, other_dec: npt.ArrayLike
) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Return the distance (arcsec) from each place to the nearest other, and which that is."""
    other = unit_vectors(np.asarray(other_ra, float), np.asarray(other_dec, float))
    if not len(other):
        n = len(np.atleast_1d(ra))
        return np.full(n, np.inf), np.zeros(n, np.intp)
    place = unit_vectors(np.asarray(ra, float), np.asarray(dec, float))
    chord, which = cKDTree(other).query(place)
    return np.degrees(2 * np.arcsin(np.minimum(chord / 2, 1))) * 3600, which


def score(
    catalogue: pd.DataFrame,
    truth: Table,
    *,
    zero_point: float,
    radius: float = 1.0,
    least_visits: int = 3,
) -> dict[str, Any]:
    """Compare a catalogue with the truth.

    Parameters
    ----------
    catalogue
        ``ra``, ``dec`` (deg), ``flux``, ``flux_err`` and ``usable`` (bool: not flagged as
        saturated, truncated or seen by too few).
    truth
        As from `tessera.astro.toy.truth_table`.
    zero_point
        Magnitude of a flux of 1.
    radius
        Greatest distance of a match, arcsec.
    least_visits
        Only sources seen by as many visits count for completeness.

    Returns
    -------
    dict
        ``completeness_N`` of isolated stars of signal-to-noise ratio N, ``completeness_galaxies``
        of isolated galaxies as bright as stars of 10 or more; ``purity``, the share of rows near
        anything that is there in all visits; ``ghosts``, rows at transients and movers; of isolated
        stars with a ratio above 20 ``bias`` (mag), ``pull`` and ``astrometry`` (mas, per axis), all
        medians or robust standard deviations; ``pull_faint`` of those from 7 to 20.
    """
    kind = np.asarray(truth["kind"]).astype(str)
    lasting = np.isin(kind, ["star", "galaxy"])
    ra, dec = np.asarray(truth["ra"], float), np.asarray(truth["dec"], float)
    snr = np.asarray(truth["snr_ideal"].filled(np.nan) if hasattr(truth["snr_ideal"], "filled")
                     else truth["snr_ideal"], float)  # fmt: skip
    alone = np.asarray(truth["isolated"], bool) & (np.asarray(truth["n_visits"]) >= least_visits)
    away, which = nearest(ra, dec, catalogue["ra"], catalogue["dec"])
    found = away < radius
    star = alone & (kind == "star")
    galaxy = (kind == "galaxy") & (np.asarray(truth["n_visits"]) >= least_visits)
    galaxy[galaxy] = _neighbour(ra[lasting], dec[lasting], ra[galaxy], dec[galaxy]) > _CLEAR
    result: dict[str, Any] = {}
    for name, (low, high) in LADDERS.items():
        chosen = star & (snr >= low) & (snr <= high)
        result[f"n_{name}"] = int(chosen.sum())
        result[f"completeness_{name}"] = float(found[chosen].mean()) if chosen.any() else np.nan
    faintest = np.nanmax(np.where(star & (snr >= 10), np.asarray(truth["mag"], float), np.nan))
    chosen = galaxy & (np.asarray(truth["mag"], float) <= faintest)
    result["n_galaxies"] = int(chosen.sum())
    result["completeness_galaxies"] = float(found[chosen].mean()) if chosen.any() else np.nan

    near, what = nearest(catalogue["ra"], catalogue["dec"], ra[lasting], dec[lasting])
    passing, _ = nearest(catalogue["ra"], catalogue["dec"], ra[~lasting], dec[~lasting])
    real = near < np.maximum(radius, 1.5 * _reach(truth)[lasting][what])
    result["n_rows"] = len(catalogue)
    result["ghosts"] = int(np.count_nonzero(~real & (passing < radius)))
    result["purity"] = float(real.mean()) if len(real) else np.nan

    usable = np.asarray(catalogue["usable"], bool)
    for name, low, high in (("", 20.0, np.inf), ("_faint", 7.0, 20.0)):
        chosen = star & found & (snr > low) & (snr <= high)
        chosen &= usable[which] if len(usable) else False
        rows = catalogue.iloc[which[chosen]]
        true = 10 ** (0.4 * (zero_point - np.asarray(truth["mag"], float)[chosen]))
        flux, error = rows["flux"].to_numpy(float), rows["flux_err"].to_numpy(float)
        result[f"pull{name}"] = _spread((flux - true) / error)
        result[f"pull_mean{name}"] = (
            float(np.median((flux - true) / error)) if len(rows) else np.nan
        )
        result[f"bias{name}"] = (
            float(-2.5 * np.log10(np.median(flux / true))) if len(rows) else np.nan
        )
        result[f"n_measured{name}"] = len(rows)
        if name:
            continue
        east = (rows["ra"].to_numpy(float) - ra[chosen] + 180) % 360 - 180
        east = east * np.cos(np.radians(dec[chosen])) * 3.6e6
        north = (rows["dec"].to_numpy(float) - dec[chosen]) * 3.6e6
        result["astrometry"] = float(np.hypot(_spread(east), _spread(north)) / np.sqrt(2))
        result["offset_east"] = float(np.median(east)) if len(rows) else np.nan
        result["offset_north"] = float(np.median(north)) if len(rows) else np.nan
    return result


def _neighbour(ra: Floats, dec: Floats, at_ra: Floats, at_dec: Floats) -> Floats:
    """Return the distance (arcsec) to the nearest source but the one at the place itself."""
    chord, _ = cKDTree(unit_vectors(ra, dec)).query(unit_vectors(at_ra, at_dec), k=2)
    return np.degrees(2 * np.arcsin(chord[:, 1] / 2)) * 3600


def _reach(truth: Table) -> Floats:
    """Return within which distance (arcsec) a detection belongs to a source."""
    return np.maximum(np.asarray(truth["half_light_radius"], float), 0.0)


def _spread(values: Floats) -> float:
    """Return the standard deviation as from the median absolute deviation."""
    if not len(values):
        return float("nan")
    return float(1.482602 * np.median(np.abs(values - np.median(values))))
