"""A volume smoothed, cut at a threshold, labelled and measured, beside the peers: CPU and memory.

    python benchmarks/imaging/kernels.py [--edge N]

A cube of 800 voxels along each edge, uint8, with about 20,000 balls on noise. Each side in a
process of its own with one thread; CPU without imports and compilation, memory of the whole process
at its peak. What all sides find is compared. Writes ``kernels.md`` beside this file.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from volumes import (
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
    segment_,
    versions,
    write_tiff,
)

HERE = Path(__file__).resolve()
EDGE, SLOW_EDGE = 800, 400
BAR_MB, BAR_S = 750, 45
SOME = 10  # objects whose statistics dask-image is asked for
FULL = (EDGE // SLOW_EDGE) ** 3
CHUNK = 100  # of dask-image, whose boxes take longer the larger chunks are


def save(folder: Path, side: str, columns: list[np.ndarray]) -> None:
    """Keep what a side found: size, box, centroid, and mean, least and greatest intensity.

    Sorted by box: sides number objects in orders of their own.
    """
    table = np.array(columns, np.float64)
    np.save(folder / f"{side}.npy", table[:, np.lexsort(table[6:0:-1])])


def conversion(folder: Path, clock: Clock) -> None:
    clock.stop("imports")
    convert_(folder)
    clock.stop("convert")


def ours(folder: Path, clock: Clock) -> None:
    from tessera.imaging.objects import GROUPS, object_table
    from tessera.imaging.volume import Volume

    plan = plan_of(folder / "image.tif", ONE, 1100)
    clock.stop("imports")
    ((name, _),) = plan.filters.items()
    for part in parts(plan, name):
        segment_(folder, plan, name, part)
    clock.stop("segment")
    merge_(folder, plan, name)
    clock.stop("merge")
    (file,) = merged_files(folder, name)
    chosen = ["centroid", "bbox", "intensity"]
    volume = Volume(folder / "volume")
    table = object_table(np.load(file), 1.0, volume, properties=chosen).table
    clock.stop("table")
    names = ["n_voxels", *GROUPS["bbox"], *GROUPS["centroid"], *GROUPS["intensity"][:3]]
    save(folder, "ours", [table[key].to_numpy() for key in names])


def scikit_image(folder: Path, clock: Clock) -> None:
    import tifffile
    from scipy.ndimage import gaussian_filter
    from skimage.measure import label, regionprops_table

    clock.stop("imports")
    image = tifffile.imread(folder / "image.tif")
    clock.stop("read")
    mask = gaussian_filter(image.astype(np.float32), 1) > VALUE
    clock.stop("filter")
    labels = label(mask, connectivity=3)
    clock.stop("label")
    names = ("area", "bbox", "centroid", "intensity_mean", "intensity_min", "intensity_max")
    table = regionprops_table(labels, image, properties=names)
    clock.stop("measure")
    save(folder, "scikit_image", list(table.values()))


def cc3d(folder: Path, clock: Clock) -> None:
    import cc3d as peer
    import tifffile
    from scipy.ndimage import gaussian_filter

    clock.stop("imports")
    image = tifffile.imread(folder / "image.tif")
    clock.stop("read")
    mask = gaussian_filter(image.astype(np.float32), 1) > VALUE
    clock.stop("filter")
    labels = peer.connected_components(mask, connectivity=26)
    clock.stop("label")
    found = peer.statistics(labels, no_slice_conversion=True)
    clock.stop("measure")
    # Boxes are those of labels in the order of the array's axes, the last voxel included.
    boxes = found["bounding_boxes"][1:].astype(np.int64)
    save(folder, "cc3d", [
        found["voxel_counts"][1:], *boxes[:, ::2].T, *(boxes[:, 1::2] + 1).T,
        *found["centroids"][1:].T,
    ])  # fmt: skip


def dask_image(folder: Path, clock: Clock) -> None:
    import dask
    import dask.array as da
    import tifffile
    from dask_image import ndfilters, ndmeasure

    dask.config.set(scheduler="synchronous")
    clock.stop("imports")
    image = da.from_array(tifffile.memmap(folder / "image.tif", mode="r"), chunks=(CHUNK,) * 3)
    smooth = ndfilters.gaussian_filter(image.astype(np.float32), 1, mode="reflect")
    mask = (smooth > VALUE).persist()  # labelling looks at it several times
    labels, count = ndmeasure.label(mask, structure=np.ones((3, 3, 3)))
    labels, count = dask.persist(labels, count)
    count = int(count.compute())
    clock.stop("filter and label")
    ndmeasure.find_objects(labels).compute()
    clock.stop("boxes")
    some = np.arange(1, min(SOME, count) + 1)
    dask.compute(ndmeasure.area(image, labels, some), ndmeasure.mean(image, labels, some))
    clock.stop("count and mean of 10 objects")
    np.save(folder / "dask_image.npy", np.array([count]))


SIDES = {
    "conversion": conversion,
    "ours": ours,
    "scikit_image": scikit_image,
    "cc3d": cc3d,
    "dask_image": dask_image,
}


def compile_kernels() -> None:
    """Compile everything on a small volume, as happens but once on a machine."""
    with tempfile.TemporaryDirectory() as name:
        write_tiff(Path(name, "image.tif"), balls(96))
        for side in ("conversion", "ours"):
            measure(HERE, side, name)


def compare(folder: Path) -> dict[str, float]:
    """Check that all sides found the same; returns by how much centroids and means differ."""
    own, off = np.load(folder / "ours.npy"), {}
    for side in ("scikit_image", "cc3d"):
        other = np.load(folder / f"{side}.npy")
        assert own.shape[1] == other.shape[1], side
        assert (own[:7] == other[:7]).all(), side
        off[side] = float(np.abs(own[7:10] - other[7:10]).max())
        assert off[side] <= 1e-9, side
    other = np.load(folder / "scikit_image.npy")
    assert (own[11:] == other[11:]).all()
    off["mean"] = float((np.abs(own[10] - other[10]) / own[10]).max())
    return off


def run(edge: int, sides: list[str], folder: Path) -> dict[str, dict]:
    image = balls(edge)
    write_tiff(folder / "image.tif", image)
    return {side: measure(HERE, side, folder) for side in sides}


def row(label: str, found: dict) -> str:
    each = "; ".join(f"{part} {spent:.1f}" for part, spent in found["cpu"].items())
    return f"| {label} | {sum(found['cpu'].values()):.1f} s | {found['memory']:,.0f} MB | {each} |"


def main(edge: int) -> None:
    """Run all sides and write the table."""
    compile_kernels()
    slow = min(edge, SLOW_EDGE)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = run(edge, ["conversion", "ours", "scikit_image", "cc3d"], folder)
        off = compare(folder)
        count = np.load(folder / "ours.npy").shape[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small = run(slow, ["conversion", "ours", "dask_image"], folder)
        few = np.load(folder / "ours.npy").shape[1]
        assert int(np.load(folder / "dask_image.npy")[0]) == few
    own, memory = sum(found["ours"]["cpu"].values()), found["ours"]["memory"]
    both = own + sum(found["conversion"]["cpu"].values())
    other = {side: sum(found[side]["cpu"].values()) for side in ("scikit_image", "cc3d")}
    dask = small["dask_image"]["cpu"]
    last = list(dask)[-1]
    per_object = dask[last] / min(SOME, few)
    known = "bars" if edge == EDGE else "bars (of the full size)"
    lines = [
        "# Objects of a volume",
        "",
        f"A TIFF of {edge} x {edge} x {edge} voxels, uint8, {count:,} objects: Gaussian filter "
        f"(sigma 1), fixed threshold, objects under 26 neighbours, and of each its size, box, "
        "centroid, and mean, least and greatest intensity (cc3d: no intensities). One thread; CPU "
        "without imports and compilation; memory of the whole process. "
        f"{processor()}; {versions(*VERSIONS)}.",
        "",
        "| | CPU | memory | seconds of each step |",
        "|---|---|---|---|",
        row("ours: conversion of the TIFF", found["conversion"]),
        row("ours: tiles, merge, table", found["ours"]),
        row("scikit-image and scipy, in memory", found["scikit_image"]),
        row("cc3d, with scipy's filter, in memory", found["cc3d"]),
        "",
        f"Ours takes {own / other['scikit_image']:.2f} times the CPU of scikit-image and "
        f"{memory / found['scikit_image']['memory']:.0%} of its memory, "
        f"{own / other['cc3d']:.2f} times the CPU of cc3d and "
        f"{memory / found['cc3d']['memory']:.0%} of its memory; with conversion "
        f"{both / other['scikit_image']:.2f} and {both / other['cc3d']:.2f} times the CPU. The "
        f"{known} of {BAR_MB} MB and {BAR_S} s of CPU are "
        f"{'kept' if memory <= BAR_MB and own <= BAR_S else 'not kept'}"
        f"{'' if both > BAR_S else ', also with conversion'}.",
        "",
        "Sizes, boxes, and least and greatest intensities are equal, object by object, on all "
        "sides that tell them; centroids differ by "
        f"{max(off['scikit_image'], off['cc3d']):.0e} voxels at most, "
        f"means by {off['mean']:.0e} of themselves. The filter of scipy is the same on both sides: "
        "by as much as its seconds differ, seconds of this machine, which others used too, are "
        "uncertain.",
        "",
        f"## dask-image, on {slow} x {slow} x {slow} voxels",
        "",
        f"{few:,} objects, which both sides found; the full size would take more than ten minutes. "
        f"One thread, chunks of {CHUNK} voxels along each "
        "edge, labels held in memory.",
        "",
        "| | CPU | memory | seconds of each step |",
        "|---|---|---|---|",
        row("ours: conversion of the TIFF", small["conversion"]),
        row("ours: tiles, merge, table", small["ours"]),
        row("dask-image", small["dask_image"]),
        "",
        "Its statistics go through the whole volume for each object and each number: count and "
        f"mean of one took {per_object:.2f} s, those of all would take "
        f"{per_object * few:,.0f} s, and on the full size, of {FULL} times as many voxels and "
        f"objects, {FULL} x {FULL} times that. The table has them of {min(SOME, few)} objects, and "
        "boxes of all.",
        "",
        "Script: `benchmarks/imaging/kernels.py`.",
    ]
    HERE.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


VERSIONS = ("numpy", "numba", "scipy", "scikit-image", "connected-components-3d", "dask-image")

if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in SIDES:
        answer(SIDES)
    else:
        parser = argparse.ArgumentParser()
        parser.add_argument("--edge", type=int, default=EDGE)
        main(parser.parse_args().edge)
