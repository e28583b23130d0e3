"""Memory and time of every job of the pipeline, beside what it declares, for many visits.

    python benchmarks/astro/memory.py [--visits N] [--keep FOLDER]

makes visits of one detector of 4096 x 4096 pixels, all around one patch of 4000 x 4000, runs
`snakemake astro` and writes ``memory.md`` beside this file. The sky is that of one exposure shown
again and again with another offset: what is on it does not matter for memory.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from astropy.io import fits

ROOT = Path(__file__).resolve().parents[2]
SIZE, SCALE = 4096, 0.27
STEPS = ("clean", "coadd", "detect", "catalogue", "qc", "picture", "index")


def write_visits(folder: Path, visits: int) -> None:
    """Write the visits and their sheet."""
    rng = np.random.default_rng(1)
    light = np.full((SIZE, SIZE), 400.0, np.float32)
    y, x = np.mgrid[-20:21, -20:21]
    for _ in range(8000):
        cy, cx = rng.integers(21, SIZE - 21, 2)
        star = 10 ** rng.uniform(1.5, 5) / 60 / (1 + (x**2 + y**2) / 9.0) ** 3
        light[cy - 20 : cy + 21, cx - 20 : cx + 21] += star.astype(np.float32)
    image = rng.poisson(light).astype(np.uint16)
    (folder / "raw").mkdir(parents=True)
    rows = ["visit\tfile"]
    for number in range(visits):
        header = fits.Header()
        turn = np.radians(rng.uniform(-10, 10))
        for axis, kind, value in ((1, "RA---TAN", 30.0), (2, "DEC--TAN", -5.0)):
            header[f"CTYPE{axis}"], header[f"CRVAL{axis}"] = kind, value
            header[f"CRPIX{axis}"] = (SIZE + 1) / 2 + rng.uniform(-100, 100)
        step = SCALE / 3600
        header["CD1_1"], header["CD1_2"] = -step * np.cos(turn), step * np.sin(turn)
        header["CD2_1"], header["CD2_2"] = step * np.sin(turn), step * np.cos(turn)
        header["GAIN"], header["RDNOISE"], header["MAGZERO"] = 1.0, 0.0, 26.0
        hdus = [fits.PrimaryHDU(), fits.ImageHDU(image, header, name="IMAGE")]
        fits.HDUList(hdus).writeto(folder / f"raw/v{number:04}.fits")
        rows.append(f"v{number:04}\traw/v{number:04}.fits")
    (folder / "visits.tsv").write_text("\n".join(rows) + "\n")
    # A header's grid of just the patch: one co-add of 4000 x 4000 pixels.
    grid = header.copy()
    for key in ("CD1_2", "CD2_1"):
        grid[key] = 0.0
    grid["CD1_1"], grid["CD2_2"] = -step, step
    grid["CRPIX1"] = grid["CRPIX2"] = 2000.5
    grid["NAXIS1"] = grid["NAXIS2"] = 4000
    (folder / "grid.hdr").write_text(grid.tostring(sep="\n") + "\nEND\n")
    (folder / "config.yaml").write_text(
        "pipelines: [astro]\nthreads: 2\nmemory_mb: 950\nastro:\n  visits: visits.tsv\n"
        "  skymap: {header: grid.hdr, patch_pixels: 4000, overlap_pixels: 100}\n"
    )


def measure(folder: Path) -> list[tuple[str, float, float, float, float]]:
    """Run the pipeline; return step, declared and used megabytes, seconds, CPU seconds."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    run = subprocess.run(
        [*command, "--cores", "2", "--", "astro"], cwd=folder, check=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    jobs = re.findall(
        r"^    benchmark: (\S+)\n(?:    .*\n)*?    resources: .*?mem_mb=(\d+)", run.stdout, re.M
    )
    rows: dict[str, tuple[str, float, float, float, float]] = {}
    for file, declared in jobs:
        path = folder / file
        seconds = json.loads(path.read_text().splitlines()[-1])["s"]
        log = Path(str(path).replace("/benchmarks/", "/logs/")).with_suffix(".log").read_text()
        took = re.search(r"Took ([0-9.]+) s of CPU, ([0-9]+) MB", log)
        assert took, f"{path.stem} did not tell what it took"
        row = (path.stem, float(declared), float(took[2]), seconds, float(took[1]))
        if path.stem not in rows or row[2] > rows[path.stem][2]:
            rows[path.stem] = row
    return [rows[step] for step in STEPS if step in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--visits", type=int, default=40)
    parser.add_argument("--keep", type=Path, help="work here and leave everything")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        write_visits(folder, options.visits)
        rows = measure(folder)
    lines = [
        "# Memory and time of jobs beside what they declare",
        "",
        f"Written by `memory.py`: {options.visits} visits of one detector of {SIZE} x {SIZE} "
        "pixels on one patch of 4000 x 4000; `memory_mb` 950, 2 threads. Of each step the job that "
        "took most; memory as the operating system counts it.",
        "",
        "| job | declared (MB) | peak (MB) | peak / declared | wall (s) | CPU (s) |",
        "|---|---|---|---|---|---|",
        *(
            f"| {name} | {declared:.0f} | {used:.0f} | {used / declared:.2f} | {wall:.0f} "
            f"| {cpu:.0f} |"
            for name, declared, used, wall, cpu in rows
        ),
        "",
    ]
    text = "\n".join(lines)
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
