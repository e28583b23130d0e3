from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from reproject import reproject_interp

from tessera.astro.bits import BAD, CR, EDGE, INTERP, NODATA, SAT
from tessera.astro.lattice import lattice, needed
from tessera.astro.warp import Planes, warp

SHAPE = (230, 210)
WINDOW = (-160, 150, -170, 155)


def make_wcs(kind="TAN", ra=0.0, dec=-5.0, scale=0.27, angle=0.0, parity=1, shift=(0.0, 0.0)):
    """A WCS whose reference pixel is in the middle of the detector, but for a shift."""
    header = fits.Header()
    suffix = {"TAN": "TAN", "TPV": "TPV", "SIP": "TAN-SIP"}[kind]
    header["CTYPE1"], header["CTYPE2"] = f"RA---{suffix}", f"DEC--{suffix}"
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    cd = np.diag([-parity * scale, scale]) / 3600 @ np.array([[c, -s], [s, c]])
    for i, value in enumerate((ra, dec)):
        header[f"CRVAL{i + 1}"] = value
        header[f"CRPIX{i + 1}"] = SHAPE[1 - i] / 2 + 0.37 + shift[i]
        for j in range(2):
            header[f"CD{i + 1}_{j + 1}"] = cd[i, j]
    if kind == "TPV":  # the terms that SCAMP writes, of a strong distortion
        terms = (1e-4, 1.001, -3e-4, None, 0.03, 0.1, -0.02, 0.7, 1.5, 0.6, -0.8)
        for n, term in enumerate(terms):
            if term is not None:
                header[f"PV1_{n}"], header[f"PV2_{n}"] = term, term * 0.97
    if kind == "SIP":
        header["A_ORDER"] = header["B_ORDER"] = 2
        header.update({"A_2_0": 3e-5, "A_1_1": -2e-5, "B_0_2": 4e-5, "B_2_0": -1e-5})
    return WCS(header)


def make_sky(ra=0.0, dec=-5.0, scale=0.27):
    header = make_wcs(ra=ra, dec=dec, scale=scale).to_header()
    header["CRPIX1"] = header["CRPIX2"] = 1.0
    return WCS(header)


@pytest.fixture
def rng():
    return np.random.default_rng(4)


EXPOSURES = {
    "plain": {"shift": (0.31, -0.22)},
    "rotated": {"angle": 37.0, "scale": 0.21},
    "mirrored": {"angle": -80.0, "parity": -1, "scale": 0.33},
    "TPV": {"kind": "TPV", "angle": 3.0},
    "SIP": {"kind": "SIP", "angle": 184.0},
}
PLACES = {"RA 0": (0.0, -5.0), "pole": (77.0, 89.995), "equator": (180.0, 0.0)}


def empty(window=WINDOW):
    shape = window[1] - window[0], window[3] - window[2]
    nan = np.full(shape, np.nan, np.float32)
    return Planes(nan, nan.copy(), np.full(shape, NODATA, np.uint8))


def resample(image, exposure, *, sky=None, variance=None, mask=None, window=WINDOW, out=None,
             kernel="lanczos3", scale=1.0, section=None, nodes=None):  # fmt: skip
    """Warp an image, all of it or a section; what is not given is plain."""
    variance = np.ones_like(image) if variance is None else variance
    mask = np.zeros(image.shape, np.uint8) if mask is None else mask
    nodes = nodes or lattice(sky or make_sky(), exposure, window)
    y0, y1, x0, x1 = section or (0, image.shape[0], 0, image.shape[1])
    out = out or empty(window)
    parts = (np.ascontiguousarray(plane[y0:y1, x0:x1]) for plane in (image, variance, mask))
    warp(*parts, (y0, x0), nodes, window, kernel=kernel, scale=scale, shape=image.shape, out=out)
    return out


def exact(sky, exposure, y, x):
    there = exposure.all_world2pix(*sky.all_pix2world(x, y, 0), 0, tolerance=1e-10, maxiter=50)
    return there[1], there[0]


def area(sky, exposure, y, x):
    """Pixels of the exposure per pixel of the sky map, by central differences."""
    up, down = exact(sky, exposure, y + 0.5, x), exact(sky, exposure, y - 0.5, x)
    right, left = exact(sky, exposure, y, x + 0.5), exact(sky, exposure, y, x - 0.5)
    return np.abs(
        (up[0] - down[0]) * (right[1] - left[1]) - (up[1] - down[1]) * (right[0] - left[0])
    )


def lanczos(t):
    return np.where(np.abs(t) < 3, np.sinc(t) * np.sinc(t / 3), 0.0)


