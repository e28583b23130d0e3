"""Cosmic rays by Laplacian edge detection, from pixels that can be one and their neighbours alone.

L.A.Cosmic (van Dokkum 2001, PASP 113, 1420) in the form of astroscrappy 1.3 with a variance plane,
``sepmed=True``, ``fsmode="median"`` and ``cleantype="meanmask"``; the mask is the same pixel for
pixel. Per iteration, with med_n the separable n x n median and L+ the clipped Laplacian:

    s  = L+ / (2 noise),  noise = sqrt(med_7(variance))      significance
    s' = s - med_7(s)                                        without what is smooth
    f  = (med_5 - med_9(med_5)) / noise, at least 0.01       fine structure: stars

A seed has s' > ``sigclip`` and s' / f > ``objlim``. Neighbours of seeds with s' > ``sigclip``, and
their neighbours with s' > ``sigfrac sigclip``, are cosmic rays too. All found so far get the mean
of the good pixels within 5 x 5, in image and variance, and the next iteration looks again.

How it is made fast: the Laplacian of the image with every pixel split in four has a direct form on
the original grid. Neither s nor a median of it is negative, so s' exceeds a limit only where s
does: medians of s and the fine structure are taken there. After the first iteration only what lies
near a pixel that got a new value can change.

The reference rounds to float32 after every step, and a pixel at a limit may hang on it. Sums are
therefore taken in the order of its published builds, whose compiler rearranged them.
"""

from __future__ import annotations

import math
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt

from tessera.astro.laplacian import (
    BORDER,
    fine_structure,
    inside,
    noise_of,
    significance,
    significance_at,
)
from tessera.astro.medians import median7

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

BLOCKED, FOUND, CANDIDATE, SEED, MARK, STALE = (np.uint8(1 << bit) for bit in range(6))
"""State of a pixel: not to be used, cosmic ray, s' > sigclip, seed, in the list being made, its
s is out of date."""

_LEAST_FINE = np.float32(0.01)


def find_cosmic_rays(
    image: Floats,
    variance: Floats,
    mask: Mask,
    *,
    sigclip: float,
    sigfrac: float,
    objlim: float,
    iterations: int,
) -> Mask:
    """Find the pixels that were hit by cosmic rays.

    Parameters
    ----------
    image
        (Y, X) counts, finite; the sky may have been subtracted.
    variance
        (Y, X) variance of the image, counts squared, finite.
    mask
        (Y, X) pixels not to be used (defects, saturation), widened by one pixel here.
    sigclip
        Least significance s' of a cosmic ray, in units of the noise; >= 0.
    sigfrac
        Share of ``sigclip`` that suffices next to a cosmic ray; >= 0.
    objlim
        Least ratio of s' to the fine structure, which tells cosmic rays from stars.
    iterations
        Iterations at most; >= 1. They end when one finds nothing new.

    Returns
    -------
    (Y, X) bool, False where ``mask`` is True or next to it, and within 3 pixels of the edge.

    Raises
    ------
    ValueError
        Shapes that differ, values that are not finite, or parameters out of range.

    Notes
    -----
    One thread. Takes 13 bytes per pixel (copies of image and variance, s, state) and, in lists,
    some 16 more per pixel within 6 of a cosmic ray.
    """
    if image.ndim != 2 or image.shape != variance.shape or image.shape != mask.shape:
        raise ValueError(f"shapes {image.shape}, {variance.shape} and {mask.shape} do not match")
    if not (sigclip >= 0 and sigfrac >= 0 and math.isfinite(objlim) and iterations >= 1):
        raise ValueError(f"cannot search with {sigclip=}, {sigfrac=}, {objlim=}, {iterations=}")
    if not (np.isfinite(image).all() and np.isfinite(variance).all()):
        raise ValueError("image or variance is not finite")
    if min(image.shape) <= 2 * BORDER:
        return np.zeros(image.shape, bool)
    original = np.ascontiguousarray(image, np.float32), np.ascontiguousarray(variance, np.float32)
    state = _blocked(np.ascontiguousarray(mask, bool))
    clip = np.float32(sigclip)
    limits = clip, np.float32(sigfrac) * clip, np.float32(objlim)
    _search(*original, state, limits, iterations)
    return (state & FOUND).astype(bool)


@nb.njit(nogil=True, cache=True)
def _blocked(mask: Any) -> Any:
    """State plane with the mask grown by one pixel, but not onto the outermost pixels."""
    ny, nx = mask.shape
    state = np.zeros((ny, nx), np.uint8)
    for y in range(ny):
        for x in range(nx):
            if mask[y, x]:
                state[y, x] = BLOCKED
                for j in range(max(y - 1, 1), min(y + 2, ny - 1)):
                    for i in range(max(x - 1, 1), min(x + 2, nx - 1)):
                        state[j, i] = BLOCKED
    return state


@nb.njit(nogil=True, cache=True)
def _search(
    first_image: Any, first_variance: Any, state: Any, limits: Any, iterations: Any
) -> None:
    """Set FOUND in ``state``.

    ``limits`` are those of s', of s' next to a cosmic ray, and of s' / f. Pixels go by their flat
    index in lists.
    """
    ny, nx = state.shape
    image = first_image.copy()
    variance = first_variance.copy()
    s = significance(image, variance)
    seeds = [np.int64(0) for _ in range(0)]
    for y in range(BORDER, ny - BORDER):
        for x in range(BORDER, nx - BORDER):
            if s[y, x] > limits[0]:
                _judge(image, variance, s, state, y, x, limits)
                if state[y, x] & SEED:
                    seeds.append(y * nx + x)
    levels = np.full(2, np.nan, np.float32)
    for iteration in range(iterations):
        new = _grow(s, state, seeds, limits[1])
        if len(new) == 0 or iteration == iterations - 1:
            return
        near = _around(state, new, 2, FOUND)
        for p in near:
            y, x = divmod(p, nx)
            if not _clean(image, variance, state, y, x):
                if np.isnan(levels[0]):
                    levels[0] = _lower_median(first_image, state)
                    levels[1] = _lower_median(first_variance, state)
                image[y, x] = levels[0]
                variance[y, x] = levels[1]
        # A new value reaches s through the 7 x 7 median of the variance, s' through another one.
        for p in _around(state, near, BORDER, np.uint8(0)):
            y, x = divmod(p, nx)
            s[y, x] = significance_at(image, variance, y, x)
        seeds = _judge_again(image, variance, s, state, seeds, near, limits)


