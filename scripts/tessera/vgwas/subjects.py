"""Who takes part: subjects joined by id over maps, genotypes and covariates, all accounted for."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tessera.config import did_you_mean
from tessera.errors import InputError, Problem
from tessera.sheets import read_sheet

Covariates = dict[str, dict[str, str | None]]

_LABEL = {"type": "string", "x-prefix": "sub-"}
_ABSENT = {"na", "nan", "."}  # beside empty cells and n/a, as R and PLINK write it
_CELL = {"type": ["string", "null"]}
NO_GENOTYPES, NO_COVARIATES, NO_MAP = "no genotypes", "no covariates", "no map"


def bare(label: str) -> str:
    """Return the id of a subject without the `sub-` that BIDS puts in front."""
    return label.removeprefix("sub-")


def read_covariates(path: str, section: Mapping[str, object]) -> tuple[Covariates, list[str]]:
    """Read the table of covariates.

    Parameters
    ----------
    path
        Tab-separated, with a column `subject`.
    section
        The validated section ``vgwas``: `covariate_columns`, `categorical` and `exchangeability`
        are looked up in the header.

    Returns
    -------
    covariates, columns
        Subject to column to cell, as text, None where empty; the columns to adjust for.

    Raises
    ------
    InputError
        The table or a column is missing, or a subject occurs twice.
    """
    header = _header(path)
    if "subject" not in header:
        read_sheet(path, {"properties": {"subject": _LABEL}, "required": ["subject"]}, key=())
    chosen, blocks = section["covariate_columns"], section["exchangeability"]
    categorical = list(section["categorical"])  # type: ignore[call-overload]
    known = [name for name in header if name != "subject"]
    columns = [n for n in known if n != blocks] if chosen == "all" else list(chosen)  # type: ignore[call-overload]
    wanted = {
        "covariate_columns": columns,
        "categorical": categorical,
        "exchangeability": [blocks] if blocks else [],
    }
    problems = [
        Problem(
            path,
            "header",
            f"has no column {name}, which vgwas.{key} names",
            f"expected one of {', '.join(known)}{did_you_mean(name, known)}",
        )
        for key, names in wanted.items()
        for name in names
        if name not in known
    ]
    if problems:
        raise InputError(problems)
    needed = list(dict.fromkeys([*columns, *([blocks] if blocks else [])]))
    schema = {
        "properties": {"subject": _LABEL} | dict.fromkeys(needed, _CELL),
        "required": ["subject"],
        "additionalProperties": True,
    }
    rows = read_sheet(path, schema, key=("subject",))
    table = {str(row["subject"]): {name: _cell(row[name]) for name in needed} for row in rows}
    return table, columns


def _cell(value: object) -> str | None:
    return None if value is None or str(value).casefold() in _ABSENT else str(value)


def _header(path: str) -> list[str]:
    """Return the names of the columns of a table; read_sheet tells what is wrong with others."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    return [name.strip() for name in next(csv.reader([first], "excel-tab"), []) if name.strip()]


@dataclass
class Joined:
    """Subjects on their way from the inputs into the model.

    Attributes
    ----------
    used
        In the order of the first genotype fileset.
    dropped
        Subject to the reason why it takes no part; of those in one of the inputs at least.
    aside
        Subject to the problem for which it was set aside, where there is one to be told.
    """

    used: list[str]
    dropped: dict[str, str] = field(default_factory=dict)
    aside: dict[str, Problem] = field(default_factory=dict)

    def set_aside(self, subject: str, reason: str, problem: Problem) -> None:
        """Take a subject out of those used."""
        self.used.remove(subject)
        self.dropped[subject] = reason
        self.aside[subject] = problem


def join(
    maps: Sequence[str],
    genotypes: Sequence[Sequence[str]],
    covariates: Sequence[str] | None,
    files: tuple[str, Sequence[str], str],
    min_overlap: float,
) -> Joined:
    """Join subjects by id.

    Parameters
    ----------
    maps, covariates
        Subjects of the sheet of maps, and of the covariates if there are any.
    genotypes
        Subjects of each genotype fileset.
    files
        What to call the three in messages.
    min_overlap
        Least share that all have in common, of the smallest of them.

    Raises
    ------
    InputError
        Fewer have all of them; each input's own subjects are counted, with three examples.
    """
    sources: dict[str, tuple[list[str], str]] = {files[0]: ([*maps], NO_MAP)}
    for name, ids in zip(files[1], genotypes, strict=True):
        sources[name] = ([*ids], NO_GENOTYPES)
    if covariates is not None:
        sources[files[2]] = ([*covariates], NO_COVARIATES)
    sets = {name: set(ids) for name, (ids, _) in sources.items()}
    common = set.intersection(*sets.values())
    dropped: dict[str, str] = {}
    for name, (_, reason) in sources.items():
        for subject in sorted(set().union(*sets.values()) - sets[name]):
            dropped.setdefault(subject, reason)
    smallest = min(sets, key=lambda name: len(sets[name]))
    share = len(common) / max(1, len(sets[smallest]))
    if share < min_overlap or not common:
        problems = []
        for name, members in sets.items():
            alone = sorted(members - common)
            examples = f", such as {', '.join(alone[:3])}" if alone else ""
            what = f"{len(alone)} of {len(members)} subjects are not in all inputs{examples}"
            remedy = (
                f"{len(common)} subjects are in all of them, {share:.1%} of {smallest}: make the "
                f"ids alike, or lower vgwas.min_overlap from {min_overlap:g}"
            )
            problems.append(Problem(name, "", what, remedy))
        raise InputError(problems)
    used = [subject for subject in genotypes[0] if subject in common]
    return Joined(used, {s: r for s, r in dropped.items() if s not in common})


def take_covariates(
    joined: Joined, table: Covariates, columns: Sequence[str], categorical: Sequence[str], path: str
) -> dict[str, dict[str, str | float]]:
    """Return subject to column to value of those used; who lacks a value is set aside.

    Raises
    ------
    InputError
        A column that is not categorical holds text: three examples of each.
    """
    values: dict[str, dict[str, str | float]] = {}
    text: dict[str, list[str]] = {}
    for subject in list(joined.used):
        row: dict[str, str | float] = {}
        for name in table[subject]:
            cell = table[subject][name]
            if cell is not None and name in columns and name not in categorical:
                try:
                    number = float(cell)
                except ValueError:
                    text.setdefault(name, []).append(f"{cell!r} of {subject}")
                    continue
                if np.isfinite(number):
                    row[name] = number
            elif cell is not None:
                row[name] = cell
        absent = [name for name in table[subject] if name not in row and name not in text]
        if absent:
            place = f"subject {subject}, column {', '.join(absent)}"
            problem = Problem(path, place, "no value", "fill it in, or leave the column out")
            joined.set_aside(subject, "covariate missing", problem)
        values[subject] = row
    if text:
        remedy = "correct it, or list the column in vgwas.categorical"
        raise InputError(
            Problem(
                path,
                f"column {name}",
                f"{len(cells)} cells hold text ({', '.join(cells[:3])})",
                remedy,
            )
            for name, cells in text.items()
        )
    return {subject: values[subject] for subject in joined.used}
