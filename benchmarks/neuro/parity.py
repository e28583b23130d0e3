"""Compare the tensor estimators with MRtrix and dipy on the acquisitions that dipy ships.

    python benchmarks/neuro/parity.py

writes ``parity.md`` beside this file. Voxels with a sample that is not positive are left out (the
three programs treat those differently on purpose), and so are tensors that are not positive
definite.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import dipy
import nibabel as nib
import numpy as np
import numpy.typing as npt
from dipy.core.gradients import gradient_table
from dipy.io.gradients import read_bvals_bvecs
from dipy.reconst.dti import TensorModel

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from tessera.neuro import tensor

Floats = npt.NDArray[np.float64]

MRTRIX_OPTIONS: dict[tensor.Method, list[str]] = {
    "ols": ["-ols", "-iter", "0"],
    "wls_measured": ["-iter", "0"],
    "iwls": ["-iter", "2"],
}
"""How ``dwi2tensor`` is told to use each of its estimators."""


class Acquisition(NamedTuple):
    """(N, V) signal of the usable voxels, (V,) b-values in s/mm2, (V, 3) b-vectors."""

    name: str
    signal: Floats
    bvals: Floats
    bvecs: Floats


class Maps(NamedTuple):
    """Maps of N voxels: (N,) FA, (N,) MD in mm2/s, (N, 3) principal direction."""

    fa: Floats
    md: Floats
    v1: Floats


def acquisitions() -> Iterator[Acquisition]:
    """Read the two real acquisitions; lengths other than 1 are removed from the b-vectors."""
    folder = Path(dipy.__file__).parent / "data" / "files"
    for name, suffix in (("small_64D", ".nii"), ("small_101D", ".nii.gz")):
        image = nib.Nifti1Image.from_filename(folder / (name + suffix))
        signal = np.asarray(image.dataobj, np.float64)
        signal = signal.reshape(-1, signal.shape[-1])
        bvals, bvecs = read_bvals_bvecs(str(folder / f"{name}.bval"), str(folder / f"{name}.bvec"))
        bvecs = np.nan_to_num(bvecs)
        length = np.linalg.norm(bvecs, axis=1, keepdims=True)
        bvecs = np.divide(bvecs, length, out=np.zeros_like(bvecs), where=length > 0)
        yield Acquisition(name, signal[(signal > 0).all(axis=1)], bvals, bvecs)


def tessera_maps(data: Acquisition, method: tensor.Method) -> tuple[Maps, Floats]:
    """Fit with this library; the eigenvalues are returned, too."""
    fit = tensor.fit_tensor(data.signal, data.bvals, data.bvecs, method=method)
    evals, v1 = tensor.eigen(fit.tensor)
    measures = tensor.metrics(evals)
    return Maps(measures.fa, measures.md, v1), evals


def dipy_maps(data: Acquisition) -> Maps:
    """Fit with dipy's WLS, every b-value as given."""
    table = gradient_table(data.bvals, bvecs=data.bvecs, b0_threshold=max(50, data.bvals.min()))
    fit = TensorModel(table, fit_method="WLS").fit(data.signal)
    return Maps(fit.fa, fit.md, fit.evecs[..., 0])


def mrtrix_maps(data: Acquisition, options: list[str]) -> Maps:
    """Fit with ``dwi2tensor`` and measure with ``tensor2metric``, voxels laid out along x.

    The affine is the identity, so the axes of the image are those of the scanner; its determinant
    is positive, hence the x component of FSL's b-vectors is negated in the file.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image = data.signal[:, None, None, :].astype(np.float32)
        nib.save(nib.Nifti1Image(image, np.eye(4)), folder / "dwi.nii")
        np.savetxt(folder / "bval", data.bvals[None], "%.12g")
        np.savetxt(folder / "bvec", (data.bvecs * [-1, 1, 1]).T, "%.12g")
        fit = ["dwi2tensor", *options, "-fslgrad", "bvec", "bval", "dwi.nii", "tensor.nii"]
        measure = ["tensor2metric", "tensor.nii", "-modulate", "none"]
        measure += ["-fa", "fa.nii", "-adc", "md.nii", "-vector", "v1.nii"]
        for command in (fit, measure):
            subprocess.run([*command, "-quiet", "-nthreads", "0"], cwd=folder, check=True)
        fa, md, v1 = (
            np.asarray(nib.Nifti1Image.from_filename(folder / f"{key}.nii").dataobj, np.float64)
            for key in ("fa", "md", "v1")
        )
    return Maps(fa.ravel(), md.ravel(), v1.reshape(-1, 3))


def differences(ours: Maps, theirs: Maps, evals: Floats) -> tuple[float, float, float]:
    """Greatest |dFA| and |dMD|, median angle in degrees, over positive-definite tensors."""
    good = evals[:, 2] > 0
    # From the cross product: arccos of nearly 1 cannot tell angles below 1e-6.
    sine = np.linalg.norm(np.cross(ours.v1, theirs.v1), axis=1)
    cosine = np.abs(np.einsum("nc,nc->n", ours.v1, theirs.v1))
    angle = np.degrees(np.arctan2(sine, cosine))
    fa, md = np.abs(ours.fa - theirs.fa), np.abs(ours.md - theirs.md)
    return float(fa[good].max()), float(md[good].max()), float(np.median(angle[good]))


def main() -> None:
    peers: dict[tensor.Method, str] = {"wls_fitted": f"dipy {dipy.__version__} WLS"}
    if shutil.which("dwi2tensor"):
        answer = subprocess.run(["dwi2tensor", "-version"], capture_output=True, text=True).stdout
        version = answer.split()[2]
        for method, options in MRTRIX_OPTIONS.items():
            peers[method] = f"MRtrix {version} dwi2tensor {' '.join(options)}"
    lines = [
        "# Parity of the tensor estimators",
        "",
        "Written by `parity.py`, on the acquisitions that ship with dipy. Positive-definite "
        "tensors of voxels",
        "with positive samples.",
        "",
        "| acquisition | estimator | peer | voxels | max \\|dFA\\| | max \\|dMD\\|, mm2/s "
        "| median V1 angle, degrees |",
        "|---|---|---|---|---|---|---|",
    ]
    for data in acquisitions():
        for method, peer in peers.items():
            ours, evals = tessera_maps(data, method)
            dipy_peer = method not in MRTRIX_OPTIONS
            theirs = dipy_maps(data) if dipy_peer else mrtrix_maps(data, MRTRIX_OPTIONS[method])
            fa, md, angle = differences(ours, theirs, evals)
            lines.append(
                f"| {data.name} | {method} | {peer} | {np.sum(evals[:, 2] > 0)} "
                f"| {fa:.1e} | {md:.1e} | {angle:.1e} |"
            )
    text = "\n".join(lines) + "\n"
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
