"""The point-spread function of a co-add as a growth curve, and aperture corrections from it.

Stars are measured in circular apertures of the radii ``LADDER`` times the patch's own FWHM, in
which form curves of patches with different seeing are alike and can be pooled. A circular Moffat
profile fitted to the curve gives the FWHM, the kernel of the matched filter, and what lies beyond
the last aperture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

LADDER = np.array([0.7, 1.0, 1.4, 2.0, 2.8, 4.0])
"""Radii of the growth curve in units of the FWHM. The first is near the best signal-to-noise
ratio; a Moffat profile of beta 3 has 0.3 % of its flux beyond the last."""

WIDE = 4
"""Place in LADDER of the aperture whose flux half-light radii refer to."""

INNER, OUTER = 0, 3
"""Places in LADDER of the two apertures whose ratio tells how concentrated a source is."""

STAR_SNR = 50.0
"""Least signal-to-noise ratio of a star that enters a growth curve."""

_SPREAD = 0.07
"""How far the concentration of a star may be from that of most, as a share of it: seeing that
changes over a patch by 5 % moves it by as much."""

PATCH_SEEING = 0.02
"""Uncertainty of the FWHM of a patch, relative, from which its ladder of apertures was made."""

LEAST_STARS = 4
"""With fewer stars than this a growth curve is not believed."""


@dataclass(frozen=True)
class Moffat:
    """A circular Moffat profile: FWHM (in the unit of the radii given) and exponent beta."""

    fwhm: float
    beta: float

    def enclosed(self, radius: npt.ArrayLike) -> Floats:
        """Return the share of the flux within a radius."""
        alpha = 0.5 * self.fwhm / np.sqrt(2 ** (1 / self.beta) - 1)
        share: Floats = 1 - (1 + (np.asarray(radius, np.float64) / alpha) ** 2) ** (1 - self.beta)
        return share

    def response(self, radius: npt.ArrayLike) -> Floats:
        """Return -d ln(flux within a radius) / d ln(FWHM)."""
        step = 0.01
        wider = Moffat(self.fwhm * np.exp(step), self.beta).enclosed(radius)
        narrower = Moffat(self.fwhm * np.exp(-step), self.beta).enclosed(radius)
        change: Floats = np.log(narrower / wider) / (2 * step)
        return change

    def radius(self, share: float) -> float:
        """Return the radius that encloses a share of the flux."""
        alpha = 0.5 * self.fwhm / np.sqrt(2 ** (1 / self.beta) - 1)
        return float(alpha * np.sqrt((1 - share) ** (1 / (1 - self.beta)) - 1))


NOT_MOFFAT = 0.002
"""How far, relatively, growth curves of stars are from those of Moffat profiles."""


def fit_moffat(radii: Floats, curve: Floats, errors: Floats) -> tuple[Moffat, Floats]:
    """Fit a Moffat profile to a growth curve.

    Parameters
    ----------
    radii
        (K,) radii, K >= 3.
    curve
        (K,) flux within them, in any unit.
    errors
        (K,) its relative standard errors, to which NOT_MOFFAT is added. Where they say little
        about beta, it stays within about 1 of 3.

    Returns
    -------
    The profile; (K,) relative standard errors of the shares of the flux that it encloses within
    the radii, to first order.
    """
    weights = 1 / np.hypot(errors, NOT_MOFFAT)

    def residuals(parameters: Floats) -> Floats:
        model = Moffat(float(np.exp(parameters[0])), float(parameters[1])).enclosed(radii) / curve
        scale = (weights @ (weights * model)) / np.square(weights * model).sum()
        return np.append(weights * (scale * model - 1), parameters[1] - 3.0)

    half = float(np.interp(0.5 * curve[-1], curve, radii))
    fit = least_squares(
        residuals,
        [np.log(2.0 * half), 3.0],
        bounds=([np.log(0.05 * half), 1.3], [np.log(20 * half), 20.0]),
        x_scale=[0.1, 1.0],
    )

    def logs(parameters: Floats) -> Floats:
        profile = Moffat(float(np.exp(parameters[0])), float(parameters[1]))
        share: Floats = np.log(profile.enclosed(radii))
        return share

    steps = np.diag([1e-3, 1e-3 * float(fit.x[1])])
    slopes = np.array([(logs(fit.x + d) - logs(fit.x - d)) / (2 * d.sum()) for d in steps])
    # Only what was measured is uncertain: NOT_MOFFAT, in the weights, is no noise.
    gain = np.linalg.pinv(fit.jac) * np.append(weights * errors, 1.0)
    return (
        Moffat(float(np.exp(fit.x[0])), float(fit.x[1])),
        np.sqrt(np.square(slopes.T @ gain).sum(axis=1)),
    )


def half_sample_mode(values: Floats) -> float:
    """Return the mode by halving: the densest half of the values, again and again.

    Robertson & Cryer (1974), JASA 69, 1012, as described by Bickel & Frühwirth (2006).
    """
    values = np.sort(values)
    while len(values) > 3:
        size = (len(values) + 1) // 2
        start = int(np.argmin(values[size - 1 :] - values[: len(values) - size + 1]))
        values = values[start : start + size]
    return float(np.median(values))


def _star_locus(ratios: Floats) -> float:
    """Return the concentration of stars: the most concentrated place where sources gather.

    Galaxies are spread below it and may outnumber the stars; what little is above are blemishes.
    """
    ordered = np.sort(ratios)
    least = max(LEAST_STARS, len(ordered) // 10)
    within = np.arange(1, len(ordered) + 1) - np.searchsorted(ordered, ordered * (1 - _SPREAD))
    top = int(np.flatnonzero(within >= least)[-1]) if (within >= least).any() else len(ordered) - 1
    return half_sample_mode(ordered[top + 1 - within[top] : top + 1])


def choose_stars(flux: Floats, variance: Floats, clean: Flags) -> Flags:
    """Pick the sources that are bright, clean, and all of the same concentration: the stars.

    Parameters
    ----------
    flux, variance
        (N, K) fluxes within LADDER and their variances.
    clean
        (N,) bool: whole, unsaturated, and alone within the last aperture.

    Returns
    -------
    (N,) bool; none if there are fewer than LEAST_STARS.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        bright = clean & (flux[:, 1] > STAR_SNR * np.sqrt(variance[:, 1])) & (flux > 0).all(axis=1)
        ratio = flux[:, INNER] / flux[:, OUTER]
    stars = np.zeros(len(flux), bool)
    if bright.sum() < LEAST_STARS:
        return stars
    mode = _star_locus(ratio[bright])
    spread = np.zeros(len(flux))
    ring = variance[bright, OUTER] - variance[bright, INNER]
    spread[bright] = ratio[bright] * np.sqrt(np.maximum(ring, 0)) / flux[bright, OUTER]
    stars[bright] = np.abs(ratio - mode)[bright] < _SPREAD * mode + 2 * spread[bright]
    return stars if stars.sum() >= LEAST_STARS else np.zeros(len(flux), bool)


