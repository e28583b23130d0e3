"""Exact test of Hardy-Weinberg equilibrium (Wigginton, Cutler, Abecasis 2005, AJHG 76:887)."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def hwe_p(others: Floats, hets: Floats, homs: Floats) -> Floats:
    """Return the p-value of each variant.

    Parameters
    ----------
    others, hets, homs
        ``(V,)``: people with 0, 1 and 2 copies of an allele.
    """
    return np.asarray(_hwe(others, hets, homs), np.float64)


@nb.njit(nogil=True, cache=True)
def _hwe(others: Any, hets: Any, homs: Any) -> Any:
    out = np.ones(len(hets))
    for variant in range(len(hets)):
        people = int(others[variant] + hets[variant] + homs[variant])
        minor = int(2 * min(others[variant], homs[variant]) + hets[variant])
        if people == 0 or minor == 0:
            continue
        # Numbers of heterozygotes that go with the alleles counted, each from its neighbour's
        # probability relative to the likeliest: no power of a number leaves its range.
        middle = minor * (2 * people - minor) // (2 * people)
        if (middle ^ minor) & 1:
            middle += 1
        chance = np.zeros(minor + 1)
        chance[middle] = 1.0
        rare = (minor - middle) // 2
        common = people - middle - rare
        het = middle
        while het > 1:
            chance[het - 2] = chance[het] * het * (het - 1.0) / (4.0 * (rare + 1) * (common + 1))
            rare, common, het = rare + 1, common + 1, het - 2
        rare = (minor - middle) // 2
        common = people - middle - rare
        het = middle
        while het + 2 <= minor:
            chance[het + 2] = chance[het] * 4.0 * rare * common / ((het + 2.0) * (het + 1.0))
            rare, common, het = rare - 1, common - 1, het + 2
        seen = chance[int(hets[variant])] * (1 + 1e-9)
        total = tail = 0.0
        for value in chance:
            total += value
            if value <= seen:
                tail += value
        out[variant] = min(1.0, tail / total)
    return out
