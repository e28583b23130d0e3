"""Single pairs of SNP and voxel in double precision: every value that is told comes from here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
import numpy.typing as npt

from tessera.vgwas.rows import Rows, dot

_NOTHING = 1e-6
"""Share of a map's variance below which nothing is left of it, under a permutation or without the
people left out: single precision holds no more of it. Such a pair has no correlation."""
_LEAST_REST = 1e-15  # of the residual variance: rounding leaves as much of a perfect fit

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Model:
    """What all tests share.

    Attributes
    ----------
    y
        (V, N) float32, the adjusted maps, voxel by voxel, of length 1 but for rounding.
    norm
        (V,) their exact lengths.
    basis
        (K, N) orthonormal covariates.
    """

    y: npt.NDArray[np.float32]
    norm: Floats
    basis: Floats

    @cached_property
    def inner(self) -> Floats:
        """(V, K) products of maps and covariates: what rounding to single precision left of 0."""
        inner = np.empty((len(self.y), len(self.basis)))
        for start in range(0, len(self.y), 1024):
            y = self.y[start : start + 1024].astype(np.float64)
            inner[start : start + 1024] = y @ self.basis.T
        return inner


def correlations(
    rows: Rows, model: Model, row: Places, voxel: Places, turned: Floats | None = None
) -> Floats:
    """Return the partial correlations of pairs.

    Parameters
    ----------
    rows
        SNPs, permuted or not.
    model
        Maps and covariates.
    row, voxel
        (P,) the pairs.
    turned
        (K, N) covariates permuted like the SNPs, where it is the maps that are thought of as
        permuted and must be adjusted again (Freedman & Lane).

    Notes
    -----
    With subjects M left out of a SNP's model, the length of the map that is left follows from
    those few: over the others Qᵀy is Qᵀy over all, known beforehand, less Q_Mᵀ y_M, and the square
    of what is left is |y|² - |y_M|² - |Tᵀ (Qᵀy - Q_Mᵀ y_M)|², T being `rows.kept`.
    """
    r = np.empty(len(row))
    none = np.zeros((0, model.y.shape[1]))
    _correlate(
        rows.x, rows.norm, rows.absent, rows.kept, model.y, model.norm, model.basis,
        model.inner if len(rows.absent) else none, none if turned is None else turned,
        row, voxel, r,
    )  # fmt: skip
    return r


def t_of_r(r: Floats, df: Floats) -> Floats:
    """Return Student's t of a partial correlation."""
    t: Floats = r * np.sqrt(df / np.maximum(1 - np.square(r), _LEAST_REST))
    return t


def r_of_t(t: npt.ArrayLike, df: npt.ArrayLike) -> Floats:
    """Return the partial correlation of a Student's t."""
    t, df = np.asarray(t, np.float64), np.asarray(df, np.float64)
    r: Floats = t / np.sqrt(df + np.square(t))
    return r


def estimates(
    rows: Rows, model: Model, scale: Floats, row: Places, voxel: Places
) -> tuple[Floats, Floats, Floats]:
    """Return effect, standard error and t of pairs.

    Residuals are summed as they are, not as a difference from 1, so that a SNP that explains all
    but a millionth keeps its digits.

    Parameters
    ----------
    rows, model, row, voxel
        As for `correlations`.
    scale
        (V,) lengths of the adjusted maps, in their own unit, by which they were divided.

    Returns
    -------
    (P,) change of the map per copy of the allele (as coded), its standard error, and t.
    """
    beta, rss = np.empty(len(row)), np.empty(len(row))
    _fit(
        rows.x, rows.norm, rows.absent, rows.kept, model.y, model.basis,
        model.inner if len(rows.absent) else np.zeros((0, 0)), row, voxel, beta, rss,
    )  # fmt: skip
    error = np.sqrt(np.maximum(rss, _LEAST_REST) / rows.df[row]) / rows.norm[row]
    return beta * scale[voxel], error * scale[voxel], beta / error


@numba.njit(cache=True, nogil=True)
def _correlate(  # type: ignore[no-untyped-def]
    x, norm, absent, kept, y, y_norm, basis, inner, turned, row, voxel, r
):
    for p in range(len(row)):
        s, v = row[p], voxel[p]
        left = y_norm[v] ** 2
        for j in range(len(turned)):
            left -= dot(turned[j], y[v]) ** 2
        if len(absent):
            left -= _explained(absent[s], kept[s], basis, y[v], inner[v])[0]
        r[p] = dot(x[s], y[v]) / (norm[s] * np.sqrt(left)) if left > _NOTHING else 0.0


@numba.njit(cache=True, nogil=True)
def _explained(absent, kept, basis, y, whole):  # type: ignore[no-untyped-def]
    """Return what leaving subjects out takes off |y|², and the weights of the covariates then."""
    k = len(basis)
    gone = 0.0
    inner = whole.copy()
    for i in range(len(absent)):
        if absent[i]:
            value = np.float64(y[i])  # float() would leave it in single precision
            gone += value**2
            for j in range(k):
                inner[j] -= basis[j, i] * value
    weights = np.zeros(k)
    for m in range(k):
        turned = 0.0
        for j in range(k):
            turned += kept[j, m] * inner[j]
        gone += turned**2
        for j in range(k):
            weights[j] += kept[j, m] * turned
    return gone, weights


@numba.njit(cache=True, nogil=True)
def _fit(x, norm, absent, kept, y, basis, inner, row, voxel, beta, rss):  # type: ignore[no-untyped-def]
    n = x.shape[1]
    k = len(basis)
    for p in range(len(row)):
        s, v = row[p], voxel[p]
        b = dot(x[s], y[v]) / norm[s] ** 2
        total = 0.0
        if len(absent) and absent[s].any():
            weights = _explained(absent[s], kept[s], basis, y[v], inner[v])[1]
            for i in range(n):
                if not absent[s, i]:
                    rest = y[v, i] - b * x[s, i]
                    for j in range(k):
                        rest -= weights[j] * basis[j, i]
                    total += rest**2
        else:
            for i in range(n):
                rest = y[v, i] - b * x[s, i]
                total += rest**2
        beta[p], rss[p] = b, total
