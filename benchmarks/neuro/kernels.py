"""CPU time of the two kernels of ``neuro`` beside dipy's, in one run, one thread each.

    python benchmarks/neuro/kernels.py [--full]

makes a seeded block of 72 x 72 x 40 voxels x 100 volumes, runs both programs on it, checks that
they agree and writes ``kernels.md`` beside this file. dipy's non-local means takes seconds per
volume: 5 volumes are denoised by both programs unless ``--full`` asks for all.
"""

from __future__ import annotations

import os

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import dipy
import numba
import numpy as np
import numpy.typing as npt
import scipy
from dipy.core.gradients import gradient_table
from dipy.denoise.nlmeans import nlmeans as dipy_nlmeans
from dipy.reconst.dti import TensorModel
from scipy.ndimage import gaussian_filter

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from tessera.neuro import nlm, tensor

Floats = npt.NDArray[np.float64]
Result = TypeVar("Result")

SHAPE = (40, 72, 72)
VOLUMES = 100
SIGMA = 20.0
RUNS = 3


def phantom() -> tuple[npt.NDArray[np.float32], Floats, Floats]:
    """Make an ellipsoid with smoothly varying tensors in Rician noise.

    Returns
    -------
    (V, Z, Y, X) float32 signal, (V,) b-values in s/mm2, (V, 3) b-vectors.
    """
    rng = np.random.default_rng(20170)
    bvals = np.where(np.arange(VOLUMES) % 10 == 0, 0.0, 1000.0)
    bvecs = rng.normal(size=(VOLUMES, 3))
    bvecs /= np.linalg.norm(bvecs, axis=1, keepdims=True)

    def smooth(scale: float) -> Floats:
        field = gaussian_filter(rng.normal(size=SHAPE), scale)
        return field / field.std()

    direction = np.stack([smooth(6) for _ in range(3)])
    direction /= np.linalg.norm(direction, axis=0)
    radial = np.exp(0.3 * smooth(3)) * 0.6e-3
    excess = np.clip(0.6 + 0.5 * smooth(3), 0, None) * 1e-3
    axes = np.stack(np.meshgrid(*[np.linspace(-1.1, 1.1, n) for n in SHAPE], indexing="ij"))
    s0 = np.where(np.sum(axes**2, axis=0) < 1, 500 + 100 * smooth(2), 0)
    signal = np.empty((VOLUMES, *SHAPE), np.float32)
    for volume, (b, g) in enumerate(zip(bvals, bvecs, strict=True)):
        along = np.tensordot(g, direction, axes=1) ** 2
        clean = s0 * np.exp(-b * (radial + excess * along))
        noise = rng.normal(0, SIGMA, (2, *SHAPE))
        signal[volume] = np.hypot(clean + noise[0], noise[1])
    return signal, bvals, bvecs


def cpu_seconds(work: Callable[[], Result], runs: int) -> tuple[float, Result]:
    """Least CPU time of some runs, and the result of the last."""
    best = np.inf
    for _ in range(runs):
        start = time.process_time()
        result = work()
        best = min(best, time.process_time() - start)
    return best, result


def compare_denoising(signal: npt.NDArray[np.float32]) -> tuple[float, float, float]:
    """CPU seconds of dipy and of this library, and the greatest relative difference of a voxel."""
    nlm.nlmeans(signal[0, :12, :12, :12], SIGMA)  # compiles
    theirs = np.empty_like(signal)
    seconds_theirs, seconds_ours, difference = 0.0, 0.0, 0.0
    for index, volume in enumerate(signal):
        used, theirs[index] = cpu_seconds(
            lambda volume=volume: dipy_nlmeans(  # type: ignore[misc]
                volume,
                SIGMA,
                patch_radius=1,
                block_radius=5,
                rician=True,
                num_threads=1,
                method="classic",
            ),
            1,
        )
        seconds_theirs += used
        used, ours = cpu_seconds(lambda volume=volume: nlm.nlmeans(volume, SIGMA), RUNS)  # type: ignore[misc]
        seconds_ours += used
        relative = np.abs(ours - theirs[index]) / np.maximum(theirs[index], SIGMA / 1000)
        difference = max(difference, float(relative.max()))
    return seconds_theirs, seconds_ours, difference


def compare_fit(
    table: npt.NDArray[np.float32], bvals: Floats, bvecs: Floats
) -> tuple[float, float, float]:
    """CPU seconds of dipy and of this library, and the greatest |dFA| (positive definite)."""
    model = TensorModel(gradient_table(bvals, bvecs=bvecs), fit_method="WLS")
    doubles = table.astype(np.float64)  # else dipy takes the logarithm in float32

    def fit_theirs() -> tuple[Floats, Floats, Floats]:
        fit = model.fit(doubles)
        return fit.fa, fit.md, fit.evecs

    def fit_ours() -> tuple[Floats, Floats]:
        fit = tensor.fit_tensor(table, bvals, bvecs, method="wls_fitted")
        evals, _ = tensor.eigen(fit.tensor)
        return tensor.metrics(evals).fa, evals

    seconds_theirs, theirs = cpu_seconds(fit_theirs, RUNS)
    seconds_ours, (fa, evals) = cpu_seconds(fit_ours, RUNS)
    difference = np.abs(fa - theirs[0])[evals[:, 2] > 0].max()
    return seconds_theirs, seconds_ours, float(difference)


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="denoise all volumes, not 5")
    volumes = VOLUMES if parser.parse_args().full else 5

    signal, bvals, bvecs = phantom()
    denoise = compare_denoising(signal[:volumes])
    fit = compare_fit(np.ascontiguousarray(signal.reshape(VOLUMES, -1).T), bvals, bvecs)
    modules = {"dipy": dipy, "numpy": np, "scipy": scipy, "numba": numba}
    versions = ", ".join(f"{name} {module.__version__}" for name, module in modules.items())
    versions += f", Python {platform.python_version()}, {cpu_model()}"
    text = f"""# CPU time of the kernels beside dipy's

Written by `kernels.py` on a seeded block of 72 x 72 x 40 voxels x {VOLUMES} volumes; one thread
each, CPU seconds of one process, compilation apart, least of {RUNS} runs (dipy's non-local means:
one). Both read the same samples, dipy's tensor fit as float64, as nibabel's `get_fdata` gives them.

{versions}.

| kernel | dipy, s | tessera, s | ratio | agreement |
|---|---|---|---|---|
| non-local means (classic, patch 1, search 5, Rician), {volumes} of {VOLUMES} volumes \
| {denoise[0]:.2f} | {denoise[1]:.2f} | {denoise[0] / denoise[1]:.1f} \
| relative difference at most {denoise[2]:.1e} |
| tensor (`wls_fitted`; FA, MD, V1), {np.prod(SHAPE)} voxels | {fit[0]:.2f} | {fit[1]:.2f} \
| {fit[0] / fit[1]:.1f} | max \\|dFA\\| {fit[2]:.1e} |
"""
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
