"""The page of the expression matrices: what is published, what marks a group, how to read it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from tessera.cells.definitions import unit
from tessera.cells.markers import LEAST_CELLS, LEAST_SCORE
from tessera.figures import shorten
from tessera.page import (
    Notice,
    Picture,
    Section,
    Table,
    account_table,
    aside_table,
    html_page,
    settings_table,
)

NOUNS = {
    "datasets": "datasets",
    "cells": "cells",
    "genes": "genes",
    "values": "values that are not zero",
    "grouped": "cells in groups, over all views",
}
_COMMAND = "python scripts/cells.py"
_STORE = "results/cells/store"  # where the command looks by itself


def cells_page(
    ledger: Mapping[str, Any],
    settings: Mapping[str, Any],
    summaries: Sequence[Mapping[str, Any]],
    pictures: Mapping[str, Mapping[str, bytes]],
    aside: Sequence[Mapping[str, str]],
) -> str:
    """Write the page of all datasets.

    Parameters
    ----------
    ledger
        Of each kind in `NOUNS` how many were ``read``, ``used`` and ``dropped``, by reason.
    settings
        Those of the pipeline, by name; ``normalize`` and ``store`` among them.
    summaries
        Of each dataset that was published what `tessera.cells.summary.summarise` returned.
    pictures
        Dataset to PNG by file name.
    aside
        What could not be used: ``dataset``, ``file``, ``place``, ``what``, ``remedy``.

    Returns
    -------
    str
        One HTML file with everything in it.
    """
    sections = [Section("", [_verdict(ledger, aside)]), Section("Datasets", [_datasets(summaries)])]
    for number, summary in enumerate(summaries):
        parts = _dataset(summary, pictures[summary["dataset"]], settings, explain=number == 0)
        sections.append(Section(summary["dataset"], parts))
    if summaries:
        sections += [
            Section("What the numbers are", [_definition(summaries[0])]),
            Section("How to read it", [_commands(summaries[0], settings["store"])]),
        ]
    sections += [
        Section("What was read and used", [account_table(ledger, NOUNS)]),
        Section("Settings", [settings_table(settings)]),
        Section("Set aside", [aside_table(aside, "dataset", "Dataset")]),
    ]
    return html_page(
        "Expression matrices",
        "Statistics of every gene in every group of cells, verified and published",
        _facts(ledger, settings),
        sections,
    )


def _facts(ledger: Mapping[str, Any], settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    datasets = ledger["datasets"]
    return [
        ("Datasets", f"{datasets['used']:,} of {datasets['read']:,} published"),
        ("Cells", f"{ledger['cells']['used']:,}"),
        ("Values that are not zero", f"{ledger['values']['used']:,}"),
        ("Statistics are of", unit(settings["normalize"])),
        ("Views", "; ".join(" and ".join(by) for by in settings["groupings"])),
        ("Store", settings["store"]),
    ]


def _verdict(ledger: Mapping[str, Any], aside: Sequence[Mapping[str, str]]) -> Notice:
    names = list(dict.fromkeys(row["dataset"] for row in aside))
    if not names:
        return Notice("All datasets were verified and published", good=True)
    datasets = ledger["datasets"]
    verb = "dataset was" if len(names) == 1 else "datasets were"
    return Notice(
        f"{datasets['used']:,} of {datasets['read']:,} datasets were published",
        [
            f"{len(names):,} {verb} set aside, and readers go on seeing the version before, if "
            f"there is one: {', '.join(names)}",
            "what to do about it is said at the end of this page",
        ],
    )


def _datasets(summaries: Sequence[Mapping[str, Any]]) -> Table | Notice:
    if not summaries:
        return Notice("No dataset was published")
    rows = [
        (
            summary["dataset"],
            summary["version"],
            f"{summary['cells']:,}",
            f"{summary['genes']:,}",
            f"{summary['nnz']:,} ({_share(summary)})",
            "; ".join(f"{view['name']}: {view['groups']:,} groups" for view in summary["views"]),
        )
        for summary in summaries
    ]
    return Table(("Dataset", "Version", "Cells", "Genes", "Values", "Views"), rows)


def _share(summary: Mapping[str, Any]) -> str:
    full = summary["cells"] * summary["genes"]
    return f"{100 * summary['nnz'] / full:.1f}\N{NO-BREAK SPACE}% of all" if full else "none"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def _dataset(
    summary: Mapping[str, Any],
    pictures: Mapping[str, bytes],
    settings: Mapping[str, Any],
    *,
    explain: bool,
) -> list[Picture | Table | Notice]:
    """Show a dataset; what its pictures mean is said under the first ones."""
    name, views = summary["dataset"], summary["views"]
    value = unit(settings["normalize"])
    parts: list[Picture | Table | Notice] = []
    if summary["warnings"]:
        parts.append(Notice("Good to know", summary["warnings"], good=True))
    parts.append(Notice("Verified before it was published", summary["checks"], good=True))
    shown = {
        "plane.groups.png": (
            f"Cells of {name} in the plane, by {_by(views[0])}",
            "Each dot is a cell at its place in the layout that came with the data; names are at "
            "the middle of their group. Distances between islands mean little.",
        ),
        "dots.0.png": (
            f"Markers of the groups of {name}",
            f"The area of a dot is the share of the group's cells with the gene, its colour the "
            f"mean of {value} over all cells of the group, those without the gene included.",
        ),
        "heat.png": (
            f"Means of markers of {name}",
            f"Colours are means of {value}, for each gene from its lowest group to its highest, so "
            "that weak and strong genes can be compared. A gene that is the same everywhere is "
            "left blank.",
        ),
        "plane.genes.png": (
            f"Cells of {name} by their value of the best marker of each of the largest groups",
            f"Colours are {value} of the cell, each panel on its own scale, up to the 99th "
            "percentile of the cells with the gene.",
        ),
    }
    for number, view in enumerate(views[1:], start=1):
        what = f"The same genes in the groups of {name} by {_by(view)}"
        shown[f"dots.{number}.png"] = (what, "")
    for file, (what, meaning) in shown.items():
        if file in pictures:
            caption = f"{what}. {meaning}" if explain and meaning else f"{what}."
            parts.append(Picture(pictures[file], what, caption + _cut(file, views)))
    parts.append(_markers(summary))
    return parts


def _by(view: Mapping[str, Any]) -> str:
    return " and ".join(view["by"])


def _cut(file: str, views: Sequence[Mapping[str, Any]]) -> str:
    """Say where a chart shows some of the groups only."""
    if not file.startswith("dots."):
        return ""
    view = views[int(file.split(".")[1])]
    if view["drawn"] == view["groups"]:
        return ""
    return f" Shown are the {view['drawn']:,} largest of {view['groups']:,} groups."


def _markers(summary: Mapping[str, Any]) -> Table | Notice:
    if not summary["markers"]:
        words = "markers need the statistics mean and fraction (or count_nonzero)"
        return Notice("No markers were looked for", [words])
    rows = [
        (
            row["group"],
            f"{row['n']:,}",
            "; ".join(
                f"{shorten(gene['gene'])} ({_percent(gene['fraction'])}, next "
                f"{_percent(gene['next_fraction'])} in {shorten(gene['next'])})"
                for gene in row["genes"]
            )
            or "none",
        )
        for row in summary["markers"]
    ]
    header = (
        f"Group by {_by(summary['views'][0])}",
        "Cells",
        "Genes found in more of its cells than of any other group's: by "
        f"{_percent(LEAST_SCORE)} of the cells at least, the best first (groups of fewer than "
        f"{LEAST_CELLS} cells are left out)",
    )
    return Table(header, rows)


def _definition(summary: Mapping[str, Any]) -> Notice:
    return Notice("The definition that each view carries", summary["views"][0]["text"], good=True)


def _commands(summary: Mapping[str, Any], store: str) -> Table:
    view = summary["views"][0]
    gene, group = _examples(summary)
    place = "" if store == _STORE else f" --store {shlex.quote(store)}"
    end = f" --dataset {shlex.quote(summary['dataset'])}{place}"
    query = 'SELECT gene, "group", mean FROM "{}" ORDER BY mean DESC LIMIT 10'.format(
        view["name"].replace('"', '""')
    )
    rows = [
        ("a gene in all groups", f"{_COMMAND} gene {shlex.quote(gene)}{end}"),
        ("the highest genes of a group", f"{_COMMAND} top {shlex.quote(group)}{end}"),
        ("a gene, cell by cell", f"{_COMMAND} expression {shlex.quote(gene)}{end}"),
        ("any query", f"{_COMMAND} sql {shlex.quote(query)}{end}"),
        ("all of it in a browser", f"{_COMMAND} serve{place}"),
    ]
    return Table(("To see", "Command"), rows)


def _examples(summary: Mapping[str, Any]) -> tuple[str, str]:
    """Return a gene and a group that can be asked for, and do not look like an option."""
    for row in summary["markers"]:
        for gene in row["genes"]:
            if not gene["gene"].startswith("-") and not row["group"].startswith("-"):
                return gene["gene"], row["group"]
    return "GENE", "GROUP"
