"""The map step beside the bare matrix product, and beside nilearn and PLINK2.

    python benchmarks/vgwas/kernels.py

One thread each, CPU seconds of one process (of PLINK2: of that program), compilation apart; the
map step goes from a .bed file to hits and clusters, and is timed in turn with the product of the
same shapes. Writes ``kernels.md`` beside this file.
"""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from nilearn import __version__ as nilearn_version
from nilearn.maskers import NiftiMasker
from nilearn.mass_univariate import permuted_ols
from scipy import ndimage
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from stein import PEOPLE, VOXELS, cpu_model, genotypes, mask_of

from tessera.genotypes import GenotypeReader, find_fileset, write_bed
from tessera.vgwas import scan as scan_module
from tessera.vgwas.design import Design, make_design
from tessera.vgwas.exact import Model
from tessera.vgwas.plan import BLOCK
from tessera.vgwas.scan import Mapper
from tessera.vgwas.study import Settings, Study

SETTINGS = Settings(
    coding="additive", missing="mean", min_mac=10, max_missing=0.05, threshold_p=1e-5,
    cluster_p=1e-3, cluster_t=None, connectivity=26, scheme="smith", seed=1, max_hits=1e8,
    engine="sgemm",
)  # fmt: skip
SNPS = 4 * BLOCK


def cpu(function: Callable[[], Any]) -> float:
    """Return the CPU seconds that a call takes."""
    start = time.process_time()
    function()
    return time.process_time() - start


def simulate(folder: Path, n_snps: int, n_voxels: int) -> tuple[Study, Design, np.ndarray]:
    """Write genotypes; return a study of smooth maps, its covariates, and the maps as they are."""
    people = pd.DataFrame({"fid": [f"P{i:04}" for i in range(PEOPLE)]})
    people["iid"] = people["fid"]
    variants = pd.DataFrame(
        {"id": [f"rs{i}" for i in range(n_snps)], "chr": "1", "pos": np.arange(n_snps) + 1}
    ).assign(a1="A", a2="G")
    write_bed(folder / "cohort", genotypes(n_snps, PEOPLE), people, variants)
    mask, _ = mask_of(n_voxels)
    rng = np.random.default_rng(3)
    columns = {f"c{i}": rng.standard_normal(PEOPLE) for i in range(4)}
    design = make_design(PEOPLE, columns)
    maps = np.array(
        [ndimage.gaussian_filter(rng.standard_normal(mask.shape), 1.2)[mask] for _ in range(PEOPLE)]
    )
    y = maps.T - (maps.T @ design.basis.T) @ design.basis
    length = np.sqrt(np.square(y).sum(axis=1))
    unit = (y / length[:, None]).astype(np.float32)
    norm = np.sqrt(np.square(unit.astype(np.float64)).sum(axis=1))
    k, j, i = np.nonzero(mask)
    places = np.arange(PEOPLE)
    study = Study(
        Model(unit, norm, design.basis), length, np.arange(n_voxels, dtype=np.int32),
        np.zeros(PEOPLE, np.int64), np.stack([i, j, k], axis=1), places[np.newaxis],
    )  # fmt: skip
    return study, design, maps


def map_step(
    study: Study, folder: Path, n_snps: int, permutations: int, settings: Settings = SETTINGS
) -> Callable[[], Any]:
    """Return the map step of all SNPs: the scan, or that and permutations."""
    mapper = Mapper(study, settings)
    fileset = find_fileset(str(folder / "cohort"))

    def run() -> None:
        with GenotypeReader([fileset], study.genotypes) as reader:

            def blocks() -> Any:
                for start in range(0, n_snps, BLOCK):
                    stop = min(start + BLOCK, n_snps)
                    yield start, reader.read(start, stop), np.zeros(stop - start, bool)

            for _ in mapper.scan(blocks()):
                pass
            if permutations:
                mapper.null(blocks(), range(1, permutations + 1))

    return run


