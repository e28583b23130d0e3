"""Tables of objects: what is told of each, from the exact sums of its voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tessera.errors import InputError, Problem
from tessera.imaging.pieces import LIMB, PAIRS, shifted

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

MOST = 2**32 - 1
"""Objects that labels of 32 bits can tell apart."""
SMALL, BORDER = "below min_size", "at the border"
"""Why objects are dropped."""

_BBOX = ("bbox_z0", "bbox_y0", "bbox_x0", "bbox_z1", "bbox_y1", "bbox_x1")
GROUPS: dict[str, tuple[str, ...]] = {
    "volume": ("volume",),
    "centroid": ("centroid_z", "centroid_y", "centroid_x"),
    "bbox": _BBOX,
    "intensity": ("intensity_mean", "intensity_min", "intensity_max", "intensity_sum"),
    "border": ("border",),
    "moments": ("moment_zz", "moment_zy", "moment_zx", "moment_yy", "moment_yx", "moment_xx"),
    "anisotropy": ("anisotropy",),
    "equivalent_diameter": ("equivalent_diameter",),
    "extent": ("extent",),
}
"""Groups of columns that can be chosen; ``label`` and ``n_voxels`` are always there."""

_TYPES = {"label": pa.uint32(), "n_voxels": pa.int64(), "border": pa.bool_()} | dict.fromkeys(
    _BBOX, pa.int32()
)


class Grid(Protocol):
    """What is needed of an image: a header has it, and so has a volume."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along z, y, x."""

    @property
    def ndim(self) -> int:
        """2 for an image of one plane, whose z means nothing; else 3."""

    @property
    def voxel_size(self) -> tuple[float, float, float]:
        """Edges of a voxel along z, y, x."""


@dataclass(frozen=True)
class Objects:
    """The objects of an image at a point of the grid.

    Attributes
    ----------
    table
        A row per object, by label: `schema` of the properties.
    pieces
        (N,) of `PIECE`: their sums, by label; ``pieces["first"]`` tells where each begins.
    border
        (N,) of bool: whether an object touches a face of the image.
    dropped
        Number of objects that are not in the table, by reason: `SMALL`, `BORDER`.
    """

    table: pa.Table
    pieces: np.ndarray
    border: Bools
    dropped: dict[str, int]


def schema(properties: Sequence[str] = tuple(GROUPS)) -> pa.Schema:
    """Return the columns of a table of objects, in their order.

    Parameters
    ----------
    properties
        Of `GROUPS`, in any order.
    """
    names = ["label", "n_voxels"]
    names += [name for group, columns in GROUPS.items() if group in properties for name in columns]
    return pa.schema([(name, _TYPES.get(name, pa.float64())) for name in names])


def object_table(
    pieces: np.ndarray,
    unit: float,
    grid: Grid,
    *,
    min_size: int = 0,
    border: str = "keep",
    properties: Sequence[str] = tuple(GROUPS),
    name: str = "image",
) -> Objects:
    """Measure objects.

    Parameters
    ----------
    pieces
        (M,) of `PIECE`: whole objects, sorted by ``first``.
    unit
        Of the sums of intensities.
    grid
        The image.
    min_size
        Objects of fewer voxels are dropped.
    border
        ``drop``: objects that touch a face of the image are dropped. In three dimensions all six
        faces count, however few planes there are; in two the four edges.
    properties
        Groups of columns, of `GROUPS`.
    name
        Image and point, for a message.

    Returns
    -------
    Objects
        Labels are 1 to N in the order of the objects' first voxels. Volumes and diameters are in
        units of ``voxel_size`` (areas in two dimensions); centroids, boxes and moments in voxels
        of the whole image. Moments are central, of order two, divided by the number of voxels.
        They are not a number for objects so large that their sums may not fit 64 bits: 2**37
        voxels and more in a box with an edge of 2**14.

    Raises
    ------
    InputError
        If there are more objects than labels.

    Notes
    -----
    The anisotropy is (l1 - l3) / l1 of the largest and the smallest eigenvalue of the covariance
    of an object's voxels, in physical units (l2 instead of l3 in two dimensions): 0 for a ball, 1
    for what is flat or a line. A single voxel has 0. It is 1 - l3 / l1,
    which the label analysis of Avizo calls anisotropy.
    """
    large = pieces["n"] >= min_size
    touching = touches(pieces, grid)
    keep = large & ~touching if border == "drop" else large
    kept = pieces[keep]
    if len(kept) > MOST:
        what = f"has {len(kept):,} objects, more than {MOST:,}"
        remedy = "set imaging.min_size, or smooth the image more, so that noise makes no objects"
        raise InputError(Problem(name, "", what, remedy))
    columns = _columns(kept, touching[keep], unit, grid, set(properties))
    fields = schema(properties)
    arrays = [pa.array(columns[field.name], field.type) for field in fields]
    dropped = {
        SMALL: int(np.count_nonzero(~large)),
        BORDER: int(np.count_nonzero(large & ~keep)),
    }
    return Objects(pa.table(arrays, schema=fields), kept, touching[keep], dropped)


