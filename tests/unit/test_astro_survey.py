import re
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from tessera.astro.bits import BAD, EDGE, SAT
from tessera.astro.camera import bleed, expose
from tessera.astro.scene import GALAXY, STAR, Sources, core_radius, draw, points
from tessera.astro.skymap import make_skymap
from tessera.astro.survey import (
    LADDER,
    Survey,
    counts,
    ideal_snr,
    make_sky,
    make_visit,
    make_visits,
    wcs_header,
)
from tessera.astro.toy import FORMS, SKYMAP, Form, demonstration, write_toy, write_visit
from tessera.astro.visits import list_visits
from tessera.astro.wcsheader import border, celestial_wcs

ROOT = Path(__file__).parents[2]
SMALL = Survey(7, ra=0.0, grid=(1, 1), ccd_shape=(300, 320), distortion=3.0, dither=5.0)


def source(**values):
    row = {
        **dict.fromkeys(("kind", "move_ra", "move_dec", "half_light_radius", "position_angle"), 0),
        **{"ra": SMALL.ra, "dec": SMALL.dec, "mag": 20.0, "axis_ratio": 1.0, "visit": -1},
        **{"isolated": True, **values},
    }
    return Sources(**{name: np.array([value]) for name, value in row.items()})


def nothing():
    return source().take(np.zeros(1, bool))


def alone(row, visit):
    """Counts of one source, without sky and noise, and the true WCS."""
    light = expose(SMALL, row, visit, 1).light - expose(SMALL, nothing(), visit, 1).light
    return light, WCS(wcs_header(SMALL, visit, 1))


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize(
    "shape",
    [
        {"mag": 14.0},
        {"mag": 23.0},
        {"kind": GALAXY, "mag": 19.0, "half_light_radius": 0.9, "axis_ratio": 0.4},
    ],
)
def test_flux_and_position_are_those_of_the_truth(index, shape):
    visit = make_visit(SMALL, index)
    row = source(ra=359.9985, dec=-4.9982, **shape)
    light, wcs = alone(row, visit)
    magnitude = visit.zero_point - 2.5 * np.log10(light.sum())
    assert magnitude == pytest.approx(row.mag[0], abs=1e-3)
    y, x = np.indices(light.shape)
    centroid = [(light * axis).sum() / light.sum() for axis in (x, y)]
    # From pixels to the sky, the way in which no iteration is needed.
    ra, dec = wcs.all_pix2world([centroid], 0)[0]
    assert ((ra - row.ra[0] + 180) % 360 - 180) * 3600 == pytest.approx(0, abs=0.01 * 0.27)
    assert (dec - row.dec[0]) * 3600 == pytest.approx(0, abs=0.01 * 0.27)


def test_distortions_are_of_the_size_asked_for():
    for index, projection in enumerate(("TPV", "TAN", "TPV", "TAN-SIP")):
        visit = make_visit(SMALL, index)
        header = wcs_header(SMALL, visit, 1)
        straight = header.copy()
        for key in list(straight):
            if re.match(r"PV\d|[AB]_", key):
                del straight[key]
        straight["CTYPE1"], straight["CTYPE2"] = "RA---TAN", "DEC--TAN"
        world = WCS(header).all_pix2world([[0.0, 0.0]], 0)
        shift = np.hypot(*(WCS(straight).all_world2pix(world, 0)[0]))
        assert visit.projection == projection
        assert shift < 1e-6 if projection == "TAN" else 2.0 < shift < 4.0


def test_stars_have_the_seeing_of_their_visit():
    visit = make_visit(SMALL, 0)
    image = np.zeros((201, 201))
    alpha = core_radius(visit.fwhm / SMALL.pixel_scale)
    half = visit.fwhm / SMALL.pixel_scale / 2
    draw(image, np.array([100.0, 100 - half]), np.full(2, 100.0), np.array([1.0, 0]), alpha)
    other = np.zeros_like(image)
    draw(other, np.array([100 - half]), np.array([100.0]), np.array([1.0]), alpha)
    assert other[100, 100] == pytest.approx(image.max() / 2, rel=1e-9)


