"""The logistic null model of a binary trait: covariates and a fixed offset, no variant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, special

Floats = npt.NDArray[np.float64]

_TOLERANCE = 1e-10  # of the score, in standard errors
_STILL = 1e-8  # change of a log-odds in a step: under separation it stays near 1 for ever
_LEAST_WEIGHT = 1e-14  # p (1 - p) of a fitted probability that is 0 or 1
_MAX_ITERATIONS = 250
_MAX_HALVINGS = 30
_MAX_CHANGE = 5.0  # of a log-odds in one step
_MEMORY = 3  # steps


class NotConverged(ArithmeticError):
    """A logistic model has no finite fit, or none was found."""


@dataclass(frozen=True)
class NullModel:
    """A fitted null model of N individuals and C covariates.

    Attributes
    ----------
    p
        (N,) fitted probabilities.
    w
        (N,) their variances p (1 - p).
    basis
        (N, C) covariates.
    projector
        (C, C) inverse of Q' W Q, Q being the basis and W the weights.
    firth_offset
        (N,) log-odds of the Jeffreys-penalised fit, the given offset included; None where that fit
        was not asked for.
    status
        "ok"; "penalised" where p and w are those of the penalised fit, since the unpenalised one
        does not converge.
    """

    p: Floats
    w: Floats
    basis: Floats
    projector: Floats
    firth_offset: Floats | None
    status: str


def fit_null(y: Floats, basis: Floats, offset: Floats, *, firth: bool) -> NullModel:
    """Fit the null model by maximum likelihood, or by Firth's penalised likelihood if that fails.

    Parameters
    ----------
    y
        (N,) trait, 0 or 1.
    basis
        (N, C) orthonormal columns that span the intercept and the covariates.
    offset
        (N,) fixed part of the log-odds, such as a prediction that leaves a chromosome out.
    firth
        Whether the penalised fit is wanted as well.

    Raises
    ------
    NotConverged
        No fit, or none of the penalised likelihood where that is wanted, converges.

    Notes
    -----
    The maximum likelihood is infinitely far off where a combination of covariates separates cases
    from controls; with Jeffreys' prior as penalty it never is (Heinze & Schemper 2002, Statistics
    in Medicine 21).
    """
    start = np.zeros(basis.shape[1])
    try:
        beta, status = _maximise(y, basis, offset, start, jeffreys=False), "ok"
    except NotConverged:
        beta, status = _maximise(y, basis, offset, start, jeffreys=True), "penalised"
    fit = _Fit(y, basis, offset + basis @ beta, jeffreys=False)
    projector = linalg.cho_solve((fit.factor, True), np.eye(len(start)))
    firth_offset = None
    if firth:
        if status == "ok":
            beta = _maximise(y, basis, offset, beta, jeffreys=True)
        firth_offset = offset + basis @ beta
    return NullModel(fit.p, fit.w, basis, projector, firth_offset, status)


class _Fit:
    """Likelihood and information at given log-odds.

    Raises
    ------
    NotConverged
        The information is singular.
    """

    def __init__(self, y: Floats, basis: Floats, log_odds: Floats, *, jeffreys: bool) -> None:
        self.p: Floats = special.expit(log_odds)
        self.w: Floats = self.p * special.expit(-log_odds)
        try:
            self.factor: Floats = linalg.cholesky((basis.T * self.w) @ basis, lower=True)
        except (linalg.LinAlgError, ValueError):  # the latter of numbers that are not finite
            raise NotConverged("the information of the null model is singular") from None
        self.likelihood = float(y @ log_odds - np.logaddexp(0, log_odds).sum())
        pull = y - self.p
        if jeffreys:
            self.likelihood += float(np.log(np.diag(self.factor)).sum())  # 1/2 log |information|
            half = linalg.solve_triangular(self.factor, basis.T, lower=True)
            leverage = self.w * np.square(half).sum(axis=0)
            pull += leverage * (0.5 - self.p)
        score = basis.T @ pull
        self.step: Floats = linalg.cho_solve((self.factor, True), score)
        self.distance = float(np.sqrt(max(score @ self.step, 0.0)))  # in standard errors


def _maximise(y: Floats, basis: Floats, offset: Floats, beta: Floats, *, jeffreys: bool) -> Floats:
    """Return the coefficients of highest likelihood, by Fisher scoring from others on.

    The score of Jeffreys' penalty is that of Firth 1993, Biometrika 80, equation 3.
    """
    log_odds = offset + basis @ beta
    now = _Fit(y, basis, log_odds, jeffreys=jeffreys)
    past: list[tuple[Floats, Floats]] = []
    for _ in range(_MAX_ITERATIONS):
        if now.distance <= _TOLERANCE and np.abs(basis @ now.step).max() <= _STILL:
            return beta
        if not jeffreys and now.w.min() < _LEAST_WEIGHT:
            raise NotConverged("fitted probabilities of the null model are 0 or 1")
        if jeffreys:
            past = [*past[-_MEMORY:], (beta, now.step)]
        slack = 1e-12 * abs(now.likelihood)  # what rounding may take off
        for move in _moves(now.step, past):
            change = basis @ move
            share = min(1.0, _MAX_CHANGE / float(np.abs(change).max()))
            then = _Fit(y, basis, log_odds + share * change, jeffreys=jeffreys)
            if then.likelihood >= now.likelihood - slack:
                break
        else:
            raise NotConverged("the likelihood of the null model does not rise")
        beta, log_odds, now = beta + share * move, log_odds + share * change, then
    raise NotConverged(f"the null model does not converge in {_MAX_ITERATIONS} steps")


def _moves(step: Floats, past: list[tuple[Floats, Floats]]) -> Iterator[Floats]:
    """Go through moves to try, from the boldest on.

    The information leaves out how the penalty bends, which under separation is most of what there
    is: scoring then creeps. Anderson's mixing (1965, Journal of the ACM 12) learns it from steps
    before.
    """
    if len(past) > 1:
        betas, steps = (np.diff(column, axis=0).T for column in zip(*past, strict=True))
        mix = np.linalg.lstsq(steps, step)[0]
        yield step - (betas + steps) @ mix
    for halvings in range(_MAX_HALVINGS):
        yield step / 2**halvings
