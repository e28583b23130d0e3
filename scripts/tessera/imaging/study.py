"""All images of a study: tables, comparison, and what the report is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from tessera.imaging.charts import agreement_chart, size_chart, size_name, stability_chart
from tessera.imaging.compare import AGREEMENT, COUNTS, SIZES
from tessera.imaging.database import examples
from tessera.imaging.grid import Point, as_point
from tessera.imaging.imaging_page import Comparison, Overlay
from tessera.imaging.outcome import read_tables, write_table
from tessera.imaging.report import Report, report
from tessera.imaging.steps import read_json
from tessera.imaging.tables import (
    IMAGES,
    NEIGHBOURS,
    gather,
    image_table,
    object_schema,
    parameter_table,
    write_small,
)
from tessera.verdict import read_verdict

Rows = Sequence[Mapping[str, Any]]
Paths = Sequence[str]


def _sound(verdicts: Paths, tables: Paths) -> list[Path]:
    """Return the folders of the images that were not set aside."""
    pairs = zip(verdicts, tables, strict=True)
    return [Path(folder) for verdict, folder in pairs if not read_verdict(verdict)]


def _points(grid: Mapping[str, Any]) -> list[Point]:
    return [as_point(content) for content in grid.values()]


def write_tables(
    rows: Rows,
    verdicts: Paths,
    tables: Paths,
    grid: Mapping[str, Any],
    settings: Mapping[str, Any],
    folder: Path,
) -> None:
    """Gather the tables of all images.

    Parameters
    ----------
    rows
        Of the sheet: ``image``, ``path``, ``samples``.
    verdicts, tables
        Of each image: its verdict, and the folder of its tables.
    grid
        Points by name.
    settings
        The section of the configuration.
    folder
        Where ``images``, ``parameters``, ``objects`` and ``neighbours`` are written as parquet.
    """
    told = []
    for row, verdict, place in zip(rows, verdicts, tables, strict=True):
        line = {"image": row["image"], "path": row["path"], "status": "set aside", **row["samples"]}
        if not read_verdict(verdict):
            summary = read_json(Path(place, "summary.json"))
            line |= zip(("depth", "height", "width"), summary["shape"], strict=True)
            line |= zip(("voxel_z", "voxel_y", "voxel_x"), summary["voxel_size"], strict=True)
            line |= {key: summary[key] for key in ("ndim", "dtype", "unit")}
            line["status"] = "measured"
        told.append(line)
    columns = list(dict.fromkeys(name for row in rows for name in row["samples"]))
    write_small(folder / "images.parquet", image_table(told, columns))
    write_small(folder / "parameters.parquet", parameter_table(_points(grid), settings))
    sound = _sound(verdicts, tables)
    for name, fields in (("objects", object_schema(settings["properties"])),
                         ("neighbours", NEIGHBOURS)):  # fmt: skip
        parts = [place / f"{name}.parquet" for place in sound]
        gather(parts, folder / f"{name}.parquet", fields)


def write_comparison(verdicts: Paths, tables: Paths, grid: Mapping[str, Any], folder: Path) -> None:
    """Gather how the points of the grid compare, and draw it.

    Parameters
    ----------
    verdicts, tables
        As for `write_tables`.
    grid
        Points by name.
    folder
        Where ``counts.tsv``, ``sizes.parquet``, ``agreement.tsv`` and charts are written.
    """
    sound = _sound(verdicts, tables)
    counts, sizes, agreement = (
        read_tables([place / f"{name}.tsv" for place in sound])
        if sound
        else pd.DataFrame(columns=list(columns))
        for name, columns in (("counts", COUNTS), ("sizes", SIZES), ("agreement", AGREEMENT))
    )
    write_table(folder / "counts.tsv", counts)
    write_table(folder / "agreement.tsv", agreement)
    sizes.to_parquet(folder / "sizes.parquet", index=False)
    if not sound:
        return
    names = [read_json(place / "summary.json") for place in sound]
    images = [told["image"] for told in names]
    kinds = {(told["unit"], told["ndim"]) for told in names}
    axis = size_name(*kinds.pop()) if len(kinds) == 1 else "size of an object"
    parameters = parameter_table(_points(grid), _NO_SETTINGS).to_pandas()
    (folder / "sizes.png").write_bytes(size_chart(sizes, images, list(grid), axis))
    if len(grid) > 1:
        (folder / "stability.png").write_bytes(stability_chart(counts, parameters, images))
        (folder / "agreement.png").write_bytes(agreement_chart(agreement, list(grid)))


_NO_SETTINGS = dict.fromkeys(("polarity", "connectivity", "min_size", "border"))


def tell(
    rows: Rows,
    verdicts: Paths,
    tables: Paths,
    pictures: Paths,
    study: str,
    compare: str,
    settings: Mapping[str, Any],
) -> Report:
    """Put the report of a study together.

    Parameters
    ----------
    rows, verdicts, tables
        As for `write_tables`.
    pictures
        Folder of the picture of each image.
    study, compare
        Folders that `write_tables` and `write_comparison` filled.
    settings
        The section of the configuration.
    """
    parameters = pq.read_table(Path(study, "parameters.parquet")).to_pandas()
    comparison = Comparison(
        parameters,
        read_tables([Path(compare, "counts.tsv")]),
        pd.read_parquet(Path(compare, "sizes.parquet")),
        read_tables([Path(compare, "agreement.tsv")]),
    )
    first = str(parameters["params"].iloc[0])
    overlays = {}
    for row, verdict, folder, place in zip(rows, verdicts, pictures, tables, strict=True):
        if not read_verdict(verdict):
            summary = read_json(Path(place, "summary.json"))
            plane = None if summary["ndim"] == 2 else int(summary["plane"])
            png = Path(folder, "overlay.png").read_bytes()
            overlays[str(row["image"])] = Overlay(png, first, plane)
    columns = pq.read_schema(Path(study, "objects.parquet")).names
    samples = pq.read_schema(Path(study, "images.parquet")).names[len(IMAGES) :]
    queries = {}
    if overlays:
        by = next(iter(samples), None)
        queries = examples(next(iter(overlays)), first, 1, columns, by)
    summaries = [Path(place, "summary.json") for place in tables]
    return report(rows, verdicts, summaries, overlays, comparison, settings, queries)
