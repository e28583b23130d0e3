"""The quality page: self-contained, rightly oriented, escaped, the same bytes every time."""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from itertools import permutations, product
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from nibabel.orientations import apply_orientation, inv_ornt_aff

from tessera.figures import AxialView, house_style, mosaic
from tessera.neuro.qc import direction_colours, qc_page, quarantine_page
from tessera.neuro.readings import read_figures
from tessera.neuro.summary import SubjectResult, VolumeStatistics, find_shells, summarise


@pytest.fixture(scope="module")
def result() -> SubjectResult:
    """Return a small ellipsoid with fluid in the middle and one invalid voxel."""
    shape = (10, 14, 12)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    radius = np.sqrt((grid**2).sum(0))
    mask, fluid = radius < 0.95, radius < 0.35
    fa = np.where(fluid, 0.02, 0.45).astype(np.float32)
    md = np.where(fluid, 3e-3, 0.8e-3).astype(np.float32)
    invalid = np.zeros(shape, bool)
    invalid[5, 3, 6] = True
    fa[invalid] = md[invalid] = np.nan
    bvals = np.r_[0.0, 0.0, np.full(30, 1000.0), np.full(30, 2000.0)]
    rng = np.random.Generator(np.random.Philox(7))
    bvecs = rng.normal(size=(62, 3))
    bvecs /= np.linalg.norm(bvecs, axis=1, keepdims=True)
    v1 = np.zeros((3, *shape), np.float32)
    v1[0] = 1
    mean = 1000 * np.exp(-bvals * 7e-4) * (1 + 0.01 * rng.normal(size=62))
    zeros = np.zeros(62, np.int64)
    return SubjectResult(
        subject="01",
        session="a",
        affine=np.array([[-2, 0, 0, 11], [0, 2, 0, -13], [0, 0, 3, -13], [0, 0, 0, 1.0]]),
        bvals=bvals,
        bvecs=bvecs,
        fitted=bvals <= 1500,
        b0_max=50,
        mean_b0=np.where(mask, 1000, 20).astype(np.float32),
        mask=mask,
        invalid=invalid,
        sigma=np.full(shape, 40, np.float32),
        maps={
            "fa": fa,
            "md": md,
            "ad": md * 1.5,
            "rd": md * 0.75,
            "s0": np.full(shape, 1000, np.float32),
            "residual": np.full(shape, 38, np.float32),
            "v1": v1,
        },
        volumes=VolumeStatistics(mean, zeros, zeros),
        n_nonpositive_definite=2,
        estimator="wls_fitted",
        denoise="nlm",
    )


@pytest.fixture(scope="module")
def page(result: SubjectResult) -> str:
    return qc_page(result, summarise(result))


