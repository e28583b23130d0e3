"""The people of a trait, and what follows from them alone: folds, covariates, scaled trait.

Everything about a trait is computed on its own people, as if it were analysed alone. Traits whose
people are the same share a cohort.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_RANK = 1e-15  # squared singular values of the covariates below this share of the largest are zero
_NOTHING_LEFT = 1e-7  # length of an adjusted trait, relative to before, that is rounding
LOOCV_BELOW = 5000  # people of a binary trait, below which each is left out in turn


@dataclass(frozen=True)
class Cohort:
    """People that traits have in common.

    Attributes
    ----------
    rows
        ``(n,)`` int64: places among all people of the study, ascending.
    basis
        ``(n, C)`` orthonormal columns that span an intercept and the covariates.
    folds
        Number of folds; 0 leaves out each person in turn.
    members
        Places of the traits among all traits.
    """

    rows: Ints
    basis: Floats
    folds: int
    members: tuple[int, ...]

    @property
    def edges(self) -> list[tuple[int, int]]:
        """First and last person of each fold: n // folds of them each, the last with the rest."""
        each = len(self.rows) // self.folds
        stops = [each * (k + 1) for k in range(self.folds - 1)] + [len(self.rows)]
        return [(each * k, stop) for k, stop in enumerate(stops)]

    def df(self, convention: str) -> int:
        """Return what sums of squares are divided by: n - 1 (v1) or n - rank of the basis (v4)."""
        return len(self.rows) - (1 if convention == "v1" else self.basis.shape[1])


def covariate_basis(covariates: Floats) -> Floats:
    """Orthonormalise an intercept and covariates.

    Parameters
    ----------
    covariates
        ``(n, c)``.

    Returns
    -------
    ndarray
        ``(n, C)``, C <= c + 1: left singular vectors whose squared singular values, which are the
        eigenvalues of the Gram matrix, are above 1e-15 of the largest, as in REGENIE.
    """
    # To one scale first, so that a covariate in large units does not push others below the cut.
    columns = np.column_stack([np.ones(len(covariates)), covariates])
    columns[:, 1:] -= columns[:, 1:].mean(axis=0)
    lengths = np.linalg.norm(columns, axis=0)
    columns = columns[:, lengths > 0] / lengths[lengths > 0]
    # Of the Gram matrix itself, rounding moves eigenvalues by as much as is to be told from zero.
    basis, values, _ = np.linalg.svd(columns, full_matrices=False)
    return np.ascontiguousarray(basis[:, np.square(values) > _RANK * values[0] ** 2])


def make_cohorts(
    values: Floats, covariates: Floats, folds: int | str, binary: bool
) -> list[Cohort]:
    """Group traits by their people.

    Parameters
    ----------
    values
        ``(T, n)`` traits, NaN where a person has no value.
    covariates
        ``(n, c)``.
    folds
        Number of folds, or ``loocv``.
    binary
        Binary traits of fewer than 5,000 people leave out each person in turn, as in REGENIE.
    """
    there = ~np.isnan(values)
    groups: dict[bytes, list[int]] = {}
    for trait, people in enumerate(there):
        groups.setdefault(people.tobytes(), []).append(trait)
    cohorts = []
    for members in groups.values():
        rows = np.flatnonzero(there[members[0]])
        alone = folds == "loocv" or (binary and len(rows) < LOOCV_BELOW)
        basis = covariate_basis(covariates[rows])
        cohorts.append(Cohort(rows, basis, 0 if alone else int(folds), tuple(members)))
    return cohorts


def scaled_trait(values: Floats, cohort: Cohort, convention: str) -> tuple[Floats, float]:
    """Adjust a trait for the covariates and scale it.

    Parameters
    ----------
    values
        ``(n,)`` of the cohort's people.

    Returns
    -------
    scaled, scale
        ``(n,)`` of unit variance, and by what it was divided; both 0 where the trait is a
        combination of the covariates.
    """
    centred = values - values.mean()
    residual = centred - cohort.basis @ (cohort.basis.T @ centred)
    if np.linalg.norm(residual) <= _NOTHING_LEFT * np.linalg.norm(centred):
        return np.zeros_like(residual), 0.0
    scale = float(np.linalg.norm(residual) / np.sqrt(cohort.df(convention)))
    return residual / scale, scale


def penalties(h2: Sequence[float], size: int, convention: str, binary: bool = False) -> Floats:
    """Return the ridge parameter of each heritability.

    Parameters
    ----------
    h2
        Shares of variance, between 0 and 1.
    size
        Variants of step 1 (level 0) or columns of level 1.
    convention
        ``v1``: size / h; ``v4``: size (1 - h) / h.
    binary
        Level 1 of a binary trait: size 3 (1 - h) / (pi² h) in both conventions.
    """
    h = np.asarray(h2, np.float64)
    if binary:
        return np.asarray(size * 3 * (1 - h) / (np.pi**2 * h), np.float64)
    return np.asarray(size / h if convention == "v1" else size * (1 - h) / h, np.float64)
