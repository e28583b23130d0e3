"""A cohort with known truth: genotypes of 22 chromosomes, traits with causal variants, a gene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]

PEOPLE = 1200
COMMON, RARE = 48, 8  # variants of a chromosome
GENE = "GENE7"
"""The gene whose rare variants of annotation `lof` raise the trait `burdened`."""

GENES = ("1", "4", "7", "12", "19")  # chromosomes with a gene

_TEAM = 4  # neighbours that are in linkage disequilibrium
_MISSING = 0.004


@dataclass(frozen=True)
class Simulation:
    """A study.

    Attributes
    ----------
    counts
        ``(V, n)`` int8: copies of a1, -1 where missing.
    variants
        V rows: id, chr, pos, a1, a2.
    people
        n rows: fid, iid.
    traits
        FID, IID and the traits.
    covariates
        FID, IID and the covariates.
    truth
        trait, variant (or set), effect of each causal one.
    annotations, sets, masks
        Of the burden tests.
    """

    counts: npt.NDArray[np.int8]
    variants: pd.DataFrame
    people: pd.DataFrame
    traits: pd.DataFrame
    covariates: pd.DataFrame
    truth: pd.DataFrame
    annotations: pd.DataFrame
    sets: pd.DataFrame
    masks: pd.DataFrame


def stream(seed: int, *key: int) -> np.random.Generator:
    """Return random numbers that depend on the seed and on what they are for."""
    number = sum(k << 8 * i for i, k in enumerate(key))
    return np.random.Generator(np.random.Philox(key=[seed, number]))


def simulate(seed: int) -> Simulation:
    """Make a study from a seed."""
    variants, dosages = [], []
    for chromosome in range(1, 23):
        table, counts = _chromosome(seed, chromosome)
        variants.append(table)
        dosages.append(counts)
    table = pd.concat(variants, ignore_index=True)
    full = np.concatenate(dosages)
    people = pd.DataFrame({"fid": [f"F{n // 2:04d}" for n in range(PEOPLE)],
                           "iid": [f"P{n:05d}" for n in range(PEOPLE)]})  # fmt: skip
    covariates = _covariates(seed, people)
    traits, truth = _traits(seed, table, full, people, covariates)
    annotations, sets = _genes(table)
    masks = pd.DataFrame({"mask": ["lof", "all"], "annotations": ["lof", "lof,missense"]})
    holes = stream(seed, 3).random(full.shape) < _MISSING
    counts = np.where(holes, -1, full).astype(np.int8)
    return Simulation(counts, table, people, traits, covariates, truth, annotations, sets, masks)


def _chromosome(seed: int, chromosome: int) -> tuple[pd.DataFrame, npt.NDArray[np.int8]]:
    rng = stream(seed, 1, chromosome)
    haplotypes = np.empty((COMMON + RARE, 2 * PEOPLE), np.int8)
    for first in range(0, COMMON, _TEAM):
        frequency = rng.uniform(0.08, 0.5)
        lead = rng.random(2 * PEOPLE) < frequency
        for place in range(first, first + _TEAM):
            # Most copies are inherited together with the neighbour's.
            own = rng.random(2 * PEOPLE) < frequency
            haplotypes[place] = np.where(rng.random(2 * PEOPLE) < 0.7, lead, own)
    for place in range(COMMON, COMMON + RARE):
        haplotypes[place] = rng.random(2 * PEOPLE) < rng.uniform(0.002, 0.008)
    counts = haplotypes[:, :PEOPLE] + haplotypes[:, PEOPLE:]
    position = 1_000_000 + 400_000 * np.arange(COMMON + RARE)
    table = pd.DataFrame(
        {
            "id": [f"rs{chromosome}_{n + 1}" for n in range(COMMON + RARE)],
            "chr": str(chromosome),
            "pos": position,
            "a1": "A",
            "a2": "G",
        }
    )
    return table, counts


def _covariates(seed: int, people: pd.DataFrame) -> pd.DataFrame:
    rng = stream(seed, 2)
    sex = rng.integers(0, 2, PEOPLE)
    table = pd.DataFrame({"FID": people["fid"], "IID": people["iid"]})
    table["age"] = np.round(rng.uniform(40, 70, PEOPLE), 1)
    table["sex"] = sex
    table["pc1"] = np.round(rng.standard_normal(PEOPLE), 5)
    table["male"] = 1 - sex  # says nothing that `sex` does not
    return table


def _traits(
    seed: int,
    variants: pd.DataFrame,
    counts: npt.NDArray[np.int8],
    people: pd.DataFrame,
    covariates: pd.DataFrame,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = stream(seed, 4)
    common = np.flatnonzero(variants.index % (COMMON + RARE) < COMMON)
    scaled = counts.astype(np.float64)
    scaled -= scaled.mean(axis=1, keepdims=True)
    sd = scaled.std(axis=1, keepdims=True)
    scaled /= np.where(sd > 0, sd, 1)
    rows = []

    def polygenic(h2: float) -> Floats:
        effects = rng.standard_normal(len(common)) * np.sqrt(h2 / len(common))
        return np.asarray(effects @ scaled[common], np.float64)

    def causal(trait: str, place: int, effect: float) -> Floats:
        rows.append((trait, variants["id"][place], effect))
        return np.asarray(effect * counts[place].astype(np.float64), np.float64)

    nuisance = 0.03 * (covariates["age"] - 55) + 0.5 * covariates["sex"]
    noise = [rng.standard_normal(PEOPLE) for _ in range(3)]
    first, second = common[100], common[700]
    height = polygenic(0.5) + causal("height", first, 0.6) + causal("height", second, -0.5)
    height += nuisance + 0.6 * noise[0]
    lipid = polygenic(0.25) + causal("lipid", common[400], 0.55) + 0.8 * noise[1]
    gene = np.flatnonzero((variants["chr"] == "7") & (variants.index % (COMMON + RARE) >= COMMON))
    carried = counts[gene[: RARE // 2]].max(axis=0)
    rows.append(("burdened", f"{GENE}.lof", 1.2))
    burdened = polygenic(0.2) + 1.2 * carried + 0.8 * noise[2]
    table = pd.DataFrame({"FID": people["fid"], "IID": people["iid"]})
    table["height"], table["lipid"], table["burdened"] = height, lipid, burdened
    table.loc[rng.random(PEOPLE) < 0.06, "lipid"] = np.nan
    table["constant"] = 4.2
    truth = pd.DataFrame(rows, columns=["trait", "variant", "effect"])
    # Some were never measured, and the order is another one.
    table = table[rng.random(PEOPLE) < 0.97]
    return table.iloc[rng.permutation(len(table))].round(6), truth


def _genes(variants: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    rare = variants[variants.index % (COMMON + RARE) >= COMMON]
    annotations, sets = [], []
    for chromosome, own in rare.groupby("chr", sort=False):
        if chromosome not in GENES:
            continue
        name = f"GENE{chromosome}"
        kinds = ["lof"] * (RARE // 2) + ["missense"] * (RARE - RARE // 2)
        annotations += [
            (variant, name, kind) for variant, kind in zip(own["id"], kinds, strict=True)
        ]
        sets.append((name, chromosome, own["pos"].iloc[0], ",".join(own["id"])))
    return (
        pd.DataFrame(annotations, columns=["variant", "set", "annotation"]),
        pd.DataFrame(sets, columns=["set", "chr", "pos", "variants"]),
    )
