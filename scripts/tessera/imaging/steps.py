"""What the jobs of an image do, from files to files."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import BloscCodec

from tessera.errors import InputError, Problem
from tessera.imaging.boxes import Box, Index, Tiling
from tessera.imaging.filters import filtered
from tessera.imaging.grid import Point, as_point, seeds
from tessera.imaging.histograms import threshold
from tessera.imaging.merge import Merged, merge
from tessera.imaging.pieces import unit_of
from tessera.imaging.segment import Progress, Rule, Work, label, load_pieces
from tessera.imaging.volume import Volume

Values = Mapping[str, Any]


def box_from(content: Mapping[str, Sequence[int]]) -> Box:
    """Return the box that JSON tells of."""
    (a, b, c), (d, e, f) = content["lo"], content["hi"]
    return Box((a, b, c), (d, e, f))


def tiling_from(content: Mapping[str, Any]) -> Tiling:
    """Return the tiling that JSON tells of."""
    return Tiling(box_from(content["box"]), content["edge"])


def open_work(folder: str, tiling: Mapping[str, Any], tiles: Sequence[int] | None = None) -> Work:
    """Open a converted image for work on its tiles.

    Parameters
    ----------
    folder
        As `tessera.imaging.volume.convert` wrote it.
    tiling
        As from `tessera.imaging.plan.Plan.tiling`.
    tiles
        First tile and the one after the last; None for all.
    """
    cut = tiling_from(tiling)
    return Work(Volume(folder), cut, range(*tiles) if tiles else range(len(cut)))


def check_slice(volume_shape: Index, path: str, chosen: Mapping[str, Any] | None) -> None:
    """Refuse an image that has not the plane of the setting ``slice``.

    Raises
    ------
    InputError
        If it has not.
    """
    if chosen is None:
        return
    many = volume_shape["zyx".index(chosen["axis"])]
    if chosen["index"] >= many:
        what = f"has {many} planes along {chosen['axis']}, so none of index {chosen['index']}"
        remedy = "choose another plane in imaging.slice, or leave the image out"
        raise InputError(Problem(path, "", what, remedy))


def thresholds(
    volume: Volume, path: str, grid: Mapping[str, Any], found: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Work out the threshold of every point of the grid, and the unit of intensities.

    Parameters
    ----------
    volume
        The image.
    path
        Its file, for messages.
    grid
        Points by name, as `tessera.imaging.grid.Point.as_dict` has them.
    found
        Filter to the histograms of all parts, files of `imaging_histogram`.

    Returns
    -------
    dict
        ``unit``; ``values``: point to what voxels must be above, None for hysteresis; ``limits``:
        point to its ``value``, and for hysteresis the ``low`` one as well, else None.

    Raises
    ------
    InputError
        If the image is constant, so that its thresholds are not defined. If it is so after some of
        the filters only, there are no objects at their points.
    """
    known: dict[tuple[str, str], float] = {}
    undefined: dict[str, InputError] = {}
    for name, files in found.items():
        parts = [np.load(file, allow_pickle=False) for file in files]
        dtype = np.dtype(str(parts[0]["dtype"]))
        low, high = (float(end) for end in parts[0]["extent"])
        place = (path, "" if name == "none" else f" after the filter {name}")
        for kind in (key for key in parts[0] if key in ("otsu", "li")):
            counts = np.sum([part[kind] for part in parts], axis=0)
            try:
                known[name, kind] = threshold(counts, kind, dtype, low, high, place)
            except InputError as error:
                undefined[name] = error
                known[name, kind] = math.inf
    if undefined and len(undefined) == len(found):
        raise next(iter(undefined.values()))
    for fault in undefined.values():
        print(f"{fault} The points with it have no objects.")
    values: dict[str, float | None] = {}
    limits: dict[str, dict[str, float | None]] = {}
    for name, content in grid.items():
        point = as_point(content)
        kind = point.threshold.kind
        if kind == "hysteresis":
            values[name] = None
            limits[name] = {"low": point.threshold["low"], "value": point.threshold["high"]}
            continue
        if kind == "fixed":
            values[name] = point.threshold["value"]
        else:
            values[name] = known[point.filter.name, kind]
        value = values[name]
        defined = value is not None and math.isfinite(value)
        limits[name] = {"low": None, "value": value if defined else None}
    unit = unit_of(np.dtype(volume.dtype), volume.greatest)
    return {"unit": unit, "values": values, "limits": limits}


def rules(
    grid: Mapping[str, Any], values: Values, masks: str | None, settings: Mapping[str, Any]
) -> dict[str, Rule]:
    """Return what to do at each point.

    Parameters
    ----------
    grid
        Points by name.
    values
        As from `thresholds`.
    masks
        Folder of the masks of hysteresis thresholds (`grow`), if there are any.
    settings
        ``polarity`` and ``connectivity`` (6, 18 or 26).
    """
    found = {}
    for name, content in grid.items():
        point = as_point(content)
        value = values["values"][name]
        mask = None if value is not None else _Mask(Path(str(masks), mask_name(point)))
        dark = settings["polarity"] == "dark"
        if value == math.inf and dark:  # not defined: there are no objects of either polarity
            value = -math.inf
        found[name] = Rule(point, value, mask, dark, settings["connectivity"])
    return found


def seed_rules(grid: Mapping[str, Any]) -> dict[str, Rule]:
    """Return what finds the objects that hysteresis thresholds choose from, by name of the mask."""
    found = {}
    for content in grid.values():
        point = as_point(content)
        if point.threshold.kind == "hysteresis":
            low = point.threshold["low"]
            found[mask_name(point)] = Rule(seeds(point), low, None, False, 6)
    return found


