"""The voxels of a study: a mask, the names of regions, and which voxels can be tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tessera import nifti
from tessera.errors import InputError, Problem
from tessera.sheets import read_sheet

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

TESTED, CONSTANT, NAN = "tested", "constant", "nan"

_LABELS = {
    "properties": {"index": {"type": "integer"}, "name": {"type": ["string", "null"]}},
    "required": ["index"],
    "additionalProperties": True,
}


@dataclass(frozen=True)
class Grid:
    """The voxels of a mask.

    Attributes
    ----------
    shape
        (X, Y, Z) of the volume.
    affine
        (4, 4), voxel indices to mm.
    flat
        (V,) places of the voxels in a volume (Z, Y, X) laid out flat, ascending.
    """

    shape: tuple[int, int, int]
    affine: Floats
    flat: Ints

    @property
    def ijk(self) -> Ints:
        """(V, 3) voxel indices along x, y and z."""
        k, j, i = np.unravel_index(self.flat, self.shape[::-1])
        return np.stack([i, j, k], axis=1)

    @property
    def mm(self) -> Floats:
        """(V, 3) scanner coordinates in mm."""
        return self.ijk @ self.affine[:3, :3].T + self.affine[:3, 3]


def read_grid(path: str) -> Grid:
    """Read a mask: voxels above zero."""
    header = nifti.read_header(path)
    if len(header.shape) != 3:
        what = f"has {len(header.shape)} dimensions, of {header.shape}"
        raise InputError(Problem(path, "", what, "name a 3-D image in vgwas.mask"))
    flat = np.flatnonzero(nifti.read(path) > 0)
    if not len(flat):
        raise InputError(Problem(path, "", "no voxel is above zero", "give a mask of the brain"))
    x, y, z = header.shape
    return Grid((x, y, z), header.affine, flat)


def misfit(path: str, grid: Grid, mask: str) -> Problem | None:
    """Tell how the grid of an image differs from that of the mask, from its header."""
    header = nifti.read_header(path)
    if header.shape[:3] != grid.shape or any(n != 1 for n in header.shape[3:]):
        what = f"its shape is {header.shape}, that of {mask} is {grid.shape}"
    elif not np.allclose(header.affine, grid.affine, rtol=0, atol=1e-3):
        what = f"its affine is {_shown(header.affine)}, that of {mask} is {_shown(grid.affine)}"
    else:
        return None
    return Problem(path, "header", what, "resample it onto the grid of the mask")


def _shown(affine: Floats) -> str:
    return str([[round(float(value), 4) for value in row] for row in affine[:3]])


def atlas_files(atlas: str | Sequence[str] | None) -> tuple[str, str] | None:
    """Return the image and the table of an atlas as the configuration names them."""
    if atlas is None:
        return None
    if isinstance(atlas, str):
        return atlas, atlas.removesuffix(".gz").removesuffix(".nii") + ".tsv"
    return atlas[0], atlas[1]


def read_labels(atlas: tuple[str, str] | None, grid: Grid, mask: str) -> list[str]:
    """Return (V,) names of the regions of the voxels; empty where there is none."""
    if atlas is None:
        return [""] * len(grid.flat)
    image, table = atlas
    if problem := misfit(image, grid, mask):
        raise InputError(problem)
    names: dict[int, str] = {0: ""}
    for row in read_sheet(table, _LABELS, key=("index",)):
        names[int(row["index"] or 0)] = str(row["name"] or "")
    regions = nifti.read(image).ravel()[grid.flat]
    bad = ~(np.isfinite(regions) & (regions >= 0) & (regions < 2**31) & (regions % 1 == 0))
    if bad.any():
        many, example = int(bad.sum()), regions[bad][0]
        what = f"{many} voxels of the mask hold no number of a region, such as {example}"
        raise InputError(Problem(image, "", what, "give whole numbers from 0, 0 for none"))
    return [names.get(int(region), f"region {int(region)}") for region in regions]


def voxel_table(grid: Grid, status: npt.NDArray[Any]) -> pd.DataFrame:
    """Return one row per voxel: i, j, k, x, y, z (mm), status."""
    ijk, mm = grid.ijk, grid.mm
    columns: dict[str, Any] = {
        name: ijk[:, axis].astype(np.int32) for axis, name in enumerate("ijk")
    }
    columns |= {name: mm[:, axis].astype(np.float32) for axis, name in enumerate("xyz")}
    return pd.DataFrame({**columns, "status": status.astype(str)})


def neighbours(ijk: Ints, connectivity: int) -> npt.NDArray[np.int32]:
    """Return the neighbours of each voxel that come before it.

    Parameters
    ----------
    ijk
        (V, 3) indices of voxels in ascending order of k, then j, then i.
    connectivity
        6, 18 or 26.

    Returns
    -------
    (V, connectivity / 2) rows of `ijk`, -1 where there is no such voxel.
    """
    low = ijk.min(axis=0)
    size = ijk.max(axis=0) - low + 3
    place = np.full(size, -1, np.int32)
    at = tuple((ijk - low + 1).T)
    place[at] = np.arange(len(ijk))
    steps = [
        (dx, dy, dz)
        for dz in (-1, 0, 1)
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
        if (dz, dy, dx) < (0, 0, 0)
        and abs(dx) + abs(dy) + abs(dz) <= {6: 1, 18: 2, 26: 3}[connectivity]
    ]
    return np.stack([place[at[0] + x, at[1] + y, at[2] + z] for x, y, z in steps], axis=1)


def exists(path: str, key: str) -> Problem | None:
    """Tell that a file that the configuration names is not there."""
    if Path(path).is_file():
        return None
    toy = Path(path).parts[:1] == ("toy",)
    remedy = "run `snakemake toy` first, which makes the toy data" if toy else "correct the path"
    return Problem("config", f"vgwas.{key}", f"file {path!r} does not exist", remedy)
