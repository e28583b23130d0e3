"""The nuisance part of the linear model: an intercept and covariates, as an orthonormal basis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_COLLINEAR = 1e-7
"""Length of what is left of a column, relative to its own, below which it is a combination of
those before it."""


@dataclass(frozen=True)
class Design:
    """Covariates of N subjects.

    Attributes
    ----------
    basis
        (K, N) orthonormal rows that span intercept and covariates.
    names
        Names of the K columns they stand for, the intercept first.
    dropped
        Names of columns that are constant or combinations of those before them.
    """

    basis: Floats
    names: tuple[str, ...]
    dropped: tuple[str, ...]

    @property
    def df(self) -> int:
        """Degrees of freedom that are left to the test of one SNP."""
        return self.basis.shape[1] - len(self.basis) - 1


def columns_of(
    covariates: Mapping[str, Sequence[str | float]], categorical: Sequence[str]
) -> dict[str, Floats]:
    """Return covariates as numbers; of a categorical one an indicator per level but the first.

    Parameters
    ----------
    covariates
        Name to the N values; text in those that are categorical.
    categorical
        Names whose values are levels, in the order of which (as text) the first is left out.
    """
    columns = {}
    for name, values in covariates.items():
        if name not in categorical:
            columns[name] = np.array(values, np.float64)
            continue
        levels = sorted(set(values), key=str)
        if len(levels) < 2:
            columns[name] = np.zeros(len(values))  # to be dropped by name, as all that is constant
        for level in levels[1:]:
            columns[f"{name}={level}"] = np.array([value == level for value in values], np.float64)
    return columns


def make_design(n: int, columns: Mapping[str, Floats]) -> Design:
    """Orthonormalise an intercept and columns, in this order, leaving out what adds nothing.

    Gram-Schmidt with every column projected twice ("twice is enough", Giraud et al. 2005), after
    its mean is taken off: a column far from zero loses no digits.

    Parameters
    ----------
    n
        Number of subjects.
    columns
        Name to (N,) values.
    """
    rows, names, dropped = [np.full(n, 1 / np.sqrt(n))], ["intercept"], []
    for name, values in columns.items():
        rest = values - values.mean()
        scale = max(float(np.linalg.norm(rest)), _COLLINEAR * float(np.linalg.norm(values)))
        for _ in range(2):
            for row in rows:
                rest = rest - (row @ rest) * row
        length = float(np.linalg.norm(rest))
        if length <= _COLLINEAR * scale:
            dropped.append(name)
        else:
            rows.append(rest / length)
            names.append(name)
    return Design(np.array(rows), tuple(names), tuple(dropped))
