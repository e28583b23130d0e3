"""Denoise and fit one slab of slices, all volumes at once.

A job per volume would have to hand every voxel's samples over to a job per voxel block, through
files twice the size of the data. A slab with a halo as wide as the denoising looks needs no such
exchange, and its result does not depend on where the cuts are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tessera.neuro.series import Series
from tessera.neuro.slabs import halo_of, mppca_radius
from tessera.neuro.tensor import CHUNK_VOXELS, eigen, fit_tensor, metrics
from tessera.tiles import with_halo

COLUMNS = (
    *("dxx", "dxy", "dxz", "dyy", "dyz", "dzz", "s0", "residual", "fa", "md", "ad", "rd"),
    *("v1x", "v1y", "v1z", "n_good", "min_eigenvalue"),
)
Float32 = npt.NDArray[np.float32]
Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]


@dataclass(frozen=True)
class SlabFit:
    """Result of a slab.

    Attributes
    ----------
    table
        (N, 17) float32, a row per masked voxel in array order, with the columns `COLUMNS`; NaN
        throughout (but for ``n_good``) where the tensor cannot be estimated.
    denoised
        (V, N) float32 samples of the masked voxels, all volumes; empty unless asked for.
    """

    table: Float32
    denoised: Float32


def fit_slab(
    dwi: Series,
    mask: npt.NDArray[np.bool_],
    sigma: npt.NDArray[np.floating],
    bvals: npt.NDArray[np.float64],
    bvecs: npt.NDArray[np.float64],
    bounds: tuple[int, int],
    *,
    denoise: Mapping[str, Any],
    fit: Mapping[str, Any],
    fit_bmax: float,
    keep_denoised: bool,
    threads: int,
    progress: Progress,
) -> SlabFit:
    """Denoise the slices of a slab and fit the tensor in its masked voxels.

    Parameters
    ----------
    dwi
        The acquisition.
    mask
        (Z, Y, X) voxels wanted.
    sigma
        (Z, Y, X) map of the noise level or (V,) one level per volume, in signal units.
    bvals, bvecs
        (V,) in s/mm2 and (V, 3) unit vectors in scanner axes.
    bounds
        First slice and the one after the last.
    denoise, fit
        Sections ``neuro.denoise`` and ``neuro.fit``.
    fit_bmax
        Volumes with b above this are left out of the fit (inf: none are).
    keep_denoised
        Whether all denoised samples are returned as well.
    threads
        Threads for volumes and chunks; the result does not depend on it.
    progress
        Wraps an iterable with a label and a total.
    """
    start, stop = bounds
    inside = mask[start:stop]
    floor = None
    used = np.flatnonzero(bvals <= fit_bmax)
    wanted = np.arange(len(bvals)) if keep_denoised else used
    with ThreadPoolExecutor(threads) as pool:
        if denoise["method"] == "none" or not inside.any():
            slices = _raw_slices(dwi, inside, wanted, start)
        elif denoise["method"] == "nlm":
            volumes = pool.map(
                lambda v: _nlm_volume(dwi, inside, sigma, int(v), bounds, denoise), wanted
            )
            slab = _gather(progress(volumes, "denoising", len(wanted)), inside, len(wanted))
            slices = _slab_slices(slab, inside)
            floor = _floor(sigma, wanted)
        else:
            slices = _slab_slices(_mppca(dwi, mask, wanted, bounds, denoise), inside)
        fitted_rows = np.searchsorted(wanted, used)

        def estimate(samples: Float32) -> Float32:
            return _fit_chunk(samples[:, fitted_rows], bvals[used], bvecs[used], fit)

        tables: list[Float32] = []
        count = np.count_nonzero(inside)
        kept = np.empty((len(wanted), count) if keep_denoised else (0, 0), np.float32)
        done = 0
        for z, samples in enumerate(progress(slices, "fitting", stop - start)):
            if keep_denoised:
                kept[:, done : done + len(samples)] = samples.T
                done += len(samples)
            if floor is not None:
                samples = np.maximum(samples, floor(start + z, inside[z]))  # NaN stays NaN
            # Chunks never cross a slice, so their composition, and with it every rounding in the
            # matrix products, is the same however the volume is cut into slabs.
            starts = range(0, len(samples), CHUNK_VOXELS)
            pieces = [samples[i : i + CHUNK_VOXELS] for i in starts]
            tables += pool.map(estimate, pieces)
    empty = np.empty((0, len(COLUMNS)), np.float32)
    return SlabFit(table=np.concatenate([empty, *tables]), denoised=kept)


def _floor(
    sigma: npt.NDArray[np.floating], wanted: npt.NDArray[np.intp]
) -> Callable[[int, npt.NDArray[np.bool_]], npt.NDArray[np.floating]]:
    """Return what gives the least denoised sample that is fitted: a tenth of the noise level.

    The Rician correction leaves 0 where the signal is lost in noise. Such a sample has no
    logarithm, but it says that the signal is low; left out, it would bias diffusivity downwards.
    """
    least = sigma.astype(np.float32) / 10
    if sigma.ndim == 1:
        return lambda z, chosen: least[wanted][None]
    return lambda z, chosen: least[z][chosen][:, None]


def _excluded(samples: Float32) -> npt.NDArray[np.bool_]:
    """Find samples that no logarithm can be taken of, which the fit leaves out."""
    return ~(np.isfinite(samples) & (samples > 0))


def _raw_slices(
    dwi: Series, inside: npt.NDArray[np.bool_], wanted: npt.NDArray[np.intp], start: int
) -> Iterator[Float32]:
    """Yield the (n, V) table of masked samples of each slice."""
    for z, chosen in enumerate(inside):
        samples = [dwi.read(int(v), start + z, start + z + 1)[0][chosen] for v in wanted]
        table = np.stack(samples, axis=1)
        table[_excluded(table)] = np.nan
        yield table


def _gather(
    volumes: Iterable[Float32], inside: npt.NDArray[np.bool_], count: int
) -> npt.NDArray[np.float32]:
    slab = np.empty((count, *inside.shape), np.float32)
    for i, volume in enumerate(volumes):
        slab[i] = volume
    return slab


def _slab_slices(slab: Float32, inside: npt.NDArray[np.bool_]) -> Iterator[Float32]:
    for z, chosen in enumerate(inside):
        yield np.ascontiguousarray(slab[:, z][:, chosen].T)


def _nlm_volume(
    dwi: Series,
    inside: npt.NDArray[np.bool_],
    sigma: npt.NDArray[np.floating],
    volume: int,
    bounds: tuple[int, int],
    denoise: Mapping[str, Any],
) -> Float32:
    """Denoise a volume's part of the slab; NaN where the sample was bad, 0 outside the mask."""
    from tessera.neuro.nlm import nlmeans_padded

    start, stop = bounds
    radius = halo_of(denoise, dwi.shape[0])
    low, high = with_halo(start, stop, radius, dwi.shape[1])
    raw = dwi.read(volume, low, high)
    # One list of indices per axis says both: real neighbours, and reflection beyond the volume.
    z, y, x = (np.pad(np.arange(n), radius, mode="reflect") for n in dwi.shape[1:])
    z = z[start : stop + 2 * radius]
    block = raw[np.ix_(z - low, y, x)]
    np.nan_to_num(block, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    clean = nlmeans_padded(
        block,
        float(sigma[volume]) if sigma.ndim == 1 else sigma[np.ix_(z, y, x)].astype(np.float32),
        patch_radius=denoise["patch_radius"],
        search_radius=radius,
        rician=denoise["rician"],
        mask=inside,
    )
    clean[_excluded(raw[start - low : stop - low])] = np.nan
    return clean


def _mppca(
    dwi: Series,
    mask: npt.NDArray[np.bool_],
    wanted: npt.NDArray[np.intp],
    bounds: tuple[int, int],
    denoise: Mapping[str, Any],
) -> Float32:
    """Denoise the slab by dipy's MP-PCA, from all volumes; return those that are wanted."""
    from dipy.denoise.localpca import mppca

    start, stop = bounds
    volumes, depth, _, _ = dwi.shape
    low, high = with_halo(start, stop, halo_of(denoise, volumes), depth)
    raw = np.stack([dwi.read(v, low, high) for v in range(volumes)])
    bad = _excluded(raw)
    raw[bad] = 0
    clean = mppca(
        raw.T,
        mask=mask[low:high].T,
        patch_radius=mppca_radius(denoise["patch_radius"], volumes),
        suppress_warning=True,
    ).T
    # No patch fits around the outermost voxels of the volume: they stay as they were measured.
    uncovered = ~np.isfinite(clean)
    clean[uncovered] = raw[uncovered]
    clean[bad] = np.nan
    return clean[wanted, start - low : stop - low]


def _fit_chunk(
    samples: Float32,
    bvals: npt.NDArray[np.float64],
    bvecs: npt.NDArray[np.float64],
    fit: Mapping[str, Any],
) -> Float32:
    """Fit (n, V) samples; return (n, 17) rows in the order of `COLUMNS`."""
    result = fit_tensor(samples, bvals, bvecs, **fit)
    evals, v1 = eigen(result.tensor)
    scalar = metrics(evals)
    columns = [
        result.tensor,
        *(each[:, None] for each in (result.s0, result.residual)),
        *(each[:, None] for each in (scalar.fa, scalar.md, scalar.ad, scalar.rd)),
        v1,
        *(each[:, None] for each in (result.n_good, evals[:, 2])),
    ]
    return np.concatenate(columns, axis=1).astype(np.float32)
