"""Pictures of a survey: marks lie where they belong, bytes repeat; the page tells all, escaped."""

from __future__ import annotations

import io
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from tessera.astro import bits
from tessera.astro.accounting import quarantine
from tessera.astro.charts import number_counts, residuals_picture
from tessera.astro.pictures import coadd_picture, exposure_picture, mosaic_picture, notice_picture
from tessera.astro.quality import Comparison, match, quality
from tessera.astro.survey_page import survey_page
from tessera.figures import BLUE, ORANGE, VERMILION

RAMP = mpl.colormaps["viridis"]


def where(png: bytes, colour: object) -> np.ndarray:
    """Return the (N, 2) places (right, up) of the pixels of a colour in a picture, -1 to 0."""
    pixels = mpl.image.imread(io.BytesIO(png))[..., :3]
    rows, columns = np.nonzero(np.abs(pixels - mpl.colors.to_rgb(colour)).max(-1) < 0.02)
    return np.column_stack([columns / pixels.shape[1] - 1, -rows / pixels.shape[0]])


def noise(shape: tuple[int, int] = (200, 300), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def exposure() -> bytes:
    mask = np.zeros((200, 300), np.uint8)
    mask[20:60, 20:60] |= bits.CR | bits.INTERP  # at the lower left
    mask[150:190, 240:280] |= bits.SAT
    return exposure_picture(noise() + 500, noise(), mask, "visit $a_b, CCD <1>")


def sources(n: int = 1, **columns: object) -> pd.DataFrame:
    table = pd.DataFrame({"x": [50.0] * n, "y": [50.0] * n, "snr": 10.0, "flags": 0})
    table = table.assign(extended=False, a=5.0, b=1.5, theta=0.0, fwhm=1.0, flux_err=5.0, mag=22.0)
    return table.assign(**columns)


def coadd(table: pd.DataFrame, **planes: np.ndarray) -> bytes:
    given = {
        "image": noise(),
        "variance": np.ones((200, 300), np.float32),
        "n_images": np.full((200, 300), 4, np.int16),
    }
    return coadd_picture(
        **{**given, **planes}, sources=table, zero_point=27.0, pixel_scale=0.27, title="patch x0y0"
    )


def mosaic() -> bytes:
    windows = {"x0y0": (0, 200, 0, 300), "x1y1": (180, 380, 280, 580)}
    images = {name: noise(seed=k) for k, name in enumerate(windows)}
    counts = {"x0y0": np.full((200, 300), 4.0), "x1y1": np.full((200, 300), 8.0)}
    counts["x1y1"][:, :30] = np.nan
    return mosaic_picture(images, counts, windows, 0.27)


def survey() -> tuple[pd.DataFrame, Comparison]:
    rng = np.random.default_rng(1)
    n = 500
    reference = pd.DataFrame({"ra": rng.uniform(10, 10.2, n), "dec": rng.uniform(0, 0.2, n)})
    reference["mag"] = rng.uniform(18, 25, n)
    flux = 10 ** (0.4 * (27 - reference["mag"])) + rng.normal(0, 1, n)
    catalogue = reference.assign(
        ra=reference["ra"] + 1e-6,
        mag=27 - 2.5 * np.log10(flux),
        flux=flux,
        flux_err=1.0,
        snr=flux,
        flags=0,
        extended=rng.random(n) < 0.3,
        patch="x0y0",
    )[50:].reset_index(drop=True)
    covered = np.ones(n, bool)
    return catalogue, Comparison(reference, covered, match(catalogue, reference, 1.0), 1.0)


def residuals() -> bytes:
    return residuals_picture(survey()[1])


def counts() -> bytes:
    return number_counts(survey()[0], 24.5)


@pytest.mark.parametrize(
    "draw",
    [exposure, lambda: coadd(sources(9)), mosaic, residuals, counts, lambda: notice_picture("x")],
)
def test_bytes_repeat_whatever_the_users_style(draw: Callable[[], bytes]) -> None:
    first = draw()
    assert b"Software" not in first[:500]
    with mpl.rc_context({"font.size": 20, "image.origin": "upper", "savefig.dpi": 50}):
        assert draw() == first


def test_masked_pixels_are_drawn_where_they_are() -> None:
    png = exposure()
    rays, saturated = (np.median(where(png, colour), axis=0) for colour in (ORANGE, VERMILION))
    # The panel at the right is 4.35 of 10 inches wide for 300 pixels; y goes up.
    assert saturated[0] - rays[0] == pytest.approx(0.435 * 220 / 300, abs=0.005)
    assert saturated[1] > rays[1] + 0.2
    clean = exposure_picture(noise(), noise(), np.zeros((200, 300), np.uint8), "a")
    assert len(where(clean, ORANGE)) == 0


def test_planes_without_a_number_are_drawn() -> None:
    nothing = np.full((200, 300), np.nan, np.float32)
    empty = np.zeros((200, 300), np.int16)
    coadd(sources(0), image=nothing, variance=nothing, n_images=empty)
    coadd(sources(9), image=nothing, variance=nothing, n_images=empty)
    exposure_picture(nothing, nothing, empty.astype(np.uint8), "a")
    exposure_picture(noise() * 0, noise() * 0, empty.astype(np.uint8), "a")
    mosaic_picture({"a": nothing}, {"a": empty}, {"a": (0, 200, 0, 300)}, 0.27)


def test_sources_are_marked_in_place_and_shape() -> None:
    table = sources(2, x=[60.0, 240.0], y=[150.0, 50.0], extended=[False, True], theta=np.pi / 4)
    png = coadd(table)
    height = mpl.image.imread(io.BytesIO(png)).shape[0] / 1500  # in widths
    points, ellipse = where(png, BLUE), where(png, VERMILION)
    bottom = -(1 - 1.15 / (10 * height))  # above it are the panels, below it the legend
    points, ellipse = (places[places[:, 1] > bottom] for places in (points, ellipse))
    step = ellipse.mean(0) - points.mean(0)
    assert step[0] == pytest.approx(0.435 * 180 / 300, abs=0.005)
    assert step[1] * height == pytest.approx(-0.435 * 100 / 300, abs=0.005)
    right, up = (ellipse - ellipse.mean(0)).T
    assert np.corrcoef(right, up)[0, 1] > 0.7  # 45 degrees counter-clockwise
    right, up = (points - points.mean(0)).T
    assert abs(np.corrcoef(right, up)[0, 1]) < 0.1
    assert up.std() * height == pytest.approx(right.std(), rel=0.1)


def test_depth_is_that_of_the_noise() -> None:
    variance = np.ones((200, 300), np.float32)
    variance[:, 150:] = 4
    exposures = np.full((200, 300), 1, np.int16)
    exposures[:, 150:] = 9  # more of them, but worse
    deep, full = (
        coadd(table, variance=variance, n_images=exposures)
        for table in (sources(9, x=20.0), sources(4, x=20.0))
    )
    # Four sources are too few to tell the depth: exposures are shown.
    yellow = [np.median(where(png, RAMP(1.0))[:, 0]) for png in (deep, full)]
    assert yellow[1] - yellow[0] == pytest.approx(0.435 / 2, abs=0.01)


def test_patches_lie_at_their_places() -> None:
    png = mosaic()
    least, most = where(png, RAMP(0.5)), where(png, RAMP(1.0))
    least, most = np.median(least, axis=0), np.median(most, axis=0)
    assert most[0] > least[0] + 0.1
    assert most[1] > least[1] + 0.1


def test_no_reference_and_no_pairs_are_said() -> None:
    _, comparison = survey()
    alone = Comparison(comparison.reference, comparison.covered, comparison.pairs[:0], 1.0)
    pictures = {residuals_picture(None), residuals_picture(alone), residuals()}
    assert len(pictures) == 3
    assert number_counts(survey()[0][:0], None)


def test_few_pairs_are_drawn() -> None:
    _, comparison = survey()
    few = Comparison(comparison.reference, comparison.covered, comparison.pairs[:1], 1.0)
    assert residuals_picture(few)


def page(comparison: Comparison | None, catalogue: pd.DataFrame, hostile: str = "v1") -> str:
    torn = {"file": hostile, "place": "", "what": "is no FITS file", "remedy": "copy it anew"}
    ccd = {"ccd": "1", "problem": None, "fwhm": 4.0, "pixel_scale": 0.27, "n_pixels": 1000}
    ccd |= dict.fromkeys(("n_bad", "n_sat", "n_cr"), 3)
    ccd |= {"sky": 512.25, "noise": 20.0, "noise_ratio": 1.0, "zero_point": 25.0}
    visits = [
        {"visit": "good", "problem": None, "ccds": [ccd]},
        {"visit": hostile, "problem": torn, "ccds": []},
    ]
    patch = {"visits": ["good"], "n_covered": 3, "n_pixels": 4, "median_n_images": 1.0}
    qc = quality(
        catalogue,
        comparison,
        read=[("good", "1"), (hostile, None)],
        visits=visits,
        coadds={"x0y0": patch},
        pooled={"fwhm": None, "noise_peaks": 0.2, "stars": 0},
        zero_point=27.0,
    )
    pictures = {"mosaic": b"m", "counts": b"c", "residuals": b"r"}
    return survey_page(qc, quarantine(visits), **pictures)


def test_page_tells_all_and_escapes_names() -> None:
    catalogue, comparison = survey()
    hostile = "<script>alert(1)</script>"
    text = page(comparison, catalogue, hostile)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    for told in ("1 of 2 used", "450 of 500 (90.0%)", "512.2", "1.08", "75.0%", "is no FITS file"):
        assert told in text, told
    assert text.count("<img") == 3
    assert page(comparison, catalogue, hostile) == text


def test_page_of_nothing() -> None:
    catalogue, _ = survey()
    text = page(None, catalogue[:0])
    assert "No reference catalogue is set" in text
    assert text.count("<img") == 2
    none = Comparison(catalogue[:0], np.zeros(0, bool), match(catalogue, catalogue[:0], 1.0), 1.0)
    assert "0 of 0" in page(none, catalogue)
