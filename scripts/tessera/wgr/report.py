"""All results of a run put together: the table of traits, the account, the page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tessera.wgr.assoc import DROPPED
from tessera.wgr.charts import loco_chart
from tessera.wgr.summary import Summary, load_summary
from tessera.wgr.wgr_page import wgr_page

_TESTED = ("tested", "corrected", "failed")


@dataclass(frozen=True)
class Results:
    """What the steps before left.

    Attributes
    ----------
    table
        One row per trait, those set aside among them.
    ledger
        ``people``, ``variants`` and ``tests``: how many were read, used, dropped by reason;
        ``blocks``.
    curves
        Of each trait that has a model, what level 1 found.
    summaries, pictures
        Of the same traits.
    notes
        What the user should know and need not correct.
    """

    table: pd.DataFrame
    ledger: dict[str, Any]
    curves: dict[str, Mapping[str, Any]]
    summaries: dict[str, Summary]
    pictures: dict[str, dict[str, bytes]]
    notes: list[str]

    @classmethod
    def read(
        cls,
        traits: Sequence[str],
        facts: str,
        curves: Iterable[str],
        tallies: Iterable[str],
        summaries: Iterable[str],
        figures: Iterable[str],
        sets: str | None = None,
    ) -> Results:
        """Read files, which come in the order of `traits`."""
        known = _read(facts)
        every = dict(zip(traits, map(_read, curves), strict=True))
        counts = dict(zip(traits, map(_read, tallies), strict=True))
        good = [trait for trait in traits if every[trait]["status"] == "ok"]
        found = {
            trait: load_summary(path)
            for trait, path in zip(traits, summaries, strict=True)
            if trait in good
        }
        pictures = {
            trait: {path.name: path.read_bytes() for path in sorted(Path(folder).glob("*.png"))}
            for trait, folder in zip(traits, figures, strict=True)
            if trait in good
        }
        return cls(
            table=trait_table(known["traits_all"], every, counts, found),
            ledger=make_ledger(known, counts),
            curves={trait: every[trait] for trait in good},
            summaries=found,
            pictures=pictures,
            notes=[*known["notes"], *(_read(sets)["notes"] if sets else [])],
        )


def _read(path: str) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def trait_table(
    traits: Iterable[Mapping[str, Any]],
    curves: Mapping[str, Mapping[str, Any]],
    tallies: Mapping[str, Mapping[str, int]],
    summaries: Mapping[str, Summary],
) -> pd.DataFrame:
    """Put together what is known of each trait.

    Parameters
    ----------
    traits
        Rows of the first step: trait, type, status, reason, note, n, cases, controls, mean, sd.
    curves
        Trait to what level 1 found.
    tallies
        Trait to how its tests came out.
    """
    rows = []
    for trait in traits:
        row = dict(trait)
        curve, tally = curves.get(row["trait"], {}), tallies.get(row["trait"], {})
        summary = summaries.get(row["trait"])
        if row["status"] == "ok" and curve.get("status", "ok") != "ok":
            row["status"], row["reason"] = curve["status"], curve["reason"]
        best = curve.get("best")
        row["h2"] = None if best is None else curve["h2"][best]
        row["rsq"] = None if best is None else curve["rsq"][best]
        row["lambda_gc"] = summary.lambda_gc if summary else None
        row["tested"] = sum(tally.get(kind, 0) for kind in _TESTED)
        row["corrected"] = tally.get("corrected", 0)
        row["failed"] = tally.get("failed", 0)
        row["dropped"] = sum(tally.get(reason, 0) for reason in DROPPED.values())
        row["hits"] = summary.hits if summary else 0
        rows.append(row)
    return pd.DataFrame(rows)


def make_ledger(
    facts: Mapping[str, Any], tallies: Mapping[str, Mapping[str, int]]
) -> dict[str, Any]:
    """Account for everything read."""
    total: dict[str, int] = {}
    for tally in tallies.values():
        for kind, many in tally.items():
            total[kind] = total.get(kind, 0) + many
    dropped = {reason: total[reason] for reason in DROPPED.values() if reason in total}
    if total.get("failed"):
        dropped["no correction or no model"] = total["failed"]
    used = total.get("tested", 0) + total.get("corrected", 0)
    return {
        "people": facts["people"],
        "variants": facts["variants"],
        "blocks": facts["blocks"],
        "tests": {"read": used + sum(dropped.values()), "used": used, "dropped": dropped},
    }


def make_page(
    results: Results, settings: Mapping[str, Any], aside: Sequence[Mapping[str, str]]
) -> str:
    """Write the page."""
    failed = [
        {
            "trait": row["trait"],
            "file": "level 1",
            "place": "",
            "what": row["reason"],
            "remedy": "see that it has enough cases",
        }
        for _, row in results.table[results.table["status"] == "not converged"].iterrows()
    ]
    return wgr_page(
        results.ledger,
        settings,
        results.table,
        results.summaries,
        [*aside, *failed],
        loco=loco_chart(results.curves),
        pictures=results.pictures,
        notes=results.notes,
    )
