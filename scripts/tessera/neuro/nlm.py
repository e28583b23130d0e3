"""Classic non-local means for 3-D magnitude images, one volume per call and thread.

The estimator is that of Buades et al. (2005) with the Rician correction of Wiest-Daesslé et al.
(2008), in the form of dipy's ``nlmeans(..., method="classic")``. A voxel becomes the root of the
weighted mean of the squared samples in a cube around it,

    w(x, o) = exp(-d(x, x + o) / (sqrt(2) s(x + o)^2)),

with d the mean squared difference of the two patches and s the mean sigma over the moving patch;
with the Rician correction 2 sigma(x)^2 is taken off the mean square first. Patches stay inside the
search cube, so offsets run over ``[-(search - patch), search - patch]`` along each axis.

How it is made fast: the loops over offsets are outside and those over voxels inside; a difference
d serves both ends of its pair, so half of the offsets suffice; its sum over the patch is separable.
A volume is held flat (x, then y, then z), which makes an offset one integer and every inner loop
long and free of branches.

How it is made reproducible: every voxel sees the same float operations in the same order wherever
it lies in the block: the compiler may neither reassociate nor fuse on its own, no sum runs on from
voxel to voxel, and contributions arrive in the order of the offsets. A volume cut into parts, each
with a margin of the search radius, gives the bytes of the whole.

All of it is float64: near the noise floor the Rician correction is a difference of nearly equal
numbers, and float32 sums would leave a background voxel wrong by a thousandth of the noise.
"""

from __future__ import annotations

import math
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt
from numba.extending import intrinsic

Volume = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_CHUNK = 3000
"""Voxels handled at a time (cut to whole rows): more would leave the cache, and fewer would spend
their time on the rows that patches reach beyond the chunk."""


def pad_reflect(volume: Volume, radius: int) -> Volume:
    """Extend a volume on all sides by reflection about the edge voxels.

    Parameters
    ----------
    volume
        (Z, Y, X) array.
    radius
        Voxels to add on each side; >= 0. An axis shorter than that is reflected repeatedly.

    Returns
    -------
    (Z + 2 radius, Y + 2 radius, X + 2 radius) array of the same dtype. The edge voxel itself is
    not repeated (``... 2 1 | 0 1 2 ...``), as in dipy.
    """
    return np.pad(volume, radius, mode="reflect")


def nlmeans(
    volume: Volume,
    sigma: float | Volume,
    *,
    mask: Mask | None = None,
    patch_radius: int = 1,
    search_radius: int = 5,
    rician: bool = True,
) -> Volume:
    """Denoise a whole volume, reflected at its edges.

    Parameters
    ----------
    volume, sigma, mask
        (Z, Y, X) volume, noise level (number or map), voxels wanted.
    patch_radius, search_radius, rician
        As in `nlmeans_padded`, which does the work.

    Returns
    -------
    (Z, Y, X) float32.
    """
    padded_sigma = sigma if np.ndim(sigma) == 0 else pad_reflect(np.asarray(sigma), search_radius)
    return nlmeans_padded(
        pad_reflect(volume, search_radius),
        padded_sigma,
        mask=mask,
        patch_radius=patch_radius,
        search_radius=search_radius,
        rician=rician,
    )


