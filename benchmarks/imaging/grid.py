"""What a grid of 12 points costs beside one point: a filter is computed once for all its points.

    python benchmarks/imaging/grid.py

A cube of 400 voxels along each edge, uint8, balls on noise. CPU of conversion, segmentation, merge
and tables, without imports and compilation, each grid in a process of its own. Writes ``grid.md``
beside this file.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from volumes import (
    ONE,
    Clock,
    answer,
    balls,
    convert_,
    measure,
    merge_,
    objects_,
    parts,
    plan_of,
    processor,
    segment_,
    versions,
    write_tiff,
)

HERE = Path(__file__).resolve()
EDGE, BAR = 400, 4
SHAPES = [{"op": "none"}, {"op": "open", "radius": 1}, {"op": "close", "radius": 1}]
GRIDS = {
    "one point": ONE,
    "1 filter x 4 thresholds x 3 morphologies": {
        "filter": ONE["filter"],
        "threshold": [{"name": "fixed", "value": [95, 105, 115, 125]}],
        "morphology": SHAPES,
    },
    "2 filters x 2 thresholds x 3 morphologies": {
        "filter": [{"name": "gaussian", "sigma": [1, 2]}],
        "threshold": [{"name": "fixed", "value": [105, 115]}],
        "morphology": SHAPES,
    },
}


def steps(folder: Path, clock: Clock, number: int) -> None:
    """Do all that the rules do for an image but for its picture."""
    plan = plan_of(folder / "image.tif", list(GRIDS.values())[number], 1100)
    clock.stop("imports")
    convert_(folder)
    clock.stop("convert")
    for name in plan.filters:
        for part in parts(plan, name):
            segment_(folder, plan, name, part)
    clock.stop("segment")
    for name in plan.filters:
        merge_(folder, plan, name)
    clock.stop("merge")
    objects_(folder, plan)
    clock.stop("tables")


def run(folder: Path, number: int) -> dict:
    for done in ("volume", "pieces", "merged", "tables"):
        shutil.rmtree(folder / done, ignore_errors=True)
    return measure(HERE, "steps", folder, number)


def main(edge: int) -> None:
    """Run all grids and write the table."""
    with tempfile.TemporaryDirectory() as name:  # compiles the kernels
        write_tiff(Path(name, "image.tif"), balls(96))
        for number in range(len(GRIDS)):
            run(Path(name), number)
    with tempfile.TemporaryDirectory() as name:
        folder, image = Path(name), balls(edge)
        write_tiff(folder / "image.tif", image)
        found = {grid: run(folder, number) for number, grid in enumerate(GRIDS)}
    spent = {grid: sum(each["cpu"].values()) for grid, each in found.items()}
    alone = spent["one point"]
    rows = [
        f"| {grid} | "
        + " | ".join(f"{each['cpu'][part]:.1f} s" for part in each["cpu"])
        + f" | {spent[grid]:.1f} s | {spent[grid] / alone:.2f} | {each['memory']:,.0f} MB |"
        for grid, each in found.items()
    ]
    most = max(spent.values()) / alone
    lines = [
        "# A grid of parameters",
        "",
        f"A TIFF of {edge} x {edge} x {edge} voxels, uint8, {len(image.radii):,} balls on noise; "
        "Gaussian filters, fixed thresholds, morphology of radius 1. CPU without imports and "
        "compilation; memory of one process that does it all. "
        f"{processor()}; {versions('numpy', 'numba', 'scipy', 'zarr')}.",
        "",
        "| grid | convert | segment | merge | tables | all | beside one point | memory |",
        "|---|---|---|---|---|---|---|---|",
        *rows,
        "",
        f"The bar of {BAR} times the CPU of one point for 12 points is "
        f"{'kept' if most < BAR else 'not kept'}.",
        "",
        "Script: `benchmarks/imaging/grid.py`.",
    ]
    HERE.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    if sys.argv[1:2] == ["steps"]:
        answer({"steps": steps})
    else:
        parser = argparse.ArgumentParser()
        parser.add_argument("--edge", type=int, default=EDGE)
        main(parser.parse_args().edge)
