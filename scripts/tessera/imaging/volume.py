"""Images as arrays that are read box by box: converted from any kind, within bounds of memory."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, BloscShuffle

from tessera.errors import InputError, Problem
from tessera.imaging.boxes import Box, Index, whole
from tessera.imaging.ome_zarr import OmeZarr, ZarrVoxels, one_thread
from tessera.imaging.planes import Array, Header, Planes, itemsize
from tessera.imaging.sources import check, look, open_image

__all__ = ["Header", "Volume", "check", "convert", "look"]

FACTS, VOXELS = "volume.json", "voxels.zarr"

Slabs = Callable[[list[Box], str], Iterable[Box]]

_CHUNKS: dict[int, tuple[int, int]] = {
    64: (64, 64), 32: (64, 128), 16: (128, 128), 8: (128, 256), 4: (256, 256), 2: (256, 512),
    1: (512, 512),
}  # fmt: skip
"""Planes of a chunk to its rows and columns: of as many voxels, as near a cube as it can be."""

_SHARD = 512  # rows and columns of a shard of a volume, at least
_FLAT = 2048  # those of a shard of a plane
_COPIES = 3  # of a plane while it is read
_ALIVE = _COPIES + 1
_OURS = 250 << 20  # bytes that Python and its libraries take


def convert(
    path: str | Path,
    folder: Path,
    *,
    box: Box | None = None,
    memory_mb: int = 1100,
    progress: Slabs = lambda slabs, _: slabs,
) -> None:
    """Write an image as an array that is read box by box.

    Of an OME-Zarr nothing is copied: it is read through, and where it lies is noted, as a path from
    the working directory.

    Parameters
    ----------
    path
        The image, as for `look`.
    folder
        Where ``volume.json`` and ``voxels.zarr`` are written; made if it is not there.
    box
        What is converted of it; None for all.
    memory_mb
        Memory that may be taken. It changes how the array is cut into chunks, not what it holds.
    progress
        Passes slabs of planes on, for a bar of progress.

    Raises
    ------
    InputError
        The image cannot be read, does not fit into the memory, does not reach as far as `box`, or
        has values that are not finite.
    """
    image = open_image(path)
    header = image.header
    full = whole(header.shape)
    box = box or full
    if box != box.grown((0, 0, 0), full) or min(box.shape) < 1:
        shape = " x ".join(map(str, header.shape))
        what = f"has {shape} voxels, which do not hold {list(box.lo)} to {list(box.hi)}"
        raise InputError(Problem(str(path), "", what, "name a part that lies in the image"))
    spare = max((memory_mb << 20) - _OURS, 4 << 20)
    row = header.shape[2] * itemsize(header.dtype)
    piece = image.needs() if isinstance(image, OmeZarr) else max(image.needs(), row * _ALIVE)
    if piece > spare // 2:
        what = f"has pieces of {piece >> 20:,} MiB that are unpacked as a whole"
        remedy = "save it in smaller strips, tiles or chunks, or allow more memory"
        raise InputError(Problem(str(path), "", what, remedy))
    folder.mkdir(parents=True, exist_ok=True)
    facts: dict[str, Any] = asdict(header) | {"box": asdict(box)}
    finite = _Finite(str(path), header.dtype)
    most = (spare - image.needs()) * 2 // 3  # the rest is for shards on their way
    one_thread()
    if isinstance(image, OmeZarr):
        voxels = image.voxels
        for slab in progress(list(_blocks(box, image.chunk, most // itemsize(header.dtype))),
                             "blocks"):  # fmt: skip
            finite.look(voxels.read(slab), slab)
        facts["array"] = {"path": os.path.relpath(voxels.path), "axes": voxels.axes}
    else:
        _copy(image, box, folder / VOXELS, most, finite, progress)
        facts["array"] = {"path": VOXELS, "axes": "zyx"}
    finite.tell()
    facts["greatest"] = finite.greatest
    (folder / FACTS).write_text(json.dumps(facts, ensure_ascii=False) + "\n", "utf-8")


def _copy(
    image: Planes, box: Box, target: Path, most: int, finite: _Finite, progress: Slabs
) -> None:
    """Write the planes of a box, a slab at a time, each of whole shards."""
    dtype = image.header.dtype
    row = image.header.shape[2] * itemsize(dtype)
    depth, rows, chunk, shard = _layout(box.shape, row, most)
    array = zarr.create_array(
        target, shape=box.shape, chunks=chunk, shards=shard, dtype=dtype, fill_value=0,
        compressors=BloscCodec(cname="lz4", clevel=1, shuffle=BloscShuffle.shuffle,
                               typesize=itemsize(dtype)),
        zarr_format=3, overwrite=True,
    )  # fmt: skip
    across = whole(box.shape)
    slabs = list(_blocks(across, (depth, rows, box.shape[2]), 0))
    buffer = np.empty((depth, rows, box.shape[2]), dtype)
    (z0, y0, x0), (_, _, x1) = box.lo, box.hi
    for slab in progress(slabs, "slabs"):
        (first, top, _), (last, bottom, _) = slab.lo, slab.hi
        values = buffer[: last - first, : bottom - top]
        for k, z in enumerate(range(first, last)):
            values[k] = image.rows(z0 + z, y0 + top, y0 + bottom)[:, x0:x1]
        finite.look(values, Box((z0 + first, y0 + top, x0), (z0 + last, y0 + bottom, x1)))
        if not finite.count:
            array[slab.slices()] = values
    image.close()


def _layout(shape: Index, row: int, most: int) -> tuple[int, int, Index, Index]:
    """Return planes and rows of a slab, and the shapes of chunks and shards."""
    depth = next(
        (d for d in _CHUNKS if d // 2 < shape[0] and (d + _COPIES) * shape[1] * row <= most), 1
    )  # of whole planes, as many as there is room for, up to a chunk
    tall, wide = _CHUNKS[depth]
    reach = _FLAT if depth == 1 else _SHARD
    high = reach
    while depth == 1 and high > 1 and high * row * _ALIVE > most:
        high //= 2
    depth = min(depth, shape[0])
    chunk = (depth, min(tall, high, shape[1]), min(wide, shape[2]))
    shard = tuple(
        c * -(-min(r, n) // c) for c, r, n in zip(chunk[1:], (high, reach), shape[1:], strict=True)
    )
    rows = max(most // (_ALIVE * row) // shard[0], 1) * shard[0]
    return depth, min(rows, shape[1]), chunk, (depth, shard[0], shard[1])


def _blocks(box: Box, step: Index, most: int) -> Iterator[Box]:
    """Cut a box into blocks at multiples of a step, some of them joined along x up to a size."""
    z, y, x = step
    x *= max(1, most // max(z * y * x, 1))
    step = (z, y, x)
    starts = [range(lo - lo % n, hi, n) for lo, hi, n in zip(box.lo, box.hi, step, strict=True)]
    for a in starts[0]:
        for b in starts[1]:
            for c in starts[2]:
                yield Box((a, b, c), (a + z, b + y, c + x)).grown((0, 0, 0), box)


class _Finite:
    """Counts values that are not finite."""

    def __init__(self, file: str, dtype: str) -> None:
        self.file, self.needed = file, dtype.startswith("float")
        self.count, self.first, self.value = 0, (0, 0, 0), ""
        self.greatest = 0.0

    def look(self, values: Array, box: Box) -> None:
        """Look through the values of a box."""
        if not self.needed:
            return
        for k, plane in enumerate(values):
            bad = ~np.isfinite(plane)
            many = int(np.count_nonzero(bad))
            if not many:
                self.greatest = max(self.greatest, float(plane.max()), -float(plane.min()))
            else:
                y, x = np.unravel_index(int(np.argmax(bad)), bad.shape)
                place = (box.lo[0] + k, box.lo[1] + int(y), box.lo[2] + int(x))
                if not self.count or place < self.first:
                    self.first, self.value = place, str(plane[y, x])
                self.count += many

    def tell(self) -> None:
        """Raise an error if there were any."""
        if self.count:
            z, y, x = self.first
            what = f"is {self.value}, the first of {self.count:,} values that are not finite"
            what = what if self.count > 1 else f"is {self.value}"
            remedy = "replace what is not finite by numbers, 0 for instance"
            raise InputError(Problem(self.file, f"voxel z {z}, y {y}, x {x}", what, remedy))


class Volume:
    """A converted image.

    Parameters
    ----------
    folder
        As `convert` wrote it.

    Attributes
    ----------
    header
        What the image's header told, for the whole image.
    shape, ndim, dtype, voxel_size, unit
        Those of the header.
    box
        What is there of it.
    greatest
        The largest magnitude of a float image, in the part that is there; 0 for integers.
    """

    def __init__(self, folder: str | Path) -> None:
        facts = json.loads((Path(folder) / FACTS).read_text("utf-8"))
        held, array = facts.pop("box"), facts.pop("array")
        self.greatest: float = facts.pop("greatest")
        self.box = Box(_three(held["lo"]), _three(held["hi"]))
        self.header = Header(
            **facts | {key: tuple(facts[key]) for key in ("shape", "voxel_size")},
        )
        self.shape, self.ndim = self.header.shape, self.header.ndim
        self.dtype = self.header.dtype
        self.voxel_size, self.unit = self.header.voxel_size, self.header.unit
        self._copied = array["path"] == VOXELS
        path = str(Path(folder) / VOXELS) if self._copied else array["path"]
        self._voxels = ZarrVoxels(path, array["axes"], self.header.dtype)

    def read(self, box: Box) -> Array:
        """Return the voxels of a box; coordinates are those of the whole image.

        Returns
        -------
        ndarray
            (z, y, x), C-contiguous.

        Raises
        ------
        ValueError
            Some of the box is not there.
        InputError
            A chunk is damaged.
        """
        if box != box.grown((0, 0, 0), self.box) or min(box.shape) < 0:
            raise ValueError(f"{box} does not lie in {self.box}")
        if not self._copied:
            return self._voxels.read(box)
        z, y, x = self.box.lo
        lo = (box.lo[0] - z, box.lo[1] - y, box.lo[2] - x)
        hi = (box.hi[0] - z, box.hi[1] - y, box.hi[2] - x)
        return self._voxels.read(Box(lo, hi))


def _three(values: list[int]) -> Index:
    z, y, x = values
    return z, y, x
