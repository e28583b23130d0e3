"""The grid of the co-adds: one global pixel grid on the sky, and the patches it is cut into."""

from __future__ import annotations

import itertools
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.wcs import WCS

from tessera.astro.wcsheader import celestial, celestial_wcs, fault_of_wcs, wcs_cards
from tessera.errors import InputError, Problem

Window = tuple[int, int, int, int]
"""Pixels y0 <= y < y1, x0 <= x < x1 of the global grid, 0-based; they may be negative."""

PATCH = r"x-?\d+y-?\d+"
REACH = 8
"""Pixels that a distorted border may lie outside of the hull of the points along it."""


@dataclass(frozen=True)
class SkyMap:
    """A global pixel grid and its patches.

    Attributes
    ----------
    cards
        WCS cards of the global grid; pixel (0, 0) of it is at 0-based (0, 0).
    patch, overlap
        Width of a patch and what neighbours share, in pixels.
    size
        (Y, X) of a grid with an end, or None for one that goes on.
    """

    cards: fits.Header
    patch: int
    overlap: int
    size: tuple[int, int] | None

    @property
    def wcs(self) -> WCS:
        """The WCS of the global grid."""
        return celestial_wcs(self.cards)

    @property
    def pixel_scale(self) -> float:
        """Width of a pixel at the reference point, arcsec."""
        return float(math.sqrt(abs(np.linalg.det(self.wcs.pixel_scale_matrix))) * 3600)

    def window(self, name: str) -> Window:
        """Return the pixels of a patch."""
        match = re.fullmatch(r"x(-?\d+)y(-?\d+)", name)
        if not match:
            raise ValueError(f"no patch is called {name}")
        column, row = int(match[1]), int(match[2])
        stride = self.patch - self.overlap
        # A grid without end has patch x0y0 around its centre, one with an end at its corner.
        start = 0 if self.size else -(self.patch // 2)
        y0, x0 = row * stride + start, column * stride + start
        y1, x1 = y0 + self.patch, x0 + self.patch
        if self.size:
            y1, x1 = min(y1, self.size[0]), min(x1, self.size[1])
        return y0, y1, x0, x1

    def header(self, window: Window) -> fits.Header:
        """Return the WCS cards of an image of these pixels."""
        cards = self.cards.copy()
        cards["CRPIX1"] = cards["CRPIX1"] - window[2]
        cards["CRPIX2"] = cards["CRPIX2"] - window[0]
        return cards

    def _counts(self) -> tuple[int, int] | None:
        """Rows and columns of patches of a grid with an end."""
        if not self.size:
            return None
        stride = self.patch - self.overlap
        rows, columns = (max(1, math.ceil((n - self.overlap) / stride)) for n in self.size)
        return rows, columns

    def touched(self, borders: Sequence[npt.NDArray[np.float64]]) -> list[list[str]]:
        """Tell which patches each image may touch, from points along its border.

        Parameters
        ----------
        borders
            Per image, (4 n, 3) unit vectors as from `tessera.astro.wcsheader.border`.

        Returns
        -------
        list of list of str
            Per image the names of patches; a few may be touched by a hair or not at all, none is
            left out.
        """
        wcs = self.wcs
        stride = self.patch - self.overlap
        start = 0 if self.size else -(self.patch // 2)
        counts = self._counts()
        names: list[list[str]] = []
        for vectors in borders:
            points = np.stack(wcs.all_world2pix(*celestial(vectors), 0), axis=-1)
            if not np.isfinite(points).all():
                names.append([])
                continue
            low, high = points.min(0) - REACH - start, points.max(0) + REACH - start
            first = np.ceil((low - self.patch + 1) / stride).astype(int)
            last = np.floor(high / stride).astype(int)
            if counts:
                first = np.maximum(first, 0)
                last = np.minimum(last, [counts[1] - 1, counts[0] - 1])
            ranges = [range(a, b + 1) for a, b in zip(first, last, strict=True)]
            candidates = [f"x{i}y{j}" for i, j in itertools.product(*ranges)]
            names.append([name for name in candidates if _meet(points, self.window(name))])
        return names


def _meet(points: npt.NDArray[np.float64], window: Window) -> bool:
    """Tell whether a four-sided outline and a rectangle may share a point (separating axes)."""
    y0, y1, x0, x1 = window
    box = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], float) - 0.5
    corners = points[:: len(points) // 4]
    sides = np.roll(corners, -1, axis=0) - corners
    axes = np.concatenate([np.eye(2), np.stack([-sides[:, 1], sides[:, 0]], -1)])
    axes = axes / np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), 1e-12)
    ours, theirs = points @ axes.T, box @ axes.T
    apart = (ours.min(0) - REACH > theirs.max(0)) | (ours.max(0) + REACH < theirs.min(0))
    return not apart.any()


