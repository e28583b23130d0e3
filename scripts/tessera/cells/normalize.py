"""Normalisations of expression values: counts per million, and logarithms of them."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from tessera.cells.layout import Array

NORMALIZATIONS = ("none", "cpm", "log1p_cpm", "log2_cpm")


def is_log(normalize: str) -> bool:
    """Tell whether a normalisation takes logarithms."""
    return normalize in ("log1p_cpm", "log2_cpm")


def cpm(values: Array, totals: Array) -> Array:
    """Return counts per million, float64: values x 1,000,000 / total; 0 where the total is 0.

    Parameters
    ----------
    values, totals
        ``(n,)`` values, and the total of the cell of each.
    """
    scaled = np.multiply(values, 1e6, dtype=np.float64)
    return np.divide(scaled, totals, out=np.zeros_like(scaled), where=totals != 0)


def normalised(values: Array, cells: Array, totals: Array, normalize: str) -> Array:
    """Normalise values.

    Parameters
    ----------
    values
        ``(n,)`` raw, none of them 0.
    cells
        ``(n,)`` the cell of each.
    totals
        ``(cells,)`` float64, the sum of each cell over all genes.
    normalize
        One of `NORMALIZATIONS`: ``cpm`` x 1,000,000 / total (0 where the total is 0),
        ``log1p_cpm`` ln(1 + cpm), ``log2_cpm`` log2(cpm + 1).

    Returns
    -------
    ndarray
        ``(n,)`` float64; the values themselves if nothing is to be done. Logarithms are numpy's, so
        that they are the same bits as those of a dense matrix.
    """
    if normalize == "none":
        return values
    out = np.empty(len(values))
    _scale(values, cells, totals, out)
    if normalize == "log1p_cpm":
        np.log1p(out, out=out)
    elif normalize == "log2_cpm":
        out += 1
        np.log2(out, out=out)
    return out


@nb.njit(nogil=True, cache=True)
def _scale(values: Any, cells: Any, totals: Any, out: Any) -> None:
    for entry in range(len(values)):
        total = totals[cells[entry]]
        # + 0.0: a negative value that is too small becomes 0, not -0, whose bits would not sort.
        out[entry] = np.float64(values[entry]) * 1e6 / total + 0.0 if total != 0 else 0.0
