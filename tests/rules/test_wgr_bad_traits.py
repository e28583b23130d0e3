"""Bad traits and covariates: set aside or marked while all others finish; what real runs tell."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genomes import OF_TRAIT, Genomes, Outcome, go, refusal
from tools import snakemake, tree_digest

PREPARED = "results/wgr/quarantine.tsv"  # made before anything is computed


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Genomes:
    monkeypatch.chdir(tmp_path)
    return Genomes()


def beside(study: Genomes, tmp_path: Path, good: str, bad: dict[str, Any]) -> Outcome:
    """Run a good trait alone, then together with others; it must not notice."""
    study.traits = {good: study.traits[good]}
    alone = go(study, *targets_of(good)).bytes_of(good)
    (tmp_path / "together").mkdir()
    os.chdir(tmp_path / "together")
    study.traits |= bad
    outcome = go(study)
    assert outcome.bytes_of(good) == alone
    return outcome


def targets_of(trait: str) -> list[str]:
    return [f"results/wgr/{name.format(trait)}" for name in OF_TRAIT]


def cells(values: Any, **others: str) -> list[str]:
    """Write numbers as text, but for some rows: p3="inf"."""
    texts = [f"{value:.4f}" for value in values]
    for row, text in others.items():
        texts[int(row[1:])] = text
    return texts


# Traits that cannot be analysed.


def test_bad_quantitative_traits_are_set_aside_and_the_others_never_notice(
    study: Genomes, tmp_path: Path
) -> None:
    age, weight = study.covariates["age"], study.traits["weight"]
    bad = {
        "same": [4.2] * 60,
        "rare": [1.5] * 5 + [2.5] * 4 + [np.nan] * 51,
        "endless": cells(weight, p3="inf"),
        "wordy": cells(weight, p7="tall", p9="NaN", p11="-inf"),
        "a/b": weight,
        "months": 12 * age + study.covariates["sex"],
    }
    outcome = beside(study, tmp_path, "height", bad)
    told = {trait: f"{row['place']}: {row['what']}" for trait, row in outcome.aside.items()}
    assert told == {
        "same": "column same: constant: all 60 values are 4.2",
        "rare": "column rare: 9 individuals have a value, fewer than 10",
        "endless": "row 58, column endless: found 'inf'",
        "wordy": "row 50, column wordy: found '-inf' and 1 more cells that are no finite numbers "
        "(rows 54)",
        "a/b": "column 'a/b': the trait's name 'a/b' cannot be the name of a file",
        "months": "column months: a combination of the covariates, which leave nothing to be "
        "explained",
    }
    assert all(row["file"] == "traits.tsv" and row["remedy"] for row in outcome.aside.values())
    for trait, words in told.items():
        assert f"Set aside: traits.tsv: {words}; {outcome.aside[trait]['remedy']}." in outcome.log(
            "wgr_check"
        )
    traits = outcome.traits
    assert traits["status"].to_dict() == {"height": "ok", **dict.fromkeys(bad, "set aside")}
    assert traits.loc[list(bad), "reason"].tolist() == [
        *("constant", "too few values", "text or infinite values", "text or infinite values"),
        *("no name for a file", "a combination of the covariates"),
    ]
    assert traits["tested"].astype(int).to_dict() == {"height": 24, **dict.fromkeys(bad, 0)}
    assert outcome.ledger["tests"] == {"read": 24, "used": 24, "dropped": {}}
    for trait in set(bad) - {"a/b"}:
        assert outcome.table(f"assoc/{trait}.parquet").empty
        assert len(outcome.text(f"loco/{trait}.loco").splitlines()) == 24
    page = outcome.text("wgr.html")
    assert "6 traits were set aside: same, rare, endless, wordy, a/b, months" in page


def test_missing_values_in_any_spelling_are_no_fault(study: Genomes) -> None:
    spelt = {"p3": "NaN", "p9": "na", "p11": "N/A", "p13": ".", "p15": ""}
    study.traits["weight"] = cells(study.traits["weight"], **spelt)
    outcome = go(study)
    assert outcome.aside == {}
    assert outcome.traits["n"].astype(int).to_dict() == {"height": 60, "weight": 55}
    assert set(outcome.table("assoc/weight.parquet")["N"]) == {55}


def test_bad_binary_traits_are_set_aside_and_the_others_never_notice(
    study: Genomes, tmp_path: Path
) -> None:
    study.binary()
    number = np.arange(60)
    bad = {
        "few": (number < 9).astype(int),
        "most": (number < 51).astype(int),
        "three": number % 3,
        "real": study.covariates["age"],
        "all": np.ones(60, int),
    }
    outcome = beside(study, tmp_path, "sick", bad)
    assert {trait: row["what"] for trait, row in outcome.aside.items()} == {
        "few": "9 cases and 51 controls, fewer than 10 cases",
        "most": "51 cases and 9 controls, fewer than 10 controls",
        "three": "not binary: found the values 0, 1 and 2",
        "real": outcome.aside["real"]["what"],
        "all": "constant: all 60 values are 1",
    }
    assert outcome.aside["real"]["what"].startswith("not binary: found ")
    assert "code controls 0, cases 1 and missing NA" in outcome.aside["three"]["remedy"]
    assert outcome.traits["status"].to_dict() == {"sick": "ok", **dict.fromkeys(bad, "set aside")}


def test_cases_written_as_1_and_2_are_recognised_and_that_is_said(study: Genomes) -> None:
    study.binary(coded=study.sick + 1)
    outcome = go(study)
    note = "coded 1 and 2, which is read as 1 for controls and 2 for cases"
    assert outcome.traits["note"].to_dict() == {"sick": "", "coded": note}
    assert f"traits.tsv: column coded: {note}." in outcome.log("wgr_check")
    assert f"traits.tsv: column coded: {note}." in outcome.text("wgr.html")
    coded, sick = outcome.bytes_of("coded"), outcome.bytes_of("sick")
    assert all(coded[name] == sick[name] for name in OF_TRAIT if name != "level1/{}.json")
    assert outcome.traits["cases"].nunique() == 1


def test_a_trait_of_two_values_that_is_called_quantitative_is_said(study: Genomes) -> None:
    study.traits["sick"] = study.sick
    outcome = go(study, PREPARED)
    told = "column sick: has two values and looks binary; set wgr.trait_type to bt if it is."
    assert told in outcome.log("wgr_check")


@pytest.mark.parametrize("test", ["score", "firth", "spa"])
def test_covariates_that_tell_cases_from_controls_are_survived_and_marked(
    study: Genomes, test: str
) -> None:
    """The null model has no finite fit; the penalised one takes its place."""
    rng = np.random.default_rng(2)
    study.covariates["marker"] = study.sick + rng.uniform(0, 0.5, 60)
    study.binary(other=rng.integers(0, 2, 60))
    study.section |= {"test": test, "firth_p": 0.9}
    outcome = go(study)
    traits = outcome.traits
    assert traits["status"].tolist() == ["ok", "ok"]
    assert traits["note"].tolist() == [
        "covariates separate cases from controls, so the null model has no finite fit and is "
        "penalised",
        "",
    ]
    for trait in ("sick", "other"):
        table = outcome.table(f"assoc/{trait}.parquet")
        good = table[table["EXTRA"] != "TEST_FAIL"]
        assert np.isfinite(good[["BETA", "SE", "CHISQ", "LOG10P"]]).all(axis=None)
        assert len(good) + int(traits.loc[trait, "failed"]) == 24
    assert (outcome.table("assoc/sick.parquet")["LOG10P"].dropna() < 2).all(), "nothing is left"


# Names, strictness, and no trait at all.


def test_a_trait_that_does_not_exist_is_refused_with_what_may_be_meant(study: Genomes) -> None:
    study.section = {"traits": ["heights", "weight", "iq"]}
    known = "expected one of height, weight"
    assert refusal(study).splitlines() == [
        "traits.tsv: header: has no column heights, which wgr.traits names; "
        f"{known} (did you mean height?).",
        f"traits.tsv: header: has no column iq, which wgr.traits names; {known}.",
    ]


def test_traits_that_are_all_bad_are_refused(study: Genomes) -> None:
    study.traits = {"same": [4.2] * 60, "wordy": ["tall"] * 60}
    lines = refusal(study).splitlines()
    assert [line.split(":")[1] for line in lines] == [" column same", " row 2, column wordy"]
    assert not Path("results/wgr").exists()


@pytest.mark.parametrize(
    ("trait", "words"),
    [
        ([4.2] * 60, "column odd: constant: all 60 values are 4.2; leave the trait out"),
        (12 * np.arange(60) % 2 + 3, "column odd: constant"),
        (["tall"] * 60, "row 2, column odd: found 'tall' and 59 more cells"),
    ],
)
def test_strict_refuses_a_bad_trait(study: Genomes, trait: Any, words: str) -> None:
    study.traits["odd"] = trait
    study.section = {"strict": True}
    text = refusal(study)
    assert f"traits.tsv: {words}" in text
    assert len(text.splitlines()) == 1


def test_strict_refuses_a_combination_of_the_covariates(study: Genomes) -> None:
    study.traits["months"] = 12 * study.covariates["age"]
    study.section = {"strict": True}
    assert "traits.tsv: column months: a combination of the covariates" in refusal(study)


# Covariates.


def test_covariates_that_are_no_numbers_are_refused(study: Genomes) -> None:
    study.covariates["age"] = cells(study.covariates["age"], p3="inf", p7="old", p9="NA")
    lines = refusal(study).splitlines()
    rows = {number: list(study.covaried.index).index(number) + 2 for number in (3, 7)}
    told = sorted((rows[number], cell) for number, cell in ((3, "inf"), (7, "old")))
    assert lines == [
        f"covariates.tsv: row {row}, column age: found '{cell}'; expected a number, or NA where "
        "there is none."
        for row, cell in told
    ]


def test_collinear_covariates_are_named_and_left_out(study: Genomes) -> None:
    before = go(study, *targets_of("height")).bytes_of("height")
    study.covariates |= {"months": 12 * study.covariates["age"] + 1, "site": [3] * 60}
    outcome = go(study)
    for told in (
        "covariates.tsv: column months: a combination of the covariates before it, so left out.",
        "covariates.tsv: column site: constant, so left out.",
    ):
        assert told in outcome.log("wgr_check")
        assert told in outcome.text("wgr.html")
    assert outcome.bytes_of("height") == before


# Real runs: through Snakemake, with what it tells.


def run(study: Genomes, *targets: str) -> tuple[int, str]:
    """Return the exit status, and what was told on the terminal."""
    section = json.dumps(study.config()["wgr"])
    result = snakemake(Path(), *targets, "--config", f"wgr={section}")
    told = result.stdout + result.stderr
    logs = "".join(path.read_text() for path in Path("results").rglob("*.log"))
    assert "Traceback" not in told + logs
    assert not list(Path().rglob(".tmp-*"))
    return result.returncode, told


def test_a_run_ends_with_what_was_set_aside_and_strict_fails_for_the_same(study: Genomes) -> None:
    study.traits["weight"] = cells(study.traits["weight"], p7="heavy")
    study.traits["same"] = [1] * 60
    study.write()
    status, told = run(study, PREPARED)
    assert status == 0, told
    aside = "set aside: same constant, weight text or infinite values (reasons in "
    assert f"{aside}results/wgr/quarantine.tsv)" in told
    before = tree_digest(Path("results/wgr"))

    study.section["strict"] = True
    status, told = run(study, PREPARED, "results/work/wgr/strict.txt")
    assert status != 0
    assert "traits.tsv: row 54, column weight: found 'heavy'; expected numbers, and NA" in told
    assert "traits.tsv: column same: constant: all 60 values are 1; leave the trait out" in told
    assert "Not everything could be made" in told
    assert tree_digest(Path("results/wgr")) == before, "what was there is left alone"


def test_strict_fails_before_anything_is_computed(study: Genomes) -> None:
    study.traits["same"] = [1] * 60
    study.section = {"strict": True}
    study.write()
    status, told = run(study, "wgr")
    assert status != 0
    assert "traits.tsv: column same: constant: all 60 values are 1; leave the trait out" in told
    assert not Path("results/wgr").exists()


def test_what_cannot_go_on_is_told_and_leaves_nothing(study: Genomes) -> None:
    study.traited = study.traited.assign(fid="0")
    study.write()
    status, told = run(study, "wgr")
    assert status != 0
    assert "traits.tsv: 0 of its 60 individuals are among the 60 of cohort.fam" in told
    assert "FID is 0 in traits.tsv, so write the FID of cohort.fam into traits.tsv." in told
    assert not Path("results/wgr").exists()
    assert not Path("results/work/wgr/check.json").exists()
