"""The diffusion tensor of each voxel: linear estimators, eigenvalues, scalar maps.

All estimators minimise the weighted sum of squares of ``ln S - X beta`` (Basser et al. 1994) and
differ in the weights only, which matters: on measured data by up to 0.14 in fractional anisotropy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Method = Literal["ols", "wls_measured", "wls_fitted", "iwls"]

CHUNK_VOXELS = 2000
"""Voxels to pass to `fit_tensor` at a time: its work arrays then stay in the CPU's cache."""

_UNKNOWNS = 7
_LOWER = [(row, column) for row in range(_UNKNOWNS) for column in range(row + 1)]
_SINGULAR = 1e-12
"""Share of a diagonal element that elimination must leave, or the matrix counts as singular."""
_DEGENERATE = 1e-6
"""Distance of |cos 3 phi| from 1 below which two eigenvalues count as nearly equal."""


@dataclass(frozen=True)
class TensorFit:
    """Fitted parameters of N voxels; all but `n_good` are NaN where a voxel is invalid.

    Attributes
    ----------
    tensor
        (N, 6) float64, mm2/s: xx, xy, xz, yy, yz, zz, in the axes of the b-vectors.
    s0
        (N,) float64: fitted signal without diffusion weighting.
    residual
        (N,) float64: root-mean-square difference of measured and fitted signal, good samples only.
    n_good
        (N,) int64: samples that took part.
    """

    tensor: Floats
    s0: Floats
    residual: Floats
    n_good: npt.NDArray[np.int64]


@dataclass(frozen=True)
class TensorMetrics:
    """Scalar measures of N tensors, each (N,) float64; diffusivities in the unit of the tensor.

    Attributes
    ----------
    fa
        Fractional anisotropy, 0 to 1; 0 where all eigenvalues are 0.
    md, ad, rd
        Mean, axial and radial diffusivity.
    """

    fa: Floats
    md: Floats
    ad: Floats
    rd: Floats


def design_matrix(bvals: npt.ArrayLike, bvecs: npt.ArrayLike) -> Floats:
    """Return the matrix X of ``ln S = X beta``.

    Parameters
    ----------
    bvals
        (V,) b-values; the tensor comes out in their inverse unit.
    bvecs
        (V, 3) unit vectors (anything finite where b is 0).

    Returns
    -------
    (V, 7) float64. The columns belong to xx, yy, zz, xy, xz, yz of the tensor and to ln S0.
    """
    b = np.asarray(bvals, np.float64)
    gx, gy, gz = np.asarray(bvecs, np.float64).T
    columns = [gx * gx, gy * gy, gz * gz, 2 * gx * gy, 2 * gx * gz, 2 * gy * gz]
    return np.stack([-b * column for column in columns] + [np.ones_like(b)], axis=1)


