"""A small study of genotypes and traits for `wgr`, to be spoiled, and its rules run in process."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import runpy
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from bgens import put_bgen, variant
from tessera.genotypes import write_bed
from tools import ROOT, plan

SECTION = {
    "genotypes": "cohort",
    "phenotypes": "traits.tsv",
    "covariates": "covariates.tsv",
    "block_size": 5,
    "folds": 3,
    "burden": None,
}
OF_TRAIT = ("level1/{}.json", "loco/{}.loco", "assoc/{}.parquet", "assoc/{}.regenie.gz")
BURDEN = {"annotations": "annotations.tsv", "sets": "sets.tsv", "masks": "masks.tsv"}


class Genomes:
    """A sound study: people, `per` variants on each of some chromosomes, a trait, covariates.

    The traits are the work of two variants, the second one and one from the middle, and of noise.
    """

    def __init__(self, n: int = 60, per: int = 8, chromosomes: int = 3) -> None:
        rng = np.random.default_rng(7)
        many = per * chromosomes
        self.people = pd.DataFrame(
            {"fid": [f"F{i // 2:03d}" for i in range(n)], "iid": [f"P{i:03d}" for i in range(n)]}
        )
        self.counts = rng.binomial(2, rng.uniform(0.25, 0.5, (many, 1)), (many, n)).astype(np.int8)
        self.variants = pd.DataFrame(
            {
                "id": [f"rs{1 + k // per}_{1 + k % per}" for k in range(many)],
                "chr": [str(1 + k // per) for k in range(many)],
                "pos": [1000 * (1 + k % per) for k in range(many)],
                "a1": "A",
                "a2": "G",
            }
        )
        self.covariates: dict[str, Any] = {
            "age": rng.uniform(40, 70, n).round(1),
            "sex": np.arange(n) % 2,
        }
        genetic = self.counts[1] - 0.8 * self.counts[many // 2]
        height = genetic + 0.02 * self.covariates["age"] + rng.normal(0, 0.8, n)
        weight = 0.5 * genetic + rng.normal(size=n)
        self.traits: dict[str, Any] = {"height": height.round(4), "weight": weight.round(4)}
        self.sick = (genetic + rng.normal(size=n) > np.median(genetic)).astype(int)
        # In another order than the genotypes, for only ids may join.
        self.traited = self.people[::-1]
        self.covaried = self.people.iloc[rng.permutation(n)]
        self.section: dict[str, Any] = {}
        self.after: Callable[[], object] = lambda: None  # spoils files, in their folder

    def write(self) -> None:
        """Write the files into the working directory."""
        write_bed(Path("cohort"), [self.counts], self.people, self.variants)
        for file, columns, ids in (
            ("traits.tsv", self.traits, self.traited),
            ("covariates.tsv", self.covariates, self.covaried),
        ):
            table = pd.DataFrame({name: list(cells) for name, cells in columns.items()})
            table = table.set_index(self.people.index).reindex(ids.index)
            ids = ids[["fid", "iid"]].set_axis(["FID", "IID"], axis=1)
            pd.concat([ids, table], axis=1).to_csv(file, sep="\t", index=False, na_rep="NA")
        self.after()

    def config(self) -> dict[str, Any]:
        return {"wgr": SECTION | self.section}

    def binary(self, **traits: Any) -> None:
        """Make binary traits of it: `sick`, and others."""
        self.traits = {"sick": self.sick, **traits}
        self.section = {"trait_type": "bt", **self.section}

    def burden(self) -> None:
        """Add three files of burden tests, of the first two variants of each chromosome."""
        first = self.variants.groupby("chr", sort=False)["id"].apply(lambda ids: list(ids[:2]))
        rows = [f"{ids[0]} GENE{c} lof\n{ids[1]} GENE{c} missense\n" for c, ids in first.items()]
        Path("annotations.tsv").write_text("".join(rows))
        sets = [f"GENE{c} {c} 1000 {','.join(ids)}\n" for c, ids in first.items()]
        Path("sets.tsv").write_text("".join(sets))
        Path("masks.tsv").write_text("hard lof\nany lof,missense\n")
        burden = {"tests": ["max", "sum", "comphet"], "aaf_bins": [1], "singletons": False}
        self.section = {"burden": BURDEN | burden, **self.section}


@dataclass
class Outcome:
    """What a run left in a folder, and its logs by rule in the order of the jobs."""

    folder: Path
    logs: list[tuple[str, str]]

    def log(self, rule: str) -> str:
        return "".join(text for name, text in self.logs if name == rule)

    def text(self, name: str) -> str:
        return (self.folder / name).read_text()

    def table(self, name: str) -> pd.DataFrame:
        if name.endswith(".parquet"):
            return pd.read_parquet(self.folder / name)
        return pd.read_csv(self.folder / name, sep="\t", keep_default_na=False)

    @property
    def ledger(self) -> dict[str, Any]:
        return json.loads(self.text("ledger.json"))

    @property
    def traits(self) -> pd.DataFrame:
        return self.table("traits.tsv").set_index("trait")

    @property
    def aside(self) -> dict[str, Mapping[str, str]]:
        table = self.table("quarantine.tsv").set_index("trait")
        return {str(trait): row.to_dict() for trait, row in table.iterrows()}

    def bytes_of(self, trait: str) -> dict[str, bytes]:
        """Return the files of one trait."""
        return {name: (self.folder / name.format(trait)).read_bytes() for name in OF_TRAIT}


class Refused(Exception):
    """A job ended with the sentences that its log holds, or the plan with those on the terminal."""


def go(study: Genomes, *targets: str) -> Outcome:
    """Write the study into the working directory, and do what the rules do there."""
    study.write()
    return carry_out(study.config(), *targets)


def carry_out(config: Mapping[str, Any], *targets: str) -> Outcome:
    """Run the scripts of the planned jobs in this process, as the rules call them.

    Raises
    ------
    Refused
        Bad input, in words.
    """
    shutil.rmtree("results", ignore_errors=True)
    try:
        todo = list(plan(Path(), targets or ["wgr"], config).jobs)
    except SystemExit as ended:
        raise Refused(str(ended)) from None
    logs = []
    while todo:
        awaited = {str(file) for job in todo for file in job.output}
        ready = [job for job in todo if awaited.isdisjoint(map(str, job.input))]
        for job in sorted(ready, key=lambda job: -job.priority):
            todo.remove(job)
            if job.rule.script:
                logs.append((job.rule.name, perform(job)))
    return Outcome(Path("results/wgr").absolute(), logs)


def perform(job: Any) -> str:
    """Run the script of one job; return its log."""
    for file in map(Path, job.output):
        shutil.rmtree(file) if file.is_dir() else file.unlink(missing_ok=True)
    log = Path(job.log[0])
    log.parent.mkdir(parents=True, exist_ok=True)
    given = SimpleNamespace(
        input=job.input,
        output=job.output,
        params=job.params,
        resources=job.resources,
        wildcards=job.wildcards,
        threads=1,
        log=job.log,
        rule=job.rule.name,
    )
    script = (ROOT / "rules" / job.rule.script).resolve()
    with calm():
        try:
            runpy.run_path(str(script), {"snakemake": given})
            status = 0
        except SystemExit as ended:
            status = ended.code
    if status:
        assert not any(Path(file).exists() for file in job.output), "half-written"
        raise Refused(log.read_text())
    assert all(Path(file).exists() for file in job.output)
    return log.read_text()


@contextlib.contextmanager
def calm() -> Iterator[None]:
    """Put back what a job changes of its process."""
    before = dict(os.environ), list(sys.path), list(logging.root.handlers)
    os.environ["TESSERA_LIBRARY"] = str(ROOT / "scripts")
    try:
        with threadpool_limits(1):
            yield
    finally:
        os.environ.clear()
        os.environ.update(before[0])
        sys.path[:], logging.root.handlers[:] = before[1:]


def refusal(study: Genomes, *targets: str) -> str:
    """Return the sentences in which a study is refused; nothing half-written remains."""
    with pytest.raises(Refused) as caught:
        go(study, *targets)
    text = str(caught.value)
    assert "Traceback" not in text
    assert not list(Path().rglob(".tmp-*"))
    return text


def write_bgen(study: Genomes) -> str:
    """Write the genotypes as a .bgen and its .sample."""
    chances = np.eye(3)[2 - study.counts]
    rows = [
        variant(chances[k], v["id"], v["chr"], v["pos"], ("A", "G"))
        for k, v in study.variants.iterrows()
    ]
    put_bgen("all", rows, index=False)
    names = [f"{fid} {iid} 0 NA\n" for fid, iid in study.people.to_numpy()]
    Path("all.sample").write_text("ID_1 ID_2 missing sex\n0 0 0 D\n" + "".join(names))
    return "all.bgen"


def write_vcf(study: Genomes) -> str:
    """Write the genotypes as a VCF, and call the families as the individuals."""
    names = "\t".join(study.people["iid"])
    lines = ["##fileformat=VCFv4.2", *(f"##contig=<ID={c}>" for c in "123")]
    lines += ['##FORMAT=<ID=GT,Number=1,Type=String,Description="g">']
    lines += [f"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t{names}"]
    for row, calls in zip(study.variants.itertuples(), study.counts, strict=True):
        cells = "\t".join(("0/0", "0/1", "1/1")[count] for count in calls)
        lines.append(f"{row.chr}\t{row.pos}\t{row.id}\tG\tA\t.\t.\t.\tGT\t{cells}")
    Path("all.vcf").write_text("\n".join(lines) + "\n")
    for ids in (study.people, study.traited, study.covaried):
        ids["fid"] = ids["iid"]
    return "all.vcf"


def write_parts(study: Genomes) -> list[str]:
    """Write a .bed for each chromosome, with people in an order of its own but for the first."""
    names = []
    for number, (chromosome, own) in enumerate(study.variants.groupby("chr", sort=False)):
        order = np.arange(len(study.people))
        if number:
            order = np.random.default_rng(number).permutation(order)
        names.append(f"chr{chromosome}")
        counts = study.counts[own.index][:, order]
        write_bed(Path(names[-1]), [counts], study.people.iloc[order], own)
    return names
