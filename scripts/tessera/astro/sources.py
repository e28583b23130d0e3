"""From the planes of a co-add to a table of sources: each patch on its own, then all together.

`measure_patch` detects and measures; it keeps what is barely significant. `finish` pools the stars
of all patches into aperture corrections, decides how high a peak must be, and writes the totals.
Patches may overlap: each is a table of its own before and after, to be merged by the caller.

**Which sources are kept.** The filtered image has a standard deviation of 1 on blank sky, and a
star of signal-to-noise ratio S peaks at N(S + 0.2, 1) (its highest point is taken). A source is
kept if its peak exceeds the *level*, ``threshold_sigma`` - 1.3: nine in ten isolated stars whose
ideal signal-to-noise ratio is ``threshold_sigma`` are found. Where this would let false rows be
more than 1 - ``purity`` of the catalogue, the level rises until they are not; their number follows
from the theory of Gaussian fields (`tessera.astro.detect.noise_peaks`). In simulated fields of
about a thousand sources per megapixel a purity of 0.99 raises it by 0.6, and 0.77 of these stars
are found.

**Total fluxes.** A point source is measured in the aperture of the growth curve that gives the
least error, noise and uncertainty of the correction together: small ones for faint sources, large
ones for bright. The correction is the pooled curve, improved by the stars nearby as far as the
curves of stars differ by more than noise. A source significantly larger than a star has its Kron
flux divided by the share of a star's light within that ellipse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import sep
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import maximum_filter

from tessera.astro import bits, detect, growth, noise, photometry

Image = npt.NDArray[np.float32]
Bits = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

FLAGS = {
    "DEBLENDED": (1 << 0, "shares a border with another source, from which it was separated"),
    "CROWDED": (1 << 1, "neighbours cover more than a tenth of the pixels within two FWHM"),
    "SATURATED": (1 << 2, "saturated in an exposure that was left out for it, or in all"),
    "TRUNCATED": (1 << 3, "pixels without data within two FWHM"),
    "CLIPPED": (1 << 4, "an exposure was clipped in the core"),
    "FEW": (1 << 5, "the core was seen by fewer than three exposures"),
    "INTERPOLATED": (1 << 6, "pixels of the core rest on interpolated values"),
    "KRON": (1 << 7, "no Kron radius could be measured; the least ellipse was taken"),
    "SHARP": (1 << 8, "significantly smaller than a point source"),
    "POSITION": (1 << 9, "the windowed centroid failed; the position is that of the peak"),
    "ASSUMED": (1 << 10, "aperture correction of an assumed profile, for want of stars"),
    "UNMEASURED": (1 << 11, "no flux could be measured"),
}
"""Bits of the column ``flags`` and their meaning."""

_LEAST_LEVEL = 3.0
"""The level is never below this: noise would fill the patch with segments."""

_LEAST_SKY = 2000
"""Blank pixels below which a background is not measured."""

_NOISE_BOX = 128
"""Box in which the deviation of the filtered image is measured, pixels."""

_COVERED = 3.5
"""Height in the filtered image beyond which there is a source, as far as its sky goes."""

_PART, _STEP, _SPARSE = 1536, 128, 4
"""Width of the part of a patch that the first look takes, pixels, steps at which it may lie, and
one pixel in how many along each axis tells where it best does."""

_LEAST_STARS = 20
"""Stars that suffice for the point-spread function with which sources are looked for."""

_NEAR = 2.0
"""Radius in units of the FWHM within which neighbours and missing pixels are counted."""

_CROWDED = 0.1
"""Share of the surroundings taken by neighbours above which a source counts as crowded."""

_GUESS_ARCSEC = 1.1
"""FWHM for a first look, arcsec; a filter wrong by a third costs a tenth of the signal."""

_MOST_STARS = 300
"""Stars of a patch that are handed on to be pooled: the brightest."""


@dataclass(frozen=True)
class Settings:
    """How to detect and measure.

    Attributes
    ----------
    threshold_sigma
        Signal-to-noise ratio of an isolated star that is found with a probability of 0.9.
    purity
        Least expected share of sources that are not peaks of noise.
    apertures
        Radii of the fixed apertures, arcsec, increasing.
    background_pixels
        Box of the mesh on which the residual background is measured.
    deblend_contrast
        How far a peak must rise above the saddle to a higher one, as a share of the saddle's
        height, to be a source of its own.
    kron_factor
        Kron aperture in units of the first-moment radius.
    """

    threshold_sigma: float = 5.0
    purity: float = 0.99
    apertures: tuple[float, ...] = (0.75, 1.5, 3.0)
    background_pixels: int = 96
    deblend_contrast: float = 0.05
    kron_factor: float = 2.5


def detection_level(settings: Settings) -> float:
    """Return the height in the filtered image that a peak must have before purity is asked for."""
    return max(settings.threshold_sigma - 1.3, _LEAST_LEVEL)


@dataclass(frozen=True)
class _Patch:
    """Planes of a patch: values where there are none are 0, with a variance of 1."""

    image: Image
    variance: Image
    bad: Mask
    mask: Bits
    nimage: npt.NDArray[np.int16]

    def cut(self, part: tuple[slice, slice]) -> _Patch:
        """Return a copy of a part."""
        return _Patch(**{name: plane[part].copy() for name, plane in vars(self).items()})


@dataclass(frozen=True)
class _Look:
    """One pass over a patch: what was found, and where, measured on the ladder of apertures."""

    field: photometry.Field
    found: detect.Detections
    joined: int
    blank: int
    unevenness: float
    roughness: float
    x: Floats
    y: Floats
    centred: Mask
    flux: Floats
    variance: Floats
    around: photometry.Surroundings

    def stars(self) -> growth.Stars:
        """Return the growth curves of the brightest stars that are whole and alone."""
        spoilt = bits.SAT | bits.FEW | bits.BAD | bits.CR | bits.NODATA
        alone = (self.around.missing == 0) & (self.around.crowded < _CROWDED)
        clean = alone & ((self.around.core & spoilt) == 0)
        best = np.flatnonzero(growth.choose_stars(self.flux, self.variance, clean))
        best = np.sort(best[np.argsort(-self.flux[best, 0], kind="stable")][:_MOST_STARS])
        return growth.star_curves(
            self.x[best],
            self.y[best],
            self.around.n_images[best].astype(np.float64),
            self.flux[best],
            self.variance[best],
        )


def measure_patch(
    image: Image,
    variance: Image,
    mask: Bits,
    nimage: npt.NDArray[np.int16],
    *,
    settings: Settings,
    pixel_scale: float,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Detect and measure the sources of one patch.

    Parameters
    ----------
    image, variance
        (Y, X) float32 co-add and its per-pixel variance; not finite where there is no data. They
        are not altered.
    mask
        (Y, X) uint8, bits of `tessera.astro.bits`.
    nimage
        (Y, X) exposures per pixel.
    settings
        See `Settings`.
    pixel_scale
        Arcsec per pixel.

    Returns
    -------
    table
        A row per source, by y and then x (0-based pixels). Columns that begin with ``_`` are for
        `finish`.
    facts
        JSON-able: fwhm (arcsec) and beta of the point-spread function, number of stars, factor of
        the noise in an aperture, sky area, and what `finish` needs.

    Notes
    -----
    Scratch memory is about 40 bytes per pixel.
    """
    bad = ~(np.isfinite(image) & np.isfinite(variance) & (variance > 0))
    bad |= (mask & bits.NODATA) != 0
    # Under the same names, so that planes the caller has let go of do not stay in memory.
    image = np.where(bad, np.float32(0), image)
    variance = np.where(bad, np.float32(1), variance)

    profile = growth.Moffat(max(_GUESS_ARCSEC / pixel_scale, 2.0), 3.0)
    _subtract_sky(image, bad, settings.background_pixels)
    # A first look tells the noise and the point-spread function, the second uses them. A part of
    # the patch tells enough, unless it has too few stars.
    patch = _Patch(image, variance, bad, mask, nimage)
    part = patch.cut(_best_part(nimage))
    look = _look(part, profile, None, settings)
    stars = look.stars()
    if len(stars.x) < _LEAST_STARS and part.image.size < image.size:
        look = _look(patch, profile, None, settings)
        stars = look.stars()
    if len(stars.x):
        fitted, _ = growth.fit_moffat(growth.LADDER * profile.fwhm, *growth.middle_curve(stars))
        # Beyond that the apertures of the first look could not tell, and they were no stars.
        if 0.2 < fitted.fwhm / profile.fwhm < 4:
            profile = fitted
    look = _look(patch, profile, look, settings)
    stars = look.stars()
    facts = {
        "fwhm": profile.fwhm * pixel_scale,
        "beta": profile.beta,
        "stars": len(stars.x),
        "curves": {name: values.tolist() for name, values in vars(stars).items()},
        "covariance": np.round(look.field.covariance, 6).tolist(),
        "sky_pixels": look.blank,
        "roughness": look.roughness,
        "joined": look.joined,
    }
    return _table(look, profile, settings, pixel_scale), facts


