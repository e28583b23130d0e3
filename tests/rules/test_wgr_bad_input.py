"""Bad ids, genotypes, variants and burden files: refused or accounted for, in sentences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from genomes import BURDEN, Genomes, Outcome, go, refusal, write_bgen, write_vcf
from tools import plan

PREPARED = "results/wgr/samples.tsv"  # made by the steps that come before any computation
TESTED = "results/wgr/assoc/height.parquet"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Genomes:
    monkeypatch.chdir(tmp_path)
    return Genomes()


def test_a_sound_study_passes(study: Genomes) -> None:
    outcome = go(study)
    assert outcome.aside == {}
    assert outcome.ledger["people"] == {"read": 60, "used": 60, "dropped": {}}
    assert outcome.ledger["variants"] == {"read": 24, "used": 24, "dropped": {}}
    assert outcome.ledger["tests"] == {"read": 48, "used": 48, "dropped": {}}
    assert outcome.table("dropped_variants.tsv").empty
    assert outcome.traits["status"].tolist() == ["ok", "ok"]
    assert "Good to know" not in outcome.text("wgr.html")


# Ids.


def test_families_that_do_not_fit_are_told_with_counts_examples_and_a_guess(study: Genomes) -> None:
    study.traited = study.traited.assign(fid="0")
    assert refusal(study).splitlines() == [
        "traits.tsv: 0 of its 60 individuals are among the 60 of cohort.fam (unmatched here: "
        "0 P059, 0 P058, 0 P057, 0 P056, 0 P055, and there: F000 P000, F000 P001, F001 P002, "
        "F001 P003, F002 P004); FID is 0 in traits.tsv, so write the FID of cohort.fam into "
        "traits.tsv."
    ]


@pytest.mark.parametrize(
    ("spoil", "guess"),
    [
        (lambda ids: ids.assign(fid=ids["iid"]), "FID equals IID in traits.tsv but not in cohort"),
        (lambda ids: ids.set_axis(["iid", "fid"], axis=1)[["fid", "iid"]], "FID and IID are swapp"),
        (lambda ids: ids.assign(iid=ids["fid"] + "_" + ids["iid"]), "is FID_IID of"),
        (lambda ids: ids.assign(iid="sub-" + ids["iid"]), "traits.tsv start with 'sub-P'"),
        (lambda ids: ids.assign(iid=ids["iid"].str.replace("P", "P0")), "by leading zeros"),
        (lambda ids: ids.assign(iid=ids["iid"].str.replace("P0", "P7")), "make the ids alike"),
    ],
    ids=["fid is iid", "swapped", "joined", "prefix", "zeros", "unknown"],
)
def test_what_may_be_wrong_with_ids_is_guessed(
    study: Genomes, spoil: Callable[[pd.DataFrame], pd.DataFrame], guess: str
) -> None:
    study.traited = spoil(study.traited)
    text = refusal(study)
    assert text.startswith("traits.tsv: 0 of its 60 individuals are among the 60 of cohort.fam")
    assert guess in text


def test_two_files_that_do_not_fit_are_told_at_once(study: Genomes) -> None:
    study.traited = study.traited.assign(fid="0")
    study.covaried = study.covaried.iloc[:40].assign(iid="x")
    study.covaried["iid"] += study.covaried.index.astype(str)
    lines = refusal(study).splitlines()
    assert [line.split(":")[0] for line in lines] == ["traits.tsv", "covariates.tsv"]
    assert "0 of its 40 individuals are among the 60" in lines[1]


def test_ids_in_some_files_only_are_counted_and_accounted_for(study: Genomes) -> None:
    study.traited = study.traited.iloc[4:]
    study.covaried = study.covaried.drop(index=7)
    study.covariates["age"][9] = np.nan
    Path("gone.txt").write_text("F006 P012\nF006 P013\n")
    study.section = {"remove": "gone.txt"}
    outcome = go(study)
    dropped = {"covariate missing": 1, "in remove": 2, "no covariates": 1, "no phenotypes": 4}
    assert outcome.ledger["people"] == {"read": 60, "used": 52, "dropped": dropped}
    samples = outcome.table("samples.tsv").set_index("iid")["status"]
    assert samples.value_counts().to_dict() == {"used": 52, **dropped}
    assert samples["P009"] == "covariate missing"
    assert outcome.aside == {}, "who is not in all files is no bad item"


@pytest.mark.parametrize("file", ["traits.tsv", "covariates.tsv"])
def test_an_id_that_comes_twice_in_a_table_is_refused(study: Genomes, file: str) -> None:
    def spoil() -> None:
        lines = Path(file).read_text().splitlines(keepends=True)
        Path(file).write_text("".join([*lines, lines[3]]))

    study.after = spoil
    text = refusal(study)
    assert text.startswith(f"{file}: row 62: FID F0")
    assert "is already in row 4; keep one row of each individual." in text


def test_an_id_that_comes_twice_in_the_genotypes_is_refused(study: Genomes) -> None:
    study.after = lambda: Path("cohort.fam").write_text("F1 P1 0 0 0 -9\n" * 60)
    assert "cohort.fam: 1 id occurs more than once (F1 P1); give each" in refusal(study)


def test_a_list_that_keeps_nobody_is_refused(study: Genomes) -> None:
    Path("keep.txt").write_text("F000 Z1\n")
    study.section = {"keep": "keep.txt"}
    assert "keep.txt: 0 of its 1 individuals are among the 60 of cohort.fam" in refusal(study)


# Files of genotypes: whatever the plan can see stops it.


def cut(name: str, keep: float = 0.6) -> Callable[[], object]:
    def spoil() -> None:
        content = Path(name).read_bytes()
        Path(name).write_bytes(content[: int(len(content) * keep)])

    return spoil


def shorten(name: str, rows: int) -> Callable[[], object]:
    def spoil() -> None:
        lines = Path(name).read_text().splitlines(keepends=True)
        Path(name).write_text("".join(lines[:-rows]))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (cut("cohort.bed"), "cohort.bed: holds 217 bytes where 24 variants of 60 individuals take "
         "363, so it is truncated; copy or export it again."),
        (shorten("cohort.bim", 1), "cohort.bed: holds 363 bytes where 23 variants of 60 "
         "individuals take 348, so the .bim and .fam belong to another file; bring"),
        (shorten("cohort.fam", 9), "cohort.bed: holds 363 bytes where 24 variants of 51 "
         "individuals take 315, so the .bim and .fam belong to another file; bring"),
        (lambda: Path("cohort.fam").unlink(), "cohort.fam: the file does not exist; correct"),
        (lambda: Path("cohort.bed").unlink(), "cohort: neither .bed nor .pgen nor .bgen exists"),
        (lambda: Path("traits.tsv").unlink(), "traits.tsv: the file that wgr.phenotypes names"),
    ],
    ids=["truncated bed", "short bim", "short fam", "no fam", "no genotypes", "no phenotypes"],
)  # fmt: skip
def test_files_that_do_not_fit_stop_the_plan(
    study: Genomes, spoil: Callable[[], object], words: str
) -> None:
    study.after = spoil
    text = refusal(study)
    assert text.startswith("Tessera cannot start:\n")
    assert words in text
    assert not Path("results").exists()


def test_all_missing_files_are_told_at_once(study: Genomes) -> None:
    study.section = {
        **{"genotypes": ["cohort", "cohrt"], "step2_genotypes": "chr1.vcf.gz", "keep": "k.txt"},
        **{"burden": {"annotations": "a.txt", "sets": None, "masks": "m.txt"}},
    }
    lines = refusal(study).splitlines()[1:]
    assert len(lines) == 6
    for word in ("cohrt: ", "chr1.vcf.gz: ", "k.txt: ", "a.txt: ", "m.txt: ", "burden.sets"):
        assert any(word in line for line in lines), word


def test_a_bgen_that_ends_early_is_refused(study: Genomes) -> None:
    study.section = {"genotypes": write_bgen(study)}
    assert go(study, PREPARED).table("samples.tsv")["status"].eq("used").all()
    cut("all.bgen", 0.98)()
    text = refusal(study)
    assert "all.bgen: " in text
    assert "copy or export it again" in text


def test_a_vcf_that_ends_early_is_refused(study: Genomes) -> None:
    study.section = {"genotypes": write_vcf(study)}
    assert go(study, PREPARED).table("samples.tsv")["status"].eq("used").all()
    cut("all.vcf", 0.98)()
    text = refusal(study)
    assert "all.vcf: " in text
    assert "copy or export it again" in text


# Variants.


def bigger(study: Genomes) -> Genomes:
    """Take a study in which one bad variant is less than 5 %."""
    other = Genomes(per=10)
    other.section = study.section
    return other


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.ones(60), "does not vary"),
        (np.arange(60) % 2, "does not vary beyond the covariates"),
        (np.full(60, -1), "does not vary"),
    ],
    ids=["constant", "collinear", "missing"],
)
def test_a_variant_that_says_nothing_is_dropped_and_listed(
    study: Genomes, values: np.ndarray, reason: str
) -> None:
    study = bigger(study)
    study.counts[14] = values
    outcome = go(study)
    dropped = outcome.table("dropped_variants.tsv")
    assert dropped.astype(str).to_numpy().tolist() == [["rs2_5", reason, "2", "5000"]]
    assert outcome.ledger["variants"] == {"read": 30, "used": 29, "dropped": {reason: 1}}
    tests = outcome.ledger["tests"]
    assert (tests["read"], tests["used"]) == (60, 58)
    assert sum(tests["dropped"].values()) == 2
    tested = outcome.table("assoc/height.parquet")
    assert "rs2_5" not in set(tested["ID"])
    assert len(tested) == 29
    assert np.isfinite(tested[["BETA", "SE", "LOG10P"]]).all(axis=None)


def test_too_many_variants_that_say_nothing_are_refused(study: Genomes) -> None:
    study = bigger(study)
    study.counts[14] = 1
    study.counts[20] = study.covariates["sex"]
    text = refusal(study)
    assert "cohort: 2 of 30 variants do not vary, such as rs2_5, rs3_1; leave them out" in text
    assert Path("results/work/wgr/check.json").exists()
    assert not Path("results/wgr").exists()


def test_variants_that_are_not_analysed_are_listed_with_the_reason(study: Genomes) -> None:
    study.variants.loc[22:, "chr"] = "MT"
    study.variants.loc[3, "a1"] = "A,T"
    study.counts[0, :30] = -1
    study.section = {"max_missing": 0.4}
    outcome = go(study, PREPARED)
    dropped = outcome.table("dropped_variants.tsv").set_index("id")["reason"].to_dict()
    assert dropped == {
        "rs1_1": "more genotypes missing than max_missing",
        "rs1_4": "more than two alleles",
        **dict.fromkeys(("rs3_7", "rs3_8"), "on chromosome MT, not analysed"),
    }


def test_rules_that_leave_no_variant_are_refused(study: Genomes) -> None:
    study.counts[:, 30] = -1
    study.section = {"max_missing": 0}
    what = "no variant is left: 24 more genotypes missing than max_missing; loosen wgr.maf,"
    assert f"cohort: {what}" in refusal(study)


def test_no_chromosome_that_is_analysed_stops_the_plan(study: Genomes) -> None:
    study.variants["chr"] = "chrUn"
    assert "cohort: no variant lies on chromosomes 1 to 22 or X, but on chrUn" in refusal(study)


# Burden files.


def replace(file: str, old: str, new: str) -> None:
    text = Path(file).read_text()
    assert old in text
    Path(file).write_text(text.replace(old, new))


def test_sound_burden_files_give_masks(study: Genomes) -> None:
    study.burden()
    outcome = go(study, TESTED)
    masks = outcome.table("assoc/height.parquet").query("MASK")
    assert len(masks) == 3 * 2 * 3
    assert set(masks["TEST"]) == {"ADD", "ADD-SUM", "ADD-COMPHET"}
    assert "GENE2.any.all" in set(masks["ID"])


def test_faults_of_burden_sets_stop_the_plan(study: Genomes) -> None:
    study.burden()
    Path("sets.tsv").write_text("GENE1 1 x rs1_1\nGENE2 2 1000\nGENE3 3 1 rs3_1\nGENE3 3 1 rs3_2\n")
    lines = refusal(study).splitlines()[1:]
    assert lines[0].startswith("sets.tsv: row 1: found x as the position of set GENE1; expected a")
    assert lines[1].startswith("sets.tsv: row 2: found 3 columns where 4 are expected; write set,")
    assert lines[2].startswith("sets.tsv: row 4: set GENE3 occurs in row 3 already; list all")


def test_faults_of_annotations_and_masks_are_told_at_once(study: Genomes) -> None:
    study.burden()
    replace("annotations.tsv", "rs1_1 GENE1 lof", "rs1_1 GENE1")
    replace("annotations.tsv", "rs2_2 GENE2 missense", "rs2_1 GENE2 missense")
    replace("masks.tsv", "hard lof", "hard")
    lines = refusal(study).splitlines()
    assert lines[0].startswith("annotations.tsv: row 1: found 2 columns where 3 are expected;")
    assert lines[1].startswith("annotations.tsv: row 4: variant rs2_1 is missense for set GENE2,")
    assert lines[2].startswith("masks.tsv: row 1: mask hard names no annotation; write mask and")


def test_sets_of_other_variants_are_refused_with_an_example(study: Genomes) -> None:
    study.burden()
    replace("sets.tsv", "rs", "chr")
    assert refusal(study) == (
        "sets.tsv: no set is left (3 of 3: none of its variants is in the genotype files); name "
        "variants by the ids that they have in the genotype files, such as rs1_1.\n"
    )
    assert not Path("results/wgr/level0").exists()


def test_a_set_on_another_chromosome_is_refused(study: Genomes) -> None:
    study.burden()
    replace("sets.tsv", "GENE2 2", "GENE2 3")
    what = "2 of 2 variants of set GENE2 lie off its chromosome 3, such as rs2_1 on 2"
    assert f"sets.tsv: row 2: {what}; correct the chromosome" in refusal(study)


LEFT_OUT = (
    "sets.tsv: 1 of 3 sets are left out (GENE2): none of its variants is in the genotype files",
    "masks.tsv: row 1: no variant has the annotation loff of mask hard; check its name in the "
    "file of annotations (did you mean lof?).",
)


def without_a_gene(study: Genomes) -> Outcome:
    study.burden()
    replace("sets.tsv", "rs2", "r2")
    replace("masks.tsv", "hard lof", "hard lof,loff")
    return go(study)


def test_a_set_without_variants_is_told_and_others_are_tested(study: Genomes) -> None:
    outcome = without_a_gene(study)
    for told in LEFT_OUT:
        assert told in outcome.log("wgr_sets")
    masks = outcome.table("assoc/height.parquet").query("MASK")
    assert set(masks["CHROM"]) == {1, 3}


def test_the_page_tells_of_sets_without_variants(study: Genomes) -> None:
    page = without_a_gene(study).text("wgr.html")
    assert all(told in page for told in LEFT_OUT)


def test_a_key_of_the_burden_section_that_is_wrong_stops_the_plan(study: Genomes) -> None:
    study.write()
    config = {"burden": BURDEN | {"tests": ["maxx"], "aaf_bins": [2]}, "tests": "firth"}
    with pytest.raises(SystemExit) as ended:
        plan(Path(), ["wgr"], {"wgr": study.config()["wgr"] | config})
    text = str(ended.value)
    assert all(f"wgr.{key}" in text for key in ("burden.tests", "burden.aaf_bins", "tests"))
    assert "did you mean max" in text
