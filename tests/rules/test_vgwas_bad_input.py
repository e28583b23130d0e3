"""Every kind of bad input to the voxel-wise GWAS: refused, or set aside, in a sentence.

Most messages are looked at in this process; what runs, files and exit statuses then do, in four
real runs at the end.
"""

from __future__ import annotations

import csv
import gzip
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
from tools import ROOT, snakemake, tree_digest

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
    concluded: Conclusion
    hits: pd.DataFrame

    @property
    def aside(self) -> dict[str, dict[str, str]]:
        lines = self.prepared.quarantine.splitlines()
        return {row["subject"]: row for row in csv.DictReader(lines, dialect="excel-tab")}


@pytest.fixture
def cohort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cohort:
    monkeypatch.chdir(tmp_path)
    return Cohort()


def go(cohort: Cohort) -> Outcome:
    """Do what the rules do, one step after the other, in the working directory."""
    cohort.write(Path())
    cohort.after()
    section = cohort.values()
    study = read_study(section, ROOT / "schemas")
    inputs = section, study["maps"], study["filesets"]
    check = json.loads(json.dumps(check_study(*inputs)))
    prepared = prepare(*inputs, check, Path("phenotype.npy"), lambda items, label: items)
    variants = pd.concat(map(read_variants, study["filesets"]), ignore_index=True)
    settings = Settings.of(section)
    for name in ("scan", "whole"):
        Path(name).mkdir()
    with GenotypeReader(study["filesets"], prepared.study.genotypes) as reader:
        flags = variants["multiallelic"].to_numpy(bool)
        blocks = [(a, reader.read(a, a + 10), flags[a : a + 10]) for a in range(0, len(flags), 10)]
        write_scan(Path("scan"), Mapper(prepared.study, settings).scan(blocks))
    merge([Path("scan")], Path("whole"))
    tables = variants, prepared.voxels, prepared.samples.astype(str)
    concluded = conclude(Path("whole"), *tables, prepared.facts, settings, section["max_maps"])
    for counted in concluded.ledger.values():
        assert counted["read"] == counted["tested"] + sum(counted["dropped"].values())
    return Outcome(check, prepared, concluded, pd.read_parquet("whole/hits.parquet"))


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


def test_a_sound_study_passes(cohort: Cohort) -> None:
    outcome = go(cohort)
    assert outcome.aside == {}
    assert outcome.concluded.ledger["subjects"] == {"read": 40, "tested": 40, "dropped": {}}
    assert outcome.concluded.ledger["voxels"] == {"read": 30, "tested": 30, "dropped": {}}
    assert outcome.concluded.ledger["snps"] == {"read": 20, "tested": 20, "dropped": {}}
    assert outcome.prepared.facts["df"] == 40 - 3 - 1


# Ids: of genotypes, maps and covariates.


def test_ids_in_some_files_only_are_counted_and_accounted_for(cohort: Cohort) -> None:
    cohort.mapped = [s for s in cohort.mapped if s not in ("S03", "S04")]
    cohort.described = [s for s in cohort.described if s != "S05"]
    outcome = go(cohort)
    assert outcome.concluded.ledger["subjects"] == {
        "read": 40,
        "tested": 37,
        "dropped": {"no covariates": 1, "no map": 2},
    }
    status = outcome.prepared.samples.set_index("subject")["status"]
    assert (status["S03"], status["S05"], status["S06"]) == ("no map", "no covariates", "used")
    assert outcome.aside == {}, "who is not in all files is no bad item"


def test_too_few_ids_in_common_are_refused_with_each_files_counts(cohort: Cohort) -> None:
    cohort.mapped = [f"sub-{s}" for s in PEOPLE[:30]]
    cohort.described = PEOPLE[20:]
    cohort.genotyped = [*PEOPLE[:38], "X1", "X2"]
    text = refusal(cohort)
    lines = text.splitlines()
    assert [line.split(":")[0] for line in lines] == ["images.tsv", "cohort.fam", "covariates.tsv"]
    assert "20 of 30 subjects are not in all inputs, such as S00, S01, S02" in lines[0]
    assert "30 of 40 subjects are not in all inputs, such as S00, S01, S02" in lines[1]
    assert "10 of 20 subjects are not in all inputs, such as S30, S31, S32" in lines[2]
    assert text.count("10 subjects are in all of them, 50.0% of covariates.tsv") == 3
    assert text.count("lower vgwas.min_overlap from 0.9") == 3
    cohort.section["min_overlap"] = 0.5
    assert go(cohort).concluded.ledger["subjects"]["tested"] == 10


