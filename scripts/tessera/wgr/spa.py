"""Saddlepoint approximation of the tails of the score test of binary traits."""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt
from scipy import special

Floats = npt.NDArray[np.float64]

_SMALL = 1e-3
"""Score statistic below which the approximation is 0/0 to rounding, while p is above 0.999."""
_TOLERANCE = 1e-10  # of the saddlepoint, relative
_MAX_ITERATIONS = 100


def saddlepoint(
    stat: Floats,
    denom: Floats,
    m: Floats,
    p: Floats,
    carriers: npt.NDArray[np.bool_],
    both_tails: bool,
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return p-values of score tests from their cumulant generating functions.

    Each row is computed by itself: its result does not depend on which others are asked for.

    Parameters
    ----------
    stat
        (V,) score statistics Σ m (y - p) / sqrt(denom).
    denom
        (V,) variances Σ p (1 - p) m² of the scores.
    m
        (V, N) genotypes without what covariates explain by the null model's weights.
    p
        (N,) probabilities of the null model.
    carriers
        (V, N) who carries the rarer allele. Where these are fewer than half, all others enter by
        their mean and variance alone.
    both_tails
        Whether p is the sum of both tails (REGENIE 4) or twice the tail on the side of the
        observed score (REGENIE 1).

    Returns
    -------
    log10p, ok
        (V,) -log10 of the p-values, and whether there is one: the score must lie inside the range
        that it can take, and the approximation must not be above 1. NaN where there is none.

    Notes
    -----
    With K the cumulant generating function of the standardised score under the null, t the
    saddlepoint K'(t) = s, w = sqrt(2 (t s - K(t))) and v = t sqrt(K''(t)), the upper tail from s
    on is Φ(-r), r = w + log(v / w) / w (Barndorff-Nielsen's form of Lugannani & Rice 1980; Dey et
    al. 2017, American Journal of Human Genetics 101).
    """
    stat, denom, m, p = (np.ascontiguousarray(a, np.float64) for a in (stat, denom, m, p))
    r = np.empty((len(m), 2 if both_tails else 1))
    _quantiles(stat, denom, m, p, np.ascontiguousarray(carriers), r)
    tails = special.log_ndtr(-r)
    with np.errstate(invalid="ignore"):  # NaN is none
        log = np.logaddexp(tails[:, 0], tails[:, -1])  # of a single tail: twice that
        ok = log <= 0
    return np.where(ok, np.abs(log) / np.log(10), np.nan), ok


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _slopes(size, near, far, count, rest, t):  # type: ignore[no-untyped-def]
    """Return K' and K''."""
    first, second = t * rest, rest
    for i in range(count):
        e = math.exp(-t * size[i])
        share = 1.0 / (near[i] + far[i] * e)
        pull = size[i] * near[i] * far[i] * share
        first += pull * (1.0 - e)
        second += pull * size[i] * e * share
    return first, second


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _tail(size, near, far, count, rest, s):  # type: ignore[no-untyped-def]
    """Return the normal quantile r of the upper tail from s on; inf if it is empty, NaN if none.

    The score is a sum of independent size (B - near), with B = 1 with probability near, else 0,
    and of a normal part of variance rest.
    """
    reach = 0.0
    for i in range(count):
        reach += size[i] * far[i]
    if rest == 0.0 and s >= reach:
        return math.inf
    t, low, high = s, 0.0, math.inf
    for _ in range(_MAX_ITERATIONS):
        first, second = _slopes(size, near, far, count, rest, t)
        miss = first - s
        if abs(miss) <= _TOLERANCE * t * second:
            k = 0.5 * t * t * rest
            for i in range(count):
                x = t * size[i]
                k += x * far[i] + math.log1p(far[i] * math.expm1(-x))
            w = math.sqrt(2.0 * (t * s - k))
            return w + math.log(t * math.sqrt(second) / w) / w
        if miss < 0.0:
            low = t
        else:
            high = t
        t = min(t - miss / second, 4.0 * t)
        if not low < t < high:
            t = 0.5 * (low + high)
    return math.nan


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _quantiles(stat, denom, m, p, carriers, r):  # type: ignore[no-untyped-def]
    n = len(p)
    size, near, far = np.empty(n), np.empty(n), np.empty(n)
    for v in range(len(m)):
        s = abs(stat[v])
        if s < _SMALL:
            r[v] = s
            continue
        scale = math.copysign(1.0 / math.sqrt(denom[v]), stat[v])
        few = 2 * carriers[v].sum() < n
        reach = rest = 0.0
        count = 0
        for i in range(n):
            u = m[v, i] * scale
            reach += u * (1.0 - p[i]) if u > 0.0 else -u * p[i]
            if few and not carriers[v, i]:
                rest += u * u * p[i] * (1.0 - p[i])
            else:
                size[count] = abs(u)
                near[count] = p[i] if u > 0.0 else 1.0 - p[i]
                far[count] = 1.0 - p[i] if u > 0.0 else p[i]
                count += 1
        r[v] = math.nan
        if s < reach:
            r[v, 0] = _tail(size, near, far, count, rest, s)
            if r.shape[1] == 2:
                r[v, 1] = _tail(size, far, near, count, rest, s)
