"""Objects that lie in several tiles, put together again.

Tiles are taken in raster order. Two voxels that touch across a cut lie in two tiles that share a
face, an edge or a corner, so every such pair of tiles is looked at once, along the voxels next to
the cut. What touches no cut is an object already, and is not held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from tessera.imaging.boxes import Box, Index, Tiling
from tessera.imaging.pieces import carried, concatenated, united
from tessera.imaging.runs import Runs

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Shell:
    """The voxels of a tile next to its cuts.

    Attributes
    ----------
    place
        (S,) int32, ascending: places in the tile, in raster order.
    of
        (S,) int32: number, from 1, of the open piece that each is of.
    """

    place: npt.NDArray[np.int32]
    of: npt.NDArray[np.int32]


@dataclass(frozen=True)
class TilePieces:
    """What a tile holds: pieces that touch no cut, those that do, and where they do."""

    closed: np.ndarray
    open: np.ndarray
    shell: Shell


def split(runs: Runs, pieces: np.ndarray, tile: Box, within: Box) -> TilePieces:
    """Tell pieces that touch a cut from those that are whole.

    Parameters
    ----------
    runs
        Of the tile.
    pieces
        (objects,) of `tessera.imaging.pieces.PIECE`.
    tile, within
        The tile, and the box that was cut into tiles.
    """
    sides = [
        (lo > first, hi < last)
        for lo, hi, first, last in zip(tile.lo, tile.hi, within.lo, within.hi, strict=True)
    ]
    is_open = np.zeros(len(pieces), bool)
    for axis, (below, above) in enumerate(sides):
        is_open |= below & (pieces["lo"][:, axis] == tile.lo[axis])
        is_open |= above & (pieces["hi"][:, axis] == tile.hi[axis])
    number = np.where(is_open, np.cumsum(is_open), 0).astype(np.uint32)
    shell = _shell(runs, number, tile.shape, sides) if is_open.any() else _NOTHING
    return TilePieces(pieces[~is_open], pieces[is_open], shell)


_NOTHING = Shell(np.empty(0, np.int32), np.empty(0, np.int32))


def _shell(
    runs: Runs, number: npt.NDArray[np.uint32], shape: Index, sides: list[tuple[bool, bool]]
) -> Shell:
    cut, nothing = np.array(sides), np.empty(0, np.int32)
    arrays = (runs.row, runs.start, runs.stop, runs.of)
    many = _walk(arrays, shape, cut, number, nothing, nothing)
    place, of = np.empty(many, np.int32), np.empty(many, np.int32)
    _walk(arrays, shape, cut, number, place, of)
    return Shell(place, of)


@numba.njit(cache=True, nogil=True)
def _walk(runs, shape, cut, number, place, of):  # type: ignore[no-untyped-def]
    """Write the voxels next to a cut, or count them where there is no room to write."""
    row, start, stop, run_of = runs
    depth, height, width = shape
    count = 0
    for r in range(len(row) - 1):
        z, y = r // height, r % height
        full = (cut[0, 0] and z == 0) or (cut[0, 1] and z == depth - 1)
        full = full or (cut[1, 0] and y == 0) or (cut[1, 1] and y == height - 1)
        for k in range(row[r], row[r + 1]):
            a, b = start[k], stop[k]
            for x in range(a, b):
                if not full and not (cut[2, 0] and x == 0) and not (cut[2, 1] and x == width - 1):
                    continue
                if len(place):
                    place[count], of[count] = r * width + x, number[run_of[k]]
                count += 1
    return count


@dataclass(frozen=True)
class Merged:
    """All objects of an image.

    Attributes
    ----------
    objects
        Of `tessera.imaging.pieces.PIECE`, by `first`.
    parts
        (open pieces, 2) int64: `first` of each open piece, ascending, and that of its object.
    """

    objects: np.ndarray
    parts: Ints


def merge(tiles: Iterable[TilePieces], tiling: Tiling, connectivity: int) -> Merged:
    """Put the pieces of all tiles together.

    Parameters
    ----------
    tiles
        Of every tile, in order; taken one at a time.
    tiling
        Where they lie.
    connectivity
        6, 18 or 26, as in the tiles.
    """
    closed, parts, start = [], [], [0]
    shells: dict[int, Shell] = {}
    earlier = _earlier(tiling)
    last = dict.fromkeys(range(len(tiling)), 0)
    for number, others in earlier.items():
        for other in others:
            last[other] = number
    pairs: list[Ints] = []
    for number, tile in enumerate(tiles):
        closed.append(tile.closed)
        parts.append(tile.open)
        start.append(start[-1] + len(tile.open))
        shells[number] = tile.shell
        for other in earlier[number]:
            found = _touching(tiling, other, number, shells, connectivity)
            pairs.append(np.unique(found, axis=0) + np.array([start[other], start[number]]) - 1)
        for known in [known for known in shells if last[known] <= number]:
            del shells[known]
    parent = np.arange(start[-1])
    for each in pairs:
        _unite(parent, each)
    _flatten(parent)
    roots, of = np.unique(parent, return_inverse=True)
    pieces = concatenated(parts)
    together = united(pieces, of, len(roots))
    objects = concatenated([*closed, together])
    objects["total"] = carried(objects["total"])  # else it would tell what tiles there were
    table = np.stack([pieces["first"], together["first"][of]], axis=1)
    return Merged(
        objects[np.argsort(objects["first"])], table[np.argsort(table[:, 0])].astype(np.int64)
    )


def _earlier(tiling: Tiling) -> dict[int, list[int]]:
    """Return for each tile those before it that it meets."""
    found: dict[int, list[int]] = {number: [] for number in range(len(tiling))}
    for one, other in tiling.cuts():
        found[other].append(one)
    return found


def _touching(
    tiling: Tiling, one: int, other: int, shells: dict[int, Shell], connectivity: int
) -> Ints:
    """Return pairs of open pieces of two tiles that touch, numbered from 1."""
    boxes = tiling.tile(one), tiling.tile(other)
    steps = [b - a for a, b in zip(tiling.place(one), tiling.place(other), strict=True)]
    offsets = np.array(list(_offsets(steps, connectivity)), np.int64).reshape(-1, 3)
    near = []
    for box, back in zip(boxes, (-1, 1), strict=True):
        lo, hi = list(box.lo), list(box.hi)
        for axis, step in enumerate(steps):
            if step * back < 0:
                lo[axis] = hi[axis] - 1
            elif step * back > 0:
                hi[axis] = lo[axis] + 1
        near.append(Box((lo[0], lo[1], lo[2]), (hi[0], hi[1], hi[2])))
    planes = [
        _cut_out(shells[number], box, part)
        for number, box, part in zip((one, other), boxes, near, strict=True)
    ]
    shift = np.array(near[0].lo) - np.array(near[1].lo)
    found = np.empty((planes[0].size * max(1, len(offsets)), 2), np.int64)
    return found[: _pairs(planes[0], planes[1], offsets, shift, found)]


def _offsets(steps: list[int], connectivity: int) -> Iterator[Index]:
    """Yield the steps from a voxel to one that touches it, those that cross the cut."""
    most = {6: 1, 18: 2, 26: 3}[connectivity]
    choices = [(step,) if step else (-1, 0, 1) for step in steps]
    for z in choices[0]:
        for y in choices[1]:
            for x in choices[2]:
                if abs(z) + abs(y) + abs(x) <= most:
                    yield z, y, x


def _cut_out(shell: Shell, box: Box, part: Box) -> npt.NDArray[np.int32]:
    """Return the numbers of a part of a tile's shell as an array; 0 where there is no piece."""
    z, y, x = np.unravel_index(shell.place, box.shape)
    out = np.zeros(part.shape, np.int32)
    by = [a - b for a, b in zip(box.lo, part.lo, strict=True)]
    places = [at + step for at, step in zip((z, y, x), by, strict=True)]
    inside = np.ones(len(shell.place), bool)
    for at, n in zip(places, part.shape, strict=True):
        inside &= (at >= 0) & (at < n)
    out[tuple(at[inside] for at in places)] = shell.of[inside]
    return out


