"""All datasets of a run put together: table, account, what was set aside, and the page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tessera.cells.cells_page import cells_page
from tessera.verdict import read_verdict

ASIDE = ("dataset", "file", "place", "what", "remedy")
"""Columns of the table of what was set aside."""

_COLUMNS = (
    "dataset", "status", "version", "cells", "genes", "values", "groups", "warnings", "matrix",
)  # fmt: skip


@dataclass(frozen=True)
class Report:
    """What the pipeline tells in the end.

    Attributes
    ----------
    datasets
        One row per dataset: ``status`` (published, or set aside), ``version``, numbers of
        ``cells``, ``genes``, ``values`` (not zero), ``groups`` (by view), ``warnings`` (how many),
        ``matrix``.
    aside
        A row per problem of a dataset that was set aside: `ASIDE`.
    ledger
        Of datasets, cells, genes, values and cells in groups: ``read``, ``used``, ``dropped``.
    page
        HTML.
    """

    datasets: pd.DataFrame
    aside: pd.DataFrame
    ledger: dict[str, Any]
    page: str


def report(
    rows: Sequence[Mapping[str, Any]],
    verdicts: Iterable[str | Path],
    summaries: Iterable[str | Path],
    figures: Iterable[str | Path],
    settings: Mapping[str, Any],
) -> Report:
    """Put together what the steps of each dataset left; all in the order of the sheet.

    Parameters
    ----------
    rows
        Rows of the sheet: ``dataset``, ``matrix``.
    verdicts
        The verdict of each; of one with problems nothing else is read.
    summaries
        JSON of what `tessera.cells.summary.summarise` returned of each.
    figures
        Folder of the charts of each.
    settings
        The section of the configuration; ``min_cells``, ``normalize`` and ``store`` among it.
    """
    table, aside, found = [], [], []
    pictures: dict[str, dict[str, bytes]] = {}
    for row, verdict, summary, folder in zip(rows, verdicts, summaries, figures, strict=True):
        name = str(row["dataset"])
        problems = read_verdict(verdict)
        aside += [{"dataset": name, **problem.as_dict()} for problem in problems]
        if problems:
            table.append({"dataset": name, "status": "set aside", "matrix": row["matrix"]})
            continue
        told = json.loads(Path(summary).read_text(encoding="utf-8"))
        found.append(told)
        pictures[name] = {path.name: path.read_bytes() for path in Path(folder).glob("*.png")}
        table.append(
            {
                "dataset": name,
                "status": "published",
                "version": told["version"],
                "cells": told["cells"],
                "genes": told["genes"],
                "values": told["nnz"],
                "groups": "; ".join(f"{view['name']}: {view['groups']}" for view in told["views"]),
                "warnings": len(told["warnings"]),
                "matrix": row["matrix"],
            }
        )
    ledger = make_ledger(len(table), found, settings["min_cells"])
    datasets = pd.DataFrame(table, columns=list(_COLUMNS))
    counts = ["cells", "genes", "values", "warnings"]
    datasets[counts] = datasets[counts].astype("Int64")  # unknown of a dataset that was set aside
    page = cells_page(ledger, settings, found, pictures, aside)
    return Report(datasets, pd.DataFrame(aside, columns=list(ASIDE)), ledger, page)


def make_ledger(
    datasets: int, summaries: Sequence[Mapping[str, Any]], min_cells: int
) -> dict[str, Any]:
    """Account for everything read.

    Parameters
    ----------
    datasets
        How many the sheet has.
    summaries
        Of those that were published. Of others nothing but their number is known.
    min_cells
        Groups of fewer cells were left out.
    """
    aside = datasets - len(summaries)
    ledger: dict[str, Any] = {
        "datasets": _account(datasets, {"set aside": aside} if aside else {}),
    }
    for kind, key in (("cells", "cells"), ("genes", "genes"), ("values", "nnz")):
        ledger[kind] = _account(sum(summary[key] for summary in summaries), {})
    views = [
        (summary["cells"], view["cells"]) for summary in summaries for view in summary["views"]
    ]
    left_out = sum(cells - grouped for cells, grouped in views)
    reason = f"in groups of fewer than {min_cells} cells"
    ledger["grouped"] = _account(
        sum(cells for cells, _ in views), {reason: left_out} if left_out else {}
    )
    return ledger


def _account(read: int, dropped: Mapping[str, int]) -> dict[str, Any]:
    return {"read": read, "used": read - sum(dropped.values()), "dropped": dict(dropped)}