def test_no_id_in_common_is_refused_however_low_the_overlap(cohort: Cohort) -> None:
    cohort.genotyped = [f"{s}_{s}" for s in PEOPLE]
    cohort.section["min_overlap"] = 0
    assert "0 subjects are in all of them" in refusal(cohort)


def test_an_id_that_comes_twice_in_the_genotypes_is_refused(cohort: Cohort) -> None:
    cohort.genotyped[5] = "S04"
    assert "cohort.fam: 1 id occurs more than once (S04); give each" in refusal(cohort)


def test_an_id_with_and_without_its_prefix_in_the_genotypes_is_refused(cohort: Cohort) -> None:
    cohort.genotyped[5] = "sub-S04"
    text = refusal(cohort)
    assert "cohort.fam: 1 subjects are there with and without sub-, such as S04; keep" in text


def test_an_id_that_comes_twice_in_the_sheet_of_maps_is_refused(cohort: Cohort) -> None:
    cohort.mapped = ["S00", *cohort.mapped]
    assert "images.tsv: row 42: subject S00 is already in row 2; each row" in refusal(cohort)


def test_an_id_that_comes_twice_in_the_covariates_is_refused(cohort: Cohort) -> None:
    cohort.described = [*cohort.described, "sub-S07"]
    assert "covariates.tsv: row 42: subject S07 is already in row 8" in refusal(cohort)


def test_a_map_that_does_not_exist_is_told_with_its_row(cohort: Cohort) -> None:
    cohort.after = lambda: Path("S38.nii.gz").unlink()
    assert "images.tsv: row 3, column map: file 'S38.nii.gz' does not exist" in refusal(cohort)


# Genotypes.


def bytes_of(first: bytes) -> Callable[[], object]:
    def spoil() -> None:
        Path("cohort.bed").write_bytes(first + Path("cohort.bed").read_bytes()[len(first) :])

    return spoil


def position() -> None:
    text = Path("cohort.bim").read_text()
    Path("cohort.bim").write_text(text.replace("\t600\t", "\tsix\t"))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (cut("cohort.bed"), ("cohort.bed: holds 101 bytes", "take 203", "truncated", "copy or")),
        (bytes_of(b"\x1f\x8b"), ("cohort.bed: is no PLINK .bed file", "1f 8b 01", "--make-bed")),
        (bytes_of(b"\x6c\x1b\0"), ("cohort.bed: is individual-major; convert with plink",)),
        (lambda: Path("cohort.bim").unlink(), ("cohort.bim: the file does not exist",)),
        (lambda: Path("cohort.fam").write_text(""), ("cohort.fam: holds no individuals",)),
        (position, ("cohort.bim: row 6: found six as the position; expected an integer",)),
        (
            lambda: Path("cohort.fam").write_text("0 S00 0 0 0\n" * 40),
            ("cohort.fam: row 1: found 5 columns where 6 are expected",),
        ),
    ],
    ids=["truncated", "magic", "individual-major", "no bim", "empty fam", "position", "narrow fam"],
)
def test_bad_genotype_files_are_refused(
    cohort: Cohort, spoil: Callable[[], object], words: tuple[str, ...]
) -> None:
    cohort.after = spoil
    text = refusal(cohort)
    for word in words:
        assert word in text


def test_snps_that_cannot_be_tested_have_their_status_and_no_t(cohort: Cohort) -> None:
    rng = np.random.default_rng(5)
    site = rng.integers(0, 2, 40)
    cohort.more = {"site": dict(zip(PEOPLE, site, strict=True))}
    cohort.calls[1] = 0
    cohort.calls[2] = 2
    cohort.calls[3] = -1
    cohort.calls[4] = site
    cohort.calls[5, :8] = -1
    cohort.calls[6] = 0
    cohort.calls[6, :4] = 1
    cohort.snps.loc[7, "a1"] = "A,T"
    outcome = go(cohort)
    snps = outcome.concluded.snps.set_index("id")
    expected = {
        **{"rs1": "monomorphic", "rs2": "monomorphic", "rs3": "all_missing", "rs4": "collinear"},
        **{"rs5": "missing", "rs6": "low_mac", "rs7": "multiallelic"},
    }
    assert snps.loc[list(expected), "status"].to_dict() == expected
    assert snps.loc[list(expected), ["max_t", "max_log10p", "df", "p_fwer"]].isna().all(axis=None)
    assert (snps.drop(list(expected))["status"] == "tested").all()
    assert snps.drop(list(expected))["max_t"].notna().all()
    assert not outcome.hits["snp"].isin(range(1, 8)).any()
    assert outcome.concluded.ledger["snps"]["dropped"]["monomorphic"] == 2


