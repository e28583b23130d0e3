from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import sep
from photutils.aperture import CircularAperture, aperture_photometry
from scipy.spatial import cKDTree

from coadds import grid, simulate
from patches import SCALE, finish, measure, moffat, whole
from tessera.astro import bits, growth, noise, photometry, sources


def matched(table: pd.DataFrame, truth: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    distance, index = cKDTree(table[["x", "y"]]).query(truth[["x", "y"]])
    near = distance < 2.5
    return table.iloc[index[near]].reset_index(drop=True), truth[near].reset_index(drop=True)


def plain_field(image, segments=None, bad=None):
    image = np.asarray(image, np.float32)
    return photometry.Field(
        image,
        np.ones_like(image),
        np.zeros(image.shape, bool) if bad is None else bad,
        np.zeros(image.shape, np.int32) if segments is None else segments,
        noise.white(),
        0.0,
    )


LEVELS = [10.0, 10.0, 20.0, 40.0, 100.0, 400.0, 1500.0]


@pytest.fixture(scope="module", params=["even", "uneven"])
def survey(request):
    """Four patches of isolated stars among faint sources, and the catalogue of them.

    In the second the point-spread function varies over each patch by several per cent.
    """
    uneven = request.param == "uneven"
    tables, facts, scenes = {}, {}, {}
    for seed in range(3):
        scene = grid(600, 48, seed, LEVELS, faint=150)
        coadd = simulate(scene, (600, 600), visits=8 if uneven else 5, seed=10 + seed, gaps=uneven)
        name = f"patch-{seed}"
        tables[name], facts[name] = measure(coadd)
        scenes[name] = coadd.truth[scene.kind == "test"]
    done, pooled = finish(tables, facts)
    pairs = [matched(done[name], scenes[name]) for name in scenes]
    ours, truth = (pd.concat(part, ignore_index=True) for part in zip(*pairs, strict=True))
    return ours, truth, pooled, (tables, facts)


def pulls(survey, snr):
    ours, truth, _, _ = survey
    rows = (truth.snr == snr) & ((ours["flags"] & sources.FLAGS["CROWDED"][0]) == 0)
    return ((ours.flux - truth.flux) / ours.flux_err)[rows].to_numpy()


@pytest.mark.parametrize("snr", sorted(set(LEVELS)))
def test_errors_are_true(survey, snr):
    """(flux - truth) / flux_err has a standard deviation of 1, at all brightnesses."""
    pull = pulls(survey, snr)
    assert len(pull) > 40
    assert pull.std() == pytest.approx(1, abs=0.1 + 2.5 / np.sqrt(2 * len(pull)))
    assert abs(pull.mean()) < 1


@pytest.mark.parametrize(("snr", "limit"), [(1500.0, 4.0), (400.0, 5.0), (100.0, 7.0)])
def test_total_fluxes_of_stars_have_no_bias(survey, snr, limit):
    ours, truth, _, _ = survey
    ratio = (ours.flux / truth.flux)[truth.snr == snr]
    assert abs(1085.7 * np.log(ratio.median())) < limit  # mmag
    kron = (ours.flux_kron / truth.flux)[truth.snr == snr]
    assert -1085.7 * np.log(kron.median()) > 10


def test_positions(survey):
    ours, truth, _, _ = survey
    for snr, limit in ((1500.0, 3.0), (400.0, 6.0), (20.0, 80.0)):
        rows = truth.snr == snr
        for axis in ("x", "y"):
            offset = 1000 * SCALE * (ours[axis] - truth[axis])[rows]
            assert offset.std() < limit  # mas
            assert abs(offset.mean()) < limit


def test_stars_are_not_extended_and_have_the_fwhm_of_stars(survey):
    ours, truth, pooled, _ = survey
    assert ours.extended[truth.snr < 100].mean() < 0.02
    bright = truth.snr >= 100
    assert ours.extended[bright].mean() < 0.03
    assert ours.fwhm[bright].median() == pytest.approx(pooled["fwhm"], rel=0.03)
    assert (ours["flags"] & sources.FLAGS["ASSUMED"][0] == 0).all()


def test_finish_does_not_depend_on_the_order_of_patches(survey):
    tables, facts = survey[3]
    first, pooled = finish(tables, facts)
    second, again = finish(dict(reversed(tables.items())), dict(reversed(facts.items())))
    assert pooled == again
    for name, table in first.items():
        pd.testing.assert_frame_equal(table, second[name])


def test_finish_takes_facts_that_were_written_to_json(survey):
    tables, facts = survey[3]
    first, _ = finish(tables, facts)
    second, _ = finish(tables, json.loads(json.dumps(facts, allow_nan=False)))
    for name, table in first.items():
        pd.testing.assert_frame_equal(table, second[name])


def test_same_bytes_again():
    coadd = simulate(grid(300, 45, 3, [10.0, 300.0], faint=40), (300, 300), visits=4, seed=3)
    before = coadd.image.tobytes()
    first, second = measure(coadd), measure(coadd)
    assert coadd.image.tobytes() == before
    assert first[1] == second[1]
    for name in first[0]:
        assert first[0][name].to_numpy().tobytes() == second[0][name].to_numpy().tobytes()


def test_galaxies_are_extended_and_their_totals_fair():
    scene = grid(600, 60, 8, [150.0, 400.0])
    galaxy = np.arange(len(scene)) % 2 == 0
    scene.loc[galaxy, ["size", "q"]] = [4.0, 0.6]
    coadd = simulate(scene, (600, 600), visits=6, seed=8)
    table, _, _ = whole(coadd.image, coadd.variance)
    ours, truth = matched(table, coadd.truth)
    assert len(ours) == len(scene)
    large = truth["size"] > 0
    assert ours.extended[large].all()
    assert not ours.extended[~large].any()
    assert (ours.ellipticity[large] > 0.15).all()
    assert ours.ellipticity[~large].median() < 0.1
    assert abs((ours.flux / truth.flux)[large].median() - 1) < 0.03


def test_circles_are_those_of_photutils():
    rng = np.random.default_rng(0)
    field = plain_field(rng.normal(size=(90, 80)))
    x, y = rng.uniform(25, 55, 20), rng.uniform(25, 60, 20)
    radii = np.array([1.7, 4.2, 11.0])
    flux, variance = photometry.circles(field, x, y, radii)
    for k, radius in enumerate(radii):
        apertures = CircularAperture(np.stack([x, y], axis=1), radius)
        expected = aperture_photometry(field.image.astype(float), apertures)["aperture_sum"]
        np.testing.assert_allclose(flux[:, k], expected, atol=1e-3)
        # White noise: the sum of overlap², a little less than the area.
        assert 0.75 < (variance[:, k] / (np.pi * radius**2)).mean() < 1


@pytest.mark.parametrize("at", [(30.0, 30.0), (30.5, 29.5), (30.0, 29.7), (1.0, 58.5)])
def test_circles_are_exact_wherever_they_lie_in_a_pixel(at):
    """Also about the very centre of a pixel, which `sep.sum_circann` leaves out."""
    radii = np.array([0.3, 0.5, 0.9, 1.3, 6.1])
    field = plain_field(np.random.default_rng(1).normal(5, 1, size=(60, 60)))
    flux, _ = photometry.circles(field, *(np.array([value]) for value in at), radii)
    for k, radius in enumerate(radii):
        expected = aperture_photometry(field.image.astype(float), CircularAperture(at, radius))
        assert flux[0, k] == pytest.approx(expected["aperture_sum"][0], rel=1e-9)


def test_circles_must_increase():
    with pytest.raises(ValueError, match="increase"):
        photometry.circles(plain_field(np.zeros((9, 9))), *np.full((2, 1), 4.0), np.array([2.0, 1]))


def test_half_light_is_that_of_sep():
    rng = np.random.default_rng(3)
    stars = [(20.3, 21.8, 900.0), (62.1, 58.0, 400.0), (24.0, 66.0, 50.0), (3.0, 40.0, 300.0)]
    image = (moffat((80, 84), *stars) + 0.2 * rng.normal(size=(80, 84))).astype(np.float32)
    x, y, flux = np.array(stars).T
    bad, segments = np.zeros(image.shape, bool), np.zeros(image.shape, np.int32)
    bad[56, 60:64], segments[18:24, 24:28] = True, 2
    field = plain_field(image, segments, bad)

    def both(flux):
        shape = {"mask": bad, "segmap": segments, "seg_id": np.arange(1, 5)}
        expected, _ = sep.flux_radius(image, x, y, np.full(4, 15.7), 0.5, normflux=flux, **shape)
        return photometry.half_light(field, x, y, 15.7, flux), expected

    np.testing.assert_allclose(*both(flux), rtol=1e-12)
    # Half of it lies beyond the first rings, beyond the limit, nowhere.
    ours, expected = both(np.array([1.9 * 900, 1e6, -5.0, np.nan]))
    assert 6 < ours[0] == pytest.approx(expected[0], rel=1e-12)
    assert np.isnan(ours[1:]).all()


def test_lost_pixels_are_replaced_by_their_ring():
    """A round source keeps its flux when a neighbour or a hole takes a side of it."""
    image = moffat((101, 101), (50, 50, 1000.0))
    x = y = np.array([50.0])
    radii = np.array([1, 2, 3, 4, 5.6, 8, 12, 16, 20])
    expected, _ = photometry.circles(plain_field(image), x, y, radii)
    wedge = np.zeros(image.shape, bool)
    wedge[46:54, 53:] = True
    spoilt = np.where(wedge, 1e4, image)
    segments = np.where(wedge, 2, 0).astype(np.int32)
    for field in (plain_field(spoilt, segments), plain_field(spoilt, bad=wedge)):
        flux, _ = photometry.circles(field, x, y, radii)
        plain, _, _ = sep.sum_circle(field.image, x, y, radii, mask=wedge)
        off, plain_off = (np.abs(total / expected - 1)[0, 2:].max() for total in (flux, plain))
        assert off < 0.03
        assert plain_off > 2 * off
    whole_field = photometry.circles(plain_field(image, bad=np.ones_like(wedge)), x, y, radii)
    assert np.isnan(whole_field[0]).all()


def test_kron_is_that_of_sep():
    image = moffat((120, 120), (60.3, 58.8, 5000.0)).astype(np.float32)
    shape = [np.array([value]) for value in (60.3, 58.8, 2.5, 1.8, 0.4)]
    ours = photometry.kron(plain_field(image), *shape, 2.5)
    radius, _ = sep.kron_radius(image, *shape, 6.0)
    flux, _, _ = sep.sum_ellipse(image, *shape, 2.5 * radius)
    assert ours.factor == pytest.approx(2.5 * radius)
    assert ours.flux == pytest.approx(flux, rel=1e-3)
    assert not ours.fallback.any()
    nothing = photometry.kron(plain_field(-image), *shape, 2.5)
    assert nothing.factor[0] >= photometry.KRON_LEAST


def test_surroundings():
    shape = (40, 50)
    segments = np.zeros(shape, np.int32)
    segments[18:23, 18:23] = 1
    segments[18:23, 24:30] = 2
    mask = np.zeros(shape, np.uint8)
    mask[18, 18], mask[20, 21] = bits.INTERP, bits.CLIPPED
    nimage = np.full(shape, 7, np.int16)
    nimage[:, 25:] = 2
    bad = np.zeros(shape, bool)
    bad[:15] = True
    found = photometry.surroundings(
        plain_field(np.zeros(shape), segments, bad),
        mask,
        nimage,
        np.array([20.0, 27.0]),
        np.array([20.0, 20.0]),
        1.5,
        8.0,
    )
    y, x = np.indices(shape)
    disc = np.hypot(y - 20, x - 20) <= 8
    assert found.isophote.tolist() == [bits.INTERP | bits.CLIPPED, 0]
    assert found.core.tolist() == [bits.CLIPPED, 0]
    assert found.n_images.tolist() == [7, 2]
    assert found.missing[0] == pytest.approx((disc & bad).sum() / disc.sum())
    assert found.crowded[0] == pytest.approx((disc & (segments == 2)).sum() / disc.sum())


@pytest.mark.parametrize(("fwhm", "beta"), [(4.0, 3.0), (0.9, 2.5), (6.0, 4.5)])
def test_moffat_profiles_are_recovered(fwhm, beta):
    true = growth.Moffat(fwhm, beta)
    radii = growth.LADDER * 1.1 * fwhm
    fitted, _ = growth.fit_moffat(radii, 7e3 * true.enclosed(radii), np.zeros(len(radii)))
    assert fitted.fwhm == pytest.approx(fwhm, rel=0.01)
    assert fitted.enclosed(radii) == pytest.approx(true.enclosed(radii), abs=1e-3)
    assert true.enclosed(true.radius(0.3)) == pytest.approx(0.3)
    # Half of the peak at half of the FWHM: what the name says.
    step = 1e-4 * fwhm
    rings = [true.enclosed(r + step) - true.enclosed(r) for r in (step, fwhm / 2)]
    density = [rings[0] / (3 * step**2), rings[1] / (fwhm * step + step**2)]
    assert density[1] / density[0] == pytest.approx(0.5, rel=1e-3)


def test_errors_of_a_fitted_profile_are_its_scatter():
    rng = np.random.default_rng(8)
    true = growth.Moffat(1.0, 3.0).enclosed(growth.LADDER)
    errors = np.full(len(true), 0.01)
    fits = [
        growth.fit_moffat(growth.LADDER, true * (1 + rng.normal(0, 0.01, len(true))), errors)
        for _ in range(300)
    ]
    shares = np.array([profile.enclosed(growth.LADDER) for profile, _ in fits])
    stated = np.median([uncertain for _, uncertain in fits], axis=0)
    assert (shares / true).std(axis=0) == pytest.approx(stated, rel=0.2)


def test_stars_are_told_from_more_numerous_galaxies():
    rng = np.random.default_rng(2)
    star = growth.Moffat(1.0, 3.0)
    sizes = np.append(rng.normal(1, 0.01, 12), rng.uniform(1.15, 3, 60))
    flux = 1e4 * np.array([star.enclosed(growth.LADDER / size) for size in sizes])
    chosen = growth.choose_stars(flux, np.full_like(flux, 100.0), np.ones(len(flux), bool))
    assert chosen[:12].all()
    assert not chosen[12:].any()
    assert not growth.choose_stars(flux[:3], flux[:3] * 0 + 100.0, np.ones(3, bool)).any()
