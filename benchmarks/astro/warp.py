"""CPU time and error of the resampling of ``astro`` beside reproject's, one thread each.

    python benchmarks/astro/warp.py

resamples an exposure of 2048 x 2048 pixels with a TPV distortion onto a sky map of as many, with
both programs, and compares what comes out with the stars that were put in.
"""

from __future__ import annotations

import os

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.wcs import WCS
from reproject import reproject_interp

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from tessera.astro.bits import NODATA
from tessera.astro.lattice import Lattice, lattice
from tessera.astro.warp import Planes, warp

Floats = npt.NDArray[np.float64]
Result = TypeVar("Result")

SIZE = 2048
FWHM = 4.0
FLUX = 1e5
SPACING = 64
RUNS = 3
_HALF = 14


def make_wcs(projection: str, scale: float, angle: float) -> WCS:
    """Make a WCS around RA 0, Dec -5 with its reference pixel in the middle; arcsec and degrees."""
    header = fits.Header()
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    cd = np.diag([-scale, scale]) / 3600 @ np.array([[c, -s], [s, c]])
    for i, (kind, value) in enumerate((("RA--", 0.0), ("DEC-", -5.0))):
        header[f"CTYPE{i + 1}"] = f"{kind}-{projection}"
        header[f"CRVAL{i + 1}"], header[f"CRPIX{i + 1}"] = value, SIZE / 2 + 0.5
        for j in range(2):
            header[f"CD{i + 1}_{j + 1}"] = cd[i, j]
    if projection == "TPV":
        terms = (1e-5, 1.0004, -2e-4, None, 3e-3, 2e-3, -1e-3, 0.021, 1e-3, 0.02, -7e-4)
        for n, term in enumerate(terms):
            if term is not None:
                header[f"PV1_{n}"], header[f"PV2_{n}"] = term, 0.98 * term
    return WCS(header)


def scene(sky: WCS, exposure: WCS) -> tuple[npt.NDArray[np.float32], Floats, Floats]:
    """Draw stars that are Gaussian on the sky map as the exposure sees them.

    Returns
    -------
    Counts of the exposure, and y and x of the stars on the sky map.
    """
    rng = np.random.default_rng(7)
    y, x = (g.ravel() for g in np.mgrid[300 : SIZE - 300 : SPACING, 300 : SIZE - 300 : SPACING])
    y, x = y + rng.uniform(-0.5, 0.5, y.size), x + rng.uniform(-0.5, 0.5, x.size)
    at_x, at_y = exposure.all_world2pix(*sky.all_pix2world(x, y, 0), 0)
    image = np.zeros((SIZE, SIZE))
    step = np.arange(-_HALF, _HALF + 1)
    for b, a, j, i in zip(y, x, np.rint(at_y).astype(int), np.rint(at_x).astype(int), strict=True):
        on_x, on_y = on_sky(sky, exposure, (i + step)[None, :], (j + step)[:, None])
        right, up = (
            on_sky(sky, exposure, (i + step)[None, :] + dx, (j + step)[:, None] + dy)
            for dx, dy in ((1e-2, 0), (0, 1e-2))
        )
        area = (right[0] - on_x) * (up[1] - on_y) - (right[1] - on_y) * (up[0] - on_x)
        square = (on_y - b) ** 2 + (on_x - a) ** 2
        sigma = FWHM / np.sqrt(8 * np.log(2))
        star = FLUX / (2 * np.pi * sigma**2) * np.exp(-square / (2 * sigma**2))
        image[j - _HALF : j + _HALF + 1, i - _HALF : i + _HALF + 1] += star * np.abs(area) * 1e4
    return image.astype(np.float32), y, x


def on_sky(sky: WCS, exposure: WCS, x: Any, y: Any) -> tuple[Floats, Floats]:
    x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
    there = sky.all_world2pix(*exposure.all_pix2world(x.ravel(), y.ravel(), 0), 0)
    return there[0].reshape(x.shape), there[1].reshape(x.shape)


