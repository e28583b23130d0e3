from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import astroscrappy
import numpy as np
import pytest
from astroscrappy import utils
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation

from tessera.astro import cosmics
from tessera.astro.cosmics import find_cosmic_rays
from tessera.astro.laplacian import fine_structure, significance, significance_at

USUAL = {"sigclip": 4.5, "sigfrac": 0.3, "objlim": 5.0, "iterations": 4}
Planes = tuple[np.ndarray, np.ndarray, np.ndarray]


def reference(image, variance, mask, *, sigclip, sigfrac, objlim, iterations):
    found, _ = astroscrappy.detect_cosmics(
        image,
        inmask=mask,
        invar=variance,
        sigclip=sigclip,
        sigfrac=sigfrac,
        objlim=objlim,
        niter=iterations,
        gain=1.0,
        readnoise=0.0,
        satlevel=np.inf,
        sepmed=True,
        fsmode="median",
        cleantype="meanmask",
    )
    return found


def assert_identical(planes: Planes, **settings) -> int:
    """Compare with the reference; return the number of pixels found."""
    ours = find_cosmic_rays(*planes, **{**USUAL, **settings})
    theirs = reference(*planes, **{**USUAL, **settings})
    assert ours.dtype == bool
    assert np.count_nonzero(ours != theirs) == 0
    return int(ours.sum())


def scene(
    seed: int,
    shape: tuple[int, int],
    *,
    widths: tuple[float, ...] = (0.6, 1.0, 1.4, 2.5),
    stars: int | None = None,
    rays: int | None = None,
    longest: float = 300,
    sky: float = 300,
    subtract: bool = True,
) -> tuple[Planes, np.ndarray]:
    """Stars, galaxies and cosmic rays on a slanting sky, with bad columns and saturated cores.

    Returns
    -------
    Image, Poisson variance (cosmic rays included) and mask; the pixels that cosmic rays hit with
    10 sigma of the sky or more.
    """
    rng = np.random.default_rng(seed)
    ny, nx = shape
    density = ny * nx / 2500
    stars = int(density) if stars is None else stars
    rays = int(density) if rays is None else rays
    y, x = np.indices(shape)
    background = sky * (1 + 0.3 * x / nx + 0.2 * y / ny)
    light = background.copy()
    for number in range(stars):
        dy, dx = y - rng.uniform(-3, ny + 3), x - rng.uniform(-3, nx + 3)
        flux, width = 10 ** rng.uniform(2, 5.8), rng.choice(widths)
        if number % 4 == 3:
            light += flux / 60 * np.exp(-np.hypot(dy, dx / rng.uniform(0.3, 1)) / 2.5)
        else:
            light += flux / (2 * np.pi * width**2) * np.exp(-(dy**2 + dx**2) / (2 * width**2))
    charge = np.zeros(shape)
    for number in range(rays):
        length, angle = longest ** rng.uniform(0, 1), rng.uniform(0, 2 * np.pi)
        start = np.array([rng.uniform(0, ny), rng.uniform(0, nx)])
        if number < 4:  # at the corners
            start = np.array([(number % 2) * (ny - 4.6), (number // 2) * (nx - 4.6)])
        steps = start[:, None] + np.outer(
            [np.sin(angle), np.cos(angle)], np.linspace(0, length, int(2 * length) + 1)
        )
        j, i = np.round(steps).astype(int)
        strength = 10 ** rng.uniform(1.7, 4)
        for wide in range(number % 3 // 2 + 1):
            inside = (j >= 0) & (j < ny) & (i + wide >= 0) & (i + wide < nx)
            charge[j[inside], i[inside] + wide] += strength * rng.uniform(0.4, 1)
    counts = rng.poisson(light) + rng.normal(0, 5, shape) + charge
    variance = np.maximum(counts, sky / 2) + 25
    mask = light > 40000
    counts[mask] = 65000
    for column in rng.integers(0, nx, nx // 150):
        mask[:, column] = True
        counts[:, column] = rng.choice([0, 60000])
    if subtract:
        counts -= background
    planes = counts.astype(np.float32), variance.astype(np.float32), mask
    return planes, charge > 10 * np.sqrt(sky + 25)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((256, 300), {}),
        ((301, 257), {"subtract": False}),
        ((200, 203), {"widths": (0.5, 0.7), "rays": 20}),
        ((203, 200), {"widths": (3.0, 5.0), "sky": 20}),
        ((180, 180), {"rays": 200, "longest": 500}),
        ((400, 90), {"sky": 5000, "longest": 3, "rays": 100}),
    ],
    ids=["usual", "with-sky", "undersampled", "wide-and-dark", "many-rays", "bright-sky"],
)
@pytest.mark.parametrize("iterations", [1, 2, 3, 4, 5, 6])
def test_equals_astroscrappy_on_the_sky(shape, options, iterations):
    planes, _ = scene(11, shape, **options)
    assert assert_identical(planes, iterations=iterations) > 50


@pytest.mark.parametrize("sigclip", [2.0, 3.3, 7.0])
@pytest.mark.parametrize("sigfrac", [0.0, 0.1, 0.5, 1.2])
@pytest.mark.parametrize("objlim", [-1.0, 1.0, 2.1, 9.0])
def test_equals_astroscrappy_with_any_limits(sigclip, sigfrac, objlim):
    planes, _ = scene(12, (160, 161))
    found = assert_identical(planes, sigclip=sigclip, sigfrac=sigfrac, objlim=objlim)
    assert found > 100


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_equals_astroscrappy_on_anything_small(data):
    shape = tuple(data.draw(st.integers(5, 40), label="size") for _ in range(2))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**30), label="seed"))
    kind = data.draw(st.sampled_from(["sky", "ties", "wild", "rough"]), label="kind")
    planes, _ = scene(int(rng.integers(2**30)), shape, stars=2, rays=8, subtract=kind != "ties")
    image, variance, mask = planes
    if kind == "ties":
        image = np.round(image / 64) * np.float32(64)
    elif kind == "wild":
        image = (30 * rng.standard_cauchy(shape)).astype(np.float32)
    elif kind == "rough":
        variance = rng.uniform(-1, 5, shape).astype(np.float32)
    mask = mask | (rng.random(shape) < data.draw(st.sampled_from([0, 0.02, 0.2]), label="bad"))
    assert_identical(
        (image, variance, mask),
        sigclip=data.draw(st.sampled_from([0.0, 0.5, 3.0, 4.5]), label="sigclip"),
        sigfrac=data.draw(st.sampled_from([0.0, 0.1, 0.3, 1.0]), label="sigfrac"),
        objlim=data.draw(st.sampled_from([-1.0, 0.0, 1.0, 5.0]), label="objlim"),
        iterations=data.draw(st.integers(1, 6), label="iterations"),
    )


