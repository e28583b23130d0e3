"""Boxes of voxels, and how an image is cut into tiles."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

Index = tuple[int, int, int]


@dataclass(frozen=True)
class Box:
    """Voxels from `lo` up to, not including, `hi`: z, y, x."""

    lo: Index
    hi: Index

    @property
    def shape(self) -> Index:
        """Number of voxels along each axis."""
        z, y, x = (hi - lo for lo, hi in zip(self.lo, self.hi, strict=True))
        return z, y, x

    @property
    def size(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)

    def slices(self, origin: Index = (0, 0, 0)) -> tuple[slice, slice, slice]:
        """Return what cuts this box out of an array whose first voxel is `origin`."""
        z, y, x = (
            slice(lo - o, hi - o) for lo, hi, o in zip(self.lo, self.hi, origin, strict=True)
        )
        return z, y, x

    def grown(self, by: Index, within: Box) -> Box:
        """Return this box, wider on all sides, as far as another box reaches."""
        lo = [max(a - n, w) for a, n, w in zip(self.lo, by, within.lo, strict=True)]
        hi = [min(a + n, w) for a, n, w in zip(self.hi, by, within.hi, strict=True)]
        return Box((lo[0], lo[1], lo[2]), (hi[0], hi[1], hi[2]))


def whole(shape: Index) -> Box:
    """Return the box of an image."""
    return Box((0, 0, 0), shape)


def margins(ndim: int, reach: int) -> Index:
    """Return a margin along z, y, x; a plane has none along z."""
    return (reach if ndim == 3 else 0), reach, reach


@dataclass(frozen=True)
class Tiling:
    """A box cut into tiles of one edge; those at the end of an axis may be shorter.

    Tiles are counted in raster order, and cuts do not depend on the box: they lie where the index
    of a voxel in the whole image is a multiple of the edge.
    """

    box: Box
    edge: int

    @property
    def _first(self) -> Index:
        z, y, x = (lo // self.edge for lo in self.box.lo)
        return z, y, x

    @property
    def counts(self) -> Index:
        """Number of tiles along each axis."""
        pairs = zip(self.box.hi, self._first, strict=True)
        z, y, x = (-(-hi // self.edge) - first for hi, first in pairs)
        return z, y, x

    def __len__(self) -> int:
        return math.prod(self.counts)

    def place(self, number: int) -> Index:
        """Return the place of a tile among the tiles along each axis."""
        _, y, x = self.counts
        return number // (y * x), number // x % y, number % x

    def tile(self, number: int) -> Box:
        """Return the box of a tile."""
        axes = zip(self._first, self.place(number), self.box.lo, self.box.hi, strict=True)
        edges = [
            (max((first + k) * self.edge, lo), min((first + k + 1) * self.edge, hi))
            for first, k, lo, hi in axes
        ]
        (z0, z1), (y0, y1), (x0, x1) = edges
        return Box((z0, y0, x0), (z1, y1, x1))

    def cuts(self) -> Iterator[tuple[int, int]]:
        """Yield every pair of tiles that meet at a face, an edge or a corner, the earlier first."""
        counts = self.counts
        for number in range(len(self)):
            at = self.place(number)
            for step in itertools.product((-1, 0, 1), repeat=3):
                to = [a + s for a, s in zip(at, step, strict=True)]
                if step > (0, 0, 0) and all(0 <= t < n for t, n in zip(to, counts, strict=True)):
                    yield number, (to[0] * counts[1] + to[1]) * counts[2] + to[2]
