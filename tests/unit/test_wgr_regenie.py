"""The files of REGENIE itself: 1.0.6.7 and 4.1.2 on public examples, all printed digits."""

import numpy as np
import pandas as pd
import pytest
import regenie_example

from regressions import regress
from tessera.wgr.assoc import Code, Field

# Of trait Y2 of REGENIE's example as a binary trait, by version 1.0.6.7 with blocks of 100 and each
# person left out in turn: minus log-likelihoods, and predictions for chromosomes 2 to 23 by person,
# from test-data/regenie/fit_bin_out_2.loco of the Glow project (Apache-2.0).
LOSSES_Y2 = [0.317553, 0.316868, 0.317774, 0.316548, 0.309588]
LOCO_Y2 = {
    "96_96": "1.13255",
    "97_97": "1.38836",
    "98_98": "-2.05973",
    "99_99": "-2.03028",
    "9_9": "-1.51968",
}
PRINTED = 5.1e-6  # half of the last of six digits, where the first is 1


@pytest.fixture
def inputs(reference_data):
    return reference_data / "wgr" / "inputs"


def example(inputs, folder, **more):
    """REGENIE's example: 500 people, two traits, 1,000 variants of chromosome 1."""
    named = {
        "genotypes": str(inputs / "example.bed"),
        "phenotypes": str(inputs / "phenotype.txt"),
        "covariates": str(inputs / "covariates.txt"),
        "convention": "v1",
        "ref_first": True,
    }
    return regress(folder, **(named | more))


def toy(inputs, folder, **more):
    """600 people, three traits, 1,320 variants of 22 chromosomes."""
    named = {
        "genotypes": str(inputs / "toy"),
        "phenotypes": str(inputs / "toy.pheno"),
        "covariates": str(inputs / "toy.covar"),
        "block_size": 20,
    }
    return regress(folder, **(named | more))


def assert_tests(ours, variants, path):
    """Every value of a table of REGENIE."""
    theirs = pd.read_csv(path, sep=" ", dtype={"ID": str})
    kept = ours[Field.CODE] < Code.MISSING
    rows = variants[kept].reset_index(drop=True)
    for name in ("CHROM", "GENPOS", "ID", "ALLELE0", "ALLELE1"):
        assert rows[name].astype(str).tolist() == theirs[name].astype(str).tolist()
    figures = set(Field.__members__) & set(theirs)
    assert figures == {"A1FREQ", "BETA", "SE", "CHISQ", "LOG10P", "N" if "N" in theirs else "INFO"}
    for name in figures:
        np.testing.assert_allclose(ours[Field[name], kept], theirs[name], rtol=PRINTED, atol=0)


@pytest.fixture
def expected(reference_data):
    return reference_data / "wgr" / "expected"


def test_version_1(inputs, expected, tmp_path):
    found = example(inputs, tmp_path / "run")
    for number in (1, 2):
        trait = f"Y{number}"
        loco = (expected / f"fit_lin_out_{number}.loco").read_text()
        assert found.loco[trait].split() == loco.split()
        table = expected / f"test_lin_out_{trait}.regenie"
        assert_tests(found.tests[trait], found.variants, table)


def test_version_4(inputs, expected, tmp_path):
    found = toy(inputs, tmp_path / "run")
    for trait in ("Q1", "Q2", "Q3"):
        loco = (expected / f"toy_v4_qt_{trait}.loco").read_text()
        assert found.loco[trait].split() == loco.split()
        table = expected / f"toy_v4_qt_{trait}.regenie"
        assert_tests(found.tests[trait], found.variants, table)


def test_bgen_is_the_same(inputs, expected, tmp_path):
    found = example(inputs, tmp_path / "run", genotypes=str(inputs / "example.bgen"))
    assert_tests(found.tests["Y1"], found.variants, expected / "test_lin_out_Y1.regenie")
    loco = (expected / "fit_lin_out_1.loco").read_text()
    assert found.loco["Y1"].split() == loco.split()


@pytest.fixture
def binary(inputs, tmp_path):
    """Trait Y2 as a binary one, coded as REGENIE does it by default."""
    ids = pd.read_csv(inputs / "phenotype.txt", sep=" ")[["FID", "IID"]]
    table = ids.assign(Y2=regenie_example.y2().astype(int))
    table.to_csv(tmp_path / "binary.txt", sep=" ", index=False)

    def run(name, **more):
        phenotypes = {"phenotypes": str(tmp_path / "binary.txt"), "trait_type": "bt"}
        return example(inputs, tmp_path / name, **(phenotypes | more))

    return run


def test_each_person_left_out_of_a_binary_trait(binary):
    found = binary("run")
    curve = found.curves["Y2"]
    assert curve["folds"] == "loocv"
    assert [f"{value:.6g}" for value in curve["loss"]] == [f"{value:.6g}" for value in LOSSES_Y2]
    people, *rows = (line.split() for line in found.loco["Y2"].splitlines())
    for row in rows:
        told = dict(zip(people, row, strict=True))
        for person, value in LOCO_Y2.items():
            assert told[person] == (value if row[0] != "1" else "0")


@pytest.mark.parametrize(
    ("test", "figures"),
    [("firth", regenie_example.FIRTH_Y2), ("score", regenie_example.SCORE_Y2)],
)
def test_tests_of_a_binary_trait(binary, test, figures):
    found = binary("run", test=test, firth_p=0.5)
    at = {name: place for place, name in enumerate(found.variants["ID"])}
    fields = [Field.BETA, Field.SE, Field.CHISQ, Field.LOG10P]
    for variant, theirs in figures.items():
        ours = found.tests["Y2"][fields, at[variant]]
        np.testing.assert_allclose(ours, theirs, rtol=PRINTED)
