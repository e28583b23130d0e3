"""What the points of the grid make of an image, side by side: counts, sizes, agreement."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.spatial import cKDTree

from tessera.imaging.objects import Grid, Objects, volumes

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

QUANTILES = (0.05, 0.25, 0.75, 0.95)
COUNTS = (
    "image", "params", "objects", "flagged", "volume_fraction", "mean", "median",
    *(f"q{100 * q:02.0f}" for q in QUANTILES),
)  # fmt: skip
"""Columns of ``counts.tsv``."""
SIZES = ("image", "params", "bin", "low", "high", "objects", "volume")
"""Columns of ``sizes.parquet``."""
AGREEMENT = ("image", "params_a", "params_b", "objects_a", "objects_b", "matches", "f1")
"""Columns of ``agreement.tsv``."""

BINS = 8
"""Bins of a decade of volumes: the same for every image and point, whatever their range."""


def counts(image: str, params: str, found: Objects, grid: Grid, border: str) -> dict[str, Any]:
    """Count and sum up the objects of an image at a point.

    Parameters
    ----------
    found
        The objects.
    grid
        The image.
    border
        With ``flag`` objects at the border are ``flagged``, and left out of statistics of sizes:
        how large they are is not known. Their number and volume counts.

    Returns
    -------
    dict
        `COUNTS`: sizes in the units of the voxel size (areas in two dimensions), not a number
        without objects; quantiles as of `numpy.quantile`.
    """
    whole, flagged = _sizes(found, grid, border)
    row: dict[str, Any] = {"image": image, "params": params, "objects": len(found.pieces)}
    row |= {"flagged": flagged}
    row["volume_fraction"] = int(found.pieces["n"].sum()) / math.prod(grid.shape)
    row["mean"] = math.fsum(whole) / len(whole) if len(whole) else math.nan
    values = np.quantile(whole, (0.5, *QUANTILES)) if len(whole) else [math.nan] * 5
    row |= zip(COUNTS[-5:], map(float, values), strict=True)
    return row


def sizes(image: str, params: str, found: Objects, grid: Grid, border: str) -> pd.DataFrame:
    """Sort the objects of an image at a point into logarithmic bins of volume.

    Returns
    -------
    DataFrame
        `SIZES`: bins that hold any object, ``low`` inclusive and ``high`` exclusive, and how many
        objects and what volume are in it. Objects that `counts` flags are left out.
    """
    whole, _ = _sizes(found, grid, border)
    bins = np.floor(BINS * np.log10(whole)).astype(np.int64)
    # The logarithm may be off by its rounding where a volume lies on an edge.
    bins += whole >= edge(bins + 1)
    bins -= whole < edge(bins)
    there, place, many = np.unique(bins, return_inverse=True, return_counts=True)
    volume = np.bincount(place, whole, len(there))
    columns = (image, params, there, edge(there), edge(there + 1), many, volume)
    return pd.DataFrame(dict(zip(SIZES, columns, strict=True)))


def edge(number: Ints) -> Floats:
    """Return the lower edges of bins."""
    return 10.0 ** (number / BINS)


def _sizes(found: Objects, grid: Grid, border: str) -> tuple[Floats, int]:
    """Return sizes of the objects that statistics are of, and how many are left out."""
    aside = found.border if border == "flag" else np.zeros(len(found.border), bool)
    return volumes(found.pieces[~aside], grid), int(aside.sum())


def boxes(found: Objects) -> Ints:
    """Return the bounding boxes of objects, (N, 2, 3): all that `agreement` needs of them."""
    return np.stack([found.pieces["lo"], found.pieces["hi"]], axis=1)


def agreement(image: str, of: Mapping[str, Ints]) -> pd.DataFrame:
    """Compare every two points of an image, object by object.

    Parameters
    ----------
    of
        Point to `boxes` of its objects, in the order of the grid.

    Returns
    -------
    DataFrame
        `AGREEMENT`: matches are those of `match`, and F1 is twice their number over that of the
        objects of both; not a number where neither point has any.
    """
    rows = []
    for (a, one), (b, other) in itertools.combinations(of.items(), 2):
        matches, all_of_them = match(one, other), len(one) + len(other)
        f1 = 2 * matches / all_of_them if all_of_them else math.nan
        rows.append((image, a, b, len(one), len(other), matches, f1))
    return pd.DataFrame(rows, columns=list(AGREEMENT))


def match(one: Ints, other: Ints) -> int:
    """Count the pairs of objects that are the same, one to one.

    Parameters
    ----------
    one, other
        (N, 2, 3) and (M, 2, 3): boxes, half-open.

    Returns
    -------
    int
        Pairs whose boxes' intersection is at least half of their union, taken from the best pair
        down (of equal ones the first in the order of labels), each object once.
    """
    a, b = _candidates(one, other)
    shared = np.minimum(one[a, 1], other[b, 1]) - np.maximum(one[a, 0], other[b, 0])
    within = np.prod(np.maximum(shared, 0), axis=1)
    union = _volume(one)[a] + _volume(other)[b] - within
    good = 2 * within >= union
    a, b, share = a[good], b[good], within[good] / union[good]
    order = np.lexsort((b, a, -share))
    return int(_greedy(a[order], b[order], len(one), len(other)))


def _volume(of: Ints) -> Ints:
    return np.prod(of[:, 1] - of[:, 0], axis=1)


def _candidates(one: Ints, other: Ints) -> tuple[Ints, Ints]:
    """Return pairs of boxes among which all are that share half of their union.

    Such boxes share at least half of the union of their spans along each axis. So their edges are
    within a factor of two, and their middles no further apart than half of either's edge: boxes
    are sought among those of similar edges, within a distance that these give.
    """
    edges = [of[:, 1] - of[:, 0] for of in (one, other)]
    octaves = [np.frexp(edge)[1] for edge in edges]
    kinds = np.unique(octaves[0], axis=0)
    found = [np.empty((2, 0), np.int64)]
    for kind in kinds:
        mine = np.flatnonzero((octaves[0] == kind).all(axis=1))
        near = np.flatnonzero((abs(octaves[1] - kind) <= 1).all(axis=1))
        if not len(near):
            continue
        # In half of the longest edge of this kind; doubled so that all of it is exact.
        scale = np.ldexp(1.0, kind)
        trees = [
            cKDTree(of[which].sum(axis=1) / scale) for of, which in ((one, mine), (other, near))
        ]
        pairs = trees[0].sparse_distance_matrix(trees[1], 1.0, p=np.inf, output_type="ndarray")
        found.append(np.stack([mine[pairs["i"]], near[pairs["j"]]]))
    a, b = np.concatenate(found, axis=1)
    return a, b


@numba.njit(cache=True, nogil=True)
def _greedy(a: Ints, b: Ints, n: int, m: int) -> int:
    """Count the pairs that are left when each takes its two objects away."""
    free_a, free_b, count = np.ones(n, np.bool_), np.ones(m, np.bool_), 0
    for k in range(len(a)):
        if free_a[a[k]] and free_b[b[k]]:
            free_a[a[k]] = free_b[b[k]] = False
            count += 1
    return count
