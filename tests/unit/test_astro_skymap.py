"""The sky map: patches tile it, and exactly those that an exposure touches are found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from exposures import SHAPE, wcs_header
from tessera.astro.skymap import SkyMap, make_skymap
from tessera.astro.wcsheader import border, celestial_wcs
from tessera.errors import InputError

PATCHES: dict[str, Any] = {
    "header": None,
    "ra": 0.0,
    "dec": -5.0,
    "pixel_scale": 0.27,
    "patch_pixels": 200,
    "overlap_pixels": 20,
}


def grid(path: Path, **changed: Any) -> str:
    header = fits.Header({"SIMPLE": True, "BITPIX": -32, "NAXIS": 2, "NAXIS1": 610, "NAXIS2": 500})
    header.update(wcs_header((500, 610)))
    header.update(changed)
    path.write_text(header.tostring(sep="\n") + "\nEND\n")
    return str(path)


def test_the_centre_of_the_middle_patch_is_the_point_asked_for() -> None:
    skymap = make_skymap(PATCHES)
    y0, y1, x0, x1 = skymap.window("x0y0")
    ra, dec = skymap.wcs.all_pix2world((x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2, 0)
    assert (float(ra) % 360, float(dec)) == pytest.approx((0, -5), abs=1e-12)
    assert skymap.pixel_scale == pytest.approx(0.27, rel=1e-9)


def test_neighbours_share_what_was_asked_for_and_one_sky() -> None:
    skymap = make_skymap(PATCHES)
    left, right = skymap.window("x0y0"), skymap.window("x1y0")
    assert left[3] - right[2] == 20
    worlds = []
    for window in (left, right):
        wcs = celestial_wcs(skymap.header(window))
        worlds.append(wcs.all_pix2world(right[2] + 3 - window[2], 7, 0))
    assert np.allclose(worlds[0], worlds[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0])
@pytest.mark.parametrize("ra", [0.0, 359.999, 120.0])
@pytest.mark.parametrize("dec", [-5.0, 60.0, 89.9999])
def test_touched_patches_are_those_that_hold_a_pixel(angle: float, ra: float, dec: float) -> None:
    skymap = make_skymap(PATCHES | {"ra": ra, "dec": dec})
    rng = np.random.default_rng(3)
    for _ in range(5):
        shift = tuple(rng.uniform(-500, 500, 2))
        wcs = celestial_wcs(wcs_header(SHAPE, ra, dec, angle, shift))
        names = set(skymap.touched([border(wcs, SHAPE)])[0])
        y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
        px, py = skymap.wcs.all_world2pix(*wcs.all_pix2world(x.ravel(), y.ravel(), 0), 0)
        held = set()
        for i in range(-6, 7):
            for j in range(-6, 7):
                y0, y1, x0, x1 = skymap.window(f"x{i}y{j}")
                inside = (px > x0 - 0.5) & (px < x1 - 0.5) & (py > y0 - 0.5) & (py < y1 - 0.5)
                if inside.any():
                    held.add(f"x{i}y{j}")
        assert held <= names
        assert len(names) <= len(held) + 4  # by a hair, within the reach of a distortion


def test_the_other_side_of_the_sky_touches_nothing() -> None:
    skymap = make_skymap(PATCHES)
    away = celestial_wcs(wcs_header(SHAPE, 180.0, 5.0))
    near_the_horizon = celestial_wcs(wcs_header(SHAPE, 91.0, 0.0))
    assert skymap.touched([border(away, SHAPE), border(near_the_horizon, SHAPE)]) == [[], []]


def covered(skymap: SkyMap, size: tuple[int, int]) -> np.ndarray:
    seen = np.zeros(size, int)
    rows, columns = skymap._counts() or (0, 0)
    for i in range(columns):
        for j in range(rows):
            y0, y1, x0, x1 = skymap.window(f"x{i}y{j}")
            seen[y0:y1, x0:x1] += 1
    return seen


def test_patches_cover_a_headers_grid(tmp_path: Path) -> None:
    skymap = make_skymap(PATCHES | {"header": grid(tmp_path / "grid.hdr")})
    assert skymap.size == (500, 610)
    seen = covered(skymap, (500, 610))
    assert seen.min() == 1
    assert seen.max() == 4
    wcs = celestial_wcs(skymap.header((0, 10, 0, 10)))
    assert wcs.wcs.crpix[0] == wcs_header((500, 610))["CRPIX1"]


def test_a_fits_image_gives_its_grid(tmp_path: Path) -> None:
    data = np.zeros((500, 610), np.float32)
    image = fits.ImageHDU(data, wcs_header((500, 610)))
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(tmp_path / "g.fits")
    text = make_skymap(PATCHES | {"header": grid(tmp_path / "grid.hdr")})
    assert make_skymap(PATCHES | {"header": str(tmp_path / "g.fits")}).cards == text.cards


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"ra": None, "pixel_scale": None}, "neither header nor ra, pixel_scale is set"),
        ({"overlap_pixels": 100}, "overlap_pixels 100 is not below half of patch_pixels 200"),
        ({"header": "none.hdr"}, "none.hdr: does not exist; correct astro.skymap.header"),
    ],
)
def test_faults_of_the_section(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as error:
        make_skymap(PATCHES | changed)
    assert words in str(error.value)


def test_faults_of_a_header(tmp_path: Path) -> None:
    def refused(path: Path) -> str:
        with pytest.raises(InputError) as error:
            make_skymap(PATCHES | {"header": str(path)})
        return str(error.value)

    (tmp_path / "noise").write_bytes(bytes(range(256)) * 20)
    assert "holds no FITS header that can be read" in refused(tmp_path / "noise")
    assert "no NAXIS1 and NAXIS2 above 0" in refused(
        Path(grid(tmp_path / "size.hdr", NAXIS1=0)),
    )
    assert "the projection is GLON-TAN" in refused(
        Path(grid(tmp_path / "p.hdr", CTYPE1="GLON-TAN"))
    )
