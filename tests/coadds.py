"""Simulated co-adds of known truth: rotated, dithered visits, resampled by Lanczos-3, averaged."""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np
import pandas as pd

from tessera.astro import bits

MOFFAT_BETA = 3.0
FWHM_TO_ALPHA = 0.5 / np.sqrt(2 ** (1 / MOFFAT_BETA) - 1)


@dataclass(frozen=True)
class Coadd:
    """Planes of one patch, the scene with true fluxes, and what the variance of a pixel would be
    if its noise were white: that of large sums, per pixel."""

    image: np.ndarray
    variance: np.ndarray
    mask: np.ndarray
    nimage: np.ndarray
    truth: pd.DataFrame
    white_variance: float


@nb.njit(nogil=True, cache=True)
def _add(image, x, y, flux, alpha, q, angle):  # type: ignore[no-untyped-def]
    """Add elliptical Moffat profiles, integrated over pixels by 3 x 3 Gauss-Legendre points."""
    nodes = np.array([-0.5 * np.sqrt(0.6), 0.0, 0.5 * np.sqrt(0.6)])
    weights = np.array([5.0, 8.0, 5.0]) / 18.0
    height, width = image.shape
    for s in range(x.size):
        c, n = np.cos(angle[s]), np.sin(angle[s])
        norm = flux[s] * (MOFFAT_BETA - 1) / (np.pi * alpha[s] ** 2)
        # At 9 alpha 0.00015 of the flux is outside; faint sources can do with less.
        limit = int((9 if flux[s] > 100 else 6) * alpha[s]) + 1
        y_low, x_low = max(int(y[s]) - limit, 0), max(int(x[s]) - limit, 0)
        for j in range(y_low, min(int(y[s]) + limit + 1, height)):
            for i in range(x_low, min(int(x[s]) + limit + 1, width)):
                value = 0.0
                for a in range(3):
                    for b in range(3):
                        dx, dy = i + nodes[b] - x[s], j + nodes[a] - y[s]
                        u = (c * dx + n * dy) ** 2 * q[s] + (c * dy - n * dx) ** 2 / q[s]
                        value += weights[a] * weights[b] / (1 + u / alpha[s] ** 2) ** 3
                image[j, i] += norm * value


@nb.njit(nogil=True, cache=True)
def _lanczos(t):  # type: ignore[no-untyped-def]
    if abs(t) < 1e-9:
        return 1.0
    if abs(t) >= 3:
        return 0.0
    return 3 * np.sin(np.pi * t) * np.sin(np.pi * t / 3) / (np.pi * t) ** 2


@nb.njit(nogil=True, cache=True)
def _warp(image, variance, matrix, shift, shape):  # type: ignore[no-untyped-def]
    """Resample by Lanczos-3 with weights of sum 1; NaN where the kernel leaves the visit."""
    out = np.full(shape, np.nan)
    out_variance = np.full(shape, np.nan)
    wx, wy = np.empty(6), np.empty(6)
    for j in range(shape[0]):
        for i in range(shape[1]):
            px = matrix[0, 0] * i + matrix[0, 1] * j + shift[0]
            py = matrix[1, 0] * i + matrix[1, 1] * j + shift[1]
            ix, iy = int(np.floor(px)), int(np.floor(py))
            if ix < 2 or iy < 2 or ix + 3 >= image.shape[1] or iy + 3 >= image.shape[0]:
                continue
            for k in range(6):
                wx[k] = _lanczos(px - (ix - 2 + k))
                wy[k] = _lanczos(py - (iy - 2 + k))
            wx /= wx.sum()
            wy /= wy.sum()
            value, spread = 0.0, 0.0
            for a in range(6):
                for b in range(6):
                    w = wy[a] * wx[b]
                    value += w * image[iy - 2 + a, ix - 2 + b]
                    spread += w * w * variance[iy - 2 + a, ix - 2 + b]
            out[j, i] = value
            out_variance[j, i] = spread
    return out, out_variance


