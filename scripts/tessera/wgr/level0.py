"""Level 0: ridge regressions of all traits on one block of variants, out of sample.

Mbatchou et al. 2021, Nature Genetics 53:1097, "Ridge regression, level 0".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import numpy as np
import numpy.typing as npt

from tessera.wgr.cohort import Cohort, penalties
from tessera.wgr.gram import PANEL, Block, adjusted, products, trait_products
from tessera.wgr.kept import Shelf
from tessera.wgr.recall import Adjustment, Recall
from tessera.wgr.ridge import Factor, factorised, ridge
from tessera.wgr.sums import Prints, RawGrams

Floats = npt.NDArray[np.float64]


def level0(
    block: Block,
    traits: Floats,
    cohort: Cohort,
    h2: Sequence[float],
    n_variants: int,
    convention: str,
    raw: RawGrams | None = None,
    shelf: Shelf | None = None,
    prints: Prints | None = None,
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
    shelf
        Has what an earlier run kept of these people and traits, and keeps that of this one.
    prints
        Fingerprints of the cohort's people; needed with a shelf.

    Yields
    ------
    ndarray
        Of one trait after the other ``(L, n)`` float64: centred and of unit variance, 0 where
        there is nothing to tell. In single precision predictions near 0 would lose the digits
        that REGENIE prints.
    """
    lambdas = penalties(h2, n_variants, convention)
    df = cohort.df(convention)
    if cohort.folds:
        recall = None
        if shelf is not None and prints is not None and block.whole:
            recall = Recall(shelf, prints, cohort, len(block.counts), lambdas, df)
        panels = _folds(block, traits, cohort, lambdas, df, raw, recall)
    else:
        panels = _one_out(block, traits, cohort, lambdas, df, raw)
    many = traits.shape[1]
    for first, panel in zip(range(0, many, PANEL), panels, strict=True):
        for place in range(min(PANEL, many - first)):
            yield _standardised(panel[:, place])


def _standardised(predictions: Floats) -> Floats:
    """Centre and scale ``(L, n)`` predictions over people."""
    centred = predictions - predictions.mean(axis=1, keepdims=True)
    sd = np.sqrt(np.square(centred).sum(axis=1, keepdims=True) / (centred.shape[1] - 1))
    return np.divide(centred, sd, out=np.zeros_like(centred), where=sd > 0)


def _padded(columns: Floats) -> Floats:
    """Fill up ``(n, T)`` columns with zeros to whole panels, row by row in memory."""
    many = columns.shape[1]
    out = np.zeros((len(columns), many + -many % PANEL))
    out[:, :many] = columns
    return out


def _folds(
    block: Block,
    traits: Floats,
    cohort: Cohort,
    lambdas: Floats,
    df: int,
    raw: RawGrams | None,
    recall: Recall | None,
) -> Iterator[Floats]:
    """Yield ``(L, PANEL, n)`` predictions of each fold by what the others taught."""
    many, size = traits.shape[1], len(block.counts)
    known, found = recall.solutions(traits) if recall else (None, {})
    new = [column for column in range(many) if column not in found]
    solutions = np.zeros((cohort.folds, len(lambdas), size, many + -many % PANEL))
    for column, solution in found.items():
        solutions[:, :, :, column] = solution
    if new or known is None:
        known, learned = _learned(block, traits[:, new], cohort, lambdas, df, raw, recall)
        solutions[:, :, :, new] = learned
        if recall:
            recall.keep_solutions(traits, known, np.moveaxis(solutions[..., :many], 3, 0))
    for p in range(0, many, PANEL):
        out = np.empty((len(lambdas), PANEL, len(traits)))
        for edge, solution in zip(cohort.edges, solutions, strict=True):
            # One product for the shrinkages of a panel of traits.
            panel = np.hstack(list(solution[:, :, p : p + PANEL]))
            shift = known.loads.T @ panel
            for a, b in block.tiles(*edge):
                values = block.tile(a, b, known.means).T @ panel - cohort.basis[a:b] @ shift
                out[:, :, a:b] = values.T.reshape(len(lambdas), PANEL, b - a)
        yield out


def _learned(
    block: Block,
    traits: Floats,
    cohort: Cohort,
    lambdas: Floats,
    df: int,
    raw: RawGrams | None,
    recall: Recall | None,
) -> tuple[Adjustment, Floats]:
    """Return ``(K, L, B, T)`` coefficients of raw genotypes that those outside of a fold teach."""
    kept = recall.systems() if recall else None
    if kept:
        known, systems = kept
    else:
        known, systems = _systems(block, cohort, lambdas, df, raw, recall)
    padded = _padded(traits)
    parts = [
        trait_products(block, known.means, cohort, padded, edge, known.loads, known.scales)
        for edge in cohort.edges
    ]
    right = sum(parts[1:], parts[0].copy())
    out = np.empty((cohort.folds, len(lambdas), len(block.counts), traits.shape[1]))
    for part, (others, factors), answer in zip(parts, systems, out, strict=True):
        solution = ridge(others, right - part, lambdas, factors) * known.scales[:, None]
        answer[:] = solution[:, :, : traits.shape[1]]
    return known, out


def _systems(
    block: Block,
    cohort: Cohort,
    lambdas: Floats,
    df: int,
    raw: RawGrams | None,
    recall: Recall | None,
) -> tuple[Adjustment, Iterator[tuple[Floats, list[Factor]]]]:
    """Sum up over those outside of each fold, and factorise."""
    means = block.means()
    parts = []
    for k, (start, stop) in enumerate(cohort.edges):
        gram = None
        if raw is not None and block.whole:
            gram = raw.of(cohort.rows[start:stop], k, cohort.folds)
        parts.append(products(block, means, cohort, (start, stop), gram))
    grams, loads, scales = adjusted(block, parts, means, df)
    known = Adjustment(means, loads, scales)

    def each() -> Iterator[tuple[Floats, list[Factor]]]:
        total = sum(grams[1:], grams[0].copy())
        with recall.keep_systems(known) if recall else nullcontext() as keep:
            while grams:
                others = np.subtract(total, grams[0], out=grams.pop(0))
                factors = factorised(others, lambdas)
                if keep:
                    keep(others, factors)
                yield others, factors

    return known, each()


def _one_out(
    block: Block,
    traits: Floats,
    cohort: Cohort,
    lambdas: Floats,
    df: int,
    raw: RawGrams | None,
) -> Iterator[Floats]:
    """Yield ``(L, PANEL, n)`` predictions of each person by what all others taught.

    By the leverage: with H = (A + lambda I)^-1 and v = g' H g of a person, the prediction without
    that person is (g' H G y - v y) / (1 - v).
    """
    means = block.means()
    whole = raw.of(cohort.rows, 0, 1) if raw is not None and block.whole else None
    part = products(block, means, cohort, (0, len(traits)), whole)
    (gram,), loads, scales = adjusted(block, [part], means, df)
    traits = _padded(traits)
    right = trait_products(block, means, cohort, traits, (0, len(traits)), loads, scales)
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
