"""A seeded diffusion phantom whose tensors, noise and tissues are known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

BACKGROUND, GREY, WHITE, VENTRICLE = range(4)

# Typical values at 3 T: mean diffusivity in mm2/s and b0 signal relative to white matter.
_MD = {GREY: 0.80e-3, WHITE: 0.72e-3, VENTRICLE: 3.0e-3}
_S0 = {GREY: 1.40, WHITE: 1.0, VENTRICLE: 2.6}
_WHITE_SIGNAL = 1000.0

Orientation = Literal["negative", "positive", "oblique"]


@dataclass(frozen=True, eq=False)
class Phantom:
    """Noisy acquisition and its truth; arrays ``(V, Z, Y, X)`` or ``(Z, Y, X)``, float32.

    Attributes
    ----------
    dwi
        ``(V, Z, Y, X)`` magnitudes with Rician noise.
    clean
        ``(V, Z, Y, X)`` the same without noise.
    bvals
        ``(V,)`` float64 in s/mm2.
    bvecs
        ``(V, 3)`` float64 in FSL's convention for `affine`; zero for a b0.
    affine
        ``(4, 4)`` float64, voxel indices (x, y, z) to scanner RAS coordinates in mm.
    labels
        ``(Z, Y, X)`` uint8: `BACKGROUND`, `GREY`, `WHITE` or `VENTRICLE`.
    fa, md, s0
        Fractional anisotropy, mean diffusivity in mm2/s, signal without diffusion weighting; zero
        in the background.
    v1
        ``(3, Z, Y, X)`` first eigenvector in scanner RAS axes; zero in background and ventricles.
    sigma
        Standard deviation of the Gaussian noise in the real and in the imaginary channel.
    """

    dwi: NDArray[np.float32]
    clean: NDArray[np.float32]
    bvals: NDArray[np.float64]
    bvecs: NDArray[np.float64]
    affine: NDArray[np.float64]
    labels: NDArray[np.uint8]
    fa: NDArray[np.float32]
    md: NDArray[np.float32]
    s0: NDArray[np.float32]
    v1: NDArray[np.float32]
    sigma: NDArray[np.float32]

    @property
    def brain(self) -> NDArray[np.bool_]:
        """``(Z, Y, X)``, True in all tissues."""
        return self.labels != BACKGROUND


def make_phantom(
    seed: int,
    item: int = 0,
    *,
    shape: tuple[int, int, int] = (44, 60, 52),
    shells: dict[float, int] | None = None,
    n_b0: int = 5,
    snr: float = 22.0,
    orientation: Orientation = "negative",
) -> Phantom:
    """Make a brain-like phantom with a known truth.

    An ellipsoid with a wavy cortical rim, two ventricles and white matter whose anisotropy and
    direction vary smoothly; the b0 signal has a receive field and texture. Borders between tissues
    are sharp (no partial volume), and nothing else is narrower than about ten voxels: bundles of
    few voxels, whose anisotropy smoothing lowers, are not part of it. Tensors are axially
    symmetric. The noise is Rician and strongest in the middle of the head, as after parallel
    imaging. All random numbers are counter-based, keyed by `seed`, `item` and volume: a volume's
    noise does not depend on how many others there are.

    Parameters
    ----------
    seed, item
        Key of the random numbers; items of one seed differ in noise, size and texture.
    shape
        ``(Z, Y, X)`` voxels of 2 mm.
    shells
        Number of directions for each b-value in s/mm2; by default 32 at 1000. Fibonacci points on
        the half sphere, in scanner axes.
    n_b0
        Volumes without diffusion weighting, spread over the series.
    snr
        Median over white matter of b0 signal to `sigma`.
    orientation
        The affine: ``negative`` determinant (x stored right to left), ``positive``, or ``oblique``
        (negative determinant, turned by 20 degrees about an axis that is none of the scanner's).

    Returns
    -------
    Phantom
        Acquisition and truth.
    """
    rng = _stream(seed, item, 2**32)
    labels, place, s0, fa, direction = _anatomy(shape, rng)
    md = np.zeros(shape)
    for tissue, value in _MD.items():
        md[labels == tissue] = value
    affine = _affine(shape, orientation)
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    v1 = np.einsum("ij,jzyx->izyx", axes, direction)

    bvals, gradients = _scheme(shells or {1000.0: 32}, n_b0)
    flip = np.array([-1.0 if np.linalg.det(axes) > 0 else 1.0, 1.0, 1.0])
    bvecs = (gradients @ axes) * flip

    sigma = 0.75 + 0.6 * np.exp(-np.square(place / [[[[0.8]]], [[[0.6]]], [[[0.6]]]]).sum(axis=0))
    sigma *= np.median((s0 / sigma)[labels == WHITE]) / snr
    # FA of an axially symmetric tensor fixes its two eigenvalues relative to MD.
    ratio = fa / np.sqrt(3.0 - 2.0 * fa**2)
    parallel, perpendicular = md * (1 + 2 * ratio), md * (1 - ratio)

    dwi = np.empty((len(bvals), *shape), dtype=np.float32)
    clean = np.empty_like(dwi)
    for v, (b, gradient) in enumerate(zip(bvals, gradients, strict=True)):
        cosine = np.einsum("i,izyx->zyx", gradient, v1)
        clean[v] = s0 * np.exp(-b * (perpendicular + (parallel - perpendicular) * cosine**2))
        real, imaginary = _stream(seed, item, v).standard_normal((2, *shape)) * sigma
        dwi[v] = np.hypot(clean[v] + real, imaginary)
    single = [array.astype(np.float32) for array in (fa, md, s0, v1, sigma)]
    return Phantom(dwi, clean, bvals, bvecs, affine, labels, *single)


def with_bad_samples(phantom: Phantom) -> Phantom:
    """Copy a phantom and spoil samples in the middle of its brain.

    A block of 3 x 3 x 3 voxels is nan in all volumes, its neighbours along y are 0 in a third of
    the volumes, and their neighbours negative in one volume.
    """
    dwi = phantom.dwi.copy()
    z, y, x = (n // 2 for n in phantom.labels.shape)
    dwi[:, z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2] = np.nan
    dwi[::3, z - 1 : z + 2, y + 2 : y + 4, x - 1 : x + 2] = 0.0
    dwi[1, z - 1 : z + 2, y + 4 : y + 6, x - 1 : x + 2] = -10.0
    return replace(phantom, dwi=dwi)


def with_short_bvec(phantom: Phantom, volume: int = 12, length: float = 0.42) -> Phantom:
    """Copy a phantom and shorten one b-vector, a fault for which an acquisition is refused."""
    bvecs = phantom.bvecs.copy()
    bvecs[volume] *= length / np.linalg.norm(bvecs[volume])
    return replace(phantom, bvecs=bvecs)


def _anatomy(
    shape: tuple[int, int, int], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray, NDArray, NDArray, NDArray]:
    """Return labels, head coordinates (x, y, z), b0 signal, FA and directions in voxel axes."""
    # Head coordinates: +-1 at the faces of the volume, x to the right, y forwards, z up.
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    semi_axes = np.array([0.84, 0.90, 0.86]) * rng.uniform(0.97, 1.03, 3)
    phases = rng.uniform(0, 2 * np.pi, (3, 3))
    radius = np.sqrt((x / semi_axes[0]) ** 2 + (y / semi_axes[1]) ** 2 + (z / semi_axes[2]) ** 2)
    # Folds: the inner face of the rim moves in and out.
    rim = 0.84 + 0.04 * np.sin(9 * np.arctan2(y, x) + phases[0, 0]) * np.cos(7 * z + phases[0, 1])
    labels = np.full(shape, BACKGROUND, dtype=np.uint8)
    labels[radius <= 1] = GREY
    labels[radius <= rim] = WHITE
    for side in (-1, 1):
        horn = ((x - side * 0.16) / 0.10) ** 2 + (y / 0.38) ** 2 + ((z - 0.05) / 0.22) ** 2
        labels[horn <= 1] = VENTRICLE

    # Anisotropy of white matter rises and falls across the brain. Its fibres run from left to right
    # in the middle, turn downwards to the sides and forwards to the front.
    shift = 0.5 * np.sin(phases[0, 2])
    fa = 0.53 + 0.27 * np.cos(3.5 * x + shift) * np.cos(3 * y) * np.cos(3 * z - 0.6)
    downwards, forwards = 1.3 * x, 0.8 * y
    direction = np.stack(
        [
            np.cos(downwards) * np.cos(forwards),
            np.sin(forwards),
            -np.sin(downwards) * np.cos(forwards),
        ]
    )
    fa = np.where(labels == GREY, 0.12, np.where(labels == WHITE, fa, 0.0))
    # Grey matter's weak anisotropy is across the cortex.
    outwards = np.stack([x, y, z]) / semi_axes[:, np.newaxis, np.newaxis, np.newaxis] ** 2
    direction = np.where(labels == GREY, outwards, direction)
    direction = direction / np.linalg.norm(direction, axis=0)
    direction *= (labels == GREY) | (labels == WHITE)

    s0 = np.zeros(shape)
    for tissue, value in _S0.items():
        s0[labels == tissue] = value
    texture = [
        np.sin(f * x + a) * np.sin(f * y + b) * np.sin(f * z + c)
        for f, (a, b, c) in zip((13, 17), phases[1:], strict=True)
    ]
    receive_field = 1 + 0.15 * x * y - 0.1 * z
    s0 *= _WHITE_SIGNAL * receive_field * (1 + 0.05 * texture[0] + 0.04 * texture[1])
    return labels, np.stack([x, y, z]), s0, fa, direction


def _affine(shape: tuple[int, int, int], orientation: Orientation) -> NDArray[np.float64]:
    axes = np.diag([1.0 if orientation == "positive" else -1.0, 1.0, 1.0])
    if orientation == "oblique":
        axis = np.array([0.6, 0.48, 0.64])
        angle = np.radians(20)
        cross = np.cross(np.eye(3), -axis)
        axes = (
            np.cos(angle) * np.eye(3)
            + np.sin(angle) * cross
            + (1 - np.cos(angle)) * np.outer(axis, axis)
        ) @ axes
    affine = np.eye(4)
    affine[:3, :3] = 2.0 * axes
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)
    return affine


def _scheme(shells: dict[float, int], n_b0: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    bvals = [np.full(n, b) for b, n in shells.items()]
    directions = [_half_sphere(n) for n in shells.values()]
    weighted, vectors = np.concatenate(bvals), np.concatenate(directions)
    # The first volume is a b0, the others are spread evenly.
    places = np.linspace(0, len(weighted), n_b0, endpoint=False).astype(int)
    return np.insert(weighted, places, 0.0), np.insert(vectors, places, 0.0, axis=0)


def _half_sphere(n: int) -> NDArray[np.float64]:
    k = np.arange(n)
    z = 1 - (k + 0.5) / n
    angle = k * np.pi * (3 - np.sqrt(5))
    r = np.sqrt(1 - z**2)
    return np.stack([r * np.cos(angle), r * np.sin(angle), z], axis=1)


def _stream(seed: int, item: int, volume: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, item], counter=[0, 0, 0, volume]))
