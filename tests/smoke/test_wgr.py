"""The whole-genome regression on its toy data: truth recovered, promises kept, peers met."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from genomes import OF_TRAIT
from tools import ROOT, columns_told, of_here_and_now, plan

DATA = "toy/wgr/data"
ANALYSED = ("height", "lipid", "burdened")
FIGURES = ["BETA", "SE", "CHISQ", "LOG10P"]


@pytest.fixture(scope="module")
def results(finished: Path) -> Path:
    return finished / "results/wgr"


@pytest.fixture(scope="module")
def data(finished: Path) -> Path:
    return finished / DATA


@pytest.fixture(scope="module")
def tests(results: Path) -> dict[str, pd.DataFrame]:
    return {trait: pd.read_parquet(results / f"assoc/{trait}.parquet") for trait in ANALYSED}


@pytest.fixture(scope="module")
def truth(data: Path) -> pd.DataFrame:
    return pd.read_csv(data / "truth.tsv", sep="\t")


@pytest.fixture(scope="module")
def traits(results: Path) -> pd.DataFrame:
    return pd.read_csv(results / "traits.tsv", sep="\t").set_index("trait")


# The truth.


def test_causal_variants_lead_with_their_effects(
    truth: pd.DataFrame, tests: dict[str, pd.DataFrame]
) -> None:
    single = truth[~truth["variant"].str.startswith("GENE")]
    assert len(single) == 3
    for row in single.itertuples():
        table = tests[row.trait][~tests[row.trait]["MASK"]].set_index("ID")
        own = table[table["CHROM"] == table.loc[row.variant, "CHROM"]]
        assert own["LOG10P"].idxmax() == row.variant
        found = table.loc[row.variant]
        assert found["LOG10P"] > 30
        assert abs(found["BETA"] - row.effect) < 3 * found["SE"]
    for trait, table in tests.items():
        far = table[~table["MASK"] & (table["LOG10P"] > -np.log10(5e-8))]
        causal = {"rs7"} if trait == "burdened" else set()
        causal |= set(single.loc[single["trait"] == trait, "variant"].str.split("_").str[0])
        assert set(far["ID"].str.split("_").str[0]) <= causal, "nothing else is beyond chance"


def test_rare_variants_of_a_gene_are_found_together(
    truth: pd.DataFrame, tests: dict[str, pd.DataFrame]
) -> None:
    (effect,) = truth.loc[truth["variant"] == "GENE7.lof", "effect"]
    table = tests["burdened"]
    masks = table[table["MASK"]].set_index(["ID", "TEST"])
    assert len(masks) == 5 * 2 * 3, "genes, masks, rules"
    found = masks.loc[("GENE7.lof.0.01", "ADD")]
    assert found["LOG10P"] == masks["LOG10P"].max() > 15
    assert abs(found["BETA"] - effect) < 3 * found["SE"]
    assert found["LOG10P"] > table.loc[~table["MASK"], "LOG10P"].max() + 5
    others = masks[~masks.index.get_level_values("ID").str.startswith("GENE7")]
    assert (others["LOG10P"] < 3).all()
    for trait in ("height", "lipid"):
        assert (tests[trait].loc[tests[trait]["MASK"], "LOG10P"] < 3.5).all()


def test_what_cannot_be_analysed_is_said(results: Path, traits: pd.DataFrame) -> None:
    assert traits["status"].to_dict() == {**dict.fromkeys(ANALYSED, "ok"), "constant": "set aside"}
    quarantine = pd.read_csv(results / "quarantine.tsv", sep="\t")
    assert quarantine["trait"].tolist() == ["constant"]
    assert quarantine["what"].tolist() == ["constant: all 1161 values are 4.2"]
    page = (results / "wgr.html").read_text(encoding="utf-8")
    assert "1 trait was set aside: constant" in page
    male = "column male: a combination of the covariates before it, so left out."
    assert male in page


# Statistics from the files that were given, by plain regression.


class Plain:
    """A trait and the toy data, read without the library."""

    def __init__(self, data: Path, results: Path, trait: str) -> None:
        people = [line.split()[:2] for line in (data / "cohort.fam").read_text().splitlines()]
        ids = pd.MultiIndex.from_tuples(map(tuple, people))
        table = pd.read_csv(data / "traits.tsv", sep="\t").set_index(["FID", "IID"])
        y = table[trait].reindex(ids)
        self.there = y.notna().to_numpy()
        self.y = y[self.there].to_numpy()
        covariates = pd.read_csv(data / "covariates.tsv", sep="\t").set_index(["FID", "IID"])
        columns = covariates.reindex(ids)[self.there][["age", "sex", "pc1"]].to_numpy()
        n = len(self.y)
        self.basis, _ = np.linalg.qr(np.column_stack([np.ones(n), columns - columns.mean(axis=0)]))
        width = -(-len(people) // 4)
        packed = np.fromfile(data / "cohort.bed", np.uint8)[3:].reshape(-1, width)
        bits = np.stack([packed >> shift & 3 for shift in (0, 2, 4, 6)], axis=2)
        counts = np.array([2, np.nan, 1, 0])[bits.reshape(len(packed), -1)]
        self.counts = counts[:, : len(people)][:, self.there]
        self.ids = [line.split()[1] for line in (data / "cohort.bim").read_text().splitlines()]
        loco = pd.read_csv(results / f"loco/{trait}.loco", sep=" ", index_col=0)
        names = ["_".join(person) for person in people]
        self.loco = loco.reindex(columns=names).to_numpy()[:, self.there]

    def adjusted(self, x: np.ndarray) -> np.ndarray:
        return x - self.basis @ (self.basis.T @ x)

    def tested(self, variant: str, chromosome: int) -> list[float]:
        """Beta, SE and chi-squared of REGENIE's score test with the null variance."""
        n, c = self.basis.shape
        y = self.adjusted(self.y)
        scale = np.sqrt(y @ y / (n - c))
        residual = self.adjusted(y - scale * self.loco[chromosome - 1])
        g = self.counts[self.ids.index(variant)]
        g = self.adjusted(np.where(np.isnan(g), np.nanmean(g), g))
        beta = g @ residual / (g @ g)
        before = y - scale * self.loco[chromosome - 1]
        error = np.sqrt(before @ before / (n - c) / (g @ g))
        return [beta, error, (beta / error) ** 2]


