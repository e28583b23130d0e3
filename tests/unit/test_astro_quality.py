"""Quality figures: pairs against separations by astropy, known offsets recovered, all counted."""

from __future__ import annotations

import json

import astropy.units as u
import numpy as np
import pandas as pd
import pytest
from astropy.coordinates import SkyCoord, match_coordinates_sky
from astropy.wcs import WCS

from tessera.astro.accounting import quarantine, quarantine_tsv
from tessera.astro.quality import (
    BRIGHT_SNR,
    Comparison,
    compare_with,
    depth,
    match,
    quality,
    robust,
)
from tessera.astro.sources import FLAGS
from tessera.astro.thumbnail import thumbnail

ZERO_POINT = 27.0


def truth(ra: float, dec: float, n: int = 3000, seed: int = 1) -> pd.DataFrame:
    """Return stars within half a degree of a point."""
    rng = np.random.default_rng(seed)
    around = SkyCoord(ra, dec, unit="deg").directional_offset_by(
        rng.uniform(0, 360, n) * u.deg, 0.5 * np.sqrt(rng.random(n)) * u.deg
    )
    return pd.DataFrame({"ra": around.ra.deg, "dec": around.dec.deg, "mag": rng.uniform(18, 26, n)})


def catalogue(stars: pd.DataFrame, sigma: float = 1.0, seed: int = 2) -> pd.DataFrame:
    """Return a catalogue of the stars, shifted by (30, -20) mas and 0.02 mag, with noise."""
    rng = np.random.default_rng(seed)
    n = len(stars)
    here = SkyCoord(stars["ra"], stars["dec"], unit="deg")
    there = here.spherical_offsets_by(rng.normal(30, 5, n) * u.mas, rng.normal(-20, 5, n) * u.mas)
    expected = 10 ** (0.4 * (ZERO_POINT - stars["mag"] - 0.02))
    flux = expected + rng.normal(0, sigma, n)
    flux_err = np.full(n, sigma)
    with np.errstate(invalid="ignore"):
        mag = ZERO_POINT - 2.5 * np.log10(flux)
    return pd.DataFrame(
        {
            "ra": there.ra.deg,
            "dec": there.dec.deg,
            "patch": "x0y0",
            "flux": flux,
            "flux_err": flux_err,
            "mag": mag,
            "snr": flux / flux_err,
            "extended": False,
            "flags": np.zeros(n, np.int32),
        }
    )


@pytest.mark.parametrize(("ra", "dec"), [(0.0, -5.0), (123.0, 60.0), (40.0, 90.0), (10.0, -89.9)])
def test_pairs_are_those_of_astropy(ra: float, dec: float) -> None:
    stars = truth(ra, dec)
    found = catalogue(stars).sample(frac=0.9, random_state=3).reset_index(drop=True)
    pairs = match(found, stars, 1.0)

    ours = SkyCoord(found["ra"], found["dec"], unit="deg")
    theirs = SkyCoord(stars["ra"], stars["dec"], unit="deg")
    i, separation, _ = match_coordinates_sky(theirs, ours)
    back, _, _ = match_coordinates_sky(ours, theirs)
    wanted = np.flatnonzero((separation < 1.0 * u.arcsec) & (back[i] == np.arange(len(stars))))
    assert len(wanted) > 0.85 * len(stars)
    np.testing.assert_array_equal(pairs["reference"], wanted)
    np.testing.assert_array_equal(pairs["catalogue"], i[wanted])
    np.testing.assert_allclose(pairs["separation"], separation[wanted].arcsec, atol=1e-6)
    east, north = theirs[wanted].spherical_offsets_to(ours[i[wanted]])
    np.testing.assert_allclose(pairs["dra"], east.to_value(u.mas), atol=1e-3)
    np.testing.assert_allclose(pairs["ddec"], north.to_value(u.mas), atol=1e-3)


def test_one_counterpart_each() -> None:
    stars = pd.DataFrame({"ra": [10.0, 10.0, 10.0001], "dec": 0.0, "mag": [20.0, 20.0, 21.0]})
    found = catalogue(stars[:1])
    pairs = match(found, stars, 1.0)
    assert len(pairs) == 1
    assert pairs["separation"][0] < 0.1
    for empty in (match(found[:0], stars, 1.0), match(found, stars[:0], 1.0)):
        assert len(empty) == 0
        assert list(empty) == list(pairs)