def test_discs_have_size_shape_and_orientation():
    row = source(
        kind=GALAXY, ra=10.0, half_light_radius=1.0, axis_ratio=0.5, position_angle=30.0, dec=60.0
    )
    ra, dec, mag, share = points(row, row.ra, row.dec)
    east = (ra - 10.0) * np.cos(np.radians(60)) * 3600
    north = (dec - 60.0) * 3600
    assert share.sum() == pytest.approx(1, abs=1e-12)
    assert (mag == 20.0).all()
    angle = np.radians(30)
    along = east * np.sin(angle) + north * np.cos(angle)
    across = east * np.cos(angle) - north * np.sin(angle)
    # Second moment of an exponential disc: 3 scale lengths squared along each axis.
    scale = 1.0 / 1.678347
    assert (share * along**2).sum() == pytest.approx(3 * scale**2, rel=1e-5)
    assert (share * across**2).sum() == pytest.approx(0.25 * 3 * scale**2, rel=1e-5)
    assert (share * along * across).sum() == pytest.approx(0, abs=1e-6)
    assert share[np.hypot(along, across / 0.5) < 1.0].sum() == pytest.approx(0.5, abs=0.1)


def test_ideal_signal_to_noise_is_that_of_a_fitted_profile():
    visits = [make_visit(SMALL, index) for index in (0, 3)]
    mags = np.array([14.0, 20.0, 24.5])
    seen = np.array([[True, True, True], [True, False, True]])
    expected = np.zeros(3)
    for visit, covered in zip(visits, seen, strict=True):
        profile = np.zeros((301, 301))
        alpha = core_radius(visit.fwhm / SMALL.pixel_scale)
        draw(profile, np.array([150.3]), np.array([149.8]), np.array([1.0]), alpha)
        for i, flux in enumerate(counts(mags, visit)):
            variance = (visit.sky + flux * profile) / visit.gain
            variance += (visit.read_noise / visit.gain) ** 2
            expected[i] += covered[i] * ((flux * profile) ** 2 / variance).sum()
    found = ideal_snr(mags, seen, visits, SMALL.pixel_scale)
    np.testing.assert_allclose(found, np.sqrt(expected), rtol=2e-3)


def test_the_seed_decides():
    survey = demonstration(3)
    sky, visit = make_sky(survey), make_visit(survey, 2)
    first, again = (expose(survey, sky, visit, 2) for _ in range(2))
    assert first.image.tobytes() == again.image.tobytes()
    assert first.cosmic.tobytes() == again.cosmic.tobytes()
    assert make_visits(replace(survey, n_visits=3)) == make_visits(survey)[:3]
    other = replace(survey, seed=4)
    assert make_visit(other, 2) != visit
    assert (make_sky(other).mag[:50] != sky.mag[:50]).any()
    assert expose(other, sky, visit, 2).image.tobytes() != first.image.tobytes()
    neighbour = expose(survey, sky, visit, 1)
    noise = [(ccd.image - ccd.light)[100] for ccd in (first, neighbour)]
    assert abs(np.corrcoef(noise)[0, 1]) < 0.2


def test_variance_plane_is_true():
    survey = demonstration(5)
    sky = make_sky(survey)
    for index in (0, 5):
        ccd = expose(survey, sky, make_visit(survey, index), 1)
        sound = (ccd.mask & (SAT | BAD) == 0) & (ccd.cosmic == 0)
        pull = (ccd.image - ccd.light)[sound] / np.sqrt(ccd.variance[sound])
        assert sound.mean() > 0.98
        assert pull.mean() == pytest.approx(0, abs=0.01)
        assert pull.std() == pytest.approx(1, abs=0.006)
        bright = ccd.light[sound] > 5 * np.median(ccd.light)
        assert pull[bright].std() == pytest.approx(1, abs=5 / np.sqrt(2 * bright.sum()))
        hit = (ccd.cosmic > 0) & (ccd.mask & (SAT | BAD) == 0)
        excess = (ccd.image - ccd.light)[hit] - ccd.cosmic[hit] / make_visit(survey, index).gain
        assert np.abs(excess / np.sqrt(ccd.variance[hit])).max() < 6


def test_masks_mark_what_is_wrong():
    visit = make_visit(SMALL, 0)
    ccd = expose(SMALL, source(mag=12.0), visit, 1)
    full = ccd.image >= visit.saturate
    assert (ccd.mask[full] & SAT).all()
    assert ccd.image.max() == np.float32(visit.saturate)
    x, y = WCS(ccd.header).all_world2pix([[SMALL.ra, SMALL.dec]], 0)[0]
    saturated = np.argwhere(ccd.mask & SAT)
    assert len(saturated) > 100
    # Charge flows along columns: the trail is longer than it is wide.
    assert np.ptp(saturated[:, 0]) > 2 * np.ptp(saturated[:, 1])
    np.testing.assert_allclose(saturated.mean(axis=0), [y, x], atol=1.5)

    edge = np.ones(SMALL.ccd_shape, bool)
    edge[4:-4, 4:-4] = False
    np.testing.assert_array_equal(ccd.mask & EDGE > 0, edge)
    quiet = expose(SMALL, nothing(), visit, 1)
    wrong = np.abs(quiet.image - quiet.light) > 7 * np.sqrt(quiet.variance)
    known = (quiet.mask & BAD > 0) | (quiet.cosmic > 0)
    assert wrong.sum() > 100
    assert not (wrong & ~known).any()
    assert (wrong | ~(quiet.mask & BAD > 0)).all()
    sound = expose(SMALL, nothing(), visit, 1, defects=False)
    assert not (sound.mask & BAD).any()
    wrong = np.abs(sound.image - sound.light) > 7 * np.sqrt(sound.variance)
    assert not (wrong & (sound.cosmic == 0)).any()


