"""The scan of Stein et al. 2010 in its full size, simulated, through the pipeline itself.

    python benchmarks/vgwas/stein.py [--snps N] [--keep FOLDER]

448,293 SNPs x 31,622 voxels x 740 people (NeuroImage 53, 1160): maps of smooth noise and genotypes
in linkage blocks are made, `snakemake vgwas` runs on two cores without permutations, and
``stein.md`` is written beside this file. CPU seconds and memory of every job are those that it
tells itself; wall time is that of the whole call, the start of Snakemake included.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from tessera import nifti
from tessera.genotypes import write_bed

ROOT = Path(__file__).resolve().parents[2]
PEOPLE, VOXELS, SNPS = 740, 31_622, 448_293
CHUNK = 10_000  # SNPs of genotypes in memory at a time
EFFECT = 0.30  # correlation planted at one SNP, in a ball of voxels


def mask_of(n_voxels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an ellipsoid of just so many voxels of 4 mm, and its affine."""
    z, y, x = np.mgrid[-22:23, -27:28, -22:23]
    distance = (x / 17.5) ** 2 + (y / 22.5) ** 2 + (z / 18.5) ** 2
    order = np.argsort(distance, axis=None, kind="stable")
    mask = np.zeros(distance.shape, bool)
    mask.ravel()[order[:n_voxels]] = True
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = -88, -126, -70
    return mask, affine


