"""What level 0 of one trait more, or of 1 % more people, costs beside a full run.

    python benchmarks/wgr/nplus1.py

Blocks of 1,000 variants, 10 traits, 10 covariates, five folds; 5,000 and 50,000 people; one thread.
A run is what the jobs of `wgr_level0` do, from the .bed to the predictions on disk; its cost is the
CPU of the process, the median of three runs that take turns with the others. Writes ``nplus1.md``
beside this file.
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from cohort_data import COVARIATES, TRAITS, write_cohort

from tessera.genotypes import find_fileset
from tessera.wgr.kept import Shelf
from tessera.wgr.steps import level0_block
from tessera.wgr.study import Study

HERE = Path(__file__).resolve()
BLOCK = 1000
SETTINGS = {"convention": "v4", "folds": 5, "h2_grid": [0.01, 0.25, 0.5, 0.75, 0.99]}
RUNS = 3


class Cohort:
    """A cohort on disk, and runs of level 0 over it."""

    def __init__(self, folder: Path, people: int, blocks: int) -> None:
        write_cohort(folder, people, blocks * BLOCK)
        self.folder, self.blocks = folder, blocks
        self.everyone = np.arange(people)
        self.most = np.delete(self.everyone, np.arange(50, people, 100))
        traits = pd.read_csv(folder / "traits.tsv", sep="\t").iloc[:, 2:].to_numpy().T
        noise = np.random.default_rng(3).standard_normal(people)
        self.values = np.vstack([traits, traits.sum(axis=0) + noise])
        self.covariates = pd.read_csv(folder / "covariates.tsv", sep="\t").iloc[:, 2:].to_numpy()
        self.filesets = [find_fileset(str(folder / "cohort"))]
        kept = np.arange(blocks * BLOCK)
        np.savez(folder / "variants.npz", kept=kept, chromosomes=np.ones(len(kept), np.int64))

    def run(self, traits: range, people: np.ndarray, shelf: str | None) -> tuple[float, bytes]:
        """Return the CPU of a run per block, and the predictions of the last one."""
        values = np.ascontiguousarray(self.values[list(traits)][:, people])
        ids, names = tuple(map(str, people)), tuple(map(str, traits))
        study = Study(ids, names, False, values, self.covariates[people], (people,), {})
        place, start = self.folder / "predictions.npy", time.process_time()
        for number in range(self.blocks):
            held = Shelf(self.folder / shelf / str(number), "this code") if shelf else None
            level0_block(
                place, self.filesets, study, str(self.folder / "variants.npz"), [1, number], BLOCK,
                SETTINGS, held,
            )  # fmt: skip
        return (time.process_time() - start) / self.blocks, place.read_bytes()

    def again(self, before: str, traits: range) -> tuple[float, bytes]:
        """Run beside what an earlier run kept, which stays as it is."""
        shutil.rmtree(self.folder / "now", ignore_errors=True)
        shutil.copytree(self.folder / before, self.folder / "now")
        return self.run(traits, self.everyone, "now")


def measure(people: int, blocks: int) -> list[str]:
    """Measure one size, and return rows of the table."""
    ten, eleven, alone = range(TRAITS), range(TRAITS + 1), range(TRAITS, TRAITS + 1)
    with tempfile.TemporaryDirectory() as name:
        cohort = Cohort(Path(name), people, blocks)
        cohort.run(ten, cohort.most, "of most")
        cohort.run(ten, cohort.everyone, "of all")
        kinds = {
            "10 traits, nothing kept": lambda: cohort.run(ten, cohort.everyone, None),
            "10 traits, sums kept for the first time": lambda: cohort.run(
                ten, cohort.everyone, f"new{time.monotonic_ns()}"
            ),
            "the same again": lambda: cohort.again("of all", ten),
            "one trait added to 10": lambda: cohort.again("of all", eleven),
            "one other trait alone": lambda: cohort.again("of all", alone),
            "1 % of people added": lambda: cohort.again("of most", ten),
        }
        taken: dict[str, list[float]] = {kind: [] for kind in kinds}
        answers = {}
        for _ in range(RUNS):
            for kind, call in kinds.items():
                cpu, answers[kind] = call()
                taken[kind].append(cpu)
                for path in cohort.folder.glob("new*"):
                    shutil.rmtree(path)
                print(people, kind, f"{cpu:.3f}", flush=True)
        _, plain = cohort.run(eleven, cohort.everyone, None)
        assert answers["one trait added to 10"] == plain, "other bytes"
        full = answers["10 traits, nothing kept"]
        assert full == answers["1 % of people added"] == answers["the same again"], "other bytes"
        kept = sum(path.stat().st_size for path in (cohort.folder / "of all" / "0").iterdir())
    middle = {kind: float(np.median(each)) for kind, each in taken.items()}
    whole = middle["10 traits, nothing kept"]
    rows = [
        f"| {people:,} | {kind} | {cpu:.2f} s | {cpu / whole:.0%} |" for kind, cpu in middle.items()
    ]
    return [*rows, f"| {people:,} | *kept on disk per block* | {kept / 1e6:.0f} MB | |"]


def main() -> None:
    """Measure both sizes and write the table."""
    with tempfile.TemporaryDirectory() as name:  # kernels are compiled before the clock starts
        small = Cohort(Path(name), 500, 1)
        for people in (small.most, small.everyone):
            small.run(range(2), people, "warm")
    rows = [*measure(5000, 4), *measure(50_000, 2)]
    lines = [
        "# Level 0 of a little more",
        "",
        f"{TRAITS} traits, {COVARIATES} covariates, blocks of {BLOCK:,} variants, five folds, one "
        f"thread. CPU per block, median of {RUNS}; predictions have the same bytes as without "
        "anything kept.",
        "",
        "| people | run | CPU per block | of a full run |",
        "|---|---|---|---|",
        *rows,
        "",
        "Script: `benchmarks/wgr/nplus1.py`.",
    ]
    HERE.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
