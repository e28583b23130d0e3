"""What a detector makes of a made-up sky: light, noise, cosmic rays, defects, and the truth."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from tessera.astro.bits import BAD, EDGE, SAT
from tessera.astro.scene import Doubles, Sources, core_radius, draw, points
from tessera.astro.survey import Survey, Visit, counts, stream, wcs_header

EDGE_WIDTH = 4
_MARGIN = 200
"""Pixels around a detector from which sources are drawn."""


@dataclass(frozen=True, eq=False)
class Ccd:
    """One detector of a visit; planes (Y, X).

    Attributes
    ----------
    image
        float32, ADU, sky included.
    mask
        int16, bits ``BAD``, ``SAT`` and ``EDGE`` of `tessera.astro.bits`.
    variance
        float32, ADU^2, that of the image where it is neither saturated nor defective.
    light
        float64, ADU, what the image would be without noise and defects.
    cosmic
        int32, electrons of cosmic rays, which are no part of `light`.
    header
        WCS, ``CCDNUM``, ``GAIN``, ``RDNOISE``, ``SATURATE`` and ``MAGZERO``.
    seen
        (N,) bool: the centre of a source is on the detector, and it shines.
    """

    image: npt.NDArray[np.float32]
    mask: npt.NDArray[np.int16]
    variance: npt.NDArray[np.float32]
    light: Doubles
    cosmic: npt.NDArray[np.int32]
    header: fits.Header
    seen: npt.NDArray[np.bool_]


def expose(survey: Survey, sky: Sources, visit: Visit, number: int, *, defects: bool = True) -> Ccd:
    """Take the picture of one detector.

    Photons and read noise are random; charge above the full well flows along the column;
    the defects of a detector are the same in all visits.

    Parameters
    ----------
    survey, sky, visit
        What is observed.
    number
        Of the detector, from 1.
    defects
        The detector has hot pixels and dead columns.

    Returns
    -------
    Ccd
        Image and truth. Its random numbers depend on seed, visit and detector alone.
    """
    rng = stream(survey.seed, visit.index + 1, number)
    header = wcs_header(survey, visit, number)
    light, seen = _light(survey, sky, visit, header)
    cosmic = _cosmic_rays(rng, survey.ccd_shape, survey.cosmic_rays)

    electrons = rng.poisson(light * visit.gain).astype(np.float64) + cosmic
    hot, dead = _defects(survey, number) if defects else (np.zeros(light.shape, bool),) * 2
    electrons[hot] += 8000.0
    # The converter ends below the full well, so that read noise does not show in a full pixel.
    bleed(electrons, 1.02 * visit.saturate * visit.gain)
    electrons += rng.normal(0.0, visit.read_noise, light.shape)
    image = np.minimum(electrons / visit.gain, visit.saturate)
    image[dead] = 0.05 * visit.sky

    mask = np.zeros(light.shape, np.int16)
    mask[hot] |= BAD
    mask[dead] |= BAD
    mask[image > visit.saturate - 0.5] |= SAT  # as it is rounded in a file
    inner = np.zeros(light.shape, bool)
    inner[EDGE_WIDTH:-EDGE_WIDTH, EDGE_WIDTH:-EDGE_WIDTH] = True
    mask[~inner] |= EDGE
    variance = (light + cosmic / visit.gain) / visit.gain + (visit.read_noise / visit.gain) ** 2

    header["CCDNUM"] = number
    header["GAIN"] = (visit.gain, "electrons per ADU")
    header["RDNOISE"] = (visit.read_noise, "electrons")
    header["SATURATE"] = (visit.saturate, "ADU")
    header["MAGZERO"] = (visit.zero_point, "mag of one ADU")
    planes = image.astype(np.float32), mask, variance.astype(np.float32)
    return Ccd(*planes, light=light, cosmic=cosmic, header=header, seen=seen)


def _light(
    survey: Survey, sky: Sources, visit: Visit, header: fits.Header
) -> tuple[Doubles, npt.NDArray[np.bool_]]:
    """Return the counts expected of sky and sources, and which of these are on the detector."""
    height, width = survey.ccd_shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        wcs = WCS(header)
    ra, dec, shines = sky.in_visit(visit.index)
    x, y = wcs.all_world2pix(ra, dec, 0, quiet=True)
    beyond = np.maximum(np.maximum(-x, x - width), np.maximum(-y, y - height))
    seen = shines & (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
    near = shines & (beyond < _MARGIN)
    ra, dec, mag, share = points(sky.take(near), ra[near], dec[near])
    x, y = wcs.all_world2pix(ra, dec, 0)

    rows, columns = survey.extent
    u = (np.arange(width) + 1 - header["CRPIX1"]) / (columns / 2)
    v = (np.arange(height) + 1 - header["CRPIX2"]) / (rows / 2)
    light = visit.sky * (1 + visit.slope[0] * u[None] + visit.slope[1] * v[:, None])
    alpha = core_radius(visit.fwhm / survey.pixel_scale)
    draw(light, x, y, share * counts(mag, visit), alpha)
    return light, seen


def _cosmic_rays(
    rng: np.random.Generator, shape: tuple[int, int], density: float
) -> npt.NDArray[np.int32]:
    """Draw straight tracks, most of them short, that lose 200 to 20000 electrons per pixel."""
    electrons = np.zeros(shape, np.int32)
    for _ in range(rng.poisson(density * shape[0] * shape[1] / 1e6)):
        start = rng.uniform(0, shape)
        angle, length = rng.uniform(0, 2 * np.pi), 1 + min(rng.exponential(8.0), 200.0)
        loss = 10 ** rng.uniform(np.log10(200), np.log10(20_000))
        along = np.arange(0, length, 0.25)
        step = np.array([np.sin(angle), np.cos(angle)])
        place = np.floor(start + along[:, None] * step).astype(int)
        inside = (place >= 0).all(axis=1) & (place < shape).all(axis=1)
        deposit = 0.25 * loss * rng.uniform(0.7, 1.3, along.size)
        np.add.at(electrons, tuple(place[inside].T), deposit[inside].astype(np.int32))
    return electrons


def _defects(survey: Survey, number: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return the hot pixels of a detector and, on every other one, a column that is dead."""
    rng = stream(survey.seed, 0, number)
    height, width = survey.ccd_shape
    hot = rng.uniform(size=survey.ccd_shape) < 1e-4
    dead = np.zeros(survey.ccd_shape, bool)
    if number % 2:
        dead[
            int(rng.integers(height // 2)) :, int(rng.integers(width // 8, width - width // 8))
        ] = 1
    return hot, dead


@nb.njit(nogil=True, cache=True)
def bleed(electrons: Doubles, well: float) -> None:
    """Let charge above the full well flow along its column, half of it each way, in place.

    Parameters
    ----------
    electrons
        (Y, X) float64; afterwards no pixel has more than `well`. What reaches an end is lost.
    well
        Electrons that a pixel holds.
    """
    height, width = electrons.shape
    for column in range(width):
        excess = np.maximum(electrons[:, column] - well, 0.0) / 2
        if not excess.any():
            continue
        electrons[:, column] -= 2 * excess
        for down in range(2):
            moving = 0.0
            for step in range(height):
                row = height - 1 - step if down else step
                moving += excess[row]
                taken = min(moving, well - electrons[row, column])
                electrons[row, column] += taken
                moving -= taken
