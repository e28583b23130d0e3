"""The celestial WCS of a detector, out of its header, or why there is none."""

from __future__ import annotations

import re
import warnings

import numpy as np
import numpy.typing as npt
from astropy.io.fits import Header
from astropy.wcs import WCS, FITSFixedWarning

PROJECTIONS = ("TAN", "TPV", "TAN-SIP")
_WCS_CARD = re.compile(
    r"(WCSAXES|(CTYPE|CRVAL|CRPIX|CUNIT|CDELT|CROTA|CNAME)[12]|(CD|PC)[12]_[12]|PC00[12]00[12]"
    r"|PV[12]_\d+|(A|B|AP|BP)_(ORDER|DMAX|\d+_\d+)|LONPOLE|LATPOLE|RADESYS|RADECSYS|EQUINOX)"
)
EDGE_POINTS = 4
"""Points along each side of a detector by which its place on the sky is known."""


def wcs_cards(header: Header) -> Header:
    """Return the cards that make up the WCS of an image, mended where a convention differs.

    SCAMP and others before it wrote the terms of a TPV distortion under the name TAN. The TAN
    projection has no PV term on its second axis and none beyond PV1_4, so such terms give it away.
    """
    cards = Header()
    for card in header.cards:
        if _WCS_CARD.fullmatch(card.keyword):
            cards[card.keyword] = card.value
    types = [str(cards.get(f"CTYPE{axis}", "")) for axis in (1, 2)]
    sip = "A_ORDER" in cards or "B_ORDER" in cards
    terms = [key for key in cards if re.fullmatch(r"PV2_\d+|PV1_([5-9]|\d\d+)", key)]
    if sip and all("-SIP" not in kind for kind in types) and all("-TAN" in t for t in types):
        for axis, kind in enumerate(types, 1):
            cards[f"CTYPE{axis}"] = f"{kind}-SIP"
    if sip and terms:
        for key in [key for key in cards if key.startswith("PV")]:
            del cards[key]
    elif terms and all(kind.endswith("-TAN") for kind in types):
        for axis, kind in enumerate(types, 1):
            cards[f"CTYPE{axis}"] = kind.removesuffix("-TAN") + "-TPV"
    return cards


def fault_of_wcs(header: Header) -> tuple[str, str] | None:
    """Say what is wrong with the WCS cards of an image and what to do, or None."""
    types = [str(header.get(f"CTYPE{axis}", "")).strip().upper() for axis in (1, 2)]
    remedy = "solve the astrometry of this image (SCAMP, astrometry.net) and write it to the header"
    if not all(types) or not {"CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2"} <= set(header):
        return "there is no celestial WCS (CTYPE, CRVAL, CRPIX)", remedy
    kinds = [kind[5:].strip("-") for kind in types]
    celestial = {types[0][:4].strip("-"), types[1][:4].strip("-")} == {"RA", "DEC"}
    if not celestial or kinds[0] != kinds[1] or kinds[0] not in PROJECTIONS:
        found = f"the projection is {types[0]}, {types[1]}"
        return found, f"convert it to equatorial {', '.join(PROJECTIONS)}"
    words = ("CTYPE", "CUNIT", "CNAME", "RADESYS", "RADECSYS")
    numbers = [header[key] for key in header if not key.startswith(words)]
    if not all(isinstance(value, int | float) and np.isfinite(value) for value in numbers):
        return "the WCS holds a value that is not a number", remedy
    matrix = _matrix(header)
    scale = np.sqrt(abs(np.linalg.det(matrix)))
    if not scale > 1e-9 or scale < 1e-6 * np.abs(matrix).max():
        return "the WCS is singular (its CD matrix has no inverse)", remedy
    return None


def _matrix(header: Header) -> npt.NDArray[np.float64]:
    """Return the 2 x 2 matrix from pixels to degrees."""
    if any(f"CD{i}_{j}" in header for i in (1, 2) for j in (1, 2)):
        return np.array([[header.get(f"CD{i}_{j}", 0.0) for j in (1, 2)] for i in (1, 2)], float)
    pc = np.array(
        [[header.get(f"PC{i}_{j}", float(i == j)) for j in (1, 2)] for i in (1, 2)], float
    )
    return np.diag([header.get(f"CDELT{axis}", 1.0) for axis in (1, 2)]) @ pc


def celestial_wcs(cards: Header) -> WCS:
    """Return the WCS of cards that were found sound; 0-based pixels are up to the calls."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        return WCS(cards, naxis=2)


def border(wcs: WCS, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Return points along the border of an image as unit vectors.

    Parameters
    ----------
    wcs
        WCS of the image.
    shape
        (Y, X) in pixels.

    Returns
    -------
    (4 `EDGE_POINTS`, 3) float64
        Unit vectors in ICRS, around the image from the outer corner of pixel (0, 0); corners are
        every `EDGE_POINTS`-th.
    """
    height, width = shape
    along = np.arange(EDGE_POINTS) / EDGE_POINTS
    steps = [(along, 0 * along), (1 + 0 * along, along), (1 - along, 1 + 0 * along)]
    steps.append((0 * along, 1 - along))
    x = np.concatenate([step[0] for step in steps]) * width - 0.5
    y = np.concatenate([step[1] for step in steps]) * height - 0.5
    return unit_vectors(*wcs.all_pix2world(x, y, 0))


def unit_vectors(
    ra: npt.NDArray[np.float64], dec: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Turn right ascension and declination (deg) into unit vectors, (N, 3)."""
    ra, dec = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def celestial(vectors: npt.NDArray[np.float64]) -> tuple[np.ndarray, np.ndarray]:
    """Turn (N, 3) vectors into right ascension in [0, 360) and declination, deg."""
    ra = np.degrees(np.arctan2(vectors[..., 1], vectors[..., 0])) % 360.0
    dec = np.degrees(np.arctan2(vectors[..., 2], np.hypot(vectors[..., 0], vectors[..., 1])))
    return ra, dec
