"""A volume ten times as large as the memory, and what each step takes beside what it declares.

    python benchmarks/imaging/memory.py

A TIFF of 1,312 voxels along each edge, uint16, is converted, segmented and merged with
`memory_mb: 450`, each job in a process of its own. A part of it is segmented again with tiles of
another size. Writes ``memory.md`` beside this file; takes about 9 GB of disk.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from volumes import (
    JOINING,
    ONE,
    VALUE,
    Clock,
    answer,
    balls,
    convert_,
    measure,
    merge_,
    merged_files,
    parts,
    plan_of,
    processor,
    quiet,
    segment_,
    versions,
    wildcards,
    write_tiff,
)

from tessera.imaging.boxes import Box, Tiling
from tessera.imaging.plan import Plan
from tessera.imaging.segment import Work, segment
from tessera.imaging.steps import merged, rules, thresholds
from tessera.imaging.volume import Volume

HERE = Path(__file__).resolve()
MEMORY, REPEATS, EDGE = (
    450,
    4,
    328,
)  # the volume is a block of EDGE voxels, repeated along each axis
SECTION = ONE | {"threshold": [{"name": "fixed", "value": 257 * VALUE}]}


def plan(folder: Path) -> Plan:
    return plan_of(folder / "image.tif", SECTION, MEMORY)


def conversion(folder: Path, clock: Clock) -> None:
    clock.stop("imports")
    convert_(folder, MEMORY)
    clock.stop("CPU")


def segmentation(folder: Path, clock: Clock, number: int) -> None:
    own = plan(folder)
    ((name, _),) = own.filters.items()
    clock.stop("imports")
    segment_(folder, own, name, parts(own, name)[number])
    clock.stop("CPU")


def merging(folder: Path, clock: Clock) -> None:
    own = plan(folder)
    clock.stop("imports")
    for name in own.filters:
        merge_(folder, own, name)
    clock.stop("CPU")


SIDES = {"conversion": conversion, "segmentation": segmentation, "merging": merging}


def write_large(path: Path, edge: int) -> None:
    """Write the volume plane by plane."""
    import tifffile

    block = balls(edge, "uint16").voxels()
    size = REPEATS * edge

    def planes() -> Iterator[np.ndarray]:
        for z in range(size):
            yield np.tile(block[z % edge], (REPEATS, REPEATS))

    tifffile.imwrite(
        path, planes(), shape=(size, size, size), dtype="uint16", bigtiff=True,
        photometric="minisblack",
    )  # fmt: skip


def digest(folder: Path, box: Box, edge: int) -> tuple[str, int]:
    """Return the digest of the objects of a part with tiles of an edge, and their number."""
    volume, own = Volume(folder / "volume"), plan(folder)
    ((name, step),) = own.filters.items()
    grid = own.points_of(wildcards(filter=name))
    values = thresholds(volume, "", grid, {})
    tiling = Tiling(box, edge)
    (folder / f"tiles{edge}").mkdir()
    work = Work(volume, tiling, range(len(tiling)))
    todo = rules(grid, values, None, JOINING)
    segment(work, step, todo, values["unit"], folder / f"tiles{edge}", quiet)
    (point,) = grid
    found = merged(
        [str(folder / f"tiles{edge}")], [len(tiling)], point, tiling, JOINING["connectivity"]
    )
    return hashlib.sha256(found.objects.tobytes()).hexdigest(), len(found.objects)


def main(edge: int) -> None:
    """Run everything and write the table."""
    with tempfile.TemporaryDirectory() as name:  # compiles the kernels
        write_tiff(Path(name, "image.tif"), balls(96, "uint16"))
        for side in SIDES:
            measure(HERE, side, name, *([0] if side == "segmentation" else []))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_large(folder / "image.tif", edge)
        own = plan(folder)
        ((kind, _),) = own.filters.items()
        many = len(parts(own, kind))
        size = 2e-6 * (REPEATS * edge) ** 3
        jobs = [("conversion", measure(HERE, "conversion", folder), own.convert_mb)]
        jobs += [
            ("segmentation", measure(HERE, "segmentation", folder, number), own.tile_mb)
            for number in range(many)
        ]
        jobs.append(("merging", measure(HERE, "merging", folder), own.merge_mb))
        (whole,) = merged_files(folder, kind)
        count = len(np.load(whole, mmap_mode="r"))
        tile = own.tiling(wildcards(filter=kind))["edge"]
        box = Box((100, 50, 70), (100 + edge, 50 + edge, 70 + edge))
        others = (tile, 7 * tile // 10)
        digests = [digest(folder, box, other) for other in others]
    rows, kept = [], True
    for side in SIDES:
        each = [found for label, found, _ in jobs if label == side]
        taken = max(found["memory"] for found in each)
        (declared,) = {tell(wildcards(filter=kind), 1) for label, _, tell in jobs if label == side}
        kept &= taken <= declared
        rows.append(
            f"| {side} | {len(each)} | {sum(found['cpu']['CPU'] for found in each):.1f} s | "
            f"{taken:,.0f} MB | {declared:,} MB | {declared / taken:.2f} |"
        )
    assert len({found for found, _ in digests}) == 1
    side = REPEATS * edge
    lines = [
        "# Memory",
        "",
        f"A TIFF of {side:,} x {side:,} x {side:,} voxels, uint16: {size:,.0f} MB, "
        f"{size / MEMORY:.1f} times the {MEMORY} MB of `memory_mb`; {count:,} objects. Gaussian "
        f"filter (sigma 1), fixed threshold, tiles of {tile} voxels along each edge. Peaks of "
        f"whole processes, of several jobs the highest. {processor()}; "
        f"{versions('numpy', 'numba', 'zarr')}.",
        "",
        "| step | jobs | CPU | taken | declared | ratio |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        f"{'No job took more than it had declared.' if kept else 'A job took more than declared.'} "
        f"A part of {edge} x {edge} x {edge} voxels with {digests[0][1]:,} objects, "
        f"segmented and merged with tiles of {others[0]} and of {others[1]} voxels, had the same "
        "bytes.",
        "",
        "Script: `benchmarks/imaging/memory.py`.",
    ]
    HERE.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in SIDES:
        answer(SIDES)
    else:
        parser = argparse.ArgumentParser()
        parser.add_argument("--edge", type=int, default=EDGE)
        main(parser.parse_args().edge)
