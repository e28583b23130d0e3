"""Bad genotypes, maps, masks and ids: refused or set aside, in a sentence."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cohorts import PEOPLE, Cohort, cut, go, position, refusal, shift, spoil_values


@pytest.fixture
def cohort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cohort:
    monkeypatch.chdir(tmp_path)
    return Cohort()


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
    assert set(go(cohort).voxels["label"]) == {"cortex", "region 7"}