@pytest.mark.parametrize("trait", ANALYSED)
def test_statistics_are_those_of_a_regression_on_what_is_left_of_the_prediction(
    data: Path, results: Path, tests: dict[str, pd.DataFrame], trait: str
) -> None:
    plain = Plain(data, results, trait)
    table = tests[trait][~tests[trait]["MASK"]]
    some = pd.concat([table.iloc[::97], table.nlargest(3, "LOG10P")])
    for row in some.itertuples():
        expected = plain.tested(row.ID, row.CHROM)
        g = plain.counts[plain.ids.index(row.ID)]
        expected += [np.isfinite(g).sum(), np.nanmean(g) / 2]
        found = [row.BETA, row.SE, row.CHISQ, row.N, row.A1FREQ]
        np.testing.assert_allclose(found, expected, rtol=1e-7)


def test_predictions_leave_out_a_chromosome_and_explain_the_rest(
    data: Path, results: Path, truth: pd.DataFrame, traits: pd.DataFrame
) -> None:
    assert traits.loc["height", "rsq"] > 0.25
    assert traits.loc["lipid", "rsq"] > 0.1
    plain = Plain(data, results, "height")
    y = plain.adjusted(plain.y)
    rsq = np.array([np.corrcoef(row, y)[0, 1] ** 2 for row in plain.loco])
    whole = plain.loco[22]  # no variant lies on X
    assert np.corrcoef(whole, y)[0, 1] ** 2 == pytest.approx(traits.loc["height", "rsq"], rel=1e-3)
    assert (rsq[:22] > 0.1).all()
    causal = {v: int(v[2:].split("_")[0]) for v in truth.query("trait == 'height'")["variant"]}
    for chromosome in causal.values():
        assert rsq[chromosome - 1] < rsq[22] - 0.03, "left out is what has the effect"
    with_it = [plain.tested(*each)[2] for each in causal.items()]
    plain.loco[:] = 0
    without = [plain.tested(*each)[2] for each in causal.items()]
    assert (np.array(with_it) > without).all()
    assert sum(with_it) > 1.1 * sum(without), "more power"


# The account.


def test_everything_read_is_accounted_for(data: Path, results: Path, traits: pd.DataFrame) -> None:
    ledger = json.loads((results / "ledger.json").read_text())
    blocks = ledger.pop("blocks")
    for counted in ledger.values():
        assert counted["read"] == counted["used"] + sum(counted["dropped"].values())
    samples = pd.read_csv(results / "samples.tsv", sep="\t")
    fam = [line.split()[:2] for line in (data / "cohort.fam").read_text().splitlines()]
    assert samples[["fid", "iid"]].to_numpy().tolist() == fam
    assert ledger["people"]["read"] == len(samples) == 1200
    table = pd.read_csv(data / "traits.tsv", sep="\t")
    known = set(zip(table["FID"], table["IID"], strict=True))
    for row in samples.itertuples():
        assert row.status == ("used" if (row.fid, row.iid) in known else "no phenotypes")
    assert ledger["people"]["used"] == (samples["status"] == "used").sum() == len(table)
    dropped = pd.read_csv(results / "dropped_variants.tsv", sep="\t")
    assert ledger["variants"]["read"] == 22 * 56
    assert sum(ledger["variants"]["dropped"].values()) == len(dropped)
    listed = json.loads((results / "blocks.json").read_text())
    assert blocks == len(listed) == 22
    assert sum(block["variants"] for block in listed) == ledger["variants"]["used"]
    assert ledger["tests"]["read"] == 3 * (22 * 56 + 5 * 2 * 3)
    assert ledger["tests"]["used"] == traits["tested"].sum()
    assert sum(ledger["tests"]["dropped"].values()) == traits["dropped"].sum()
    assert traits["n"].to_dict() == {
        trait: table[trait].notna().sum() for trait in (*ANALYSED, "constant")
    }