def touches(pieces: np.ndarray, grid: Grid) -> Bools:
    """Return which objects touch a face of the image, (N,)."""
    axes = slice(3 - grid.ndim, 3)
    ends = np.array(grid.shape, np.int64)[axes]
    return ((pieces["lo"][:, axes] == 0) | (pieces["hi"][:, axes] == ends)).any(axis=1)


def centroids(pieces: np.ndarray) -> Floats:
    """Return the centroids of objects in voxels of the image, (N, 3)."""
    return pieces["lo"] + pieces["sums"] / pieces["n"][:, None]


def volumes(pieces: np.ndarray, grid: Grid) -> Floats:
    """Return the volumes of objects, or their areas in two dimensions, (N,)."""
    return pieces["n"] * voxel_volume(grid)


def voxel_volume(grid: Grid) -> float:
    """Return the volume of a voxel; the area of a pixel in two dimensions."""
    return float(np.prod(grid.voxel_size[3 - grid.ndim :]))


def _columns(
    pieces: np.ndarray, border: Bools, unit: float, grid: Grid, wanted: set[str]
) -> dict[str, npt.NDArray[np.generic]]:
    """Return the columns of the groups that are wanted, by name."""
    n = pieces["n"]
    found: dict[str, npt.NDArray[np.generic]] = {
        "label": np.arange(1, len(pieces) + 1),
        "n_voxels": n,
        "border": border,
    }
    if wanted & {"volume", "equivalent_diameter"}:
        found["volume"] = volume = volumes(pieces, grid)
        found["equivalent_diameter"] = (
            np.sqrt(4 * volume / np.pi) if grid.ndim == 2 else np.cbrt(6 * volume / np.pi)
        )
    if "centroid" in wanted:
        found |= zip(GROUPS["centroid"], centroids(pieces).T, strict=True)
    if "bbox" in wanted:
        found |= zip(_BBOX, np.concatenate([pieces["lo"], pieces["hi"]], axis=1).T, strict=True)
    if "intensity" in wanted:
        # The lower part is made small first, so that the sum is rounded as if it were exact.
        high, low = pieces["total"].T
        high, low = high + (low >> LIMB), low & ((1 << LIMB) - 1)
        total = (high * float(1 << LIMB) + low) * unit
        values = (total / n, pieces["low"], pieces["high"], total)
        found |= zip(GROUPS["intensity"], values, strict=True)
    if wanted & {"moments", "anisotropy"}:
        moments = central_moments(pieces)
        found |= zip(GROUPS["moments"], moments.T, strict=True)
        if "anisotropy" in wanted:
            found["anisotropy"] = _anisotropy(moments, grid)
    if "extent" in wanted:
        found["extent"] = n / np.prod(pieces["hi"] - pieces["lo"], axis=1)
    return found


def central_moments(pieces: np.ndarray) -> Floats:
    """Return the covariances zz, zy, zx, yy, yx, xx of the places of objects' voxels.

    Parameters
    ----------
    pieces
        (N,) of `PIECE`.

    Returns
    -------
    ndarray
        (N, 6) in voxels squared, exact but for the last division. Not a number where an object
        is so large that its sums might not fit 64 bits.
    """
    n = pieces["n"]
    # Counted from the voxel nearest to the centroid all sums are as small as they can be. Sums
    # that went beyond 2**64 on the way have come back then, since integers wrap around.
    middle = (2 * pieces["sums"] + n[:, None]) // (2 * n[:, None])
    sums, squares = shifted(pieces, -middle)
    edges = (pieces["hi"] - pieces["lo"]).max(axis=1, initial=0)
    # No spread is larger than that of two heaps at the two ends; off the middle adds at most 1/4.
    bound = n * ((edges - 1.0) ** 2 + 1) / 4
    result = np.full((len(pieces), len(PAIRS)), np.nan)
    small = bound * n < 2.0**61
    few = n[small].astype(np.int64)
    for k, (a, b) in enumerate(PAIRS):
        above = few * squares[small, k] - sums[small, a] * sums[small, b]
        result[small, k] = above / few / few
    for row in np.flatnonzero(~small & (bound < 2.0**63)):
        many = int(n[row])
        for k, (a, b) in enumerate(PAIRS):
            above = many * int(squares[row, k]) - int(sums[row, a]) * int(sums[row, b])
            result[row, k] = above / (many * many)
    return result


def _anisotropy(moments: Floats, grid: Grid) -> Floats:
    """Return (l1 - l3) / l1 of each object; l2 instead of l3 in two dimensions."""
    first = 3 - grid.ndim
    covariance = np.empty((len(moments), 3, 3))
    for k, (a, b) in enumerate(PAIRS):
        scaled = moments[:, k] * (grid.voxel_size[a] * grid.voxel_size[b])
        covariance[:, a, b] = covariance[:, b, a] = scaled
    found = np.full(len(moments), np.nan)
    known = np.isfinite(moments).all(axis=1)
    values = np.linalg.eigvalsh(covariance[known][:, first:, first:])
    least, most = np.maximum(values[:, 0], 0), values[:, -1]
    found[known] = np.where(most > 0, (most - least) / np.where(most > 0, most, 1), 0)
    return found
