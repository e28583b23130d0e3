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
"""Voxels fitted at a time: enough to make numpy's calls cheap, few enough for the CPU's cache."""

_UNKNOWNS = 7
_LOWER = [(row, column) for row in range(_UNKNOWNS) for column in range(row + 1)]
_SINGULAR = 1e-12
"""Share of a diagonal element that elimination must leave, or the matrix counts as singular."""
_DEGENERATE = 1e-6
"""Distance of |cos 3 phi| from 1 below which two eigenvalues count as nearly equal."""
_ISOTROPIC = 1e-7
"""Spread of the eigenvalues, in units of their mean, below which all three do."""


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
    decomposition whose every step runs over the voxels, `CHUNK_VOXELS` at a time. Passing the same
    table again gives the same bytes; in other company the BLAS may round the last digits of a
    voxel differently.
    """
    rounds = {"ols": 0, "wls_measured": 0, "wls_fitted": 1, "iwls": reweightings}
    if method not in rounds:
        raise ValueError(f"unknown method {method!r}; one of {', '.join(rounds)}")
    design = design_matrix(np.asarray(bvals, np.float64) / 1000, bvecs)  # in ms/um2: all near 1
    products = np.stack([design[:, i] * design[:, j] for i, j in _LOWER])

    n, n_samples = signal.shape
    beta, residual = np.empty((_UNKNOWNS, n)), np.empty(n)
    n_good = np.empty(n, np.int64)
    work = np.empty((3, min(n, CHUNK_VOXELS), n_samples))  # one for all: fresh memory is slow
    measured_first = method in ("wls_measured", "iwls")
    with np.errstate(all="ignore"):  # an invalid voxel's NaN is its result
        # Unweighted voxels with all their samples share one decomposition.
        shared = None
        if not measured_first:
            shared = _solve(products.sum(axis=1, keepdims=True), design.T)
        for start in range(0, n, CHUNK_VOXELS):
            part = slice(start, min(start + CHUNK_VOXELS, n))
            beta[:, part], residual[part], n_good[part] = _fit_chunk(
                signal[part], design, products, shared, rounds[method], work[:, : part.stop - start]
            )
        xx, yy, zz, xy, xz, yz, log_s0 = beta
        tensor = np.stack([xx, xy, xz, yy, yz, zz], axis=1) / 1000
        return TensorFit(tensor, np.exp(log_s0), residual, n_good)


def _fit_chunk(
    signal: npt.NDArray[np.floating],
    design: Floats,
    products: Floats,
    shared: Floats | None,
    rounds: int,
    work: Floats,
) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """Fit the voxels of one chunk.

    Parameters
    ----------
    signal
        (N, V).
    design, products
        (V, 7), and (28, V) the products of its columns in the order of `_LOWER`.
    shared
        (7, V) pseudo-inverse of `design`, to begin with equal weights; None begins with the
        measured signal squared.
    rounds
        Reweightings by the fitted signal squared that follow.
    work
        (3, N, V), overwritten.

    Returns
    -------
    (7, N) parameters, (N,) residuals, (N,) counts of good samples.
    """
    good = (signal > 0) & (signal < np.inf)
    complete = bool(good.all())
    measured = signal if complete else np.where(good, signal, 1)
    log_signal, weights, spare = work
    np.log(measured, out=log_signal, dtype=np.float64)
    n_good = np.full(len(good), good.shape[1]) if complete else np.count_nonzero(good, axis=1)

    def weighted_fit() -> Floats:
        right = design.T @ np.multiply(weights, log_signal, out=spare).T
        return _solve(products @ weights.T, right)

    if shared is not None and complete:
        beta = shared @ log_signal.T
    elif shared is not None:
        weights[:] = good
        beta = weighted_fit()
    else:
        np.multiply(measured, good, out=weights)
        weights /= weights.max(axis=1, keepdims=True)
        weights *= weights
        beta = weighted_fit()
    for _ in range(rounds):
        # The fitted signal squared, in units of S0 squared, which keeps it from overflowing.
        np.exp(np.matmul(2 * beta[:-1].T, design[:, :-1].T, out=weights), out=weights)
        if not complete:
            weights *= good
        beta = weighted_fit()
    beta[:, n_good < _UNKNOWNS] = np.nan

    difference = np.matmul(beta.T, design.T, out=spare)
    np.exp(difference, out=difference)
    difference -= measured
    if not complete:
        difference *= good
    residual = np.sqrt(np.einsum("nv,nv->n", difference, difference) / n_good)
    return beta, residual, n_good


def _solve(lower: Floats, right_side: Floats) -> Floats:
    """Solve N symmetric systems of 7 equations by Cholesky decomposition.

    Parameters
    ----------
    lower
        (28, N) matrix elements in the order of `_LOWER`, or (28, 1) if all share one matrix;
        overwritten.
    right_side
        (7, N).

    Returns
    -------
    (7, N) solutions; NaN where the matrix is singular.
    """
    matrix = dict(zip(_LOWER, lower, strict=True))
    right = list(right_side.copy())
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
        magnitude positive.

    Both are NaN where the tensor is not finite.

    Notes
    -----
    Trigonometric solution of the characteristic polynomial (Smith 1961); the vector is the longest
    column of the adjugate of ``D - lambda_1 I``. Where two eigenvalues nearly agree that loses
    digits, and `numpy.linalg.eigh` is called for those voxels.
    """
    evals, v1 = np.empty((len(tensor), 3)), np.empty((len(tensor), 3))
    for start in range(0, len(tensor), CHUNK_VOXELS):
        part = slice(start, start + CHUNK_VOXELS)
        evals[part], v1[part] = _eigen_chunk(tensor[part])
    return evals, v1


