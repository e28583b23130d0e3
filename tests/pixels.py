"""What a picture shows, by its pixels."""

from __future__ import annotations

import io

import matplotlib as mpl
import numpy as np


def where(png: bytes, colour: str) -> np.ndarray:
    """Return the (N, 2) places (right, down) of the pixels of a colour in a picture, 0 to 1."""
    pixels = mpl.image.imread(io.BytesIO(png))[..., :3]
    rows, columns = np.nonzero(np.abs(pixels - mpl.colors.to_rgb(colour)).max(-1) < 0.02)
    return np.column_stack([columns / pixels.shape[1], rows / pixels.shape[0]])