@dataclass(frozen=True)
class Stars:
    """Growth curves of the stars of a patch.

    Attributes
    ----------
    x, y
        (S,) positions.
    depth
        (S,) number of exposures.
    ratios, errors
        (S, K) flux within LADDER over that within OUTER; their standard errors from noise.
    """

    x: Floats
    y: Floats
    depth: Floats
    ratios: Floats
    errors: Floats


def star_curves(x: Floats, y: Floats, depth: Floats, flux: Floats, variance: Floats) -> Stars:
    """Return the growth curves of S stars from their (S, K) fluxes and variances."""
    outer = flux[:, OUTER : OUTER + 1]
    ratios = flux / outer
    # The inner part is common to both apertures: only the ring between them is noise.
    ring = np.abs(variance - variance[:, OUTER : OUTER + 1])
    return Stars(x, y, depth, ratios, np.maximum(ratios, 1) * np.sqrt(ring) / outer)


def stars_of(lists: Mapping[str, Any]) -> Stars:
    """Return what was written as lists of numbers, field by field."""
    x, y, depth = (np.array(lists[key], np.float64) for key in ("x", "y", "depth"))
    ratios, errors = (
        np.array(lists[key], np.float64).reshape(-1, len(LADDER)) for key in ("ratios", "errors")
    )
    return Stars(x, y, depth, ratios, errors)


