"""The images of a study: from a sheet, or all that lie in a folder."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tessera.config import load_schema
from tessera.errors import InputError, Problem
from tessera.imaging.planes import Sizes
from tessera.imaging.slices import SUFFIXES, names_in
from tessera.imaging.zarr_meta import is_zarr
from tessera.sheets import Cell, read_sheet

COLUMNS = (
    "image", "path", "depth", "height", "width", "ndim", "dtype", "voxel_z", "voxel_y", "voxel_x",
    "unit", "status",
)  # fmt: skip
"""Columns of the table of images, which a column of the sheet may not be named after."""

_KNOWN = ("image", "path", "voxel_size")
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})")  # what is written 007 is a name
_NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]*|(?=\.))(\.[0-9]*)?([eE][+-]?[0-9]+)?")
_ALSO = (".jpg", ".jpeg", ".gif", ".bmp", ".czi", ".nd2", ".lif", ".lsm", ".oib", ".oif", ".ims",
         ".mrc", ".h5", ".hdf5", ".jp2", ".webp")  # fmt: skip
"""Suffixes of images that cannot be read: of a folder they are listed, so that it is told."""


@dataclass(frozen=True)
class ImageRow:
    """An image of a study.

    Attributes
    ----------
    image
        Its name.
    path
        Where it lies, usable from the working directory.
    voxel_size
        Along z, y, x; None where the file's own is meant. Along z it is 1 if only y and x are
        given.
    samples
        What else is known of it: by name of the column, a number or text, None if missing.
    """

    image: str
    path: str
    voxel_size: Sizes | None = None
    samples: dict[str, Cell] = field(default_factory=dict)


def read_images(images: str, schemas: Path) -> list[ImageRow]:
    """Read a sheet of images, or list those of a folder.

    Parameters
    ----------
    images
        A tab-separated sheet as ``schemas/imaging_images.yaml`` has it; or a folder, of which every
        TIFF, PNG, OME-Zarr and folder of slices becomes an image, named by its stem.
    schemas
        Folder of the schemas.

    Returns
    -------
    list of ImageRow
        In the order of the sheet; those of a folder by name.

    Raises
    ------
    InputError
        With every fault of the sheet, or of names in the folder.
    """
    if Path(images).is_dir():
        return _listed(images)
    schema = load_schema(schemas, "imaging_images")
    rows = read_sheet(images, schema, key=("image",), others=True)
    problems: list[Problem] = []
    names = [name for name in rows[0] if name not in _KNOWN]
    problems += _clashing(images, names)
    columns = {name: _numbers([row[name] for row in rows]) for name in names}
    found = []
    for number, row in enumerate(rows):
        try:
            size = _voxel_size(images, row)
        except InputError as error:
            problems += error.problems
            continue
        samples = {name: column[number] for name, column in columns.items()}
        found.append(ImageRow(str(row["image"]), str(row["path"]), size, samples))
    if problems:
        raise InputError(problems)
    return found


def _clashing(file: str, names: list[str]) -> list[Problem]:
    """Return columns that would be taken for another; SQL does not tell a from A."""
    taken = {name.casefold(): f"the table of images has a column {name}" for name in COLUMNS}
    taken |= {"voxel_size": "the sheet has a column voxel_size"}
    problems = []
    for name in names:
        if name.casefold() in taken:
            what = f"the name is taken: {taken[name.casefold()]}"
            problems.append(Problem(file, f"column {name}", what, "rename the column"))
        taken.setdefault(name.casefold(), f"the sheet has a column {name}")
    return problems


def _numbers(cells: Sequence[Cell]) -> Sequence[Cell]:
    """Return the cells of a column as numbers if all are, otherwise as they are."""
    texts = [str(cell) for cell in cells if cell is not None]
    if not texts or not all(_NUMBER.fullmatch(text) for text in texts):
        return cells
    if all(_INTEGER.fullmatch(text) for text in texts):
        return [None if cell is None else int(cell) for cell in cells]
    numbers = [None if cell is None else float(cell) for cell in cells]
    finite = all(number is None or math.isfinite(number) for number in numbers)
    return numbers if finite else cells


def _voxel_size(file: str, row: dict[str, Cell]) -> Sizes | None:
    given = row["voxel_size"]
    if given is None:
        return None
    sizes = [float(text) for text in str(given).split(",")]
    if not all(0 < size < math.inf for size in sizes):
        what = f"found {given}"
        remedy = "expected numbers above 0"
        raise InputError(Problem(file, f"image {row['image']}, column voxel_size", what, remedy))
    if len(sizes) == 1:
        sizes *= 3
    z, y, x = [1.0, *sizes] if len(sizes) == 2 else sizes
    return z, y, x


def _listed(folder: str) -> list[ImageRow]:
    """Return the images of a folder."""
    place = Path(folder)
    if is_zarr(place):
        what = "is one image"
        raise InputError(Problem(folder, "", what, "name the folder that it lies in, or a sheet"))
    problems: list[Problem] = []
    owner: dict[str, str] = {}
    for name in names_in(place):
        if not _is_image(place / name):
            continue
        stem = _stem(place / name)
        if stem in owner:
            what = f"{owner[stem]} and {name} would both be named {stem}"
            problems.append(Problem(folder, "", what, "rename one, or name them in a sheet"))
        elif not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", stem) or len(stem) > 100:
            shown = name.encode("ascii", "backslashreplace").decode()
            remedy = "rename it with letters, digits and _ . - only, or name it in a sheet"
            problems.append(Problem(folder, "", f"{shown} cannot be the name of an image", remedy))
        owner.setdefault(stem, name)
    if set("{}<>") & set(folder):
        remedy = "rename it, for these mark placeholders in paths"
        problems.append(Problem(folder, "", "the path holds one of { } < >", remedy))
    if not owner:
        what = "the folder holds no image"
        problems.append(Problem(folder, "", what, "name a folder of images, or a sheet"))
    if problems:
        raise InputError(problems)
    return [ImageRow(stem, str(place / owner[stem])) for stem in sorted(owner)]


def _is_image(path: Path) -> bool:
    if not path.is_dir():
        return path.suffix.casefold() in (*SUFFIXES, *_ALSO)
    if is_zarr(path) or path.suffix.casefold() == ".zarr":
        return True
    return any(Path(name).suffix.casefold() in SUFFIXES for name in names_in(path))


def _stem(path: Path) -> str:
    """Return the name of an image: that of its file, without suffix."""
    suffixed = not path.is_dir() or path.suffix.casefold() == ".zarr"
    stem = path.stem if suffixed else path.name
    return stem[: -len(".ome")] if suffixed and stem.casefold().endswith(".ome") else stem