def fit_tensor(
    signal: npt.NDArray[np.floating],
    bvals: npt.ArrayLike,
    bvecs: npt.ArrayLike,
    *,
    method: Method,
    reweightings: int = 2,
) -> TensorFit:
    """Fit the diffusion tensor to the signal of N voxels.

    Parameters
    ----------
    signal
        (N, V), any unit. Samples that are not finite or not above 0 get the weight 0.
    bvals, bvecs
        (V,) in s/mm2 and (V, 3) unit vectors, used as they are (no b-value is taken for 0).
    method
        The weights: ``ols`` all equal; ``wls_measured`` the measured signal squared (MRtrix
        ``dwi2tensor -iter 0``); ``wls_fitted`` the squared signal fitted by ``ols`` (dipy's
        ``WLS``, Chung et al. 2006); ``iwls`` first ``wls_measured``, then the squared fitted
        signal as often as `reweightings` says (MRtrix's default, Veraart et al. 2013).
    reweightings
        Rounds of ``iwls``.

    Returns
    -------
    TensorFit. A voxel with fewer than 7 good samples, or whose good samples do not determine the
    tensor, is invalid: NaN. The parameters are those of the equations, not forced to be positive.

    Raises
    ------
    ValueError
        If the method is unknown.

    Notes
    -----
    The normal equations of all voxels come from two matrix products and are solved by a Cholesky
    decomposition whose every step runs over the voxels. Passing the same voxels together again
    gives the same bytes; in other company the BLAS may round the last digits differently.
    """
    rounds = {"ols": 0, "wls_measured": 0, "wls_fitted": 1, "iwls": reweightings}
    if method not in rounds:
        raise ValueError(f"unknown method {method!r}; one of {', '.join(rounds)}")
    design = design_matrix(np.asarray(bvals, np.float64) / 1000, bvecs)  # in ms/um2: all near 1
    products = np.stack([design[:, i] * design[:, j] for i, j in _LOWER])

    good = (signal > 0) & (signal < np.inf)
    complete = bool(good.all())
    measured = signal.astype(np.float64) if complete else np.where(good, signal, 1.0)
    log_signal = np.log(measured)
    n_good = np.count_nonzero(good, axis=1)

    with np.errstate(all="ignore"):
        if method in ("ols", "wls_fitted"):
            # Complete voxels share one row of weights, thus one decomposition.
            weights = np.ones((1, good.shape[1])) if complete else good.astype(np.float64)
        else:
            weights = np.where(good, measured, 0.0)
            weights /= weights.max(axis=1, keepdims=True)
            weights *= weights
        beta = _solve_weighted(design, products, weights, log_signal)
        for _ in range(rounds[method]):
            weights = beta.T @ design.T
            weights -= weights.max(axis=1, keepdims=True)
            weights *= 2
            np.exp(weights, out=weights)
            if not complete:
                weights *= good
            beta = _solve_weighted(design, products, weights, log_signal)
        beta[:, n_good < _UNKNOWNS] = np.nan

        fitted = beta.T @ design.T
        np.exp(fitted, out=fitted)
        fitted -= measured
        if not complete:
            fitted *= good
        residual = np.sqrt(np.einsum("nv,nv->n", fitted, fitted) / n_good)
        xx, yy, zz, xy, xz, yz, log_s0 = beta
        tensor = np.stack([xx, xy, xz, yy, yz, zz], axis=1) / 1000
        return TensorFit(tensor, np.exp(log_s0), residual, n_good)


def _solve_weighted(
    design: Floats, products: Floats, weights: Floats, log_signal: Floats
) -> Floats:
    """Solve the normal equations of every voxel.

    Parameters
    ----------
    design, products
        (V, 7), and (28, V) the products of its columns in the order of `_LOWER`.
    weights
        (N, V), or (1, V) if all voxels share them.
    log_signal
        (N, V).

    Returns
    -------
    (7, N) parameters; NaN where the matrix is singular.
    """
    matrix = dict(zip(_LOWER, products @ weights.T, strict=True))
    right = list(design.T @ (weights * log_signal).T)
    inverse_pivot = []
    for j in range(_UNKNOWNS):
        pivot = matrix[j, j].copy()
        for k in range(j):
            pivot -= matrix[j, k] * matrix[j, k]
        pivot[~(pivot > _SINGULAR * matrix[j, j])] = np.nan
        inverse = 1 / np.sqrt(pivot)
        inverse_pivot.append(inverse)
        for i in range(j + 1, _UNKNOWNS):
            element = matrix[i, j]
            for k in range(j):
                element -= matrix[i, k] * matrix[j, k]
            element *= inverse
        for k in range(j):
            right[j] -= matrix[j, k] * right[k]
        right[j] *= inverse
    for j in reversed(range(_UNKNOWNS)):
        for k in range(j + 1, _UNKNOWNS):
            right[j] -= matrix[k, j] * right[k]
        right[j] *= inverse_pivot[j]
    return np.stack(right)