def _table(
    look: _Look, profile: growth.Moffat, settings: Settings, pixel_scale: float
) -> pd.DataFrame:
    """Measure everything else and put it into columns."""
    field, found, around = look.field, look.found, look.around
    x, y = look.x, look.y
    second = photometry.moments(field.image, field.segments, x, y)
    a, b, theta = photometry.ellipses(second, least=0.25 * profile.fwhm)
    kron = photometry.kron(field, x, y, a, b, theta, settings.kron_factor)
    apertures = np.array(settings.apertures) / pixel_scale
    fixed, fixed_variance = photometry.circles(field, x, y, apertures)

    flags = np.zeros(len(x), np.int32)
    for name, raised in {
        "DEBLENDED": found.touching,
        "CROWDED": around.crowded > _CROWDED,
        "SATURATED": (around.core & bits.SAT) != 0,
        "TRUNCATED": around.missing > 0,
        "CLIPPED": (around.core & bits.CLIPPED) != 0,
        "FEW": around.n_images < 3,
        "INTERPOLATED": (around.core & bits.INTERP) != 0,
        "KRON": kron.fallback,
        "POSITION": ~look.centred,
    }.items():
        flags[raised] |= FLAGS[name][0]

    columns: dict[str, npt.NDArray[np.generic]] = {
        "x": x,
        "y": y,
        "significance": found.height,
    }
    for k in range(len(apertures)):
        columns[f"flux_aper_{k + 1}"] = fixed[:, k]
        columns[f"flux_aper_{k + 1}_err"] = np.sqrt(fixed_variance[:, k])
    columns |= {
        "flux_kron": kron.flux,
        "flux_kron_err": np.sqrt(kron.variance),
        "kron_radius": kron.factor,
        "a": a,
        "b": b,
        "theta": theta,
        "ellipticity": 1 - b / a,
        "peak": field.image[found.y, found.x].astype(np.float64),
        "flags": flags,
        "mask": around.isophote,
        "n_images": around.n_images,
        "_half_light": photometry.half_light(
            field, x, y, growth.LADDER[-1] * profile.fwhm, look.flux[:, growth.WIDE]
        )
        / profile.fwhm,
    }
    for k in range(len(growth.LADDER)):
        columns[f"_flux_{k}"] = look.flux[:, k]
        columns[f"_variance_{k}"] = look.variance[:, k]
    table = pd.DataFrame(columns)
    return table.sort_values(["y", "x"], kind="stable", ignore_index=True)


