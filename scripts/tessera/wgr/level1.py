"""Level 1: one ridge regression per trait on the predictions of all blocks, chosen by validation.

Mbatchou et al. 2021, Nature Genetics 53:1097, "Ridge regression, level 1" and "LOCO predictions".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg

from tessera.wgr.cohort import Cohort, penalties
from tessera.wgr.ridge_logistic import CLIP, fit_ridge_logistic, probabilities

Floats = npt.NDArray[np.float64]

_TILE = 2048  # people held at a time


class Features:
    """Predictions of level 0 of one trait, read a range of people at a time.

    Parameters
    ----------
    parts
        ``(L, N)`` of each block, over all people of the study; may be mapped from disk.
    rows
        ``(n,)`` int64: the trait's people among them.
    """

    def __init__(self, parts: Sequence[Floats], rows: npt.NDArray[np.int64]):
        self._parts = parts
        self._rows = rows
        self.n_people = len(rows)
        self.n_columns = sum(len(part) for part in parts)

    def read(self, start: int, stop: int) -> Floats:
        """Return ``(stop - start, J)`` float64."""
        rows = self._rows[start:stop]
        if not len(rows):
            return np.empty((0, self.n_columns))
        first, last = rows[0], rows[-1] + 1
        inner = rows - first
        columns = [part[:, first:last][:, inner] for part in self._parts]
        return np.ascontiguousarray(np.concatenate(columns).T)

    def tiles(self, start: int, stop: int) -> Iterator[tuple[slice, Floats]]:
        """Go through a range of people."""
        for a in range(start, stop, _TILE):
            b = min(a + _TILE, stop)
            yield slice(a, b), self.read(a, b)


@dataclass(frozen=True)
class Level1:
    """The chosen model of a trait.

    Attributes
    ----------
    loss
        ``(L,)``: mean squared error, or minus log-likelihood per person, of each ridge parameter.
    rsq
        ``(L,)``: squared correlation of predictions with the trait.
    best
        Which is chosen.
    coefficients
        ``(K, J)``: of each fold; ``(1, J)`` of all people where each is left out in turn.
    inverse
        ``(J, J)`` inverse of the penalised information, where each is left out in turn; else empty.
    """

    loss: Floats
    rsq: Floats
    best: int
    coefficients: Floats
    inverse: Floats


def fit_quantitative(
    features: Features, trait: Floats, cohort: Cohort, h2: Sequence[float], convention: str
) -> Level1:
    """Fit a quantitative trait.

    Parameters
    ----------
    trait
        ``(n,)``: adjusted and scaled.
    h2
        Grid of heritabilities.
    """
    # A product of a vector with gaps may differ in its last bit from one without.
    trait = np.ascontiguousarray(trait)
    taus = penalties(h2, features.n_columns, convention)
    if not cohort.folds:
        return _fit_one_out(features, trait, taus)
    parts = [_moments(features, trait, *edge) for edge in cohort.edges]
    gram, right = sum(p[0] for p in parts), sum(p[1] for p in parts)
    coefficients = np.empty((len(taus), len(parts), features.n_columns))
    tally = _Tally(len(taus))
    for k, (start, stop) in enumerate(cohort.edges):
        for number, tau in enumerate(taus):
            coefficients[number, k] = _solve(gram - parts[k][0], right - parts[k][1], tau)
        for people, x in features.tiles(start, stop):
            tally.add(x @ coefficients[:, k].T, trait[people])
    best = int(np.argmin(tally.squared_error))
    none = np.empty((0, 0))
    return Level1(tally.squared_error, tally.rsq, best, coefficients[best], none)


def _fit_one_out(features: Features, trait: Floats, taus: Floats) -> Level1:
    gram, right = _moments(features, trait, 0, features.n_people)
    inverses = [_inverse(gram, tau) for tau in taus]
    solutions = [inverse @ right for inverse in inverses]
    tally = _Tally(len(taus))
    for people, x in features.tiles(0, features.n_people):
        fitted = np.empty((len(x), len(taus)))
        for number, (inverse, solution) in enumerate(zip(inverses, solutions, strict=True)):
            leverage = np.einsum("ij,ij->i", x @ inverse, x)
            fitted[:, number] = (x @ solution - leverage * trait[people]) / (1 - leverage)
        tally.add(fitted, trait[people])
    best = int(np.argmin(tally.squared_error))
    return Level1(tally.squared_error, tally.rsq, best, solutions[best][None], inverses[best])


def fit_binary(
    features: Features, cases: Floats, offset: Floats, cohort: Cohort, h2: Sequence[float]
) -> Level1:
    """Fit a binary trait by logistic ridge regression.

    Parameters
    ----------
    cases
        ``(n,)`` of 0 and 1.
    offset
        ``(n,)``: log-odds by the covariates alone.

    Raises
    ------
    ArithmeticError
        A model does not converge.
    """
    taus = penalties(h2, features.n_columns, "", binary=True)
    size = features.n_columns
    tally = _Tally(len(taus))
    everyone = [(0, features.n_people)]
    if not cohort.folds:
        models, start = [], np.zeros(size)
        for tau in taus:
            start, inverse = fit_ridge_logistic(features, cases, offset, everyone, tau, start)
            models.append((start, inverse))
        for people, x in features.tiles(0, features.n_people):
            fitted = np.column_stack(
                [
                    offset[people] + _left_out(x, cases[people], offset[people], *model)
                    for model in models
                ]
            )
            tally.add(_clipped(fitted), cases[people])
        best = int(np.argmin(tally.minus_log_likelihood))
        coefficients, inverse = models[best]
        return Level1(tally.minus_log_likelihood, tally.rsq, best, coefficients[None], inverse)
    fits = np.empty((len(taus), cohort.folds, size))
    for k, edge in enumerate(cohort.edges):
        others = [other for other in cohort.edges if other != edge]
        start = np.zeros(size)
        for number, tau in enumerate(taus):
            start, _ = fit_ridge_logistic(features, cases, offset, others, tau, start)
            fits[number, k] = start
        for people, x in features.tiles(*edge):
            tally.add(_clipped(offset[people][:, None] + x @ fits[:, k].T), cases[people])
    best = int(np.argmin(tally.minus_log_likelihood))
    none = np.empty((0, 0))
    return Level1(tally.minus_log_likelihood, tally.rsq, best, fits[best], none)


def contributions(
    features: Features,
    model: Level1,
    cohort: Cohort,
    chromosomes: npt.NDArray[np.int64],
    trait: Floats,
    offset: Floats | None,
) -> Floats:
    """Return what each chromosome contributes to the prediction of each person.

    Parameters
    ----------
    chromosomes
        ``(J,)``: of each column.
    trait
        ``(n,)``: scaled, or 0 and 1 for a binary one.
    offset
        ``(n,)`` of a binary trait, None for a quantitative one.

    Returns
    -------
    ndarray
        ``(23, n)``: chromosomes 1 to 23; the person's own fold (or the person) was left out.
    """
    out = np.zeros((23, features.n_people))
    edges = cohort.edges if cohort.folds else [(0, features.n_people)]
    for k, edge in enumerate(edges):
        for people, x in features.tiles(*edge):
            weights = np.broadcast_to(model.coefficients[k], x.shape)
            if not cohort.folds:
                y = trait[people]
                if offset is None:
                    turned = x @ model.inverse
                    leverage = np.einsum("ij,ij->i", turned, x)
                    error = y - x @ model.coefficients[0]
                else:
                    turned, leverage, error = _without(
                        x, y, offset[people], model.coefficients[0], model.inverse
                    )
                weights = weights - turned * (error / (1 - leverage))[:, None]
            products = x * weights
            for chromosome in np.unique(chromosomes):
                chosen = chromosomes == chromosome
                out[chromosome - 1, people] = products[:, chosen].sum(axis=1)
    return out


def loco(contributed: Floats) -> Floats:
    """Return ``(23, n)`` predictions that leave out one chromosome each."""
    total = np.zeros(contributed.shape[1])
    for row in contributed:
        total += row
    return np.asarray(total - contributed, np.float64)


def _moments(features: Features, trait: Floats, start: int, stop: int) -> tuple[Floats, Floats]:
    gram = np.zeros((features.n_columns, features.n_columns))
    right = np.zeros(features.n_columns)
    for people, x in features.tiles(start, stop):
        gram += x.T @ x
        right += x.T @ trait[people]
    return gram, right


def _solve(gram: Floats, right: Floats, tau: float) -> Floats:
    factor = linalg.cho_factor(gram + tau * np.eye(len(gram)), lower=True, overwrite_a=True)
    return np.asarray(linalg.cho_solve(factor, right), np.float64)


def _inverse(gram: Floats, tau: float) -> Floats:
    identity = np.eye(len(gram))
    factor = linalg.cho_factor(gram + tau * identity, lower=True, overwrite_a=True)
    return np.asarray(linalg.cho_solve(factor, identity), np.float64)


def _without(
    x: Floats, cases: Floats, offset: Floats, coefficients: Floats, inverse: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return how coefficients turn, the leverage and the error of each person left out."""
    p, weights = probabilities(offset + x @ coefficients)
    turned = x @ inverse
    return turned, np.einsum("ij,ij->i", turned, x) * weights, cases - p


