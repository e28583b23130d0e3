"""Memory and time of every step at the size of the Human Connectome Project's acquisitions.

Makes an ellipsoid of 145 x 145 x 174 voxels and 288 volumes (4.2 GB), runs the whole pipeline on it
with all volumes denoised and fitted, and compares the peak memory of every job, as Snakemake
measured it, with what the job had declared. Writes memory.md beside this file. Needs 20 GB of disk.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SHAPE = (174, 145, 145)
SHELLS = {0.0: 18, 1000.0: 90, 2000.0: 90, 3000.0: 90}


def make_acquisition(folder: Path) -> None:
    """Write a noisy ellipsoid with anisotropic diffusion, an uncompressed float32 image."""
    import nibabel as nib

    rng = np.random.Generator(np.random.Philox(1))
    z, y, x = (np.linspace(-1.2, 1.2, n) for n in SHAPE)
    brain = z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 < 1
    bvals = np.concatenate([np.full(n, b) for b, n in SHELLS.items()])
    vectors = rng.normal(size=(len(bvals), 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[bvals == 0] = 0
    header = nib.Nifti1Header()
    header.set_data_dtype(np.float32)
    header.set_data_shape((*SHAPE[::-1], len(bvals)))
    header.set_sform(np.diag([-1.25, 1.25, 1.25, 1]), code="scanner")
    header.set_data_offset(352)
    header["magic"] = b"n+1"
    with (folder / "hcp.nii").open("wb") as file:
        file.write(header.binaryblock + bytes(4))
        for b, g in zip(bvals, vectors, strict=True):
            signal = (
                1000 * brain * np.exp(-b * (0.4e-3 + 1.2e-3 * (g[0] + 0.3 * z[:, None, None]) ** 2))
            )
            noise = rng.standard_normal((2, *SHAPE), dtype=np.float32) * 40
            file.write(np.hypot(signal + noise[0], noise[1]).astype(np.float32).tobytes())
    np.savetxt(folder / "hcp.bval", bvals[None], "%g")
    np.savetxt(folder / "hcp.bvec", vectors.T, "%.8f")
    names = ("hcp.nii", "hcp.bval", "hcp.bvec")
    (folder / "subjects.tsv").write_text(
        "subject\tdwi\tbval\tbvec\n" + "\t".join(["hcp", *names]) + "\n", encoding="utf-8"
    )


def main() -> None:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if sys.argv[1:] else None) as scratch:
        folder = Path(scratch)
        make_acquisition(folder)
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        command += ["--cores", "2", "--benchmark-extended", "neuro"]
        command += ["--config", "neuro={subjects: subjects.tsv, fit_bmax: all}"]
        subprocess.run(command, cwd=folder, check=True)
        files = sorted((folder / "results/benchmarks/neuro/sub-hcp").glob("*.jsonl"))
        records = {file.stem: json.loads(file.read_text().splitlines()[-1]) for file in files}
        table = [
            f"| {name} | {record['resources']['mem_mb']} | {record['max_rss'] * 1.048576:.0f} "
            f"| {record['max_rss'] * 1.048576 / record['resources']['mem_mb']:.2f} "
            f"| {record['s']:.0f} | {record['cpu_time']:.0f} |"
            for name, record in records.items()
        ]
    lines = [
        "# Memory at HCP size",
        "",
        "Written by `benchmarks/neuro/memory.py`: 145 x 145 x 174 voxels x 288 volumes, every",
        "volume denoised (nlm) and fitted (wls_fitted), two cores, two threads per slab job,",
        "`memory_mb` 1100.",
        "Peak is the resident set as Snakemake sampled it.",
        "",
        "| job | declared (MB) | peak (MB) | peak / declared | wall (s) | CPU (s) |",
        "|---|---|---|---|---|---|",
        *table,
    ]
    Path(__file__).with_name("memory.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(table))


if __name__ == "__main__":
    main()