def middle_curve(stars: Stars) -> tuple[Floats, Floats]:
    """Return the median growth curve of stars, (K,), and its relative standard errors.

    Stars count by the inverse variance of their ratios, to which (0.3 %)² is added. Neighbours too
    close or too faint to be told apart add to the wide apertures of all, the less the brighter the
    star; half of the noise of a typical star stands for them in the error.
    """
    middle, errors = np.ones(len(LADDER)), np.zeros(len(LADDER))
    for k in range(len(LADDER)):
        order = np.argsort(stars.ratios[:, k], kind="stable")
        weight = 1 / (np.square(stars.errors[order, k]) + 0.003**2)
        below = np.cumsum(weight) - 0.5 * weight
        middle[k] = np.interp(0.5 * weight.sum(), below, stars.ratios[order, k])
        typical = np.average(np.square(stars.errors[order, k]), weights=weight)
        errors[k] = np.sqrt(1.57 / weight.sum() + 0.25 * typical) / middle[k]
    return middle, errors


@dataclass(frozen=True)
class Curve:
    """Pooled growth curve.

    Attributes
    ----------
    share
        (K,) median share of the total flux within LADDER.
    error
        (K,) its relative uncertainty.
    seeing
        Relative scatter of the FWHM from place to place within a patch: where as many exposures
        are as for most of its stars, and elsewhere.
    profile
        Fitted to the curve, radii in units of the FWHM.
    stars
        Stars it is based on; 0: a Moffat profile of beta 3 was assumed.
    """

    share: Floats
    error: Floats
    seeing: tuple[float, float]
    profile: Moffat
    stars: int


ASSUMED = Curve(
    share=Moffat(1.0, 3.0).enclosed(LADDER),
    error=np.full(len(LADDER), 0.003),
    seeing=(0.03, 0.05),
    profile=Moffat(1.0, 3.0),
    stars=0,
)
"""Used where there are too few stars."""


def assumed(curve: Curve, scale: float) -> Curve:
    """Return the curve for a patch without stars, whose FWHM was taken `scale` times too large."""
    share = curve.share * curve.profile.enclosed(LADDER * scale) / curve.profile.enclosed(LADDER)
    profile = Moffat(curve.profile.fwhm / scale, curve.profile.beta)
    return Curve(share, curve.error, ASSUMED.seeing, profile, 0)


def pool(patches: Sequence[Stars]) -> Curve:
    """Pool the growth curves of the stars of all patches."""
    if sum(len(stars.x) for stars in patches) < LEAST_STARS:
        return ASSUMED
    every = Stars(
        *(
            np.concatenate([getattr(stars, field.name) for stars in patches])
            for field in fields(Stars)
        )
    )
    middle, errors = middle_curve(every)
    profile, uncertain = fit_moffat(LADDER, middle, errors)
    model = profile.enclosed(LADDER)
    # The curve is measured where that is exact, and the profile's where it is not.
    trust = NOT_MOFFAT**2 / (NOT_MOFFAT**2 + np.square(errors))
    share = model * (1 + trust * (middle * model[OUTER] / model - 1))
    # What lies beyond the last radius is an extrapolation, trusted to a tenth of itself, of a
    # profile that few or faint stars leave uncertain.
    beyond = np.hypot(uncertain, 0.1 * (1 - model[-1]))
    curve = Curve(
        share=share,
        error=np.hypot(errors * np.sqrt(trust), beyond),
        seeing=ASSUMED.seeing,
        profile=profile,
        stars=len(every.x),
    )
    seeing = [_scatter(curve, patches, same) for same in (True, False)]
    return replace(curve, seeing=(seeing[0], max(seeing)))


