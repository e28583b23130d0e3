"""Small pictures' worth of large planes: averages over blocks of pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

LIMIT = 500


def thumbnail(plane: npt.NDArray[Any], limit: int = LIMIT) -> npt.NDArray[np.float32]:
    """Average blocks of pixels until a plane is no larger than a limit.

    Parameters
    ----------
    plane
        (Y, X) numbers; those that are not finite are left out of the averages.
    limit
        Most pixels along either axis.

    Returns
    -------
    (Y', X') float32
        NaN where a block holds no finite number. Blocks are squares; a last one may be partial.
    """
    step = max(1, -(-max(plane.shape) // limit))
    rows = np.arange(0, plane.shape[0], step)
    columns = np.arange(0, plane.shape[1], step)
    result = np.empty((len(rows), len(columns)), np.float32)
    for i, row in enumerate(rows):  # a band at a time: planes are large
        band = plane[row : row + step].astype(np.float64)
        good = np.isfinite(band)
        total = np.add.reduceat(np.where(good, band, 0).sum(0), columns)
        count = np.add.reduceat(good.sum(0), columns)
        with np.errstate(invalid="ignore", divide="ignore"):
            result[i] = total / count
    return result


def thumbnails(planes: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[np.float32]]:
    """Return ``image``, ``n_images`` and ``noise`` (standard deviation of a pixel), made small."""
    noise = np.sqrt(planes["VARIANCE"])
    small = {"image": planes["IMAGE"], "n_images": planes["NIMAGE"], "noise": noise}
    return {name: thumbnail(plane) for name, plane in small.items()}
