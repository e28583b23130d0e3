"""Planes on disk: what is written comes back, and bytes that changed are noticed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from exposures import SETTINGS, Exposure, wcs_header
from tessera.astro.bits import BAD, CR, NODATA
from tessera.astro.mosaic import write_mosaic
from tessera.astro.planes import (
    CleanCcd,
    clean_bytes,
    primary_bytes,
    read_ccd,
    read_coadd,
    write_coadd,
)
from tessera.astro.skymap import SkyMap
from tessera.astro.visits import read_visit
from tessera.errors import InputError
from tools import ROOT


def first(path: Path) -> dict:
    return read_visit(str(path), SETTINGS)["ccds"][0]


def test_planes_are_read_as_they_are_stored(tmp_path: Path) -> None:
    exposure = Exposure()
    exposure.image[0] = np.round(exposure.image[0]).astype(np.uint16)
    exposure.image[0][3, 4] = 65000
    exposure.mask[0][5, 6] = 9
    path = exposure.write(tmp_path / "v.fits")
    raw = read_ccd(str(path), first(path))
    assert raw.image.dtype == np.float32
    assert (raw.image == exposure.image[0]).all()
    assert raw.mask is not None
    assert raw.mask[5, 6] == 9
    assert (raw.variance == exposure.variance[0]).all()


@pytest.mark.parametrize("role", ["image", "mask", "variance"])
def test_a_changed_byte_is_noticed(tmp_path: Path, role: str) -> None:
    path = Exposure().write(tmp_path / "v.fits")
    record = first(path)
    with fits.open(path) as hdus:
        place = hdus[record[role]].fileinfo()["datLoc"] + 12345
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"CCD 1: the CHECKSUM of the {role} plane \(HDU \d\)"):
        read_ccd(str(path), record)


def test_a_compressed_file_with_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    with fits.open(Exposure().write(tmp_path / "v.fits")) as hdus:
        packed = [fits.CompImageHDU(h.data, h.header) for h in hdus[1:]]
        path = tmp_path / "v.fits.fz"
        fits.HDUList([hdus[0], *packed]).writeto(path, checksum=True)
    record = first(path)
    read_ccd(str(path), record)
    with fits.open(path) as hdus:
        info = hdus[1].fileinfo()
    content = bytearray(path.read_bytes())
    content[info["datLoc"] + info["datSpan"] - 4000] ^= 4
    path.write_bytes(content)
    with pytest.raises(InputError, match="CHECKSUM"):
        read_ccd(str(path), record)


def test_a_mask_of_fractions_is_refused(tmp_path: Path) -> None:
    exposure = Exposure()
    exposure.mask[0] = exposure.mask[0].astype(np.float32)
    path = exposure.write(tmp_path / "v.fits")
    with pytest.raises(InputError, match="holds float32 numbers, not bits; store it as whole"):
        read_ccd(str(path), first(path))


def test_cleaned_planes_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    image = rng.normal(0, 20, (300, 310)).astype(np.float32)
    image[100:120, 100:120] += 1e5
    variance = (400 + np.maximum(image, 0)).astype(np.float32)
    mask = np.where(rng.random(image.shape) < 0.01, CR, 0).astype(np.uint8)
    content = clean_bytes(image, mask, variance, wcs_header(), 20.0)
    assert content == clean_bytes(image.copy(), mask.copy(), variance.copy(), wcs_header(), 20.0)
    head = primary_bytes(fits.Header({"VISIT": "v"}))
    (tmp_path / "c.fits.fz").write_bytes(head + content)
    ccd = CleanCcd(str(tmp_path / "c.fits.fz"), len(head), len(content))
    part, spread, bits = ccd.planes(50, 200, 20, 290)
    assert (bits == mask[50:200, 20:290]).all()
    error = part - image[50:200, 20:290]
    assert np.abs(error).max() <= 20 / 32 + 0.01
    assert abs(error.mean()) < 20 / 32 / np.sqrt(3) * 5 / np.sqrt(error.size)
    assert np.abs(spread / variance[50:200, 20:290] - 1).max() < 0.01
    with fits.open(tmp_path / "c.fits.fz") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "IMAGE", "MASK", "VARIANCE"]
        assert hdus["MASK"].header["MP_CR"] == 3
        assert hdus["IMAGE"].header["CTYPE1"] == "RA---TAN"


def test_no_clock_shows_in_the_bytes() -> None:
    """Tiles of too wide a range for steps are gzipped, with the time in each header."""
    variance = np.ones((300, 310), np.float32)
    variance[5, 5] = 1e30
    planes = np.zeros_like(variance), np.zeros(variance.shape, np.uint8), variance
    content = clean_bytes(*planes, wcs_header(), 1.0)
    assert b"GZIP_COMPRESSED_DATA" in content
    time.sleep(1.1)
    assert clean_bytes(*planes, wcs_header(), 1.0) == content


def coadd(shape: tuple[int, int], start: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(start)
    image = rng.normal(size=shape).astype(np.float32)
    image[:3] = np.nan
    return {
        "IMAGE": image,
        "MASK": np.full(shape, BAD, np.uint8),
        "VARIANCE": np.abs(image),
        "NIMAGE": np.full(shape, 7, np.int16),
    }


def test_dithers_are_there_before_any_thread_needs_them() -> None:
    """astropy makes its table without a lock; its last entry is told by FITS 4.0, appendix I."""
    look = f"""