def test_a_coding_that_leaves_nothing_is_a_status(cohort: Cohort) -> None:
    cohort.calls[2] = np.minimum(cohort.calls[2], 1)
    cohort.section = {"coding": "recessive"}
    assert go(cohort).concluded.snps["status"][2] == "constant"


# Maps.


def shift(cohort: Cohort) -> None:
    cohort.affines["S09"] = AFFINE + np.array([[0, 0, 0, 3.0], [0] * 4, [0] * 4, [0] * 4])


def shrink(cohort: Cohort) -> None:
    cohort.maps["S09"] = cohort.maps["S09"][:, :, 1:]


def stack(cohort: Cohort) -> None:
    cohort.maps["S09"] = np.stack([cohort.maps["S09"]] * 2)


def shorten(cohort: Cohort) -> None:
    cohort.after = cut("S09.nii.gz", 0.8)


def damage(cohort: Cohort) -> None:
    cohort.after = lambda: Path("S09.nii.gz").write_bytes(gzip.compress(b"DICM" * 500))


MAPS = {
    "affine": (shift, "header", ("[-2.0, 0.0, 0.0, 13.0]", "[-2.0, 0.0, 0.0, 10.0]", "resample")),
    "shape": (shrink, "header", ("(15, 15, 14)", "(16, 15, 14)", "mask.nii.gz", "resample")),
    "4-D": (stack, "header", ("(16, 15, 14, 2)", "(16, 15, 14)")),
    "truncated": (shorten, "volume 1 of 1", ("the file ends early", "copy or export")),
    "no NIfTI": (damage, "n/a", ("no readable NIfTI image",)),
}


@pytest.mark.parametrize("kind", MAPS)
def test_a_bad_map_is_set_aside_and_all_others_are_used(cohort: Cohort, kind: str) -> None:
    spoil, place, words = MAPS[kind]
    spoil(cohort)
    outcome = go(cohort)
    assert list(outcome.aside) == ["S09"]
    row = outcome.aside["S09"]
    assert (row["reason"], row["file"], row["place"]) == ("map unusable", "S09.nii.gz", place)
    for word in words:
        assert word in row["what"] + row["remedy"]
    counted = outcome.concluded.ledger["subjects"]
    assert counted == {"read": 40, "tested": 39, "dropped": {"map unusable": 1}}
    assert outcome.prepared.study.n == 39


@pytest.mark.parametrize("kind", MAPS)
def test_strict_refuses_a_bad_map(cohort: Cohort, kind: str) -> None:
    spoil, _, words = MAPS[kind]
    spoil(cohort)
    cohort.section = {"strict": True}
    text = refusal(cohort)
    assert text.startswith("S09.nii.gz: ")
    for word in words:
        assert word in text


def test_too_many_bad_maps_are_refused_even_if_not_strict(cohort: Cohort) -> None:
    for subject in PEOPLE[:6]:
        cohort.maps[subject] = cohort.maps[subject][1:]
    text = refusal(cohort)
    assert "config: vgwas.min_overlap: only 34 of 40 subjects could be used; mend" in text
    assert text.count("its shape is") == 6


def spoil_values(cohort: Cohort) -> None:
    cohort.maps["S11"][1, 1, :2] = np.nan
    cohort.maps["S12"][1, 1, 1] = np.inf
    cohort.maps["S13"][0, 0, 0] = np.nan  # not in the mask


def test_values_that_are_no_numbers_are_refused(cohort: Cohort) -> None:
    spoil_values(cohort)
    text = refusal(cohort)
    assert "S11.nii.gz: 2 voxels of the mask hold no finite number (one of 2 such maps)" in text
    assert "S12.nii.gz: 1 voxels of the mask" in text
    assert "set vgwas.nan to drop_voxel or drop_subject" in text
    assert "S13" not in text


