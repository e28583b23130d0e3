"""Clusters: voxels above the threshold that touch and have the same sign."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Clusters:
    """C clusters of the maps of several SNPs.

    Attributes
    ----------
    row, size, peak
        (C,) int32: the SNP's row, the number of voxels, and the place of the strongest one in the
        list of voxels that was given. By row, and by the first voxel of each.
    """

    row: Ints
    size: Ints
    peak: Ints


def clusters(row: Ints, voxel: Ints, value: npt.NDArray[np.floating], before: Ints) -> Clusters:
    """Find the clusters among voxels above a threshold.

    Union-find over these voxels alone, not over the volume.

    Parameters
    ----------
    row, voxel
        (P,) SNP and voxel, sorted by row and then by voxel.
    value
        (P,) statistic; voxels of different sign never share a cluster. Of equal ones the first
        is the peak.
    before
        (V, M) neighbours of each voxel that come before it, -1 for none: as from
        `tessera.vgwas.voxels.neighbours`.
    """
    parent = np.empty(len(row), np.int32)
    size = np.empty(len(row), np.int32)
    peak = np.empty(len(row), np.int32)
    place = np.full(len(before), -1, np.int32)
    _join(row, voxel, value, before, place, parent, size, peak)
    roots = np.flatnonzero(parent == np.arange(len(row)))
    return Clusters(row[roots], size[roots], peak[roots])


@numba.njit(cache=True, nogil=True)
def _root(parent, p):  # type: ignore[no-untyped-def]
    while parent[p] != p:
        parent[p] = parent[parent[p]]
        p = parent[p]
    return p


@numba.njit(cache=True, nogil=True)
def _join(row, voxel, value, before, place, parent, size, peak):  # type: ignore[no-untyped-def]
    start = 0
    for p in range(len(row)):
        if row[p] != row[start]:
            for q in range(start, p):
                place[voxel[q]] = -1
            start = p
        parent[p], size[p], peak[p] = p, 1, p
        place[voxel[p]] = p
        for m in range(before.shape[1]):
            v = before[voxel[p], m]
            if v < 0 or place[v] < 0:
                continue
            if (value[place[v]] > 0) != (value[p] > 0):
                continue
            a, b = _root(parent, place[v]), _root(parent, p)
            if a == b:
                continue
            if b < a:
                a, b = b, a
            parent[b] = a
            size[a] += size[b]
            high, higher = abs(value[peak[a]]), abs(value[peak[b]])
            if higher > high or (higher == high and peak[b] < peak[a]):
                peak[a] = peak[b]