def errors(image: npt.NDArray[Any], y: Floats, x: Floats) -> tuple[float, float]:
    """Return rms error of the stars' places (pixels, per axis) and of their fluxes (mmag)."""
    step = np.arange(-_HALF, _HALF + 1)
    sigma = FWHM / np.sqrt(8 * np.log(2))
    places, fluxes = [], []
    for b, a in zip(y, x, strict=True):
        j, i = round(b), round(a)
        cut = image[j - _HALF : j + _HALF + 1, i - _HALF : i + _HALF + 1].astype(float)
        dy, dx = (j - b + step)[:, None], (i - a + step)[None, :]
        star = np.exp(-(dy**2 + dx**2) / (2 * sigma**2))
        rest = cut - FLUX * star / star.sum()
        # Least-squares fit of the place to a star of known profile.
        slopes = star / star.sum() * FLUX / sigma**2
        places += [float(np.sum(rest * slopes * d) / np.sum((slopes * d) ** 2)) for d in (dy, dx)]
        fluxes.append(1085.7 * (cut.sum() / FLUX - 1))
    return float(np.sqrt(np.mean(np.square(places)))), float(np.sqrt(np.mean(np.square(fluxes))))


def cpu_seconds(work: Callable[[], Result], runs: int) -> tuple[float, Result]:
    """Least CPU time of some runs, and the result of the last."""
    best = np.inf
    for _ in range(runs):
        start = time.process_time()
        result = work()
        best = min(best, time.process_time() - start)
    return best, result


def compare() -> dict[str, float]:
    """Resample image, variance and mask with both programs.

    Returns
    -------
    dict
        ``reproject_s``, ``tessera_s``: CPU seconds for the three planes (reproject: bicubic, but
        the mask by the nearest pixel), positions included; ``ratio``; ``*_pixels``, ``*_mmag``: rms
        error of the stars' places and fluxes; ``lattice_pixels``: greatest error of the positions.
    """
    sky, exposure = make_wcs("TAN", 0.27, 0.0), make_wcs("TPV", 0.2634, 12.0)
    image, y, x = scene(sky, exposure)
    variance = np.full(image.shape, 4, np.float32)
    mask = np.zeros(image.shape, np.uint8)
    window = (0, SIZE, 0, SIZE)

    def ours() -> tuple[Planes, Lattice]:
        nan = np.full(image.shape, np.nan, np.float32)
        out = Planes(nan, nan.copy(), np.full(image.shape, NODATA, np.uint8))
        nodes = lattice(sky, exposure, window)
        warp(
            image, variance, mask, (0, 0), nodes, window,
            kernel="lanczos3", scale=1.0, shape=image.shape, out=out,
        )  # fmt: skip
        return out, nodes

    def theirs() -> npt.NDArray[Any]:
        planes = [
            reproject_interp(
                (plane, exposure), sky, shape_out=image.shape, order=order, return_footprint=False
            )
            for plane, order in ((image, "bicubic"), (variance, "bicubic"), (mask, 0))
        ]
        return planes[0]

    ours()  # compiles
    tessera_s, (out, nodes) = cpu_seconds(ours, RUNS)
    reproject_s, resampled = cpu_seconds(theirs, 1)
    positions = nodes.positions(window)
    tessera = errors(out.image, y, x)
    # reproject gives surface brightness; the area of a pixel makes counts of it.
    reproject = errors(resampled * positions[2], y, x)
    rng = np.random.default_rng(3)
    row, column = rng.integers(0, SIZE, (2, 20_000))
    exact = exposure.all_world2pix(*sky.all_pix2world(column, row, 0), 0)
    miss = np.hypot(
        positions[1, row, column] - exact[0], positions[0, row, column] - exact[1]
    ).max()
    return {
        "reproject_s": reproject_s,
        "tessera_s": tessera_s,
        "ratio": reproject_s / tessera_s,
        "reproject_pixels": reproject[0],
        "tessera_pixels": tessera[0],
        "reproject_mmag": reproject[1],
        "tessera_mmag": tessera[1],
        "lattice_pixels": float(miss),
    }


if __name__ == "__main__":
    for name, value in compare().items():
        print(f"{name:18s} {value:.3g}")
