"""Images of known objects, made slab by slab: the same voxels however many are made at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from tessera.imaging.boxes import Index
from tessera.imaging.planes import Array

Mask = npt.NDArray[np.bool_]

COLUMNS = ("label", "n_voxels", "centroid_z", "centroid_y", "centroid_x",
           "bbox_z0", "bbox_y0", "bbox_x0", "bbox_z1", "bbox_y1", "bbox_x1")  # fmt: skip
"""Columns of a truth, which are those of the objects that the pipeline finds."""

_TRIES = 200  # places that are tried for a ball


def random(seed: int, *stream: int) -> np.random.Generator:
    """Return a generator of its own for each stream of a seed."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *stream])))


@dataclass(frozen=True)
class Balls:
    """Bright balls that do not touch, on noise; discs where there is one plane.

    Attributes
    ----------
    shape
        Of the image.
    centres
        (n, 3), voxel indices.
    radii
        (n,), in voxels: those no farther than that from the centre belong to the ball.
    seed
        Of the noise.
    dtype
        ``uint8`` or ``uint16``.
    background, signal, noise
        Mean of the background, what a ball adds to it, and the standard deviation in both, as
        fractions of the largest value of `dtype`.
    """

    shape: Index
    centres: Array
    radii: Array
    seed: int
    dtype: str = "uint8"
    background: float = 0.2
    signal: float = 0.5
    noise: float = 0.02

    def mask(self, start: int, stop: int) -> Mask:
        """Return where balls are in planes `start` up to, not including, `stop`."""
        mask = np.zeros((stop - start, *self.shape[1:]), bool)
        for lo, ball in self._balls():
            first, last = max(lo[0], start), min(lo[0] + len(ball), stop)
            if first < last:
                planes = mask[first - start : last - start]
                height, width = ball.shape[1:]
                part = planes[:, lo[1] : lo[1] + height, lo[2] : lo[2] + width]
                part |= ball[first - lo[0] : last - lo[0]]
        return mask

    def voxels(self, start: int = 0, stop: int | None = None) -> Array:
        """Return planes `start` up to, not including, `stop`."""
        stop = self.shape[0] if stop is None else stop
        top = np.iinfo(self.dtype).max
        mask, out = self.mask(start, stop), np.empty((stop - start, *self.shape[1:]), self.dtype)
        for z in range(start, stop):
            values = random(self.seed, 1, z).standard_normal(self.shape[1:], np.float32)
            values = values * self.noise + self.background + self.signal * mask[z - start]
            out[z - start] = np.clip(np.rint(values * top), 0, top)
        return out

    def truth(self) -> pd.DataFrame:
        """Return what the balls are, as `COLUMNS`, in the order of their first voxels."""
        rows = [described(np.argwhere(ball) + lo) for lo, ball in self._balls()]
        return as_truth(rows)

    def _balls(self) -> Iterator[tuple[Index, Mask]]:
        for centre, radius in zip(self.centres, self.radii, strict=True):
            reach = [0 if n == 1 else math.ceil(radius) for n in self.shape]
            lo = [max(math.floor(c) - r, 0) for c, r in zip(centre, reach, strict=True)]
            hi = [
                min(math.ceil(c) + r + 1, n)
                for c, r, n in zip(centre, reach, self.shape, strict=True)
            ]
            axes = np.ogrid[lo[0] : hi[0], lo[1] : hi[1], lo[2] : hi[2]]
            square = sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True))
            yield (lo[0], lo[1], lo[2]), square <= radius**2


def scatter(
    shape: Index, count: int, radii: tuple[float, float], seed: int, dtype: str = "uint8"
) -> Balls:
    """Scatter balls that lie within an image and do not touch.

    Parameters
    ----------
    shape
        Of the image; one plane makes discs.
    count
        How many.
    radii
        Least and greatest radius.
    seed
        Of places, radii and noise.
    dtype
        ``uint8`` or ``uint16``.

    Raises
    ------
    ValueError
        There is no room for as many.
    """
    rng = random(seed, 0)
    centres, sizes = np.empty((0, 3)), np.empty(0)
    flat = np.array([n == 1 for n in shape])
    for _ in range(count):
        radius = rng.uniform(*radii)
        low = np.where(flat, 0.0, radius)
        high = np.maximum(np.array(shape) - 1 - low, low)
        for _ in range(_TRIES):
            centre = rng.uniform(low, high)
            # Two voxels between any two: they touch under no connectivity.
            apart = np.sqrt(((centres - centre) ** 2).sum(axis=1)) > sizes + radius + 2
            if apart.all():
                break
        else:
            raise ValueError(f"no room for {count} balls of radius {radii} in {shape}")
        centres, sizes = np.vstack([centres, centre]), np.append(sizes, radius)
    return Balls(shape, centres, sizes, seed, dtype)


