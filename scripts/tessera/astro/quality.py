"""How good a survey came out: against a reference catalogue, in depth, and every item counted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from astropy.wcs import WCS
from scipy.ndimage import minimum_filter
from scipy.spatial import cKDTree

from tessera.astro.accounting import account
from tessera.astro.exposure import seeing
from tessera.astro.skymap import Window
from tessera.astro.sources import FLAGS
from tessera.astro.wcsheader import unit_vectors

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Facts = Mapping[str, Any]

MATCH_ARCSEC = 1.0
"""Separation within which a source and an object of a reference are the same."""
BRIGHT_SNR = 50.0
"""Least signal-to-noise ratio of a source whose position and flux are compared: there the error of
the catalogue is that of its calibration and no longer that of photons."""
FAINT_SNR = 20.0
"""Greatest signal-to-noise ratio of a source whose error is that of the sky alone."""
_FLAWS = sum(
    FLAGS[name][0]
    for name in ("DEBLENDED", "CROWDED", "SATURATED", "TRUNCATED", "POSITION", "UNMEASURED")
)
_FEWEST = 5
_MAS = math.degrees(1) * 3600e3


def robust(values: npt.ArrayLike) -> tuple[float, float]:
    """Return median and robust standard deviation (1.4826 MAD) of the finite values, or NaN."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    if not known.size:
        return math.nan, math.nan
    median = float(np.median(known))
    return median, 1.482602 * float(np.median(np.abs(known - median)))


def isolated_points(catalogue: pd.DataFrame) -> Flags:
    """Tell which sources are point sources that nothing disturbs."""
    clean = (catalogue["flags"].to_numpy() & _FLAWS) == 0
    return np.asarray(clean & ~catalogue["extended"].to_numpy(bool))


def match(catalogue: pd.DataFrame, reference: pd.DataFrame, radius_arcsec: float) -> pd.DataFrame:
    """Pair the sources of a catalogue with those of a reference: mutual nearest neighbours.

    Parameters
    ----------
    catalogue
        With the columns of `tessera.astro.catalogue.COLUMNS`.
    reference
        ``ra``, ``dec`` (deg), ``mag``.
    radius_arcsec
        Greatest separation.

    Returns
    -------
    DataFrame
        A row per pair, by row of the reference: ``catalogue`` and ``reference`` (row numbers from
        0), ``separation`` (arcsec); ``dra`` (times cos dec) and ``ddec``, catalogue less
        reference, mas; ``mag`` of the reference, ``dmag``, catalogue less reference; ``pull``, the
        difference in flux over its error, the reference taken as exact; ``bright``: an isolated
        point source above `BRIGHT_SNR`.
    """
    ours = unit_vectors(catalogue["ra"].to_numpy(), catalogue["dec"].to_numpy())
    theirs = unit_vectors(reference["ra"].to_numpy(), reference["dec"].to_numpy())
    chord = 2 * math.sin(math.radians(radius_arcsec / 3600) / 2)
    distance, nearest = cKDTree(ours).query(theirs, distance_upper_bound=chord)
    j = np.flatnonzero(np.isfinite(distance))
    i = nearest[j]
    mutual = cKDTree(theirs).query(ours[i])[1] == j
    i, j = i[mutual], j[mutual]

    ra, dec = (np.radians(reference[axis].to_numpy()[j]) for axis in ("ra", "dec"))
    east = np.stack([-np.sin(ra), np.cos(ra), 0 * ra], axis=-1)
    north = np.stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)], axis=-1)
    step = ours[i] - theirs[j]
    mag = reference["mag"].to_numpy()[j]
    found = catalogue.iloc[i]
    dmag = found["mag"].to_numpy() - mag
    snr = found["snr"].to_numpy()
    with np.errstate(over="ignore", invalid="ignore"):
        pull = (1 - 10 ** (0.4 * dmag)) * (found["flux"] / found["flux_err"]).to_numpy()
    return pd.DataFrame(
        {
            "catalogue": i.astype(np.int64),
            "reference": j.astype(np.int64),
            "separation": np.linalg.norm(step, axis=1) * _MAS / 1e3,
            "dra": (step * east).sum(1) * _MAS,
            "ddec": (step * north).sum(1) * _MAS,
            "mag": mag,
            "dmag": dmag,
            "pull": pull,
            "bright": isolated_points(found) & (snr > BRIGHT_SNR),
        }
    )


