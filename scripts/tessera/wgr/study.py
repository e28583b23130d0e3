"""The study on disk: people, traits and covariates, as all later steps read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tessera.wgr.cohort import Cohort, make_cohorts

if TYPE_CHECKING:  # slow to import, and needed by the first step only
    from tessera.wgr.people import People

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Study:
    """People who take part, and what is known of them.

    Attributes
    ----------
    ids
        ``FID_IID`` of each of the n people, in the order of the first genotypes.
    traits
        Names of the T traits that are analysed.
    binary
        Whether they are binary.
    values
        ``(T, n)`` float64, NaN where missing.
    covariates
        ``(n, c)`` float64.
    rows
        Rows of the people in each fileset of step 1, then of step 2.
    facts
        What else the first step found: traits set aside, notes, counts.
    base
        As `rows`, with those who have no value of any trait: what all people decide, such as which
        variants are rare, does not depend on which traits are analysed.
    """

    ids: tuple[str, ...]
    traits: tuple[str, ...]
    binary: bool
    values: Floats
    covariates: Floats
    rows: tuple[Ints, ...]
    facts: Mapping[str, Any]
    base: tuple[Ints, ...] = ()

    def cohorts(self, folds: int | str) -> list[Cohort]:
        """Return the people that traits have in common."""
        return make_cohorts(self.values, self.covariates, folds, self.binary)

    def cohort_of(self, trait: str, folds: int | str) -> tuple[Cohort, Floats]:
        """Return the people of one trait, and their values."""
        place = self.traits.index(trait)
        (cohort,) = make_cohorts(
            self.values[place : place + 1], self.covariates, folds, self.binary
        )
        return cohort, self.values[place, cohort.rows]


def save_study(
    arrays: Path, facts: Path, people: People, trait_type: str, more: Mapping[str, Any]
) -> None:
    """Write people to an ``.npz`` without pickled objects, and a JSON file beside it."""
    rows: dict[str, Any] = {f"rows{number}": each for number, each in enumerate(people.rows)}
    rows |= {f"base{number}": each for number, each in enumerate(people.base_rows)}
    with arrays.open("wb") as stream:
        np.savez(stream, values=people.values, covariates=people.covariates, **rows)
    known = {
        "ids": list(people.ids),
        "traits": list(people.traits.loc[people.traits["status"] == "ok", "trait"]),
        "binary": trait_type == "bt",
        "files": len(people.rows),
        **more,
    }
    facts.write_text(json.dumps(known, allow_nan=False) + "\n", encoding="utf-8")


def load_study(arrays: str | Path, facts: str | Path) -> Study:
    """Read what `save_study` wrote."""
    known = json.loads(Path(facts).read_text(encoding="utf-8"))
    with np.load(arrays, allow_pickle=False) as held:
        return Study(
            ids=tuple(known.pop("ids")),
            traits=tuple(known.pop("traits")),
            binary=known.pop("binary"),
            values=held["values"],
            covariates=held["covariates"],
            rows=tuple(held[f"rows{number}"] for number in range(known["files"])),
            base=tuple(held[f"base{number}"] for number in range(known.pop("files"))),
            facts=known,
        )


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as JSON holds them: None for what is unknown."""
    return [
        {key: None if value != value else value for key, value in row.items()}
        for row in table.astype(object).to_dict(orient="records")
    ]


def write_quarantine(place: Path, people: People) -> None:
    """Write the traits that were set aside."""
    reasons = dict(zip(people.traits["trait"], people.traits["reason"], strict=True))
    rows = [
        {"trait": trait, "reason": reasons[trait], **problem.as_dict()}
        for trait, problem in people.aside.items()
    ]
    columns = ["trait", "reason", "file", "place", "what", "remedy"]
    pd.DataFrame(rows, columns=columns).to_csv(place, sep="\t", index=False)
