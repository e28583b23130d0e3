import hashlib

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage, stats

from tessera import nifti
from tessera.vgwas.simulate import (
    BAD,
    REGIONS,
    SD,
    make_brain,
    make_covariates,
    make_genotypes,
    make_maps,
    make_roster,
    plant_effects,
)
from tessera.vgwas.toy import write_toy

SEED = 1
CODES = np.array([2, -1, 1, 0], np.int8)  # of a .bed file: counts of a1, -1 where missing


class Study:
    """What a user has: files alone, joined by name."""

    def __init__(self, folder, sheet):
        self.folder = folder
        self.sheet = [line.split("\t") for line in sheet.splitlines()]
        self.maps = dict(self.sheet[1:])
        self.covariates = pd.read_csv(folder / "covariates.tsv", sep="\t").set_index("subject")
        self.truth = pd.read_csv(folder / "truth.tsv", sep="\t").set_index("effect")
        names = ["chr", "id", "cm", "pos", "a1", "a2"]
        self.bim = pd.read_csv(folder / "cohort.bim", sep=r"\s+", names=names, dtype={"chr": str})
        fam = pd.read_csv(folder / "cohort.fam", sep=r"\s+", header=None)
        self.people = fam[1].tolist()
        assert (fam[0] == fam[1]).all()
        packed = np.frombuffer((folder / "cohort.bed").read_bytes()[3:], np.uint8)
        pairs = packed.reshape(len(self.bim), -1, 1) >> np.array([0, 2, 4, 6], np.uint8) & 3
        self.calls = CODES[pairs.reshape(len(self.bim), -1)[:, : len(self.people)]]
        self.mask = nifti.read(folder / "mask.nii.gz") > 0
        self.affine = nifti.read_header(folder / "mask.nii.gz").affine

    def image(self, name):
        return self.folder.parent / self.maps[name]

    def usable(self):
        """In every file, with an age and on the grid of the mask; in the order of the sheet."""
        aged = self.covariates.index[self.covariates["age"].notna()]
        joined = [name for name in self.maps if name in self.people and name in aged]
        return [n for n in joined if (nifti.read_header(self.image(n)).affine == self.affine).all()]

    def row(self, effect):
        return self.bim.index[self.bim["id"] == self.truth.loc[effect, "snp"]][0]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vgwas") / "data"
    folder.mkdir()
    return Study(folder, write_toy(folder, "data", SEED))


def correlate(study, omit=()):
    """Correlate variants and voxels, both after regression on the covariates.

    Returns (S, V) partial correlations, degrees of freedom, and which variants could be used.
    """
    names = study.usable()
    known = study.covariates.loc[names].drop(columns=["age_months", *omit])
    design = pd.get_dummies(known, columns=["sex", "site"], drop_first=True).astype(float)
    basis = np.linalg.qr(np.column_stack([np.ones(len(names)), design]))[0]

    def residuals(columns):
        left = columns - basis @ (basis.T @ columns)
        norm = np.linalg.norm(left, axis=0)
        return left / np.where(norm > 1e-5, norm, np.inf)

    maps = np.stack([nifti.read(study.image(name))[study.mask] for name in names])
    counts = study.calls[:, [study.people.index(name) for name in names]].T.astype(float)
    missing = counts < 0
    means = (counts * ~missing).sum(axis=0) / np.maximum(1, (~missing).sum(axis=0))
    counts = np.where(missing, means, counts)
    total = means * len(names)
    good = np.minimum(total, 2 * len(names) - total) >= 20
    good[[study.row(f"bad:{what}") for what in BAD]] = False
    r = residuals(counts).T @ residuals(maps.astype(float))
    return r, len(names) - basis.shape[1] - 1, good


@pytest.fixture(scope="module")
def association(study):
    return correlate(study)


def voxel(study, effect):
    """Column of the centre of an effect among the voxels of the mask."""
    i, j, k = study.truth.loc[effect, ["i", "j", "k"]].astype(int)
    return study.mask.ravel()[: np.ravel_multi_index((k, j, i), study.mask.shape)].sum()