def test_equals_astroscrappy_where_nothing_good_is_near():
    """In thick blocks of cosmic rays pixels take the median of the image and of the variance."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        image = rng.normal(5000, 10, (30, 31)).astype(np.float32)
        variance = (10 ** rng.uniform(-1, 3, image.shape)).astype(np.float32)
        image[6:24, 6:25] += rng.exponential(3000, (18, 19)) * (rng.random((18, 19)) < 0.9)
        planes = image, variance, np.zeros(image.shape, bool)
        assert assert_identical(planes, sigclip=0.5, objlim=-1.0, iterations=5) > 300


@pytest.mark.parametrize("shape", [(7, 7), (8, 40), (41, 9), (63, 64), (70, 47)])
def test_each_plane_has_the_bytes_of_the_reference(shape):
    """Roundings differ too seldom to show in a mask, and each side of the image has its own."""
    rng = np.random.default_rng(18)
    image = (rng.normal(size=shape) * 10 ** rng.uniform(-2, 4, shape)).astype(np.float32)
    variance = rng.uniform(-1, 30, shape).astype(np.float32)
    laplacian = utils.laplaceconvolve(utils.subsample(image))
    noise = np.sqrt(np.maximum(utils.sepmedfilt7(variance), np.float32(0.00001)))
    s = utils.rebin(np.maximum(laplacian, 0)) / (2 * noise)
    ours = significance(image, variance)
    np.testing.assert_array_equal(ours, s)
    smooth = utils.sepmedfilt5(image)
    fine = smooth - utils.sepmedfilt9(smooth)
    for y, x in np.ndindex(shape):
        one = significance_at(image, variance, y, x)
        assert one == s[y, x]
        assert fine_structure(image, y, x) == fine[y, x]


@pytest.mark.parametrize("shape", [(5, 5), (20, 33)])
def test_the_mask_grows_as_in_the_reference(shape):
    for share in (0.02, 0.2):
        mask = np.random.default_rng(19).random(shape) < share
        mask[0, 0] = mask[-1, 2] = True
        grown = utils.dilate3(mask.astype(np.uint8))
        np.testing.assert_array_equal(cosmics._blocked(mask) == cosmics.BLOCKED, grown)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.floats(-20, 20), st.integers(0, 2**20))
def test_the_lower_median_is_that_of_the_sorted_pixels(size, middle, seed):
    rng = np.random.default_rng(seed)
    plane = ((middle + rng.normal(size=(size, 7))) * 100).astype(np.float32)
    plane[rng.random(plane.shape) < 0.1] = 0
    state = np.where(rng.random(plane.shape) < 0.5, cosmics.BLOCKED, cosmics.FOUND)
    state[0, 0] = 0
    good = np.sort(plane[state != cosmics.BLOCKED])
    assert cosmics._lower_median(plane, state) == good[(len(good) - 1) // 2]


def test_finds_the_rays_and_spares_the_stars():
    """What the sheet of results rests on: nearly all strong pixels, hardly any of a star."""
    options = {"widths": (1.2, 1.6), "longest": 60}
    planes, hit = scene(14, (400, 401), **options)
    found = find_cosmic_rays(*planes, **USUAL)
    countable = hit & ~binary_dilation(planes[2], np.ones((3, 3)))
    countable[:3], countable[-3:], countable[:, :3], countable[:, -3:] = False, False, False, False
    assert found[countable].mean() > 0.85
    quiet, _ = scene(14, (400, 401), rays=0, **options)
    assert find_cosmic_rays(*quiet, **USUAL).sum() < 10


def test_the_mask_the_edge_and_the_input_stay_as_they_are():
    planes, _ = scene(15, (120, 121), rays=100)
    before = [plane.copy() for plane in planes]
    found = find_cosmic_rays(*planes, **USUAL)
    for plane, copy in zip(planes, before, strict=True):
        np.testing.assert_array_equal(plane, copy)
    assert not found[planes[2]].any()
    assert found[3:-3, 3:-3].sum() == found.sum() > 100


def test_layout_and_threads_do_not_matter():
    frames = [scene(seed, (150, 140))[0] for seed in range(4)]
    alone = [find_cosmic_rays(*planes, **USUAL) for planes in frames]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda planes: find_cosmic_rays(*planes, **USUAL), frames))
    for planes, one, other in zip(frames, alone, together, strict=True):
        np.testing.assert_array_equal(one, other)
        turned = [np.asfortranarray(plane) for plane in planes]
        np.testing.assert_array_equal(one, find_cosmic_rays(*turned, **USUAL))


@pytest.mark.parametrize("shape", [(1, 1), (4, 30), (6, 6), (30, 6)])
def test_nothing_is_found_in_an_image_that_is_all_edge(shape):
    image = np.random.default_rng(16).normal(0, 1000, shape).astype(np.float32)
    blank = np.zeros(shape, bool)
    assert not find_cosmic_rays(image, np.ones_like(image), blank, **USUAL).any()


def test_nothing_is_found_where_everything_is_masked():
    image = np.random.default_rng(17).normal(0, 1000, (30, 31)).astype(np.float32)
    everything = np.ones(image.shape, bool)
    assert not find_cosmic_rays(image, np.ones_like(image), everything, **USUAL).any()


def test_impossible_requests_are_refused():
    image = np.zeros((20, 21), np.float32)
    variance, mask = np.ones_like(image), np.zeros(image.shape, bool)
    with pytest.raises(ValueError, match="shapes"):
        find_cosmic_rays(image, variance[:-1], mask, **USUAL)
    for wrong in ({"sigclip": -1.0}, {"sigfrac": np.nan}, {"objlim": np.inf}, {"iterations": 0}):
        with pytest.raises(ValueError, match="cannot search"):
            find_cosmic_rays(image, variance, mask, **{**USUAL, **wrong})
    variance[3, 4] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        find_cosmic_rays(image, variance, mask, **USUAL)
