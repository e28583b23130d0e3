"""A cohort of the size that step 1 is measured on, as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tessera.genotypes import write_bed

PEOPLE, VARIANTS, TRAITS, COVARIATES = 5000, 50_000, 10, 10
CHROMOSOMES = 10
_CHUNK = 1000


def genotypes(seed: int, variants: int, people: int, missing: float = 0.002):
    """Go through variants a thousand at a time, ``(S, n)`` int8; neighbours are correlated."""
    for first in range(0, variants, _CHUNK):
        rng = np.random.default_rng([seed, first])
        rows = min(_CHUNK, variants - first)
        frequency = rng.uniform(0.05, 0.5, rows)
        counts = np.empty((rows, people), np.int8)
        before = rng.random((2, people))
        for row in range(rows):
            # One haplotype in two is drawn anew.
            before = np.where(rng.random((2, people)) < 0.5, rng.random((2, people)), before)
            counts[row] = (before < frequency[row]).sum(axis=0)
        counts[rng.random(counts.shape) < missing] = -1
        yield counts


def write_cohort(folder: Path, people: int = PEOPLE, variants: int = VARIANTS) -> None:
    """Write genotypes, traits and covariates."""
    rng = np.random.default_rng(1)
    names = pd.DataFrame({"fid": [f"P{i:06}" for i in range(people)]})
    names["iid"] = names["fid"]
    table = pd.DataFrame(
        {
            "id": [f"rs{i}" for i in range(variants)],
            "chr": (np.arange(variants) * CHROMOSOMES // variants + 1).astype(str),
            "pos": np.arange(variants) + 1,
        }
    ).assign(a1="A", a2="G")
    scores = np.zeros((TRAITS, people))

    def chunks():
        for counts in genotypes(2, variants, people):
            scores[...] += rng.standard_normal((TRAITS, len(counts))) @ counts
            yield counts

    write_bed(folder / "cohort", chunks(), names, table)
    traits = scores / scores.std(axis=1, keepdims=True) + rng.standard_normal(scores.shape)
    for prefix, values in (("t", traits), ("c", rng.standard_normal((COVARIATES, people)))):
        columns = {f"{prefix}{i}": row for i, row in enumerate(values)}
        frame = pd.DataFrame({"FID": names["fid"], "IID": names["iid"], **columns})
        name = "traits.tsv" if prefix == "t" else "covariates.tsv"
        frame.to_csv(folder / name, sep="\t", index=False)