@numba.njit(cache=True, nogil=True)
def _pairs(a, b, offsets, shift, found):  # type: ignore[no-untyped-def]
    count = 0
    for z in range(a.shape[0]):
        for y in range(a.shape[1]):
            for x in range(a.shape[2]):
                if not a[z, y, x]:
                    continue
                for k in range(len(offsets)):
                    i = z + shift[0] + offsets[k, 0]
                    j = y + shift[1] + offsets[k, 1]
                    m = x + shift[2] + offsets[k, 2]
                    inside = 0 <= i < b.shape[0] and 0 <= j < b.shape[1] and 0 <= m < b.shape[2]
                    if not inside or not b[i, j, m]:
                        continue
                    p, q = a[z, y, x], b[i, j, m]
                    if count and found[count - 1, 0] == p and found[count - 1, 1] == q:
                        continue
                    found[count, 0], found[count, 1] = p, q
                    count += 1
    return count


@numba.njit(cache=True, nogil=True)
def _unite(parent, pairs):  # type: ignore[no-untyped-def]
    for k in range(len(pairs)):
        a, b = pairs[k, 0], pairs[k, 1]
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        while parent[b] != b:
            parent[b] = parent[parent[b]]
            b = parent[b]
        if a < b:
            parent[b] = a
        else:
            parent[a] = b


@numba.njit(cache=True, nogil=True)
def _flatten(parent):  # type: ignore[no-untyped-def]
    for k in range(len(parent)):
        parent[k] = parent[parent[k]]  # a parent stands before its children
