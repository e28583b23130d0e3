"""Images in OME-Zarr 0.4 and 0.5, and plain Zarr arrays: metadata that are not trusted, voxels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import zarr

from tessera.errors import InputError, Problem
from tessera.imaging.boxes import Box, Index
from tessera.imaging.planes import (
    ISOTROPIC,
    WIDER,
    Array,
    Header,
    damaged,
    dtype_problem,
    itemsize,
    unpacking,
)
from tessera.imaging.tiff_notes import in_one_unit, unit_of
from tessera.imaging.zarr_meta import ArrayFacts, attributes, read_array

_REWRITE = "write it as OME-Zarr 0.4 or 0.5"
_ONE = "save each channel and time point as an image of its own"


@dataclass(frozen=True)
class ZarrVoxels:
    """A Zarr array that holds an image, whatever its axes.

    Attributes
    ----------
    path
        Folder of the array.
    axes
        A letter for each axis: of ``tczyx``, of which t and c have length 1.
    dtype
        Of the voxels as they are returned.
    """

    path: str
    axes: str
    dtype: str

    @cached_property
    def _array(self) -> Any:
        one_thread()
        return zarr.open_array(self.path, mode="r")

    def read(self, box: Box) -> Array:
        """Return the voxels of a box.

        Returns
        -------
        ndarray
            (z, y, x), C-contiguous.

        Raises
        ------
        InputError
            A chunk cannot be unpacked.
        """
        z, y, x = box.slices()
        wanted: dict[str, Any] = {"z": z, "y": y, "x": x}
        place = f"voxels from {', '.join(map(str, box.lo))}"
        with unpacking(self.path, place):
            values = self._array[tuple(wanted.get(axis, 0) for axis in self.axes)]
        left = [axis for axis in self.axes if axis in wanted]
        values = np.transpose(values, sorted(range(len(left)), key=lambda k: "zyx".index(left[k])))
        if values.size != box.size:
            raise damaged(self.path, place)
        return np.ascontiguousarray(values.reshape(box.shape), self.dtype)


class OmeZarr:
    """Level 0 of the first multiscale image of an OME-Zarr, or a plain array of 2 or 3 axes.

    Attributes
    ----------
    header
        What its metadata tell.
    voxels
        The array.
    chunk
        Shape of the pieces that are unpacked as a whole.

    Raises
    ------
    InputError
        With all that its metadata show to be wrong.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        with unpacking(file):
            found = self._find()
        facts, place, axes, sizes, units = found
        problems = list(facts.problems)
        bad = dtype_problem(file, facts.dtype)
        problems += [bad] if bad else []
        lengths = dict(zip(axes, facts.shape, strict=True))
        long = {axis: lengths[axis] for axis in "tc" if lengths.get(axis, 1) > 1}
        names = {"t": "time points", "c": "channels"}
        for axis, count in long.items():
            problems.append(Problem(file, "", f"has {count} {names[axis]}", _ONE))
        if not all(facts.shape):
            what = f"is empty: it has a shape of {' x '.join(map(str, facts.shape))}"
            problems.append(Problem(file, "", what, "name an image that has voxels"))
        if problems:
            raise InputError(problems)
        size, unit = in_one_unit([sizes.get(axis, 1.0) for axis in "zyx"],
                                 [units.get(axis, units["x"]) for axis in "zyx"])  # fmt: skip
        shape = (lengths.get("z", 1), lengths["y"], lengths["x"])
        dtype = WIDER.get(facts.dtype, facts.dtype)
        ndim = 3 if "z" in lengths else 2
        if ndim == 2:
            size = (1.0, size[1], size[2])
        self.header = Header(shape, ndim, dtype, size, unit, "ome-zarr")
        self.voxels = ZarrVoxels(str(place), axes, dtype)
        by_axis = dict(zip(axes, facts.chunk, strict=True))
        self.chunk: Index = (by_axis.get("z", 1), by_axis["y"], by_axis["x"])
        self._bytes = math.prod(facts.chunk) * itemsize(facts.dtype)

    def needs(self) -> int:
        """Return bytes of a chunk."""
        return self._bytes

    def _refuse(self, what: str, remedy: str = _REWRITE) -> InputError:
        return InputError(Problem(self.file, "", what, remedy))

    def _find(self) -> tuple[ArrayFacts, Path, str, dict[str, float], dict[str, str]]:
        """Return level 0: its metadata, folder, axes, and sizes and units by axis."""
        root = Path(self.file)
        notes = attributes(self.file, root)
        facts = read_array(self.file, root)
        if facts:
            if len(facts.shape) not in (2, 3):
                what = f"is an array of {len(facts.shape)} axes that are not named"
                raise self._refuse(what, "write it as OME-Zarr, which names them, or in 2-D or 3-D")
            axes = "zyx"[-len(facts.shape) :]
            return facts, root, axes, dict(zip("zyx", ISOTROPIC, strict=True)), {"x": ""}
        held = notes.get("ome")
        held = held if isinstance(held, dict) else notes
        images = held.get("multiscales")
        if not (isinstance(images, list) and images and isinstance(images[0], dict)):
            if "bioformats2raw.layout" in held:
                raise self._refuse("is a collection of images", f"name one of them: {root / '0'}")
            if "plate" in held or "well" in held:
                raise self._refuse("is a plate or well", "name one of its fields")
            raise self._refuse("names no image (multiscales)", "name the group of an image")
        image = images[0]
        axes, units = self._axes(image.get("axes"))
        levels = image.get("datasets")
        if not (isinstance(levels, list) and levels and isinstance(levels[0], dict)):
            raise self._refuse("names no level of resolution (datasets)")
        place = self._inside(root, levels[0].get("path"))
        facts = read_array(self.file, place)
        if facts is None:
            raise self._refuse(f"has no array {levels[0]['path']}", "copy it again, complete")
        if len(facts.shape) != len(axes):
            raise self._refuse(f"names {len(axes)} axes of an array that has {len(facts.shape)}")
        scale = [1.0] * len(axes)
        for each in (levels[0], image):
            scale = [a * b for a, b in zip(scale, self._scale(each, len(axes)), strict=True)]
        return facts, place, axes, dict(zip(axes, scale, strict=True)), units

    def _axes(self, named: Any) -> tuple[str, dict[str, str]]:
        if not isinstance(named, list) or not all(isinstance(axis, dict) for axis in named):
            raise self._refuse("does not name its axes as OME-Zarr 0.4 and 0.5 do")
        axes = [str(axis.get("name")).casefold() for axis in named]
        if len(set(axes)) < len(axes) or not {"y", "x"} <= set(axes) <= set("tczyx"):
            shown = ", ".join(axes).encode("ascii", "replace").decode()[:60]
            raise self._refuse(f"has axes {shown}, where some of t, c, z, y, x are expected")
        units = {name: unit_of(axis.get("unit")) for name, axis in zip(axes, named, strict=True)}
        return "".join(axes), units

    def _inside(self, root: Path, path: Any) -> Path:
        """Return the folder of a level, which has to lie in the image's own."""
        parts = PurePosixPath(path).parts if isinstance(path, str) and path else ("..",)
        place = root.joinpath(*parts)
        outside = ".." in parts or PurePosixPath(*parts).is_absolute() or "\0" in str(path)
        if outside or not place.resolve().is_relative_to(root.resolve()):
            what = "names a level of resolution that does not lie in it"
            raise self._refuse(what)
        return place

    def _scale(self, held: dict[str, Any], count: int) -> list[float]:
        listed = held.get("coordinateTransformations")
        for each in listed if isinstance(listed, list) else []:
            if isinstance(each, dict) and each.get("type") == "scale":
                scale = each.get("scale")
                if (
                    isinstance(scale, list)
                    and len(scale) == count
                    and all(_is_size(value) for value in scale)
                ):
                    return [float(value) for value in scale]
                raise self._refuse(f"has a scale that is not {count} positive numbers")
        return [1.0] * count


def _is_size(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < value < math.inf


def one_thread() -> None:
    """Let Zarr work in one thread of its own; settled when a process first reads or writes."""
    zarr.config.set({"threading.max_workers": 1, "async.concurrency": 1})