def facts(visit: str, *problems: dict[str, str] | None, whole: dict[str, str] | None = None):
    ccds = [
        {
            "ccd": str(number),
            "problem": problem,
            **({} if problem else {"sky": 500.0, "noise": 20.0, "noise_ratio": 1.01}),
            **({} if problem else {"fwhm": 4.0, "pixel_scale": 0.25, "zero_point": 25.0}),
            **({} if problem else {"n_pixels": 1000, "n_bad": 1, "n_sat": 2, "n_cr": 3}),
        }
        for number, problem in enumerate(problems, 1)
    ]
    return {"visit": visit, "problem": whole, "ccds": ccds}


BLANK = {"file": "a.fits", "place": "CCD 2", "what": "is blank", "remedy": "leave it out"}
TORN = {"file": "d.fits", "place": "", "what": "is no FITS\tfile", "remedy": "copy it anew"}
VISITS = [
    facts("a", None, BLANK),
    facts("b", None, None),
    facts("c", None),
    facts("d", whole=TORN),
]
READ = [("a", "1"), ("a", "2"), ("b", "1"), ("b", "2"), ("c", "1"), ("d", float("nan"))]
COADDS = {
    "x0y0": {"visits": ["a", "b"], "median_n_images": 2.0},
    "x1y0": {"visits": ["b"], "median_n_images": float("nan")},
}

POOLED = {"level": 3.7, "noise_peaks": 1.5, "stars": 30, "fwhm": 1.1}


def full(stars: pd.DataFrame | None, found: pd.DataFrame, **changes):
    comparison = None
    if stars is not None:
        where = np.ones(len(stars), bool)
        comparison = Comparison(stars, where, match(found, stars, 1.0), 1.0)
    given = {"read": READ, "visits": VISITS, "coadds": COADDS, "pooled": POOLED}
    given["zero_point"] = ZERO_POINT
    return quality(found, comparison, **{**given, **changes})


def test_known_offsets_scatter_and_completeness_are_recovered() -> None:
    stars = truth(0.0, -5.0, 6000)
    found = catalogue(stars)
    # A tenth of what lies between 22 and 23 mag is not found.
    faint = np.flatnonzero((stars["mag"] >= 22) & (stars["mag"] < 23))
    found = found.drop(index=faint[::10])
    # What is flawed or extended does not count among the bright.
    spoilt = found.index[found["snr"] > 1000][::3]
    found.loc[spoilt, "flags"] = FLAGS["SATURATED"][0]
    found.loc[spoilt, "mag"] += 1.0
    found = found.reset_index(drop=True)
    result = full(stars, found)
    json.loads(json.dumps(result, allow_nan=False))
    bright = result["reference"]["bright"]
    assert bright["n"] == np.count_nonzero((found["snr"] > BRIGHT_SNR) & (found["flags"] == 0))
    assert bright["ra_offset_mas"] == pytest.approx(30, abs=0.6)
    assert bright["dec_offset_mas"] == pytest.approx(-20, abs=0.6)
    assert bright["ra_scatter_mas"] == pytest.approx(5, abs=0.4)
    assert bright["dec_scatter_mas"] == pytest.approx(5, abs=0.4)
    assert bright["mag_offset"] == pytest.approx(0.02, abs=0.001)
    bins = {each["mag"][0]: each for each in result["reference"]["magnitudes"]}
    assert list(bins) == list(np.arange(18.0, 26.0))
    assert bins[22.0]["completeness"] == pytest.approx(0.9, abs=0.002)
    assert bins[21.0]["completeness"] == 1.0
    assert bins[25.0]["pull_scatter"] == pytest.approx(1.0, abs=0.1)
    assert sum(each["n_covered"] for each in bins.values()) == len(stars)
    missed = len(faint[::10])
    assert result["reference"]["completeness"] == pytest.approx(1 - missed / len(stars))
    assert result["sources"]["n"] == len(found)
    assert result["sources"]["n_saturated"] == len(spoilt)