def _look(patch: _Patch, profile: growth.Moffat, before: _Look | None, settings: Settings) -> _Look:
    """Detect with a filter, then measure sky and noise where nothing was found.

    The sky's residue is subtracted from the image in place.
    """
    clean, spread, bad = patch.image, patch.variance, patch.bad
    kernel = detect.moffat_kernel(profile.fwhm, profile.beta)
    factor = 1.0
    if before:
        factor = noise.kernel_factor(before.field.covariance, kernel)
        factor += before.unevenness * kernel.sum() ** 2 / np.square(kernel).sum()
        # Sources that are seen raise the sky no longer, and with it those that are hardly seen.
        filtered = detect.matched_filter(clean, spread, ~bad, kernel, factor)
        covered = _grown(filtered > _COVERED, 0.6 * profile.fwhm) | bad
        _subtract_sky(clean, covered, settings.background_pixels)
    filtered = detect.matched_filter(clean, spread, ~bad, kernel, factor)
    _level_noise(filtered, _grown(filtered > _COVERED, 0.6 * profile.fwhm) | bad)
    found = detect.detect(filtered, detection_level(settings), settings.deblend_contrast)
    saturated = _grown((patch.mask & bits.SAT) != 0, 1.5 * profile.fwhm)
    found, joined = detect.join_saturated(found, saturated)
    covered = _grown(found.segments > 0, 0.6 * profile.fwhm) | bad
    rough = detect.roughness(filtered, ~covered)
    peaks = detect.refine(filtered, found.y, found.x)
    del filtered
    _subtract_sky(clean, covered, settings.background_pixels)
    covariance, unevenness = noise.autocovariance(clean, spread, ~covered)
    covariance = noise.without_sources(covariance, kernel)
    blank = int(covered.size - covered.sum())
    typical = float(np.median(spread[::4][~covered[::4]])) if blank else 0.0
    field = photometry.Field(
        image=clean,
        variance=spread,
        bad=bad,
        segments=found.segments,
        covariance=covariance,
        sky_variance=unevenness * typical,
    )
    x, y, centred = photometry.centres(field, peaks[:, 1], peaks[:, 0], found.height, profile.fwhm)
    flux, var = photometry.circles(field, x, y, growth.LADDER * profile.fwhm)
    around = photometry.surroundings(
        field, patch.mask, patch.nimage, x, y, 0.5 * profile.fwhm, _NEAR * profile.fwhm
    )
    return _Look(field, found, joined, blank, unevenness, rough, x, y, centred, flux, var, around)


