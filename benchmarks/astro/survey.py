"""The pipeline beside SWarp and SExtractor, on one simulated survey whose truth is known.

    python benchmarks/astro/survey.py [--seed N] [--visits N] [--size PIXELS] [--keep FOLDER]

makes a survey, runs `snakemake astro` on it, runs SWarp (clipped combination, Lanczos-3, its own
sky) and SExtractor on the same exposures and grid, judges both catalogues and co-adds by the truth
and writes ``survey.md`` beside this file. CPU seconds are those of all processes of a program.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from tessera.astro.bits import FEW, NODATA
from tessera.astro.score import score
from tessera.astro.sources import FLAGS
from tessera.astro.survey import Survey, make_sky, make_visits
from tessera.astro.toy import truth_table, write_visit
from tessera.astro.wcsheader import celestial_wcs

ROOT = Path(__file__).resolve().parents[2]
ZERO_POINT = 27.0
TARGETS = ("results/astro/catalogue.parquet", "results/astro/coadd/mosaic.fits")
LADDER = (5.0, 5.0, 7.0, 10.0, 10.0, 20.0, 50.0, 100.0, 300.0, 1000.0)
SPOILT = ("SATURATED", "TRUNCATED", "FEW")
SWARP = {
    "COMBINE_TYPE": "CLIPPED",
    "CLIP_SIGMA": 4.0,
    "CLIP_AMPFRAC": 0.3,
    "RESAMPLING_TYPE": "LANCZOS3",
    "WEIGHT_TYPE": "MAP_WEIGHT",
    "BACK_SIZE": 128,
    "SUBTRACT_BACK": "Y",
    "CELESTIAL_TYPE": "NATIVE",
    "NTHREADS": 1,
    "VERBOSE_TYPE": "QUIET",
    "WRITE_XML": "N",
}
SEXTRACTOR = {
    "DETECT_THRESH": 1.5,
    "DETECT_MINAREA": 5,
    "ANALYSIS_THRESH": 1.5,
    "WEIGHT_TYPE": "MAP_WEIGHT",
    "MAG_ZEROPOINT": ZERO_POINT,
    "BACK_SIZE": 128,
    "VERBOSE_TYPE": "QUIET",
    "CATALOG_TYPE": "FITS_1.0",
}
PARAMETERS = (*("ALPHAWIN_J2000", "DELTAWIN_J2000", "FLUX_AUTO", "FLUXERR_AUTO", "FLAGS"),)


def children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def simulate(survey: Survey, folder: Path) -> tuple[Table, list[float], int]:
    """Write the visits, the grid and the sheet; return the truth, sky noises and input pixels."""
    sky, visits = make_sky(survey), make_visits(survey)
    seen = np.zeros((len(visits), len(sky)), bool)
    (folder / "raw").mkdir(parents=True)
    rows = ["visit\tfile"]
    for visit in visits:
        name = f"raw/{visit.name}.fits"
        rows.append(f"{visit.name}\t{name}")
        for ccd in write_visit(folder / name, survey, sky, visit):
            seen[visit.index] |= ccd.seen
    (folder / "visits.tsv").write_text("\n".join(rows) + "\n")
    size = max(survey.extent) + int(3 * survey.dither) + 200
    grid = fits.Header()
    grid["SIMPLE"], grid["BITPIX"], grid["NAXIS"] = True, -32, 2
    grid["NAXIS1"] = grid["NAXIS2"] = size
    for axis, kind, value, sign in ((1, "RA---TAN", survey.ra, -1), (2, "DEC--TAN", survey.dec, 1)):
        grid[f"CTYPE{axis}"], grid[f"CUNIT{axis}"] = kind, "deg"
        grid[f"CRVAL{axis}"], grid[f"CRPIX{axis}"] = value, (size + 1) / 2
        grid[f"CD{axis}_{axis}"] = sign * survey.pixel_scale / 3600
    grid["CD1_2"] = grid["CD2_1"] = 0.0
    (folder / "grid.hdr").write_text(grid.tostring(sep="\n") + "\nEND\n")
    noise = [
        10 ** (0.4 * (ZERO_POINT - v.zero_point))
        * np.sqrt(v.sky / v.gain + (v.read_noise / v.gain) ** 2)
        for v in visits
    ]
    pixels = len(visits) * survey.n_ccds * int(np.prod(survey.ccd_shape))
    return truth_table(survey, sky, visits, seen), noise, pixels


def run_tessera(folder: Path, clip: str = "varmedian") -> tuple[dict[str, float], pd.DataFrame]:
    """Run the pipeline; return CPU seconds by step and the catalogue."""
    (folder / "config.yaml").write_text(
        "pipelines: [astro]\nthreads: 1\nastro:\n  visits: visits.tsv\n"
        f"  skymap: {{header: grid.hdr, patch_pixels: 4000, overlap_pixels: 100}}\n"
        f"  coadd: {{clip: {clip}}}\n"
    )
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    subprocess.run(
        [*command, "--cores", "1", "--quiet", "all", "--", *TARGETS], cwd=folder, check=True
    )
    steps: dict[str, float] = {}
    for file in (folder / "results/logs/astro").rglob("*.log"):
        took = re.search(r"Took ([0-9.]+) s of CPU", file.read_text())
        if took:
            steps[file.stem] = steps.get(file.stem, 0.0) + float(took[1])
    table = pd.read_parquet(folder / "results/astro/catalogue.parquet")
    spoilt = sum(FLAGS[name][0] for name in SPOILT)
    return steps, table.assign(usable=(table["flags"] & spoilt) == 0)


def run_peers(folder: Path) -> tuple[float, float, pd.DataFrame]:
    """Run SWarp and SExtractor; return CPU seconds of each and the catalogue."""
    peers = folder / "peers"
    peers.mkdir()
    for path in sorted((folder / "raw").glob("*.fits")):
        with fits.open(path) as hdus:
            for i in range(1, len(hdus), 3):
                image, mask, variance = (hdus[i + k] for k in range(3))
                header = image.header.copy()
                header["FLXSCALE"] = 10 ** (0.4 * (ZERO_POINT - header["MAGZERO"]))
                for key in ("BZERO", "BSCALE", "CHECKSUM", "DATASUM"):
                    header.remove(key, ignore_missing=True)
                stem = peers / f"{path.stem}_{header['CCDNUM']}"
                fits.writeto(f"{stem}.fits", image.data.astype(np.float32), header)
                weight = np.where(mask.data == 0, 1 / variance.data, 0).astype(np.float32)
                fits.writeto(f"{stem}.weight.fits", weight, header)
    (peers / "coadd.head").write_text((folder / "grid.hdr").read_text())
    images = sorted(p.name for p in peers.glob("v*.fits") if "weight" not in p.name)
    settings = [x for key, value in SWARP.items() for x in (f"-{key}", str(value))]
    start = children_cpu()
    subprocess.run(["SWarp", *images, *settings], cwd=peers, check=True)
    swarp = children_cpu() - start
    (peers / "default.param").write_text("\n".join(PARAMETERS) + "\n")
    shared = Path("/usr/share/source-extractor")
    settings = [x for key, value in SEXTRACTOR.items() for x in (f"-{key}", str(value))]
    extra = ["-PARAMETERS_NAME", "default.param", "-CATALOG_NAME", "out.cat"]
    extra += ["-FILTER_NAME", str(shared / "default.conv"), "-WEIGHT_IMAGE", "coadd.weight.fits"]
    extra += ["-STARNNW_NAME", str(shared / "default.nnw"), "-GAIN", "0"]
    start = children_cpu()
    command = ["source-extractor", "coadd.fits", "-c", str(shared / "default.sex")]
    subprocess.run([*command, *settings, *extra], cwd=peers, check=True)
    extract = children_cpu() - start
    found = Table.read(peers / "out.cat", format="fits")
    table = pd.DataFrame(
        {
            "ra": np.asarray(found["ALPHAWIN_J2000"], float),
            "dec": np.asarray(found["DELTAWIN_J2000"], float),
            "flux": np.asarray(found["FLUX_AUTO"], float),
            "flux_err": np.asarray(found["FLUXERR_AUTO"], float),
            "usable": np.asarray(found["FLAGS"]) < 4,
        }
    )
    return swarp, extract, table


def blank_sky(image: np.ndarray, blank: np.ndarray, cell: int = 8) -> tuple[float, float, int]:
    """Return the median of blank pixels, the noise per pixel as cells show it, and their number.

    Means over cells know of the correlation of neighbouring pixels; the standard deviation of a
    mean times the width of a cell is the noise that a pixel had without resampling.
    """
    height, width = (n // cell * cell for n in image.shape)
    cells = image[:height, :width].reshape(height // cell, cell, width // cell, cell)
    whole = blank[:height, :width].reshape(height // cell, cell, width // cell, cell)
    means = cells.mean(axis=(1, 3))[whole.all(axis=(1, 3))]
    spread = 1.482602 * np.median(np.abs(means - np.median(means)))
    kept = means[np.abs(means - np.median(means)) < 4 * spread]
    return float(np.median(image[blank])), float(kept.std() * cell), len(kept)


def compare_coadds(folder: Path, truth: Table, noise: list[float]) -> dict[str, float]:
    """Compare the two co-adds where no source is and all visits look."""
    with fits.open(folder / "results/astro/coadd/mosaic.fits") as hdus:
        ours, mask, seen = (np.array(hdus[n].data) for n in ("IMAGE", "MASK", "NIMAGE"))
        header = hdus["IMAGE"].header
    theirs = fits.getdata(folder / "peers/coadd.fits")
    blank = (mask & (FEW | NODATA) == 0) & (seen >= len(noise))
    x, y = celestial_wcs(header).all_world2pix(truth["ra"], truth["dec"], 0)
    lasting = np.isin(np.asarray(truth["kind"]).astype(str), ["star", "galaxy"])
    for cx, cy, mag in zip(x[lasting], y[lasting], np.asarray(truth["mag"])[lasting], strict=True):
        reach = int(12 + 8 * max(0.0, 24 - mag))
        box = np.s_[
            max(0, int(cy) - reach) : max(0, int(cy) + reach + 1),
            max(0, int(cx) - reach) : max(0, int(cx) + reach + 1),
        ]
        blank[box] = False
    ideal = 1 / np.sqrt(np.sum(1 / np.square(noise)))
    our_level, our_noise, cells = blank_sky(ours, blank)
    their_level, their_noise, _ = blank_sky(theirs, blank)
    spots = ours[blank]
    pixel = 1.482602 * np.median(np.abs(spots - np.median(spots)))
    return {
        "blank": float(blank.mean()),
        "ours": our_noise / ideal,
        "uncertain": our_noise / ideal / np.sqrt(2 * cells),
        "theirs": their_noise / ideal,
        "difference": (our_level - their_level) / ideal,
        "brightest": float((spots.max() - our_level) / pixel),
        "brightest_theirs": float((theirs[blank].max() - their_level) / pixel),
    }


def cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def report(
    survey: Survey, results: dict[str, Any], coadds: dict[str, float], cpu: dict[str, Any], n: int
) -> str:
    ours, theirs = results["tessera"], results["peers"]
    mega = n / 1e6

    def row(text: str, key: str, form: str = ".3f", scale: float = 1.0) -> str:
        return f"| {text} | {ours[key] * scale:{form}} | {theirs[key] * scale:{form}} |"

    steps = ("clean", "coadd", "detect", "catalogue")
    total = sum(cpu["tessera"][step] for step in steps)
    told = ", ".join(f"{step} {cpu['tessera'][step] / mega:.3f}" for step in steps)
    return "\n".join(
        [
            "# The pipeline beside SWarp and SExtractor",
            "",
            f"Written by `survey.py`: {survey.n_visits} visits of {survey.n_ccds} detectors of "
            f"{survey.ccd_shape[0]} x {survey.ccd_shape[1]} pixels ({mega:.0f} megapixels), seed "
            f"{survey.seed}, onto one grid. SWarp: {SWARP['COMBINE_TYPE']}, Lanczos-3, weights "
            "from the variance and mask planes; SExtractor: its shipped settings, threshold 1.5, "
            "fluxes FLUX_AUTO (Kron). " + cpu_model() + ", one thread.",
            "",
            "| | Tessera | SWarp + SExtractor |",
            "|---|---|---|",
            row(f"completeness, isolated stars of S/N 5 ({ours['n_5']})", "completeness_5"),
            row(f"completeness, isolated stars of S/N 7 ({ours['n_7']})", "completeness_7"),
            row(f"completeness, isolated stars of S/N 10 ({ours['n_10']})", "completeness_10"),
            row(f"completeness, isolated galaxies ({ours['n_galaxies']})", "completeness_galaxies"),
            row("purity of the catalogue", "purity", ".4f"),
            row("rows of the catalogue", "n_rows", ".0f"),
            row("detections at one-visit transients and movers", "ghosts", ".0f"),
            row("flux pull, stars of S/N > 20", "pull"),
            row("flux pull, stars of S/N 7 to 20", "pull_faint"),
            row("total flux bias of stars of S/N > 20, mmag", "bias", "+.1f", 1000),
            row("total flux bias of stars of S/N 7 to 20, mmag", "bias_faint", "+.1f", 1000),
            row("astrometric scatter per axis, stars of S/N > 20, mas", "astrometry", ".1f"),
            f"| sky noise over ideal (+- {coadds['uncertain']:.3f}, the same sky) "
            f"| {coadds['ours']:.3f} | {coadds['theirs']:.3f} |",
            f"| brightest blank pixel, sigma of a pixel of ours | {coadds['brightest']:.1f} "
            f"| {coadds['brightest_theirs']:.1f} |",
            f"| blank sky, difference in sigma | {coadds['difference']:+.3f} | |",
            f"| CPU s per input megapixel | {total / mega:.3f} | "
            f"{(cpu['swarp'] + cpu['sextractor']) / mega:.3f} |",
            "",
            f"CPU of the steps, s per input megapixel: {told}; index, pictures and quality control "
            "apart, and the compilation of the kernels, which is done once; the start of Python "
            "included, once per visit and twice per patch.",
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=2017)
    parser.add_argument("--visits", type=int, default=8)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--keep", type=Path, help="work here and leave everything")
    options = parser.parse_args()
    survey = Survey(
        options.seed,
        n_visits=options.visits,
        ccd_shape=(options.size, options.size),
        ladder=LADDER,
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        # Kernels are compiled once for a state of the library: here, on one small visit.
        os.environ["NUMBA_CACHE_DIR"] = str(folder / "compiled")
        small = Survey(1, n_visits=3, grid=(1, 1), ccd_shape=(512, 512))
        simulate(small, folder / "small")
        run_tessera(folder / "small")
        truth, noise, pixels = simulate(survey, folder)
        swarp, sextractor, theirs = run_peers(folder)
        steps, ours = run_tessera(folder)
        results = {
            "tessera": score(ours, truth, zero_point=ZERO_POINT),
            "peers": score(theirs, truth, zero_point=ZERO_POINT),
        }
        coadds = compare_coadds(folder, truth, noise)
    cpu = {"tessera": steps, "swarp": swarp, "sextractor": sextractor}
    text = report(survey, results, coadds, cpu, pixels)
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