def nlmeans_padded(
    block: Volume,
    sigma: float | Volume,
    *,
    mask: Mask | None = None,
    patch_radius: int,
    search_radius: int,
    rician: bool,
) -> Volume:
    """Denoise the core of a block that carries its own margin.

    Parameters
    ----------
    block
        (Z + 2 B, Y + 2 B, X + 2 B) float32 with B = `search_radius`; the margin holds the real
        neighbours of the core, or reflections at the edge of the image (`pad_reflect`). A sample
        that is not finite may spoil the voxels whose search cube holds it, and no others; replace
        it before the call.
    sigma
        Standard deviation of the noise in the units of `block`: a number, or a map of the shape of
        `block`. Where it is 0 the voxel is returned as it came.
    mask
        (Z, Y, X) bool: voxels wanted, the others are 0. It does not alter a wanted voxel.
    patch_radius
        Radius of the compared patches, >= 1.
    search_radius
        Radius of the search cube, patches included, >= `patch_radius`.
    rician
        Subtract the Rician bias, 2 sigma^2, from the mean square, and clip at 0.

    Returns
    -------
    (Z, Y, X) float32, computed in float64.

    Raises
    ------
    ValueError
        If radii, shapes or sigma do not make sense.

    Notes
    -----
    The GIL is released, so callers may denoise one volume per thread; each takes about 60 bytes
    per voxel of the block (76 with a map of sigma). Only the bounding box of the mask is worked
    on.
    """
    block = np.asarray(block, np.float32)
    margin = search_radius
    core = tuple(n - 2 * margin for n in block.shape)
    if not 1 <= patch_radius <= search_radius:
        raise ValueError(f"patch radius {patch_radius} is not in 1..{search_radius}")
    if block.ndim != 3 or min(core) < 1:
        raise ValueError(f"a block of shape {block.shape} has no core within a margin of {margin}")
    if mask is not None and mask.shape != core:
        raise ValueError(f"mask of shape {mask.shape} for a core of shape {core}")
    if np.ndim(sigma) != 0 and np.shape(sigma) != block.shape:
        raise ValueError(f"sigma of shape {np.shape(sigma)} for a block of shape {block.shape}")
    if not np.all(np.isfinite(sigma)) or np.any(np.asarray(sigma) < 0):
        raise ValueError("sigma is negative or not finite")

    result = np.zeros(core, np.float32)
    wanted = np.ones(core, np.bool_) if mask is None else mask.astype(np.bool_)
    if not wanted.any():
        return result
    box = _bounding_box(wanted)
    outer = tuple(slice(s.start, s.stop + 2 * margin) for s in box)
    wanted, samples = wanted[box], block[outer].astype(np.float64)
    levels = np.broadcast_to(np.asarray(sigma, np.float64), block.shape)[outer]
    centre = (slice(margin, -margin),) * 3
    noise = levels[centre]
    flat, squares = _flatten(samples, margin), _flatten(samples * samples, margin)
    if np.ndim(sigma) == 0:
        scale = np.array([_exponent_scale(float(sigma), patch_radius)])
    else:
        scale = _flatten(_exponent_scale(_box_mean(levels, patch_radius), patch_radius), margin)
    rows = np.ascontiguousarray(wanted.any(axis=2))
    taps = (1,) * (2 * patch_radius + 1)
    sums = _accumulate(
        flat, squares, scale, rows, samples.shape, taps, search_radius - patch_radius
    )
    weighted, weights = (total[margin:-margin].reshape(samples.shape)[centre] for total in sums)
    # The offset 0, which is not among the sums, has weight 1.
    mean_square = (weighted + samples[centre] ** 2) / (weights + 1)
    if rician:
        mean_square -= 2 * noise**2
    value = np.sqrt(np.maximum(mean_square, 0)).astype(np.float32)
    value = np.where(noise > 0, value, samples[centre])
    result[box] = np.where(wanted, value, np.float32(0))
    return result


def _bounding_box(mask: Mask) -> tuple[slice, ...]:
    spans = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        inside = np.flatnonzero(mask.any(axis=others))
        spans.append(slice(int(inside[0]), int(inside[-1]) + 1))
    return tuple(spans)


def _flatten(volume: Floats, slack: int) -> Floats:
    """One dimension, with a few zeros at both ends so that loops over whole rows may overrun."""
    flat = np.zeros(volume.size + 2 * slack)
    flat[slack : slack + volume.size] = volume.ravel()
    return flat


def _box_mean(volume: Floats, radius: int) -> Floats:
    """Mean over the cube around each voxel; 0 where the cube leaves the volume."""
    total = volume
    for axis in range(3):
        lines = np.moveaxis(total, axis, 0)
        count = lines.shape[0] - 2 * radius
        summed = np.zeros_like(lines)
        for shift in range(2 * radius + 1):
            summed[radius : radius + count] += lines[shift : shift + count]
        total = np.moveaxis(summed, 0, axis)
    return total / (2 * radius + 1) ** 3