def _subtract_sky(image: Image, covered: Mask, box: int) -> None:
    """Subtract the smooth part of the pixels that are not covered, in place."""
    if covered.sum() + _LEAST_SKY <= covered.size:
        sep.Background(image, mask=covered, bw=box, bh=box).subfrom(image)


def _level_noise(filtered: Image, covered: Mask) -> None:
    """Divide the filtered image by its deviation where that is above the patch's usual, in place.

    Where few exposures or the edges of detectors meet, the sky is less even than elsewhere.
    """
    if covered.sum() + _LEAST_SKY <= covered.size:
        mesh = sep.Background(filtered, mask=covered, bw=_NOISE_BOX, bh=_NOISE_BOX).rms()
        usual = np.median(mesh[::4][~covered[::4]])
        if usual > 0:
            mesh /= usual
            filtered /= np.maximum(mesh, 1, out=mesh)


def _best_part(nimage: npt.NDArray[np.int16]) -> tuple[slice, slice]:
    """Return the square of `_PART` pixels that the most exposures saw; all of a small patch."""
    some = nimage[::_SPARSE, ::_SPARSE]
    starts = [np.arange(0, n, _STEP // _SPARSE) for n in some.shape]
    sums = np.add.reduceat(np.add.reduceat(some, starts[0], 0, np.int64), starts[1], 1)
    size = tuple(min(_PART // _STEP, n) for n in sums.shape)
    windows = sliding_window_view(sums, size).sum(axis=(2, 3))
    y, x = np.unravel_index(windows.argmax(), windows.shape)
    return slice(y * _STEP, y * _STEP + _PART), slice(x * _STEP, x * _STEP + _PART)


def _grown(region: Mask, radius: float) -> Mask:
    """Grow a region by a square of the given half-width in pixels."""
    size = 2 * int(np.ceil(radius)) + 1
    grown: Mask = maximum_filter(region.view(np.uint8), size=size).view(bool)
    return grown
