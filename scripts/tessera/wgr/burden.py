"""Burden tests: the variants of a gene made into masks, which are then tested like variants.

Files, names and rules are those of REGENIE's gene-based tests
(https://rgcgithub.github.io/regenie/options/). What its pages leave open is as in its source, the
files ``Masks.cpp`` and ``Geno.cpp`` of version 4:

- A singleton is a variant with one alternative allele, rounded, over all people; one carrier who is
  homozygous makes none.
- A bin takes the variants of a mask whose alternative allele frequency (AAF) is at most its cutoff,
  and every singleton. Variants without a minor allele, rounded, belong to no bin.
- Genotypes that are missing are passed over: the maximum or sum is that of the others. Who has
  none is missing in the mask.
- The AAF of a mask is half its mean; for sums it is divided by the number of variants.

There, a singleton whose AAF lies between two cutoffs enters the sum of the wider bin twice; here,
once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tessera.config import did_you_mean
from tessera.errors import InputError, Problem
from tessera.wgr.burden_files import Annotations, Mask, Problems, VariantSet, read_burden
from tessera.wgr.variants import chromosome_number

Bools = npt.NDArray[np.bool_]
Dosages = npt.NDArray[np.float32]

RULES = ("max", "sum", "comphet")
"""How the variants of a mask are put together: the largest count, the sum, the sum up to two."""

UNANNOTATED = "NULL"
"""Annotation of variants that have none for their set, which a mask may name."""

NOT_ANALYSED = "its chromosome is not analysed"
NOT_GENOTYPED = "none of its variants is in the genotype files"
NOT_MASKED = "none of its variants has an annotation that a mask names"

_REMEDIES = {
    NOT_ANALYSED: "name chromosomes 1 to 22 or X",
    NOT_GENOTYPED: "name variants by the ids that they have in the genotype files, such as {id}",
    NOT_MASKED: "use the same names of variants, sets and annotations in all three files",
}
COLUMNS = {
    "id": object,
    "chrom": np.int64,
    "pos": np.int64,
    "allele0": object,
    "allele1": object,
    "set": object,
    "mask": object,
    "bin": object,
    "rule": object,
    "aaf": np.float64,
    "n_variants": np.int64,
}
_SHOWN = 5  # sets of a kind that are named
_HALF = 0.5  # alleles, from which on a sum of dosages is rounded to one


@dataclass(frozen=True)
class SetPlan:
    """What a set takes from the genotype files.

    Attributes
    ----------
    name, chrom, pos
        Of the set; `chrom` from 1 to 23.
    rows
        ``(V,)`` int64: those of its variants that belong to a mask, ascending.
    members
        ``(K, V)`` bool: which of them belong to each mask.
    listed, absent, unmasked
        Variants that the file lists; those of them that are not in the genotype files; those that
        are, but belong to no mask. V are left.
    """

    name: str
    chrom: int
    pos: int
    rows: npt.NDArray[np.int64]
    members: Bools
    listed: int
    absent: int
    unmasked: int


@dataclass(frozen=True)
class Plan:
    """All sets.

    Attributes
    ----------
    masks
        K names.
    sets
        Those with variants that belong to a mask, in the order of the file.
    dropped
        Name of any other set to the reason.
    notes
        What looks wrong but stops nothing: masks with annotations that occur nowhere.
    """

    masks: tuple[str, ...]
    sets: tuple[SetPlan, ...]
    dropped: dict[str, str]
    notes: tuple[Problem, ...]


@dataclass(frozen=True)
class SetMasks:
    """Masks of one set, built by one rule.

    Attributes
    ----------
    values
        ``(M, n)`` float32: copies of the allele that the mask stands for, NaN where missing.
    table
        M rows: `id`, `chrom`, `pos`, `allele0`, `allele1`, `set`, `mask`, `bin`, `rule`, `aaf`,
        `n_variants`.
    empty
        Ids of masks without any variant, which are not built.
    """

    values: Dosages
    table: pd.DataFrame
    empty: tuple[str, ...]


def plan_sets(
    sets: Sequence[VariantSet],
    annotations: Annotations,
    masks: Sequence[Mask],
    ids: Sequence[str],
    chromosomes: npt.NDArray[np.integer],
) -> Plan:
    """Find the variants of each set and the masks they belong to.

    Parameters
    ----------
    sets, annotations, masks
        As read.
    ids, chromosomes
        Of all variants, in the order of the genotype files; chromosomes from 1 to 23, 0 where they
        are not analysed.

    Raises
    ------
    InputError
        Variants of a set lie on another chromosome or have an id that occurs more than once, or no
        set is left.
    """
    problems = Problems(sets[0].file)
    places = _find(sets, ids, problems)
    kinds = {kind for of_set in annotations.values() for kind in of_set.values()}
    flags = {kind: [kind in m.annotations for m in masks] for kind in kinds | {UNANNOTATED}}
    plans: list[SetPlan] = []
    dropped: dict[str, str] = {}
    for each in sets:
        chrom = chromosome_number(each.chrom)
        if not chrom:
            dropped[each.name] = NOT_ANALYSED
            continue
        there = sorted((places[variant], variant) for variant in each.variants if variant in places)
        elsewhere = [(row, variant) for row, variant in there if chromosomes[row] != chrom]
        if elsewhere:
            other = int(chromosomes[elsewhere[0][0]]) or "one that is not analysed"
            problems.add(
                f"row {each.row}",
                f"{len(elsewhere)} of {len(there)} variants of set {each.name} lie off its "
                f"chromosome {each.chrom}, such as {elsewhere[0][1]} on {other}",
                "correct the chromosome of the set, or take these variants out",
            )
        known = annotations.get(each.name, {})
        members = [(row, flags[known.get(variant, UNANNOTATED)]) for row, variant in there]
        members = [(row, flag) for row, flag in members if any(flag)]
        if not members:
            dropped[each.name] = NOT_MASKED if there else NOT_GENOTYPED
            continue
        plan = SetPlan(
            name=each.name,
            chrom=chrom,
            pos=each.pos,
            rows=np.array([row for row, _ in members], np.int64),
            members=np.array([flag for _, flag in members], bool).T.copy(),
            listed=len(each.variants),
            absent=len(each.variants) - len(there),
            unmasked=len(there) - len(members),
        )
        plans.append(plan)
    problems.refuse()
    notes = _unknown_annotations(masks, kinds)
    if not plans:
        reason, count = Counter(dropped.values()).most_common(1)[0]
        what = f"no set is left ({count} of {len(sets)}: {reason})"
        remedy = _REMEDIES[reason].format(id=ids[0])
        raise InputError([Problem(sets[0].file, "", what, remedy), *notes])
    return Plan(tuple(mask.name for mask in masks), tuple(plans), dropped, notes)


def plan_burden(section: Mapping[str, Any], variants: pd.DataFrame) -> tuple[Plan, list[str]]:
    """Read the three files and find the variants of all sets.

    Parameters
    ----------
    section
        The validated section ``wgr.burden``.
    variants
        All variants of step 2: ``id``, ``chromosome``.

    Returns
    -------
    plan, notes
        And what the user should know and need not correct, a sentence each.

    Raises
    ------
    InputError
        As of `tessera.wgr.burden_files.read_burden` and `plan_sets`.
    """
    files = read_burden(section)
    ids, chromosomes = variants["id"].tolist(), variants["chromosome"].to_numpy()
    plan = plan_sets(files.sets, files.annotations, files.masks, ids, chromosomes)
    notes = [str(note) for note in plan.notes]
    for reason in dict.fromkeys(plan.dropped.values()):
        names = [name for name, why in plan.dropped.items() if why == reason]
        shown = ", ".join(names[:_SHOWN]) + (", ..." if names[_SHOWN:] else "")
        what = f"{len(names)} of {len(files.sets)} sets are left out ({shown}): {reason}"
        remedy = _REMEDIES[reason].format(id=ids[0])
        notes.append(str(Problem(section["sets"], "", what, remedy)))
    return plan, notes


def build_masks(
    dosages: Dosages,
    plan: SetPlan,
    masks: Sequence[str],
    cutoffs: Sequence[float],
    singletons: bool,
    rule: str,
) -> SetMasks:
    """Build the masks of one set.

    Parameters
    ----------
    dosages
        ``(V, n)`` float32: copies of the alternative allele of the variants in ``plan.rows``, from
        0 to 2, NaN where missing. AAF and singletons are those of these n people. Copies count as
        they are given: REGENIE halves those of men, outside of the pseudo-autosomal regions of
        chromosome X, where it looks for singletons.
    plan
        Of the set.
    masks
        Names of the K masks.
    cutoffs
        Largest AAF of each bin, in (0, 1]; that of 1 is named `all`.
    singletons
        Whether singletons alone make masks too.
    rule
        One of `RULES`.

    Returns
    -------
    SetMasks
        Mask by mask: singletons first, then the bins from the smallest cutoff on. Masks of the
        same variants are each told.
    """
    bins = _bins(dosages, cutoffs, singletons)
    rows, members, empty = [], [], []
    for mask, of_mask in zip(masks, plan.members, strict=True):
        for name, taken in bins:
            allele, chosen = f"{mask}.{name}", of_mask & taken
            label = f"{plan.name}.{allele}"
            if not chosen.any():
                empty.append(label)
                continue
            members.append(chosen)
            place = (plan.chrom, plan.pos, "ref", allele)
            rows.append((label, *place, plan.name, mask, name, rule, np.nan, int(chosen.sum())))
    values = _combine(dosages, members, rule)
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)
    table["aaf"] = [float(np.nanmean(row, dtype=np.float64)) / 2 for row in values]
    if rule == "sum":
        table["aaf"] /= table["n_variants"]
    return SetMasks(values, table, tuple(empty))


def _find(sets: Sequence[VariantSet], ids: Sequence[str], problems: Problems) -> dict[str, int]:
    """Return the row of each variant of the sets that is in the genotype files."""
    wanted = {variant for each in sets for variant in each.variants}
    places: dict[str, int] = {}
    repeats: Counter[str] = Counter()
    for row, variant in enumerate(ids):
        if variant in wanted and places.setdefault(variant, row) != row:
            repeats[variant] += 1
    for variant, count in repeats.items():
        what = f"variant {variant} occurs {count + 1} times in the genotype files"
        problems.add("", what, "give each variant an id of its own")
    return places


def _unknown_annotations(masks: Sequence[Mask], kinds: set[str]) -> tuple[Problem, ...]:
    """Tell of annotations that a mask names and no variant has."""
    return tuple(
        Problem(
            mask.file,
            f"row {mask.row}",
            f"no variant has the annotation {name} of mask {mask.name}",
            f"check its name in the file of annotations{did_you_mean(name, kinds)}",
        )
        for mask in masks
        for name in mask.annotations
        if name not in kinds and name != UNANNOTATED
    )


def _bins(dosages: Dosages, cutoffs: Sequence[float], singletons: bool) -> list[tuple[str, Bools]]:
    """Return the name of each bin, as REGENIE prints it, and which variants it takes."""
    total = np.array([np.nansum(row, dtype=np.float64) for row in dosages])
    called = np.array([np.count_nonzero(~np.isnan(row)) for row in dosages])
    varies = np.minimum(total, 2 * called - total) >= _HALF
    single = varies & (total < 1 + _HALF)
    aaf = total / np.maximum(called, 1) / 2
    bins = [("singleton", single)] if singletons else []
    for cutoff in sorted(set(cutoffs)):
        name = "all" if cutoff == 1 else f"{cutoff:g}"
        bins.append((name, single | (varies & (aaf <= cutoff))))
    return bins


def _combine(dosages: Dosages, members: Sequence[Bools], rule: str) -> Dosages:
    """Put the variants of each mask together: (M, n).

    Variant by variant, so that no mask depends on which others there are, and memory is that of
    the masks.
    """
    shape = len(members), dosages.shape[1]
    if rule == "max":
        values = np.full(shape, np.nan, np.float32)
        for value, chosen in zip(values, members, strict=True):
            for variant in np.flatnonzero(chosen):
                np.fmax(value, dosages[variant], out=value)
        return values
    if rule not in RULES:
        raise ValueError(f"no rule {rule}")
    sums = np.zeros(shape)
    called = np.zeros(shape, bool)
    for place, row in enumerate(dosages):
        here = ~np.isnan(row)
        counts = np.where(here, row, 0)
        for mask, chosen in enumerate(members):
            if chosen[place]:
                sums[mask] += counts
                called[mask] |= here
    if rule == "comphet":
        np.minimum(sums, 2, out=sums)
    sums[~called] = np.nan
    return sums.astype(np.float32)
