"""The whole-genome regression of binary traits, from other formats, and beside PLINK2."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from filesets import needs_plink2, plink2
from genomes import Genomes, Outcome, carry_out, go

DATA = "toy/wgr/data"
ANALYSED = ("height", "lipid", "burdened")
FIGURES = ["BETA", "SE", "CHISQ", "LOG10P"]


@pytest.fixture(scope="module")
def data(finished: Path) -> Path:
    return finished / DATA


@pytest.fixture(scope="module")
def truth(data: Path) -> pd.DataFrame:
    return pd.read_csv(data / "truth.tsv", sep="\t")


# Binary traits: the toy's, cut at a threshold.


@pytest.fixture
def binary(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The toy data with half of the people tall, a tenth of them fat, few of them burdened."""
    monkeypatch.chdir(tmp_path)
    table = pd.read_csv(data / "traits.tsv", sep="\t").set_index(["FID", "IID"])
    cuts = {"height": 0.5, "lipid": 0.9, "burdened": 0.95}
    high = {trait: table[trait] > table[trait].quantile(cut) for trait, cut in cuts.items()}
    cases = pd.DataFrame(high).where(table[list(cuts)].notna()).astype("Int64")
    cases.to_csv("cases.tsv", sep="\t", na_rep="NA")
    tables = {f"{key}": f"{data}/{key}.tsv" for key in ("annotations", "sets", "masks")}
    return {
        **{"genotypes": f"{data}/cohort", "covariates": f"{data}/covariates.tsv"},
        **{"phenotypes": "cases.tsv", "trait_type": "bt", "burden": tables | {"tests": ["max"]}},
    }


@pytest.mark.parametrize("convention", ["v1", "v4"])
def test_binary_traits_of_the_toy_data_recover_the_truth_too(
    binary: dict[str, Any], truth: pd.DataFrame, convention: str, tmp_path: Path
) -> None:
    found: dict[str, Outcome] = {}
    for test in ("firth", "spa"):
        (tmp_path / test).mkdir()
        shutil.copy(tmp_path / "cases.tsv", tmp_path / test)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path / test)
            found[test] = carry_out({"wgr": binary | {"test": test, "convention": convention}})
    firth = {trait: found["firth"].table(f"assoc/{trait}.parquet") for trait in ANALYSED}
    for outcome in found.values():
        assert outcome.traits["status"].tolist() == ["ok"] * 3
        assert (outcome.traits["corrected"].astype(int) > 40).all()
        assert (outcome.traits["failed"].astype(int) <= 3).all()
        for trait, other in firth.items():
            table = outcome.table(f"assoc/{trait}.parquet")
            assert np.isfinite(table[["A1FREQ", "BETA", "SE"]]).all(axis=None)
            good = (table["EXTRA"] == "NA") & (other["EXTRA"] == "NA")
            assert np.isfinite(table.loc[good, FIGURES]).all(axis=None)
            # Above the threshold of 0.05 both are the score test, and not far from it elsewhere.
            plain = (table["LOG10P"] < 1) & (other["LOG10P"] < 1)
            pd.testing.assert_frame_equal(table[plain], other[plain], check_exact=True)
            apart = (table["LOG10P"] - other["LOG10P"]).abs()
            assert (apart[good] < 0.3 + 0.2 * other["LOG10P"][good]).all()
        for row in truth.itertuples():
            table = outcome.table(f"assoc/{row.trait}.parquet").set_index("ID")
            name = row.variant + (".0.01" if row.trait == "burdened" else "")
            assert table["LOG10P"].idxmax() == name or row.variant == "rs15_29"
            assert table.loc[name, "LOG10P"] > 7
            assert table.loc[name, "BETA"] * row.effect > 0
    assert len({outcome.bytes_of("lipid")["loco/{}.loco"] for outcome in found.values()}) == 1


# Other formats, and PLINK2.


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Genomes:
    """Some genotypes missing; families called as their members, as they are in a VCF."""
    monkeypatch.chdir(tmp_path)
    study = Genomes(n=90)
    study.counts[np.random.default_rng(1).random(study.counts.shape) < 0.03] = -1
    for ids in (study.people, study.traited, study.covaried):
        ids["fid"] = ids["iid"]
    return study


def of_traits(outcome: Outcome) -> dict[str, bytes]:
    return {
        name.format(trait): content
        for trait in ("height", "weight")
        for name, content in outcome.bytes_of(trait).items()
    }


@needs_plink2
def test_the_same_genotypes_in_another_format_give_the_same_bytes(study: Genomes) -> None:
    """PLINK2 takes the A1 of a .bim for ALT, and puts ALT first into a .bgen; A2 is REF."""
    bed = of_traits(go(study))
    call = ("--bfile", "cohort")
    plink2(*call, "--make-pgen", "--out", "p")
    plink2(*call, "--export", "bgen-1.2", "bits=8", "--out", "b")
    plink2(*call, "--export", "vcf", "bgz", "id-paste=iid", "--out", "v")
    for genotypes in ("p", "b.bgen", "v.vcf.gz"):
        study.section["genotypes"] = genotypes
        assert of_traits(go(study)) == bed, genotypes


@needs_plink2
def test_the_first_allele_may_be_the_reference(study: Genomes) -> None:
    """As in a .bgen that other programs write: the same tests, of the other allele."""
    expected = go(study).table("assoc/height.parquet")
    plink2("--bfile", "cohort", "--export", "bgen-1.2", "bits=8", "ref-first", "--out", "f")
    study.section |= {"genotypes": "f.bgen", "ref_first": True}
    found = go(study).table("assoc/height.parquet")
    pd.testing.assert_frame_equal(found, expected, rtol=1e-9)
    study.section["ref_first"] = False
    turned = go(study).table("assoc/height.parquet")
    assert (turned["ALLELE1"] == expected["ALLELE0"]).all()
    turned["A1FREQ"], turned["BETA"] = 1 - turned["A1FREQ"], -turned["BETA"]
    shared = ["CHROM", "GENPOS", "ID", "A1FREQ", "N", *FIGURES]
    pd.testing.assert_frame_equal(turned[shared], expected[shared], rtol=1e-9)


@needs_plink2
def test_without_other_chromosomes_tests_are_those_of_plink2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one chromosome the prediction that leaves it out is zero: linear regression is left.

    Its t has the variance of what is left by the variant too: t^2 = chi2 (df - 1) / (df - chi2).
    """
    monkeypatch.chdir(tmp_path)
    study = Genomes(n=150, per=40, chromosomes=1)
    ours = go(study, "results/wgr/assoc/height.parquet").table("assoc/height.parquet")
    plink2(
        *("--bfile", "cohort", "--glm", "hide-covar", "--covar-variance-standardize"),
        *("--pheno", "traits.tsv", "--pheno-name", "height", "--covar", "covariates.tsv"),
        *("--no-input-missing-phenotype", "--out", "peer"),
    )
    theirs = pd.read_csv("peer.height.glm.linear", sep="\t")
    assert (theirs["ID"] == ours["ID"]).all()
    sign = np.where(theirs["A1"] == ours["ALLELE1"], 1, -1)
    np.testing.assert_allclose(ours["BETA"], sign * theirs["BETA"], rtol=1e-5)
    df = 150 - 3
    t = np.sqrt(ours["CHISQ"] * (df - 1) / (df - ours["CHISQ"]))
    np.testing.assert_allclose(t, theirs["T_STAT"].abs(), rtol=1e-5)
