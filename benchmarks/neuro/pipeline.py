"""The whole pipeline against MRtrix and dipy, file in and file out, for affines of every kind.

Runs the toy data undenoised through all four estimators and compares FA, MD and V1 with
`dwi2tensor` and `tensor2metric` (MRtrix) or `TensorModel` (dipy) on the same files, in voxels of
the mask whose tensor is positive definite in both. Writes pipeline.md beside this file.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
SUBJECTS = ("negative", "positive", "oblique", "stanford64", "dsi101")
MRTRIX = {
    "ols": ["-ols", "-iter", "0"],
    "wls_measured": ["-iter", "0"],
    "iwls": ["-iter", "2"],
}
Maps = dict[str, NDArray[np.float64]]


def run(*command: object, cwd: Path) -> None:
    subprocess.run([str(part) for part in command], cwd=cwd, check=True, capture_output=True)


def snakemake(folder: Path, *arguments: str) -> None:
    head = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile"]
    run(*head, "--cores", "2", *arguments, cwd=folder)


def canonical(path: Path) -> NDArray[np.float64]:
    """Read an image in RAS order, so that files of different axis orders can be compared."""
    return np.asarray(nib.as_closest_canonical(nib.load(path)).dataobj, np.float64)


def ours(folder: Path, subject: str) -> Maps:
    stem = folder / f"results/neuro/sub-{subject}/dwi/sub-{subject}_"
    names = ("fa", "md", "v1", "tensor")
    maps = {n: canonical(Path(f"{stem}model-tensor_param-{n}_dwimap.nii.gz")) for n in names}
    mask = canonical(Path(f"{stem}desc-brain_mask.nii.gz")) > 0
    return maps | {"mask": mask & ~(canonical(Path(f"{stem}desc-invalid_mask.nii.gz")) > 0)}


def mrtrix(folder: Path, subject: str, method: str) -> Maps:
    data = folder / f"toy/neuro/data/{subject}"
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        # A b0's vector may stand as NaN in the file, which MRtrix does not take.
        np.savetxt(out / "bvec", np.nan_to_num(_vectors(data)), "%.10g")
        gradients = ["-fslgrad", out / "bvec", f"{data}.bval"]
        options = [*gradients, *MRTRIX[method], "-quiet", "-nthreads", "1"]
        run("dwi2tensor", f"{data}.nii.gz", out / "t.nii.gz", *options, cwd=folder)
        maps = ["-fa", out / "fa.nii.gz", "-adc", out / "md.nii.gz", "-value", out / "l.nii.gz"]
        maps += ["-num", "1,2,3", "-vector", out / "v.nii.gz", "-modulate", "none"]
        run("tensor2metric", out / "t.nii.gz", *maps, "-quiet", cwd=folder)
        read = {name: canonical(out / f"{name}.nii.gz") for name in ("fa", "md", "l", "v")}
    return {
        "fa": read["fa"],
        "md": read["md"],
        "v1": read["v"][..., :3],
        "positive": (read["l"] > 0).all(-1),
    }


def _vectors(data: Path) -> NDArray[np.float64]:
    table = np.loadtxt(f"{data}.bvec")
    return table if len(table) == 3 else table.T


def all_positive(folder: Path, subject: str) -> NDArray[np.bool_]:
    """Voxels without a sample that we leave out of the fit, and the peers do not."""
    return (canonical(folder / f"toy/neuro/data/{subject}.nii.gz") > 0).all(-1)


def dipy(folder: Path, subject: str) -> Maps:
    from dipy.core.gradients import gradient_table
    from dipy.io.gradients import read_bvals_bvecs
    from dipy.reconst.dti import TensorModel

    from tessera.neuro.gradients import to_ras

    data = folder / f"toy/neuro/data/{subject}"
    image = nib.load(f"{data}.nii.gz")
    bvals, bvecs = read_bvals_bvecs(f"{data}.bval", f"{data}.bvec")
    # dipy leaves frames to its caller: hand it scanner axes, and read the image in RAS order.
    bvecs = to_ras(np.nan_to_num(bvecs), image.affine)
    table = gradient_table(bvals, bvecs=bvecs, b0_threshold=50)
    samples = canonical(Path(f"{data}.nii.gz"))
    fit = TensorModel(table, fit_method="WLS").fit(samples)
    return {
        "fa": fit.fa,
        "md": fit.md,
        "v1": fit.evecs[..., 0],
        "positive": fit.evals[..., 2] > 1.01e-6 / bvals.max(),
    }


def compare(mine: Maps, peer: Maps) -> tuple[int, float, float, float]:
    """Voxels, largest difference in FA and in MD, median angle of V1 in degrees."""
    where = mine["mask"] & peer["positive"]
    cosine = np.abs((mine["v1"] * peer["v1"]).sum(-1))[where]
    return (
        int(where.sum()),
        float(np.abs(mine["fa"] - peer["fa"])[where].max()),
        float(np.abs(mine["md"] - peer["md"])[where].max()),
        float(np.median(np.degrees(np.arccos(np.clip(cosine, 0, 1))))),
    )


def main() -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    version = subprocess.run(["dwi2tensor", "-version"], capture_output=True, text=True, check=True)
    import dipy as dipy_package

    found = re.search(r"dwi2tensor ([\d.]+)", version.stdout)
    lines = [
        "# The pipeline against MRtrix and dipy",
        "",
        f"Written by `benchmarks/neuro/pipeline.py`. MRtrix {found[1] if found else '?'}, dipy",
        f"{dipy_package.__version__}; no denoising, all shells; voxels of the mask whose tensor is",
        "positive definite and whose samples are all positive. `positive` has an affine of",
        "positive determinant, `oblique` a turned one.",
        "",
        "| estimator | peer | acquisition | voxels | max dFA | max dMD (mm2/s) | V1 median (deg) |",
        "|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        snakemake(folder, "toy")
        for method in (*MRTRIX, "wls_fitted"):
            settings = f"denoise: {{method: none, sigma: 20}}, fit: {{method: {method}}}"
            snakemake(folder, "neuro", "--config", f"neuro={{{settings}, fit_bmax: all}}")
            for subject in SUBJECTS:
                peer = (
                    mrtrix(folder, subject, method) if method in MRTRIX else dipy(folder, subject)
                )
                peer["positive"] &= all_positive(folder, subject)
                n, fa, md, angle = compare(ours(folder, subject), peer)
                name = "MRtrix" if method in MRTRIX else "dipy"
                lines.append(
                    f"| {method} | {name} | {subject} | {n} | {fa:.1e} | {md:.1e} | {angle:.4f} |"
                )
                print(lines[-1], flush=True)
    Path(__file__).with_name("pipeline.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
