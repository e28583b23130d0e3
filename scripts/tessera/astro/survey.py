"""A made-up survey: its visits, what they point at, and where their detectors lie."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from tessera.astro.scene import (
    BETA,
    LADDER,
    Doubles,
    Sources,
    core_radius,
    make_sources,
)

PROJECTIONS = ("TPV", "TAN", "TPV", "TAN-SIP", "TPV", "TAN", "TPV", "TAN")
"""Of the visits, in turn."""


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
