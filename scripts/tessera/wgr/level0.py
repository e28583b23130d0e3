"""Level 0: ridge regressions of all traits on one block of variants, out of sample.

Mbatchou et al. 2021, Nature Genetics 53:1097, "Ridge regression, level 0".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

from tessera.wgr.cohort import Cohort, penalties
from tessera.wgr.gram import PANEL, Block, RawGrams, adjusted, products

Floats = npt.NDArray[np.float64]

_PRECISION = 3e-13  # relative size of the next refinement that is not worth it
_ROUNDING, _CRUDE = 6e-8, 0.05
"""Of single precision; and times the condition number, beyond which a factor in it would not do."""
_MOST = 30  # refinements; three are usual


def level0(
    block: Block,
    traits: Floats,
    cohort: Cohort,
    h2: Sequence[float],
    n_variants: int,
    convention: str,
    raw: RawGrams | None = None,
) -> Iterator[Floats]:
    """Predict traits from a block of variants, each person by models that have not seen it.

    Parameters
    ----------
    block
        Genotypes of the cohort's people.
    traits
        ``(n, T)`` float64, adjusted for covariates and scaled.
    h2
        L heritabilities, which give the ridge parameters.
    n_variants
        Variants of all blocks together.
    convention
        ``v1`` or ``v4``.
    raw
        Gram matrices of all people of the study, of which those of the cohort can be made.

    Yields
    ------
    ndarray
        Of one trait after the other ``(L, n)`` float64: centred and of unit variance, 0 where
        there is nothing to tell. In single precision predictions near 0 would lose the digits
        that REGENIE prints.
    """
    many = traits.shape[1]
    padded = np.zeros((len(traits), -(-many // PANEL) * PANEL))
    padded[:, :many] = traits
    means = block.means()
    lambdas = penalties(h2, n_variants, convention)
    df = cohort.df(convention)
    if cohort.folds:
        panels = _folds(block, means, padded, cohort, lambdas, df, raw)
    else:
        panels = _one_out(block, means, padded, cohort, lambdas, df)
    for first, panel in zip(range(0, many, PANEL), panels, strict=True):
        for place in range(min(PANEL, many - first)):
            yield _standardised(panel[:, place])


def _standardised(predictions: Floats) -> Floats:
    """Centre and scale ``(L, n)`` predictions over people."""
    centred = predictions - predictions.mean(axis=1, keepdims=True)
    sd = np.sqrt(np.square(centred).sum(axis=1, keepdims=True) / (centred.shape[1] - 1))
    return np.divide(centred, sd, out=np.zeros_like(centred), where=sd > 0)


def _folds(
    block: Block,
    means: Floats,
    traits: Floats,
    cohort: Cohort,
    lambdas: Floats,
    df: int,
    raw: RawGrams | None,
) -> Iterator[Floats]:
    """Yield ``(L, PANEL, n)`` predictions of each fold by what the others taught."""
    parts = []
    for k, (start, stop) in enumerate(cohort.edges):
        gram = None
        if raw is not None and block.whole:
            gram = raw.of(cohort.rows[start:stop], k, cohort.folds)
        parts.append(products(block, means, cohort, traits, (start, stop), gram))
    grams, with_traits, loads, scales = adjusted(block, parts, means, df)
    gram, right = sum(grams[1:], grams[0].copy()), sum(with_traits[1:], with_traits[0].copy())
    solutions = []
    while grams:
        others = np.subtract(gram, grams[0], out=grams.pop(0))
        solutions.append(ridge(others, right - with_traits.pop(0), lambdas) * scales[:, None])
    del gram, others
    for p in range(0, traits.shape[1], PANEL):
        out = np.empty((len(lambdas), PANEL, len(traits)))
        for edge, solution in zip(cohort.edges, solutions, strict=True):
            # One product for the shrinkages of a panel of traits.
            panel = np.hstack(list(solution[:, :, p : p + PANEL]))
            shift = loads.T @ panel
            for a, b in block.tiles(*edge):
                values = block.tile(a, b, means).T @ panel - cohort.basis[a:b] @ shift
                out[:, :, a:b] = values.T.reshape(len(lambdas), PANEL, b - a)
        yield out


def ridge(gram: Floats, right: Floats, lambdas: Floats) -> Floats:
    """Solve (A + lambda I) x = b for several lambdas and right-hand sides.

    Parameters
    ----------
    gram
        ``(B, B)`` positive semi-definite.
    right
        ``(B, P)``, P a multiple of `PANEL`.
    lambdas
        ``(L,)``, above 0.

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
    largest = float(np.abs(gram).sum(axis=1).max(initial=0.0))
    crude = [_ROUNDING * (1 + largest / penalty) < _CRUDE for penalty in lambdas]
    single = gram.astype(np.float32)
    factors = [
        _factor(single if enough else gram, penalty)
        for enough, penalty in zip(crude, lambdas, strict=True)
    ]
    out = np.empty((len(lambdas), *right.shape))
    for p in range(0, right.shape[1], PANEL):
        out[:, :, p : p + PANEL] = _refined(gram, right[:, p : p + PANEL], lambdas, factors)
    return out


Factor = npt.NDArray[np.float32] | Floats
"""A Cholesky factor by columns."""


def _factor(gram: Factor, penalty: float) -> Factor:
    """Factorise, in the precision of the matrix."""
    matrix = gram.copy()
    matrix.ravel()[:: len(gram) + 1] += matrix.dtype.type(penalty)
    factorise = lapack.spotrf if matrix.dtype == np.float32 else lapack.dpotrf
    # The transpose of a symmetric matrix by rows is one by columns, as LAPACK has them.
    factor, info = factorise(matrix.T, lower=1, overwrite_a=1, clean=0)
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
    solve = lapack.spotrs if factor.dtype == np.float32 else lapack.dpotrs
    # A copy in any case, because it is written into.
    copied = np.array(right, factor.dtype, order="F")
    answer: Floats = solve(factor, copied, lower=1, overwrite_b=1)[0]
    return answer


def _one_out(
    block: Block, means: Floats, traits: Floats, cohort: Cohort, lambdas: Floats, df: int
) -> Iterator[Floats]:
    """Yield ``(L, PANEL, n)`` predictions of each person by what all others taught.

    By the leverage: with H = (A + lambda I)^-1 and v = g' H g of a person, the prediction without
    that person is (g' H G y - v y) / (1 - v).
    """
    part = products(block, means, cohort, traits, (0, len(traits)))
    (gram,), (right,), loads, scales = adjusted(block, [part], means, df)
    values, vectors = np.linalg.eigh(gram)
    values = np.maximum(values, 0)
    for p in range(0, traits.shape[1], PANEL):
        panel = slice(p, p + PANEL)
        turned = vectors.T @ right[:, panel]
        out = np.empty((len(lambdas), PANEL, len(traits)))
        for a, b in block.tiles(0, len(traits)):
            people = scales[:, None] * (block.tile(a, b, means) - loads @ cohort.basis[a:b].T)
            people = vectors.T @ people
            for number, penalty in enumerate(lambdas):
                weighted = people / (values + penalty)[:, None]
                leverage = np.einsum("ij,ij->j", weighted, people)
                # Traits as columns: their bytes then do not depend on their place in the panel.
                fitted = (weighted.T @ turned).T - leverage * traits[a:b, panel].T
                out[number, :, a:b] = fitted / (1 - leverage)
        yield out