def mask_name(point: Point) -> str:
    """Return the name of the mask of a point with a hysteresis threshold."""
    return point.threshold.name


def high_of(grid: Mapping[str, Any]) -> dict[str, float]:
    """Return the upper threshold of each mask."""
    every = [as_point(content) for content in grid.values()]
    return {
        mask_name(point): point.threshold["high"]
        for point in every
        if point.threshold.kind == "hysteresis"
    }


def merged(
    folders: Iterable[str], counts: Sequence[int], name: str, tiling: Tiling, connectivity: int
) -> Merged:
    """Put the pieces of all parts together.

    Parameters
    ----------
    folders
        Of the parts, in order, as `tessera.imaging.segment.segment` wrote them.
    counts
        Tiles of each part.
    name
        Point, or mask.
    """
    paths = [Path(folder, f"{name}.pieces") for folder in folders]
    return merge(load_pieces(paths, counts), tiling, connectivity)


def grow(
    work: Work,
    grid: Mapping[str, Any],
    folders: Sequence[str],
    counts: Sequence[int],
    folder: Path,
    progress: Progress,
) -> None:
    """Write the masks of hysteresis thresholds.

    Parameters
    ----------
    work
        The image, all of its tiles.
    grid
        Points by name, all of one filter.
    folders, counts
        As for `merged`: the pieces of `seed_rules`, measured after the filter.
    folder
        Where each mask is written, under its name.
    """
    high = high_of(grid)
    z, y, x = work.tiling.box.lo
    voxel = Box((z, y, x), (z + 1, y + 1, x + 1))
    for name, rule in seed_rules(grid).items():
        found = merged(folders, counts, name, work.tiling, rule.connectivity)
        dtype = filtered(work.source, rule.point.filter, voxel).dtype
        # In the type of the values, as the lower threshold is: 0.1 is above it in single precision.
        above = found.objects["high"].astype(dtype) > high[name]
        kept = found.objects["first"][above]
        file = LabelFile(folder / name, work.tiling, "uint8")
        label(work, rule, Labels(found.parts, kept), file.write, progress)


class Labels:
    """From `first` of pieces to the label of the object that they are of.

    Parameters
    ----------
    parts
        (P, 2) int64: `first` of a piece and of its object, of pieces that touch a cut.
    first
        (N,) int64, ascending: `first` of the object of each label, from 1.
    """

    def __init__(self, parts: npt.NDArray[np.int64], first: npt.NDArray[np.int64]) -> None:
        self._parts, self._first = parts, first

    def __call__(self, first: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return labels, 0 for what is no object."""
        of = first
        if len(self._parts):
            place = np.minimum(np.searchsorted(self._parts[:, 0], first), len(self._parts) - 1)
            known = self._parts[place, 0] == first
            of = np.where(known, self._parts[place, 1], first)
        if not len(self._first):
            return np.zeros(len(first), np.int64)
        place = np.minimum(np.searchsorted(self._first, of), len(self._first) - 1)
        return np.where(self._first[place] == of, place + 1, 0)


class LabelFile:
    """A volume of labels, or a mask, written tile by tile.

    Parameters
    ----------
    path
        The zarr array to make.
    tiling
        Its box is what the array holds; a tile is a chunk.
    dtype
        ``uint32`` for labels, ``uint8`` for a mask.
    """

    def __init__(self, path: Path, tiling: Tiling, dtype: str) -> None:
        box = tiling.box
        edge = [min(tiling.edge, n) for n in box.shape]
        self._origin = box.lo
        self._array = zarr.create_array(
            path, shape=box.shape, chunks=(edge[0], edge[1], edge[2]), dtype=dtype, fill_value=0,
            compressors=BloscCodec(cname="zstd", clevel=1, typesize=int(dtype[4:]) // 8),
            zarr_format=3, attributes={"origin": list(box.lo)},
        )  # fmt: skip

    def write(self, tile: Box, values: np.ndarray) -> None:
        """Write a tile."""
        if values.any():
            known = values if self._array.dtype == values.dtype else values > 0
            self._array[tile.slices(self._origin)] = known


class _Mask:
    """A mask as a source of voxels."""

    def __init__(self, path: Path) -> None:
        self._array = zarr.open_array(path, mode="r")
        origin = np.asarray(self._array.attrs["origin"], int).tolist()
        self._origin = (origin[0], origin[1], origin[2])
        shape = [a + n for a, n in zip(origin, self._array.shape, strict=True)]
        self.shape = (shape[0], shape[1], shape[2])
        self.ndim = 3

    def read(self, box: Box) -> np.ndarray:
        """Return the voxels of a box."""
        return np.asarray(self._array[box.slices(self._origin)])


def write_json(path: Path, content: Any) -> None:
    """Write what JSON can hold, the same bytes each time."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


def read_json(path: str | Path) -> Any:
    """Read JSON."""
    return json.loads(Path(path).read_text("utf-8"))


def facts_of(volume: Volume) -> dict[str, Any]:
    """Return what tables tell of an image."""
    return asdict(volume.header)


def in_order(names: Iterable[str], files: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield names with their share of files, which are listed name by name."""
    listed = list(names)
    share = len(files) // len(listed) if listed else 0
    for k, name in enumerate(listed):
        yield name, list(files[k * share : (k + 1) * share])


def labels_of(merged: str | Path, tables: str | Path, name: str) -> Labels:
    """Return the labels of a point.

    Parameters
    ----------
    merged
        Folder of the objects of its filter.
    tables
        Folder of the tables of the image.
    name
        The point.
    """
    parts = np.load(Path(merged, f"{name}.parts.npy"), allow_pickle=False)
    return Labels(parts, np.load(Path(tables, f"{name}.first.npy"), allow_pickle=False))
