"""The index of a survey: a row per detector of every visit, from headers alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tessera.astro.wcsheader import EDGE_POINTS, celestial
from tessera.errors import Problem

_CORNERS = ("ll", "lr", "ur", "ul")
COLUMNS = {
    "visit": (pa.string(), "name of the visit"),
    "ccd": (pa.string(), "name of the detector"),
    "file": (pa.string(), "file of the visit, as named in the sheet"),
    "hdu_image": (pa.int32(), "index of the image's HDU"),
    "hdu_mask": (pa.int32(), "index of the mask's HDU"),
    "hdu_variance": (pa.int32(), "index of the variance's HDU"),
    "height": (pa.int32(), "pixels"),
    "width": (pa.int32(), "pixels"),
    "ra": (pa.float64(), "deg; centre of the detector"),
    "dec": (pa.float64(), "deg; centre of the detector"),
    **{
        f"{corner}_{axis}": (pa.float64(), "unit vector (ICRS) of a corner, in the pixels' sense")
        for corner in _CORNERS
        for axis in "xyz"
    },
    "zero_point": (pa.float64(), "mag that gives one ADU"),
    "gain": (pa.float64(), "e-/ADU"),
    "read_noise": (pa.float64(), "e-"),
    "seeing": (pa.float64(), "as the header says it; its unit is the instrument's"),
    "datasum": (pa.string(), "DATASUM of the image as the header says it"),
    "problem": (pa.string(), "why the detector is set aside; null for a sound one"),
}
"""Name to type and meaning."""


def index_table(visits: Mapping[str, str], headers: Mapping[str, Mapping[str, Any]]) -> pa.Table:
    """Gather what the headers say.

    Parameters
    ----------
    visits
        Name of a visit to its file.
    headers
        File to what `tessera.astro.visits.read_visit` returned.

    Returns
    -------
    pyarrow.Table
        With the columns of `COLUMNS`; what a header does not say is null.
    """
    rows = []
    for visit, file in visits.items():
        content = headers[file]
        if content["problem"]:
            rows.append({"visit": visit, "file": file, "problem": _told(content["problem"])})
        for record in content["ccds"]:
            rows.append({"visit": visit, "file": file, **_row(record)})
    fields = [
        pa.field(name, kind, metadata={"description": meaning})
        for name, (kind, meaning) in COLUMNS.items()
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema(fields))


def _told(problem: Mapping[str, str]) -> str:
    return str(Problem(**problem))


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    row = {f"hdu_{role}": record[role] for role in ("image", "mask", "variance")}
    row |= {key: record.get(key) for key in ("ccd", "zero_point", "gain", "read_noise", "seeing")}
    row["datasum"] = record.get("datasum")
    if "shape" in record:
        row["height"], row["width"] = record["shape"]
    if "border" in record:
        corners = np.array(record["border"])[::EDGE_POINTS]
        for corner, vector in zip(_CORNERS, corners, strict=True):
            row |= {f"{corner}_{axis}": v for axis, v in zip("xyz", vector, strict=True)}
        ra, dec = celestial(corners.mean(0))
        row["ra"], row["dec"] = float(ra), float(dec)
    row["problem"] = _told(record["problem"]) if record["problem"] else None
    return row


def write_parquet(table: pa.Table, place: Path) -> None:
    """Write a table so that the same rows give the same bytes."""
    pq.write_table(table, place, compression="zstd")