def test_bleeding_keeps_charge_in_its_column():
    rng = np.random.default_rng(1)
    electrons = rng.uniform(0, 50, (60, 5))
    electrons[30, 2], electrons[31, 2], electrons[0, 4] = 2000.0, 400.0, 1000.0
    before = electrons.copy()
    bleed(electrons, 100.0)
    assert electrons.max() <= 100.0
    assert electrons[:, 2].sum() == pytest.approx(before[:, 2].sum())
    np.testing.assert_array_equal(electrons[:, [0, 1, 3]], before[:, [0, 1, 3]])
    assert electrons[0, 4] == 100.0
    lost = before[:, 4].sum() - electrons[:, 4].sum()
    assert lost == pytest.approx(450.0)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    place = tmp_path_factory.mktemp("toy")
    (place / "data").mkdir()
    (place / "visits.tsv").write_text(write_toy(place / "data", "data", 1), "utf-8")
    return place


def planes(path):
    """Data, header and verdict of the checksum, by name and version."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with fits.open(path, checksum=True) as hdus:
            found = {}
            for hdu in hdus[1:]:
                before = len(caught)
                data = hdu.data
                found[hdu.name, hdu.ver] = data, hdu.header.copy()
                assert len(caught) == before or "hecksum" in str(caught[-1].message)
    return found, [str(warning.message) for warning in caught]


def test_files_hold_what_their_form_says(files):
    sheet = list_visits(str(files / "visits.tsv"), ROOT / "schemas")
    assert len(sheet) == len(FORMS) == 8
    survey = demonstration(1)
    for (name, path), form, visit in zip(sheet.items(), FORMS, make_visits(survey), strict=True):
        found, complaints = planes(path)
        assert name == visit.name
        assert path.endswith(".fz") == form.packed
        roles = ("IMAGE", "MASK", "VARIANCE") if form.planes else ("IMAGE",)
        assert list(found) == [(role, n) for n in (1, 2, 3, 4) for role in roles]
        assert bool(complaints) == bool(form.torn)
        for (role, number), (data, header) in found.items():
            assert header["CCDNUM"] == number
            assert {"CHECKSUM", "DATASUM"} <= set(header)
            assert not re.search(r"\d{4}-\d\d-\d\d|/tmp|tessera", header.tostring())
            if role == "IMAGE":
                assert data.dtype == (">f4" if form.floating else "uint16")
                assert np.isnan(data).sum() == (15 if number == form.nan else 0)
                assert ("CRVAL1" in header) == (number != form.lost)
                assert header["GAIN"] == visit.gain
                assert header["MAGZERO"] == visit.zero_point
                assert header["SATURATE"] >= np.nanmax(data) or number == form.torn


def test_a_torn_plane_is_the_only_one_that_does_not_verify(files):
    _, complaints = planes(files / "data/v07.fits")
    assert len(complaints) == 2
    assert all("('IMAGE', 3)" in complaint for complaint in complaints)


def test_files_have_the_same_bytes_whenever_they_are_written(tmp_path):
    sky = source(mag=15.0)
    visit = make_visit(SMALL, 2)
    forms = {"plain": Form(), "packed": Form(packed=True)}
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        for name, form in forms.items():
            list(write_visit(tmp_path / folder / name, SMALL, sky, visit, form))
        time.sleep(1.01 if folder == "first" else 0)  # gzip and checksums may note the second
    for name in forms:
        contents = [(tmp_path / folder / name).read_bytes() for folder in ("first", "second")]
        assert contents[0] == contents[1]


def test_packing_loses_nothing(tmp_path):
    visit = make_visit(SMALL, 2)
    sky = source(mag=15.0)
    for name, form in (("plain", Form()), ("packed", Form(packed=True))):
        (ccd,) = write_visit(tmp_path / name, SMALL, sky, visit, form)
    plain, packed = planes(tmp_path / "plain")[0], planes(tmp_path / "packed")[0]
    for role in ("IMAGE", "MASK"):
        np.testing.assert_array_equal(plain[role, 1][0], packed[role, 1][0])
    np.testing.assert_array_equal(plain["IMAGE", 1][0], np.rint(ccd.image))
    np.testing.assert_allclose(plain["VARIANCE", 1][0], packed["VARIANCE", 1][0], atol=0.011)


def test_truth_tells_what_is_in_the_files(files):
    truth = Table.read(files / "data/truth.ecsv")
    assert len(set(truth["id"])) == len(truth) > 800
    visits = {visit.name: visit for visit in make_visits(demonstration(1))}
    transients = truth[truth["kind"] == "transient"]
    assert len(transients) > 8
    assert (transients["n_visits"] == 1).all()
    cosmic = np.load(files / "data/truth_cr.npz", allow_pickle=False)
    assert len(cosmic.files) == 32
    shines = dark = 0
    for name, visit in visits.items():
        path = next((files / "data").glob(f"{name}.fits*"))
        with fits.open(path, checksum=False) as hdus:
            for number in range(1, 5):
                header = hdus["IMAGE", number].header
                if "CRVAL1" not in header or (name, number) == ("v07", 3):
                    continue
                image = hdus["IMAGE", number].data.astype(float)
                image[cosmic[f"{name}_{number}"] > 0] = np.nan
                x, y = WCS(header).all_world2pix(transients["ra"], transients["dec"], 0)
                for row, i, j in zip(transients, x, y, strict=True):
                    if not (2 < i < 509 and 2 < j < 509):
                        continue
                    stamp = image[round(j) - 1 : round(j) + 2, round(i) - 1 : round(i) + 2]
                    alpha = core_radius(visit.fwhm / 0.27)
                    peak = 2 / np.pi / alpha**2 * counts(row["mag"], visit)
                    height = (np.nanmedian(stamp) - np.nanmedian(image)) / min(peak, 30_000)
                    if name in row["visits"]:
                        shines += 1
                        assert height > 0.4
                    elif row["mag"] < 19:
                        dark += 1
                        assert height < 0.4
    assert shines >= len(transients) - 1
    assert dark > 5


def test_reference_stars_are_saturated_nowhere(files):
    reference = Table.read(files / "data/reference.ecsv")
    truth = Table.read(files / "data/truth.ecsv")
    assert len(reference) > 50
    stars = {(row["ra"], row["dec"], row["mag"]) for row in truth[truth["kind"] == "star"]}
    assert {tuple(row) for row in reference} <= stars
    assert np.ptp(reference["ra"]) > 359  # on both sides of 0h
    for name in ("v01", "v02"):
        with fits.open(files / f"data/{name}.fits") as hdus:
            for number in range(1, 5):
                wcs = WCS(hdus["IMAGE", number].header)
                x, y = np.rint(wcs.all_world2pix(reference["ra"], reference["dec"], 0)).astype(int)
                on = (x >= 0) & (x < 512) & (y >= 0) & (y < 512)
                assert not (hdus["MASK", number].data[y[on], x[on]] & SAT).any()


def test_isolated_stars_stand_alone_on_the_ladder(files):
    truth = Table.read(files / "data/truth.ecsv")
    isolated = truth[truth["isolated"]]
    assert set(isolated["kind"]) == {"star"}
    seen_by_all = isolated[isolated["n_visits"] == 8]
    for rung in set(LADDER):
        assert (np.abs(seen_by_all["snr_ideal"] / rung - 1) < 0.01).sum() >= 2
    for row in isolated:
        east = ((truth["ra"] - row["ra"] + 180) % 360 - 180) * np.cos(np.radians(row["dec"]))
        gap = np.hypot(east, truth["dec"] - row["dec"])[truth["id"] != row["id"]] * 3600
        assert gap.min() > 4.9


def test_the_field_lies_in_four_patches():
    survey = demonstration(1)
    skymap = make_skymap({"header": None, **SKYMAP})
    borders = [
        border(celestial_wcs(wcs_header(survey, visit, number)), survey.ccd_shape)
        for visit in make_visits(survey)
        for number in range(1, survey.n_ccds + 1)
    ]
    touched = {name for names in skymap.touched(borders) for name in names}
    assert touched == {"x0y0", "x1y0", "x0y1", "x1y1"}


def test_larger_surveys_are_made_by_the_same_code():
    survey = Survey(2, n_visits=3, grid=(3, 2), ccd_shape=(64, 96), star_density=40.0)
    sky = make_sky(survey)
    assert (sky.kind == STAR).sum() > 40
    for number in range(1, survey.n_ccds + 1):
        ccd = expose(survey, sky, make_visit(survey, 2), number)
        assert ccd.image.shape == ccd.mask.shape == ccd.variance.shape == (64, 96)
        assert np.isfinite(ccd.image).all()