def genotypes(n_snps: int, n: int) -> Iterator[np.ndarray]:
    """Yield counts of an allele: blocks of 12 SNPs that share most of their two haplotypes."""
    for start in range(0, n_snps, CHUNK):
        rng = np.random.Generator(np.random.Philox(key=np.array([11, start], np.uint64)))
        size = min(CHUNK, n_snps - start)
        blocks = -(-size // 12)
        maf = rng.uniform(0.05, 0.5, blocks).astype(np.float32)
        counts = np.zeros((size, n), np.int8)
        for _ in range(2):
            shared = (rng.random((blocks, n), np.float32) < maf[:, None]).repeat(12, axis=0)[:size]
            own = rng.random((size, n), np.float32) < maf.repeat(12)[:size, None]
            counts += np.where(rng.random((size, n), np.float32) < 0.8, shared, own)
        counts[rng.random((size, n), np.float32) < 0.005] = -1
        yield counts


def write_study(folder: Path, n_snps: int) -> None:
    """Write genotypes, maps, covariates and a config."""
    (folder / "maps").mkdir(parents=True)
    people = pd.DataFrame({"fid": [f"P{i:04}" for i in range(PEOPLE)]})
    people["iid"] = people["fid"]
    chromosome = 1 + np.arange(n_snps) * 22 // n_snps
    variants = pd.DataFrame(
        {
            "id": [f"rs{i}" for i in range(n_snps)],
            "chr": chromosome.astype(str),
            "pos": 10_000 + 6_000 * np.arange(n_snps),
            "a1": "A",
            "a2": "G",
        }
    )
    kept: list[np.ndarray] = []

    def chunks() -> Iterator[np.ndarray]:
        for chunk in genotypes(n_snps, PEOPLE):
            kept.append(chunk[len(chunk) // 2].copy())
            yield chunk

    write_bed(folder / "cohort", chunks(), people, variants)
    signal = kept[0].astype(np.float64)
    signal[signal < 0] = signal[signal >= 0].mean()
    signal = (signal - signal.mean()) / signal.std()
    mask, affine = mask_of(VOXELS)
    nifti.write(folder / "mask.nii.gz", mask, affine)
    z, y, x = np.indices(mask.shape)
    ball = (x - 22) ** 2 + (y - 40) ** 2 + (z - 22) ** 2 <= 9
    rng = np.random.default_rng(5)
    age = rng.uniform(55, 90, PEOPLE)
    sex = rng.integers(0, 2, PEOPLE)
    for i, name in enumerate(people["iid"]):
        noise = ndimage.gaussian_filter(rng.standard_normal(mask.shape), 1.2)
        noise /= noise[mask].std()
        values = 1000 + 50 * (noise + 0.02 * (age[i] - 70) + EFFECT * signal[i] * ball)
        nifti.write(folder / f"maps/{name}.nii.gz", (values * mask).astype(np.float32), affine)
    sheet = "".join(f"{name}\tmaps/{name}.nii.gz\n" for name in people["iid"])
    (folder / "images.tsv").write_text("subject\tmap\n" + sheet)
    table = pd.DataFrame({"subject": people["iid"], "age": age.round(2), "sex": sex})
    table.to_csv(folder / "covariates.tsv", sep="\t", index=False)
    (folder / "config.yaml").write_text(
        "pipelines: [vgwas]\nvgwas:\n  genotypes: cohort\n  images: images.tsv\n"
        "  mask: mask.nii.gz\n  covariates: covariates.tsv\n  permutations: 0\n"
    )


def took(folder: Path) -> pd.DataFrame:
    """Return what the jobs of each rule took, as their logs tell."""
    rows = []
    for log in sorted((folder / "results/logs/vgwas").rglob("*.log")):
        cost = re.search(r"Took ([0-9.]+) s of CPU, ([0-9]+) MB", log.read_text())
        rule = log.parent.name if log.parent.name in ("map", "reduce") else log.stem
        if cost:
            rows.append((rule, float(cost[1]), int(cost[2])))
    table = pd.DataFrame(rows, columns=["rule", "cpu", "mb"])
    return table.groupby("rule", sort=False).agg(
        jobs=("cpu", "size"), cpu=("cpu", "sum"), mb=("mb", "max")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--snps", type=int, default=SNPS)
    parser.add_argument("--keep", type=Path, help="work here and leave everything")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        if not (folder / "config.yaml").exists():
            write_study(folder, options.snps)
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        start = time.monotonic()
        subprocess.run([*command, "--cores", "2", "--", "vgwas"], cwd=folder, check=True)
        wall = time.monotonic() - start
        jobs = took(folder)
        results = folder / "results/vgwas"
        inference = json.loads((results / "inference.json").read_text())
        hits = pq.read_metadata(results / "hits.parquet").num_rows
        disk = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e9
    tests = inference["n_tests"]
    speed = tests / jobs.loc["map", "cpu"] / 1e6
    lines = [
        "# The scan of Stein et al. 2010, simulated in its full size",
        "",
        f"Written by `stein.py`: {inference['n_snps']:,} SNPs x {inference['n_voxels']:,} voxels x "
        f"{inference['n_subjects']} people, {tests:,} tests, `snakemake --cores 2 vgwas` from maps "
        f"and genotypes to the page. {cpu_model()}; numpy {np.__version__}.",
        "",
        "| | Tessera | Stein et al. 2010 |",
        "|---|---|---|",
        "| machines | 2 cores of one | 300 nodes |",
        f"| wall time | {wall / 60:.1f} minutes | about 27 hours |",
        f"| CPU time | {jobs['cpu'].sum() / 60:.1f} minutes | |",
        f"| CPU time of the map step | {jobs.loc['map', 'cpu'] / 60:.1f} minutes | |",
        f"| tests per second of CPU, map step | {speed:.0f} million | |",
        f"| largest job | {jobs['mb'].max()} MB | |",
        f"| hits at p <= 1e-5 (by chance: {tests * 1e-5:,.0f}) | {hits:,} | |",
        f"| lambda | {inference['lambda']:.3f} | |",
        f"| disk, inputs and results | {disk:.1f} GB | |",
        "",
        "| step | jobs | CPU (s) | peak (MB) |",
        "|---|---|---|---|",
        *(f"| {row.Index} | {row.jobs} | {row.cpu:.0f} | {row.mb} |" for row in jobs.itertuples()),
        "",
    ]
    text = "\n".join(lines)
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)


def cpu_model() -> str:
    """Return the name of the processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "")
    return name or platform.machine()


if __name__ == "__main__":
    main()
