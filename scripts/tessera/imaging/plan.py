"""The plan of a run: images, tiles, parts, memory and time.

All of it follows from the sheet, the configuration and the headers of images, before any voxel is
read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from tessera.errors import InputError, Problem
from tessera.headers import cached_headers
from tessera.imaging.boxes import Box, Index, Tiling, margins, whole
from tessera.imaging.grid import GLOBAL, Point, Step, as_step, margin, points
from tessera.tiles import partition

PART = 1 << 28
"""Voxels of a part: a minute of work, more or less."""
_MOST_PARTS = 2000
_EDGES = {2: range(4096, 255, -256), 3: range(256, 31, -32)}
_BASE, _AROUND, _INSIDE = 330.0, 12.0, 16.0  # MB; bytes per voxel (benchmarks/imaging/memory.py)
_RATE = 5e6  # voxels per second of one thread and point, with reserve


def header(path: str) -> dict[str, Any] | None:
    """Return what the header of an image tells, for `cached_headers`; None of a bad one."""
    from tessera.imaging.volume import look  # slow to import, and only needed if a file changed

    try:
        return asdict(look(path))
    except InputError:
        return None  # the steps of the image will tell


def read_images_of(section: Mapping[str, Any], schemas: Path) -> dict[str, Any]:
    """Read the sheet, or the folder, and what the headers of its images tell.

    Parameters
    ----------
    section
        The validated section ``imaging``.
    schemas
        The folder of the schemas.

    Returns
    -------
    dict
        ``rows``: image to its row, as mappings; ``headers``: to what `look` tells, None of a bad
        one; ``grid``: the points.

    Raises
    ------
    InputError
        If the sheet or the grid is at fault, or a tile is smaller than what a filter looks at.
    """
    from tessera.imaging.sheet import read_images

    problems: list[Problem] = []
    rows: dict[str, dict[str, Any]] = {}
    grid: list[Point] = []
    if section["images"] is None:
        remedy = "name the sheet with the columns image and path, or a folder of images"
        problems.append(Problem("config", "imaging.images", "no images are named", remedy))
    else:
        try:
            found = read_images(section["images"], schemas)
            rows = {row.image: asdict(row) for row in found}
        except InputError as error:
            problems += error.problems
    try:
        grid = points(section)
        problems += _too_small(section["tile"], grid)
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError(problems)
    known = cached_headers([row["path"] for row in rows.values()], header)
    headers = {name: known.get(row["path"]) for name, row in rows.items()}
    return {"rows": rows, "headers": headers, "grid": grid}


def _too_small(edge: str | int, grid: list[Point]) -> list[Problem]:
    reach = margin(grid)
    if edge == "auto" or int(edge) >= reach:
        return []
    widest = max(grid, key=lambda point: margin([point]))
    what = f"is {edge}, less than the {reach} voxels around a tile that {widest.name} looks at"
    return [Problem("config", "imaging.tile", what, f"make it {reach} or more, or auto")]


def box_of(shape: Index, chosen: Mapping[str, Any] | None) -> Box:
    """Return what is analysed of an image: all, or the plane of the setting ``slice``."""
    box = whole(shape)
    if chosen is None:
        return box
    axis, index = "zyx".index(chosen["axis"]), chosen["index"]
    lo, hi = list(box.lo), list(box.hi)
    lo[axis], hi[axis] = min(index, hi[axis] - 1), min(index + 1, hi[axis])
    return Box((lo[0], lo[1], lo[2]), (hi[0], hi[1], hi[2]))


def connectivity_of(asked: int) -> int:
    """Return a connectivity of volumes: 4 and 8 are those of planes."""
    return {4: 6, 8: 26}.get(asked, asked)


class Plan:
    """What the rules ask of the plan; methods taking ``wildcards`` are input functions.

    Parameters
    ----------
    section
        The validated section ``imaging``.
    memory_mb
        Memory that one job may use, in megabytes.
    images
        Returns what `read_images_of` does; called when it is first needed.
    """

    def __init__(
        self, section: Mapping[str, Any], memory_mb: int, images: Callable[[], dict[str, Any]]
    ) -> None:
        self._section = section
        self._memory_mb = memory_mb
        self._images = images

    @cached_property
    def grid(self) -> dict[str, Point]:
        """Points by name, in the order of the grid."""
        return {point.name: point for point in self._images()["grid"]}

    @cached_property
    def filters(self) -> dict[str, Step]:
        """Filters by name, in the order of the grid."""
        return {point.filter.name: point.filter for point in self.grid.values()}

    def points_of(self, wildcards: Any) -> dict[str, Any]:
        """Return the points that have a filter, by name, as JSON can hold them."""
        return {
            name: point.as_dict()
            for name, point in self.grid.items()
            if point.filter.name == wildcards.filter
        }

    def kinds_of(self, filter_name: str) -> list[str]:
        """Return the thresholds of a filter that follow from the whole image."""
        kinds = {p.threshold.kind for p in self.grid.values() if p.filter.name == filter_name}
        return [kind for kind in GLOBAL if kind in kinds]

    def strays(self, root: Path) -> list[str]:
        """Return pictures of earlier runs that belong to no image of this one."""
        found = sorted(path.stem for path in root.glob("pictures/*.png"))
        return [name for name in found if name not in self.images()]

    def images(self, wildcards: object = None) -> list[str]:
        """Return the names of the images."""
        return list(self._images()["rows"])

    def rows(self, wildcards: object = None) -> list[dict[str, Any]]:
        """Return the rows of the sheet."""
        return list(self._images()["rows"].values())

    def row(self, wildcards: Any) -> dict[str, Any]:
        """Return the row of one image."""
        row: dict[str, Any] = self._images()["rows"][wildcards.image]
        return row

    def path(self, wildcards: Any) -> str:
        """Return the file or folder of one image."""
        return str(self.row(wildcards)["path"])

    def paths(self, wildcards: object = None) -> list[str]:
        """Return the files and folders of all images."""
        return [str(row["path"]) for row in self.rows()]

    def _known(self, image: str) -> tuple[Index, int, int]:
        """Return shape, dimensions and bytes per voxel of an image; of a bad one the least."""
        found = self._images()["headers"][image]
        if found is None:
            return (1, 1, 1), 2, 1
        z, y, x = found["shape"]
        bits = "".join(letter for letter in found["dtype"] if letter.isdigit())
        return (z, y, x), found["ndim"], int(bits) // 8

    def _edge(self, image: str) -> int:
        if self._section["tile"] != "auto":
            return int(self._section["tile"])
        _, ndim, size = self._known(image)
        reach = margin(self.grid.values())
        fits = (e for e in _EDGES[ndim] if _tile_mb(e, reach, ndim, size) <= self._memory_mb)
        return max(next(fits, _EDGES[ndim][-1]), reach)

    def _tiling(self, image: str, everything: bool = False) -> Tiling:
        shape, _, _ = self._known(image)
        box = whole(shape) if everything else box_of(shape, self._section["slice"])
        return Tiling(box, self._edge(image))

    def tiling(self, wildcards: Any) -> dict[str, Any]:
        """Return box and edge of the tiles of an image, as JSON can hold them."""
        return asdict(self._tiling(wildcards.image))

    def whole_tiling(self, wildcards: Any) -> dict[str, Any]:
        """Return those of the whole image, of which thresholds are made."""
        return asdict(self._tiling(wildcards.image, everything=True))

    def _ranges(self, image: str, everything: bool = False) -> dict[str, tuple[int, int]]:
        tiling = self._tiling(image, everything)
        count = min(_MOST_PARTS, -(-tiling.box.size // PART))
        pieces = partition(len(tiling), count)
        return {f"{k}of{len(pieces)}": piece for k, piece in enumerate(pieces, start=1)}

    def tiles(self, wildcards: Any) -> tuple[int, int]:
        """Return the range of tiles of a part."""
        return self._ranges(wildcards.image)[wildcards.part]

    def whole_tiles(self, wildcards: Any) -> tuple[int, int]:
        """Return the range of tiles of a part of the whole image."""
        return self._ranges(wildcards.image, everything=True)[wildcards.part]

    def tile_counts(self, wildcards: Any) -> list[int]:
        """Return the number of tiles of each part."""
        return [stop - start for start, stop in self._ranges(wildcards.image).values()]

    def whole_tile_counts(self, wildcards: Any) -> list[int]:
        """Return the number of tiles of each part of the whole image."""
        ranges = self._ranges(wildcards.image, everything=True)
        return [stop - start for start, stop in ranges.values()]

    def parts(self, template: str, everything: bool = False) -> Callable[..., list[str]]:
        """Return an input function: a file for each part of an image."""
        return lambda wildcards: [
            _filled(template, image=wildcards.image, filter=wildcards.filter, part=part)
            for part in self._ranges(wildcards.image, everything)
        ]

    def extents(self, template: str) -> Callable[..., list[str]]:
        """Return an input function: extents of the values, where histograms need them.

        A job that has the whole image looks for itself.
        """
        every = self.parts(template, everything=True)

        def files(wildcards: Any) -> list[str]:
            found = every(wildcards)
            return [] if self._counted(wildcards) or len(found) == 1 else found

        return files

    def _counted(self, wildcards: Any) -> bool:
        """Tell whether the values that a filter leaves have a bin each."""
        header = self._images()["headers"][wildcards.image]
        kept = self.filters[wildcards.filter].kind in ("none", "median")
        return kept and (header is None or "int" in header["dtype"])

    def counted_filters(self, wildcards: object = None) -> list[str]:
        """Return the filters whose histograms are needed."""
        return [name for name in self.filters if self.kinds_of(name)]

    def histograms(self, template: str) -> Callable[..., list[str]]:
        """Return an input function: histograms of all filters and parts that thresholds need."""
        return lambda wildcards: [
            _filled(template, image=wildcards.image, filter=name, part=part)
            for name in self.counted_filters()
            for part in self._ranges(wildcards.image, everything=True)
        ]

    def _masked(self, name: str) -> bool:
        """Tell whether a filter has a hysteresis threshold."""
        return any(
            point.threshold.kind == "hysteresis" and point.filter.name == name
            for point in self.grid.values()
        )

    def masks(self, template: str) -> Callable[..., list[str]]:
        """Return an input function: the masks of hysteresis thresholds, where there are any."""

        def files(wildcards: Any) -> list[str]:
            if hasattr(wildcards, "filter"):
                name, needed = wildcards.filter, self._masked(wildcards.filter)
            else:
                ((_, point),) = self.point(wildcards).items()
                name = as_step(point["filter"]).name
                needed = point["threshold"]["kind"] == "hysteresis"
            return [_filled(template, image=wildcards.image, filter=name)] if needed else []

        return files

    def merged(self, template: str) -> Callable[..., list[str]]:
        """Return an input function: the objects of every filter."""
        return lambda wildcards: [
            _filled(template, image=wildcards.image, filter=name) for name in self.filters
        ]

    def merged_of(self, template: str) -> Callable[..., str]:
        """Return an input function: the objects of a point's filter, or of the first point's."""

        def file(wildcards: Any) -> str:
            ((name, _),) = self.point(wildcards).items()
            kind = self.grid[name].filter.name
            return _filled(template, image=wildcards.image, filter=kind)

        return file

    def point(self, wildcards: Any) -> dict[str, Any]:
        """Return a point by name, the first where none is asked for, as JSON can hold it."""
        name = getattr(wildcards, "params", next(iter(self.grid)))
        return {name: self.grid[name].as_dict()}

    def whole_grid(self, wildcards: object = None) -> dict[str, Any]:
        """Return all points by name, as JSON can hold them."""
        return {name: point.as_dict() for name, point in self.grid.items()}

    def filter_names(self, wildcards: object = None) -> dict[str, str]:
        """Return the name of the filter of each point."""
        return {name: point.filter.name for name, point in self.grid.items()}

    def of_images(self, template: str) -> Callable[..., list[str]]:
        """Return an input function: a file for each image."""
        return lambda wildcards: [_filled(template, image=name) for name in self.images()]

    def labels(self, template: str) -> Callable[..., list[str]]:
        """Return an input function: volumes of labels of every image and point, if asked for."""
        return lambda wildcards: [
            _filled(template, image=image, params=name)
            for image in self.images()
            for name in self.grid
            if self._section["write_labels"]
        ]

    def held(self, wildcards: Any) -> dict[str, Any] | None:
        """Return what must be converted of an image: None for all."""
        chosen = self._section["slice"]
        if chosen is None or self.counted_filters() or any(map(self._masked, self.filters)):
            return None
        shape, ndim, _ = self._known(wildcards.image)
        by = margins(ndim, margin(self.grid.values()))
        return asdict(box_of(shape, chosen).grown(by, whole(shape)))

    # The formulas are in docs/imaging.md.

    def check_mb(self, wildcards: Any, attempt: int) -> int:
        """Memory of a job that reads headers or tables only."""
        return int(_BASE * attempt)

    def convert_mb(self, wildcards: Any, attempt: int) -> int:
        """Memory of converting an image: what it may take."""
        return int(self._memory_mb * attempt)

    def tile_mb(self, wildcards: Any, attempt: int) -> int:
        """Memory of working on one tile at a time."""
        _, ndim, size = self._known(wildcards.image)
        edge = self._edge(wildcards.image)
        shape = [min(edge, n) for n in self._tiling(wildcards.image).box.shape]
        reach = margin(self.grid.values())
        return int(_box_mb((shape[0], shape[1], shape[2]), reach, ndim, size) * attempt)

    def merge_mb(self, wildcards: Any, attempt: int) -> int:
        """Memory of putting objects together, and of telling of them: grows with their number."""
        return int(max(_BASE + 200, self._memory_mb) * attempt)

    def _minutes(self, image: str, attempt: int, points: int, parts: int) -> int:
        voxels = self._tiling(image).box.size
        return int((10 + voxels * points / parts / _RATE / 60) * attempt)

    def part_minutes(self, wildcards: Any, attempt: int) -> int:
        """Time of working on a part."""
        parts = len(self._ranges(wildcards.image))
        return self._minutes(wildcards.image, attempt, len(self.grid), parts)

    def image_minutes(self, wildcards: Any, attempt: int) -> int:
        """Time of going through a whole image."""
        return self._minutes(wildcards.image, attempt, 1, 1)


def _filled(template: str, **names: str) -> str:
    """Fill in the wildcards of a path; others, such as those of folders, stay."""
    for key, value in names.items():
        template = template.replace(f"{{{key}}}", value)
    return template


def _tile_mb(edge: int, reach: int, ndim: int, size: int) -> float:
    return _box_mb((edge if ndim == 3 else 1, edge, edge), reach, ndim, size)


def _box_mb(shape: Index, reach: int, ndim: int, size: int) -> float:
    """Return the memory of a tile of this shape, in MB."""
    inside = shape[0] * shape[1] * shape[2]
    wide = [n + 2 * by for n, by in zip(shape, margins(ndim, reach), strict=True)]
    around = wide[0] * wide[1] * wide[2]
    return _BASE + (around * (2 * size + _AROUND) + inside * (size + _INSIDE)) / 1e6
