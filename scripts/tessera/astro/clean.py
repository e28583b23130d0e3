"""Cleaning of one detector: defects, sky, variance, cosmic rays, repair."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import sep
from scipy import ndimage

from tessera.astro.bits import BAD, CR, EDGE, INTERP, SAT
from tessera.astro.cosmics import find_cosmic_rays
from tessera.astro.planes import RawCcd
from tessera.astro.repair import fill
from tessera.errors import InputError, Problem

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Bits = npt.NDArray[np.uint8]

BORDER = 2
"""Pixels at each side in which the Laplacian and the medians of L.A.Cosmic lack neighbours."""
TOLERANCE = 1.5
"""Factor by which measured and stated variances may differ."""
_BIN = 4
_STAMP = 1024
_SPARSE = 4
"""Of so many rows one tells a median well enough."""


@dataclass
class Cleaned:
    """A cleaned detector.

    Attributes
    ----------
    image
        (Y, X) float32, ADU, sky subtracted, defects filled in.
    variance
        (Y, X) float32, ADU^2, above 0.
    mask
        (Y, X) uint8, bits of `tessera.astro.bits`.
    facts
        What was found: ``sky`` and ``noise`` (ADU), ``noise_ratio`` (measured over stated standard
        deviation), ``fwhm`` (pixels, None where no star tells), counts of pixels.
    """

    image: Floats
    variance: Floats
    mask: Bits
    facts: dict[str, Any]


def clean(
    raw: RawCcd, record: Mapping[str, Any], settings: Mapping[str, Any], path: str
) -> Cleaned:
    """Clean one detector.

    Parameters
    ----------
    raw
        Its planes.
    record
        What its header says: ``ccd``, ``gain`` (e-/ADU), ``read_noise`` (e-), ``saturation`` (ADU).
    settings
        The sections ``mask_bits``, ``background`` and ``cosmic_rays``.
    path
        The visit's file, for messages.

    Raises
    ------
    InputError
        If there is nothing on it, or its noise contradicts its variance or gain.
    """
    place = f"CCD {record['ccd']}"

    def refuse(what: str, remedy: str) -> InputError:
        return InputError(Problem(path, place, what, remedy))

    image = raw.image
    mask = _input_bits(raw, record, settings["mask_bits"])
    n_nonfinite = int(np.count_nonzero(~np.isfinite(image)))
    usable = (mask & (BAD | SAT)) == 0
    if usable.mean() < 0.01:
        raise refuse("less than 1 % of the pixels are usable", "leave this CCD out")
    if np.ptp(image[usable]) == 0:
        raise refuse(
            f"the image is blank (every pixel is {image[usable][0]:g})", "leave this CCD out"
        )
    fill(image, ~usable)
    background = estimate_background(image, ~usable, settings["background"]["box"])
    image -= background
    sky = float(np.median(background[::_SPARSE]))
    if raw.variance is None:
        variance = _variance_from_gain(image, background, record)
    else:
        variance = raw.variance
        wrong = ~(np.isfinite(variance) & (variance > 0))
        mask[wrong] |= BAD
        usable &= ~wrong
        if usable.mean() < 0.01:
            raise refuse("less than 1 % of the variances are above 0", "leave this CCD out")
        if wrong.any():
            variance[wrong] = np.float32(np.median(variance[usable]))
    del background
    rows = slice(None, None, _SPARSE)
    stated = float(np.sqrt(np.median(variance[rows][usable[rows]])))
    noise = pixel_noise(image, usable)
    _check_noise(noise, stated, sky, raw.variance is not None, record, refuse)
    if raw.variance is not None:
        _check_slope(image, variance, usable, noise, stated, record, refuse)

    rays = settings["cosmic_rays"]
    hit = _cosmic_rays(image, variance, ~usable, rays)
    mask[hit] |= CR
    bad = hit | ~usable
    fill(image, bad)
    mask[bad] |= INTERP
    mask[:BORDER] |= EDGE
    mask[-BORDER:] |= EDGE
    mask[:, :BORDER] |= EDGE
    mask[:, -BORDER:] |= EDGE
    facts = {
        "sky": sky,
        "noise": stated,
        "noise_ratio": noise / stated,
        "fwhm": star_width(image, mask, stated),
        "n_pixels": int(mask.size),
        "n_nonfinite": n_nonfinite,
        **{
            f"n_{name}": int(np.count_nonzero(mask & bit))
            for name, bit in (("bad", BAD), ("sat", SAT), ("cr", CR))
        },
    }
    return Cleaned(image, variance, mask, facts)


def _input_bits(raw: RawCcd, record: Mapping[str, Any], numbers: Mapping[str, Any]) -> Bits:
    """Translate the mask as stored, and mark what is not finite or saturated."""
    mask = np.zeros(raw.image.shape, np.uint8)
    if raw.mask is not None:
        ours = {"BAD": BAD, "SAT": SAT, "INTERP": INTERP, "CR": CR, "EDGE": EDGE}
        for name, bit in ours.items():
            listed = numbers[name]
            listed = [] if listed is None else [listed] if isinstance(listed, int) else listed
            value = sum(1 << number for number in listed if number < 8 * raw.mask.itemsize)
            if value:
                mask[(raw.mask & raw.mask.dtype.type(value)) != 0] |= bit
    mask[~np.isfinite(raw.image)] |= BAD
    if record["saturation"] is not None:
        with np.errstate(invalid="ignore"):
            mask[raw.image >= record["saturation"]] |= SAT
    return mask


def estimate_background(image: Floats, mask: Mask, box: int) -> Floats:
    """Estimate the sky on a mesh, sources left out.

    Parameters
    ----------
    image
        (Y, X) float32.
    mask
        (Y, X) bool, pixels not to be used.
    box
        Width of the mesh, pixels; it is adapted so that the meshes fit the image.

    Returns
    -------
    (Y, X) float32
        Bicubic spline through the sky of each mesh (Bertin and Arnouts 1996; `sep`). A first
        estimate finds the sources, whose surroundings the second leaves out: their wings would
        raise the sky under them and make every source fainter.
    """
    # Meshes of one size: a narrow last one would tell little, and the spline would follow it.
    high, wide = (-(-n // max(1, round(n / box))) for n in image.shape)
    size = {"bh": high, "bw": wide}
    first = sep.Background(image, mask=mask, **size)
    sources = source_mask(image, first.back(dtype=np.float32), float(first.globalrms))
    # sep takes no value from a mesh of which more than half is masked, but that of its neighbours.
    # In a crowd that has none, sources stay in, and sep's clipping and mode have to do.
    rows, columns = np.arange(0, image.shape[0], high), np.arange(0, image.shape[1], wide)
    covered = np.add.reduceat(np.add.reduceat(sources, rows, 0, np.int32), columns, 1)
    area = np.outer(np.diff(rows, append=image.shape[0]), np.diff(columns, append=image.shape[1]))
    told = (covered < 0.45 * area).astype(np.float32)
    helped = ndimage.uniform_filter(told, 3, mode="nearest") > 0.5
    sources &= helped.repeat(high, axis=0).repeat(wide, axis=1)[: image.shape[0], : image.shape[1]]
    return sep.Background(image, mask=mask | sources, **size).back(dtype=np.float32)


def source_mask(image: Floats, background: Floats, rms: float) -> Mask:
    """Find pixels in or near sources.

    Averages over 4 x 4 pixels show faint wings that single pixels do not: those above 3 of their
    standard deviations, and what lies within 8 pixels of them; within 24 pixels of bright ones. At
    3 sigma the sky itself is hardly touched: leaving out its brightest 0.1 % lowers the mean of
    the rest by 0.001 of a pixel's standard deviation.
    """
    height, width = (n // _BIN * _BIN for n in image.shape)
    excess = image[:height, :width] - background[:height, :width]
    strips = excess.reshape(height // _BIN, _BIN, width).sum(axis=1)
    binned = strips.reshape(height // _BIN, width // _BIN, _BIN).sum(axis=2)
    binned *= np.float32(1 / (_BIN * max(rms, 1e-30)))
    near = ndimage.maximum_filter(binned > 3, size=5)
    near |= ndimage.maximum_filter(binned > 30, size=13)
    covered = np.zeros(image.shape, bool)
    covered[:height, :width] = near.repeat(_BIN, axis=0).repeat(_BIN, axis=1)
    return covered


def _variance_from_gain(image: Floats, background: Floats, record: Mapping[str, Any]) -> Floats:
    """Poisson variance of sky and sources, and read noise; ADU^2."""
    gain, read = record["gain"], record["read_noise"]
    counts = np.maximum(image, 0) + np.maximum(background, 0)
    variance: Floats = (counts / np.float32(gain) + np.float32((read / gain) ** 2)).astype(
        np.float32
    )
    return np.maximum(variance, np.float32(1e-6), out=variance)


def pixel_noise(image: Floats, usable: Mask) -> float:
    """Return the standard deviation of the noise of a pixel.

    From the median absolute difference of pixels two apart, which knows neither sky nor most of
    the sources, on every fourth row.
    """
    rows, good = image[::_SPARSE], usable[::_SPARSE]
    difference = np.abs(rows[:, 2:] - rows[:, :-2])[good[:, 2:] & good[:, :-2]]
    return float(np.median(difference)) * 1.482602 / math.sqrt(2) if difference.size else math.nan


def _check_noise(
    noise: float, stated: float, sky: float, given: bool, record: Mapping[str, Any], refuse: Any
) -> None:
    ratio = (noise / stated) ** 2
    if 1 / TOLERANCE <= ratio <= TOLERANCE:
        return
    if given:
        what = f"the variance of the sky is {ratio:.3g} times what the variance plane says"
        remedy = "check the units of the two planes (ADU and ADU^2), and that it is no weight map"
    else:
        what = (
            f"the variance of the sky is {ratio:.3g} times what gain {record['gain']:g} and read "
            f"noise {record['read_noise']:g} make of a sky of {sky:.4g} ADU"
        )
        remedy = "check gain and units, and that the sky was not subtracted"
    raise refuse(what, remedy)


def _check_slope(
    image: Floats,
    variance: Floats,
    usable: Mask,
    noise: float,
    stated: float,
    record: Mapping[str, Any],
    refuse: Any,
) -> None:
    """Compare the gain with the slope of variance over counts, where sources show one.

    A variance plane of the sky alone, flat under the sources, is common and no contradiction.
    """
    bright = usable & (image > 20 * noise)
    if record["gain"] is None or record["gain"] <= 0 or np.count_nonzero(bright) < 100:
        return
    slope = float(np.median((variance[bright] - stated**2) / image[bright]))
    product = slope * record["gain"]
    if product < 0.05 or 1 / TOLERANCE <= product <= TOLERANCE:
        return
    what = (
        f"the variance plane grows by {slope:.3g} per count, but gain {record['gain']:g} "
        f"says {1 / record['gain']:.3g}"
    )
    raise refuse(what, "check the gain and the units of image and variance")


def _cosmic_rays(image: Floats, variance: Floats, mask: Mask, rays: Mapping[str, Any]) -> Mask:
    if rays["engine"] == "sparse":
        return find_cosmic_rays(
            image,
            variance,
            mask,
            sigclip=rays["sigclip"],
            sigfrac=rays["sigfrac"],
            objlim=rays["objlim"],
            iterations=rays["iterations"],
        )
    import astroscrappy  # slow to import, and seldom asked for

    hit, _ = astroscrappy.detect_cosmics(
        image,
        inmask=mask,
        invar=variance,
        sigclip=rays["sigclip"],
        sigfrac=rays["sigfrac"],
        objlim=rays["objlim"],
        niter=rays["iterations"],
        gain=1.0,
        readnoise=0.0,
        satlevel=math.inf,
        sepmed=True,
        fsmode="median",
        cleantype="meanmask",
    )
    return np.asarray(hit, bool)


def star_width(image: Floats, mask: Bits, noise: float) -> float | None:
    """Return the full width at half maximum of the stars, pixels, or None where too few tell.

    Twice the half-light radius of bright round sources in the middle of the detector; stars are
    the narrowest, so the median of the narrower half is taken.
    """
    height, width = image.shape
    y, x = max(0, (height - _STAMP) // 2), max(0, (width - _STAMP) // 2)
    part = np.ascontiguousarray(image[y : y + _STAMP, x : x + _STAMP])
    flawed = (mask[y : y + _STAMP, x : x + _STAMP] & (BAD | SAT | CR)) != 0
    try:
        found = sep.extract(part, 10 * noise, mask=flawed, minarea=8)
    except Exception:  # sep: more pixels than its buffer holds, in a field of stars alone
        return None
    found = found[(found["b"] > 0.6 * found["a"]) & (found["flag"] == 0) & (found["b"] > 0.4)]
    if len(found) < 5:
        return None
    half, flag = sep.flux_radius(
        part, found["x"], found["y"], np.full(len(found), 15.0), 0.5, subpix=5, mask=flawed
    )
    half = np.sort(half[(flag == 0) & np.isfinite(half) & (half > 0.4)])
    return float(2 * np.median(half[: max(3, len(half) // 2)])) if len(half) >= 5 else None