class _Reader(HTMLParser):
    """Collect the tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def _images(page: str) -> list[bytes]:
    return [b64decode(code) for code in re.findall(r'src="data:image/png;base64,([^"]+)"', page)]


def _chunks(png: bytes) -> list[bytes]:
    found, at = [], 8
    while at < len(png):
        found.append(png[at + 4 : at + 8])
        at += 12 + int.from_bytes(png[at : at + 4], "big")
    return found


def test_page_holds_everything_and_asks_for_nothing(page: str) -> None:
    reader = _Reader(page)
    images = [attributes for tag, attributes in reader.tags if tag == "img"]
    assert len(images) == 8
    assert all(image["alt"] and image["src"].startswith("data:image/png") for image in images)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in reader.tags}
    assert not re.search(r"(https?:)?//[a-z]", re.sub(r"base64,[^\"]+", "", page))
    assert "sub-01_ses-a" in reader.text
    assert "2 × 2 × 3 mm" in reader.text  # noqa: RUF001
    assert "0 (×2), 1000 (×30), 2000 (×30)" in reader.text  # noqa: RUF001
    assert "62, of which 32 fitted" in reader.text


def test_page_shows_the_numbers_of_the_table(result: SubjectResult, page: str) -> None:
    row: dict[str, Any] = summarise(result)
    text = _Reader(page).text
    for shown in (
        f"{row['mask_ml']:.4g} mL",
        f"{row['snr_b0']:.4g}",
        f"{row['fa_median']:.4g}",
        f"{row['md_median'] * 1e3:.4g} × 10⁻³ mm²/s",  # noqa: RUF001
        f"{row['residual_median']:.4g} signal units",
    ):
        assert shown in text


def test_same_bytes_whatever_the_users_settings(result: SubjectResult, page: str) -> None:
    with mpl.rc_context({"font.size": 20, "figure.dpi": 50, "savefig.transparent": True}):
        assert qc_page(result, summarise(result)) == page
    for png in _images(page):
        assert set(_chunks(png)) == {b"IHDR", b"pHYs", b"IDAT", b"IEND"}


HOSTILE = "<script>alert('1')</script>\" onload=\"x"


def test_names_are_data(result: SubjectResult) -> None:
    hostile = replace(result, subject=HOSTILE, denoise=HOSTILE)
    pages = [
        qc_page(hostile, summarise(hostile)),
        quarantine_page(
            HOSTILE, HOSTILE, [dict.fromkeys(("file", "place", "what", "remedy"), HOSTILE)]
        ),
    ]
    for page in pages:
        reader = _Reader(page)
        assert "script" not in {tag for tag, _ in reader.tags}
        assert not any("onload" in attributes for _, attributes in reader.tags)
        assert HOSTILE in reader.text


def test_quarantine_page_tells_every_problem_and_remedy() -> None:
    problems = [
        {"file": "a.bvec", "place": "column 13", "what": "length 0.42", "remedy": "normalise it"},
        {"file": "a.nii.gz", "place": "", "what": "it ends early", "remedy": "copy it again"},
    ]
    page = quarantine_page("04", None, problems)
    text = _Reader(page).text
    assert "Set aside: this subject was not analysed" in text
    assert "sub-04" in text
    for problem in problems:
        assert all(value in text for value in problem.values())
    assert "2 problems" in text
    assert not _images(page)


def test_page_without_one_valid_voxel(result: SubjectResult) -> None:
    nothing = {name: np.full_like(values, np.nan) for name, values in result.maps.items()}
    lost = replace(result, maps=nothing, invalid=result.mask.copy())
    row = summarise(lost)
    assert row["fa_median"] is None
    assert row["n_invalid"] == result.mask.sum()
    text = _Reader(qc_page(lost, row)).text
    assert "no valid voxel" in text
    assert "(100 %)" in text


def test_page_of_many_shells_in_a_thin_block(result: SubjectResult) -> None:
    thin = {name: values[..., 4:6, :, :] for name, values in result.maps.items()}
    bvals = np.linspace(0, 6000, 62)
    bvals[1::2] = bvals[::2] + 1
    block = replace(
        result,
        maps=thin,
        bvals=bvals + 200 * (np.arange(62) // 8),
        mean_b0=result.mean_b0[4:6],
        mask=result.mask[4:6],
        invalid=result.invalid[4:6],
        sigma=result.sigma[4:6] * 0,
    )
    row = summarise(block)
    assert row["snr_b0"] is None  # sigma is 0 everywhere
    assert "shells up to" in _Reader(qc_page(block, row)).text


def test_readings_mark_what_deserves_a_look(result: SubjectResult) -> None:
    row = summarise(result)
    none = np.array([], int)

    def marked(**changes: float) -> set[str]:
        readings = read_figures({**row, **changes}, 1000, none)
        return {reading.quantity for reading in readings if reading.look}

    usual = {"mask_ml": 1400.0, "n_invalid": 0, "n_nonpositive_definite": 0}
    assert marked(**usual) == set()
    assert marked(**usual, snr_b0=8.0) == {"SNR of one b = 0 volume"}
    assert marked(**usual, md_median=0.8) == {"MD, median in mask"}  # b-values in ms/um2
    assert marked(**usual, n_nonfinite_samples=1) == {"Samples that are not a number"}
    assert marked(**{**usual, "n_nonpositive_definite": 20}) == set()
    assert marked(**{**usual, "n_nonpositive_definite": 21}) == {"Tensors not positive definite"}
    last = read_figures(row, 1000, np.array([4, 8]))[-1]
    assert last.look
    assert last.text.startswith("volumes 5, 9 (counted from 1)")


# All 48 ways in which the axes of a volume can be stored.
ORIENTATIONS = [
    np.column_stack([axes, flips])
    for axes in permutations((0, 1, 2))
    for flips in product((1, -1), repeat=3)
]


@pytest.mark.parametrize("oblique", [False, True])
def test_slices_are_the_same_however_the_volume_is_stored(oblique: bool) -> None:
    rng = np.random.Generator(np.random.Philox(3))
    canonical = rng.random((7, 9, 8))  # x to the right, y to the front, z up
    extent = np.zeros(canonical.shape, bool)
    extent[1:6, 2:8, 2:7] = True
    affine = np.diag([2.0, 2.5, 3.0, 1.0])
    if oblique:
        c, s = np.cos(np.radians(20)), np.sin(np.radians(20))
        tilt = np.array([[1, 0, 0, 4], [0, c, -s, 5], [0, s, c, 6], [0, 0, 0, 1]])
        affine = tilt @ affine
    reference = AxialView(affine, extent.T, n_slices=5)
    tiles = reference.tiles(canonical.T)
    assert reference.pixel_aspect == pytest.approx(2.5 / 2.0)
    # One voxel of margin around the extent; front row on top; the subject's left at the left.
    np.testing.assert_array_equal(tiles[0], canonical[0:7, 1:9, 2].T[::-1])
    assert len(tiles) == 5
    assert np.allclose(np.diff(reference.positions), affine[2, 2])
    for orientation in ORIENTATIONS:
        stored = apply_orientation(canonical, orientation)
        stored_affine = affine @ inv_ornt_aff(orientation, canonical.shape)
        view = AxialView(stored_affine, apply_orientation(extent, orientation).T, n_slices=5)
        np.testing.assert_array_equal(view.tiles(stored.T), tiles)
        np.testing.assert_allclose(view.positions, reference.positions)
        assert view.pixel_aspect == pytest.approx(reference.pixel_aspect)


def test_slices_spread_over_the_mask() -> None:
    extent = np.zeros((100, 6, 6), bool)
    extent[20:80] = True
    assert AxialView(np.eye(4), extent, 12).positions == tuple(range(22, 80, 5))
    assert AxialView(np.eye(4), np.zeros((4, 6, 6), bool)).positions == (0, 1, 2, 3)


def test_direction_colours() -> None:
    v1 = np.zeros((3, 1, 1, 4), np.float32)
    v1[0, ..., 0] = -1
    v1[1, ..., 1] = 1
    v1[2, ..., 2] = 1
    v1[..., 3] = np.nan
    colours = direction_colours(v1, np.full((1, 1, 4), 0.5, np.float32))
    np.testing.assert_array_equal(colours[:, 0, 0, :3], 0.5 * np.eye(3))
    np.testing.assert_array_equal(colours[:, 0, 0, 3], 0)


def test_mosaic_places_every_tile_and_outlines_exactly() -> None:
    rng = np.random.Generator(np.random.Philox(5))
    tiles = rng.random((7, 4, 3)).astype(np.float32)
    region = rng.random(tiles.shape) < 0.5
    with house_style():
        axes: Any = mosaic(tiles, outline=region).axes[0]
    canvas = axes.images[0].get_array().filled(np.nan)
    assert canvas.shape == (2 * 6, 4 * 5)  # 2 rows of 4 with a border of one pixel
    for i, tile in enumerate(tiles):
        row, column = divmod(i, 4)
        part = canvas[6 * row : 6 * row + 6, 5 * column : 5 * column + 5]
        np.testing.assert_array_equal(part[1:-1, 1:-1], tile)
        assert np.isnan(part[[0, -1]]).all()
    assert np.isnan(canvas[6:, 15:]).all()
    # Brute force: every side of an inside pixel whose neighbour is outside.
    padded = np.pad(region, [(0, 0), (1, 1), (1, 1)])
    sides = sum(
        np.count_nonzero(padded & ~np.roll(padded, step, axis))
        for axis in (1, 2)
        for step in (1, -1)
    )
    segments = axes.collections[0].get_segments()
    assert len(segments) == sides
    assert all(np.abs(np.diff(segment, axis=0)).sum() == 1 for segment in segments)


def test_shells_of_real_b_values_are_found() -> None:
    bvals = np.array([0, 990, 1005, 5, 2000, 1010, 1995, 50])
    shells = find_shells(bvals, 50)
    assert [list(shell) for shell in shells] == [[0, 3, 7], [1, 2, 5], [4, 6]]
