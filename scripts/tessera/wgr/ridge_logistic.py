"""Logistic ridge regression with an offset, over people that are read in tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy import linalg, special

from tessera.wgr.logistic import NotConverged

Floats = npt.NDArray[np.float64]

CLIP = 1e-5
"""Probabilities closer than this to 0 or 1 count as this far from them in a loss, as in REGENIE."""

_ITERATIONS, _HALVINGS = 100, 25
_TOLERANCE = 1e-9  # of the largest entry of the score, per person


class Tiled(Protocol):
    """People by columns, read in tiles."""

    n_columns: int

    def tiles(self, start: int, stop: int) -> Iterator[tuple[slice, Floats]]:
        """Go through a range of people."""
        ...


def probabilities(log_odds: Floats) -> tuple[Floats, Floats]:
    """Return probabilities and the variances that go with them.

    REGENIE takes those within 1e-5 of 0 or 1 for 0 or 1. The score then jumps where a fitted
    probability passes there, and of a rare disease it often has no zero that could be found.
    """
    p = special.expit(log_odds)
    return p, p * (1 - p)


def fit_ridge_logistic(
    features: Tiled,
    cases: Floats,
    offset: Floats,
    edges: Sequence[tuple[int, int]],
    tau: float,
    start: Floats,
) -> tuple[Floats, Floats]:
    """Fit by Newton's method.

    Parameters
    ----------
    features
        ``(n, J)``.
    cases
        ``(n,)`` of 0 and 1.
    offset
        ``(n,)``.
    edges
        Ranges of the people to learn from.
    tau
        Ridge parameter.
    start
        ``(J,)``: first coefficients.

    Returns
    -------
    coefficients, inverse
        ``(J,)``, and ``(J, J)`` inverse of the penalised information there.

    Raises
    ------
    NotConverged
        No fit was found.
    """
    beta = start.copy()
    loss, score, information = _at(features, cases, offset, edges, tau, beta)
    people = sum(stop - first for first, stop in edges)
    for _ in range(_ITERATIONS):
        factor = linalg.cho_factor(information, lower=True)
        if np.abs(score).max(initial=0.0) < _TOLERANCE * people:
            return beta, linalg.cho_solve(factor, np.eye(len(beta)))
        step = linalg.cho_solve(factor, score)
        for _ in range(_HALVINGS):
            tried = _at(features, cases, offset, edges, tau, beta + step)
            # Where the loss no longer tells, a smaller score does.
            if tried[0] <= loss + 1e-10 * abs(loss):
                break
            step = step / 2
        else:
            break
        beta = beta + step
        loss, score, information = tried
    raise NotConverged("the logistic ridge regression does not converge")


def _at(
    features: Tiled,
    cases: Floats,
    offset: Floats,
    edges: Sequence[tuple[int, int]],
    tau: float,
    beta: Floats,
) -> tuple[float, Floats, Floats]:
    """Return penalised loss, score and information."""
    information = tau * np.eye(len(beta))
    score = -tau * beta
    loss = tau * float(beta @ beta) / 2
    for edge in edges:
        for people, x in features.tiles(*edge):
            log_odds = offset[people] + x @ beta
            p, weights = probabilities(log_odds)
            loss += float((np.logaddexp(0, log_odds) - cases[people] * log_odds).sum())
            score += x.T @ (cases[people] - p)
            information += (x.T * weights) @ x
    return loss, score, information
