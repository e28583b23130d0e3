"""Neighbours: objects whose regions touch, where each region is all that is nearest to an object.

The regions are the Voronoi cells of the centroids, so neighbours are joined by an edge of the
Delaunay triangulation: the definition of the lecture *Quantitative Big Imaging* (K. Mader, ETH
Zurich).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial import Delaunay, QhullError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_FLAT = 1e-12  # of the largest extent: a smaller one is rounding


def neighbours(points: Floats) -> tuple[Ints, Ints, Floats]:
    """Find which objects are neighbours.

    Parameters
    ----------
    points
        (N, d) centroids of objects, in physical units, finite.

    Returns
    -------
    a, b
        (E,) numbers of objects, from 0: each pair in both directions, sorted by `a`, then `b`.
    distance
        (E,) between their centroids.

    Notes
    -----
    Points that lie on a plane or a line are triangulated there; on a line the neighbours are the
    next ones. Objects with equal centroids are neighbours of each other and share all neighbours;
    so do points too close for the triangulation to tell apart. Where more cells meet in one point
    than must (centroids on a regular lattice), some of those that touch in nothing but that point
    are neighbours and others are not: always the same ones.
    """
    places, of = np.unique(points, axis=0, return_inverse=True)
    edges, stands_for = _edges(places)
    a, b = _spread(edges, stands_for[of.ravel()], len(places))
    order = np.lexsort((b, a))
    a, b = a[order], b[order]
    return a, b, np.sqrt(np.square(points[a] - points[b]).sum(axis=1))


def _edges(places: Floats) -> tuple[Ints, Ints]:
    """Return pairs of different points, (E, 2), each once, and the point that stands for each."""
    themselves = np.arange(len(places))
    if len(places) < 2:
        return np.empty((0, 2), np.int64), themselves
    centred = places - places.mean(axis=0)
    _, extents, axes = np.linalg.svd(centred, full_matrices=False)
    for rank in range(int(np.count_nonzero(extents > _FLAT * extents[0])), 1, -1):
        if len(places) <= rank + 1:  # one simplex
            break
        full = rank == places.shape[1]
        try:
            triangulation = Delaunay(centred if full else centred @ axes[:rank].T)
        except QhullError:  # it is flat after all, to the arithmetic of the triangulation
            continue
        stands_for = themselves.copy()
        close = triangulation.coplanar
        stands_for[close[:, 0]] = close[:, 2]
        return _sides(triangulation), stands_for
    else:
        along = np.argsort(centred @ axes[0], kind="stable")
        return np.stack([along[:-1], along[1:]], axis=1), themselves
    return np.stack(np.triu_indices(len(places), 1), axis=1), themselves


def _sides(triangulation: Delaunay) -> Ints:
    """Return the edges of simplices, (E, 2), each once."""
    starts, others = triangulation.vertex_neighbor_vertices
    a = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    once = a < others
    return np.stack([a[once], others[once].astype(np.int64)], axis=1)


def _spread(edges: Ints, of: Ints, count: int) -> tuple[Ints, Ints]:
    """Return pairs of objects, in both directions, from pairs of the points they stand at.

    Parameters
    ----------
    edges
        (E, 2) of points, each once.
    of
        (N,) point of each object.
    count
        Number of points.
    """
    both = np.concatenate([edges, edges[:, ::-1]])
    if len(of) == count and np.array_equal(np.bincount(of, minlength=count), np.ones(count)):
        object_at = np.argsort(of, kind="stable")
        return object_at[both[:, 0]], object_at[both[:, 1]]
    shared = np.arange(count)
    both = np.concatenate([both, np.stack([shared, shared], axis=1)])  # those at the same point
    members, many = np.argsort(of, kind="stable"), np.bincount(of, minlength=count)
    start = np.cumsum(many) - many
    pairs = many[both[:, 0]] * many[both[:, 1]]
    edge = np.repeat(np.arange(len(both)), pairs)
    within = np.arange(pairs.sum()) - np.repeat(np.cumsum(pairs) - pairs, pairs)
    left, right = both[edge].T
    a = members[start[left] + within // many[right]]
    b = members[start[right] + within % many[right]]
    other = a != b
    return a[other], b[other]