def test_values_that_are_no_numbers_drop_the_voxel(cohort: Cohort) -> None:
    spoil_values(cohort)
    cohort.section = {"nan": "drop_voxel"}
    outcome = go(cohort)
    assert outcome.aside == {}
    assert outcome.prepared.voxels["status"].tolist()[:3] == ["nan", "nan", "tested"]
    assert outcome.concluded.ledger["voxels"] == {"read": 30, "tested": 28, "dropped": {"nan": 2}}
    assert outcome.prepared.study.n == 40
    assert not outcome.hits["voxel"].isin([0, 1]).any()


def test_values_that_are_no_numbers_drop_the_subject(cohort: Cohort) -> None:
    spoil_values(cohort)
    cohort.section = {"nan": "drop_subject"}
    outcome = go(cohort)
    assert sorted(outcome.aside) == ["S11", "S12"]
    row = outcome.aside["S11"]
    assert (row["reason"], row["file"]) == ("map not finite", "S11.nii.gz")
    assert row["what"] == "2 voxels of the mask hold no finite number"
    assert outcome.concluded.ledger["subjects"]["dropped"] == {"map not finite": 2}
    assert outcome.concluded.ledger["voxels"]["tested"] == 30


def test_a_constant_voxel_has_its_status_and_no_t(cohort: Cohort) -> None:
    for values in cohort.maps.values():
        values[1, 1, 2] = 0.5
    cohort.section = {"threshold_p": 1}
    outcome = go(cohort)
    assert outcome.prepared.voxels["status"].tolist()[:4] == [
        "tested",
        "tested",
        "constant",
        "tested",
    ]
    assert outcome.concluded.ledger["voxels"]["dropped"] == {"constant": 1}
    assert len(outcome.hits) == 20 * 29
    assert 2 not in set(outcome.hits["voxel"])


def test_maps_without_any_variation_are_refused(cohort: Cohort) -> None:
    for values in cohort.maps.values():
        values[:] = 0.5
    assert "mask.nii.gz: no voxel of the mask varies" in refusal(cohort)


# Mask and atlas.


def no_voxels(cohort: Cohort) -> None:
    cohort.mask[:] = 0


def four_axes(cohort: Cohort) -> None:
    cohort.mask = np.stack([cohort.mask] * 3)


def half_a_mask(cohort: Cohort) -> None:
    cohort.after = cut("mask.nii.gz")


def other_atlas(cohort: Cohort) -> None:
    cohort.atlas = cohort.atlas[:, 1:]
    cohort.section = {"atlas": "atlas.nii.gz"}


def no_table(cohort: Cohort) -> None:
    cohort.section = {"atlas": "atlas.nii.gz"}
    cohort.after = lambda: Path("atlas.tsv").unlink()