def kernel_weights(t):
    """Lanczos-3 at distances t from the taps, with the least change that gives it the moments."""
    wanted = np.array([1.0, 0.0, 0.0, 0.0])
    powers = np.vander(t, 4, increasing=True).T
    return lanczos(t) + np.linalg.pinv(powers) @ (wanted - powers @ lanczos(t))


def brute_force(image, variance, sky, exposure, y, x):
    """One pixel after the other: exact position, the kernel's formula, sums in float64."""
    at_y, at_x = exact(sky, exposure, y.astype(float), x.astype(float))
    sizes = area(sky, exposure, y.astype(float), x.astype(float))
    values = np.full((2, y.size), np.nan)
    for n in range(y.size):
        j, i = int(np.floor(at_y[n])) - 2, int(np.floor(at_x[n])) - 2
        if j < 0 or i < 0 or j + 6 > image.shape[0] or i + 6 > image.shape[1]:
            continue
        w = np.outer(
            kernel_weights(at_y[n] - j - np.arange(6)), kernel_weights(at_x[n] - i - np.arange(6))
        )
        cut = slice(j, j + 6), slice(i, i + 6)
        values[0, n] = sizes[n] * np.sum(w * image[cut].astype(float))
        values[1, n] = sizes[n] ** 2 * np.sum(w**2 * variance[cut].astype(float))
    return values


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", EXPOSURES)
def test_equals_brute_force(name, place, rng):
    ra, dec = PLACES[place]
    sky, exposure = make_sky(ra, dec), make_wcs(ra=ra, dec=dec, **EXPOSURES[name])
    image = rng.normal(100, 10, SHAPE).astype(np.float32)
    variance = rng.uniform(50, 150, SHAPE).astype(np.float32)
    result = resample(image, exposure, sky=sky, variance=variance, scale=1.7)
    y, x = rng.integers(*WINDOW[:2], 600), rng.integers(*WINDOW[2:], 600)
    truth = brute_force(image, variance, sky, exposure, y, x)
    ours = [plane[y - WINDOW[0], x - WINDOW[2]] for plane in (result.image, result.variance)]
    assert np.isfinite(truth[0]).sum() > 100
    # The noise, of 10 per pixel, is the steepest image there can be: 3e-5 pixels of it are 1e-3.
    np.testing.assert_allclose(ours[0], 1.7 * truth[0], rtol=0, atol=5e-3)
    np.testing.assert_allclose(ours[1], 1.7**2 * truth[1], rtol=3e-5)
    bits = result.mask[y - WINDOW[0], x - WINDOW[2]]
    np.testing.assert_array_equal(bits, np.where(np.isnan(truth[0]), NODATA, 0))


@pytest.mark.parametrize("name", EXPOSURES)
def test_bilinear_equals_reproject(name, rng):
    sky, exposure = make_sky(), make_wcs(**EXPOSURES[name])
    image = rng.normal(0, 1, SHAPE).astype(np.float32)
    ours = resample(image, exposure, kernel="bilinear").image
    target = sky.deepcopy()
    target.wcs.crpix = target.wcs.crpix - [WINDOW[2], WINDOW[0]]
    theirs = reproject_interp(
        (image, exposure), target, shape_out=ours.shape, order="bilinear", return_footprint=False
    )
    y, x = (grid.ravel().astype(float) for grid in np.mgrid[slice(*WINDOW[:2]), slice(*WINDOW[2:])])
    theirs = theirs * area(sky, exposure, y, x).reshape(ours.shape)
    seen = np.isfinite(ours)
    assert seen.sum() > 20_000
    assert np.abs(ours - theirs)[seen].max() < 3e-4
    # Theirs also reaches half a pixel beyond the centres at the edge.
    assert not np.isfinite(ours[np.isnan(theirs)]).any()


def draw_stars(sky, exposure, window, y, x, fwhm):
    """Stars of 1000 counts that are Gaussian on the sky map, as the exposure sees their density."""
    grid_y, grid_x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    world = exposure.all_pix2world(grid_x.ravel(), grid_y.ravel(), 0)
    on_x, on_y = (g.reshape(SHAPE) for g in sky.all_world2pix(*world, 0))
    sigma = fwhm / 2.3548
    height = 1000 / (2 * np.pi * sigma**2)
    density = sum(
        height * np.exp(-((on_y - b) ** 2 + (on_x - a) ** 2) / (2 * sigma**2))
        for b, a in zip(y, x, strict=True)
    )
    shrink = 1 / area(sky, exposure, on_y.ravel(), on_x.ravel()).reshape(SHAPE)
    return (density * shrink).astype(np.float32)


