"""The page of the images: objects seen, sizes, the grid of parameters, and questions to ask."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tessera.imaging.charts import (
    IMAGES,
    agreement_chart,
    size_chart,
    size_name,
    size_unit,
    stability_chart,
)
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

NOUNS = {"images": "images", "objects": "objects, over all points of the grid"}
_SHOWN = 24  # images whose picture is on the page
_ROWS = 60  # of a table
_TIMES = "\N{NO-BREAK SPACE}\N{MULTIPLICATION SIGN} "


@dataclass(frozen=True)
class Overlay:
    """A picture of an image: PNG, the point whose objects it outlines, and its plane.

    The plane is not told (None) in two dimensions.
    """

    png: bytes
    params: str
    plane: int | None


@dataclass(frozen=True)
class Comparison:
    """Tables of the comparison: rows of ``parameters.parquet`` and of the files of ``compare/``."""

    parameters: pd.DataFrame
    counts: pd.DataFrame
    sizes: pd.DataFrame
    agreement: pd.DataFrame


def imaging_page(
    ledger: Mapping[str, Any],
    settings: Mapping[str, Any],
    summaries: Sequence[Mapping[str, Any]],
    comparison: Comparison,
    overlays: Mapping[str, Overlay],
    queries: Mapping[str, tuple[str, str]],
    aside: Sequence[Mapping[str, str]],
) -> str:
    """Write the page of all images.

    Parameters
    ----------
    ledger
        Of each kind in `NOUNS` how many were ``read``, ``used`` and ``dropped``, by reason.
    settings
        Those of the pipeline, by name; ``connectivity``, ``min_size`` and ``border`` among them.
    summaries
        Of each image that was measured what `tessera.imaging.report.summarise` returned.
    comparison
        Of the points of the grid.
    overlays
        Image to its picture, of those that have one.
    queries
        Name to sentence and SQL.
    aside
        What could not be used: ``image``, ``file``, ``place``, ``what``, ``remedy``.

    Returns
    -------
    str
        One HTML file with everything in it.
    """
    sections = [Section("", [_verdict(ledger, aside)]), Section("Images", [_images(summaries)])]
    if summaries:
        sections += [
            Section("Objects, as they were found", _overlays(summaries, overlays)),
            Section("Sizes of objects", _sizes(summaries, comparison, settings)),
            Section("The grid of parameters", _grid(summaries, comparison)),
            Section("Questions to ask of the objects", [_queries(queries)]),
        ]
    sections += [
        Section("What was read and used", [account_table(ledger, NOUNS)]),
        Section("Settings", [settings_table(_told(settings))]),
        Section("Set aside", [aside_table(aside, "image", "Image")]),
    ]
    return html_page(
        "Objects in images",
        "Segmented over a grid of parameters, measured and compared",
        _facts(ledger, settings, comparison),
        sections,
    )


def _facts(
    ledger: Mapping[str, Any], settings: Mapping[str, Any], comparison: Comparison
) -> list[tuple[str, str]]:
    images, least = ledger["images"], max(settings["min_size"], 1)
    borders = {"keep": "kept", "flag": "kept, and left out of sizes", "drop": "dropped"}
    return [
        ("Images", f"{images['used']:,} of {images['read']:,} measured"),
        ("Points of the grid", f"{len(comparison.parameters):,}"),
        ("Objects, over all points", f"{ledger['objects']['used']:,}"),
        ("Connectivity", str(settings["connectivity"])),
        ("Objects have at least", f"{least:,} voxel{'s' if least > 1 else ''}"),
        ("Objects at the border", borders[settings["border"]]),
    ]


def _verdict(ledger: Mapping[str, Any], aside: Sequence[Mapping[str, str]]) -> Notice:
    names = list(dict.fromkeys(row["image"] for row in aside))
    if not names:
        return Notice("All images were measured", good=True)
    images = ledger["images"]
    verb = "image was" if len(names) == 1 else "images were"
    lines = [
        f"{len(names):,} {verb} set aside: {', '.join(names)}",
        "what to do about it is said at the end of this page",
    ]
    return Notice(f"{images['used']:,} of {images['read']:,} images were measured", lines)


def _images(summaries: Sequence[Mapping[str, Any]]) -> Table | Notice:
    if not summaries:
        return Notice("No image was measured")
    rows = []
    for summary in summaries:
        first = 3 - summary["ndim"]
        many = [point["objects"] for point in summary["points"]]
        rows.append(
            (
                summary["image"],
                _TIMES.join(f"{n:,}" for n in summary["shape"][first:]),
                _TIMES.join(f"{n:g}" for n in summary["voxel_size"][first:])
                + f" {summary['unit']}".rstrip(),
                summary["dtype"],
                _span(many, "{:,}"),
            )
        )
    header = (
        "Image",
        "Voxels (z, y, x)",
        "Voxel size",
        "Values",
        "Objects, by point",
    )
    return Table(header, rows)


def _span(values: Sequence[float], form: str) -> str:
    """Return the least and the greatest value, or the one that there is."""
    ends = [form.format(end) for end in (min(values), max(values))] if values else ["none"]
    return " to ".join(dict.fromkeys(ends))


def _overlays(
    summaries: Sequence[Mapping[str, Any]], overlays: Mapping[str, Overlay]
) -> list[Picture | Table | Notice]:
    parts: list[Picture | Table | Notice] = []
    there = [summary["image"] for summary in summaries if summary["image"] in overlays]
    for number, name in enumerate(there[:_SHOWN]):
        shown = overlays[name]
        plane = "" if shown.plane is None else f", plane z = {shown.plane:,}"
        meaning = (
            ". Outlines are of the objects at this point of the grid; grey goes from the 0.5th to "
            "the 99.5th percentile of the plane"
        )
        if shown.plane is not None:
            meaning += ", which is the one that cuts the most objects"
        what = f"{name}{plane}, at {shown.params}"
        parts.append(Picture(shown.png, what, what + (meaning if number == 0 else "") + "."))
    if len(there) > _SHOWN:
        parts.append(Notice(f"{len(there) - _SHOWN:,} more images have no picture here", good=True))
    return parts


def _sizes(
    summaries: Sequence[Mapping[str, Any]], comparison: Comparison, settings: Mapping[str, Any]
) -> list[Picture | Table | Notice]:
    """Show distributions, image by image, of all images that have one unit together."""
    groups: dict[tuple[str, int], list[str]] = {}
    for summary in summaries:
        groups.setdefault((summary["unit"], summary["ndim"]), []).append(summary["image"])
    params = list(comparison.parameters["params"])
    parts: list[Picture | Table | Notice] = []
    for (unit, ndim), images in groups.items():
        what = f"Number of objects by size ({size_unit(unit, ndim)})"
        caption = f"{what}, in bins of an eighth of a decade.{_cut(images)}"
        if settings["border"] == "flag":
            caption += " Objects at the border are left out."
        png = size_chart(comparison.sizes, images, params, size_name(unit, ndim))
        parts.append(Picture(png, what, caption))
    return [*parts, _counts(summaries, comparison.counts)]


def _cut(images: Sequence[str]) -> str:
    many = len(images)
    return f" Shown are the first {IMAGES} of {many:,} images." if many > IMAGES else ""


def _counts(summaries: Sequence[Mapping[str, Any]], counts: pd.DataFrame) -> Table:
    units = {each["image"]: size_unit(each["unit"], each["ndim"]) for each in summaries}
    rows: list[tuple[str, ...]] = [
        (
            row["image"],
            row["params"],
            f"{row['objects']:,}" + (f" ({row['flagged']:,} flagged)" if row["flagged"] else ""),
            f"{100 * row['volume_fraction']:.2f}\N{NO-BREAK SPACE}%",
            _number(row["mean"], units[row["image"]]),
            _number(row["median"], units[row["image"]]),
            _range(row["q05"], row["q95"]),
        )
        for row in counts.head(_ROWS).to_dict("records")
    ]
    if len(counts) > _ROWS:
        rest = f"{len(counts) - _ROWS:,} more rows are in compare/counts.tsv"
        rows.append((rest, *[""] * 6))
    header = (
        "Image",
        "Point",
        "Objects",
        "Share of the image",
        "Mean size",
        "Median",
        "5 % to 95 %",
    )
    return Table(header, rows)


def _number(value: float, unit: str) -> str:
    return "none" if math.isnan(value) else f"{value:,.4g} {unit}"


def _range(low: float, high: float) -> str:
    return "none" if math.isnan(low) else f"{low:,.4g} to\N{NO-BREAK SPACE}{high:,.4g}"


def _grid(
    summaries: Sequence[Mapping[str, Any]], comparison: Comparison
) -> list[Picture | Table | Notice]:
    images = [summary["image"] for summary in summaries]
    params = list(comparison.parameters["params"])
    parts: list[Picture | Table | Notice] = [_points(summaries, comparison.parameters)]
    if len(params) > 1:
        what = "Number of objects over the grid, by filter"
        caption = (
            f"{what}. Where a line is flat the number does not hang on the choice.{_cut(images)}"
        )
        png = stability_chart(comparison.counts, comparison.parameters, images)
        parts.append(Picture(png, what, caption))
        what = "Agreement of every two points of the grid, object by object"
        caption = (
            f"{what}: F1, as the mean over images. Two objects are the same where the "
            "intersection of their bounding boxes is at least half of the union; each is matched "
            "once. 1: all objects are the same."
        )
        parts.append(Picture(agreement_chart(comparison.agreement, params), what, caption))
    return parts


def _points(summaries: Sequence[Mapping[str, Any]], parameters: pd.DataFrame) -> Table:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for summary in summaries:
        for point in summary["points"]:
            found.setdefault(point["params"], []).append(point)
    rows = []
    for row in parameters.to_dict("records"):
        points = found.get(row["params"], [])
        values = [point["value"] for point in points if point["value"] is not None]
        many = sum(point["objects"] for point in points)
        steps = (row["filter"], row["threshold"], row["morphology"])
        rows.append((row["params"], *steps, _span(values, "{:.6g}"), f"{many:,}"))
    header = ("Point", "Filter", "Threshold", "Morphology", "Threshold in the images", "Objects")
    return Table(header, rows)


def _told(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with each step of the grid in words: ``gaussian, sigma [1, 2]``."""
    told = dict(settings)
    for key in ("filter", "threshold", "morphology"):
        steps = []
        for step in settings[key]:
            kind, *numbers = step.items()
            steps.append(", ".join([kind[1], *(f"{name} {value}" for name, value in numbers)]))
        told[key] = "; ".join(steps)
    return told


def _queries(queries: Mapping[str, tuple[str, str]]) -> Table | Notice:
    if not queries:
        return Notice("There are no objects to ask about")
    return Table(("Question", "SQL, of results.duckdb"), list(queries.values()))