def covered(
    reference: pd.DataFrame,
    sky: WCS,
    windows: Mapping[str, Window],
    images: Mapping[str, npt.NDArray[np.float32]],
) -> Flags:
    """Tell which objects of a reference lie where the co-adds have data.

    Parameters
    ----------
    reference
        ``ra``, ``dec``, deg.
    sky, windows
        The global grid and the pixels of each patch.
    images
        Thumbnail of each patch (`tessera.astro.thumbnail.thumbnail`), NaN where there is no data.
        What lies at their edge, or beside a block without data, counts as not covered.
    """
    inside = np.zeros(len(reference), bool)
    corners = np.array(
        [(x, y) for y0, y1, x0, x1 in windows.values() for y in (y0, y1) for x in (x0, x1)]
    )
    around = unit_vectors(*sky.all_pix2world(corners[:, 0], corners[:, 1], 0))
    centre = around.sum(0) / np.linalg.norm(around.sum(0))
    # A projection is inverted only near the field: far from it there may be no solution.
    near = unit_vectors(reference["ra"].to_numpy(), reference["dec"].to_numpy()) @ centre
    rows = np.flatnonzero(near >= (around @ centre).min() - 1e-9)
    places = reference.iloc[rows]
    x, y = sky.all_world2pix(places["ra"], places["dec"], 0, quiet=True)
    for name, (y0, y1, x0, x1) in windows.items():
        image = images[name]
        step = block_width((y1 - y0, x1 - x0), image)
        sound = minimum_filter(np.isfinite(image), size=3, mode="constant", cval=False)
        here = (x > x0) & (x < x1 - 1) & (y > y0) & (y < y1 - 1)
        row = ((y[here] - y0 + 0.5) // step).astype(int)
        column = ((x[here] - x0 + 0.5) // step).astype(int)
        inside[rows[here]] |= sound[row, column]
    return inside


def block_width(shape: Sequence[int], small: npt.NDArray[Any]) -> int:
    """Return the pixels along a block of the thumbnail of a plane of (Y, X) pixels."""
    return math.ceil(max(shape) / max(small.shape))


@dataclass(frozen=True)
class Comparison:
    """A catalogue beside a reference.

    Attributes
    ----------
    reference
        ``ra``, ``dec`` (deg), ``mag``.
    covered
        (N,) bool, which of it lie where the co-adds have data (`covered`).
    pairs
        As from `match`.
    radius_arcsec
        With which they were matched.
    """

    reference: pd.DataFrame
    covered: Flags
    pairs: pd.DataFrame
    radius_arcsec: float

    @property
    def found(self) -> Flags:
        """(N,) bool, which objects of the reference have a counterpart."""
        found = np.zeros(len(self.reference), bool)
        found[self.pairs["reference"]] = True
        return found


def compare_with(
    catalogue: pd.DataFrame,
    reference: pd.DataFrame,
    sky: WCS,
    windows: Mapping[str, Window],
    images: Mapping[str, npt.NDArray[np.float32]],
) -> Comparison:
    """Match a catalogue with a reference; parameters as of `match` and `covered`."""
    pairs = match(catalogue, reference, MATCH_ARCSEC)
    return Comparison(reference, covered(reference, sky, windows, images), pairs, MATCH_ARCSEC)


def quality(
    catalogue: pd.DataFrame,
    comparison: Comparison | None,
    *,
    read: Sequence[tuple[str, Any]],
    visits: Sequence[Facts],
    coadds: Mapping[str, Facts],
    pooled: Facts,
    zero_point: float,
) -> dict[str, Any]:
    """Put the figures of a survey together.

    Parameters
    ----------
    catalogue
        With the columns of `tessera.astro.catalogue.COLUMNS`.
    comparison
        With a reference, if there is one.
    read
        Visit and detector of every row of the index; None (or NaN) for a visit set aside whole.
    visits
        What was found in cleaning each (`tessera.astro.exposure.assemble`).
    coadds
        Name of a patch to its facts (`tessera.astro.coadd.coadd_facts`).
    pooled
        What `tessera.astro.totals.finish` found over all patches.
    zero_point
        Of the co-adds, mag.

    Returns
    -------
    dict
        JSON-able, None for what is unknown: ``accounting``, ``sources``, ``photometry`` (as
        `pooled`), ``depth``, ``visits``, ``patches``, ``reference``.

    Raises
    ------
    ValueError
        Unless every detector read was cleaned or set aside exactly once.
    """
    points = isolated_points(catalogue)
    result = {
        "accounting": account(read, visits, coadds),
        "sources": {
            "n": len(catalogue),
            "n_extended": int(catalogue["extended"].sum()),
            "n_isolated_points": int(points.sum()),
            "n_saturated": int((catalogue["flags"] & FLAGS["SATURATED"][0] != 0).sum()),
        },
        "photometry": pooled,
        "depth": {"five_sigma_mag": depth(catalogue, zero_point)},
        "visits": [_visit(visit) for visit in visits],
        "patches": {
            name: {
                **facts,
                "n_sources": int((catalogue["patch"] == name).sum()),
                "five_sigma_mag": depth(catalogue[catalogue["patch"] == name], zero_point),
            }
            for name, facts in coadds.items()
        },
        "reference": compare(comparison) if comparison else None,
    }
    plain: dict[str, Any] = _plain(result)
    return plain


def depth(catalogue: pd.DataFrame, zero_point: float) -> float | None:
    """Return the magnitude of a point source of a signal-to-noise ratio of 5, or None.

    From the median error of isolated faint point sources; None where they are fewer than five.
    """
    faint = isolated_points(catalogue) & (catalogue["snr"].to_numpy() < FAINT_SNR)
    errors = catalogue["flux_err"].to_numpy()[faint]
    errors = errors[np.isfinite(errors) & (errors > 0)]
    if errors.size < _FEWEST:
        return None
    return float(zero_point - 2.5 * math.log10(5 * np.median(errors)))


def compare(comparison: Comparison) -> dict[str, Any]:
    """Return offsets, scatter and completeness against a reference.

    Positions and fluxes of bright sources (`match`), all of it by magnitude of the reference too;
    offsets are medians, scatter is robust (1.4826 MAD). Completeness counts what is `covered`.
    """
    pairs, found = comparison.pairs, comparison.found & comparison.covered
    mags = comparison.reference["mag"].to_numpy()
    bins = []
    if comparison.covered.any():
        edges = np.floor(mags[comparison.covered])
        for low in np.arange(edges.min(), edges.max() + 1):
            here = comparison.covered & (np.floor(mags) == low)
            chosen = pairs[np.floor(pairs["mag"]) == low]
            bins.append(
                {
                    "mag": [float(low), float(low) + 1],
                    "n_covered": int(here.sum()),
                    "n_found": int((here & found).sum()),
                    "completeness": (here & found).sum() / here.sum() if here.any() else None,
                    **_residuals(chosen),
                }
            )
    bright = pairs[pairs["bright"]]
    return {
        "n_read": len(comparison.reference),
        "n_covered": int(comparison.covered.sum()),
        "n_matched": len(pairs),
        "n_found": int(found.sum()),
        "completeness": found.sum() / comparison.covered.sum() if bins else None,
        "radius_arcsec": comparison.radius_arcsec,
        "bright": _residuals(bright),
        "magnitudes": bins,
    }


def _residuals(pairs: pd.DataFrame) -> dict[str, Any]:
    """Return the statistics of some pairs; None for each where they are too few."""
    figures: dict[str, Any] = {"n": len(pairs)}
    for column, name in (("dra", "ra_{}_mas"), ("ddec", "dec_{}_mas"), ("dmag", "mag_{}")):
        offset, scatter = robust(pairs[column]) if len(pairs) >= _FEWEST else (None, None)
        figures |= {name.format("offset"): offset, name.format("scatter"): scatter}
    figures["pull_scatter"] = robust(pairs["pull"])[1] if len(pairs) >= _FEWEST else None
    return figures


def _visit(visit: Facts) -> dict[str, Any]:
    """Return one line about a visit: medians over its sound detectors."""
    sound = [ccd for ccd in visit["ccds"] if not ccd["problem"]]

    def middle(key: str) -> float | None:
        return float(np.median([ccd[key] for ccd in sound])) if sound else None

    pixels = sum(ccd["n_pixels"] for ccd in sound)
    return {
        "visit": visit["visit"],
        "n_ccds": len(visit["ccds"]),
        "n_used": len(sound),
        "seeing_arcsec": seeing(dict(visit)) if sound else None,
        **{key: middle(key) for key in ("sky", "noise", "noise_ratio", "zero_point")},
        **{
            f"{name}_share": sum(ccd[f"n_{name}"] for ccd in sound) / pixels if pixels else None
            for name in ("bad", "sat", "cr")
        },
    }


def _plain(value: Any) -> Any:
    """Return what JSON can hold: numbers of Python, None for those that are not finite."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