def _scatter(curve: Curve, patches: Sequence[Stars], same: bool) -> float:
    """Return the scatter of the FWHM about its patch's, where the depth is the usual one or not."""
    deviations, uncertain = [], []
    for stars in patches:
        width, error = widths(curve, stars)
        usual = _usual(stars.depth, stars)
        if usual.sum() >= LEAST_STARS:
            middle = np.average(width[usual], weights=1 / (np.square(error[usual]) + 0.01**2))
            deviations += (width - middle)[usual == same].tolist()
            uncertain += error[usual == same].tolist()
    if len(deviations) < LEAST_STARS:
        return ASSUMED.seeing[0 if same else 1]
    return _excess(np.array(deviations), np.array(uncertain))


def _usual(depth: Floats, stars: Stars) -> Flags:
    """Tell where there are as many exposures as for the median star of the patch."""
    return depth == (np.median(stars.depth) if len(stars.depth) else np.nan)


def widths(curve: Curve, stars: Stars) -> tuple[Floats, Floats]:
    """Return (S,) relative deviations of the stars' FWHM from the pooled one, and their errors.

    They are read off the innermost aperture, which changes most with the FWHM.
    """
    response = curve.profile.response(LADDER[INNER]) - curve.profile.response(LADDER[OUTER])
    middle = curve.share[INNER] / curve.share[OUTER]
    deviation = (1 - stars.ratios[:, INNER] / middle) / response
    return deviation, stars.errors[:, INNER] / middle / response


def _excess(deviations: Floats, errors: Floats) -> float:
    """Return the scatter of deviations beyond their errors.

    The s for which nine in ten of the squared deviations, each in units of its error² + s², are
    below 2.71, as of a Gaussian: a part of a patch may differ, a few neighbours may spoil.
    """
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        pull = np.square(deviations) / (np.square(errors) + middle**2 + 1e-12)
        low, high = (middle, high) if np.quantile(pull, 0.9) > 2.706 else (low, middle)
    return high


def local_shares(
    curve: Curve, x: Floats, y: Floats, depth: Floats, stars: Stars, distance: float
) -> tuple[Floats, Floats]:
    """Improve the pooled curve by the stars nearby.

    The FWHM of a co-add jumps where the set of its exposures changes. Its deviation from the
    pooled value is interpolated between the stars of the patch (simple kriging): a constant of the
    patch, of scatter PATCH_SEEING, and a random field of scatter `curve.seeing` and correlation
    exp(-d / distance - |difference of depth|), which allows for jumps.

    Parameters
    ----------
    curve
        Pooled over all patches.
    x, y, depth
        (N,) positions and numbers of exposures.
    stars
        Those of the same patch.
    distance
        Correlation length, pixels.

    Returns
    -------
    (N, K) shares of the total flux within LADDER; their relative standard errors.
    """
    response = curve.profile.response(LADDER)
    deviation, errors = widths(curve, stars)

    def scatter(at: Floats) -> Floats:
        return np.where(_usual(at, stars), *curve.seeing)

    def covariance(at_x: Floats, at_y: Floats, at: Floats) -> Floats:
        apart = np.hypot(at_x[:, None] - stars.x, at_y[:, None] - stars.y) / distance
        apart += np.abs(at[:, None] - stars.depth)
        field: Floats = scatter(at)[:, None] * scatter(stars.depth) * np.exp(-apart)
        return PATCH_SEEING**2 + field

    near = covariance(x, y, depth)
    among = covariance(stars.x, stars.y, stars.depth) + np.diag(np.square(errors) + 1e-10)
    gain = np.linalg.solve(among, near.T).T
    width = gain @ deviation
    prior = PATCH_SEEING**2 + np.square(scatter(depth))
    variance = np.maximum(prior - (gain * near).sum(axis=1), 0)
    return (
        curve.share * np.exp(-width[:, None] * response),
        np.hypot(np.sqrt(variance)[:, None] * response, curve.error),
    )
