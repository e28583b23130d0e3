"""Headers of visits: detectors told apart, planes paired, every fault in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from exposures import SETTINGS, SHAPE, Exposure
from tessera.astro.index import COLUMNS, index_table
from tessera.astro.visits import header_reader, list_visits, read_visit
from tessera.errors import InputError, Problem
from tools import ROOT


def read(tmp_path: Path, spoil: Callable[[Exposure], None], **changed: Any) -> dict[str, Any]:
    exposure = Exposure()
    spoil(exposure)
    return read_visit(str(exposure.write(tmp_path / "v.fits")), SETTINGS | changed)


def told(visit: dict[str, Any]) -> list[str]:
    problems = [visit["problem"], *(ccd["problem"] for ccd in visit["ccds"]), *visit["stops"]]
    return [str(Problem(**problem)) for problem in problems if problem]


def test_a_sound_visit(tmp_path: Path) -> None:
    visit = read(tmp_path, lambda e: None)
    assert told(visit) == []
    first, second = visit["ccds"]
    assert (first["ccd"], first["image"], first["mask"], first["variance"]) == ("1", 1, 2, 3)
    assert (second["ccd"], second["image"], second["mask"], second["variance"]) == ("2", 4, 5, 6)
    assert first["shape"] == list(SHAPE)
    assert (first["gain"], first["read_noise"], first["zero_point"]) == (2.0, 6.0, 26.0)
    assert first["datasum"] == fits.getheader(tmp_path / "v.fits", 1)["DATASUM"]
    corner = np.array(first["border"])[0]
    ra, dec = np.radians(0.0 + 90 * 0.27 / 3600 / np.cos(np.radians(5))), np.radians(-5.0075)
    assert np.allclose(corner[1:], [np.cos(dec) * np.sin(ra), np.sin(dec)], atol=2e-7)


def test_detectors_told_apart_by_what_follows_the_name(tmp_path: Path) -> None:
    path = Exposure().write(tmp_path / "v.fits")
    with fits.open(path) as hdus:
        order = [hdus[i].copy() for i in (4, 6, 5, 1, 3, 2)]
        for hdu, number in zip(order, (2, 2, 2, 1, 1, 1), strict=True):
            hdu.name = f"{hdu.name}_N{number}"
            del hdu.header["CCDNUM"], hdu.header["EXTVER"]
        fits.HDUList([hdus[0].copy(), *order]).writeto(tmp_path / "w.fits")
    visit = read_visit(str(tmp_path / "w.fits"), SETTINGS)
    assert told(visit) == []
    found = {c["ccd"]: (c["image"], c["mask"], c["variance"]) for c in visit["ccds"]}
    assert found == {"N2": (1, 3, 2), "N1": (4, 6, 5)}


def test_detectors_told_apart_by_version_or_place(tmp_path: Path) -> None:
    def nameless(e: Exposure) -> None:
        for header in e.header:
            del header["CCDNUM"]

    visit = read(tmp_path, nameless)
    assert [c["ccd"] for c in visit["ccds"]] == ["1", "2"]
    assert [c["variance"] for c in visit["ccds"]] == [3, 6]


def test_keys_are_sought_in_the_primary_header_too(tmp_path: Path) -> None:
    def move(e: Exposure) -> None:
        for header in e.header:
            e.primary["MAGZERO"] = header.pop("MAGZERO")

    visit = read(tmp_path, move)
    assert [c["zero_point"] for c in visit["ccds"]] == [26.0, 26.0]
    assert told(visit) == []


def test_compressed_files(tmp_path: Path) -> None:
    with fits.open(Exposure().write(tmp_path / "v.fits")) as hdus:
        packed = [fits.CompImageHDU(h.data, h.header) for h in hdus[1:]]
        fits.HDUList([hdus[0], *packed]).writeto(tmp_path / "v.fits.fz")
    visit = read_visit(str(tmp_path / "v.fits.fz"), SETTINGS)
    assert told(visit) == []
    assert [c["shape"] for c in visit["ccds"]] == [list(SHAPE)] * 2


def no_zero_point(e: Exposure) -> None:
    del e.header[1]["MAGZERO"]


def no_gain(e: Exposure) -> None:
    e.with_variance = False
    del e.header[0]["GAIN"]


def zero_gain(e: Exposure) -> None:
    e.with_variance = False
    e.header[0]["GAIN"] = 0.0


def no_read_noise(e: Exposure) -> None:
    e.with_variance = False
    del e.header[0]["RDNOISE"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (no_zero_point, "HDU 4 (IMAGE, CCD 2): there is no zero point (key MAGZERO); write it"),
        (no_gain, "neither a variance plane nor a gain (key GAIN); write key GAIN"),
        (zero_gain, "neither a variance plane nor a useful (0) gain (key GAIN)"),
        (no_read_noise, "neither a variance plane nor a read noise (key RDNOISE)"),
    ],
)
def test_what_no_result_may_be_made_without(
    tmp_path: Path, spoil: Callable[[Exposure], None], words: str
) -> None:
    visit = read(tmp_path, spoil)
    assert len(visit["stops"]) == 1
    assert words in told(visit)[0]
    assert str(tmp_path / "v.fits") in told(visit)[0]


def no_wcs(e: Exposure) -> None:
    for key in ("CTYPE1", "CTYPE2"):
        del e.header[1][key]


def strange_projection(e: Exposure) -> None:
    e.header[1]["CTYPE1"], e.header[1]["CTYPE2"] = "RA---AIT", "DEC--AIT"


def singular(e: Exposure) -> None:
    e.header[1]["CD1_1"] = e.header[1]["CD1_2"] = 0.0


def twice(e: Exposure) -> None:
    e.header[1]["CCDNUM"] = 1


def other_shape(e: Exposure) -> None:
    e.mask[1] = e.mask[1][:-1]


def cut(e: Exposure) -> None:
    e.raw = lambda content: content[: len(content) * 2 // 3]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (no_wcs, "there is no celestial WCS (CTYPE, CRVAL, CRPIX); solve the astrometry"),
        (strange_projection, "the projection is RA---AIT, DEC--AIT; convert it"),
        (singular, "the WCS is singular"),
        (twice, "CCD 1 is already in HDU 1; give each its own CCDNUM or EXTVER"),
        (other_shape, "the mask plane has shape (199, 180), the image (200, 180)"),
        (cut, "the file ends within the image plane (HDU 4) of this CCD; copy the file anew"),
    ],
)
def test_a_bad_detector_is_set_aside_and_the_other_stays(
    tmp_path: Path, spoil: Callable[[Exposure], None], words: str
) -> None:
    visit = read(tmp_path, spoil)
    assert visit["problem"] is None
    assert visit["stops"] == []
    assert visit["ccds"][0]["problem"] is None
    assert "HDU 4" in told(visit)[0]
    assert words in told(visit)[0]


def test_files_that_are_none(tmp_path: Path) -> None:
    def text(e: Exposure) -> None:
        e.raw = lambda content: b"not FITS\n"

    assert "is not a FITS file that can be read" in told(read(tmp_path, text))[0]
    hdus = {"image": "SCI", "mask": None, "variance": None}
    visit = read(tmp_path, lambda e: None, hdus=hdus)
    assert "no image HDU is named SCI (found IMAGE, MASK, VARIANCE)" in told(visit)[0]


def test_tan_with_pv_terms_is_read_as_tpv(tmp_path: Path) -> None:
    def distort(kind: str) -> Callable[[Exposure], None]:
        def spoil(e: Exposure) -> None:
            for header in e.header:
                header["CTYPE1"], header["CTYPE2"] = f"RA---{kind}", f"DEC--{kind}"
                header["PV1_1"] = header["PV2_1"] = 1.0
                header["PV1_4"], header["PV2_6"] = 0.3, -0.2

        return spoil

    tan, tpv, plain = (
        np.array(read(tmp_path, spoil)["ccds"][1]["border"])
        for spoil in (distort("TAN"), distort("TPV"), lambda e: None)
    )
    assert (tan == tpv).all()
    assert np.abs(tan - plain).max() > 1e-7


def test_lists_of_visits(tmp_path: Path) -> None:
    for name in ("a1", "b2"):
        Exposure().write(tmp_path / f"{name}.fits")
    pattern = str(tmp_path / "*.fits")
    assert list(list_visits(pattern, ROOT / "schemas")) == ["a1", "b2"]
    (tmp_path / "visits.tsv").write_text("visit\tfile\nx\ta1.fits\nx\tb2.fits\n")
    with pytest.raises(InputError, match="visit x is already in row 2"):
        list_visits(str(tmp_path / "visits.tsv"), ROOT / "schemas")
    (tmp_path / "a1.fit").write_bytes(b"")
    with pytest.raises(InputError, match=r"is visit a1 as .*a1\.fit is"):
        list_visits(str(tmp_path / "a1.*"), ROOT / "schemas")
    with pytest.raises(InputError, match="no file matches"):
        list_visits(str(tmp_path / "none*.fits"), ROOT / "schemas")
    with pytest.raises(InputError, match="nothing to work on"):
        list_visits(None, ROOT / "schemas")


def test_the_reader_is_known_by_its_settings() -> None:
    one, other = header_reader(SETTINGS), header_reader(SETTINGS | {"gain_key": "EGAIN"})
    assert one.__name__ != other.__name__
    assert one.__name__ == header_reader(dict(SETTINGS)).__name__


def test_the_index_accounts_for_every_detector(tmp_path: Path) -> None:
    good = read(tmp_path, lambda e: None)
    bad = read(tmp_path, no_wcs)
    table = index_table({"a": "f", "b": "g"}, {"f": good, "g": bad})
    assert table.column_names == list(COLUMNS)
    rows = table.to_pylist()
    assert [(row["visit"], row["ccd"]) for row in rows] == [
        *(("a", "1"), ("a", "2"), ("b", "1"), ("b", "2"))
    ]
    assert [row["problem"] is None for row in rows] == [True, True, True, False]
    length = np.linalg.norm([[row[f"ur_{axis}"] for axis in "xyz"] for row in rows[:3]], axis=1)
    assert np.allclose(length, 1, atol=1e-11)
    assert abs(rows[0]["dec"] + 5) < 1e-4
    assert min(rows[0]["ra"], 360 - rows[0]["ra"]) < 1e-4
