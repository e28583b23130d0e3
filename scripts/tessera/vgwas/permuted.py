"""SNP rows under a permutation, by two schemes whose numerators are the same.

With M the residual-forming matrix of the covariates, P a permutation, x a SNP and y a map, both
residualised: Smith's scheme tests P x for its partial correlation with y, that of Freedman and Lane
x with P y. The numerator is xᵀ Pᵀ y in both; the denominator is |M P x| |y| in the first, a scalar
per SNP, and |x| |M P y| in the second, a scalar per voxel. Leaving M out (Kennedy) is liberal.
Winkler et al. 2014, NeuroImage 92, table 2.
"""

from __future__ import annotations

from dataclasses import replace

import numba
import numpy as np
import numpy.typing as npt

from tessera.vgwas.exact import Model
from tessera.vgwas.rows import Rows, adjust_kept, dot

Floats = npt.NDArray[np.float64]


def permuted_rows(
    rows: Rows, basis: Floats, places: npt.NDArray[np.int64], *, readjust: bool
) -> Rows:
    """Permute the subjects of SNP rows.

    Parameters
    ----------
    rows
        As observed.
    basis
        (K, N) orthonormal covariates.
    places
        (N,) the permutation.
    readjust
        Whether the rows are adjusted for the covariates once more (Smith). Only their lengths
        change then: the maps are orthogonal to the covariates anyway. A SNP that has subjects
        left out is adjusted in full, for its maps are not.
    """
    x = np.take(rows.x, places, axis=1)  # in C order whatever its shape: kernels sum along rows
    norm = rows.norm.copy()
    if readjust:
        _lengths(x, basis, norm)
    for s in np.flatnonzero(rows.absent.any(axis=1)) if len(rows.absent) else ():
        x[s] = adjust_kept(x[s], rows.absent[s], rows.kept[s], basis)
        norm[s] = np.sqrt(x[s] @ x[s])
    return replace(rows, x=x, norm=norm)


def map_weights(
    model: Model, turned: Floats, least: float, otherwise: np.float32
) -> npt.NDArray[np.float32]:
    """Return (1, V) of 1 / |M P y|, by which products become correlations (Freedman & Lane).

    Parameters
    ----------
    model
        Maps.
    turned
        (K, N) covariates permuted like the SNPs.
    least, otherwise
        The weight of maps of which |M P y|² is below the first is the second.
    """
    explained = np.square(model.y @ turned.T.astype(np.float32)).sum(axis=1, dtype=np.float64)
    left = np.square(model.norm) - explained
    weights = np.where(left >= least, 1 / np.sqrt(np.maximum(left, least)), otherwise)
    return weights.astype(np.float32)[np.newaxis]


@numba.njit(cache=True, nogil=True)
def _lengths(x, basis, norm):  # type: ignore[no-untyped-def]
    for s in range(len(x)):
        left = norm[s] ** 2
        for j in range(len(basis)):
            left -= dot(basis[j], x[s]) ** 2
        norm[s] = np.sqrt(left)