def test_depth_is_the_magnitude_at_five_sigma() -> None:
    stars = truth(0.0, 0.0, 2000)
    found = catalogue(stars, sigma=0.5)
    five_sigma = ZERO_POINT - 2.5 * np.log10(5 * 0.5)
    assert depth(found, ZERO_POINT) == pytest.approx(five_sigma)
    bright = found["snr"] > 50
    found.loc[bright, "flux_err"] *= 10  # photons of the source itself
    assert depth(found, ZERO_POINT) == pytest.approx(five_sigma)
    assert depth(found[bright], ZERO_POINT) is None
    assert full(None, found[:0])["depth"]["five_sigma_mag"] is None


def test_everything_read_is_accounted_for() -> None:
    result = full(None, catalogue(truth(0.0, 0.0, 50)))
    json.loads(json.dumps(result, allow_nan=False))
    assert result["reference"] is None
    assert result["accounting"] == {
        "visits": {"read": 4, "used": 2, "outside": 1, "set_aside": 1},
        "ccds": {"read": 5, "used": 3, "outside": 1, "set_aside": 1},
        "reasons": {"is blank": 1, "is no FITS\tfile": 1},
    }
    assert result["patches"]["x1y0"]["median_n_images"] is None
    assert result["visits"][0]["seeing_arcsec"] == 1.0
    assert result["visits"][0]["cr_share"] == 0.003
    assert result["visits"][3]["sky"] is None
    rows = quarantine(VISITS)
    assert [(row["visit"], row["ccd"]) for row in rows] == [("a", "2"), ("d", "")]
    lines = quarantine_tsv(rows).splitlines()
    assert [line.count("\t") for line in lines] == [5, 5, 5]
    assert lines[2] == "d\t\td.fits\t\tis no FITS file\tcopy it anew"


@pytest.mark.parametrize("wrong", [READ[:-1], [*READ, ("e", "1")], [*READ, ("a", "1")]])
def test_what_is_not_accounted_for_is_an_error(wrong) -> None:
    with pytest.raises(ValueError, match="not accounted for"):
        full(None, catalogue(truth(0.0, 0.0, 5)), read=wrong)


def test_reference_counts_only_where_there_is_data() -> None:
    sky = WCS(naxis=2)
    sky.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    sky.wcs.crval, sky.wcs.crpix, sky.wcs.cdelt = [0.0, -5.0], [1, 1], [-1e-4, 1e-4]
    windows = {"x0y0": (-1500, 1500, -1500, 1500), "x1y0": (-1500, 1500, 1400, 4400)}
    images = {}
    for name, (y0, y1, x0, x1) in windows.items():
        y, x = np.mgrid[y0:y1, x0:x1]
        images[name] = thumbnail(np.where((y > 0) & (x < 3000), 1.0, np.nan), 500)
    rng = np.random.default_rng(5)
    x, y = rng.uniform(-2000, 5000, 6000), rng.uniform(-2000, 2000, 6000)
    ra, dec = sky.all_pix2world(x, y, 0)
    # The other side of the sky has no place on the plane.
    reference = pd.DataFrame({"ra": [*ra, 180.0, 90.0], "dec": [*dec, 5.0, 0.0], "mag": 20.0})
    nothing = catalogue(truth(0.0, -5.0, 5))[:0]
    inside = compare_with(nothing, reference, sky, windows, images).covered
    assert not inside[-2:].any()
    # Up to two blocks of six pixels at the border may go either way.
    surely = (x > -1485) & (x < 2985) & (y > 15) & (y < 1485)
    never = (x < -1500) | (x > 3003) | (y < -3) | (y > 1500)
    assert inside[:-2][surely].all()
    assert not inside[:-2][never].any()
    assert surely.sum() > 1000
    assert never.sum() > 1000


def test_robust_figures_ignore_outliers_and_nan() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(3, 2, 10_000)
    values[:500] = 1e6
    values[500:600] = np.nan
    median, scatter = robust(values)
    assert median == pytest.approx(3, abs=0.2)
    assert scatter == pytest.approx(2, rel=0.1)
    assert np.isnan(robust([])).all()
