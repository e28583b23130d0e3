"""Level 0: ridge regressions of all traits on one block of variants, out of sample.

Mbatchou et al. 2021, Nature Genetics 53:1097, "Ridge regression, level 0".
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import linalg
from scipy.linalg import lapack

from tessera.wgr.cohort import Cohort, penalties
from tessera.wgr.gram import PANEL, Block, Products, adjusted, products

Floats = npt.NDArray[np.float64]

_TARGET = 1e-15  # relative error of a solution: that of double precision
_CRUDE = 1e-2  # of a factor in single precision, beyond which one in double precision is made


def level0(
    block: Block,
    traits: Floats,
    cohort: Cohort,
    h2: list[float],
    n_variants: int,
    convention: str,
) -> Floats:
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

    Returns
    -------
    ndarray
        ``(T, L, n)`` float64: centred and of unit variance, 0 where there is nothing to tell. In
        single precision predictions near 0 would lose the digits that REGENIE prints.
    """
    many = traits.shape[1]
    padded = np.zeros((len(traits), -(-many // PANEL) * PANEL))
    padded[:, :many] = traits
    means = block.means()
    lambdas = penalties(h2, n_variants, convention)
    df = cohort.df(convention)
    predict = _folds if cohort.folds else _one_out
    predictions = predict(block, means, padded, cohort, lambdas, df)
    return np.stack([_standardised(predictions[:, t]) for t in range(many)])


def _standardised(predictions: Floats) -> Floats:
    """Centre and scale ``(L, n)`` predictions over people."""
    centred = predictions - predictions.mean(axis=1, keepdims=True)
    sd = np.sqrt(np.square(centred).sum(axis=1, keepdims=True) / (centred.shape[1] - 1))
    return np.divide(centred, sd, out=np.zeros_like(centred), where=sd > 0)


def _folds(
    block: Block, means: Floats, traits: Floats, cohort: Cohort, lambdas: Floats, df: int
) -> Floats:
    """Return ``(L, P, n)`` predictions of each fold by what the others taught."""
    parts = [products(block, means, cohort, traits, *edge) for edge in cohort.edges]
    grams, with_traits, loads, scales = adjusted(parts, df)
    del parts
    gram, right = sum(grams[1:], grams[0].copy()), sum(with_traits[1:], with_traits[0].copy())
    out = np.empty((len(lambdas), traits.shape[1], len(traits)))
    for k, edge in enumerate(cohort.edges):
        solutions = ridge(gram - grams[k], right - with_traits[k], lambdas) * scales[:, None]
        for p in range(0, solutions.shape[2], PANEL):
            # One product for the shrinkages of a panel of traits.
            panel = np.hstack(solutions[:, :, p : p + PANEL])
            shift = loads.T @ panel
            for a, b in block.tiles(*edge):
                values = block.tile(a, b, means).T @ panel - cohort.basis[a:b] @ shift
                out[:, p : p + PANEL, a:b] = values.T.reshape(len(lambdas), PANEL, b - a)
    return out


def ridge(gram: Floats, right: Floats, lambdas: Floats) -> Floats:
    """Solve (A + lambda I) x = b for several lambdas and right-hand sides.

    Parameters
    ----------
    gram
        ``(B, B)`` positive semi-definite, of which the lower triangle is looked at.
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
    A Cholesky factor in single precision, whose solutions are refined by residuals in double
    precision (Wilkinson; Higham 2002, chapter 12). The condition number is at most
    1 + norm(A) / lambda, which tells in advance how many refinements there must be.
    """
    upper = np.tril(gram, -1).T
    full = gram + upper
    largest = float(np.abs(full).sum(axis=1).max(initial=0.0))
    out = np.empty((len(lambdas), *right.shape))
    for number, penalty in enumerate(lambdas):
        # What a solution with the factor leaves of an error; the constant was found by trials.
        left = 3e-7 * (1 + largest / penalty)
        if left > _CRUDE:
            factor = linalg.cho_factor(full + penalty * np.eye(len(full)), lower=True)
            for p in range(0, right.shape[1], PANEL):
                out[number, :, p : p + PANEL] = linalg.cho_solve(factor, right[:, p : p + PANEL])
            continue
        # The transpose of a matrix by rows is one by columns, as LAPACK has them.
        single = full.astype(np.float32)
        single.ravel()[:: len(full) + 1] += np.float32(penalty)
        factor, info = lapack.spotrf(single.T, lower=1, overwrite_a=1, clean=0)
        if info:
            raise ArithmeticError(f"a ridge matrix has no Cholesky factor ({info})")
        for p in range(0, right.shape[1], PANEL):
            wanted = right[:, p : p + PANEL]
            x = np.zeros_like(wanted)
            residual = wanted
            for _ in range(math.ceil(math.log(_TARGET) / math.log(max(left, 1e-6)))):
                step, _ = lapack.spotrs(factor, residual.astype(np.float32), lower=1)
                x += step
                residual = wanted - full @ x - penalty * x
            out[number, :, p : p + PANEL] = x
    return out


def _one_out(
    block: Block, means: Floats, traits: Floats, cohort: Cohort, lambdas: Floats, df: int
) -> Floats:
    """Return ``(L, P, n)`` predictions of each person by what all others taught.

    By the leverage: with H = (A + lambda I)^-1 and v = g' H g of a person, the prediction without
    that person is (g' H G y - v y) / (1 - v).
    """
    part: Products = products(block, means, cohort, traits, 0, len(traits))
    (gram,), (right,), loads, scales = adjusted([part], df)
    values, vectors = np.linalg.eigh(gram)  # of the lower triangle
    values = np.maximum(values, 0)
    turned = np.empty(right.shape)
    for p in range(0, right.shape[1], PANEL):
        turned[:, p : p + PANEL] = vectors.T @ right[:, p : p + PANEL]
    out = np.empty((len(lambdas), traits.shape[1], len(traits)))
    for a, b in block.tiles(0, len(traits)):
        people = scales[:, None] * (block.tile(a, b, means) - loads @ cohort.basis[a:b].T)
        people = vectors.T @ people
        for number, penalty in enumerate(lambdas):
            weighted = people / (values + penalty)[:, None]
            leverage = np.einsum("ij,ij->j", weighted, people)
            for p in range(0, right.shape[1], PANEL):
                panel = slice(p, p + PANEL)
                fitted = turned[:, panel].T @ weighted - leverage * traits[a:b, panel].T
                out[number, panel, a:b] = fitted / (1 - leverage)
    return out
