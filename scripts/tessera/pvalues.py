"""Tail probabilities on a logarithmic scale, however small."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special, stats

Floats = npt.NDArray[np.float64]


def log10p_of_t(t: npt.ArrayLike, df: npt.ArrayLike) -> Floats:
    """Return -log10 of the two-sided p-value of Student's t.

    Parameters
    ----------
    t
        Any shape; the sign does not matter.
    df
        Degrees of freedom, broadcast against `t`.

    Notes
    -----
    p = I_x(df / 2, 1 / 2) with x = df / (df + t²), the regularised incomplete beta function
    (Abramowitz & Stegun 26.7.1). Where that comes near the least double, it is computed in
    logarithms, from its continued fraction (DLMF 8.17.22).
    """
    t, df = np.broadcast_arrays(np.abs(np.asarray(t, np.float64)), np.asarray(df, np.float64))
    x = df / (df + np.square(t))
    p = special.betainc(0.5 * df, 0.5, x)
    with np.errstate(divide="ignore"):
        answer: Floats = np.array(0.0 - np.log10(p))
    tiny = p < 1e-250
    if tiny.any():
        a, x = 0.5 * df[tiny], x[tiny]
        # 1 - x without the digits that are lost where df is large.
        rest = np.square(t[tiny]) / (df[tiny] + np.square(t[tiny]))
        log = a * np.log(x) + 0.5 * np.log(rest) - np.log(a) - special.betaln(a, 0.5)
        answer[tiny] = (np.log(_fraction(a, 0.5, x)) - log) / np.log(10)
    return answer


def _fraction(a: Floats, b: float, x: Floats) -> Floats:
    """Return the continued fraction under I_x(a, b), DLMF 8.17.22, from its 1,000th term down."""
    below = np.ones_like(x)
    for m in range(500, 0, -1):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m - 1) * (a + b + m - 1) * x / ((a + 2 * m - 2) * (a + 2 * m - 1))
        below = 1 + odd / (1 + even / below)
    return below


def t_of_p(p: npt.ArrayLike, df: npt.ArrayLike) -> Floats:
    """Return the |t| whose two-sided p-value is p; the two are broadcast."""
    return np.asarray(stats.t.isf(0.5 * np.asarray(p), df), np.float64)
