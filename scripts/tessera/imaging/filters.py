"""Filters of a part of an image, as if the whole image were filtered."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from tessera.imaging.boxes import Box, Index, margins, whole
from tessera.imaging.gaussian import gaussian
from tessera.imaging.grid import Step, filter_margin


class Source(Protocol):
    """Where voxels come from: `tessera.imaging.volume.Volume`."""

    shape: Index
    ndim: int

    def read(self, box: Box) -> np.ndarray:
        """Return the voxels of a box."""


def filtered(source: Source, step: Step, box: Box) -> np.ndarray:
    """Return the voxels of a box after a filter.

    Parameters
    ----------
    source
        The image.
    step
        The filter. Beyond the image ``gaussian`` and ``median`` see the image mirrored, the voxel
        at the face twice, as the mode *reflect* of `scipy.ndimage` has it; ``nlm`` does as
        `skimage.restoration.denoise_nl_means`.
    box
        What is asked for.

    Returns
    -------
    ndarray
        float32 for ``gaussian`` and ``nlm``, the image's own type otherwise. A voxel has the same
        bits in every box.
    """
    by = margins(source.ndim, filter_margin(step))
    seen = box.grown(by, whole(source.shape))
    block = source.read(seen)
    if step.kind == "none":
        return block
    if step.kind == "nlm":
        return np.ascontiguousarray(_nlm(block, step)[box.slices(seen.lo)])
    lacking = [
        (n - (b - s), n - (t - c))
        for n, b, s, t, c in zip(by, box.lo, seen.lo, seen.hi, box.hi, strict=True)
    ]
    block = np.pad(block, lacking, mode="symmetric")
    if step.kind == "gaussian":
        return gaussian(block, step["sigma"], source.ndim == 2)
    from scipy.ndimage import median_filter

    size = int(step["size"])
    wide = median_filter(block, (size if source.ndim == 3 else 1, size, size))
    inner = tuple(slice(n, length - n) for n, length in zip(by, block.shape, strict=True))
    return np.ascontiguousarray(wide[inner])


def _nlm(block: np.ndarray, step: Step) -> np.ndarray:
    """Filter by non-local means, each voxel for itself: the fast way adds up over the block."""
    from skimage.restoration import denoise_nl_means

    values = block.astype(np.float32)
    result: np.ndarray = denoise_nl_means(
        values[0] if block.shape[0] == 1 else values, patch_size=int(step["patch_size"]),
        patch_distance=int(step["patch_distance"]), h=step["h"], fast_mode=False,
    )  # fmt: skip
    return result.reshape(block.shape)