def critical(p, df):
    t = stats.t.isf(p / 2, df)
    return t / np.sqrt(df + t**2)


def largest_cluster(study, r, df):
    """Size of the largest cluster of one sign, p < 0.001 and 26 neighbours."""
    sizes = [0]
    for sign in (1, -1):
        above = np.zeros(study.mask.shape, bool)
        above[study.mask] = sign * r > critical(0.001, df)
        sizes.extend(np.bincount(ndimage.label(above, np.ones((3, 3, 3)))[0][above]))
    return max(sizes)


def test_same_seed_same_bytes(study, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    sheet = write_toy(folder, "data", SEED)
    assert [line.split("\t") for line in sheet.splitlines()] == study.sheet

    def digest(place):
        files = sorted(place.iterdir())
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    assert digest(folder) == digest(study.folder)
    assert sum(file.stat().st_size for file in folder.iterdir()) < 8e6


def test_a_person_does_not_depend_on_what_else_is_drawn(study):
    roster = make_roster(SEED)
    genotypes = make_genotypes(SEED, roster)
    covariates = make_covariates(SEED, roster, genotypes)
    mask, _ = make_brain()
    effects = plant_effects(genotypes, mask)
    few = covariates.head(5)
    images = make_maps(SEED, few, genotypes, effects, mask)
    for name, image in zip(few["subject"], images, strict=True):
        if name in study.maps:
            np.testing.assert_array_equal(image, nifti.read(study.image(name)))
    other = make_genotypes(SEED + 1, make_roster(SEED + 1))
    assert (other.counts != genotypes.counts).mean() > 0.3


def test_who_has_what(study):
    people, mapped, described = set(study.people), set(study.maps), set(study.covariates.index)
    assert (len(people), len(mapped), len(people & mapped)) == (320, 302, 300)
    assert len(mapped - people) == 2
    assert len(people - described) == len((people & mapped) - described) == 3
    assert study.covariates["age"].isna().sum() == 1
    assert len(study.usable()) == 295
    shared = people & mapped & described
    files = (study.people, study.maps, study.covariates.index)
    orders = [[name for name in names if name in shared] for names in files]
    for one, other in zip(orders, [*orders[1:], orders[0]], strict=True):
        assert np.mean([a == b for a, b in zip(one, other, strict=True)]) < 0.05
    shifts = [nifti.read_header(study.image(n)).affine[:3, 3] - study.affine[:3, 3] for n in mapped]
    assert sorted(np.abs(shifts).max(axis=1))[-2:] == [0, 4]


def test_covariates_are_collinear_on_purpose(study):
    known = study.covariates.dropna()
    np.testing.assert_allclose(known["age_months"], 12 * known["age"], rtol=1e-12)
    counts = dict(zip(study.people, study.calls[study.row("bad:collinear")], strict=True))
    pairs = [(counts[name], known.loc[name, "array"]) for name in known.index if name in counts]
    assert set(pairs) == {(0, 0), (1, 1)}
    assert set(known["sex"]) == {"F", "M"}
    assert known["site"].nunique() == 3


def test_brain_and_atlas(study):
    atlas = nifti.read(study.folder / "atlas.nii.gz")
    names = pd.read_csv(study.folder / "atlas.tsv", sep="\t")
    assert names["name"].tolist() == list(REGIONS)
    assert 2300 < study.mask.sum() < 2700
    np.testing.assert_array_equal(atlas > 0, study.mask)
    assert np.bincount(atlas[study.mask].astype(int))[names["index"]].min() > 100
    k, j, i = np.nonzero(study.mask)
    world = np.column_stack([i, j, k]) @ study.affine[:3, :3].T + study.affine[:3, 3]
    assert (world.min(axis=0) >= (-70, -105, -60)).all()
    assert (world.max(axis=0) <= (70, 70, 80)).all()
    left = np.isin(atlas[study.mask], names["index"][names["name"].str.startswith("left")])
    np.testing.assert_array_equal(left, world[:, 0] < 0)


def test_maps_look_like_grey_matter(study):
    images = np.stack([nifti.read(study.image(name)) for name in study.maps])
    assert not images[:, ~study.mask].any()
    inside = images[:, study.mask]
    assert 0.4 < inside.mean() < 0.6
    assert 0 < inside.min() < inside.max() < 1
    assert SD < np.median(inside.std(axis=0)) < 1.5 * SD
    assert (np.ptp(inside, axis=0) == 0).sum() == 2


def test_variants_are_linked_within_blocks_only():
    genotypes = make_genotypes(SEED, make_roster(SEED))
    counts = np.delete(genotypes.counts, list(genotypes.bad.values()), axis=0)
    block = np.delete(genotypes.block, list(genotypes.bad.values()))
    neighbours = np.abs(np.diagonal(np.corrcoef(counts), 1))
    same = block[1:] == block[:-1]
    assert neighbours[same].mean() > 0.5
    assert neighbours[~same].mean() < 0.07
    lengths = np.bincount(genotypes.block)
    assert lengths.max() == 40
    assert np.median(lengths) > 15
    # At the causal variants themselves, neighbours follow closely.
    for effect in plant_effects(genotypes, make_brain()[0]):
        around = genotypes.counts[effect.variant - 1 : effect.variant + 2]
        assert np.abs(np.corrcoef(around)[1]).min() > 0.6


def test_variants_are_in_order(study):
    assert study.bim["id"].is_unique
    assert len(study.bim) == 2000
    for _, rows in study.bim.groupby("chr"):
        assert rows["pos"].is_monotonic_increasing
    assert (study.bim["a1"] != study.bim["a2"]).all()
    ordinary = np.delete(study.calls, [study.row(f"bad:{what}") for what in BAD], axis=0)
    assert (ordinary < 0).mean() == pytest.approx(0.01, rel=0.05)


def test_bad_variants_are_bad(study):
    usable = [study.people.index(name) for name in study.usable()]
    calls = {what: study.calls[study.row(f"bad:{what}"), usable] for what in BAD}
    assert not calls["monomorphic"].any()
    assert (calls["all_missing"] == -1).all()
    assert (calls["missing"] == -1).mean() == pytest.approx(0.2, abs=0.04)
    assert calls["mac"].sum() == 4
    assert calls["mac"].min() == 0
    assert set(calls["collinear"]) == {0, 1}
    assert study.bim.loc[study.row("bad:multiallelic"), "a1"] == "A,T"
    assert study.bim.loc[[study.row(f"bad:{what}") for what in BAD], "chr"].eq("3").all()


@pytest.mark.parametrize("effect", ["strong", "negative", "single"])
def test_effects_are_recovered_where_and_at_what_they_were_planted(study, association, effect):
    r, df, good = association
    truth, row, centre = study.truth.loc[effect], study.row(effect), voxel(study, effect)
    assert r[row, centre] == pytest.approx(truth["r"], abs=0.1)
    assert np.sign(r[row, centre]) == truth["sign"]
    assert np.argmax(np.abs(r[:, centre]) * good) == row
    # No other voxel is significant in the whole brain and genome, or nearly none.
    found = (np.abs(r[row]) > critical(5e-8, df)).sum()
    assert found == pytest.approx(truth["n_voxels"], abs=2)


def test_the_wide_effect_is_a_cluster_without_a_peak(study, association):
    r, df, good = association
    row = study.row("wide")
    assert study.truth.loc["wide", "n_voxels"] == 350
    assert (np.abs(r[row]) > critical(5e-8, df)).sum() <= 3
    null = r[good & (study.bim["chr"] == "3").to_numpy()]
    chance = max(largest_cluster(study, each, df) for each in null)
    assert largest_cluster(study, r[row], df) > 2 * chance


def test_without_ancestry_nothing_is_calm(study, association):
    def inflation(r, df, good):
        null = r[good & (study.bim["chr"] == "3").to_numpy()]
        return np.mean(null**2 / (1 - null**2)) * df

    assert inflation(*association) == pytest.approx(1, abs=0.06)
    assert inflation(*correlate(study, omit=["pc1"])) > 1.2
