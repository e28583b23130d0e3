"""Traits judged one by one: a trait that cannot be analysed is set aside and stops no other."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from tessera.errors import Problem
from tessera.wgr.cohort import Cohort, covariate_basis, scaled_trait
from tessera.wgr.logistic import NotConverged, fit_null
from tessera.wgr.tables import Table

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MIN_CASES = 10
"""Cases, and controls, without which a binary trait is not analysed."""
MIN_PEOPLE = 10
"""Individuals with a value without which no trait is analysed (nor fewer than the covariates + 3:
intercept, covariates and the effect of a variant leave one degree of freedom)."""

_RECODED = "coded 1 and 2, which is read as 1 for controls and 2 for cases"
_TWO_VALUES = "has two values and looks binary; set wgr.trait_type to bt if it is"
_SEPARATED = (
    "covariates separate cases from controls, so the null model has no finite fit and is penalised"
)
_LONGEST = 200  # bytes of a file's name that leave room for suffixes
_MARKS = set("/{}<>")  # a folder, and what Snakemake takes for placeholders


@dataclass
class Judged:
    """What became of the traits.

    Attributes
    ----------
    values
        ``(T, n)`` float64, NaN where missing: the traits that can be analysed; cases of a binary
        trait are 1 and controls 0.
    table
        One row per trait: ``trait``, ``type`` (``qt`` or ``bt``), ``status`` (``ok`` or ``set
        aside``), ``reason``, ``note``, ``n`` (individuals with a value), ``cases``, ``controls``
        (Int64, missing but for binary traits), ``mean``, ``sd`` (n - 1) of what is analysed.
    aside
        Trait to the problem for which it was set aside.
    notes
        What the user should know and need not correct, a sentence each.
    """

    values: Floats
    table: pd.DataFrame
    aside: dict[str, Problem] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Fault:
    reason: str
    what: str
    remedy: str
    place: str = ""


def judge_traits(traits: Table, rows: Ints, kind: str, covariates: Floats) -> Judged:
    """Judge every trait by its own individuals.

    Parameters
    ----------
    traits
        The table of phenotypes. Text, infinity or a code that is not binary anywhere in a column
        sets the trait aside, be it of an individual that takes no part.
    rows
        ``(n,)`` rows of the table: those who may take part.
    kind
        ``qt`` or ``bt``.
    covariates
        ``(n, c)`` of the same people, without intercept.
    """
    least = max(MIN_PEOPLE, covariates.shape[1] + 3)
    judged = Judged(np.empty((len(traits.names), len(rows))), pd.DataFrame())
    records: list[dict[str, object]] = []
    analysed = 0
    for name, column in zip(traits.names, traits.values, strict=True):
        levels = np.unique(column[np.isfinite(column)]) if kind == "bt" else np.empty(0)
        recoded = levels.tolist() in ([1, 2], [2])
        values = column[rows] - recoded
        own = values[np.isfinite(values)]
        fault = (
            _fault_of_column(traits, name)
            or _fault_of_levels(levels, recoded)
            or _fault_of_values(own, least, kind)
        )
        notes = [_RECODED] if recoded else []
        if not fault:
            fault, more = _judge_model(own, covariates[np.isfinite(values)], kind)
            notes += more
        judged.notes += [f"{traits.file}: column {name}: {note}." for note in notes]
        if fault:
            place = fault.place or f"column {name}"
            judged.aside[name] = Problem(traits.file, place, fault.what, fault.remedy)
        else:
            judged.values[analysed] = values
            analysed += 1
        binary = kind == "bt" and set(np.unique(own)) <= {0, 1}
        records.append(
            {
                "trait": name,
                "type": kind,
                "status": "set aside" if fault else "ok",
                "reason": fault.reason if fault else "",
                "note": "; ".join(notes),
                "n": len(own),
                "cases": int((own == 1).sum()) if binary else None,
                "controls": int((own == 0).sum()) if binary else None,
                "mean": own.mean() if len(own) else np.nan,
                "sd": own.std(ddof=1) * (np.ptp(own) > 0) if len(own) > 1 else np.nan,
            }
        )
    judged.values = judged.values[:analysed]
    judged.table = pd.DataFrame(records).astype({"cases": "Int64", "controls": "Int64"})
    return judged


def safe_name(name: str) -> bool:
    """Tell whether the name of a trait can be that of a file."""
    long = len(name.encode()) > _LONGEST
    return not (set(name) & _MARKS or name.startswith(".") or not name.isprintable() or long)


def _fault_of_column(traits: Table, name: str) -> _Fault | None:
    """Judge the name of a column and the text in it."""
    if not safe_name(name):
        remedy = "rename the column, shortly, without / { } < > or a dot in front"
        shown = repr(name[:40])
        what = f"the trait's name {shown} cannot be the name of a file"
        return _Fault("no name for a file", what, remedy, f"column {shown}")
    if (faults := traits.faults.get(name)) is None:
        return None
    (row, cell), *others = faults.first
    what = f"found {cell!r}"
    if others:
        more = ", ..." if faults.count > len(faults.first) else ""
        rows = ", ".join(str(line) for line, _ in others) + more
        what += f" and {faults.count - 1} more cells that are no finite numbers (rows {rows})"
    remedy = "expected numbers, and NA where there is none"
    return _Fault("text or infinite values", what, remedy, f"row {row}, column {name}")


def _fault_of_levels(levels: Floats, recoded: bool) -> _Fault | None:
    """Judge the coding of a binary trait by the values that occur anywhere in its column."""
    if recoded or set(levels) <= {0, 1}:
        return None
    shown = [f"{level:.12g}" for level in levels[:5]]
    what = f"not binary: found the values {', '.join(shown[:-1])} and {shown[-1]}"
    if len(levels) > len(shown):
        what = f"not binary: found {len(levels)} values, such as {', '.join(shown)}"
    elif len(levels) == 1:
        what = f"not binary: found no value but {shown[0]}"
    remedy = "code controls 0, cases 1 and missing NA, or set wgr.trait_type to qt"
    return _Fault("not binary", what, remedy)


def _fault_of_values(own: Floats, least: int, kind: str) -> _Fault | None:
    """Judge the values of those who may take part."""
    leave = "leave the trait out of wgr.traits"
    if len(own) < least:
        what = f"{len(own)} individuals have a value, fewer than {least}"
        return _Fault("too few values", what, leave)
    if own.min() == own.max():
        return _Fault("constant", f"constant: all {len(own)} values are {own[0]:.12g}", leave)
    if kind == "qt":
        return None
    cases = int(own.sum())
    for count, whom in ((cases, "cases"), (len(own) - cases, "controls")):
        if count < MIN_CASES:
            what = f"{cases} cases and {len(own) - cases} controls, fewer than {MIN_CASES} {whom}"
            return _Fault(f"fewer than {MIN_CASES} {whom}", what, leave)
    return None


def _judge_model(own: Floats, covariates: Floats, kind: str) -> tuple[_Fault | None, list[str]]:
    """Judge values by what the covariates leave of them; return a fault, and notes."""
    basis = covariate_basis(covariates)
    if kind == "bt":
        try:
            null = fit_null(own, basis, np.zeros(len(own)), firth=False)
        except NotConverged as error:
            remedy = "leave out the trait, or the covariates that predict it"
            return _Fault("no null model", f"the covariates cannot be fitted: {error}", remedy), []
        return None, [_SEPARATED] if null.status == "penalised" else []
    if scaled_trait(own, Cohort(np.arange(len(own)), basis, 0, ()), "v1")[1] == 0:
        what = "a combination of the covariates, which leave nothing to be explained"
        remedy = "leave out the trait, or the covariates that it is made of"
        return _Fault("a combination of the covariates", what, remedy), []
    two = ((own == own.min()) | (own == own.max())).all()
    return None, [_TWO_VALUES] if two else []
