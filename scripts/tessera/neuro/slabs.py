"""The cost of a slab job and the width of its halo, from shapes and settings alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BASE_MB = 200.0
"""Interpreter, libraries and compiled kernels."""
NLM_PLANES = 24.0
"""float32 arrays of the padded block that one thread of non-local means holds at a time."""
MPPCA_COPIES = 6.0
"""float32 copies of the slab that dipy's MP-PCA makes beside its input."""


def mppca_radius(patch_radius: int, volumes: int) -> int:
    """Return the patch radius of MP-PCA: at least as many voxels in a patch as volumes."""
    radius = max(patch_radius, 2)
    while (2 * radius + 1) ** 3 < volumes:
        radius += 1
    return radius


def halo_of(denoise: Mapping[str, Any], volumes: int) -> int:
    """Return how many slices beyond a slab its denoising looks at, on either side.

    Non-local means looks as far as its search radius. A sample of MP-PCA is the mean over all
    patches that hold it, so two patch radii away count.
    """
    match denoise["method"]:
        case "nlm":
            return int(denoise["search_radius"])
        case "mppca":
            return 2 * mppca_radius(denoise["patch_radius"], volumes)
        case _:
            return 0


def fit_memory_mb(
    shape: tuple[int, int, int, int],
    denoise: Mapping[str, Any],
    threads: int,
    keep_denoised: bool,
) -> tuple[float, float]:
    """Return the memory of a slab job as a fixed part and a part per slice, in megabytes.

    Parameters
    ----------
    shape
        (volumes, z, y, x) of the acquisition.
    denoise
        The section ``neuro.denoise``.
    threads
        Threads of the job.
    keep_denoised
        Whether the samples of the masked voxels are kept, V A more per slice.

    Notes
    -----
    With V volumes, slices of A = y x samples, halo h and T threads, in float32:

    - ``none``: the slice in work, three times; nothing grows with the slab.
    - ``nlm``: the denoised slab, V A per slice, and per thread the work on a padded block of
      one volume, 24 T (y + 2h) (x + 2h) per slice, the halo included.
    - ``mppca``: 7 V A per slice, the halo included.
    """
    volumes, _, y, x = shape
    halo = halo_of(denoise, volumes)
    slice_mb = y * x * volumes * 4e-6
    fixed = BASE_MB + 3 * slice_mb
    kept = slice_mb * keep_denoised
    match denoise["method"]:
        case "nlm":
            block_mb = NLM_PLANES * threads * (y + 2 * halo) * (x + 2 * halo) * 4e-6
            return fixed + 2 * halo * block_mb, slice_mb + block_mb + kept
        case "mppca":
            per_slice = (MPPCA_COPIES + 1) * slice_mb
            return fixed + 2 * halo * per_slice, per_slice + kept
        case _:
            return fixed, 0.1 + kept


def fit_seconds(shape: tuple[int, int, int, int], denoise: Mapping[str, Any], slices: int) -> float:
    """Return a generous wall time of a slab job on one thread, in seconds.

    Parameters
    ----------
    shape
        (volumes, z, y, x) of the acquisition.
    denoise
        The section ``neuro.denoise``.
    slices
        Slices of the slab.

    Notes
    -----
    3 microseconds per sample; MP-PCA decomposes a V x V matrix per voxel, (0.4 + 1e-6 V^3) ms.
    """
    volumes, _, y, x = shape
    voxels = slices * y * x
    if denoise["method"] == "mppca":
        return voxels * (0.4e-3 + 1e-9 * volumes**3)
    return voxels * volumes * 3e-6
