"""A sky with known truth: stars, discs, transients and movers, and the drawing of them."""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields

import numba as nb
import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree
from scipy.special import roots_genlaguerre

Doubles = npt.NDArray[np.float64]

BETA = 3.0
"""Exponent of the Moffat profile (Moffat 1969): wings as the atmosphere makes them."""
KINDS = ("star", "galaxy", "transient", "mover")
STAR, GALAXY, TRANSIENT, MOVER = range(4)
LADDER = (5.0, 5.0, 10.0, 10.0, 20.0, 50.0, 100.0, 300.0, 1000.0)
"""Signal-to-noise ratios on the co-add of the isolated stars."""

_HALF_LIGHT = 1.6783469900166605
"""Half-light radius of an exponential disc in units of its scale length."""
_RINGS, _SPOKES = 12, 16
_REACH = 8.0
"""Least radius of a stamp in units of the Moffat's core radius: 0.24 mmag lie beyond."""
_FAINT = 0.02
"""ADU in a pixel below which the wings of a bright star are cut."""
_CLEAR, _CLEAR_MAX = 5.0, 12.0
"""Distance (arcsec) from an isolated star to one of magnitude 23, and to the brightest."""


@dataclass(frozen=True, eq=False)
class Sources:
    """What shines on the sky; arrays of shape (N,), float64 where not said otherwise.

    Attributes
    ----------
    kind
        int64, an index into `KINDS`.
    ra, dec
        ICRS, deg; a mover's in visit 0.
    mag
        Magnitude: the counts in a visit are ``10 ** (0.4 (MAGZERO - mag))`` ADU.
    half_light_radius
        Of a galaxy along its major axis before the seeing, arcsec; 0 for points.
    axis_ratio, position_angle
        Minor to major axis of a galaxy; its major axis from north to east, deg.
    move_ra, move_dec
        Of a mover, from a visit to the next, arcsec on the sky.
    visit
        int64, the one visit a transient shines in, -1 for what shines in all.
    isolated
        bool, a star with nothing near it that would disturb its photometry.
    """

    kind: npt.NDArray[np.int64]
    ra: Doubles
    dec: Doubles
    mag: Doubles
    half_light_radius: Doubles
    axis_ratio: Doubles
    position_angle: Doubles
    move_ra: Doubles
    move_dec: Doubles
    visit: npt.NDArray[np.int64]
    isolated: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.mag)

    def take(self, which: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Sources:
        """Return a part of them."""
        return Sources(*(getattr(self, field.name)[which] for field in fields(self)))

    def in_visit(self, visit: int) -> tuple[Doubles, Doubles, npt.NDArray[np.bool_]]:
        """Return right ascension and declination (deg) in a visit and which ones shine in it."""
        dec = self.dec + self.move_dec * visit / 3600
        ra = self.ra + self.move_ra * visit / 3600 / np.cos(np.radians(self.dec))
        return ra % 360, dec, (self.visit < 0) | (self.visit == visit)


def core_radius(fwhm: float) -> float:
    """Return the core radius of the Moffat profile of a full width at half maximum."""
    return fwhm / (2 * np.sqrt(2 ** (1 / BETA) - 1))


@nb.njit(nogil=True, cache=True)
def draw(image: Doubles, x: Doubles, y: Doubles, flux: Doubles, alpha: float) -> None:
    """Add Moffat profiles to an image, in place.

    The profile is that of a star on the detector, the response of the pixels included, so that its
    value at the centre of a pixel is what the pixel holds. It is so well sampled that these values
    add up to the flux: the transform of a Moffat profile falls as ``exp(-2 pi alpha f)``, which at
    one cycle per pixel is below 1e-8 for `alpha` of 3 pixels.

    Parameters
    ----------
    image
        (Y, X) float64, ADU.
    x, y
        (N,) 0-based positions in pixels; they may lie outside of the image.
    flux
        (N,) ADU.
    alpha
        Core radius in pixels.
    """
    height, width = image.shape
    for i in range(flux.size):
        peak = flux[i] * (BETA - 1) / (np.pi * alpha**2)
        reach = alpha * max(_REACH, np.sqrt(max((peak / _FAINT) ** (1 / BETA) - 1, 0.0)))
        first, last = max(int(np.ceil(x[i] - reach)), 0), min(int(x[i] + reach), width - 1)
        for row in range(
            max(int(np.ceil(y[i] - reach)), 0), min(int(y[i] + reach), height - 1) + 1
        ):
            start = 1 + ((row - y[i]) / alpha) ** 2
            for column in range(first, last + 1):
                u = start + ((column - x[i]) / alpha) ** 2
                image[row, column] += peak / (u * u * u)


@functools.cache
def _disc() -> tuple[Doubles, Doubles, Doubles]:
    """Return points whose sum is an exponential disc: place in scale lengths, share of the flux.

    Rings at the nodes of the Gauss-Laguerre rule for the weight ``r exp(-r)``.
    """
    radius, weight = roots_genlaguerre(_RINGS, 1)
    angle = np.arange(_SPOKES) * 2 * np.pi / _SPOKES
    # Each ring is turned against its neighbours, so that no arms appear.
    angle = angle[None] + np.arange(_RINGS)[:, None] * np.pi * (3 - np.sqrt(5))
    x, y = radius[:, None] * np.cos(angle), radius[:, None] * np.sin(angle)
    share = np.repeat(weight / weight.sum() / _SPOKES, _SPOKES)
    return x.ravel(), y.ravel(), share


def points(
    sources: Sources, ra: Doubles, dec: Doubles
) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """Resolve sources into points.

    Parameters
    ----------
    sources
        The sources; a galaxy becomes an exponential disc of 192 points.
    ra, dec
        Where they are, deg.

    Returns
    -------
    ra, dec, mag, share
        Per point: position (deg), magnitude of the source and the point's share of its flux.
    """
    galaxy = sources.kind == GALAXY
    x, y, share = _disc()
    scale = sources.half_light_radius[galaxy, None] / _HALF_LIGHT / 3600
    along, across = scale * x, scale * y * sources.axis_ratio[galaxy, None]
    angle = np.radians(sources.position_angle[galaxy, None])
    east = along * np.sin(angle) + across * np.cos(angle)
    north = along * np.cos(angle) - across * np.sin(angle)
    galaxy_dec = dec[galaxy, None] + north
    galaxy_ra = ra[galaxy, None] + east / np.cos(np.radians(dec[galaxy, None]))
    n = int(galaxy.sum())
    return (
        np.concatenate([ra[~galaxy], galaxy_ra.ravel()]),
        np.concatenate([dec[~galaxy], galaxy_dec.ravel()]),
        np.concatenate([sources.mag[~galaxy], np.repeat(sources.mag[galaxy], share.size)]),
        np.concatenate([np.ones(int((~galaxy).sum())), np.tile(share, n)]),
    )


def make_sources(
    rng: np.random.Generator,
    *,
    ra: float,
    dec: float,
    radius: float,
    star_density: float,
    galaxy_density: float,
    test_spacing: float,
    ladder: Doubles,
    n_transients: int,
    n_movers: int,
    n_visits: int,
) -> Sources:
    """Make the sources of a round field.

    Stars get as many more with each magnitude as is typical at high galactic latitude, galaxies
    more than that. Isolated stars stand on a grid from which others keep away; each is displaced at
    random by up to an arcsecond, so that all phases of the pixel grid occur.

    Parameters
    ----------
    rng
        Random numbers.
    ra, dec, radius
        Centre (deg) and radius (arcsec) of the field.
    star_density, galaxy_density
        Per square arcmin, over all magnitudes (12.4 to 25, 17.5 to 25).
    test_spacing
        Of the grid of isolated stars, arcsec.
    ladder
        Magnitudes of the isolated stars, dealt out in turn.
    n_transients, n_movers, n_visits
        Transients (17 to 21 mag, one visit each), movers (18 to 21 mag), and visits there are.

    Returns
    -------
    Sources
        All of them.
    """
    steps = np.arange(-int(radius / test_spacing), int(radius / test_spacing) + 1) * test_spacing
    grid = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    grid = grid + rng.uniform(-1, 1, grid.shape)
    grid = grid[np.hypot(*grid.T) < radius]
    # Dealt out at random: a grid's rows must not be rows of one magnitude.
    grid_mag = ladder[rng.permutation(len(grid)) % len(ladder)]

    area = np.pi * (radius / 60) ** 2
    counts = [round(star_density * area), round(galaxy_density * area), n_transients, n_movers]
    kind = np.repeat(np.arange(4), counts)
    mag = np.concatenate(
        [
            _magnitudes(rng, counts[STAR], 0.18, 12.4, 25.0),
            _magnitudes(rng, counts[GALAXY], 0.3, 17.5, 25.0),
            rng.uniform(17, 21, n_transients),
            rng.uniform(18, 21, n_movers),
        ]
    )
    reach = np.where(kind >= TRANSIENT, 0.7 * radius, radius)
    place = _clear_places(rng, reach, _clearance(mag), grid)

    place, mag = np.concatenate([grid, place]), np.concatenate([grid_mag, mag])
    kind = np.concatenate([np.zeros(len(grid), np.int64), kind])
    near = cKDTree(grid).query_ball_point(place, _clearance(mag))
    crowded = [j for i, found in enumerate(near) for j in found if j != i]
    isolated = np.arange(len(mag)) < len(grid)
    isolated[crowded] = False

    galaxy, mover = kind == GALAXY, kind == MOVER
    n = len(mag)
    pace = rng.uniform(4, 12, n) * mover
    direction = rng.uniform(0, 2 * np.pi, n)
    turn = np.where(kind == TRANSIENT, np.cumsum(kind == TRANSIENT) - 1, 0)
    world_ra, world_dec = _deproject(place / 3600, ra, dec)
    return Sources(
        kind=kind,
        ra=world_ra,
        dec=world_dec,
        mag=mag,
        half_light_radius=np.where(galaxy, rng.uniform(0.3, 1.2, n), 0.0),
        axis_ratio=np.where(galaxy, rng.uniform(0.3, 1.0, n), 1.0),
        position_angle=np.where(galaxy, rng.uniform(0, 180, n), 0.0),
        move_ra=pace * np.cos(direction),
        move_dec=pace * np.sin(direction),
        visit=np.where(kind == TRANSIENT, turn % n_visits, -1),
        isolated=isolated,
    )


def _magnitudes(
    rng: np.random.Generator, n: int, slope: float, bright: float, faint: float
) -> Doubles:
    """Draw magnitudes, one from each quantile, so that there are bright ones; `slope` in dex."""
    quantile = (np.arange(n) + rng.uniform(size=n)) / max(n, 1)
    low, high = 10 ** (slope * bright), 10 ** (slope * faint)
    return np.log10(low + quantile * (high - low)) / slope


def _clearance(mag: Doubles) -> Doubles:
    """Distance (arcsec) to be kept from an isolated star; wings fall as the sixth power."""
    return np.minimum(_CLEAR * 10 ** (0.4 / (2 * BETA) * (23 - mag).clip(0)), _CLEAR_MAX)


def _clear_places(
    rng: np.random.Generator, radius: Doubles, clearance: Doubles, grid: Doubles
) -> Doubles:
    """Draw places (arcsec) evenly over discs and draw those anew that are too near to the grid."""
    tree = cKDTree(grid)
    places = np.empty((len(radius), 2))
    todo = np.arange(len(radius))
    for _ in range(50):  # those that find no place after that disturb an isolated star
        r, angle = radius[todo] * np.sqrt(rng.uniform(size=todo.size)), rng.uniform(size=todo.size)
        angle = 2 * np.pi * angle
        places[todo] = np.stack([r * np.cos(angle), r * np.sin(angle)], axis=-1)
        near = tree.query(places[todo])[0]
        todo = todo[near < clearance[todo]]
        if not todo.size:
            break
    return places


def _deproject(plane: Doubles, ra: float, dec: float) -> tuple[Doubles, Doubles]:
    """Return right ascension and declination of points (deg) on the tangent plane."""
    x, y = np.radians(plane).T
    sin, cos = np.sin(np.radians(dec)), np.cos(np.radians(dec))
    down = cos - y * sin
    world_ra = (np.degrees(np.arctan2(x, down)) + ra) % 360
    world_dec = np.degrees(np.arctan2(sin + y * cos, np.hypot(x, down)))
    return world_ra, world_dec
