"""Approximate Firth regression: the effect of one variant at a time, all else a fixed offset."""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_TOLERANCE = 1e-10  # of the score, in standard errors
_MAX_ITERATIONS = 250
_MAX_HALVINGS = 30
_MAX_STEP = 5.0
_RUN = 512  # factors of at most 2 whose product is far from the largest double


def approximate_firth(
    y: Floats, g: Floats, offset: Floats
) -> tuple[Floats, Floats, Floats, npt.NDArray[np.bool_]]:
    """Fit one-parameter logistic models with Jeffreys' prior as penalty.

    Each row is computed by itself: its result does not depend on which others are asked for.

    Parameters
    ----------
    y
        (N,) trait, 0 or 1.
    g
        (V, N) copies of an allele without what covariates explain, one variant per row.
    offset
        (N,) log-odds of the penalised null model (`tessera.wgr.logistic.NullModel.firth_offset`).

    Returns
    -------
    beta, se, chisq, ok
        (V,) effect, its standard error from the information without the penalty, chi-square of the
        penalised likelihood ratio (1 degree of freedom), and whether the fit converged; the others
        are NaN where it did not.

    Notes
    -----
    With p the fitted probabilities, w = p (1 - p) and the information I = Σ w g², the penalised
    log-likelihood is l(b) + 1/2 log I(b). Its score Σ g (y - p) + h (1/2 - p) g, h = w g² / I
    (Firth 1993, Biometrika 80) is brought to 0 by Newton's method with its true slope. Keeping
    covariates at their effects under the null is the approximation of Mbatchou et al. 2021, Nature
    Genetics 53, which also sets the limits of steps and iterations. Where the offset contradicts
    the trait there may be several maxima: the one found lies uphill from no effect.
    """
    y, g, offset = (np.ascontiguousarray(array, np.float64) for array in (y, g, offset))
    fits = np.empty((len(g), 3))
    _fit_rows(y, g, offset, fits)
    return fits[:, 0], fits[:, 1], fits[:, 2], np.isfinite(fits[:, 0])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _look(y, g, offset, b):  # type: ignore[no-untyped-def]
    """Return penalised deviance, score, minus its slope, and information at an effect."""
    loss = logarithm = score = information = third = fourth = 0.0
    for start in range(0, len(y), _RUN):
        product = 1.0
        for i in range(start, min(start + _RUN, len(y))):
            x = offset[i] + b * g[i]
            e = math.exp(-abs(x))
            larger = 1.0 / (1.0 + e)
            smaller = e * larger
            p = larger if x >= 0 else smaller
            asymmetry = smaller - larger if x >= 0 else larger - smaller  # 1 - 2 p
            w = larger * smaller
            square = g[i] * g[i]
            weight = w * square
            score += g[i] * (y[i] - p)
            information += weight
            third += weight * g[i] * asymmetry
            fourth += weight * square * (1.0 - 6.0 * w)
            loss += (x if x >= 0 else 0.0) - y[i] * x
            product *= 1.0 + e  # one logarithm for many people
        logarithm += math.log(product)
    if not 0.0 < information < math.inf:
        return math.inf, math.nan, math.nan, math.nan
    third /= information
    fourth /= information
    deviance = 2.0 * (loss + logarithm) - math.log(information)
    bend = information - 0.5 * (fourth - third * third)
    return deviance, score + 0.5 * third, bend, information


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fit(y, g, offset, out):  # type: ignore[no-untyped-def]
    """Fill in effect, standard error and chi-square, or NaN."""
    out[:] = math.nan
    b = 0.0
    deviance, score, bend, information = _look(y, g, offset, b)
    if math.isnan(information):
        return
    null = deviance
    for _ in range(_MAX_ITERATIONS):
        if abs(score) <= _TOLERANCE * math.sqrt(information):
            out[0] = b
            out[1] = 1.0 / math.sqrt(information)
            out[2] = max(null - deviance, 0.0)  # of no effect, rounding may leave less
            return
        # Where few people carry, the penalty can bend the other way than the likelihood does.
        step = score / max(bend, 0.25 * information)
        step = min(max(step, -_MAX_STEP), _MAX_STEP)
        slack = 1e-12 * abs(deviance)  # what rounding may add
        for _ in range(_MAX_HALVINGS):
            then = _look(y, g, offset, b + step)
            if then[0] <= deviance + slack:
                break
            step *= 0.5
        else:
            return
        b += step
        deviance, score, bend, information = then


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fit_rows(y, g, offset, fits):  # type: ignore[no-untyped-def]
    for v in range(len(g)):
        _fit(y, g[v], offset, fits[v])