def beside_sgemm(folder: Path) -> dict[str, float]:
    """Time the map step and the product of the same shapes in turn, and clusters within it."""
    study, _, _ = simulate(folder, SNPS, VOXELS)
    rng = np.random.default_rng(4)
    x = rng.standard_normal((BLOCK, PEOPLE)).astype(np.float32)
    out = np.empty((BLOCK, VOXELS), np.float32)

    def product() -> None:
        for _ in range(SNPS // BLOCK):
            np.matmul(x, study.model.y.T, out=out)

    def product_in_blocks() -> None:
        for _ in range(SNPS // BLOCK):
            for start in range(0, VOXELS, 2048):
                np.matmul(x, study.model.y[start : start + 2048].T)

    spent = [0.0]
    found = scan_module.clusters

    def timed(*args: Any) -> Any:
        start = time.process_time()
        answer = found(*args)
        spent[0] += time.process_time() - start
        return answer

    scan = map_step(study, folder, SNPS, 0)
    mapper = Mapper(study, SETTINGS)
    with GenotypeReader([find_fileset(str(folder / "cohort"))], study.genotypes) as reader:
        blocks = [
            (start, reader.read(start, start + BLOCK), np.zeros(BLOCK, bool))
            for start in range(0, SNPS, BLOCK)
        ]

    def null() -> None:
        mapper.null(blocks, [7])

    scan(), null(), product()
    scan_module.clusters = timed
    rows = [[cpu(f) for f in (product, scan, product_in_blocks, null)] for _ in range(9)]
    scan_module.clusters = found
    products, scans, in_blocks, nulls = np.array(rows).T
    best = np.minimum(products, in_blocks)
    return {
        "gflops": 2 * SNPS * VOXELS * PEOPLE / float(np.median(best)) / 1e9,
        "tests": SNPS * VOXELS / float(np.median(scans)) / 1e6,
        "scan": float(np.median(best / scans)),
        "null": float(np.median(best / nulls)),
        "clusters": spent[0] / float(scans.sum() + nulls.sum()),
        "scan_s": float(np.median(scans)),
        "product_s": float(np.median(best)),
    }


def beside_nilearn(folder: Path) -> dict[str, float]:
    """Time 20 permutations of 200 SNPs and 6,000 voxels, without and with clusters."""
    n_snps, n_voxels, permutations = 200, 6_000, 20
    study, design, maps = simulate(folder, n_snps, n_voxels)
    with GenotypeReader([find_fileset(str(folder / "cohort"))], study.genotypes) as reader:
        counts = reader.read(0, n_snps).astype(np.float64)
    counts = np.where(np.isnan(counts), np.nanmean(counts, axis=1, keepdims=True), counts)
    mask, affine = mask_of(n_voxels)
    masker = NiftiMasker(nib.Nifti1Image(mask.T.astype(np.uint8), affine)).fit()
    # The order of the voxels does not matter to its cost.
    options: dict[str, Any] = {
        "confounding_vars": design.basis[1:].T, "model_intercept": True, "n_perm": permutations,
        "two_sided_test": True, "random_state": 0, "n_jobs": 1, "verbose": 0, "output_type": "dict",
    }  # fmt: skip

    def peer() -> None:
        permuted_ols(counts.T, maps, **options)

    def peer_clusters() -> None:
        permuted_ols(counts.T, maps, masker=masker, threshold=0.001, **options)

    ours = map_step(study, folder, n_snps, permutations)
    ours()
    return {
        "peer": cpu(peer),
        "peer_clusters": cpu(peer_clusters),
        "tessera": float(np.median([cpu(ours) for _ in range(5)])),
    }


def beside_plink(folder: Path) -> dict[str, float]:
    """Time PLINK2 on 4,096 SNPs and 100 voxels, without missing genotypes as with them."""
    n_snps, n_voxels = 8 * BLOCK, 100
    _, design, maps = simulate(folder, n_snps, n_voxels)
    ids = [f"P{i:04}" for i in range(PEOPLE)]
    names = [f"v{i}" for i in range(n_voxels)]
    for name, values, columns in (
        ("maps", maps, names),
        ("covariates", design.basis[1:].T, [f"c{i}" for i in range(len(design.basis) - 1)]),
    ):
        table = pd.DataFrame(values, columns=columns)
        table.insert(0, "IID", ids)
        table.insert(0, "#FID", ids)
        table.to_csv(folder / f"{name}.tsv", sep="\t", index=False)
    command = [
        *("plink2", "--bfile", str(folder / "cohort"), "--pheno", str(folder / "maps.tsv")),
        *("--covar", str(folder / "covariates.tsv"), "--glm", "hide-covar", "omit-ref"),
        *("--pfilter", "1e-5", "--threads", "1", "--out", str(folder / "peer")),
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    peer = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    version = subprocess.run(["plink2", "--version"], capture_output=True, text=True, check=True)
    full, _, _ = simulate(folder, n_snps, VOXELS)
    ours, ours_complete = (
        map_step(full, folder, n_snps, 0, replace(SETTINGS, missing=missing))
        for missing in ("mean", "complete")
    )
    ours(), ours_complete()
    return {
        "peer": 1e6 * peer / (n_snps * n_voxels),
        "tessera": 1e6 * cpu(ours) / (n_snps * VOXELS),
        "complete": 1e6 * cpu(ours_complete) / (n_snps * VOXELS),
        "version": re.sub(r"\s+", " ", version.stdout).strip(),  # type: ignore[dict-item]
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch, threadpool_limits(1):
        folder = Path(scratch)
        product = beside_sgemm(folder)
        nilearn = beside_nilearn(folder)
        plink = beside_plink(folder)
    text = f"""# The map step beside the bare product and its peers

Written by `kernels.py`: {PEOPLE} people, one thread, CPU seconds, compilation apart.
numpy {np.__version__}, nilearn {nilearn_version}, {plink["version"]}; {cpu_model()}.

From the .bed file to hits and clusters, {SNPS:,} SNPs x {VOXELS:,} voxels, in turn with the product
of the same shapes (whole, and in the blocks that the map step takes; the faster counts), medians
of nine:

| | |
|---|---|
| sgemm alone | {product["product_s"]:.2f} s, {product["gflops"]:.0f} GFLOP/s |
| map step, the scan | {product["scan_s"]:.2f} s, {product["tests"]:.0f} million tests/s |
| sgemm / map step, the scan | {product["scan"]:.1%} |
| sgemm / map step, a permutation | {product["null"]:.1%} |
| clusters at p = 0.001, of the map step | {product["clusters"]:.1%} |

| peer | what | peer | tessera | ratio |
|---|---|---|---|---|
| nilearn `permuted_ols`, max-T and clusters | 200 SNPs x 6,000 voxels, 20 permutations \
| {nilearn["peer_clusters"]:.1f} s | {nilearn["tessera"]:.2f} s \
| {nilearn["peer_clusters"] / nilearn["tessera"]:.0f} |
| nilearn `permuted_ols`, max-T alone | the same (ours with clusters) | {nilearn["peer"]:.1f} s \
| {nilearn["tessera"]:.2f} s | {nilearn["peer"] / nilearn["tessera"]:.1f} |
| PLINK2 `--glm --pfilter` | us per test; 100 voxels, {VOXELS:,} of ours \
| {plink["peer"]:.2f} | {plink["tessera"]:.4f} | {plink["peer"] / plink["tessera"]:.0f} |
| the same, `missing: complete` as PLINK2 does | us per test \
| {plink["peer"]:.2f} | {plink["complete"]:.4f} | {plink["peer"] / plink["complete"]:.0f} |
"""
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