@pytest.mark.parametrize("fwhm", [3.0, 4.5])
@pytest.mark.parametrize("name", EXPOSURES)
def test_stars_keep_their_flux_and_place(name, fwhm):
    """Whatever the size of the pixels, their angle, the distortion: 0.5 mmag and 1e-3 pixels."""
    settings = EXPOSURES[name] | ({"scale": 0.27} if fwhm < 4 else {})
    sky, exposure = make_sky(), make_wcs(**settings)
    y, x = np.array([-40.3, -38.9, 11.2, 43.6, 1.0]), np.array([-36.8, 30.25, -3.5, 28.1, 40.0])
    image = draw_stars(sky, exposure, WINDOW, y, x, fwhm)
    result = resample(image, exposure).image
    for b, a in zip(y, x, strict=True):
        j, i = round(b) - WINDOW[0], round(a) - WINDOW[2]
        cut = result[j - 14 : j + 15, i - 14 : i + 15].astype(float)
        grid = np.mgrid[-14:15, -14:15]
        assert cut.sum() == pytest.approx(1000, rel=4.6e-4)
        place = (grid * cut).sum(axis=(1, 2)) / cut.sum() + [round(b), round(a)]
        np.testing.assert_allclose(place, [b, a], atol=1e-3)


def test_a_shift_by_whole_pixels_changes_nothing(rng):
    sky = make_sky()
    header = sky.to_header()
    header["CRPIX1"], header["CRPIX2"] = header["CRPIX1"] + 100, header["CRPIX2"] + 110
    image = rng.normal(0, 30, SHAPE).astype(np.float32)
    result = resample(image, WCS(header))
    y, x = -WINDOW[0] - 110, -WINDOW[2] - 100
    inner = slice(y + 3, y + SHAPE[0] - 4), slice(x + 3, x + SHAPE[1] - 4)
    np.testing.assert_allclose(result.image[inner], image[3:-4, 3:-4], rtol=0, atol=1e-4)
    np.testing.assert_allclose(result.variance[inner], 1, rtol=1e-5)


def test_variance_is_that_of_noise(rng):
    exposure = make_wcs(**EXPOSURES["mirrored"])
    nodes = lattice(make_sky(), exposure, WINDOW)
    images = [
        resample(rng.normal(0, 3, SHAPE).astype(np.float32), exposure, nodes=nodes).image
        for _ in range(60)
    ]
    told = resample(images[0][: SHAPE[0], : SHAPE[1]] * 0, exposure,
                    variance=np.full(SHAPE, 9, np.float32), nodes=nodes).variance  # fmt: skip
    seen = np.isfinite(told)
    ratio = np.var(images, axis=0, ddof=1)[seen] / told[seen]
    assert ratio.mean() == pytest.approx(1, abs=0.005)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_window_and_section_gives_the_same_bytes(data):
    exposure = make_wcs(**EXPOSURES[data.draw(st.sampled_from(sorted(EXPOSURES)))])
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    image = rng.normal(0, 10, SHAPE).astype(np.float32)
    image[rng.random(SHAPE) < 0.002] = np.nan
    variance = rng.uniform(1, 2, SHAPE).astype(np.float32)
    mask = rng.choice(np.array([0, BAD, SAT, INTERP, CR], np.uint8), SHAPE, p=[0.98] + [0.005] * 4)
    whole = resample(image, exposure, variance=variance, mask=mask)
    y0, x0 = data.draw(st.integers(WINDOW[0], 100)), data.draw(st.integers(WINDOW[2], 100))
    y1, x1 = y0 + data.draw(st.integers(1, 50)), x0 + data.draw(st.integers(1, 50))
    window = (y0, y1, x0, x1)
    section = needed(lattice(make_sky(), exposure, window), window, SHAPE)
    cut = slice(y0 - WINDOW[0], y1 - WINDOW[0]), slice(x0 - WINDOW[2], x1 - WINDOW[2])
    if section is None:
        assert (whole.mask[cut] == NODATA).all()
        return
    part = resample(image, exposure, variance=variance, mask=mask, window=window, section=section)
    for name in ("image", "variance", "mask"):
        assert getattr(part, name).tobytes() == getattr(whole, name)[cut].tobytes()