def _exponent_scale(sigma: Any, patch_radius: int) -> Any:
    """Return the factor that turns a summed squared difference into the log2 of its weight."""
    spread = math.sqrt(2) * math.log(2) * (2 * patch_radius + 1) ** 3 * np.square(sigma)
    # Where sigma is 0 the weight is 1 for equal patches and vanishes for others, never NaN.
    return -1 / np.maximum(spread, 1e-300)


@intrinsic
def _fma(typing_context, a, b, c):  # type: ignore[no-untyped-def]
    """Return a * b + c, rounded once: one instruction, and the same bytes on every machine."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.fma(*arguments)

    return nb.float64(nb.float64, nb.float64, nb.float64), generate


@nb.njit(nogil=True, cache=True)
def _exp2(y):  # type: ignore[no-untyped-def]
    """2**y for y <= 0, relative error below 3e-12; 0 for y < -100 and for NaN.

    The whole part of y goes into the exponent's bits, the rest through a Chebyshev interpolant
    that is exactly 1 at 0. What is cut off is 1e-30 of a voxel's own weight.
    """
    shifted = y + 6755399441055744.0  # 1.5 * 2**52: the sum's last bits hold y, rounded
    rest = y - (shifted - 6755399441055744.0)
    p = 1.3250805508426927e-06
    p = _fma(p, rest, 1.5303700711237662e-05)
    p = _fma(p, rest, 0.00015403475186574948)
    p = _fma(p, rest, 0.0013333478473686045)
    p = _fma(p, rest, 0.009618129135236077)
    p = _fma(p, rest, 0.05550410906325866)
    p = _fma(p, rest, 0.24022650695888503)
    p = _fma(p, rest, 0.6931471805568324)
    p = _fma(p, rest, 1.0)
    bits = np.float64(p).view(np.int64) + (np.float64(shifted).view(np.int64) << 52)
    return np.int64(bits).view(np.float64) if y >= -100.0 else 0.0


@nb.njit(nogil=True, cache=True)
def _patch_columns(near, far, plane, taps, column):  # type: ignore[no-untyped-def]
    """Squared differences summed over the planes of a patch."""
    plane = np.uint64(plane)  # an index that cannot be negative lets the loop be vectorised
    for i in range(np.uint64(column.size)):
        total = 0.0
        for k in range(np.uint64(len(taps))):
            d = near[i + k * plane] - far[i + k * plane]
            total = _fma(d, d, total)
        column[i] = total


@nb.njit(nogil=True, cache=True)
def _patch_rows(column, stride, taps, strip):  # type: ignore[no-untyped-def]
    """Column sums summed over the rows of a patch."""
    stride = np.uint64(stride)
    for i in range(np.uint64(strip.size)):
        total = 0.0
        for k in range(np.uint64(len(taps))):
            total += column[i + k * stride]
        strip[i] = total


@nb.njit(nogil=True, cache=True)
def _weigh_uniform(  # type: ignore[no-untyped-def]
    strip, taps, scale, near_squares, far_squares, near_sum, near_weight, far_sum, far_weight
):
    """Finish the patch sums along x and add to both ends of every pair, with one weight."""
    for i in range(near_squares.size):
        total = 0.0
        for k in range(len(taps)):
            total += strip[i + k]
        w = _exp2(total * scale)
        near_weight[i] += w
        near_sum[i] = _fma(w, far_squares[i], near_sum[i])
        far_weight[i] += w
        far_sum[i] = _fma(w, near_squares[i], far_sum[i])


@nb.njit(nogil=True, cache=True)
def _weigh_mapped(  # type: ignore[no-untyped-def]
    strip, taps, near_scale, far_scale, near_squares, far_squares,
    near_sum, near_weight, far_sum, far_weight,
):  # fmt: skip
    """As `_weigh_uniform`, but each end weighs by the noise at the other one."""
    for i in range(near_squares.size):
        total = 0.0
        for k in range(len(taps)):
            total += strip[i + k]
        w = _exp2(total * far_scale[i])
        near_weight[i] += w
        near_sum[i] = _fma(w, far_squares[i], near_sum[i])
        w = _exp2(total * near_scale[i])
        far_weight[i] += w
        far_sum[i] = _fma(w, near_squares[i], far_sum[i])


@nb.njit(nogil=True, cache=True)
def _accumulate(flat, squares, scale, rows, shape, taps, reach):  # type: ignore[no-untyped-def]
    """Sum weighted squares and weights of every core voxel over all offsets but 0.

    Of two opposite offsets one is taken, and its differences weigh both ends: the *near* voxel i
    looks at i + offset, the *far* one looks back. The two kinds are summed apart, as their order
    would depend on how rows are cut into chunks.

    `flat`, `squares` and `scale` (if it is a map) are as `_flatten` gives them, and so are the two
    sums returned, of which the core is of use; `rows` (Z, Y) says which rows of the core are
    wanted; `taps` is a tuple as long as a patch is wide, so that this width is known to the
    compiler.
    """
    patch = len(taps) // 2
    margin = patch + reach
    depth, height = rows.shape
    stride, plane = shape[2], shape[1] * shape[2]
    chunk_rows = max(1, _CHUNK // stride)

    # Rows wanted of each plane; none is a range from beyond the end back to 0.
    first, last = np.full(depth, shape[1]), np.zeros(depth, np.int64)
    for z in range(depth):
        for y in range(height):
            if rows[z, y]:
                first[z] = min(first[z], margin + y)
                last[z] = margin + y + 1

    column = np.empty((chunk_rows + 2 * patch) * stride + 2 * patch)
    strip = np.empty(chunk_rows * stride + 2 * patch)
    near_sum, near_weight = np.zeros_like(flat), np.zeros_like(flat)
    far_sum, far_weight = np.zeros_like(flat), np.zeros_like(flat)
    for z in range(-reach, depth):
        for dz in range(reach + 1):
            far_z = z + dz
            for dy in range(-reach if dz > 0 else 0, reach + 1):
                start, stop = shape[1], 0
                if z >= 0:
                    start, stop = first[z], last[z]
                if 0 <= far_z < depth and last[far_z] > 0:
                    start, stop = min(start, first[far_z] - dy), max(stop, last[far_z] - dy)
                for row in range(start, stop, chunk_rows):
                    n = min(chunk_rows, stop - row) * stride
                    at = margin + (z + margin) * plane + row * stride
                    corner = at - patch * (plane + stride + 1)
                    cells = n + 2 * patch * (stride + 1)
                    extent = cells + 2 * patch * plane
                    for dx in range(-reach if dz > 0 or dy > 0 else 1, reach + 1):
                        offset = dz * plane + dy * stride + dx
                        to, opposite = at + offset, corner + offset
                        _patch_columns(
                            flat[corner : corner + extent],
                            flat[opposite : opposite + extent],
                            plane, taps, column[:cells],
                        )  # fmt: skip
                        _patch_rows(column, stride, taps, strip[: n + 2 * patch])
                        if scale.size == 1:
                            _weigh_uniform(
                                strip, taps, scale[0],
                                squares[at : at + n], squares[to : to + n],
                                near_sum[at : at + n], near_weight[at : at + n],
                                far_sum[to : to + n], far_weight[to : to + n],
                            )  # fmt: skip
                        else:
                            _weigh_mapped(
                                strip, taps, scale[at : at + n], scale[to : to + n],
                                squares[at : at + n], squares[to : to + n],
                                near_sum[at : at + n], near_weight[at : at + n],
                                far_sum[to : to + n], far_weight[to : to + n],
                            )  # fmt: skip
    near_sum += far_sum
    near_weight += far_weight
    return near_sum, near_weight