def make_skymap(settings: Mapping[str, Any]) -> SkyMap:
    """Make the sky map that the section ``skymap`` of the configuration asks for.

    Raises
    ------
    InputError
        If neither grid is given in full, the overlap is not below half a patch, or the header is
        at fault.
    """
    patch, overlap = settings["patch_pixels"], settings["overlap_pixels"]
    if 2 * overlap >= patch:
        what = f"overlap_pixels {overlap} is not below half of patch_pixels {patch}"
        raise InputError(Problem("config", "astro.skymap", what, "make it smaller"))
    if settings["header"] is not None:
        cards, size = _read_grid(settings["header"])
        return SkyMap(cards, patch, overlap, size)
    missing = [key for key in ("ra", "dec", "pixel_scale") if settings[key] is None]
    if missing:
        what = f"no grid: neither header nor {', '.join(missing)} is set"
        remedy = "set astro.skymap.header, or ra, dec (deg) and pixel_scale (arcsec)"
        raise InputError(Problem("config", "astro.skymap", what, remedy))
    cards = fits.Header()
    step = settings["pixel_scale"] / 3600.0
    for axis, value, sign in ((1, "ra", -1.0), (2, "dec", 1.0)):
        cards[f"CRVAL{axis}"] = float(settings[value])
        cards[f"CRPIX{axis}"] = 0.5 if patch % 2 == 0 else 1.0
        cards[f"CD{axis}_{axis}"] = sign * step
        cards[f"CUNIT{axis}"] = "deg"
    cards["CTYPE1"], cards["CTYPE2"] = "RA---TAN", "DEC--TAN"
    cards["RADESYS"] = "ICRS"
    return SkyMap(cards, patch, overlap, None)


def _read_grid(path: str) -> tuple[fits.Header, tuple[int, int]]:
    """Read the WCS and size of an output grid from a FITS image or a text of header cards."""

    def refuse(what: str, remedy: str) -> InputError:
        return InputError(Problem(path, "", what, remedy))

    file = Path(path)
    if not file.is_file():
        raise refuse("does not exist", "correct astro.skymap.header")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = _grid_header(file)
    except (OSError, ValueError, UnicodeDecodeError, fits.VerifyError):
        remedy = "give a FITS image, or a text of header cards, a line each"
        raise refuse("holds no FITS header that can be read", remedy) from None
    size = header.get("NAXIS2"), header.get("NAXIS1")
    if not all(isinstance(n, int) and n > 0 for n in size):
        raise refuse("has no NAXIS1 and NAXIS2 above 0", "add the size of the output grid")
    cards = wcs_cards(header)
    if fault := fault_of_wcs(cards):
        raise refuse(*fault)
    return cards, (int(size[0]), int(size[1]))


def _grid_header(file: Path) -> fits.Header:
    with file.open("rb") as stream:
        start = stream.read(81)  # a card, and what follows: another, or the end of a line
    if start.startswith(b"SIMPLE  =") and b"\n" not in start and b"\r" not in start:
        with fits.open(file) as hdus:
            images = [h.header for h in hdus if h.is_image and h.header.get("NAXIS", 0) == 2]
            return images[0].copy() if images else hdus[0].header.copy()
    if file.stat().st_size > 1_000_000:
        raise ValueError("too large for a text of cards")
    lines = file.read_text("ascii").splitlines()
    cards = fits.Header()
    for line in lines:
        if line.strip() == "END":
            break
        card = fits.Card.fromstring(line.ljust(80)[:80])
        if card.keyword and card.keyword not in ("COMMENT", "HISTORY"):
            cards[card.keyword] = card.value
    return cards
