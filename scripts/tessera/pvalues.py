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
    (Abramowitz & Stegun 26.7.1). Where that comes near the least double, its hypergeometric series
    (26.5.23 by way of 15.3.3) is summed in logarithms: x is small there.
    """
    t, df = np.broadcast_arrays(np.abs(np.asarray(t, np.float64)), np.asarray(df, np.float64))
    x = df / (df + np.square(t))
    p = special.betainc(0.5 * df, 0.5, x)
    with np.errstate(divide="ignore"):
        answer: Floats = np.array(0.0 - np.log10(p))
    tiny = p < 1e-250
    if tiny.any():
        a, b, x = 0.5 * df[tiny], 0.5, x[tiny]
        log = a * np.log(x) + b * np.log1p(-x) - np.log(a) - special.betaln(a, b)
        answer[tiny] = -(log + np.log(special.hyp2f1(a + b, 1, a + 1, x))) / np.log(10)
    return answer


def t_of_p(p: npt.ArrayLike, df: npt.ArrayLike) -> Floats:
    """Return the |t| whose two-sided p-value is p; the two are broadcast."""
    return np.asarray(stats.t.isf(0.5 * np.asarray(p), df), np.float64)