def serpentine(shape: Index, start: int = 0, stop: int | None = None) -> Mask:
    """Return planes of one object, one voxel thick, that winds through all of an image.

    It goes along every other row of every other plane, so it is one object under any connectivity,
    and in every box of two voxels and more along each axis there is some of it.
    """
    depth, height, width = shape
    stop = depth if stop is None else stop
    mask = np.zeros((stop - start, height, width), bool)
    last = (height - 1) // 2
    ends = ((0, 0), (2 * last, 0 if last % 2 else width - 1))
    for z in range(start, stop):
        plane = mask[z - start]
        if z % 2:  # from one plane up to the next, if there is one
            if z + 1 < depth:
                plane[ends[1] if z // 2 % 2 == 0 else ends[0]] = True
            continue
        plane[::2] = True
        for y in range(1, 2 * last, 2):
            plane[y, 0 if y // 2 % 2 else width - 1] = True
    return mask


def chains(shape: Index, step: Index = (1, 1, 1), spacing: int = 4) -> tuple[Mask, pd.DataFrame]:
    """Return chains of voxels that touch at corners or edges only, and their truth.

    Parameters
    ----------
    shape
        Of the image.
    step
        From a voxel to the next, of 0 and 1: with (1, 1, 1) a chain is one object under 26
        neighbours, with two ones also under 18; under 6 every voxel is one of its own.
    spacing
        Between chains, 3 at least.

    Returns
    -------
    mask : ndarray
        Of all chains.
    truth : DataFrame
        Of each chain as one object.
    """
    if spacing < 3 or not set(step) <= {0, 1} or not any(step):
        raise ValueError(f"no chains have a step of {step} and a spacing of {spacing}")
    axes = np.indices(shape, np.int32)
    along = axes[step.index(1)]
    residues = [axis - along * s for axis, s in zip(axes, step, strict=True)]
    mask = np.all([residue % spacing == 0 for residue in residues], axis=0)
    places = np.argwhere(mask)
    owner = np.stack([residue[mask] for residue in residues], axis=1)
    _, number = np.unique(owner, axis=0, return_inverse=True)
    number = number.reshape(-1)
    order = np.argsort(number, kind="stable")
    parts = np.split(places[order], np.flatnonzero(np.diff(number[order])) + 1)
    return mask, as_truth([described(part) for part in parts])


def percolation(
    shape: Index, density: float, seed: int, start: int = 0, stop: int | None = None
) -> Mask:
    """Return planes in which each voxel is set at random, with a probability of `density`."""
    stop = shape[0] if stop is None else stop
    planes = [random(seed, 2, z).random(shape[1:]) < density for z in range(start, stop)]
    return np.array(planes, bool).reshape(stop - start, *shape[1:])


def described(places: Array) -> list[float]:
    """Return size, centroid and box of an object from the (n, 3) places of its voxels."""
    lo, hi = places.min(axis=0), places.max(axis=0) + 1
    return [len(places), *places.mean(axis=0).tolist(), *lo.tolist(), *hi.tolist(),
            *places[0].tolist()]  # fmt: skip


def as_truth(rows: list[list[float]]) -> pd.DataFrame:
    """Return objects as a table in the order of their first voxels."""
    rows = sorted(rows, key=lambda row: row[-3:])
    table = pd.DataFrame([[k + 1, *row[:-3]] for k, row in enumerate(rows)], columns=list(COLUMNS))
    whole = [name for name in COLUMNS if not name.startswith("centroid")]
    return table.astype(dict.fromkeys(whole, np.int64))
