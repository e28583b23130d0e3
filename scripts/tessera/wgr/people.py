"""Who takes part: individuals joined by (FID, IID) over genotypes, traits, covariates and lists.

Whether an individual takes part does not depend on which traits are analysed, other than through
its own missing values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from tessera.errors import InputError, Problem, told
from tessera.wgr.mismatch import LEAST_SHARE, joined, mismatch
from tessera.wgr.tables import Table, read_ids, read_table
from tessera.wgr.traits import MIN_PEOPLE, judge_traits

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
T = TypeVar("T")

_COLLINEAR = 1e-7
"""Length of what is left of a covariate, relative to its own about its mean, below which it is a
combination of those before it."""


@dataclass(frozen=True)
class People:
    """Individuals, their traits and covariates.

    Attributes
    ----------
    samples
        One row per individual of any genotype file, the phenotypes or the covariates, those of the
        first genotype file first and in its order: ``fid``, ``iid``, ``status`` (``used``, or the
        first reason not to be: ``not in FILE``, ``no phenotypes``, ``no covariates``, ``covariate
        missing``, ``in remove``, ``not in keep``, ``no value of any trait``).
    rows
        Per genotype file, ``(n,)`` int64: rows of the n that are used, in their order.
    ids
        ``FID_IID`` of those used.
    values
        ``(T, n)`` float64, NaN where missing: the traits that can be analysed, in the order of
        `traits`.
    traits
        One row per trait, as in `tessera.wgr.traits.Judged`.
    covariates
        ``(n, c)`` float64, as they are in the file; without those that depend on others.
    covariate_names
        Names of the c columns.
    covariates_dropped
        Covariate to the reason why it is left out.
    aside
        Trait to the problem for which it is set aside.
    notes
        What the user should know and need not correct, a sentence each.
    base_rows, base_covariates
        As `rows` and `covariates`, of those without a value of any trait too: what is decided by
        them does not depend on which traits are analysed.
    """

    samples: pd.DataFrame
    rows: list[Ints]
    ids: list[str]
    values: Floats
    traits: pd.DataFrame
    covariates: Floats
    covariate_names: tuple[str, ...]
    covariates_dropped: dict[str, str]
    aside: dict[str, Problem]
    notes: list[str]
    base_rows: list[Ints]
    base_covariates: Floats


def join_people(
    section: Mapping[str, Any], samples_of_filesets: Sequence[tuple[str, pd.DataFrame]]
) -> People:
    """Read phenotypes, covariates and lists, join them to the genotypes, and judge the traits.

    Parameters
    ----------
    section
        The validated section ``wgr``: `phenotypes`, `traits`, `trait_type`, `covariates`, `keep`
        and `remove` are used.
    samples_of_filesets
        Per genotype file what to call it and its individuals, ``fid`` and ``iid`` (str), those of
        step 1 first.

    Raises
    ------
    InputError
        With every problem: of the files (see `tessera.wgr.tables`), individuals that a genotype
        file has twice, covariates that are no numbers, ids that do not fit together (fewer than
        half of the phenotypes' or of the genotyped individuals, whichever are fewer, are among
        the other, or fewer than 10 remain), no trait that can be analysed.
    """
    inputs = _read(section, samples_of_filesets)
    everyone = _Everyone()
    numbers = [everyone.add(ids) for _, ids in inputs.genotypes]
    numbers += [everyone.add(table.ids) for table in inputs.tables]
    rows = [everyone.rows(found) for found in numbers]
    in_files, in_tables = rows[: len(inputs.genotypes)], rows[len(inputs.genotypes) :]

    reasons: list[tuple[Flags, str]] = []
    for (file, _), found in zip(inputs.genotypes, in_files, strict=True):
        reasons.append((found < 0, f"not in {file}"))
    reasons.append((in_tables[0] < 0, "no phenotypes"))
    if inputs.covariates:
        incomplete = np.logical_or.reduce(np.isnan(inputs.covariates.values))
        reasons.append((in_tables[1] < 0, "no covariates"))
        reasons.append((incomplete[in_tables[1]], "covariate missing"))
    if "remove" in inputs.lists:
        reasons.append((everyone.listed(inputs.lists["remove"][1]), "in remove"))
    if "keep" in inputs.lists:
        reasons.append((~everyone.listed(inputs.lists["keep"][1]), "not in keep"))
    status = np.full(len(everyone.ids), "used", dtype=object)
    for mask, reason in reversed(reasons):
        status[mask] = reason

    base = np.flatnonzero(status == "used")
    genotyped = np.logical_and.reduce([found >= 0 for found in in_files])
    common = int((genotyped & (in_tables[0] >= 0)).sum())
    fewer = min(int(genotyped.sum()), len(inputs.traits.ids))
    if common < LEAST_SHARE * fewer or len(base) < MIN_PEOPLE:
        raise InputError(_explain(inputs, status, len(base)))

    covariates = np.empty((0, len(base)))
    names, dropped = list[str](), dict[str, str]()
    if inputs.covariates:
        covariates = inputs.covariates.values[:, in_tables[1][base]]
        kept, dropped = independent(inputs.covariates.names, covariates)
        covariates, names = covariates[kept], [inputs.covariates.names[n] for n in kept]
    covariates = np.ascontiguousarray(covariates.T)
    judged = judge_traits(inputs.traits, in_tables[0][base], str(section["trait_type"]), covariates)
    if judged.aside and not len(judged.values):
        raise InputError(judged.aside.values())

    valued = np.isfinite(judged.values).any(axis=0)
    status[base[~valued]] = "no value of any trait"
    used = base[valued]
    samples = everyone.ids.assign(status=pd.Series(status, dtype=str))
    ids = joined(samples.iloc[used], "_")
    if ids.has_duplicates:
        what = f"{ids[ids.duplicated()][0]} is FID_IID of more than one individual"
        remedy = "rename one of them, since output files name individuals so"
        raise InputError(Problem(inputs.genotypes[0][0], "", what, remedy))
    return People(
        samples,
        [found[used] for found in in_files],
        ids.tolist(),
        np.ascontiguousarray(judged.values[:, valued]),
        judged.table,
        covariates[valued],
        tuple(names),
        dropped,
        judged.aside,
        [*_notes(inputs, everyone, numbers, dropped), *judged.notes],
        [found[base] for found in in_files],
        covariates,
    )


def independent(names: Sequence[str], columns: Floats) -> tuple[list[int], dict[str, str]]:
    """Find the covariates that add something to an intercept and those before them.

    Gram-Schmidt with every column projected twice ("twice is enough", Giraud et al. 2005), after
    its mean is taken off: a column far from zero loses no digits.

    Parameters
    ----------
    names
        Names of the c columns.
    columns
        ``(c, n)`` float64, all finite.

    Returns
    -------
    kept, dropped
        Numbers of the columns that are kept, and name to reason of the others.
    """
    basis = np.empty_like(columns)
    kept: list[int] = []
    dropped: dict[str, str] = {}
    for number, (name, values) in enumerate(zip(names, columns, strict=True)):
        rest = values - values.mean()
        # Rounding leaves about 1e-16 of a constant.
        scale = max(float(np.linalg.norm(rest)), _COLLINEAR * float(np.linalg.norm(values)))
        before = basis[: len(kept)]
        for _ in range(2):
            rest -= (before @ rest) @ before
            rest -= rest.mean()
        length = float(np.linalg.norm(rest))
        if values.min() == values.max():
            dropped[name] = "constant"
        elif length <= _COLLINEAR * scale:
            dropped[name] = "a combination of the covariates before it"
        else:
            basis[len(kept)] = rest / length
            kept.append(number)
    return kept, dropped


class _Everyone:
    """All individuals met so far, numbered from 0."""

    def __init__(self) -> None:
        self.ids = pd.DataFrame({"fid": [], "iid": []}, dtype=str)
        self._keys = pd.Index([], dtype=str)

    def add(self, ids: pd.DataFrame) -> Ints:
        """Return the numbers of individuals, new ones where they were not met before.

        Without FIDs they are those of the only individual with the IID, -1 if there are several;
        who is new gets the FID 0, as in PLINK.
        """
        if "fid" in ids:
            found = self._keys.get_indexer(joined(ids)).astype(np.int64)
            new = found < 0
        else:
            iids = pd.Index(self.ids["iid"])
            alone = np.flatnonzero(~iids.duplicated(keep=False))
            at = iids[alone].get_indexer(pd.Index(ids["iid"]))
            found = np.where(at < 0, -1, np.append(alone, -1)[at])
            new = ~ids["iid"].isin(iids).to_numpy()
        if new.any():
            found[new] = len(self.ids) + np.arange(new.sum())
            added = pd.DataFrame({"fid": "0"} | dict(ids[new].items()))[["fid", "iid"]]
            self.ids = pd.concat([self.ids, added], ignore_index=True)
            self._keys = joined(self.ids)
        return found

    def rows(self, numbers: Ints) -> Ints:
        """Return for everyone the row in a file, given the numbers of its individuals, or -1."""
        rows = np.full(len(self.ids), -1, dtype=np.int64)
        known = np.flatnonzero(numbers >= 0)
        rows[numbers[known]] = known
        return rows

    def listed(self, ids: pd.DataFrame) -> Flags:
        """Tell for everyone whether a list has them; one without FIDs means all with an IID."""
        mine = self._keys if "fid" in ids else pd.Index(self.ids["iid"])
        return np.asarray(mine.isin(joined(ids)), dtype=np.bool_)


@dataclass(frozen=True)
class _Inputs:
    """All that individuals are joined from; what to call it and who is in it."""

    genotypes: Sequence[tuple[str, pd.DataFrame]]
    traits: Table
    covariates: Table | None
    lists: dict[str, tuple[str, pd.DataFrame]]

    @property
    def tables(self) -> list[Table]:
        return [self.traits, *([self.covariates] if self.covariates else [])]


def _read(section: Mapping[str, Any], genotypes: Sequence[tuple[str, pd.DataFrame]]) -> _Inputs:
    problems: list[Problem] = []

    def gather(call: Callable[..., T], *arguments: object) -> T | None:
        try:
            return call(*arguments)
        except InputError as error:
            problems.extend(error.problems)
            return None

    for file, ids in genotypes:
        problems += _twice(file, ids)
    chosen = None if section["traits"] == "all" else section["traits"]
    traits = gather(read_table, section["phenotypes"], chosen)
    covariates = gather(read_table, section["covariates"]) if section["covariates"] else None
    lists = {
        key: (str(section[key]), ids)
        for key in ("remove", "keep")
        if section[key] and (ids := gather(read_ids, section[key])) is not None
    }
    if covariates:
        cells = [
            (row, name, cell)
            for name, found in covariates.faults.items()
            for row, cell in found.first
        ]
        count = sum(found.count for found in covariates.faults.values())
        problems += told(
            covariates.file,
            range(count),
            lambda n: ("row {}, column {}".format(*cells[n]), f"found {cells[n][2]!r}"),
            "expected a number, or NA where there is none",
        )
    if problems or traits is None:
        raise InputError(dict.fromkeys(problems))
    return _Inputs(genotypes, traits, covariates, lists)


def _twice(file: str, ids: pd.DataFrame) -> list[Problem]:
    """Look for individuals that a genotype file has more than once."""
    keys = joined(ids)
    again = np.flatnonzero(keys.duplicated())

    def tell(n: int) -> tuple[str, str]:
        fid, iid = ids[["fid", "iid"]].iloc[again[n]]
        first = np.flatnonzero(keys == keys[again[n]])[0] + 1
        return f"individual {again[n] + 1}", f"FID {fid}, IID {iid} is individual {first} already"

    return told(file, again, tell, "give each individual ids of its own")


def _explain(inputs: _Inputs, status: npt.NDArray[np.object_], remaining: int) -> list[Problem]:
    """Tell why so few individuals are in all inputs."""
    (first, genotyped), *others = inputs.genotypes
    others += [(table.file, table.ids) for table in inputs.tables]
    others += [inputs.lists["keep"]] if "keep" in inputs.lists else []
    found = (mismatch(file, ids, first, genotyped) for file, ids in others)
    problems = [problem for problem in found if problem]
    if inputs.covariates:
        table = inputs.covariates
        for name, values in zip(table.names, table.values, strict=True):
            if (missing := int(np.isnan(values).sum())) > LEAST_SHARE * len(values):
                what = f"{missing} of {len(values)} values are missing"
                remedy = "leave the column out, since who has no value is not analysed"
                problems.append(Problem(table.file, f"column {name}", what, remedy))
    if not problems:
        counts = pd.Series(status[status != "used"]).value_counts()
        lost = ", ".join(f"{count} {reason}" for reason, count in counts.items())
        what = f"{remaining} of {len(status)} individuals have all that is needed ({lost})"
        remedy = f"at least {MIN_PEOPLE} must, and half of the phenotyped or the genotyped ones"
        problems.append(Problem(inputs.traits.file, "", what, remedy))
    return problems


def _notes(
    inputs: _Inputs, everyone: _Everyone, numbers: Sequence[Ints], dropped: Mapping[str, str]
) -> list[str]:
    """Tell of covariates left out, of files without FIDs, and of a list that removes nobody."""
    notes = []
    if inputs.covariates:
        file = inputs.covariates.file
        notes += [f"{file}: column {name}: {why}, so left out." for name, why in dropped.items()]
    for table, found in zip(inputs.tables, numbers[len(inputs.genotypes) :], strict=True):
        if "fid" not in table.ids:
            lost = int((found < 0).sum())
            several = f", but for {lost} that are not unique among the genotyped" if lost else ""
            notes.append(f"{table.file}: has no FID, so individuals are joined by IID{several}.")
    for file, ids in inputs.lists.values():
        if "fid" not in ids:
            notes.append(f"{file}: has no FID, so everyone with a listed IID is meant.")
    if "remove" in inputs.lists:
        file, ids = inputs.lists["remove"]
        if not everyone.listed(ids).any():
            genotyped = inputs.genotypes[0]
            notes.append(f"removes nobody: {mismatch(file, ids, *genotyped)}")
    return notes
