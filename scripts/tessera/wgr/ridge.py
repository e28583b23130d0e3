"""Ridge regression for several shrinkages: factors in single precision, solutions in double."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

from tessera.wgr.gram import PANEL

Floats = npt.NDArray[np.float64]
Factor = npt.NDArray[np.float32] | Floats
"""A Cholesky factor in LAPACK's rectangular full packed format, ``(B (B + 1) / 2,)``: half of the
square, at the speed of the square (Gustavson et al. 2010, ACM TOMS 37:18)."""

_PRECISION = 3e-13  # relative size of the next refinement that is not worth it
_ROUNDING, _CRUDE = 6e-8, 0.05
"""Of single precision; and times the condition number, beyond which a factor in it would not do."""
_MOST = 30  # refinements; three are usual


def factorised(gram: Floats, lambdas: Floats) -> list[Factor]:
    """Factorise A + lambda I for several lambdas.

    Parameters
    ----------
    gram
        ``(B, B)`` symmetric, positive semi-definite.
    lambdas
        ``(L,)``, above 0.

    Returns
    -------
    list of ndarray
        In single precision where that does for `ridge`, else in double.
    """
    largest = float(np.abs(gram).sum(axis=1).max(initial=0.0))
    crude = [_ROUNDING * (1 + largest / penalty) < _CRUDE for penalty in lambdas]
    # The transpose of a symmetric matrix by rows is one by columns, as LAPACK has them.
    double = None if all(crude) else lapack.dtrttf(gram.T, uplo="L")[0]
    single = lapack.strttf(gram.astype(np.float32).T, uplo="L")[0] if any(crude) else None
    return [
        _factor(single if enough else double, len(gram), penalty)
        for enough, penalty in zip(crude, lambdas, strict=True)
    ]


def ridge(
    gram: Floats, right: Floats, lambdas: Floats, factors: Sequence[Factor] | None = None
) -> Floats:
    """Solve (A + lambda I) x = b for several lambdas and right-hand sides.

    Parameters
    ----------
    gram
        ``(B, B)`` symmetric, positive semi-definite.
    right
        ``(B, P)``, P a multiple of `PANEL`.
    lambdas
        ``(L,)``, above 0.
    factors
        What `factorised` makes of them, where that is known.

    Returns
    -------
    ndarray
        ``(L, B, P)``.

    Notes
    -----
    Cholesky factors in single precision, whose solutions are refined by residuals in double
    precision (Wilkinson; Higham 2002, chapter 12). Each column is refined until its next step
    would be rounding, whatever the others need.
    """
    factors = factorised(gram, lambdas) if factors is None else factors
    out = np.empty((len(lambdas), *right.shape))
    for p in range(0, right.shape[1], PANEL):
        out[:, :, p : p + PANEL] = _refined(gram, right[:, p : p + PANEL], lambdas, factors)
    return out


@lru_cache(maxsize=2)
def _diagonal(size: int) -> npt.NDArray[np.int64]:
    """Return the places of the diagonal in the packed format: two triangles, one on the other."""
    first = (size + 1) // 2
    width = size + 1 - size % 2
    upper, lower = np.arange(first), np.arange(size - first)
    # Of an even size the first triangle begins a row below the second, of an odd one beside it.
    start = 1 - size % 2
    beside = width * (size % 2)
    return np.concatenate([start + upper * (width + 1), beside + lower * (width + 1)])


def _factor(packed: Factor | None, size: int, penalty: float) -> Factor:
    """Factorise, in the precision of the matrix."""
    assert packed is not None
    matrix = packed.copy()
    matrix[_diagonal(size)] += matrix.dtype.type(penalty)
    factorise = lapack.spftrf if matrix.dtype == np.float32 else lapack.dpftrf
    factor, info = factorise(size, matrix, uplo="L", overwrite_a=1)
    if info:
        raise ArithmeticError(f"a ridge matrix has no Cholesky factor ({info})")
    answer: Factor = factor
    return answer


def _refined(gram: Floats, wanted: Floats, lambdas: Floats, factors: Sequence[Factor]) -> Floats:
    """Return ``(L, B, PANEL)`` solutions for one panel of right-hand sides."""
    x = np.stack([_solved(factor, wanted) for factor in factors]).astype(np.float64)
    before = np.abs(x).max(axis=1)
    going = before > 0  # a column is refined until its next step would be rounding
    # One product for all penalties is the quickest. Later it is one at a time, of a shape that does
    # not depend on what else is refined.
    together = np.hsplit(gram @ np.hstack(list(x)), len(x))
    for turn in range(_MOST):
        for number in np.flatnonzero(going.any(axis=1)).tolist():
            product = together[number] if turn == 0 else gram @ x[number]
            residual = wanted - product - lambdas[number] * x[number]
            step = _solved(factors[number], residual)
            x[number] += np.where(going[number], step, 0)
            size = np.abs(step).max(axis=0)
            # As a step is to the one before, the next one will be to it.
            ratio = np.divide(size, before[number], out=np.ones(PANEL), where=before[number] > size)
            going[number] &= size * ratio > _PRECISION * np.abs(x[number]).max(axis=0)
            before[number] = size
        if not going.any():
            break
    return x


def _solved(factor: Factor, right: Floats) -> Floats:
    solve = lapack.spftrs if factor.dtype == np.float32 else lapack.dpftrs
    # A copy in any case, because it is written into.
    copied = np.array(right, factor.dtype, order="F")
    answer: Floats = solve(len(right), factor, copied, uplo="L", overwrite_b=1)[0]
    return answer