def no_names(cohort: Cohort) -> None:
    cohort.section = {"atlas": "atlas.nii.gz"}
    cohort.after = lambda: Path("atlas.tsv").write_text("number\tname\n1\tcortex\n")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (no_voxels, ("mask.nii.gz: no voxel is above zero; give a mask",)),
        (four_axes, ("mask.nii.gz: has 4 dimensions, of (16, 15, 14, 3); name a 3-D image",)),
        (half_a_mask, ("mask.nii.gz: this is no readable NIfTI image",)),
        (
            other_atlas,
            ("atlas.nii.gz: header: its shape is (16, 14, 14)", "(16, 15, 14)", "resample"),
        ),
        (no_table, ("vgwas.atlas (labels): file 'atlas.tsv' does not exist",)),
        (no_names, ("atlas.tsv: row 1: column index is missing",)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_bad_mask_or_atlas_is_refused(
    cohort: Cohort, spoil: Callable[[Cohort], None], words: tuple[str, ...]
) -> None:
    spoil(cohort)
    text = refusal(cohort)
    for word in words:
        assert word in text


def test_a_region_without_a_name_is_called_by_its_number(cohort: Cohort) -> None:
    cohort.atlas[2] *= 7
    cohort.section = {"atlas": ["atlas.nii.gz", "atlas.tsv"]}
    assert set(go(cohort).prepared.voxels["label"]) == {"cortex", "region 7"}


# Covariates.


@pytest.mark.parametrize("cell", ["", "n/a", "NaN", "inf"])
def test_a_subject_without_a_covariate_is_set_aside(cohort: Cohort, cell: str) -> None:
    cohort.age["S17"] = cell
    cohort.sex["S18"] = "n/a"
    outcome = go(cohort)
    row = outcome.aside["S17"]
    assert (row["reason"], row["file"]) == ("covariate missing", "covariates.tsv")
    assert (row["place"], row["what"]) == ("subject S17, column age", "no value")
    assert outcome.aside["S18"]["place"] == "subject S18, column sex"
    assert outcome.concluded.ledger["subjects"]["dropped"] == {"covariate missing": 2}
    assert outcome.prepared.facts["df"] == 38 - 3 - 1


def test_strict_refuses_a_subject_without_a_covariate(cohort: Cohort) -> None:
    cohort.age["S17"] = "n/a"
    cohort.section = {"strict": True}
    assert "covariates.tsv: subject S17, column age: no value; fill it in" in refusal(cohort)


def test_text_in_a_numeric_covariate_is_refused(cohort: Cohort) -> None:
    cohort.age["S17"] = "old"
    cohort.section = {"categorical": []}
    text = refusal(cohort)
    assert "covariates.tsv: column age: 1 cells hold text ('old' of S17)" in text
    assert "covariates.tsv: column sex: 40 cells hold text ('F' of S00, 'M' of S01," in text
    assert text.count("list the column in vgwas.categorical") == 2


@pytest.mark.parametrize(
    ("key", "value", "name", "meant"),
    [
        ("covariate_columns", ["agee", "sex"], "agee", "age"),
        ("categorical", ["sexx"], "sexx", "sex"),
        ("exchangeability", "ag", "ag", "age"),
    ],
)
def test_an_unknown_column_is_refused(
    cohort: Cohort, key: str, value: Any, name: str, meant: str
) -> None:
    cohort.section = {key: value}
    text = refusal(cohort)
    assert f"covariates.tsv: header: has no column {name}, which vgwas.{key} names" in text
    assert f"expected one of age, sex (did you mean {meant}?)" in text


def test_a_collinear_covariate_is_dropped_by_name(cohort: Cohort) -> None:
    months = {s: f"{12 * float(age):.1f}" for s, age in cohort.age.items()}
    cohort.more = {"months": months, "scanner": dict.fromkeys(PEOPLE, 3)}
    facts = go(cohort).prepared.facts
    assert [each["name"] for each in facts["dropped_covariates"]] == ["months", "scanner"]
    assert facts["covariates"] == ["age", "sex=M"]
    assert facts["df"] == 40 - 3 - 1, "of the rank, not of the number of columns"


def test_more_covariates_than_subjects_are_refused(cohort: Cohort) -> None:
    rng = np.random.default_rng(8)
    for column in range(45):
        cohort.more[f"c{column}"] = dict(zip(PEOPLE, rng.normal(size=40).round(4), strict=True))
    text = refusal(cohort)
    assert "config: vgwas.covariate_columns: 40 subjects and 40 columns leave nothing" in text
    assert "use fewer covariates or more subjects" in text


# Hits.


def test_more_hits_than_allowed_are_foreseen(cohort: Cohort) -> None:
    cohort.section = {"threshold_p": 0.5, "max_hits": 200}
    text = refusal(cohort)
    assert "config: vgwas.max_hits: by chance alone 300 hits at p <= 0.5, where 200" in text
    assert "lower vgwas.threshold_p, or raise vgwas.max_hits" in text
    assert not Path("phenotype.npy").exists()


def effect(cohort: Cohort) -> None:
    for person, values in enumerate(cohort.maps.values()):
        values += cohort.calls[4, person]


def test_more_hits_than_allowed_stop_the_scan(cohort: Cohort) -> None:
    effect(cohort)
    cohort.section = {"max_hits": 20}
    assert "at least 30 hits at p <= 1e-05, where 20 are allowed" in refusal(cohort)


# Real runs: all the way through the rules.


def run(folder: Path, cohort: Cohort, *targets: str) -> tuple[int, str]:
    """Return the exit status, and what was told on the terminal and in logs."""
    section = json.dumps(SECTION | cohort.section)
    result = snakemake(folder, *targets, "--keep-going", "--config", f"vgwas={section}")
    logs = "".join(path.read_text() for path in (folder / "results").rglob("*.log"))
    told = result.stdout + result.stderr
    assert "Traceback" not in told + logs
    assert not list(folder.rglob(".tmp-*"))
    return result.returncode, told


def test_everything_that_can_be_set_aside_in_one_run(cohort: Cohort, tmp_path: Path) -> None:
    shift(cohort)
    cohort.maps["S10"] = cohort.maps["S10"][:, :, 1:]
    spoil_values(cohort)
    cohort.age["S17"] = ""
    cohort.calls[3] = -1
    for values in cohort.maps.values():
        values[2, 3, 4 - (values.shape[2] < SHAPE[2])] = 0.5
    cohort.section = {"nan": "drop_subject", "min_overlap": 0.8}
    cohort.write(tmp_path)
    cut("S20.nii.gz", 0.8)()
    results = tmp_path / "results/vgwas"
    targets = [f"results/vgwas/{name}" for name in ("ledger.json", "quarantine.tsv")]
    status, told = run(tmp_path, cohort, *targets)
    assert status == 0, told
    with (results / "quarantine.tsv").open(newline="") as file:
        rows = {row["subject"]: row["reason"] for row in csv.DictReader(file, delimiter="\t")}
    assert rows == {
        **dict.fromkeys(("S09", "S10", "S20"), "map unusable"),
        **dict.fromkeys(("S11", "S12"), "map not finite"),
        "S17": "covariate missing",
    }
    aside = [f"{subject} {rows[subject]}" for subject in sorted(rows)]
    assert f"set aside: {', '.join(aside)} (reasons in results/vgwas/quarantine.tsv)" in told
    ledger = json.loads((results / "ledger.json").read_text())
    assert ledger["subjects"]["read"] == 40
    assert ledger["subjects"]["tested"] == 34
    assert sum(ledger["subjects"]["dropped"].values()) == 6
    assert ledger["voxels"] == {"read": 30, "tested": 29, "dropped": {"constant": 1}}
    assert ledger["snps"] == {"read": 20, "tested": 19, "dropped": {"all_missing": 1}}
    assert len(pd.read_csv(results / "samples.tsv", sep="\t")) == 40
    before = tree_digest(results)

    # The same with `strict` fails, for the same reasons, and leaves what was there alone.
    cohort.section["strict"] = True
    status, told = run(tmp_path, cohort, *targets)
    assert status != 0
    for name, what in (("S09", "its affine is"), ("S10", "its shape is (15, 15, 14)")):
        assert f"{name}.nii.gz: header: {what}" in told
    assert "covariates.tsv: subject S17, column age: no value" in told
    assert "Not everything could be made" in told
    after = tree_digest(results)
    assert after.items() <= before.items()


def test_what_cannot_go_on_is_told_at_once_and_leaves_nothing(
    cohort: Cohort, tmp_path: Path
) -> None:
    """Both first steps find something; neither keeps the other from telling it."""
    cohort.mapped = [f"{s}x" if s < "S20" else s for s in cohort.mapped]
    cohort.maps |= {f"{s}x": cohort.maps[s] for s in PEOPLE[:20]}
    cohort.write(tmp_path)
    position()
    status, told = run(tmp_path, cohort, "vgwas")
    assert status != 0
    assert "cohort.bim: row 6: found six as the position; expected an integer" in told
    assert "images.tsv: 20 of 40 subjects are not in all inputs, such as S00x" in told
    assert not (tmp_path / "results/vgwas").exists()
    assert not list((tmp_path / "results").rglob("*.parquet"))


def test_too_many_hits_stop_a_run_cleanly(cohort: Cohort, tmp_path: Path) -> None:
    effect(cohort)
    cohort.section = {"max_hits": 20}
    cohort.write(tmp_path)
    status, told = run(tmp_path, cohort, "results/vgwas/hits.parquet")
    assert status != 0
    assert "config: vgwas.max_hits: at least 30 hits at p <= 1e-05, where 20 are" in told
    assert not (tmp_path / "results/vgwas/hits.parquet").exists()
    assert not (tmp_path / "results/work/vgwas/map/s0p0").exists()
