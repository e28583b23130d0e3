from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera.astro.lattice import STEP, lattice, needed

SHAPE = (600, 500)

# The terms that SCAMP writes: a camera whose corners are off by some pixels.
PV1 = [1.2e-4, 1.0007, -3.1e-5, None, -4.7e-4, 2.6e-4, -1.9e-4, 2.4e-2, 1.1e-3, 2.2e-2, -8.0e-4]
PV2 = [-2.1e-4, 1.0005, 4.4e-5, None, 3.8e-4, -2.9e-4, 1.4e-4, 2.1e-2, -1.6e-3, 2.5e-2, 5.0e-4]
SIP = {
    "A_2_0": 6.1e-6, "A_1_1": -3.3e-6, "A_0_2": 1.7e-6, "A_3_0": 4.0e-9, "A_1_2": -2.5e-9,
    "B_2_0": -2.2e-6, "B_1_1": 5.2e-6, "B_0_2": -4.4e-6, "B_0_3": 3.1e-9, "B_2_1": 1.9e-9,
}  # fmt: skip


def make_wcs(kind="TAN", ra=0.0, dec=-5.0, scale=0.27, angle=0.0, parity=1, crpix=(0.5, 0.5)):
    """A WCS of one of the kinds of exposures, scale in arcsec, angle in degrees."""
    header = fits.Header()
    suffix = {"TAN": "TAN", "TPV": "TPV", "SIP": "TAN-SIP"}[kind]
    header["CTYPE1"], header["CTYPE2"] = f"RA---{suffix}", f"DEC--{suffix}"
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    cd = np.diag([-parity * scale, scale]) / 3600 @ np.array([[c, -s], [s, c]])
    for i, value in enumerate((ra, dec)):
        header[f"CRVAL{i + 1}"], header[f"CRPIX{i + 1}"] = value, crpix[i]
        for j in range(2):
            header[f"CD{i + 1}_{j + 1}"] = cd[i, j]
    if kind == "TPV":
        for axis, terms in ((1, PV1), (2, PV2)):
            for n, term in enumerate(terms):
                if term is not None:
                    header[f"PV{axis}_{n}"] = term
    if kind == "SIP":
        header["A_ORDER"] = header["B_ORDER"] = 3
        for name, term in SIP.items():
            header[name] = term
    return WCS(header)


SKY = make_wcs()
# (ra, dec) of the sky map, exposure: what tells it from a plain one.
CASES = {
    "plain": ((0.0, -5.0), {}),
    "rotated": ((0.0, -5.0), {"angle": 33.0, "scale": 0.19}),
    "mirrored": ((0.0, -5.0), {"angle": 91.0, "parity": -1, "scale": 0.35}),
    "TPV": ((0.0, -5.0), {"kind": "TPV", "angle": -4.0, "crpix": (-3000.0, 2500.0)}),
    "SIP": ((0.0, -5.0), {"kind": "SIP", "angle": 170.0, "crpix": (250.0, -300.0)}),
    "pole": ((123.0, 89.99), {"kind": "TPV", "angle": 60.0}),
    "south pole": ((0.0, -90.0), {"kind": "SIP", "ra": 200.0}),
}


def make_case(name):
    """Sky map and exposure whose detector covers the sky map's pixel (0, 0)."""
    (ra, dec), settings = CASES[name]
    sky = make_wcs(ra=ra, dec=dec)
    exposure = make_wcs(**({"ra": ra, "dec": dec} | settings))
    # Move the reference pixel until the sky map's origin is in the middle of the detector.
    at = exposure.all_world2pix(*sky.all_pix2world(0, 0, 0), 0, tolerance=1e-9)
    shift = np.array([SHAPE[1] / 2 - 0.3, SHAPE[0] / 2 + 0.2]) - np.array(at, float)
    exposure.wcs.crpix = exposure.wcs.crpix + shift
    if exposure.sip is not None:
        exposure.sip.crpix[:] = exposure.wcs.crpix
    exposure.wcs.set()
    return sky, exposure


def exact(sky, exposure, y, x):
    """Positions y, x on the exposure by the WCS at every pixel."""
    there = exposure.all_world2pix(*sky.all_pix2world(x, y, 0), 0, tolerance=1e-10, maxiter=50)
    return np.stack([there[1], there[0]])


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return make_case(request.param)


def test_positions_are_those_of_the_wcs(case):
    sky, exposure = case
    window = (-301, 322, -290, 295)
    positions = lattice(sky, exposure, window).positions(window)
    y, x = np.mgrid[-301:322, -290:295]
    truth = exact(sky, exposure, y.ravel(), x.ravel()).reshape(2, *y.shape)
    inside = np.all((truth > -3) & (truth < np.array(SHAPE)[:, None, None] + 3), axis=0)
    assert inside.sum() > 50_000
    assert np.abs(positions[:2] - truth)[:, inside].max() < 3e-5


