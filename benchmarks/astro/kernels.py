"""CPU time of the kernels of ``astro`` beside astroscrappy, reproject and photutils, in one run.

    python benchmarks/astro/kernels.py

runs the comparisons of ``cosmics.py`` and ``warp.py`` and one of the background, one thread each,
and writes ``kernels.md`` beside this file.
"""

from __future__ import annotations

import os

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import astropy
import astroscrappy
import cosmics
import numpy as np
import photutils
import reproject
import sep
import warp
from photutils.background import Background2D, SExtractorBackground
from survey import cpu_model

from tessera.astro.clean import estimate_background


def compare_background() -> dict[str, Any]:
    """CPU seconds of the sky by both, and by how much each misses the truth (mean, in sigma)."""
    image, variance, mask = cosmics.frame()
    sky = np.float32(np.median(image))
    clean = np.where(mask, sky, image)
    start = time.process_time()
    ours = estimate_background(clean, mask, 128)
    tessera_s = time.process_time() - start
    start = time.process_time()
    theirs = Background2D(clean, 128, mask=mask, bkg_estimator=SExtractorBackground()).background
    photutils_s = time.process_time() - start
    sigma = float(np.sqrt(np.median(variance)))
    return {
        "tessera_s": tessera_s,
        "photutils_s": photutils_s,
        "ratio": photutils_s / tessera_s,
        "difference": float(np.median(theirs - ours)) / sigma,
    }


def main() -> None:
    rays, resampled, sky = cosmics.compare(), warp.compare(), compare_background()
    modules = (astropy, astroscrappy, reproject, photutils, sep)
    versions = ", ".join(f"{module.__name__} {module.__version__}" for module in modules)
    text = f"""# CPU time of the kernels beside their peers'

Written by `kernels.py`: frames of 2048 x 2048 pixels, one thread, CPU seconds of one process,
compilation apart. {versions}; {cpu_model()}.

| kernel | peer | peer, s | tessera, s | ratio | agreement |
|---|---|---|---|---|---|
| cosmic rays (L.A.Cosmic with a variance plane, 4 iterations) | astroscrappy \
| {rays["astroscrappy_s"]:.2f} | {rays["tessera_s"]:.3f} | {rays["ratio"]:.1f} \
| {rays["different"]} of {rays["found"]} pixels differ |
| warp (Lanczos-3; image, variance, mask; positions included) | reproject, bicubic \
| {resampled["reproject_s"]:.2f} | {resampled["tessera_s"]:.3f} | {resampled["ratio"]:.1f} \
| positions within {resampled["lattice_pixels"]:.1e} px of the exact WCS; of stars, rms \
{resampled["tessera_pixels"]:.1e} px and {resampled["tessera_mmag"]:.2f} mmag (reproject \
{resampled["reproject_pixels"]:.1e} px, {resampled["reproject_mmag"]:.3f} mmag) |
| sky (two passes, sources left out) | photutils Background2D, one pass | {sky["photutils_s"]:.2f} \
| {sky["tessera_s"]:.3f} | {sky["ratio"]:.1f} | differ by {sky["difference"]:+.3f} sigma: the peer \
keeps the sources in |
"""
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
