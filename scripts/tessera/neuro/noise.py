"""Noise level of a magnitude acquisition: a map by MP-PCA, or one number per volume."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
from dipy.denoise.localpca import mppca
from dipy.denoise.noise_estimate import estimate_sigma
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import brentq
from scipy.spatial import KDTree
from scipy.special import ive
from threadpoolctl import threadpool_limits

from tessera.errors import InputError, Problem
from tessera.neuro.series import Series

# A patch has at least the voxels of a cube of 5, and twice as many as volumes: in a table that is
# nearly square the smallest noise eigenvalues approach 0, and the split of the spectrum can fail (a
# real acquisition with 102 volumes and 125 voxels: sigma 0.6, with 205 voxels and more: 4 to 5).
_SMALLEST_PATCH = 125
_VOXELS_PER_VOLUME = 2
# Fewer voxels than the smallest cube holds say nothing of a spectrum of eigenvalues.
_FEWEST_VOXELS = 27
# Clipped zeros occur in sound data; a voxel with more of them is padding.
_MOST_NONPOSITIVE = 0.1


def noise_level(
    dwi: Path | str, mask: NDArray[np.bool_], setting: str | float
) -> NDArray[np.float32]:
    """Return the noise level as the configuration wants it.

    Parameters
    ----------
    dwi
        A ``.npy`` file written by `tessera.neuro.acquisition.import_acquisition`.
    mask
        ``(Z, Y, X)`` brain mask.
    setting
        ``auto`` for `sigma_map`, ``per_volume`` for `per_volume_sigma`, or sigma itself.

    Returns
    -------
    ndarray
        Float32, ``(Z, Y, X)``, or ``(V,)`` for ``per_volume``.
    """
    if setting == "auto":
        return sigma_map(Series(dwi), mask)
    if setting == "per_volume":
        return per_volume_sigma(Series(dwi))
    return np.full(mask.shape, setting, dtype=np.float32)


def sigma_map(dwi: Series | NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Map the standard deviation of the noise by Marchenko-Pastur PCA.

    A patch is the masked voxels nearest to its centre (a cube would mix in background and padding
    at the brain's surface), and the centres are a lattice of masked voxels half a patch apart.
    dipy's ``mppca`` (Veraart et al. 2016) gives a patch's variance. That of magnitudes is below the
    variance of the channels where the signal is weak, so it is divided by its expected shrinkage
    (Koay & Basser 2006), which follows from the patch's mean square in each volume. A voxel's sigma
    is the root mean square over the patches that hold it; voxels in none take that of the nearest.

    Voxels with a sample that is not finite, or with more than 10 % that are not positive, are left
    out. Patches are independent, each on one thread of the linear algebra, and are added up in
    array order. Memory holds the masked samples of as many slices as a patch is wide.

    Parameters
    ----------
    dwi
        ``(V, Z, Y, X)`` magnitudes.
    mask
        ``(Z, Y, X)``, the voxels the estimate rests on.

    Returns
    -------
    ndarray
        ``(Z, Y, X)`` float32 in signal units, defined in all voxels: standard deviation of the
        Gaussian noise in the real and in the imaginary channel.

    Raises
    ------
    InputError
        Fewer than 27 voxels of the mask have usable samples.
    """
    usable = _usable(dwi, mask)
    voxels = np.argwhere(usable)
    if len(voxels) < _FEWEST_VOXELS:
        found = f"{len(voxels)} of its {np.count_nonzero(mask)} voxels have usable samples"
        raise InputError(
            Problem(
                "brain mask",
                "",
                f"{found}, of which the noise cannot be told (needed: {_FEWEST_VOXELS})",
                "correct the mask, or give neuro.denoise.sigma a number",
            )
        )
    size = max(_SMALLEST_PATCH, _VOXELS_PER_VOLUME * dwi.shape[0] + 1)
    size = min(size, len(voxels) - (len(voxels) + 1) % 2)  # odd, so that it has a middle
    step = math.ceil(math.cbrt(size) / 2)
    centres = voxels[(voxels % step == step // 2).all(axis=1)]
    if not len(centres):
        centres = voxels[len(voxels) // 2 :][:1]

    flat_indices = np.flatnonzero(usable)
    tree = KDTree(voxels)
    variance = np.zeros(usable.size)
    patches = np.zeros(usable.size, dtype=np.int64)
    with threadpool_limits(1):
        for z in np.unique(centres[:, 0]):
            members = np.sort(tree.query(centres[centres[:, 0] == z], k=size)[1], axis=1)
            needed, rows = np.unique(members, return_inverse=True)
            samples = _gather(dwi, voxels[needed])
            for patch, patch_rows in zip(members, rows.reshape(members.shape), strict=True):
                where = flat_indices[patch]
                variance[where] += _patch_variance(samples[patch_rows])
                patches[where] += 1
    covered = (patches > 0).reshape(usable.shape)
    sigma = np.sqrt(variance / np.maximum(patches, 1)).astype(np.float32).reshape(usable.shape)
    nearest = ndimage.distance_transform_edt(~covered, return_distances=False, return_indices=True)
    return sigma[tuple(nearest)]


def per_volume_sigma(dwi: Series | NDArray[np.float32]) -> NDArray[np.float32]:
    """Estimate one sigma per volume, as scripts after Mehta et al. (2017) do.

    dipy's ``estimate_sigma`` with its defaults (Coupe et al. 2008): from the differences of every
    voxel to the mean of its six neighbours, background included, without correction for magnitudes.

    Parameters
    ----------
    dwi
        ``(V, Z, Y, X)``; samples that are not finite count as 0.

    Returns
    -------
    ndarray
        ``(V,)`` float32 in signal units.
    """
    volumes = (np.nan_to_num(volume, posinf=0.0, neginf=0.0) for volume in dwi)
    return np.array([estimate_sigma(volume)[0] for volume in volumes], dtype=np.float32)


def _usable(dwi: Series | NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    finite = mask.copy()
    nonpositive = np.zeros(mask.shape, dtype=np.int32)
    for volume in dwi:
        finite &= np.isfinite(volume)
        nonpositive += volume <= 0
    return finite & (nonpositive <= _MOST_NONPOSITIVE * dwi.shape[0])


def _gather(dwi: Series | NDArray[np.float32], voxels: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return the (N, V) samples of the given voxels, reading the slices that hold them."""
    low, high = voxels[0, 0], voxels[-1, 0] + 1
    z, y, x = voxels.T
    samples = np.empty((len(voxels), dwi.shape[0]), dtype=np.float32)
    for v in range(dwi.shape[0]):
        planes = dwi.read(v, low, high) if isinstance(dwi, Series) else dwi[v, low:high]
        samples[:, v] = planes[z - low, y, x]
    return samples


def _patch_variance(samples: NDArray[np.float32]) -> float:
    """Estimate the channel variance from the (N, V) magnitudes of a patch, N odd."""
    size = len(samples)
    middle = np.arange(size)[:, np.newaxis, np.newaxis] == size // 2
    # A list of voxels is a patch to dipy as an array of N x 1 x 1: radius 0 along the other axes.
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a patch without noise: see below
        _, sigma = mppca(
            samples[:, np.newaxis, np.newaxis],
            mask=middle,
            patch_radius=np.array([size // 2, 0, 0]),
            return_sigma=True,
            suppress_warning=True,
        )
    # dipy divides by N a scatter about the mean, which takes one degree of freedom.
    measured = float(sigma[middle][0]) ** 2 * size / (size - 1)
    mean_squares = np.square(samples, dtype=np.float64).mean(axis=0)
    return _channel_variance(measured, mean_squares)


def _channel_variance(measured: float, mean_squares: NDArray[np.float64]) -> float:
    """Solve for the variance s whose Rician magnitudes would show the measured one.

    With E[M^2] = A^2 + 2 s, the root of s mean(xi(A / sqrt(s))) = measured, the mean over volumes.
    A root finder, since the fixed-point iteration of Koay & Basser crawls where A is small.
    """
    # dipy's variance is NaN where no eigenvalue is noise: data without any, or interpolated.
    if not measured > 0:
        return 0.0

    def excess(variance: float) -> float:
        snr = np.sqrt(np.maximum(mean_squares / variance - 2, 0.0))
        return variance * _shrinkage(snr).mean() - measured

    # The shrinkage lies between 2 - pi / 2 and 1.
    return brentq(excess, 0.999 * measured, 1.001 * measured / (2 - np.pi / 2), rtol=1e-6)


def _shrinkage(snr: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variance of a Rician magnitude relative to its channels' (Koay & Basser 2006, eq. 16)."""
    # Above this the asymptote is exact to 1e-3, and the difference below loses digits.
    high = 1 - 1 / (2 * np.maximum(snr, 20.0) ** 2)
    t = np.minimum(snr, 20.0) ** 2
    bessel = (2 + t) * ive(0, t / 4) + t * ive(1, t / 4)
    return np.where(snr > 20, high, 2 + t - np.pi / 8 * bessel**2)
