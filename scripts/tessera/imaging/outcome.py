"""What an image gives: its objects at every point of the grid, in files that a study gathers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tessera.imaging.boxes import Box
from tessera.imaging.compare import AGREEMENT, COUNTS, SIZES, agreement, boxes, counts, sizes
from tessera.imaging.neighbours import neighbours
from tessera.imaging.objects import Objects, centroids, object_table
from tessera.imaging.overlays import busiest, overlay
from tessera.imaging.planes import Header
from tessera.imaging.report import summarise
from tessera.imaging.segment import Progress, Rule, Work, label
from tessera.imaging.steps import Labels, write_json
from tessera.imaging.tables import (
    NEIGHBOURS,
    TableWriter,
    neighbour_table,
    object_schema,
    of_point,
)
from tessera.imaging.volume import Volume


def header_of(volume: Volume, voxel_size: Sequence[float] | None) -> Header:
    """Return the header of an image, with the voxel size of the sheet if that has one."""
    if voxel_size is None:
        return volume.header
    z, y, x = voxel_size
    return replace(volume.header, voxel_size=(z, y, x))


def measure_image(
    image: str,
    header: Header,
    values: Mapping[str, Any],
    merged: Mapping[str, Path],
    settings: Mapping[str, Any],
    folder: Path,
    progress: Progress,
) -> None:
    """Measure the objects of an image at every point, and compare the points.

    Parameters
    ----------
    image, header
        The image.
    values
        As from `tessera.imaging.steps.thresholds`.
    merged
        Point to the folder of its objects, in the order of the grid.
    settings
        ``min_size``, ``border``, ``properties``.
    folder
        Where the files are written: ``objects.parquet``, ``neighbours.parquet``, ``counts.tsv``,
        ``sizes.tsv``, ``agreement.tsv``, ``summary.json``, and ``POINT.first.npy`` with the first
        voxel of the object of each label.
    """
    chosen = {key: settings[key] for key in ("min_size", "border", "properties")}
    size = np.array(header.voxel_size)
    told: dict[str, Objects] = {}
    counted, binned = [], []
    with (
        TableWriter(folder / "objects.parquet", object_schema(settings["properties"])) as objects,
        TableWriter(folder / "neighbours.parquet", NEIGHBOURS) as pairs,
    ):
        for name, place in progress(merged.items(), "points", len(merged)):
            pieces = np.load(place / f"{name}.npy", allow_pickle=False)
            found = object_table(pieces, values["unit"], header, name=f"{image}, {name}", **chosen)
            objects.add(of_point(found.table, image, name))
            places = centroids(found.pieces)[:, 3 - header.ndim :] * size[3 - header.ndim :]
            pairs.add(of_point(neighbour_table(*neighbours(places)), image, name))
            np.save(folder / f"{name}.first.npy", found.pieces["first"])
            counted.append(counts(image, name, found, header, settings["border"]))
            binned.append(sizes(image, name, found, header, settings["border"]))
            told[name] = found
    alike = agreement(image, {name: boxes(found) for name, found in told.items()})
    write_table(folder / "counts.tsv", pd.DataFrame(counted, columns=list(COUNTS)))
    write_table(folder / "sizes.tsv", pd.concat(binned)[list(SIZES)])
    write_table(folder / "agreement.tsv", alike[list(AGREEMENT)])
    summary = summarise(image, header, told, values["limits"])
    first = next(iter(told.values()))
    summary["plane"] = _plane(first, header)
    write_json(folder / "summary.json", summary)


def _plane(found: Objects, header: Header) -> int:
    """Return the plane that is drawn: the one with the most objects."""
    lo, hi = found.pieces["lo"][:, 0], found.pieces["hi"][:, 0]
    return busiest(lo, hi, header.shape[0]) if len(lo) else header.shape[0] // 2


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a tab-separated table that gives its numbers back."""
    table.to_csv(path, sep="\t", index=False, na_rep="n/a", lineterminator="\n")


def read_tables(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Read tables that `write_table` wrote as one."""
    each = [
        pd.read_csv(path, sep="\t", float_precision="round_trip", na_values=["n/a"],
                    keep_default_na=False, dtype={"image": str, "params": str})
        for path in paths
    ]  # fmt: skip
    full = [table for table in each if len(table)]
    return pd.concat(full or each[:1], ignore_index=True)


def picture(
    work: Work, rule: Rule, labels: Labels, plane: int, image: str, header: Header
) -> bytes:
    """Draw a plane of an image with the outlines of its objects.

    Parameters
    ----------
    work
        The image, in the tiles that it was analysed in.
    rule
        The point that is drawn.
    labels
        Its labels, by the first voxel of pieces in those tiles.
    plane
        Which; where the image was analysed in one plane alone, that is drawn.
    """
    box = work.tiling.box
    thin = [axis for axis, n in enumerate(box.shape) if n == 1]
    axis = thin[0] if thin else 0
    index = box.lo[axis] if thin else plane
    lo, hi = list(box.lo), list(box.hi)
    lo[axis], hi[axis] = index, index + 1
    cut = Box((lo[0], lo[1], lo[2]), (hi[0], hi[1], hi[2]))
    shown = np.zeros(cut.shape, np.uint32)

    def put(tile: Box, values: np.ndarray) -> None:
        both = tile.grown((0, 0, 0), cut)
        shown[both.slices(cut.lo)] = values[both.slices(tile.lo)]

    meeting = [
        number
        for number in range(len(work.tiling))
        if work.tiling.tile(number).lo[axis] <= index < work.tiling.tile(number).hi[axis]
    ]
    for number in meeting:
        part = Work(work.source, work.tiling, range(number, number + 1))
        label(part, rule, labels, put, _silent)
    across = [k for k in range(3) if k != axis]
    return overlay(
        np.squeeze(work.source.read(cut), axis), np.squeeze(shown, axis),
        title=_title(image, axis, index, header),
        pixel_size=(header.voxel_size[across[0]], header.voxel_size[across[1]]), unit=header.unit,
    )  # fmt: skip


def _title(image: str, axis: int, index: int, header: Header) -> str:
    return image if header.ndim == 2 else f"{image}, {'zyx'[axis]} {index}"


def _silent(items: Any, *_: Any) -> Any:
    return items
