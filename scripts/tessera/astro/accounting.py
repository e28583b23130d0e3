"""What became of every visit and detector: read = used + outside the sky map + set aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

Facts = Mapping[str, Any]

QUARANTINE_COLUMNS = ("visit", "ccd", "file", "place", "what", "remedy")


def account(
    read: Sequence[tuple[str, Any]], visits: Sequence[Facts], coadds: Mapping[str, Facts]
) -> dict[str, dict[str, Any]]:
    """Count what became of every visit and detector: read = used + outside + set aside.

    Used is what entered a co-add; outside are sound ones of visits that touch no patch. Parameters
    as of `tessera.astro.quality.quality`.
    """
    cleaned = [(visit["visit"], ccd["ccd"]) for visit in visits for ccd in visit["ccds"]]
    cleaned += [(visit["visit"], None) for visit in visits if visit["problem"]]
    listed = Counter((visit, None if pd.isna(ccd) else ccd) for visit, ccd in read)
    counted = Counter(cleaned)
    if odd := (listed - counted) + (counted - listed):
        names = sorted(f"{visit} {ccd or ''}".strip() for visit, ccd in odd)
        raise ValueError(f"not accounted for, or more than once: {', '.join(names)}")
    stacked = {name for facts in coadds.values() for name in facts["visits"]}
    counts = {
        each: Counter({"used": 0, "outside": 0, "set_aside": 0}) for each in ("visits", "ccds")
    }
    for visit in visits:
        fate = "used" if visit["visit"] in stacked else "outside"
        sound = [ccd for ccd in visit["ccds"] if not ccd["problem"]]
        counts["visits"][fate if sound else "set_aside"] += 1
        counts["ccds"][fate] += len(sound)
        counts["ccds"]["set_aside"] += len(visit["ccds"]) - len(sound)
    reasons = Counter(row["what"] for row in quarantine(visits))
    return {each: {"read": sum(count.values()), **count} for each, count in counts.items()} | {
        "reasons": dict(sorted(reasons.items()))
    }


def quarantine(visits: Iterable[Facts]) -> list[dict[str, str]]:
    """List what was set aside: a row per visit or detector, with `QUARANTINE_COLUMNS`."""
    rows = []
    for visit in visits:
        for item in (visit, *visit["ccds"]):
            if item["problem"]:
                rows.append(
                    {"visit": visit["visit"], "ccd": item.get("ccd", ""), **item["problem"]}
                )
    return rows


def quarantine_tsv(rows: Iterable[Mapping[str, str]]) -> str:
    """Return the rows of `quarantine` as tab-separated values with a header."""
    cells = [[" ".join(row[name].split()) for name in QUARANTINE_COLUMNS] for row in rows]
    return "".join("\t".join(line) + "\n" for line in (QUARANTINE_COLUMNS, *cells))
