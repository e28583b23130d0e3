"""Visits of a made-up sky: pointings, detectors, noise and every defect, each with its truth."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from tessera.astro.bits import BAD, EDGE, SAT
from tessera.astro.scene import (
    BETA,
    LADDER,
    Doubles,
    Sources,
    core_radius,
    draw,
    make_sources,
    points,
)

PROJECTIONS = ("TPV", "TAN", "TPV", "TAN-SIP", "TPV", "TAN", "TPV", "TAN")
"""Of the visits, in turn."""
EDGE_WIDTH = 4
_MARGIN = 200
"""Pixels around a detector from which sources are drawn."""


@dataclass(frozen=True)
class Survey:
    """What is observed, and how; all random numbers follow from `seed`.

    Attributes
    ----------
    seed
        Of the sky, the visits and the noise.
    ra, dec
        Centre of the field, deg.
    n_visits, grid, ccd_shape, gap
        Visits; detectors (rows, columns); pixels of each (Y, X) and between them.
    pixel_scale
        arcsec.
    dither
        Greatest displacement of a visit along either axis, pixels.
    distortion
        Displacement at the corner of the field of all that is not TAN, pixels.
    star_density, galaxy_density, test_spacing, n_transients, n_movers
        As `tessera.astro.scene.make_sources` takes them.
    cosmic_rays
        Tracks per square megapixel and visit.
    ladder
        Signal-to-noise ratios of the isolated stars, of all visits together.
    """

    seed: int
    ra: float = 0.0
    dec: float = -5.0
    n_visits: int = 8
    grid: tuple[int, int] = (2, 2)
    ccd_shape: tuple[int, int] = (512, 512)
    gap: int = 20
    pixel_scale: float = 0.27
    dither: float = 25.0
    distortion: float = 1.5
    star_density: float = 15.0
    galaxy_density: float = 15.0
    test_spacing: float = 20.0
    n_transients: int = 12
    n_movers: int = 6
    cosmic_rays: float = 40.0
    ladder: tuple[float, ...] = LADDER

    @property
    def n_ccds(self) -> int:
        """Detectors of the camera; they are counted from 1, row by row."""
        return self.grid[0] * self.grid[1]

    @property
    def extent(self) -> tuple[int, int]:
        """(Y, X) pixels of the focal plane, gaps included."""
        rows, columns = (
            n * size + (n - 1) * self.gap for n, size in zip(self.grid, self.ccd_shape, strict=True)
        )
        return rows, columns


@dataclass(frozen=True)
class Visit:
    """One pointing: where, how turned (deg), through which air and with which electronics.

    `sky` is in ADU, `slope` its relative change from the centre to the edge of the field along x
    and y, `gain` in electrons per ADU, `read_noise` in electrons, `fwhm` in arcsec, `saturate` the
    ADU a full pixel holds.
    """

    index: int
    name: str
    ra: float
    dec: float
    rotation: float
    projection: str
    fwhm: float
    sky: float
    slope: tuple[float, float]
    gain: float
    read_noise: float
    zero_point: float
    saturate: float


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


def stream(seed: int, item: int, part: int = 0) -> np.random.Generator:
    """Return random numbers: of the sky (0, 0), visit v (v, 0), its CCD n (v, n), CCD n (0, n)."""
    return np.random.Generator(np.random.Philox(key=[seed, item], counter=[0, 0, 0, part]))


def make_visit(survey: Survey, index: int) -> Visit:
    """Return a visit; visits do not depend on how many others there are."""
    rng = stream(survey.seed, index + 1)
    reach = survey.dither * survey.pixel_scale / 3600
    east, north = float(rng.uniform(-reach, reach)), float(rng.uniform(-reach, reach))
    return Visit(
        index=index,
        name=f"v{index + 1:02d}",
        ra=round((survey.ra + east / math.cos(math.radians(survey.dec))) % 360, 9),
        dec=round(survey.dec + north, 9),
        # A field that is seen in one orientation only would hide what turns with the detector.
        rotation=float(rng.uniform(-5, 5)) + (90.0 if index % 8 == 1 else 0.0),
        projection=PROJECTIONS[index % len(PROJECTIONS)],
        fwhm=float(rng.uniform(0.9, 1.4)),
        sky=float(rng.uniform(300, 800)),
        slope=(float(rng.uniform(-0.05, 0.05)), float(rng.uniform(-0.05, 0.05))),
        gain=round(float(rng.uniform(1.5, 4.0)), 3),
        read_noise=round(float(rng.uniform(4.0, 10.0)), 2),
        zero_point=round(float(rng.uniform(29.5, 30.3)), 4),
        saturate=float(rng.integers(50_000, 62_000)),
    )


def make_visits(survey: Survey) -> list[Visit]:
    """Return all visits."""
    return [make_visit(survey, index) for index in range(survey.n_visits)]


def make_sky(survey: Survey) -> Sources:
    """Return the sources of a survey, isolated stars on the ladder of co-added visits."""
    visits = make_visits(survey)
    mags = np.arange(12.0, 29.0, 0.05)
    snr = ideal_snr(mags, np.ones((len(visits), mags.size), bool), visits, survey.pixel_scale)
    reach = math.hypot(*survey.extent) / 2 + math.hypot(survey.dither, survey.dither)
    return make_sources(
        stream(survey.seed, 0),
        ra=survey.ra,
        dec=survey.dec,
        radius=reach * survey.pixel_scale,
        star_density=survey.star_density,
        galaxy_density=survey.galaxy_density,
        test_spacing=survey.test_spacing,
        ladder=np.interp(np.log(survey.ladder), np.log(snr[::-1]), mags[::-1]),
        n_transients=survey.n_transients,
        n_movers=survey.n_movers,
        n_visits=survey.n_visits,
    )


def ideal_snr(
    mag: Doubles, seen: npt.NDArray[np.bool_], visits: list[Visit], pixel_scale: float
) -> Doubles:
    """Return the greatest signal-to-noise ratio a flux can be measured with.

    That of the profile fitted where position, sky and noise are known: the sum over pixels and
    visits of squared signal over variance (King 1983), by an integral over radius.

    Parameters
    ----------
    mag
        (N,) magnitudes of stars.
    seen
        (visits, N) where each is seen.
    visits
        All visits.
    pixel_scale
        arcsec.

    Returns
    -------
    (N,) float64
        Signal-to-noise ratio, 0 for a star that is seen nowhere.
    """
    total = np.zeros(mag.shape)
    for visit, covered in zip(visits, seen, strict=True):
        alpha = core_radius(visit.fwhm / pixel_scale)
        # Steps that are even in the logarithm of 1 + r^2 / alpha^2 suit the profile.
        edges = np.expm1(np.linspace(0, np.log1p(15.0**2), 201)) * alpha**2
        ring = np.pi * np.diff(edges)
        middle = 1 + (edges[1:] + edges[:-1]) / 2 / alpha**2
        profile = (BETA - 1) / (np.pi * alpha**2) * middle**-BETA
        signal = counts(mag, visit)[:, None] * profile
        variance = (visit.sky + signal) / visit.gain + (visit.read_noise / visit.gain) ** 2
        total += covered * (ring * signal**2 / variance).sum(axis=1)
    return np.sqrt(total)


def counts(mag: Doubles, visit: Visit) -> Doubles:
    """Return the counts (ADU) of magnitudes in a visit."""
    return 10 ** (0.4 * (visit.zero_point - mag))


def wcs_header(survey: Survey, visit: Visit, number: int) -> fits.Header:
    """Return the WCS cards of a detector: the true ones.

    The distortion is radial of third order with a quadratic term, the same in the field whether it
    is told by TPV, in the way of SCAMP, or by SIP.
    """
    row, column = divmod(number - 1, survey.grid[1])
    corner = [i * (n + survey.gap) for i, n in zip((row, column), survey.ccd_shape, strict=True)]
    centre = [(n - 1) / 2 - c for n, c in zip(survey.extent, corner, strict=True)]
    step, angle = survey.pixel_scale / 3600, math.radians(visit.rotation)
    cards: dict[str, Any] = {}
    cards["CTYPE1"], cards["CTYPE2"] = f"RA---{visit.projection}", f"DEC--{visit.projection}"
    cards["CUNIT1"] = cards["CUNIT2"] = "deg"
    cards["CRVAL1"], cards["CRVAL2"] = visit.ra, visit.dec
    cards["CRPIX1"], cards["CRPIX2"] = centre[1] + 1, centre[0] + 1
    cards["CD1_1"], cards["CD1_2"] = -step * math.cos(angle), step * math.sin(angle)
    cards["CD2_1"], cards["CD2_2"] = step * math.sin(angle), step * math.cos(angle)
    cards["RADESYS"], cards["EQUINOX"] = "ICRS", 2000.0

    radius = math.hypot(*survey.extent) / 2
    cubic, quadratic = survey.distortion / radius**3, 0.2 * survey.distortion / radius**2
    if visit.projection == "TPV":
        for axis in (1, 2):
            terms = {0: 0.0, 1: 1.0, 2: 0.0, 4: quadratic / step, 5: 0.5 * quadratic / step, 6: 0.0}
            terms |= {7: cubic / step**2, 8: 0.0, 9: cubic / step**2, 10: 0.0}
            cards |= {f"PV{axis}_{i}": value for i, value in terms.items()}
    elif visit.projection == "TAN-SIP":
        cards["A_ORDER"] = cards["B_ORDER"] = 3
        cards |= {"A_2_0": quadratic, "A_3_0": cubic, "A_1_2": cubic}
        cards |= {"B_0_2": quadratic, "B_0_3": cubic, "B_2_1": cubic}
    return fits.Header(cards)


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
