"""The demonstration data: reproducible, as described, and with the truth it tells."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tessera.wgr.simulate import COMMON, GENE, GENES, PEOPLE, RARE, simulate, stream
from tessera.wgr.toy import write_toy


@pytest.fixture(scope="module")
def study():
    return simulate(1)


@pytest.fixture(scope="module")
def counts(study):
    return np.where(study.counts < 0, np.nan, study.counts)


def test_a_seed_says_all(study):
    same, other = simulate(1), simulate(2)
    assert same.counts.tobytes() == study.counts.tobytes()
    assert other.counts.tobytes() != study.counts.tobytes()
    for name in ("traits", "covariates", "truth", "annotations", "sets", "masks"):
        pd.testing.assert_frame_equal(getattr(same, name), getattr(study, name), check_exact=True)
    assert not other.traits.equals(study.traits)


def test_streams_are_of_what_they_are_for():
    keys = [(1,), (2,), (1, 1), (1, 2), (2, 1), (1, 22)]
    draws = {stream(1, *key).random() for key in keys}
    assert len(draws) == len(keys)
    assert stream(1, 1, 2).random() == stream(1, 1, 2).random()
    assert stream(2, 1).random() != stream(1, 1).random()


def test_files_are_the_same_bytes(tmp_path):
    hashes = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_toy(tmp_path / name, 3)
        files = sorted((tmp_path / name).iterdir())
        hashes.append({f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files})
    assert hashes[0] == hashes[1]
    assert set(hashes[0]) == {
        "cohort.bed", "cohort.bim", "cohort.fam", "traits.tsv", "covariates.tsv", "truth.tsv",
        "annotations.tsv", "sets.tsv", "masks.tsv",
    }  # fmt: skip


def test_22_chromosomes_of_common_and_rare_variants(study, counts):
    per = COMMON + RARE
    assert study.counts.shape == (22 * per, PEOPLE)
    assert study.variants["chr"].tolist() == list(np.repeat([str(c) for c in range(1, 23)], per))
    assert study.variants["id"].is_unique
    frequency = np.nanmean(counts, axis=1) / 2
    rare = np.arange(len(frequency)) % per >= COMMON
    assert frequency[~rare].min() > 0.06
    assert frequency[~rare].max() < 0.53
    assert frequency[rare].max() < 0.02
    assert abs((study.counts < 0).mean() - 0.004) < 0.0005
    assert np.diff(study.variants["pos"].to_numpy().reshape(22, per), axis=1).min() > 0


def test_neighbours_are_in_linkage_and_chromosomes_are_not(counts):
    full = np.where(np.isnan(counts), np.nanmean(counts, axis=1, keepdims=True), counts)
    per = COMMON + RARE
    near = [np.corrcoef(full[a], full[a + 1])[0, 1] for a in range(0, len(full), per)]
    far = [np.corrcoef(full[a], full[a + per])[0, 1] for a in range(0, len(full) - per, per)]
    assert min(near) > 0.3
    assert np.abs(far).max() < 0.12


def test_traits_are_joined_by_name_only(study):
    table = study.traits
    ids = list(zip(study.people["fid"], study.people["iid"], strict=True))
    described = list(zip(table["FID"], table["IID"], strict=True))
    assert set(described) < set(ids)
    assert 0.94 * PEOPLE < len(described) < PEOPLE
    assert described != sorted(described)
    assert 0.04 < table["lipid"].isna().mean() < 0.08
    assert table["constant"].nunique() == 1
    assert not table["height"].isna().any()
    assert (study.covariates["male"] == 1 - study.covariates["sex"]).all()


def effect_of(study, counts, trait, dosage):
    """Effect and its error, by least squares with covariates."""
    people = pd.DataFrame({"FID": study.people["fid"], "IID": study.people["iid"], "g": dosage})
    table = study.traits.merge(people).merge(study.covariates).dropna(subset=[trait, "g"])
    design = np.column_stack([np.ones(len(table)), table[["age", "sex", "pc1", "g"]]])
    found, (left,), *_ = np.linalg.lstsq(design, table[trait], rcond=None)
    error = np.sqrt(left / (len(table) - 5) * np.linalg.inv(design.T @ design)[-1, -1])
    return found[-1], error


def test_the_truth_is_in_the_data(study, counts):
    truth = study.truth
    assert set(truth["trait"]) == {"height", "lipid", "burdened"}
    assert list(truth["effect"]) == [0.6, -0.5, 0.55, 1.2]
    at = dict(zip(study.variants["id"], counts, strict=True))
    rare = [f"rs7_{COMMON + 1 + k}" for k in range(RARE // 2)]
    at[f"{GENE}.lof"] = np.nanmax([at[name] for name in rare], axis=0)
    for row in truth.itertuples():
        found, error = effect_of(study, counts, row.trait, at[row.variant])
        assert abs(found - row.effect) < 4 * error
        assert 2 * stats.norm.sf(abs(found / error)) < 1e-7


def test_burden_tables_name_the_rare_variants_of_genes(study):
    assert study.sets["set"].tolist() == [f"GENE{c}" for c in GENES]
    known = set(study.variants["id"])
    for row in study.sets.itertuples():
        listed = row.variants.split(",")
        assert len(listed) == RARE
        assert set(listed) <= known
        kinds = study.annotations.set_index("variant").loc[listed]
        assert set(kinds["set"]) == {row.set}
        assert kinds["annotation"].tolist() == ["lof"] * (RARE // 2) + ["missense"] * (RARE // 2)
    assert GENE in set(study.sets["set"])
