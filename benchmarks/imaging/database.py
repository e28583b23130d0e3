"""A million objects in DuckDB: how long each of the documented questions takes.

    python benchmarks/imaging/database.py

10 images x 100,000 objects, about 15.5 neighbours each (Delaunay triangulation of random places).
Each question is asked over a connection of its own: opening the file is part of the time. Also
whether two runs make the same bytes. Writes ``database.md`` beside this file.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import duckdb
import numpy as np
import pyarrow as pa

from tessera.imaging.database import examples, write_database
from tessera.imaging.grid import Point, Step
from tessera.imaging.neighbours import neighbours
from tessera.imaging.objects import GROUPS
from tessera.imaging.tables import (
    NEIGHBOURS,
    TableWriter,
    image_table,
    neighbour_table,
    object_schema,
    of_point,
    parameter_table,
    write_small,
)

HERE = Path(__file__).resolve()
IMAGES, OBJECTS, TIMES = 10, 100_000, 30
POINT = Point(Step("gaussian", (("sigma", 2),)), Step("otsu"), Step("open", (("radius", 1),)))
PARAMS = POINT.name
SETTINGS = {"polarity": "bright", "connectivity": 26, "min_size": 10, "border": "keep"}


def simulated(random: np.random.Generator, places: np.ndarray) -> pa.Table:
    """Return a table of objects with numbers of no meaning, of the right types."""
    columns = {"label": np.arange(1, OBJECTS + 1), "n_voxels": random.integers(10, 5000, OBJECTS)}
    columns |= zip(GROUPS["centroid"], places.T, strict=True)
    columns["volume"] = columns["n_voxels"] * 0.125
    fields = object_schema(tuple(GROUPS))
    arrays = []
    for field in list(fields)[2:]:
        values = columns.get(field.name)
        if values is None and pa.types.is_floating(field.type):
            values = random.random(OBJECTS)
        elif values is None:
            values = random.integers(0, 2, OBJECTS)
        arrays.append(pa.array(values).cast(field.type))
    return pa.table(arrays, names=fields.names[2:])


def make(folder: Path) -> tuple[int, float]:
    """Write the parquet files; return neighbours of an object, and seconds per image for them."""
    random = np.random.default_rng(1)
    count, spent = 0, 0.0
    with (
        TableWriter(folder / "objects.parquet", object_schema(tuple(GROUPS))) as objects,
        TableWriter(folder / "neighbours.parquet", NEIGHBOURS) as edges,
    ):
        for number in range(IMAGES):
            places = random.random((OBJECTS, 3)) * [500, 1000, 1000]
            objects.add(of_point(simulated(random, places), f"image{number}", PARAMS))
            started = time.perf_counter()
            found = neighbours(places)
            spent += time.perf_counter() - started
            count += len(found[0])
            edges.add(of_point(neighbour_table(*found), f"image{number}", PARAMS))
    rows = [{"image": f"image{k}", "group": "AB"[k % 2], "age": str(k)} for k in range(IMAGES)]
    write_small(folder / "images.parquet", image_table(rows, ["group", "age"]))
    write_small(folder / "parameters.parquet", parameter_table([POINT], SETTINGS))
    return count, spent / IMAGES


def main() -> None:
    lines = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        count, spent = make(folder)
        digests, seconds = [], []
        for run in range(2):
            place = folder / f"run{run}" / "results.duckdb"
            place.parent.mkdir()
            started = time.perf_counter()
            write_database(place, folder)
            seconds.append(time.perf_counter() - started)
            digests.append(hashlib.sha256(place.read_bytes()).hexdigest())
        same = "the same" if digests[0] == digests[1] else "other"
        size = place.stat().st_size / 1e6
        parquet = sum(path.stat().st_size for path in folder.glob("*.parquet")) / 1e6
        asked = examples("image7", PARAMS, 54_321, object_schema(tuple(GROUPS)).names, "group")
        for title, (sentence, sql) in asked.items():
            found, rows = [], 0
            for _ in range(TIMES):
                started = time.perf_counter()
                with duckdb.connect(str(place), read_only=True) as connection:
                    rows = len(connection.execute(sql).fetchall())
                found.append(1e3 * (time.perf_counter() - started))
            middle, worst = np.median(found), max(found)
            lines.append(f"| {title}: {sentence} | {rows:,} | {middle:.1f} | {worst:.1f} |")
    load = os.getloadavg()[0]
    text = [
        "# A million objects in DuckDB: how long a question takes",
        "",
        f"Written by `database.py`: {IMAGES} images x {OBJECTS:,} objects, {count:,} rows of",
        "neighbours. In milliseconds, from opening the file to the last row, file in memory",
        f"(page cache), {TIMES} times each. Two cores, load {load:.1f} at the end: above 2, other",
        "programs were waited for.",
        "",
        "| | rows | median | slowest |",
        "|---|---|---|---|",
        *lines,
        "",
        f"Parquet files have {parquet:.0f} MB, the database {size:.0f} MB; loading it took",
        f"{min(seconds):.1f} s, with 500 MB for DuckDB and one thread. A second run wrote {same}",
        f"bytes. Neighbours of the objects of an image were found in {spent:.1f} s.",
    ]
    HERE.with_suffix(".md").write_text("\n".join(text) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    main()
