"""Whatever dies, however the work is cut: the same answer; whatever changes: the least work."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
from astropy.io import fits

from tools import copy_house, exists, kill_and_resume, plan, snakemake, tree_digest

SHEET = "toy/astro/visits.tsv"
OTHERWISE = ["--config", "threads=1", "memory_mb=300", "astro={granularity: ccd}"]
MOMENTS = (
    "results/work/astro/*/ccd-*.json",
    "results/astro/coadd/*.fits.fz",
    "results/work/astro/patches/*/sources.parquet",
)


def fresh(finished: Path, folder: Path, visits: tuple[str, ...] = ()) -> Path:
    shutil.copytree(finished / "toy/astro", folder / "toy/astro")
    if visits:
        lines = (folder / SHEET).read_text().splitlines(keepends=True)
        chosen = [line for line in lines[1:] if line.split("\t")[0] in visits]
        (folder / SHEET).write_text("".join([lines[0], *chosen]))
    return folder


def test_killed_and_resumed_in_other_pieces(finished: Path, tmp_path: Path) -> None:
    """One thread, jobs per detector, small blocks, three kill -9: the same bytes."""
    house = fresh(finished, copy_house(tmp_path / "house"))
    kill_and_resume(house, ["astro", *OTHERWISE], map(exists, MOMENTS))
    assert tree_digest(house / "results/astro") == tree_digest(finished / "results/astro")


def test_a_new_visit_reruns_only_the_patches_that_it_touches(
    finished: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    assert plan(folder, ["astro"]).counts == {}
    new = folder / "toy/astro/data/v09.fits"
    shutil.copy(folder / "toy/astro/data/v01.fits", new)
    with fits.open(new, mode="update") as hdus:
        for hdu in hdus[1:]:
            if hdu.name == "IMAGE":  # 900 pixels to the west and to the south
                hdu.header["CRVAL1"] -= 900 * 0.27 / 3600
                hdu.header["CRVAL2"] -= 900 * 0.27 / 3600
    sheet = folder / SHEET
    sheet.write_text(sheet.read_text() + "v09\tdata/v09.fits\n")
    planned = plan(folder, ["astro"])
    counts = planned.counts
    assert counts["astro_clean"] == counts["astro_index"] == counts["astro_catalogue"] == 1
    stacked = {job.wildcards.patch for job in planned.jobs if job.rule.name == "astro_coadd"}
    before = {f"x{i}y{j}" for i in (0, 1) for j in (0, 1)}
    assert 1 <= len(stacked & before) < 4, "of the patches that were there, some are left alone"
    assert stacked - before, "and new ones come"


def test_settings_rerun_what_they_touch_and_nothing_else(finished: Path) -> None:
    def counts(**section: object) -> set[str]:
        return set(plan(finished, ["astro"], {"astro": section}).counts) - {"astro"}

    end = {"astro_catalogue", "astro_qc", "astro_page", "astro_patch_picture"}
    assert counts(detect={"threshold_sigma": 6}) == {"astro_detect", *end}
    assert counts(coadd={"sigma": 4}) == {"astro_coadd", "astro_detect", *end}
    assert counts(strict=True) == {"astro_index", "astro_qc", "astro_page"}
    assert counts(reference_catalogue=None) == {"astro_index", "astro_qc", "astro_page"}


def test_strict_fails_with_every_reason(finished: Path, tmp_path: Path) -> None:
    folder = fresh(finished, tmp_path / "run", ("v08",))
    run = snakemake(folder, "astro", "--config", "astro={strict: true}")
    assert run.returncode != 0
    assert "v08.fits: HDU 10 (IMAGE, CCD 4): there is no celestial WCS" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (folder / "results/astro/qc.json").exists()


def test_what_cannot_start_says_all_of_it(finished: Path, tmp_path: Path) -> None:
    folder = fresh(finished, tmp_path / "run", ("v01", "v05"))
    for name in ("v01", "v05"):
        with fits.open(folder / f"toy/astro/data/{name}.fits", mode="update") as hdus:
            del hdus[1].header["MAGZERO"]
            hdus[1].header["GAIN"] = -1.0
    run = snakemake(folder, "astro", "-n")
    assert run.returncode != 0
    for name in ("v01", "v05"):
        assert f"{name}.fits: HDU 1 (IMAGE, CCD 1): there is no zero point" in run.stderr
    assert "v05.fits: HDU 1 (IMAGE, CCD 1): there is neither a variance plane nor" in run.stderr
    assert "Traceback" not in run.stderr
    away = "astro={skymap: {ra: 100, dec: 20}}"
    run = snakemake(fresh(finished, tmp_path / "other", ("v03",)), "astro", "-n", "--config", away)
    assert run.returncode != 0
    assert "no exposure falls onto the sky map; the exposures lie around ra 359.9" in run.stderr
    fallen = "astro={detect: {apertures: [3, 1.5, 0.75]}}"
    run = snakemake(tmp_path / "other", "astro", "-n", "--config", fallen)
    assert run.returncode != 0
    assert "astro.detect.apertures: the radii [3.0, 1.5, 0.75] do not increase" in run.stderr


def test_a_headers_grid_and_one_visit_alone(finished: Path, tmp_path: Path) -> None:
    """A single visit, one of whose detectors is bad, and a visit that is no FITS file."""
    folder = fresh(finished, tmp_path / "run", ("v07",))
    grid = fits.Header()
    grid["SIMPLE"], grid["BITPIX"], grid["NAXIS"] = True, -32, 2
    grid["NAXIS1"], grid["NAXIS2"] = 1300, 1200
    for axis, kind, value in ((1, "RA---TAN", 359.976), (2, "DEC--TAN", -4.976)):
        grid[f"CTYPE{axis}"], grid[f"CRVAL{axis}"], grid[f"CRPIX{axis}"] = kind, value, 600.5
    grid["CD1_1"], grid["CD2_2"] = -0.27 / 3600, 0.27 / 3600
    (folder / "grid.hdr").write_text(grid.tostring(sep="\n") + "\nEND\n")
    (folder / "toy/astro/data/bad.fits").write_text("no FITS\n")
    (folder / SHEET).write_text((folder / SHEET).read_text() + "bad\tdata/bad.fits\n")
    section = "astro={skymap: {header: grid.hdr}, reference_catalogue: null}"
    run = snakemake(folder, "astro", "--config", section)
    assert run.returncode == 0, run.stderr
    with fits.open(folder / "results/astro/coadd/mosaic.fits") as hdus:
        assert hdus["IMAGE"].data.shape == (1200, 1300)
        assert hdus["NIMAGE"].data.max() == 1
        assert (hdus["NIMAGE"].data > 0).mean() > 0.4
    quarantine = (folder / "results/astro/quarantine.tsv").read_text()
    assert quarantine.count("\n") == 3
    assert "is not a FITS file that can be read" in quarantine
    table = pd.read_parquet(folder / "results/astro/catalogue.parquet")
    assert len(table) > 100
    assert (table["n_images"] <= 1).all()
    assert "set aside: bad, v07 3" in run.stdout + run.stderr
