"""A small study with genotypes, maps and covariates, to be spoiled by tests of bad input."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tessera import nifti
from tessera.config import load_schema, validate_config
from tessera.errors import InputError
from tessera.genotypes import GenotypeReader, read_variants, write_bed
from tessera.vgwas.check import check_study
from tessera.vgwas.inference import Conclusion, conclude
from tessera.vgwas.parts import merge, write_scan
from tessera.vgwas.plan import read_study
from tessera.vgwas.prepare import Prepared, prepare
from tessera.vgwas.scan import Mapper
from tessera.vgwas.study import Settings
from tessera.vgwas.voxels import atlas_files, read_grid, read_labels
from tools import ROOT

PEOPLE = [f"S{i:02d}" for i in range(40)]
SHAPE = (14, 15, 16)  # Z, Y, X
AFFINE = np.array([[-2.0, 0, 0, 10], [0, 2, 0, -8], [0, 0, 2, 4], [0, 0, 0, 1]])
SECTION = {
    "genotypes": "cohort",
    "images": "images.tsv",
    "mask": "mask.nii.gz",
    "atlas": None,
    "covariates": "covariates.tsv",
    "categorical": ["sex"],
    "cluster_p": 0.05,
    "permutations": 0,
}


class Cohort:
    """A small sound study, to be spoiled in some respect: 40 people, 20 SNPs, 30 voxels."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self.genotyped = list(PEOPLE)
        self.calls = rng.integers(0, 3, (20, 40)).astype(np.int8)
        letters = {"a1": "A", "a2": "G"}
        table = {"id": [f"rs{i}" for i in range(20)], "chr": "1", "pos": range(100, 2100, 100)}
        self.snps = pd.DataFrame(table | letters)
        self.mask = np.zeros(SHAPE, np.uint8)
        self.mask[1:3, 1:4, :5] = 1
        self.atlas = self.mask.astype(np.int16)
        self.maps = {s: rng.normal(0.5, 0.1, SHAPE).astype(np.float32) for s in PEOPLE}
        self.affines = dict.fromkeys(PEOPLE, AFFINE)
        self.mapped = PEOPLE[::-1]  # another order, for only names may join
        self.age = {
            s: f"{value:.1f}" for s, value in zip(PEOPLE, rng.normal(60, 8, 40), strict=True)
        }
        self.sex = dict.fromkeys(PEOPLE[::2], "F") | dict.fromkeys(PEOPLE[1::2], "M")
        self.described = PEOPLE[1:] + PEOPLE[:1]
        self.more: dict[str, dict[str, Any]] = {}
        self.section: dict[str, Any] = {}
        self.after: Callable[[], object] = lambda: None  # spoils files, in their folder

    def write(self, folder: Path) -> None:
        samples = pd.DataFrame({"fid": "0", "iid": self.genotyped})
        write_bed(folder / "cohort", [self.calls], samples, self.snps)
        nifti.write(folder / "mask.nii.gz", self.mask, AFFINE)
        nifti.write(folder / "atlas.nii.gz", self.atlas, AFFINE)
        (folder / "atlas.tsv").write_text("index\tname\n1\tcortex\n")
        for subject in dict.fromkeys(self.mapped):
            values, affine = self.maps[subject.removeprefix("sub-")], self.affines[PEOPLE[0]]
            affine = self.affines.get(subject, affine)
            nifti.write(folder / f"{subject}.nii.gz", values, affine)
        rows = ["subject\tmap", *(f"{subject}\t{subject}.nii.gz" for subject in self.mapped)]
        (folder / "images.tsv").write_text("\n".join(rows) + "\n")
        columns = {"age": self.age, "sex": self.sex, **self.more}
        rows = ["\t".join(["subject", *columns])]
        for subject in self.described:
            cells = [str(values.get(subject, "")) for values in columns.values()]
            rows.append("\t".join([subject, *cells]))
        (folder / "covariates.tsv").write_text("\n".join(rows) + "\n")

    def values(self) -> dict[str, Any]:
        config = {"vgwas": SECTION | self.section}
        return validate_config(config, load_schema(ROOT / "schemas", "config"))["vgwas"]


@dataclass
class Outcome:
    check: dict[str, Any]
    prepared: Prepared
    voxels: pd.DataFrame
    concluded: Conclusion
    hits: pd.DataFrame

    @property
    def aside(self) -> dict[str, dict[str, str]]:
        lines = self.prepared.quarantine.splitlines()
        return {row["subject"]: row for row in csv.DictReader(lines, dialect="excel-tab")}


def go(cohort: Cohort) -> Outcome:
    """Do what the rules do, one step after the other, in the working directory."""
    cohort.write(Path())
    cohort.after()
    section = cohort.values()
    study = read_study(section, ROOT / "schemas")
    inputs = section, study["maps"], study["filesets"]
    check = json.loads(json.dumps(check_study(*inputs)))
    labels = read_labels(atlas_files(section["atlas"]), read_grid(section["mask"]), "mask.nii.gz")
    prepared = prepare(*inputs, check, Path("phenotype.npy"), lambda items, label: items)
    voxels = prepared.voxels.assign(label=labels)
    variants = pd.concat(map(read_variants, study["filesets"]), ignore_index=True)
    settings = Settings(**{field: section[field] for field in Settings.__dataclass_fields__})
    for name in ("scan", "whole"):
        Path(name).mkdir()
    with GenotypeReader(study["filesets"], prepared.study.genotypes) as reader:
        flags = variants["multiallelic"].to_numpy(bool)
        blocks = [(a, reader.read(a, a + 10), flags[a : a + 10]) for a in range(0, len(flags), 10)]
        write_scan(Path("scan"), Mapper(prepared.study, settings).scan(blocks))
    merge([Path("scan")], Path("whole"))
    tables = variants, voxels, prepared.samples.astype(str)
    concluded = conclude(Path("whole"), *tables, prepared.facts, settings, section["max_maps"])
    for counted in concluded.ledger.values():
        assert counted["read"] == counted["tested"] + sum(counted["dropped"].values())
    return Outcome(check, prepared, voxels, concluded, pd.read_parquet("whole/hits.parquet"))


def refusal(cohort: Cohort) -> str:
    with pytest.raises(InputError) as caught:
        go(cohort)
    assert not list(Path().rglob("*.scratch"))
    for problem in caught.value.problems:
        assert problem.file
        assert problem.what
        assert problem.remedy
    return str(caught.value)


def cut(name: str, keep: float = 0.5) -> Callable[[], object]:
    def spoil() -> None:
        content = Path(name).read_bytes()
        Path(name).write_bytes(content[: int(len(content) * keep)])

    return spoil


def position() -> None:
    text = Path("cohort.bim").read_text()
    Path("cohort.bim").write_text(text.replace("\t600\t", "\tsix\t"))


def shift(cohort: Cohort) -> None:
    cohort.affines["S09"] = AFFINE + np.array([[0, 0, 0, 3.0], [0] * 4, [0] * 4, [0] * 4])


def spoil_values(cohort: Cohort) -> None:
    cohort.maps["S11"][1, 1, :2] = np.nan
    cohort.maps["S12"][1, 1, 1] = np.inf
    cohort.maps["S13"][0, 0, 0] = np.nan  # not in the mask
