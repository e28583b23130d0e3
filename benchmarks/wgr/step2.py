"""Step 2 beside PLINK2 `--glm`: tests per second of CPU, on equal results.

    python benchmarks/wgr/step2.py

5,000 people, 20,000 variants, 10 quantitative traits, 10 covariates; one thread each, CPU of the
whole process, imports among it. With predictions of 0 the tests are those of a linear regression:
effects are compared with PLINK2's. Writes ``step2.md`` beside this file.
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

from cohort_data import COVARIATES, PEOPLE, TRAITS, write_cohort

from tessera.genotypes import GenotypeReader, find_fileset
from tessera.wgr.assoc import Field, Rules
from tessera.wgr.step2 import associate, panel_edges
from tessera.wgr.study import Study

HERE = Path(__file__).resolve()
VARIANTS = 20_000
RULES = Rules("v4", "score", 0.05, 5, 0, 0, 1, 0)


def ours(folder: Path) -> None:
    """Test all variants; prints the CPU of the loop alone, and keeps the effects."""
    frame = pd.read_csv(folder / "traits.tsv", sep="\t")
    covariates = pd.read_csv(folder / "covariates.tsv", sep="\t").iloc[:, 2:].to_numpy()
    values = np.ascontiguousarray(frame.iloc[:, 2:].to_numpy().T)
    fileset = find_fileset(str(folder / "cohort"))
    rows = np.arange(fileset.n_samples)
    names = tuple(frame.columns[2:])
    study = Study(tuple(map(str, rows)), names, False, values, covariates, (rows,), {})
    none = dict.fromkeys(names, np.zeros(len(rows)))
    with GenotypeReader([fileset], [rows]) as reader:

        def panels(stop: int):
            for a, b in panel_edges(0, stop):
                dosages, info = reader.read_with_info(a, b)
                yield dosages, info, np.zeros(b - a, bool), np.ones(b - a)

        associate(panels(10), study, none, RULES, 10)  # compiles, or loads what was compiled
        start = time.process_time()
        fields = associate(panels(VARIANTS), study, none, RULES, VARIANTS)
        print(json.dumps({"loop": time.process_time() - start}))
    np.save(folder / "ours.npy", fields[:, [Field.BETA, Field.SE]])


def children_cpu(command: list[str]) -> tuple[float, str]:
    """Run a program; returns its seconds of CPU and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, done.stdout


def main() -> None:
    """Run both and write the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_cohort(folder, PEOPLE, VARIANTS)
        for table in ("traits", "covariates"):
            text = (folder / f"{table}.tsv").read_text(encoding="utf-8")
            (folder / f"{table}.txt").write_text("#" + text, encoding="utf-8")
        mine = [sys.executable, str(HERE), str(folder)]
        children_cpu(mine)  # so that kernels are compiled
        own, printed = children_cpu(mine)
        loop = json.loads(printed.splitlines()[-1])["loop"]
        plink = [
            *("plink2", "--bfile", str(folder / "cohort"), "--threads", "1"),
            *("--pheno", str(folder / "traits.txt"), "--covar", str(folder / "covariates.txt")),
            *("--covar-variance-standardize", "--glm", "hide-covar", "omit-ref"),
            *("--out", str(folder / "plink")),
        ]
        theirs, _ = children_cpu(plink)
        version = subprocess.run(["plink2", "--version"], capture_output=True, text=True).stdout
        fields = np.load(folder / "ours.npy")
        difference = 0.0
        for trait in range(TRAITS):
            table = pd.read_csv(folder / f"plink.t{trait}.glm.linear", sep="\t")
            complete = table["OBS_CT"].to_numpy() == PEOPLE
            beta = table["BETA"].to_numpy()
            off = np.abs(fields[trait, 0] - beta)[complete] / table["SE"].to_numpy()[complete]
            difference = max(difference, float(off.max(initial=0)))
    tests = VARIANTS * TRAITS
    lines = [
        "# Step 2",
        "",
        f"{PEOPLE:,} people, {VARIANTS:,} variants, {TRAITS} quantitative traits, {COVARIATES} "
        "covariates; one thread. CPU of the whole process, from the .bed.",
        "",
        "| | CPU | tests per second of CPU |",
        "|---|---|---|",
        f"| this library | {own:.1f} s ({loop:.1f} s without imports) | {tests / own:,.0f} |",
        f"| {version.split(' (')[0].strip()} `--glm` | {theirs:.1f} s | {tests / theirs:,.0f} |",
        "",
        f"{theirs / own:.1f} times PLINK2's speed. Where no genotype is missing the effects differ "
        f"by {difference:.1e} standard errors at most (PLINK2 prints six digits).",
        "",
        "Script: `benchmarks/wgr/step2.py`.",
    ]
    HERE.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    threadpool_limits(1)
    if len(sys.argv) > 1:
        ours(Path(sys.argv[1]))
    else:
        main()
