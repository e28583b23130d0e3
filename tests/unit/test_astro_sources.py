"""Whole patches: odd ones, spoilt ones, and large ones, of which a first look takes a part."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from coadds import grid, simulate
from patches import finish, moffat, whole
from tessera.astro import bits, sources

SHAPE = (600, 2200)
FWHM = 7.0


def field() -> tuple[np.ndarray, np.ndarray]:
    """Return an image with stars in its left third, and their places."""
    rng = np.random.default_rng(3)
    places = [(x, y) for x in range(30, 600, 45) for y in range(30, SHAPE[0] - 30, 45)]
    image = np.zeros(SHAPE)
    for x, y in places:
        image[y, x] = rng.uniform(1500, 15000)
    image = gaussian_filter(image, FWHM / 2.3548) + rng.normal(size=SHAPE)
    return image.astype(np.float32), np.array(places, float)


def looked(image: np.ndarray, nimage: np.ndarray) -> tuple[np.ndarray, dict]:
    table, facts = sources.measure_patch(
        image, np.ones_like(image), np.zeros(SHAPE, np.uint8), nimage,
        settings=sources.Settings(), pixel_scale=0.27,
    )  # fmt: skip
    return table.loc[table["significance"] > 6, ["x", "y"]].to_numpy(), facts


@pytest.mark.parametrize("deepest", ["left", "right"])
def test_stars_are_found_in_the_part_or_in_the_whole(deepest: str) -> None:
    """In the second case the part with the most exposures has none."""
    image, places = field()
    nimage = np.full(SHAPE, 5, np.int16)
    nimage[:, 660:] = 4 if deepest == "left" else 9
    found, facts = looked(image, nimage)
    # Of a Moffat profile that is fitted to Gaussians.
    assert facts["fwhm"] == pytest.approx(FWHM * 0.27, rel=0.12)
    assert facts["stars"] > 60
    assert cKDTree(found).query(places)[0].max() < 0.5
    assert len(found) < len(places) + 10


def test_what_lies_far_from_the_part_does_not_alter_what_is_found_in_it() -> None:
    """Sources of the part are the same, whatever the rest of a patch looks like."""
    image, _ = field()
    nimage = np.full(SHAPE, 5, np.int16)
    nimage[:, 1536:] = 4
    other = image.copy()
    other[:, 1700:] = np.random.default_rng(4).normal(size=(SHAPE[0], SHAPE[1] - 1700))
    one, same = (looked(each, nimage)[0] for each in (image, other))
    one, same = one[one[:, 0] < 1400], same[same[:, 0] < 1400]
    assert len(one) == len(same)
    assert np.abs(one - same).max() < 0.02


def test_empty_patches():
    shape = (200, 220)
    empty = np.full(shape, np.nan, np.float32)
    nothing = np.full(shape, bits.NODATA, np.uint8)
    table, facts, _ = whole(empty, empty, nothing, np.zeros(shape, np.int16))
    assert len(table) == 0
    assert facts["sky_pixels"] == 0
    blank, _, _ = whole(np.random.default_rng(1).normal(size=shape))
    assert len(blank) == 0
    assert table.columns.tolist() == blank.columns.tolist()
    assert table.dtypes.tolist() == blank.dtypes.tolist()
    for tiny in ((1, 30), (3, 5), (200, 200)):
        assert len(whole(np.zeros(tiny))[0]) == 0
    assert finish({}, {})[0] == {}


def test_columns_and_types():
    image = moffat((150, 150), (70, 80, 3000.0)) + np.random.default_rng(0).normal(size=(150, 150))
    table, _, _ = whole(image)
    assert len(table) == 1
    assert not [name for name in table if name.startswith("_")]
    expected = {"flags": "int32", "mask": "uint8", "n_images": "int16", "extended": "bool"}
    for name, column in table.items():
        assert column.dtype == expected.get(name, "float64"), name
    row = table.iloc[0]
    assert row.flux == row.flux_total
    assert row.mag == pytest.approx(27 - 2.5 * np.log10(row.flux))
    assert row.flux == pytest.approx(3000, rel=0.05)
    assert row["flags"] == sources.FLAGS["ASSUMED"][0]


def test_a_handful_of_pixels():
    image = np.full((200, 200), np.nan, np.float32)
    image[100:112, 100:112] = moffat((12, 12), (6, 6, 500.0))
    table, _, _ = whole(image, np.ones_like(image))
    assert len(table) == 1
    assert table["flags"][0] & sources.FLAGS["TRUNCATED"][0]


def test_cosmic_rays_seen_once_are_no_sources():
    rng = np.random.default_rng(3)
    stars = [(x, y, 2000.0) for x in (60, 140, 220) for y in (60, 140, 220)]
    image = moffat((280, 280), *stars) + rng.normal(size=(280, 280))
    image[100:103, 180] = [60, 300, 40]
    image[180, 30] = 500
    covered, _, _ = whole(image)
    assert ((covered["flags"] & sources.FLAGS["SHARP"][0]) > 0).sum() == 2
    few, _, _ = whole(image, nimage=np.full(image.shape, 2, np.int16))
    assert len(few) == len(stars) == len(covered) - 2
    assert (few["flags"] & sources.FLAGS["FEW"][0] > 0).all()


def test_a_saturated_star_with_spikes_is_one_flagged_source():
    rng = np.random.default_rng(4)
    image = moffat((300, 300), (150, 150, 3e5), (60, 60, 900.0)) + rng.normal(size=(300, 300))
    mask = np.zeros(image.shape, np.uint8)
    mask[140:161, 140:161] = bits.SAT
    mask[100:200, 148:153] = bits.SAT
    image[100:200, 148:153] = np.maximum(image[100:200, 148:153], rng.uniform(20, 900, (100, 5)))
    table, facts, _ = whole(image, mask=mask)
    near = table[np.hypot(table.x - 150, table.y - 150) < 60]
    assert len(near) == 1
    assert near["flags"].iloc[0] & sources.FLAGS["SATURATED"][0]
    assert facts["joined"] > 0
    assert len(table) == 2


def test_a_sky_left_over_is_taken_off():
    rng = np.random.default_rng(5)
    y, x = np.indices((400, 400))
    stars = [(60.0 + 70 * i, 60.0 + 70 * j, 400.0) for i in range(5) for j in range(5)]
    image = moffat((400, 400), *stars) + rng.normal(size=(400, 400))
    flat, _, _ = whole(image)
    tilted, _, _ = whole(image + 2 + 0.003 * x - 0.002 * y)
    assert len(flat) == len(tilted) == 25
    difference = (tilted.flux - flat.flux) / flat.flux_err
    assert abs(difference.mean()) < 0.1
    assert difference.abs().max() < 0.5


def test_a_corner_with_an_uneven_sky_is_not_full_of_sources(monkeypatch):
    rng = np.random.default_rng(7)
    stars = [(60.0 + 45 * i, 60.0 + 45 * j, 200.0) for i in range(12) for j in range(12)]
    image = moffat((600, 600), *stars) + rng.normal(size=(600, 600))
    clouds = gaussian_filter(rng.normal(size=(250, 250)), 6)
    image[:250, :250] += 0.35 * clouds / clouds.std()

    def false() -> int:
        table, _, _ = whole(image)
        away, _ = cKDTree(np.array(stars)[:, :2]).query(table[["x", "y"]])
        assert (away < 1).sum() > 120
        return int((away > 4).sum())

    kept = false()
    monkeypatch.setattr(sources, "_level_noise", lambda filtered, covered: None)
    without = false()
    assert kept <= 12 < 30 < without


def test_crowded_fields_do_not_fail():
    scene = grid(200, 12, 0, [50.0, 100.0])
    coadd = simulate(scene, (200, 200), visits=3, seed=1)
    table, _, _ = whole(coadd.image, coadd.variance)
    assert len(table) > 0.8 * len(scene)
    assert (table["flags"] & sources.FLAGS["DEBLENDED"][0] > 0).mean() > 0.5
    rough = np.random.default_rng(6).exponential(50, (200, 200))
    assert np.isfinite(whole(rough)[0].x).all()