import ctypes, sys
sys.path.insert(0, {str(ROOT / "scripts")!r})
import tessera.astro.planes
from astropy.io.fits.hdu.compressed import _compression
table = ctypes.POINTER(ctypes.c_float).in_dll(ctypes.CDLL(_compression.__file__), "fits_rand_value")
print(table[9999] if table else "not made")
"""
    run = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=False)
    assert float(run.stdout) == pytest.approx(1043618065 / 2147483647, rel=1e-7), run.stderr


def test_a_coadd_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    planes = coadd((90, 80), 0)
    write_coadd(tmp_path / "p.fits.fz", planes, wcs_header(), 27.0)
    write_coadd(tmp_path / "again.fits.fz", planes, wcs_header(), 27.0)
    assert (tmp_path / "p.fits.fz").read_bytes() == (tmp_path / "again.fits.fz").read_bytes()
    back, header = read_coadd(tmp_path / "p.fits.fz")
    assert list(back) == list(planes)
    for name, plane in planes.items():
        assert back[name].tobytes() == plane.tobytes()
        assert back[name].dtype == plane.dtype
    assert header["MAGZERO"] == 27.0


def test_a_mosaic_holds_each_patch_in_its_place(tmp_path: Path) -> None:
    skymap = SkyMap(wcs_header(), 80, 10, (100, 150))
    windows = {"x0y0": (0, 80, 0, 80), "x1y1": (70, 100, 70, 150)}
    expected = np.full((100, 150), np.nan, np.float32)
    paths = {}
    for name, (y0, y1, x0, x1) in windows.items():
        planes = coadd((y1 - y0, x1 - x0), x0)
        paths[name] = str(tmp_path / f"{name}.fits.fz")
        write_coadd(Path(paths[name]), planes, skymap.header(windows[name]), 27.0)
        expected[y0:y1, x0:x1] = planes["IMAGE"]
    write_mosaic(tmp_path / "mosaic.fits", paths, windows, skymap)
    with fits.open(tmp_path / "mosaic.fits") as hdus:
        hdus.verify("exception")
        assert [hdu.name for hdu in hdus[1:]] == ["IMAGE", "MASK", "VARIANCE", "NIMAGE"]
        assert np.array_equal(hdus["IMAGE"].data, expected, equal_nan=True)
        assert hdus["MASK"].data[90, 10] == NODATA
        assert hdus["NIMAGE"].data.sum() == 7 * (6400 + 2400 - 100)
        assert hdus["IMAGE"].header["CRPIX1"] == wcs_header()["CRPIX1"]