def eigen(tensor: Floats) -> tuple[Floats, Floats]:
    """Eigenvalues and principal eigenvector of symmetric 3 x 3 matrices.

    Parameters
    ----------
    tensor
        (N, 6) float64: xx, xy, xz, yy, yz, zz.

    Returns
    -------
    evals
        (N, 3) float64, descending.
    v1
        (N, 3) float64 unit vectors. Of the two signs the one that makes the component of greatest
        magnitude positive (the first of them, if they tie).

    Both are NaN where the tensor is not finite.

    Notes
    -----
    Trigonometric solution of the characteristic polynomial (Smith 1961); the vector is the longest
    cross product of two rows of ``D - lambda_1 I``. Where two eigenvalues nearly agree that loses
    digits, and `numpy.linalg.eigh` is called for those voxels.
    """
    xx, xy, xz, yy, yz, zz = np.ascontiguousarray(tensor.T)
    with np.errstate(all="ignore"):
        mean = (xx + yy + zz) / 3
        a, b, c = xx - mean, yy - mean, zz - mean
        spread = np.sqrt((a * a + b * b + c * c + 2 * (xy * xy + xz * xz + yz * yz)) / 6)
        determinant = a * (b * c - yz * yz) - xy * (xy * c - yz * xz) + xz * (xy * yz - b * xz)
        cosine = determinant / (2 * spread**3)
        angle = np.arccos(np.clip(cosine, -1, 1)) / 3
        first = mean + 2 * spread * np.cos(angle)
        third = mean + 2 * spread * np.cos(angle + 2 * np.pi / 3)
        evals = np.stack([first, 3 * mean - first - third, third], axis=1)

        shift = first - mean
        a, b, c = a - shift, b - shift, c - shift
        # Cross products of rows 1 x 2, 1 x 3, 2 x 3.
        candidates = np.stack(
            [
                [xy * yz - xz * b, xz * xy - a * yz, a * b - xy * xy],
                [xy * c - xz * yz, xz * xz - a * c, a * yz - xy * xz],
                [b * c - yz * yz, yz * xz - xy * c, xy * yz - b * xz],
            ]
        )
        length = np.einsum("icn,icn->in", candidates, candidates)
        v1 = np.take_along_axis(candidates, length.argmax(axis=0)[None, None], axis=0)[0].T
        v1 = v1 / np.linalg.norm(v1, axis=1, keepdims=True)

        finite = np.isfinite(tensor).all(axis=1)
        delicate = finite & ~(1 - np.abs(cosine) > _DEGENERATE)
    if delicate.any():
        full = tensor[delicate][:, [0, 1, 2, 1, 3, 4, 2, 4, 5]].reshape(-1, 3, 3)
        values, vectors = np.linalg.eigh(full)
        evals[delicate], v1[delicate] = values[:, ::-1], vectors[:, :, 2]
    evals[~finite], v1[~finite] = np.nan, np.nan
    greatest = np.take_along_axis(v1, np.abs(v1).argmax(axis=1)[:, None], axis=1)
    return evals, np.where(greatest < 0, -v1, v1)


def metrics(evals: Floats) -> TensorMetrics:
    """Scalar measures from eigenvalues (Basser and Pierpaoli 1996).

    Parameters
    ----------
    evals
        (N, 3) float64, descending. Negative ones, which no diffusion has, count as 0.

    Returns
    -------
    TensorMetrics; NaN where an eigenvalue is.
    """
    l1, l2, l3 = np.maximum(evals, 0).T
    square = l1 * l1 + l2 * l2 + l3 * l3
    difference = (l1 - l2) ** 2 + (l2 - l3) ** 2 + (l3 - l1) ** 2
    fa = np.sqrt(difference / (2 * np.where(square == 0, 1, square)))
    return TensorMetrics(fa, (l1 + l2 + l3) / 3, l1, (l2 + l3) / 2)
