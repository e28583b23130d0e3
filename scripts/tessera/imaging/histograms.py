"""Histograms of an image, added up from its tiles, and the thresholds that follow from them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from tessera.errors import InputError, Problem

Counts = npt.NDArray[np.int64]
FINE = 1 << 16
"""Bins of the histogram of floats that Li's threshold is made of; Otsu's has 256 of its own."""


def counted(dtype: np.dtype) -> bool:
    """Tell whether every value of a type has a bin of its own."""
    return dtype.kind in "iu" and dtype.itemsize <= 2


def extent(blocks: Iterable[np.ndarray]) -> tuple[float, float]:
    """Return the least and the greatest value of blocks."""
    pairs = [(float(block.min()), float(block.max())) for block in blocks]
    return min(low for low, _ in pairs), max(high for _, high in pairs)


def bins_for(dtype: np.dtype, kind: str) -> int:
    """Return the number of bins that a kind of threshold (``otsu`` or ``li``) is made of."""
    if counted(dtype):
        return 1 << (8 * dtype.itemsize)
    return 256 if kind == "otsu" else FINE


def histogram(block: np.ndarray, kind: str, low: float, high: float) -> Counts:
    """Count the values of a block.

    Parameters
    ----------
    block
        Values.
    kind
        What the histogram is for.
    low, high
        Extent of the whole image; not looked at for integers.

    Returns
    -------
    ndarray
        int64 counts, as many as `bins_for` says; those of all blocks add up to the histogram of
        the image, to the last count.
    """
    bins = bins_for(block.dtype, kind)
    if counted(block.dtype):
        least = int(np.iinfo(block.dtype).min)
        shifted = block.ravel() if least == 0 else block.ravel().astype(np.int64) - least
        return np.bincount(shifted, minlength=bins).astype(np.int64)
    edges = _edges(block.dtype, kind, low, high)
    if edges is None:
        return np.bincount([0], [block.size], bins).astype(np.int64)
    return np.histogram(block, bins, range=(edges[0], edges[-1]))[0].astype(np.int64)


def _edges(dtype: np.dtype, kind: str, low: float, high: float) -> npt.NDArray[Any] | None:
    """Return the edges of bins of floats; None where the values are too close for bins.

    Otsu's are of the type of the values, as scikit-image has them, unless that cannot tell the
    edges apart; Li's, which are narrower, are of double precision.
    """
    bins = bins_for(dtype, kind)
    for kept in (dtype, np.dtype(np.float64)) if kind == "otsu" else (np.dtype(np.float64),):
        if high - low <= np.finfo(kept).max:  # not so if one of them is infinite
            edges = np.linspace(kept.type(low), kept.type(high), bins + 1, dtype=kept)
            if (edges[1:] > edges[:-1]).all():
                return edges
    return None


def threshold(
    counts: Counts, kind: str, dtype: np.dtype, low: float, high: float, place: tuple[str, str]
) -> float:
    """Return Otsu's or Li's threshold of an image.

    Parameters
    ----------
    counts
        Histogram of the whole image.
    kind
        ``otsu`` or ``li``.
    dtype, low, high
        Type of the values, and their extent where they are floats.
    place
        File of the image and what was done to it, for the message.

    Raises
    ------
    InputError
        If all values are one, or as good as one: then neither is defined.

    Notes
    -----
    Otsu's [1]_ is that of `skimage.filters.threshold_otsu`, to the bit. Li's [2]_, [3]_ is that of
    `skimage.filters.threshold_li` for integers; for floats the values are taken as the centres of
    65,536 bins, so that it may differ by the width of a few.

    References
    ----------
    .. [1] N. Otsu, IEEE Trans. SMC 9 (1979) 62.
    .. [2] C.H. Li and C.K. Lee, Pattern Recognition 26 (1993) 617.
    .. [3] C.H. Li and P.K.S. Tam, Pattern Recognition Letters 18 (1998) 771.
    """
    from skimage.filters import threshold_otsu

    if counted(dtype):
        seen = np.flatnonzero(counts)
        counts = counts[seen[0] : seen[-1] + 1]
        centres = np.arange(seen[0], seen[-1] + 1) + np.iinfo(dtype).min
        constant = len(seen) == 1
    else:
        edges = _edges(dtype, kind, low, high)
        constant = edges is None
        centres = np.array([low]) if edges is None else (edges[:-1] + edges[1:]) / 2
    if constant:
        what = f"every value{place[1]} is {centres[0]:g}, "
        if not counted(dtype) and low != high:
            what = f"the values{place[1]} go from {low!r} to {high!r}, which bins cannot part, "
        what += f"so that {kind.capitalize()}'s threshold is not defined"
        raise InputError(Problem(place[0], "", what, "give a fixed threshold, or leave it out"))
    if kind == "otsu":
        return float(threshold_otsu(hist=(counts, centres)))
    return _li(counts.astype(np.float32), centres.astype(np.float64), counted(dtype))


def _li(weights: npt.NDArray[np.float32], centres: npt.NDArray[np.float64], whole: bool) -> float:
    """Return the threshold of least cross-entropy, by iteration from the mean."""
    least = centres[0] if whole else 2 * centres[0] - (centres[0] + centres[1]) / 2
    values = centres - least
    tolerance = 0.5 if whole else (values[1] - values[0]) / 2
    known = weights > 0
    values, weights = values[known], weights[known]
    guess, last = float(np.average(values, weights=weights)), -2 * tolerance
    while abs(guess - last) > tolerance:
        last = guess
        above = values > last
        if above.all() or not above.any():
            break
        high = np.average(values[above], weights=weights[above])
        low = np.average(values[~above], weights=weights[~above])
        if low == 0:
            break
        guess = float((low - high) / (np.log(low) - np.log(high)))
    return guess + float(least)
