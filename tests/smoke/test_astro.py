"""The survey pipeline on its toy data: truth recovered, promises kept."""

from __future__ import annotations

import csv
import json
import re
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table

from tessera.astro.bits import CR, FEW, NODATA
from tessera.astro.planes import read_coadd
from tessera.astro.score import score
from tessera.astro.sources import FLAGS
from tools import ROOT, plan

PATCHES = ("x0y0", "x0y1", "x1y0", "x1y1")
SPOILT = sum(FLAGS[name][0] for name in ("SATURATED", "TRUNCATED", "FEW"))


@pytest.fixture(scope="module")
def results(finished: Path) -> Path:
    return finished / "results/astro"


@pytest.fixture(scope="module")
def truth(finished: Path) -> Table:
    return Table.read(finished / "toy/astro/data/truth.ecsv")


@pytest.fixture(scope="module")
def catalogue(results: Path) -> pd.DataFrame:
    return pd.read_parquet(results / "catalogue.parquet")


@pytest.fixture(scope="module")
def figures(catalogue: pd.DataFrame, truth: Table) -> dict[str, Any]:
    usable = (catalogue["flags"] & SPOILT) == 0
    return score(catalogue.assign(usable=usable), truth, zero_point=27.0)


def test_sources_are_found_and_nothing_else(figures: dict[str, Any]) -> None:
    assert figures["n_5"] >= 25
    assert figures["completeness_5"] >= 0.5  # 33 stars: known to 0.08
    assert figures["completeness_10"] >= 0.97
    assert figures["completeness_galaxies"] >= 0.89
    assert figures["purity"] >= 0.985
    assert figures["ghosts"] <= 1


def test_fluxes_positions_and_their_errors_are_true(figures: dict[str, Any]) -> None:
    """About 80 stars each: a standard deviation is known to a tenth."""
    assert figures["n_measured"] >= 60
    assert 0.75 < figures["pull"] < 1.3
    assert 0.75 < figures["pull_faint"] < 1.3
    assert abs(figures["bias"]) < 0.005
    assert figures["astrometry"] < 7
    assert abs(figures["offset_east"]) < 2
    assert abs(figures["offset_north"]) < 2


def test_cosmic_rays_are_marked_in_the_exposures(finished: Path, results: Path) -> None:
    with np.load(finished / "toy/astro/data/truth_cr.npz") as truth_cr:
        struck = {name: truth_cr[name] for name in truth_cr.files}
    found, all_of_them = 0, 0
    for visit in ("v01", "v03", "v04", "v05"):
        with fits.open(results / f"clean/{visit}.fits.fz") as hdus:
            for hdu in hdus:
                if hdu.name != "MASK":
                    continue
                bright = struck[f"{visit}_{hdu.header['CCDNAME']}"] > 1000
                found += np.count_nonzero(bright & (hdu.data & CR > 0))
                all_of_them += np.count_nonzero(bright)
    assert all_of_them > 1000
    assert found / all_of_them > 0.9


def test_no_hit_is_left_in_the_coadds(results: Path) -> None:
    """Sources are wider than a pixel: none stands out of its neighbours as a hit does."""
    for patch in PATCHES:
        planes, _ = read_coadd(results / f"coadd/{patch}.fits.fz")
        image = np.where(planes["MASK"] & (FEW | NODATA), np.nan, planes["IMAGE"])
        sigma = np.sqrt(planes["VARIANCE"])
        inner = image[1:-1, 1:-1]
        around = np.stack([image[:-2, 1:-1], image[2:, 1:-1], image[1:-1, :-2], image[1:-1, 2:]])
        alone = inner - around.max(axis=0)
        limit = 8 * sigma[1:-1, 1:-1] + 0.6 * np.abs(inner)
        assert not (alone > limit).any(), patch


def test_pixels_that_patches_share_are_the_same(results: Path, finished: Path) -> None:
    skymap_windows = plan(finished, ["astro"]).rules["astro_catalogue"].params.windows(None)
    shared = 0
    planes = {patch: read_coadd(results / f"coadd/{patch}.fits.fz")[0] for patch in PATCHES}
    for one in PATCHES:
        for other in PATCHES:
            a, b = skymap_windows[one], skymap_windows[other]
            y0, y1 = max(a[0], b[0]), min(a[1], b[1])
            x0, x1 = max(a[2], b[2]), min(a[3], b[3])
            if one >= other or y0 >= y1 or x0 >= x1:
                continue
            for name in ("IMAGE", "VARIANCE", "MASK", "NIMAGE"):
                first = planes[one][name][y0 - a[0] : y1 - a[0], x0 - a[2] : x1 - a[2]]
                second = planes[other][name][y0 - b[0] : y1 - b[0], x0 - b[2] : x1 - b[2]]
                assert first.tobytes() == second.tobytes()
                shared += first.size
    assert shared > 4 * 4 * 60 * 600


