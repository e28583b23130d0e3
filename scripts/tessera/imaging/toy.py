"""The demonstration data of the pipeline: known objects in every format, and two photographs.

Balls of two sizes, as two groups have them; an object that winds through a whole stack; chains of
voxels that touch at corners; coins and a cell; and a stack that was cut short. The same bytes at
any time and place.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tifffile
import zarr
from PIL import Image
from zarr.codecs import ZstdCodec

from tessera.imaging.planes import Array
from tessera.imaging.simulate import as_truth, chains, described, scatter, serpentine

SHAPE = (40, 96, 96)
SPACING = (2.0, 0.5, 0.5)
"""Size of a voxel of the balls in µm, which is noted in the files of the TIFFs."""

CONTROL, TREATED = (3.5, 5.5), (5.5, 8.5)
"""Radii of balls in the two groups, in voxels."""

COUNT = 14
WINDING, CHAINS = (24, 48, 48), (48, 48, 48)
CUT = 0.6
"""The part of the stack `spoiled` that is left."""


def write_toy(sheet: Path, folder: Path, seed: int, data: str) -> None:
    """Write all images, their truth, and the sheet that lists them.

    Parameters
    ----------
    sheet
        The sheet.
    folder
        An empty folder for the data.
    seed
        Of the simulation.
    data
        How the sheet is to name the folder.
    """
    truth: dict[str, Any] = {}
    rows: list[list[Any]] = []

    def add(image: str, name: str, size: str | None, sample: str, group: str | None) -> None:
        rows.append([image, f"{data}/{name}", size, sample, group])

    groups = [("control", CONTROL)] * 2 + [("treated", TREATED)] * 2
    for number, (group, radii) in enumerate(groups):
        image = f"{group}-{1 + number % 2}"
        balls = scatter(SHAPE, COUNT, radii, seed * 16 + number)
        truth[image] = _objects(balls.truth())
        if number == 3:
            _write_slices(folder / image, balls.voxels())
            add(image, image, ",".join(map(str, SPACING)), f"S{number + 1}", group)
        else:
            _write_stack(folder / f"{image}.tif", balls.voxels())
            add(image, f"{image}.tif", None, f"S{number + 1}", group)

    winding = serpentine(WINDING)
    truth["winding"] = _objects(as_truth([described(np.argwhere(winding))]))
    tifffile.imwrite(folder / "winding.tif", _grey(winding), compression="zlib", metadata=None)
    add("winding", "winding.tif", None, "shapes", None)

    mask, table = chains(CHAINS)
    truth["chains"] = _objects(table) | {"n_objects_6": int(mask.sum())}
    _write_ome_zarr(folder / "chains.ome.zarr", _grey(mask))
    add("chains", "chains.ome.zarr", None, "shapes", None)

    from skimage import data as photographs

    Image.fromarray(photographs.coins()).save(folder / "coins.png", optimize=False)
    add("coins", "coins.png", None, "photographs", None)
    tifffile.imwrite(folder / "cell.tif", photographs.cell(), compression="zlib", metadata=None)
    add("cell", "cell.tif", "0.107,0.107", "photographs", None)

    _write_stack(folder / "spoiled.tif", scatter(SHAPE, COUNT, CONTROL, seed).voxels())
    content = (folder / "spoiled.tif").read_bytes()
    (folder / "spoiled.tif").write_bytes(content[: int(len(content) * CUT)])
    add("spoiled", "spoiled.tif", None, "S5", "control")

    (folder / "truth.json").write_text(json.dumps(truth, indent=1) + "\n", "utf-8")
    columns = ["image", "path", "voxel_size", "sample", "group"]
    table = pd.DataFrame(rows, columns=columns)
    table.to_csv(sheet, sep="\t", index=False, na_rep="n/a", lineterminator="\n")


def _objects(table: pd.DataFrame) -> dict[str, Any]:
    return {"n_objects": len(table), "objects": table.to_dict("records")}


def _grey(mask: Array) -> Array:
    """Return a mask as grey values that a threshold finds again."""
    return np.where(mask, np.uint8(200), np.uint8(20))


def _write_stack(path: Path, voxels: Array) -> None:
    """Write a stack as ImageJ does, with the size of a voxel."""
    z, y, x = SPACING
    tifffile.imwrite(
        path, voxels, imagej=True, resolution=(1 / x, 1 / y),
        metadata={"axes": "ZYX", "spacing": z, "unit": "um"},
    )  # fmt: skip


def _write_slices(folder: Path, voxels: Array) -> None:
    folder.mkdir()
    for z, plane in enumerate(voxels):
        Image.fromarray(plane).save(folder / f"slice_{z + 1:03d}.png", optimize=False)


def _write_ome_zarr(path: Path, voxels: Array) -> None:
    group = zarr.open_group(path, mode="w-", zarr_format=3)
    scale = {"type": "scale", "scale": [1.0, 1.0, 1.0]}
    image: dict[str, Any] = {
        "name": "chains",
        "axes": [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"],
        "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
    }
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    array = group.create_array(
        "0", shape=voxels.shape, chunks=(32, 32, 32), dtype=voxels.dtype, fill_value=0,
        compressors=ZstdCodec(level=3), dimension_names=("z", "y", "x"),
    )  # fmt: skip
    array[:] = voxels
