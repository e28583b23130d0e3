"""Kernels that go through genotypes once."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np


@nb.njit(nogil=True, cache=True)
def count(dosages: Any) -> Any:
    """Count people, alleles, heterozygotes and homozygotes of an allele, each ``(V,)`` float64.

    Parameters
    ----------
    dosages
        ``(V, n)``, NaN where missing.
    """
    rows = len(dosages)
    there, total = np.zeros(rows), np.zeros(rows)
    hets, homs = np.zeros(rows), np.zeros(rows)
    for row in range(rows):
        for value in dosages[row]:
            if not np.isnan(value):
                there[row] += 1
                total[row] += value
                if value >= 1.5:
                    homs[row] += 1
                elif value >= 0.5:
                    hets[row] += 1
    return there, total, hets, homs


@nb.njit(nogil=True, cache=True)
def centre(dosages: Any, means: Any, out: Any) -> None:
    """Put ``(V, n)`` dosages less their means into `out`, 0 where missing."""
    for row in range(len(dosages)):
        for person in range(dosages.shape[1]):
            value = dosages[row, person]
            out[row, person] = 0.0 if np.isnan(value) else value - means[row]