@pytest.mark.parametrize("plane", ["image", "variance"])
def test_what_is_not_finite_stays_within_the_kernel(plane):
    exposure = make_wcs(**EXPOSURES["rotated"])
    image, variance = np.full(SHAPE, 5, np.float32), np.full(SHAPE, 2, np.float32)
    clean = resample(image, exposure, variance=variance)
    {"image": image, "variance": variance}[plane][100, 90] = np.nan
    result = resample(image, exposure, variance=variance)
    y, x = np.mgrid[slice(*WINDOW[:2]), slice(*WINDOW[2:])]
    at_y, at_x = (a.reshape(y.shape) for a in exact(make_sky(), exposure, y.ravel(), x.ravel()))
    distance = np.stack([at_y - 100, at_x - 90])
    reached = np.all((distance > -3) & (distance <= 3), axis=0)
    np.testing.assert_array_equal(result.mask[~reached], clean.mask[~reached])
    np.testing.assert_array_equal(result.image[~reached], clean.image[~reached])
    np.testing.assert_array_equal(result.variance[~reached], clean.variance[~reached])
    share = np.abs(lanczos(distance[0]) * lanczos(distance[1]))
    lost = result.mask & BAD > 0
    assert lost[share > 0.25].all()
    assert not lost[share < 0.1].any()
    assert ((result.mask == INTERP) == (reached & ~lost)).all()
    # Renormalised: a flat image stays flat around the hole.
    usable = reached & ~lost
    np.testing.assert_allclose(result.image[usable], clean.image[usable], rtol=1e-5)
    assert np.isfinite(result.variance[usable]).all()


@pytest.mark.parametrize(
    ("bit", "expected"), [(BAD, BAD), (SAT, SAT), (CR, CR), (EDGE, EDGE), (NODATA, BAD)]
)
def test_bits_follow_the_weight_of_unusable_pixels(bit, expected, rng):
    """Moved by half a pixel along x, taps have 0.015, 0.087, 0.397 of the weight on either side."""
    exposure = make_sky()
    exposure.wcs.crpix = [100.5, 101.0]
    mask = np.zeros(SHAPE, np.uint8)
    mask[100, 100] = bit
    image = rng.normal(0, 1, SHAPE).astype(np.float32)
    result = resample(image, exposure, sky=make_sky(), mask=mask)
    # The sky map's pixel (0, n) is at x = 99.5 + n of the exposure; rows meet.
    row = result.mask[-WINDOW[0], -WINDOW[2] - 4 : -WINDOW[2] + 6]
    weak, strong = INTERP, expected
    assert row.tolist() == [0, 0, weak, weak, strong, strong, weak, weak, 0, 0]
    plain = resample(image, exposure, sky=make_sky())
    np.testing.assert_allclose(result.image, plain.image, rtol=1e-5, atol=1e-6)  # value still there


def test_interpolated_pixels_are_usable_and_told():
    exposure = make_wcs(**EXPOSURES["plain"])
    mask = np.full(SHAPE, INTERP, np.uint8)
    result = resample(np.ones(SHAPE, np.float32), exposure, mask=mask)
    assert set(np.unique(result.mask)) == {INTERP, NODATA}


def test_a_hole_wider_than_the_kernel_has_no_value():
    exposure = make_wcs(**EXPOSURES["plain"])
    image = np.full(SHAPE, np.nan, np.float32)
    result = resample(image, exposure)
    seen = result.mask & NODATA == 0
    assert seen.any()
    assert (result.mask[seen] == BAD).all()
    assert np.isnan(result.image).all()
    assert np.isnan(result.variance).all()


def test_of_two_detectors_the_first_wins():
    left, right = make_wcs(shift=(80.0, 0.0)), make_wcs(shift=(-50.0, 0.0))
    one, two = np.full(SHAPE, 1, np.float32), np.full(SHAPE, 2, np.float32)
    only_left, only_right = resample(one, left), resample(two, right)
    both = resample(two, right, out=resample(one, left))
    overlap = np.isfinite(only_left.image) & np.isfinite(only_right.image)
    assert overlap.any()
    expected = np.where(np.isfinite(only_left.image), only_left.image, only_right.image)
    np.testing.assert_array_equal(both.image, expected)
    np.testing.assert_array_equal(both.mask, only_left.mask & only_right.mask)


def test_a_detector_elsewhere_leaves_the_planes_alone():
    result = resample(np.ones(SHAPE, np.float32), make_wcs(dec=40.0))
    assert (result.mask == NODATA).all()
    assert np.isnan(result.image).all()


@pytest.mark.parametrize("shape", [(4, 50), (5, 5), (1, 1)])
def test_a_detector_smaller_than_the_kernel_shows_nothing(shape):
    result = resample(np.ones(shape, np.float32), make_sky())
    assert (result.mask == NODATA).all()


def test_what_does_not_fit_is_refused():
    image, exposure = np.ones(SHAPE, np.float32), make_wcs()
    with pytest.raises(ValueError, match="lacks"):
        resample(image, exposure, section=(0, SHAPE[0], 0, SHAPE[1] - 20))
    with pytest.raises(ValueError, match="planes"):
        resample(image, exposure, out=empty((0, 5, 0, 5)))
    with pytest.raises(ValueError, match="differ"):
        resample(image, exposure, variance=np.ones((3, 3), np.float32))