def test_area_is_that_of_finite_differences(case):
    sky, exposure = case
    window = (-150, 130, -100, 170)
    area = lattice(sky, exposure, window).positions(window)[2]
    y, x = np.mgrid[-150:130:9, -100:170:9].astype(float)
    steps = [(0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5)]
    up, down, right, left = (
        exact(sky, exposure, (y + dy).ravel(), (x + dx).ravel()).reshape(2, *y.shape)
        for dy, dx in steps
    )
    by_y, by_x = up - down, right - left
    truth = np.abs(by_y[0] * by_x[1] - by_y[1] * by_x[0])
    np.testing.assert_allclose(area[::9, ::9], truth, rtol=5e-6)


@cache
def whole_positions(name):
    window = (-300, 1100, -1100, 300)  # beyond the aligned squares of nodes, in both directions
    return lattice(*make_case(name), window).positions(window)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_window_gives_the_same_bytes(data):
    name = data.draw(st.sampled_from(["SIP", "TPV", "rotated"]))
    sky, exposure = make_case(name)
    y0, x0 = data.draw(st.integers(-300, 1090)), data.draw(st.integers(-1100, 290))
    y1 = data.draw(st.integers(y0 + 1, min(y0 + 150, 1100)))
    x1 = data.draw(st.integers(x0 + 1, min(x0 + 150, 300)))
    full = whole_positions(name)
    part = lattice(sky, exposure, (y0, y1, x0, x1)).positions((y0, y1, x0, x1))
    assert part.tobytes() == full[:, y0 + 300 : y1 + 300, x0 + 1100 : x1 + 1100].tobytes()


def test_window_beyond_the_lattice_is_refused():
    sky, exposure = make_case("plain")
    nodes = lattice(sky, exposure, (0, 100, 0, 100))
    with pytest.raises(ValueError, match="not within"):
        nodes.positions((0, 101, 0, 100))


@pytest.mark.parametrize("kind", ["TAN", "TPV", "SIP"])
def test_the_other_side_of_the_sky_is_nan(kind):
    exposure = make_wcs(kind, ra=180.0, dec=5.0)  # 180 degrees away from the sky map
    nodes = lattice(SKY, exposure, (0, 100, 0, 100))
    assert np.isnan(nodes.nodes).all()
    assert needed(nodes, (0, 100, 0, 100), SHAPE) is None


@pytest.mark.parametrize("kind", ["TPV", "SIP"])
def test_far_from_the_detector_a_position_is_right_or_nan(kind):
    """Where a distortion cannot be inverted any more, no pixel appears to be on the detector."""
    exposure = make_wcs(kind, crpix=(250.0, 300.0))
    window = (-40_000, -38_000, 20_000, 22_000)
    nodes = lattice(SKY, exposure, window)
    j, i = np.indices(nodes.nodes.shape[1:])
    y, x = STEP * (nodes.row + j), STEP * (nodes.column + i)
    known = np.isfinite(nodes.nodes[0])
    there = SKY.all_pix2world(x[known], y[known], 0)
    back = exposure.all_pix2world(nodes.nodes[1][known], nodes.nodes[0][known], 0)
    np.testing.assert_allclose(np.array(back), np.array(there), rtol=0, atol=1e-9)
    assert needed(nodes, window, SHAPE) is None


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_needed_holds_every_pixel_of_the_kernel(data):
    sky, exposure = make_case(data.draw(st.sampled_from(sorted(CASES))))
    y0, x0 = data.draw(st.integers(-700, 600)), data.draw(st.integers(-700, 600))
    y1, x1 = y0 + data.draw(st.integers(1, 90)), x0 + data.draw(st.integers(1, 90))
    section = needed(lattice(sky, exposure, (y0, y1, x0, x1)), (y0, y1, x0, x1), SHAPE)
    y, x = (grid.ravel() for grid in np.mgrid[y0:y1, x0:x1])
    place = np.floor(exact(sky, exposure, y, x))
    low, high = place - 2, place + 3  # of Lanczos-3
    limits = np.array(SHAPE)[:, None]
    used = np.all((low >= 0) & (high < limits), axis=0)
    if section is None:
        assert not used.any()
    else:
        assert 0 <= section[0] < section[1] <= SHAPE[0]
        assert 0 <= section[2] < section[3] <= SHAPE[1]
        corner, end = np.array(section)[[0, 2], None], np.array(section)[[1, 3], None]
        assert (low[:, used] >= corner).all()
        assert (high[:, used] < end).all()


def test_needed_of_a_window_around_the_detector_is_the_detector():
    sky, exposure = make_case("SIP")
    window = (-500, 500, -500, 500)
    assert needed(lattice(sky, exposure, window), window, SHAPE) == (0, SHAPE[0], 0, SHAPE[1])


def test_needed_of_a_small_window_is_small():
    sky, exposure = make_case("plain")
    section = needed(lattice(sky, exposure, (0, 20, 0, 30)), (0, 20, 0, 30), SHAPE)
    assert section is not None
    assert section[1] - section[0] <= 28
    assert section[3] - section[2] <= 38