def test_tables_are_sorted_and_the_text_says_the_same(
    results: Path, tests: dict[str, pd.DataFrame], traits: pd.DataFrame
) -> None:
    for trait, table in tests.items():
        assert len(table) == traits.loc[trait, "tested"]
        assert np.isfinite(table[["A1FREQ", *FIGURES]]).all(axis=None)
        assert table["MASK"].is_monotonic_increasing
        variants = table[~table["MASK"]]
        order = variants[["CHROM", "GENPOS"]].to_numpy().tolist()
        assert order == sorted(order)
        with gzip.open(results / f"assoc/{trait}.regenie.gz", "rt") as stream:
            text = pd.read_csv(stream, sep=" ", keep_default_na=False)
        assert list(text.columns) == list(table.columns[:13])
        pd.testing.assert_frame_equal(text, table[text.columns], check_dtype=False, rtol=1e-8)
        assert (table["A1FREQ"] * 2 * table["N"] > 4.9).all(), "min_mac"
    assert pd.read_parquet(results / "assoc/constant.parquet").empty


def test_predictions_have_the_format_of_regenie(results: Path, data: Path) -> None:
    samples = pd.read_csv(results / "samples.tsv", sep="\t")
    used = samples[samples["status"] == "used"]
    people = sorted(used["fid"] + "_" + used["iid"])
    missing = pd.read_csv(data / "traits.tsv", sep="\t").set_index("IID")["lipid"].isna()
    for trait in (*ANALYSED, "constant"):
        lines = (results / f"loco/{trait}.loco").read_text().splitlines()
        assert lines[0].split(" ") == ["FID_IID", *people]
        assert [line.split(" ")[0] for line in lines[1:]] == [str(c) for c in range(1, 24)]
        gaps = [cell == "NA" for cell in lines[7].split(" ")[1:]]
        if trait == "lipid":
            assert gaps == [bool(missing[name.split("_")[1]]) for name in people]
        else:
            assert gaps == [trait == "constant"] * len(people)


def test_outputs_are_those_that_the_docs_promise(results: Path) -> None:
    docs = (ROOT / "docs/wgr.md").read_text(encoding="utf-8")
    section = docs[docs.index("## Outputs") :]
    files, columns = section[: section.index("\n## ", 5)].split("Columns:")
    promised = set(re.findall(r"^\| `([^`]+)`", files, flags=re.M))
    there = {path.relative_to(results).as_posix() for path in results.rglob("*") if path.is_file()}
    there = {name for name in there if not name.endswith(".snakemake_timestamp")}
    for trait in (*ANALYSED, "constant"):
        assert {name.format(trait) for name in OF_TRAIT} <= there
    generic = {re.sub(rf"\b({'|'.join(ANALYSED)}|constant)\b", "TRAIT", name) for name in there}
    assert generic == promised
    for name, row in re.findall(r"^\| `([^`]+)` \| (.+) \|$", columns, flags=re.M):
        path = results / name.replace("TRAIT", "height")
        if name.endswith(".parquet"):
            table = pd.read_parquet(path)
        else:
            table = pd.read_csv(path, sep=" " if name.endswith(".regenie.gz") else "\t")
        assert columns_told(row) == list(table.columns), name
    page = (results / "wgr.html").read_text(encoding="utf-8")
    for word in ("rs3_5", "rs15_29", "rs9_17", "GENE7.lof.0.01", "no phenotypes: 39"):
        assert word in page


def test_nothing_of_this_machine_or_this_moment_is_in_the_results(
    finished: Path, results: Path
) -> None:
    for path in results.rglob("*"):
        if not path.is_file() or path.name == ".snakemake_timestamp":
            continue
        content = path.read_bytes()
        if path.name.endswith(".gz"):
            assert content[3:8] == bytes(5), "neither name nor time"
            content = gzip.decompress(content)
        assert not of_here_and_now(path, content, finished), path


def test_a_second_run_has_nothing_to_do(finished: Path) -> None:
    assert plan(finished, ["wgr"]).counts == {}