def grid(
    side: int, step: int, seed: int, snr: list[float], *, faint: int = 0, galaxies: float = 0.5
) -> pd.DataFrame:
    """Make a scene: test stars on a jittered grid, and between them other sources.

    Parameters
    ----------
    side, step
        Pixels of the patch and of the grid.
    seed
        Of the random numbers.
    snr
        Signal-to-noise ratios of the test stars (`kind` "test"), taken in turn.
    faint
        Number of other sources (`kind` "other"), counts falling with brightness as nature's; they
        keep clear of the test stars.
    galaxies
        Share of these that are galaxies.
    """
    rng = np.random.default_rng(seed)
    nodes = np.arange(0.8 * step, side - 0.5 * step, step)
    x, y = (part.ravel() + rng.uniform(-4, 4, part.size) for part in np.meshgrid(nodes, nodes))
    ratio = rng.permutation(np.resize(snr, x.size).astype(float))
    rows = [(*row, 0.0, 1.0, 0.0, "test") for row in zip(x, y, ratio, strict=True)]
    while len(rows) < x.size + faint:
        place = rng.uniform(5, side - 5, 2)
        value = min(3 * (rng.pareto(0.9) + 0.5), 2000)
        clear = 14 + 3 * value**0.25 + (12 if value > 100 else 0)
        if np.hypot(x - place[0], y - place[1]).min() > clear:
            if rng.random() < galaxies:
                shape = (rng.uniform(1, 5), rng.uniform(0.4, 1), rng.uniform(0, 3))
            else:
                shape = (0.0, 1.0, 0.0)
            rows.append((*place, value, *shape, "other"))
    numbers = ["x", "y", "snr", "size", "q", "angle"]
    return pd.DataFrame(rows, columns=[*numbers, "kind"]).astype(dict.fromkeys(numbers, float))


def simulate(
    scene: pd.DataFrame,
    shape: tuple[int, int],
    *,
    visits: int = 8,
    seed: int = 0,
    gaps: bool = False,
    scale: float = 1.0,
) -> Coadd:
    """Observe a scene.

    Parameters
    ----------
    scene
        x, y (pixel of the co-add); snr: the best possible signal-to-noise ratio against the sky of
        a star of the source's flux; size: 0 for stars, otherwise the FWHM in pixels of the visits
        of what is added in quadrature to the seeing; q and angle.
    shape
        Of the co-add, pixels.
    visits, seed
        Number of visits; of the random numbers. Seeing is 3.3 to 5.0 pixels of a visit.
    gaps
        Most visits then miss a half-plane or a strip of the patch, so that the PSF varies.
    scale
        Size of the co-add's pixels in units of the visits'.
    """
    rng = np.random.default_rng(seed)
    sigma = rng.uniform(0.8, 1.3, visits)
    fwhm = rng.uniform(3.3, 5.0, visits)
    weights = sigma**-2 / (sigma**-2).sum()
    one = np.ones(1)
    stamp = np.zeros((121, 121))
    for v in range(visits):
        _add(stamp, 60 * one, 60 * one, weights[v] * one, FWHM_TO_ALPHA * fwhm[v] * one, one, one)
    unit = np.sqrt((weights**2 * sigma**2).sum() / (stamp**2).sum())
    flux = scene.snr.to_numpy() * unit
    total, spread, weight_sum = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    nimage = np.zeros(shape, np.int16)
    row, column = np.indices(shape)
    side = int(scale * np.hypot(*shape)) + 20
    for v in range(visits):
        angle = rng.uniform(-np.pi, np.pi)
        c, s = np.cos(angle), np.sin(angle)
        matrix = scale * np.array([[c, -s], [s, c]])
        centre = np.array([shape[1] / 2, shape[0] / 2])
        shift = side / 2 + rng.uniform(-3, 3, 2) - matrix @ centre
        x, y = matrix @ scene[["x", "y"]].to_numpy().T + shift[:, None]
        alpha = FWHM_TO_ALPHA * np.hypot(fwhm[v], scene["size"].to_numpy())
        image = np.zeros((side, side))
        _add(image, x, y, flux, alpha, scene.q.to_numpy(), scene.angle.to_numpy() + angle)
        # Sky noise of about 1 at 20 electrons per unit of flux: a dark sky in a broad band.
        variance = sigma[v] ** 2 + image / 20
        image += rng.normal(size=image.shape) * np.sqrt(variance)
        warped, warped_variance = _warp(image, variance, matrix, shift, shape)
        if gaps and v % 4 != 0:
            normal = rng.uniform(-np.pi, np.pi)
            distance = np.cos(normal) * (column - centre[0]) + np.sin(normal) * (row - centre[1])
            distance += rng.uniform(-0.4, 0.4) * min(shape)
            warped[distance > 0 if v % 4 < 3 else np.abs(distance) < 10] = np.nan
        weight = np.where(np.isfinite(warped), weights[v], 0)
        total += weight * np.nan_to_num(warped) * scale**2
        spread += weight**2 * np.nan_to_num(warped_variance) * scale**4
        weight_sum += weight
        nimage += weight > 0
    weight_sum[nimage == 0] = np.nan
    mask = np.where(nimage == 0, bits.NODATA, np.where(nimage < 3, bits.FEW, 0)).astype(np.uint8)
    return Coadd(
        (total / weight_sum).astype(np.float32),
        (spread / weight_sum**2).astype(np.float32),
        mask,
        nimage,
        scene.assign(flux=flux),
        float(scale**2 * (weights**2 * sigma**2).sum()),
    )
