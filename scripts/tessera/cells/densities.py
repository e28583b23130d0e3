"""The shape of a distribution for a violin: a kernel density from exact cells, of bounded size."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

POINTS = 101
"""Places along the axis of values at which a density is told."""

PERCENTILES = {"p05": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}

_BINS = 512


def grid_of(values: Floats) -> Floats:
    """Return ``(POINTS,)`` places that span the values and zero."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    return np.linspace(min(low, 0.0), max(high, 0.0), POINTS)


def density(values: Floats, grid: Floats) -> Floats | None:
    """Estimate a density by Gaussian kernels.

    Parameters
    ----------
    values
        ``(n,)``, all of them, zeros included; within the grid.
    grid
        ``(POINTS,)`` evenly spaced places.

    Returns
    -------
    (POINTS,) float64 or None
        The density, scaled to a highest value of 1, and 0 beyond the lowest and the highest value;
        None if all values are equal.

    Notes
    -----
    The width of the kernel is Silverman's rule of thumb (Density Estimation, 1986, eq. 3.31), and
    a step of the grid at least. Values are first counted in 512 bins, each shared between the two
    nearest centres.
    """
    spread = float(values.std()) if len(values) > 1 else 0.0
    if spread == 0:
        return None
    quartile = float(np.subtract(*np.quantile(values, [0.75, 0.25]))) / 1.349
    width = 0.9 * min(spread, quartile or spread) * len(values) ** -0.2
    width = max(width, float(grid[1] - grid[0]))

    centres = np.linspace(grid[0], grid[-1], _BINS)
    place = (values - grid[0]) / (grid[-1] - grid[0]) * (_BINS - 1)
    below = np.minimum(place.astype(np.int64), _BINS - 2)
    above = place - below
    counts = np.bincount(below, 1 - above, _BINS) + np.bincount(below + 1, above, _BINS)
    shape = np.exp(-0.5 * ((grid[:, None] - centres) / width) ** 2) @ counts
    step = float(grid[1] - grid[0])
    shape[(grid < values.min() - step) | (grid > values.max() + step)] = 0
    return shape / shape.max()


def described(values: Floats, grid: Floats) -> dict[str, Any]:
    """Describe all values of a group, zeros included.

    Parameters
    ----------
    values
        ``(n,)``, n > 0.
    grid
        As for `density`.

    Returns
    -------
    dict
        ``n``, ``fraction`` (share that is not zero), ``mean``, ``min``, ``max``, the `PERCENTILES`
        (linear, as numpy's) and ``density``: a list, three decimals, or None.
    """
    shape = density(values, grid)
    quantiles = np.quantile(values, list(PERCENTILES.values())).tolist()
    return {
        "n": len(values),
        "fraction": np.count_nonzero(values) / len(values),
        "mean": float(values.mean()),
        "min": float(values.min()),
        "max": float(values.max()),
        **dict(zip(PERCENTILES, quantiles, strict=True)),
        "density": None if shape is None else np.round(shape, 3).tolist(),
    }
