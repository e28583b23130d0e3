"""All images of a run put together: table, account, what was set aside, and the page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from tessera.imaging.imaging_page import Comparison, Overlay, imaging_page
from tessera.imaging.objects import Grid, Objects
from tessera.verdict import read_verdict

ASIDE = ("image", "file", "place", "what", "remedy")
"""Columns of the table of what was set aside."""

_COLUMNS = (
    "image", "status", "depth", "height", "width", "dtype", "voxel_z", "voxel_y", "voxel_x",
    "unit", "points", "objects", "path",
)  # fmt: skip


class Header(Grid, Protocol):
    """What is told of an image."""

    @property
    def dtype(self) -> str:
        """Name of the type of its values."""

    @property
    def unit(self) -> str:
        """Unit of the voxel size; empty if it is not known."""


@dataclass(frozen=True)
class Report:
    """What the pipeline tells in the end.

    Attributes
    ----------
    images
        One row per image: ``status`` (measured, or set aside), its size, number of ``points`` of
        the grid, and of ``objects`` over all of them.
    aside
        A row per problem of an image that was set aside: `ASIDE`.
    ledger
        Of images and of objects: ``read`` (found, at any point of the grid), ``used``,
        ``dropped``.
    page
        HTML.
    """

    images: pd.DataFrame
    aside: pd.DataFrame
    ledger: dict[str, Any]
    page: str


def summarise(
    image: str,
    header: Header,
    found: Mapping[str, Objects],
    thresholds: Mapping[str, Mapping[str, float | None]],
) -> dict[str, Any]:
    """Return what the report has to know of an image, as JSON can hold it.

    Parameters
    ----------
    image
        Its name.
    header
        What is known of its voxels.
    found
        Point to its objects, in the order of the grid.
    thresholds
        Point to the ``low`` and the ``value`` that voxels were compared with.
    """
    return {
        "image": image,
        "shape": list(header.shape),
        "ndim": header.ndim,
        "dtype": header.dtype,
        "voxel_size": list(header.voxel_size),
        "unit": header.unit,
        "points": [
            {
                "params": params,
                "low": thresholds[params]["low"],
                "value": thresholds[params]["value"],
                "objects": len(objects.pieces),
                "dropped": objects.dropped,
            }
            for params, objects in found.items()
        ],
    }


def report(
    rows: Sequence[Mapping[str, Any]],
    verdicts: Iterable[str | Path],
    summaries: Iterable[str | Path],
    overlays: Mapping[str, Overlay],
    comparison: Comparison,
    settings: Mapping[str, Any],
    queries: Mapping[str, tuple[str, str]],
) -> Report:
    """Put together what the steps of each image left; all in the order of the sheet.

    Parameters
    ----------
    rows
        Rows of the sheet: ``image``, ``path``.
    verdicts
        The verdict of each; of one with problems nothing else is read.
    summaries
        JSON of what `summarise` returned of each.
    overlays
        Image to its picture.
    comparison
        Of the points of the grid.
    settings
        The section of the configuration.
    queries
        Of `tessera.imaging.database.examples`.
    """
    table, aside, found = [], [], []
    for row, verdict, summary in zip(rows, verdicts, summaries, strict=True):
        name, path = str(row["image"]), row["path"]
        problems = read_verdict(verdict)
        aside += [{"image": name, **problem.as_dict()} for problem in problems]
        if problems:
            table.append({"image": name, "status": "set aside", "path": path})
            continue
        told = json.loads(Path(summary).read_text(encoding="utf-8"))
        found.append(told)
        line = {"image": name, "status": "measured", "path": path}
        line |= zip(("depth", "height", "width"), told["shape"], strict=True)
        line |= zip(("voxel_z", "voxel_y", "voxel_x"), told["voxel_size"], strict=True)
        line |= {"dtype": told["dtype"], "unit": told["unit"], "points": len(told["points"])}
        line["objects"] = sum(point["objects"] for point in told["points"])
        table.append(line)
    ledger = make_ledger(len(table), found)
    images = pd.DataFrame(table, columns=list(_COLUMNS))
    counts = ["depth", "height", "width", "points", "objects"]
    images[counts] = images[counts].astype("Int64")  # unknown of an image that was set aside
    page = imaging_page(ledger, settings, found, comparison, overlays, queries, aside)
    return Report(images, pd.DataFrame(aside, columns=list(ASIDE)), ledger, page)


def make_ledger(images: int, summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Account for everything read.

    Parameters
    ----------
    images
        How many the sheet has.
    summaries
        Of those that were measured.
    """
    aside = images - len(summaries)
    points = [point for summary in summaries for point in summary["points"]]
    dropped: dict[str, int] = {}
    for point in points:
        for reason, many in point["dropped"].items():
            dropped[reason] = dropped.get(reason, 0) + many
    dropped = {reason: many for reason, many in dropped.items() if many}
    used = sum(point["objects"] for point in points)
    return {
        "images": _account(images, {"set aside": aside} if aside else {}),
        "objects": _account(used + sum(dropped.values()), dropped),
    }


def _account(read: int, dropped: Mapping[str, int]) -> dict[str, Any]:
    return {"read": read, "used": read - sum(dropped.values()), "dropped": dict(dropped)}
