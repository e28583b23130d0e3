"""Cutting an axis into tiles: even partitions, and their number from a memory budget."""

from __future__ import annotations

import itertools
import math


def partition(length: int, parts: int) -> list[tuple[int, int]]:
    """Cut ``range(length)`` into consecutive pieces whose lengths differ by at most one.

    Parameters
    ----------
    length
        Number of items, at least 1.
    parts
        Number of pieces; no more than ``length`` are made.

    Returns
    -------
    list of (int, int)
        Start and stop of each piece.
    """
    parts = max(1, min(parts, length))
    edges = [length * i // parts for i in range(parts + 1)]
    return list(itertools.pairwise(edges))


def with_halo(start: int, stop: int, halo: int, length: int) -> tuple[int, int]:
    """Widen a piece by a halo on both sides, within ``range(length)``."""
    return max(0, start - halo), min(length, stop + halo)


def parts_for_budget(length: int, fixed: float, per_item: float, budget: float) -> int:
    """Return how many pieces keep ``fixed + per_item * piece`` within a budget.

    Parameters
    ----------
    length
        Number of items along the axis.
    fixed, per_item, budget
        Memory of a piece of no item, of each item, and what may be used; one unit for all.

    Returns
    -------
    int
        Between 1 and ``length``; ``length`` also where even one item exceeds the budget.
    """
    longest = max(1, math.floor((budget - fixed) / per_item)) if budget > fixed else 1
    return min(length, math.ceil(length / longest))
