"""The voxel-wise GWAS on its toy data: truth recovered, promises kept."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tessera.vgwas.simulate import AFFINE, REGIONS, SHAPE
from tools import ROOT, columns_told, of_here_and_now, plan

PLANTED = ("strong", "negative", "wide", "single")
BAD = {
    **{"monomorphic": "monomorphic", "all_missing": "all_missing", "missing": "missing"},
    **{"mac": "low_mac", "multiallelic": "multiallelic", "collinear": "collinear"},
}
BLOCK = 250_000  # base pairs; blocks of linkage are shorter, and gaps between them longer
COLUMNS = {
    "samples.tsv": ["subject", "status", "map"],
    "quarantine.tsv": ["subject", "reason", "file", "place", "what", "remedy"],
    "clusters.tsv": [
        *("snp", "size", "p_fwer", "peak_t", "peak_x", "peak_y", "peak_z", "label"),
    ],
    "snps.parquet": ["id", "chr", "pos", "alleles", "maf", "missing", "status"],
    "voxels.parquet": ["i", "j", "k", "x", "y", "z", "status", "label"],
    "hits.parquet": ["snp", "voxel", "beta", "se", "t", "log10p"],
}


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.fixture(scope="module")
def results(finished: Path) -> Path:
    return finished / "results/vgwas"


@pytest.fixture(scope="module")
def data(finished: Path) -> Path:
    return finished / "toy/vgwas/data"


@pytest.fixture(scope="module")
def snps(results: Path) -> pd.DataFrame:
    return pd.read_parquet(results / "snps.parquet")


@pytest.fixture(scope="module")
def voxels(results: Path) -> pd.DataFrame:
    return pd.read_parquet(results / "voxels.parquet")


@pytest.fixture(scope="module")
def hits(results: Path) -> pd.DataFrame:
    return pd.read_parquet(results / "hits.parquet")


@pytest.fixture(scope="module")
def inference(results: Path) -> dict[str, Any]:
    return json.loads((results / "inference.json").read_text())


@pytest.fixture(scope="module")
def truth(data: Path, snps: pd.DataFrame) -> pd.DataFrame:
    """What was planted, with the row of its SNP."""
    table = pd.read_csv(data / "truth.tsv", sep="\t").set_index("effect")
    return table.assign(row=[int(snps.index[snps["id"] == snp][0]) for snp in table["snp"]])


def centre(truth: pd.DataFrame, voxels: pd.DataFrame, name: str) -> int:
    """Return the row of the voxel at which an effect has its centre."""
    (row,) = np.flatnonzero(
        (voxels[["i", "j", "k"]] == truth.loc[name, ["i", "j", "k"]]).all(axis=1)
    )
    return int(row)


@pytest.mark.parametrize("name", ["strong", "negative", "single"])
def test_a_planted_effect_is_found_at_its_voxel(
    name: str, truth: pd.DataFrame, snps: pd.DataFrame, voxels: pd.DataFrame, hits: pd.DataFrame
) -> None:
    effect, where = truth.loc[name], centre(truth, voxels, name)
    hit = hits[(hits["snp"] == effect["row"]) & (hits["voxel"] == where)]
    assert len(hit) == 1
    assert np.sign(hit["t"].iloc[0]) == np.sign(hit["beta"].iloc[0]) == effect["sign"]
    snp = snps.iloc[effect["row"]]
    assert snp["p_fwer"] <= 0.05
    # Of 287 degrees of freedom, t has a standard error of about 1 / (1 - r^2).
    t = effect["r"] / np.sqrt((1 - effect["r"] ** 2) / snp["df"])
    assert abs(hit["t"].iloc[0] - t) < 4 / (1 - effect["r"] ** 2)
    # No hit of this SNP is stronger and somewhere else than the effect is wide.
    best = hits[hits["snp"] == effect["row"]].nlargest(1, "log10p")["voxel"].iloc[0]
    away = voxels.loc[best, ["i", "j", "k"]] - voxels.loc[where, ["i", "j", "k"]]
    assert np.linalg.norm(away.astype(float)) <= (2.1 if effect["n_voxels"] > 1 else 0)


def test_a_wide_and_weak_effect_is_found_by_its_cluster_alone(
    results: Path, truth: pd.DataFrame, snps: pd.DataFrame
) -> None:
    effect = truth.loc["wide"]
    snp = snps.iloc[effect["row"]]
    assert snp["p_fwer"] > 0.5
    assert snp["p_fwer_cluster"] <= 0.05
    clusters = pd.read_csv(results / "clusters.tsv", sep="\t")
    own = clusters[clusters["snp"] == effect["snp"]].iloc[0]
    assert own["p_fwer"] <= 0.05
    assert own["peak_t"] * effect["sign"] > 0
    place = AFFINE[:3, :3] @ effect[["i", "j", "k"]].to_numpy(float) + AFFINE[:3, 3]
    peak = own[["peak_x", "peak_y", "peak_z"]].to_numpy(float)
    assert np.linalg.norm(peak - place) < 40, "350 voxels reach 35 mm"
    single = snps.iloc[truth.loc["single", "row"]]
    assert (single["p_fwer"] <= 0.05, single["p_fwer_cluster"] <= 0.05) == (True, False)


def test_nothing_else_is_beyond_chance(truth: pd.DataFrame, snps: pd.DataFrame) -> None:
    """But neighbours in linkage with what was planted."""
    beyond = snps[(snps["p_fwer"] <= 0.05) | (snps["p_fwer_cluster"] <= 0.05)]
    planted = snps.iloc[truth.loc[list(PLANTED), "row"]]
    for _, snp in beyond.iterrows():
        near = planted[planted["chr"] == snp["chr"]]
        assert ((near["pos"] - snp["pos"]).abs() < BLOCK).any(), snp["id"]
    assert set(planted["id"]) <= set(beyond["id"])


def test_bad_snps_have_their_status_and_no_t(
    truth: pd.DataFrame, snps: pd.DataFrame, hits: pd.DataFrame
) -> None:
    for what, status in BAD.items():
        snp = snps.iloc[truth.loc[f"bad:{what}", "row"]]
        assert snp["status"] == status
        assert np.isnan([snp["max_t"], snp["max_log10p"], snp["p_fwer"], snp["df"]]).all()
    untested = np.flatnonzero(snps["status"] != "tested")
    assert not hits["snp"].isin(untested).any()
    assert (snps.loc[untested, "status"] == "low_mac").sum() < 10
    assert snps.loc[snps["status"] == "tested", "max_t"].notna().all()


def test_statistics_are_those_of_a_regression(
    results: Path, data: Path, snps: pd.DataFrame, voxels: pd.DataFrame, hits: pd.DataFrame
) -> None:
    """Of a few hits, by least squares from the files that were given."""
    used = [row["subject"] for row in read_rows(results / "samples.tsv") if row["status"] == "used"]
    table = pd.read_csv(data / "covariates.tsv", sep="\t").set_index("subject").loc[used]
    columns = [np.ones(len(used)), table["age"], table["pc1"], table["array"]]
    columns += [table["sex"] == "M", table["site"] == "south", table["site"] == "west"]
    fam = [line.split()[1] for line in (data / "cohort.fam").read_text().splitlines()]
    place = [fam.index(subject) for subject in used]
    width = -(-len(fam) // 4)
    codes = np.fromfile(data / "cohort.bed", np.uint8)[3:].reshape(-1, width)
    counts = np.array([2, np.nan, 1, 0])
    images = [np.asarray(nib.load(data / f"m_{subject}.nii.gz").dataobj) for subject in used]
    for _, hit in hits.iloc[:: len(hits) // 7].iterrows():
        packed = codes[int(hit["snp"])]
        bits = np.stack([packed >> shift & 3 for shift in (0, 2, 4, 6)], axis=1).ravel()
        dosage = counts[bits][place]
        dosage = np.where(np.isnan(dosage), np.nanmean(dosage), dosage)
        i, j, k = voxels.loc[int(hit["voxel"]), ["i", "j", "k"]].astype(int)
        y = np.array([image[i, j, k] for image in images], float)
        design = np.column_stack([dosage, *columns]).astype(float)
        solution, (rss,), *_ = np.linalg.lstsq(design, y, rcond=None)
        df = len(y) - design.shape[1]
        error = np.sqrt(rss / df * np.linalg.inv(design.T @ design)[0, 0])
        t = solution[0] / error
        expected = [solution[0], error, t, -np.log10(2 * stats.t.sf(abs(t), df))]
        assert hit[["beta", "se", "t", "log10p"]].to_numpy() == pytest.approx(expected, rel=1e-4)
        assert snps.loc[int(hit["snp"]), "df"] == df


def test_subjects_are_joined_by_name(results: Path, data: Path, finished: Path) -> None:
    """Three files in three orders, none of which has everybody."""
    sheet = [row["subject"] for row in read_rows(finished / "toy/vgwas/images.tsv")]
    fam = [line.split()[1] for line in (data / "cohort.fam").read_text().splitlines()]
    described = [row["subject"] for row in read_rows(data / "covariates.tsv")]
    samples = {row["subject"]: row for row in read_rows(results / "samples.tsv")}
    assert set(samples) == {*sheet, *fam, *described}
    aside = {row["subject"]: row["reason"] for row in read_rows(results / "quarantine.tsv")}
    assert sorted(aside.values()) == ["covariate missing", "map unusable"]
    used = [subject for subject, row in samples.items() if row["status"] == "used"]
    both = {*sheet} & {*fam} & {*described}
    assert used == [subject for subject in fam if subject in both - {*aside}]
    assert all(samples[subject]["map"] == f"m_{subject}.nii.gz" for subject in sheet)
    for subject, row in samples.items():
        lacks = {
            "no map": subject not in sheet,
            "no genotypes": subject not in fam,
            "no covariates": subject not in described,
        }
        assert row["status"] == next((why for why, so in lacks.items() if so), row["status"])
        if not any(lacks.values()):
            assert row["status"] == aside.get(subject, "used")


def test_the_ledger_adds_up(
    results: Path, snps: pd.DataFrame, voxels: pd.DataFrame, inference: dict[str, Any]
) -> None:
    ledger = json.loads((results / "ledger.json").read_text())
    for counted in ledger.values():
        assert counted["read"] == counted["tested"] + sum(counted["dropped"].values())
    samples = pd.read_csv(results / "samples.tsv", sep="\t")
    assert ledger["subjects"]["read"] == len(samples) == 322
    assert ledger["subjects"]["tested"] == (samples["status"] == "used").sum() == 295
    assert ledger["snps"]["read"] == len(snps) == 2000
    assert ledger["snps"]["tested"] == (snps["status"] == "tested").sum()
    assert ledger["voxels"]["read"] == len(voxels)
    assert ledger["voxels"]["dropped"] == {"constant": 2}
    assert inference["n_subjects"] == 295
    assert inference["n_tests"] == ledger["snps"]["tested"] * ledger["voxels"]["tested"]
    assert [each["name"] for each in inference["dropped_covariates"]] == ["age_months"]
    assert inference["df"] == 295 - 7 - 1


def test_p_values_follow_from_the_null_distributions(
    results: Path, snps: pd.DataFrame, inference: dict[str, Any]
) -> None:
    null_t, null_size = (np.load(results / f"null/{n}.npy") for n in ("max_t", "max_cluster"))
    assert len(null_t) == len(null_size) == inference["permutations"] == 200
    assert (null_t > 4).all(), "the largest of five million"
    tested = snps[snps["status"] == "tested"]
    for observed, null, p in (
        (tested["max_t"].abs(), null_t, tested["p_fwer"]),
        (tested["max_cluster"], null_size, tested["p_fwer_cluster"]),
    ):
        beyond = (null[:, np.newaxis] >= observed.to_numpy()).sum(axis=0)
        assert p.to_numpy() == pytest.approx((1 + beyond) / 201)
    assert inference["fwer"]["max_t"] == np.sort(null_t)[-10]
    assert 0.93 < inference["lambda"] < 1.07
    clusters = pd.read_csv(results / "clusters.tsv", sep="\t")
    beyond = (null_size[:, np.newaxis] >= clusters["size"].to_numpy()).sum(axis=0)
    assert clusters["p_fwer"].to_numpy() == pytest.approx((1 + beyond) / 201, abs=1e-6)


def test_tables_are_as_promised_and_sorted(
    results: Path, snps: pd.DataFrame, voxels: pd.DataFrame, hits: pd.DataFrame, data: Path
) -> None:
    for name, columns in COLUMNS.items():
        path = results / name
        parquet = name.endswith(".parquet")
        table = pd.read_parquet(path) if parquet else pd.read_csv(path, sep="\t")
        assert set(columns) <= set(table.columns), name
        assert len(table), name
    assert hits["snp"].dtype == hits["voxel"].dtype == np.int32
    pairs = list(zip(hits["snp"], hits["voxel"], strict=True))
    assert pairs == sorted(set(pairs))
    assert hits["snp"].max() < len(snps)
    assert (voxels["status"].to_numpy()[hits["voxel"]] == "tested").all()
    bim = [line.split() for line in (data / "cohort.bim").read_text().splitlines()]
    assert [row[1] for row in bim] == snps["id"].to_list()
    assert [f"{row[4]}/{row[5]}" for row in bim] == snps["alleles"].to_list()
    order = voxels[["k", "j", "i"]].to_numpy().tolist()
    assert order == sorted(order)
    mm = voxels[["i", "j", "k"]].to_numpy() @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    assert np.array_equal(voxels[["x", "y", "z"]], mm)
    assert set(voxels["label"]) == set(REGIONS)
    clusters = pd.read_csv(results / "clusters.tsv", sep="\t")
    assert (clusters["size"].diff().dropna() <= 0).all()
    assert (hits["log10p"] >= 5 - 1e-6).all()
    quarantined = read_rows(results / "quarantine.tsv")
    assert [row["subject"] for row in quarantined] == sorted(row["subject"] for row in quarantined)


def test_hits_are_all_that_the_strongest_tests_say(snps: pd.DataFrame, hits: pd.DataFrame) -> None:
    largest = hits.loc[hits.groupby("snp")["log10p"].idxmax()].set_index("snp")
    strong = snps.index[snps["max_log10p"] >= 5]
    assert list(strong) == list(largest.index)
    assert largest["t"].to_numpy() == pytest.approx(snps.loc[strong, "max_t"].to_numpy(), rel=1e-5)


def test_maps_agree_with_hits(
    results: Path, voxels: pd.DataFrame, hits: pd.DataFrame, inference: dict[str, Any]
) -> None:
    leads = inference["leads"]
    assert {lead["map"] for lead in leads} == {
        path.name for path in (results / "maps").glob("*.nii.gz")
    }
    compared = 0
    for lead in leads:
        image = nib.load(results / "maps" / lead["map"])
        assert lead["map"] == f"{lead['id']}_t.nii.gz"
        assert image.shape == SHAPE[::-1]
        assert np.array_equal(image.affine, AFFINE)
        t = np.asarray(image.dataobj)
        own = hits[hits["snp"] == lead["snp"]]
        i, j, k = voxels.iloc[own["voxel"]][["i", "j", "k"]].to_numpy().T
        assert np.abs(t[i, j, k] - own["t"].to_numpy()).max(initial=0) < 1e-4
        compared += len(own)
        i, j, k = voxels[["i", "j", "k"]].to_numpy().T
        outside = np.ones(t.shape, bool)
        outside[i, j, k] = (voxels["status"] != "tested").to_numpy()
        assert not t[outside].any()
        assert t[~outside].all()
    assert compared > 0.5 * len(hits)


def test_outputs_are_those_that_the_docs_promise(results: Path, inference: dict[str, Any]) -> None:
    docs = (ROOT / "docs/vgwas.md").read_text(encoding="utf-8")
    section = docs[docs.index("## Outputs") :]
    files, columns = section[: section.index("\n## ", 5)].split("Columns:")
    promised = set(re.findall(r"^\| `([^`]+)`", files, flags=re.M))
    there = {path.relative_to(results).as_posix() for path in results.rglob("*") if path.is_file()}
    there = {name for name in there if not name.endswith(".snakemake_timestamp")}
    maps = {f"maps/{lead['map']}" for lead in inference["leads"]}
    assert {name for name in there if name.startswith("maps/")} == maps
    named = {re.sub(r"^png/\w+", "png/NAME", name) for name in there - maps}
    assert named | {"maps/SNP_t.nii.gz"} == promised
    assert {"manhattan.png", "qq.png", "null.png"} <= {Path(name).name for name in there}
    for name, row in re.findall(r"^\| `([^`]+)` \| (.+) \|$", columns, flags=re.M):
        parquet = name.endswith(".parquet")
        table = (
            pd.read_parquet(results / name) if parquet else pd.read_csv(results / name, sep="\t")
        )
        assert columns_told(row) == list(table.columns), name
    page = (results / "gwas.html").read_text(encoding="utf-8")
    for word in (*(lead["id"] for lead in inference["leads"][:3]), "covariate missing", "P0300"):
        assert word in page


def test_nothing_of_this_machine_or_this_moment_is_in_the_results(
    finished: Path, results: Path
) -> None:
    for path in results.rglob("*"):
        if not path.is_file() or path.name == ".snakemake_timestamp":
            continue
        content = path.read_bytes()
        assert not of_here_and_now(path, content, finished), path
        if path.name.endswith(".nii.gz"):
            header = nib.load(path).header
            assert not header["descrip"].item()
            assert not header["aux_file"].item()


def test_a_second_run_has_nothing_to_do(finished: Path) -> None:
    assert plan(finished, ["vgwas"]).counts == {}
