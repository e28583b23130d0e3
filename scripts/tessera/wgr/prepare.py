"""The first step: who takes part, and which variants make up the blocks of step 1."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tessera.errors import InputError, Problem
from tessera.filesets import Fileset
from tessera.genotype_files import read_variants
from tessera.genotypes import GenotypeReader
from tessera.wgr.cohort import covariate_basis
from tessera.wgr.people import People
from tessera.wgr.variants import (
    COLLINEAR,
    FLAT,
    SMALL_SHARE,
    chromosome_number,
    screen,
)

Ints = npt.NDArray[np.int64]

_ROWS = 256  # variants read at a time

Progress = Callable[[Sequence[tuple[int, int]]], Iterable[tuple[int, int]]]


def variant_table(filesets: Sequence[Fileset]) -> pd.DataFrame:
    """Return id, chr, pos, a1, a2, multiallelic and chromosome (0 to 23) of all variants."""
    table = pd.concat([read_variants(fileset) for fileset in filesets], ignore_index=True)
    numbers = {name: chromosome_number(name) for name in table["chr"].unique()}
    table["chromosome"] = table["chr"].map(numbers).astype(np.int8)
    return table


def screen_variants(
    filesets: Sequence[Fileset],
    people: People,
    rules: Mapping[str, float],
    progress: Progress = iter,
) -> pd.DataFrame:
    """Look at every variant of step 1.

    Returns
    -------
    DataFrame
        As `variant_table`, and ``reason``: why it is left out, or empty.

    Raises
    ------
    InputError
        More than 5 % of the variants do not vary, or none is left.
    """
    table = variant_table(filesets)
    reasons: list[str] = []
    basis = covariate_basis(people.base_covariates)
    many = len(table)
    with GenotypeReader(filesets, people.base_rows[: len(filesets)]) as reader:
        for a, b in progress([(a, min(a + _ROWS, many)) for a in range(0, many, _ROWS)]):
            reasons += screen(reader.read(a, b), basis, rules)
    table["reason"] = reasons
    table.loc[table["multiallelic"], "reason"] = "more than two alleles"
    other = table["chromosome"] == 0
    table.loc[other, "reason"] = "on chromosome " + table.loc[other, "chr"] + ", not analysed"
    analysed = int((~other).sum())
    flat = table["reason"].isin([FLAT, COLLINEAR])
    if flat.sum() > SMALL_SHARE * analysed:
        examples = ", ".join(table.loc[flat, "id"].head(5))
        what = f"{int(flat.sum()):,} of {analysed:,} variants do not vary, such as {examples}"
        remedy = "leave them out (plink2 --maf 0.01), or see whom wgr.keep and wgr.remove name"
        raise InputError(Problem(filesets[0].prefix, "", what, remedy))
    if (table["reason"] != "").all():
        counts = table["reason"].value_counts()
        what = "no variant is left: " + ", ".join(f"{n:,} {why}" for why, n in counts.items())
        raise InputError(
            Problem(filesets[0].prefix, "", what, "loosen wgr.maf, wgr.hwe or wgr.max_missing")
        )
    return table


def block_places(kept: Ints, chromosomes: Ints, chromosome: int, number: int, size: int) -> Ints:
    """Return the places of the variants of a block, which may be none."""
    return kept[chromosomes == chromosome][number * size : (number + 1) * size]


def block_list(table: pd.DataFrame, size: int) -> list[dict[str, Any]]:
    """Describe the blocks of step 1, for JSON."""
    kept = table[table["reason"] == ""]
    blocks = []
    for chromosome, own in kept.groupby("chromosome", sort=True):
        for number in range(-(-len(own) // size)):
            part = own.iloc[number * size : (number + 1) * size]
            blocks.append(
                {
                    "block": block_name(int(chromosome), number),
                    "chromosome": int(chromosome),
                    "variants": len(part),
                    "first": part["id"].iloc[0],
                    "last": part["id"].iloc[-1],
                }
            )
    return blocks


def block_name(chromosome: int, number: int) -> str:
    """Return the name of a block, whose number counts from 0."""
    return f"c{chromosome:02d}b{number + 1:05d}"


def account(people: People, table: pd.DataFrame) -> dict[str, Any]:
    """Count everything read: used, and dropped by reason."""
    status, reasons = people.samples["status"], table["reason"]
    return {
        "people": _counts(status, "used"),
        "variants": _counts(reasons, ""),
    }


def _counts(column: pd.Series, used: str) -> dict[str, Any]:
    counts = column.value_counts()
    dropped = {str(reason): int(n) for reason, n in sorted(counts.items()) if reason != used}
    return {"read": len(column), "used": int(counts.get(used, 0)), "dropped": dropped}