def _eigen_chunk(tensor: Floats) -> tuple[Floats, Floats]:
    xx, xy, xz, yy, yz, zz = np.ascontiguousarray(tensor.T)
    with np.errstate(all="ignore"):
        mean = (xx + yy + zz) / 3
        a, b, c = xx - mean, yy - mean, zz - mean
        spread = np.sqrt((a * a + b * b + c * c + 2 * (xy * xy + xz * xz + yz * yz)) / 6)
        determinant = a * (b * c - yz * yz) - xy * (xy * c - yz * xz) + xz * (xy * yz - b * xz)
        cosine = determinant / (2 * spread * spread * spread)
        along = np.cos(np.arccos(np.clip(cosine, -1, 1)) / 3)
        first = mean + 2 * spread * along
        # The cosine of the same angle and 120 degrees.
        third = mean - spread * (along + np.sqrt(3 * (1 - along * along)))
        evals = np.stack([first, 3 * mean - first - third, third], axis=1)

        # The adjugate of D - lambda_1 I is a multiple >= 0 of v1 v1^T.
        shift = first - mean
        a, b, c = a - shift, b - shift, c - shift
        adj_xx, adj_yy, adj_zz = b * c - yz * yz, a * c - xz * xz, a * b - xy * xy
        adj_xy, adj_xz, adj_yz = xz * yz - c * xy, xy * yz - b * xz, xy * xz - a * yz
        by_x = (adj_xx >= adj_yy) & (adj_xx >= adj_zz)
        by_y = adj_yy >= adj_zz
        x = np.where(by_x, adj_xx, np.where(by_y, adj_xy, adj_xz))
        y = np.where(by_x, adj_xy, np.where(by_y, adj_yy, adj_yz))
        z = np.where(by_x, adj_xz, np.where(by_y, adj_yz, adj_zz))
        v1 = np.stack([x, y, z], axis=1) / np.sqrt(x * x + y * y + z * z)[:, None]

        finite = np.isfinite(tensor).all(axis=1)
        distinct = (1 - np.abs(cosine) > _DEGENERATE) & (spread > _ISOTROPIC * np.abs(mean))
        delicate = finite & ~distinct
    if delicate.any():
        full = tensor[delicate][:, [0, 1, 2, 1, 3, 4, 2, 4, 5]].reshape(-1, 3, 3)
        values, vectors = np.linalg.eigh(full)
        principal = vectors[:, :, 2]
        greatest = np.take_along_axis(principal, np.abs(principal).argmax(axis=1)[:, None], axis=1)
        evals[delicate], v1[delicate] = values[:, ::-1], np.where(greatest < 0, -1, 1) * principal
    evals[~finite], v1[~finite] = np.nan, np.nan
    return evals, v1


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
