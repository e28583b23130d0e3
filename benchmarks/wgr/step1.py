"""Step 1 beside straightforward float64 numpy: CPU and memory, and what one trait more costs.

    python benchmarks/wgr/step1.py

5,000 people, 50,000 variants, 10 traits, 10 covariates, blocks of 1,000, five folds; one thread,
each side in a process of its own, which reads a .bed and ends with the LOCO predictions. Writes
``step1.md`` beside this file.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from cohort_data import CHROMOSOMES, COVARIATES, PEOPLE, TRAITS, VARIANTS, write_cohort

from tessera.genotypes import GenotypeReader, find_fileset
from tessera.wgr.cohort import Cohort, make_cohorts, penalties, scaled_trait
from tessera.wgr.gram import Block
from tessera.wgr.level0 import level0
from tessera.wgr.level1 import Features, contributions, fit_quantitative, loco

HERE = Path(__file__).resolve()
BLOCK = 1000
H2 = [0.01, 0.25, 0.5, 0.75, 0.99]


def plain_level0(dosages, traits, cohort: Cohort, n_variants: int) -> np.ndarray:
    """Level 0 as one would write it: everything in double precision, a solver per shrinkage."""
    g = dosages.astype(np.float64)
    means = np.nanmean(g, axis=1, keepdims=True)
    g = np.where(np.isnan(g), means, g)
    g -= (g @ cohort.basis) @ cohort.basis.T
    g /= (np.linalg.norm(g, axis=1) / np.sqrt(cohort.df("v4")))[:, None]
    lambdas = penalties(H2, n_variants, "v4")
    parts = [g[:, a:b] for a, b in cohort.edges]
    grams = [part @ part.T for part in parts]
    right = [part @ traits[a:b] for part, (a, b) in zip(parts, cohort.edges, strict=True)]
    gram, whole = sum(grams), sum(right)
    out = np.empty((traits.shape[1], len(lambdas), len(traits)))
    for part, own, seen, (a, b) in zip(parts, grams, right, cohort.edges, strict=True):
        for number, penalty in enumerate(lambdas):
            beta = np.linalg.solve(gram - own + penalty * np.eye(len(gram)), whole - seen)
            out[:, number, a:b] = (part.T @ beta).T
    out -= out.mean(axis=2, keepdims=True)
    return out / (np.linalg.norm(out, axis=2, keepdims=True) / np.sqrt(len(traits) - 1))


def run(folder: Path, side: str, traits: list[str]) -> dict:
    """Step 1 of some traits; returns seconds of CPU by part, memory, and a digest of the result."""
    frame = pd.read_csv(folder / "traits.tsv", sep="\t")
    values = np.ascontiguousarray(frame[traits].to_numpy().T)
    covariates = pd.read_csv(folder / "covariates.tsv", sep="\t").iloc[:, 2:].to_numpy()
    (cohort,) = make_cohorts(values, covariates, 5, False)
    scaled = np.column_stack([scaled_trait(row, cohort, "v4")[0] for row in values])
    fileset = find_fileset(str(folder / "cohort"))
    rows = np.arange(fileset.n_samples)
    # Kernels are compiled before the clock starts, as they are but once on a machine.
    warm = np.random.default_rng(0).integers(0, 3, (20, len(rows))).astype(np.float32)
    warm[0, :3] = np.nan
    list(level0(Block.of(warm), scaled, cohort, H2, fileset.n_variants, "v4"))
    clock = {"level 0": 0.0, "level 1": 0.0}
    with GenotypeReader([fileset], [rows]) as reader, tempfile.TemporaryDirectory() as scratch:
        reader.read(0, 1)
        start = time.process_time()
        files = []
        for first in range(0, fileset.n_variants, BLOCK):
            dosages = reader.read(first, first + BLOCK)
            if side == "ours":
                block = Block.of(dosages)
                own = np.stack(list(level0(block, scaled, cohort, H2, fileset.n_variants, "v4")))
            else:
                own = plain_level0(dosages, scaled, cohort, fileset.n_variants)
            files.append(Path(scratch, f"{first}.npy"))
            np.save(files[-1], own)
            dosages = block = own = None  # as in the pipeline, where each block is a process
        clock["level 0"] = time.process_time() - start
        start = time.process_time()
        chromosomes = np.repeat(np.arange(len(files)) * CHROMOSOMES // len(files) + 1, len(H2))
        answers = []
        for place in range(len(traits)):
            parts = [np.load(file, mmap_mode="r")[place] for file in files]
            features = Features(parts, cohort.rows)
            model = fit_quantitative(features, scaled[:, place], cohort, H2, "v4")
            answers.append(
                loco(contributions(features, model, cohort, chromosomes, scaled[:, place], None))
            )
        clock["level 1"] = time.process_time() - start
    np.save(folder / f"{side}_{len(traits)}.npy", np.array(answers))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1.024e-3
    return {"clock": clock, "memory": memory}


def sgemm_speed() -> float:
    """Return the billions of operations per second of a product in single precision."""
    a = np.random.default_rng(0).random((2000, 2000), np.float32)
    a @ a
    start = time.process_time()
    for _ in range(5):
        a @ a
    return 5 * 2 * 2000**3 / (time.process_time() - start) / 1e9


def main() -> None:
    """Run both sides and write the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_cohort(folder)
        every = [f"t{i}" for i in range(TRAITS)]
        found = {}
        for label, side, traits in (
            ("this library", "ours", every),
            ("plain numpy in float64", "plain", every),
            ("this library, one trait", "ours", every[:1]),
        ):
            command = [sys.executable, str(HERE), str(folder), side, *traits]
            run_ = subprocess.run(command, capture_output=True, text=True, check=True)
            found[label] = json.loads(run_.stdout.splitlines()[-1])
            print(label, found[label], flush=True)
        ours, plain = np.load(folder / "ours_10.npy"), np.load(folder / "plain_10.npy")
        error = np.abs(ours - plain).max() / plain.std()
        alone = np.load(folder / "ours_1.npy")
        same = bool((alone[0] == ours[0]).all())
    totals = {label: sum(each["clock"].values()) for label, each in found.items()}
    lines = [
        "# Step 1",
        "",
        f"{PEOPLE:,} people, {VARIANTS:,} variants, {TRAITS} traits, {COVARIATES} covariates, "
        f"blocks of {BLOCK:,}, five folds, convention v4; one thread of a core whose sgemm does "
        f"{sgemm_speed():.0f} billion operations per second. From the .bed to LOCO predictions, "
        "without imports and compilation.",
        "",
        "| | CPU, level 0 | level 1 and LOCO | both | memory of the process |",
        "|---|---|---|---|---|",
    ]
    for label, each in found.items():
        clock = each["clock"]
        lines.append(
            f"| {label} | {clock['level 0']:.1f} s | {clock['level 1']:.1f} s | "
            f"{totals[label]:.1f} s | {each['memory']:.0f} MB |"
        )
    ratio = totals["plain numpy in float64"] / totals["this library"]
    lines += [
        "",
        f"Plain numpy takes {ratio:.1f} times the CPU; the largest difference of a LOCO prediction "
        f"is {error:.1e} of a standard deviation. A trait alone has "
        + ("the same bytes as" if same else "other bytes than")
        + " among ten.",
        "",
        "Script: `benchmarks/wgr/step1.py`.",
    ]
    HERE.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    threadpool_limits(1)
    if len(sys.argv) > 1:
        print(json.dumps(run(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])))
    else:
        main()
