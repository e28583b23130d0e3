"""Bad covariates and settings: refused or set aside, and what real runs then do."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cohorts import PEOPLE, SECTION, SHAPE, Cohort, cut, go, position, refusal, shift, spoil_values
from tools import snakemake, tree_digest


@pytest.fixture
def cohort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cohort:
    monkeypatch.chdir(tmp_path)
    return Cohort()


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
    assert not (tmp_path / "results/work/vgwas/variants.parquet").exists()


def test_too_many_hits_stop_a_run_cleanly(cohort: Cohort, tmp_path: Path) -> None:
    effect(cohort)
    cohort.section = {"max_hits": 20}
    cohort.write(tmp_path)
    status, told = run(tmp_path, cohort, "results/vgwas/hits.parquet")
    assert status != 0
    assert "config: vgwas.max_hits: at least 30 hits at p <= 1e-05, where 20 are" in told
    assert not (tmp_path / "results/vgwas/hits.parquet").exists()
    assert not (tmp_path / "results/work/vgwas/map/s0p0").exists()