def _left_out(
    x: Floats, cases: Floats, offset: Floats, coefficients: Floats, inverse: Floats
) -> Floats:
    """Return the linear predictor of each person, one step from the model of all."""
    turned, leverage, error = _without(x, cases, offset, coefficients, inverse)
    plain = np.einsum("ij,ij->i", turned, x)
    return np.asarray(x @ coefficients - plain * error / (1 - leverage), np.float64)


def _clipped(log_odds: Floats) -> Floats:
    return np.asarray(np.clip(1 - 1 / (np.exp(log_odds) + 1), CLIP, 1 - CLIP), np.float64)


class _Tally:
    """Sums over people of the predictions of several models."""

    def __init__(self, models: int) -> None:
        self._sums = np.zeros((6, models))
        self._n = 0

    def add(self, fitted: Floats, wanted: Floats) -> None:
        """Add ``(n, models)`` predictions of ``(n,)`` values."""
        y = wanted[:, None]
        self._n += len(wanted)
        rows = [fitted, np.broadcast_to(y, fitted.shape), fitted**2, y**2 + 0 * fitted, y * fitted]
        with np.errstate(divide="ignore", invalid="ignore"):  # not looked at for other traits
            rows.append(-(y * np.log(fitted) + (1 - y) * np.log(1 - fitted)))
        self._sums += [row.sum(axis=0) for row in rows]

    @property
    def squared_error(self) -> Floats:
        s = self._sums
        return np.asarray((s[2] + s[3] - 2 * s[4]) / self._n, np.float64)

    @property
    def minus_log_likelihood(self) -> Floats:
        return np.asarray(self._sums[5] / self._n, np.float64)

    @property
    def rsq(self) -> Floats:
        s, n = self._sums, self._n
        below = (s[2] - s[0] ** 2 / n) * (s[3] - s[1] ** 2 / n)
        above = (s[4] - s[0] * s[1] / n) ** 2
        return np.divide(above, below, out=np.zeros_like(above), where=below > 0)