@nb.njit(nogil=True, cache=True)
def _around(state: Any, pixels: Any, radius: Any, needed: Any) -> Any:
    """List, once each, the pixels within a square around others that have all bits ``needed``."""
    ny, nx = state.shape
    near = [np.int64(0) for _ in range(0)]
    for p in pixels:
        y, x = divmod(p, nx)
        for j in range(max(y - radius, 0), min(y + radius + 1, ny)):
            for i in range(max(x - radius, 0), min(x + radius + 1, nx)):
                if not state[j, i] & MARK and state[j, i] & needed == needed:
                    state[j, i] |= MARK
                    near.append(j * nx + i)
    for p in near:
        y, x = divmod(p, nx)
        state[y, x] &= ~MARK
    return near


@nb.njit(nogil=True, cache=True)
def _grow(s: Any, state: Any, seeds: Any, low: Any) -> Any:
    """Mark as FOUND what belongs to the seeds; list the pixels that were not before."""
    nx = s.shape[1]
    new = [np.int64(0) for _ in range(0)]
    cores = _around(state, seeds, 1, CANDIDATE)
    for p in _around(state, cores, 1, np.uint8(0)):
        y, x = divmod(p, nx)
        if state[y, x] & (FOUND | BLOCKED) or not s[y, x] > low or not inside(s, y, x):
            continue
        if s[y, x] - median7(s, y, x) > low:
            state[y, x] |= FOUND
            new.append(p)
    return new


@nb.njit(nogil=True, cache=True)
def _judge(image: Any, variance: Any, s: Any, state: Any, y: Any, x: Any, limits: Any) -> None:
    """Set the bits CANDIDATE and SEED of a pixel, at least 3 from the edge, with s > sigclip."""
    if state[y, x] & BLOCKED:
        return
    sharp = s[y, x] - median7(s, y, x)
    if not sharp > limits[0]:
        return
    state[y, x] |= CANDIDATE
    fine = fine_structure(image, y, x) / noise_of(variance, y, x)
    if sharp / max(fine, _LEAST_FINE) > limits[2]:
        state[y, x] |= SEED


@nb.njit(nogil=True, cache=True)
def _judge_again(
    image: Any, variance: Any, s: Any, state: Any, seeds: Any, changed: Any, limits: Any
) -> Any:
    """Judge all pixels that new values can reach and return the seeds there are now."""
    nx = s.shape[1]
    again = _around(state, changed, 2 * BORDER, np.uint8(0))
    for p in again:
        y, x = divmod(p, nx)
        state[y, x] = (state[y, x] & (BLOCKED | FOUND)) | STALE
    now = [p for p in seeds if not state[p // nx, p % nx] & STALE]
    for p in again:
        y, x = divmod(p, nx)
        state[y, x] &= ~STALE
        if s[y, x] > limits[0] and inside(s, y, x):
            _judge(image, variance, s, state, y, x, limits)
            if state[y, x] & SEED:
                now.append(p)
    return now


@nb.njit(nogil=True, cache=True)
def _clean(image: Any, variance: Any, state: Any, y: Any, x: Any) -> Any:
    """Give a pixel the mean of the good ones within 5 x 5; return whether there are any."""
    count = 0
    counts, noise = np.float32(0), np.float32(0)
    for j in range(y - 2, y + 3):
        for i in range(x - 2, x + 3):
            if not state[j, i] & (BLOCKED | FOUND):
                counts += image[j, i]
                noise += variance[j, i]
                count += 1
    if count:
        image[y, x] = counts / np.float32(count)
        variance[y, x] = noise / np.float32(count)
    return count > 0


@nb.njit(nogil=True, cache=True)
def _lower_median(plane: Any, state: Any) -> Any:
    """Median of the pixels that are not BLOCKED, the lower of two; exact, by counting bits.

    Taken in order, the bits of floats are those of integers once negative ones are flipped; the
    first pass finds the upper half of the median's bits, the second the lower.
    """
    bits = plane.view(np.uint32)
    upper, rank = np.uint32(0), -1
    for level in range(2):
        tally = np.zeros(1 << 16, np.int64)
        for y in range(plane.shape[0]):
            for x in range(plane.shape[1]):
                if not state[y, x] & BLOCKED:
                    key = bits[y, x]
                    key = ~key if key >> np.uint32(31) else key | np.uint32(1 << 31)
                    if level == 0:
                        tally[key >> np.uint32(16)] += 1
                    elif key >> np.uint32(16) == upper:
                        tally[key & np.uint32(0xFFFF)] += 1
        if level == 0:
            rank = (tally.sum() - 1) // 2
        place = 0
        while rank >= tally[place]:
            rank -= tally[place]
            place += 1
        if level == 0:
            upper = np.uint32(place)
    key = (upper << np.uint32(16)) | np.uint32(place)
    key = key & np.uint32(0x7FFFFFFF) if key >> np.uint32(31) else ~key
    return np.array([key], np.uint32).view(np.float32)[0]
