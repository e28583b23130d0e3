"""Single pairs of SNP and voxel in double precision: every value that is told comes from here."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from tessera.vgwas.rows import Rows, dot

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
    With subjects left out of a SNP's model, the length of the map that is left follows from those
    few: the map is orthogonal to the covariates Q over all subjects, so over the others Qᵀy is
    -Q_Mᵀ y_M, and the square of what is left is 1 - |y_M|² - |TᵀQ_Mᵀ y_M|², T being `rows.kept`.
    """
    r = np.empty(len(row))
    none = np.zeros((0, model.y.shape[1]))
    _correlate(
        rows.x, rows.norm, rows.absent, rows.kept, model.y, model.norm, model.basis,
        none if turned is None else turned, row, voxel, r,
    )  # fmt: skip
    return r


def t_of_r(r: Floats, df: Floats) -> Floats:
    """Return Student's t of a partial correlation."""
    t: Floats = r * np.sqrt(df / np.maximum(1 - np.square(r), 1e-300))
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
        rows.x, rows.norm, rows.absent, rows.kept, model.y, model.basis, row, voxel, beta, rss
    )  # fmt: skip
    error = np.sqrt(rss / rows.df[row]) / rows.norm[row]
    with np.errstate(divide="ignore"):
        t = beta / error
    return beta * scale[voxel], error * scale[voxel], t


@numba.njit(cache=True, nogil=True)
def _correlate(x, norm, absent, kept, y, y_norm, basis, turned, row, voxel, r):  # type: ignore[no-untyped-def]
    for p in range(len(row)):
        s, v = row[p], voxel[p]
        left = y_norm[v] ** 2
        for j in range(len(turned)):
            left -= dot(turned[j], y[v]) ** 2
        if len(absent):
            left -= _explained(absent[s], kept[s], basis, y[v])[0]
        r[p] = dot(x[s], y[v]) / (norm[s] * np.sqrt(left))


@numba.njit(cache=True, nogil=True)
def _explained(absent, kept, basis, y):  # type: ignore[no-untyped-def]
    """Return what leaving subjects out takes off |y|², and the weights of the covariates then."""
    k = len(basis)
    gone = 0.0
    inner = np.zeros(k)
    for i in range(len(absent)):
        if absent[i]:
            gone += float(y[i]) ** 2
            for j in range(k):
                inner[j] += basis[j, i] * y[i]
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
def _fit(x, norm, absent, kept, y, basis, row, voxel, beta, rss):  # type: ignore[no-untyped-def]
    n = x.shape[1]
    k = len(basis)
    for p in range(len(row)):
        s, v = row[p], voxel[p]
        b = dot(x[s], y[v]) / norm[s] ** 2
        total = 0.0
        if len(absent) and absent[s].any():
            weights = _explained(absent[s], kept[s], basis, y[v])[1]
            for i in range(n):
                if not absent[s, i]:
                    rest = y[v, i] - b * x[s, i]
                    for j in range(k):
                        rest += weights[j] * basis[j, i]
                    total += rest**2
        else:
            for i in range(n):
                rest = y[v, i] - b * x[s, i]
                total += rest**2
        beta[p], rss[p] = b, total