def test_the_coadd_is_as_deep_as_its_variance_says(results: Path) -> None:
    """Blank pixels, scaled by their variance, scatter by one."""
    planes, _ = read_coadd(results / "coadd/x0y0.fits.fz")
    z = planes["IMAGE"] / np.sqrt(planes["VARIANCE"])
    z = z[(planes["NIMAGE"] >= 5) & np.isfinite(z)]
    low, middle, _ = np.percentile(z, [15.87, 50, 84.13])
    assert middle - low == pytest.approx(1, abs=0.06)


def test_every_source_is_there_once(catalogue: pd.DataFrame, truth: Table) -> None:
    from tessera.astro.score import nearest

    stars = truth[(truth["kind"] == "star") & truth["isolated"]]
    ra, dec = np.asarray(stars["ra"]), np.asarray(stars["dec"])
    away, which = nearest(catalogue["ra"], catalogue["dec"], ra, dec)
    counts = np.bincount(which[away < 0.6], minlength=len(stars))
    assert counts.max() == 1
    assert set(catalogue["patch"]) == set(PATCHES)


def test_a_catalogue_in_three_formats(results: Path, catalogue: pd.DataFrame) -> None:
    for name in ("catalogue.fits", "catalogue.ecsv"):
        table = Table.read(results / name)
        assert list(table.colnames) == list(catalogue.columns)
        assert (np.asarray(table["id"]) == catalogue["id"]).all()
        assert np.array_equal(np.asarray(table["flux"]), catalogue["flux"], equal_nan=True)
        assert str(table["ra"].unit) == "deg"


def test_bad_detectors_are_set_aside_and_all_others_used(results: Path) -> None:
    with (results / "quarantine.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [(row["visit"], row["ccd"]) for row in rows] == [("v07", "3"), ("v08", "4")]
    assert "CHECKSUM" in rows[0]["what"]
    assert "WCS" in rows[1]["what"]
    counted = json.loads((results / "qc.json").read_text())["accounting"]["ccds"]
    assert (counted["read"], counted["used"], counted["set_aside"]) == (32, 30, 2)
    index = pd.read_parquet(results / "index.parquet")
    assert len(index) == 32
    assert index["problem"].notna().sum() == 1  # of the checksum headers know nothing


def test_quality_figures_agree_with_the_truth(results: Path) -> None:
    qc = json.loads((results / "qc.json").read_text())
    assert qc["reference"]["n_matched"] >= 60
    assert abs(qc["reference"]["bright"]["ra_offset_mas"]) < 2
    assert abs(qc["reference"]["bright"]["dec_offset_mas"]) < 2
    assert abs(qc["reference"]["bright"]["mag_offset"]) < 0.005


def test_outputs_are_those_that_the_docs_promise(
    results: Path, finished: Path, catalogue: pd.DataFrame
) -> None:
    page = (ROOT / "docs/astro.md").read_text(encoding="utf-8")
    section = page[page.index("## Outputs") :]
    section = section[: section.index("\n## ", 5)]
    files, columns = section.split("Columns of the catalogue")
    promised = set(re.findall(r"^\| `([^`]+)`", files, flags=re.M)) - {"coadd/mosaic.fits"}
    there = {path.relative_to(results).as_posix() for path in results.rglob("*") if path.is_file()}
    named = {re.sub(r"v0\d", "V", re.sub(r"x\dy\d", "P", name)) for name in there}
    assert named == promised
    assert re.findall(r"^\| `(\w+)` \|", columns, flags=re.M) == list(catalogue.columns)


def test_nothing_of_this_machine_or_this_moment_is_in_the_results(
    finished: Path, results: Path
) -> None:
    host = rf"\b{re.escape(socket.gethostname())}\b"
    for path in results.rglob("*"):
        if not path.is_file():
            continue
        content = path.read_bytes()
        assert str(finished).encode() not in content, path
        if path.suffix in (".json", ".tsv", ".ecsv"):
            assert not re.search(rf"20[2-9]\d-\d\d-\d\d|{host}", content.decode()), path
        if path.suffix in (".fits", ".fz"):
            with fits.open(path, disable_image_compression=True) as hdus:
                assert not any("DATE" in key for hdu in hdus for key in hdu.header), path


def test_a_second_run_has_nothing_to_do(finished: Path) -> None:
    assert plan(finished, ["astro"]).counts == {}
