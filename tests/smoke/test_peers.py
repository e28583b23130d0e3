"""The published methods, file in and file out, for affines of every kind."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dipy.denoise.nlmeans import nlmeans

from tools import ROOT, snakemake

SUBJECTS = ("positive", "oblique", "stanford64")


def only(folder: Path, toy: Path, subjects: tuple[str, ...]) -> None:
    """Put the toy data into a folder, with a sheet of these subjects."""
    shutil.copytree(toy / "toy", folder / "toy")
    sheet = folder / "toy/neuro/subjects.tsv"
    lines = sheet.read_text().splitlines(keepends=True)
    sheet.write_text("".join([lines[0], *(x for x in lines if x.split("\t")[0] in subjects)]))


def test_the_denoised_acquisition_equals_dipys(toy: Path, tmp_path: Path) -> None:
    only(tmp_path, toy, ("stanford64",))
    settings = "denoise: {sigma: 20}, keep_denoised: true, slabs: 3"
    run = snakemake(tmp_path, "neuro", "--config", f"neuro={{{settings}}}")
    assert run.returncode == 0, run.stderr
    stem = tmp_path / "results/neuro/sub-stanford64/dwi/sub-stanford64_desc-denoised_dwi"
    data = np.asarray(nib.load(tmp_path / "toy/neuro/data/stanford64.nii.gz").dataobj, float)
    theirs = nlmeans(data, 20.0, patch_radius=1, block_radius=5, num_threads=1, method="classic")
    ours = np.asarray(nib.load(f"{stem}.nii.gz").dataobj)
    good = data > 0
    np.testing.assert_allclose(ours[good], theirs[good], rtol=1e-5, atol=1e-3)
    assert (ours[~good] == 0).all()
    given = np.loadtxt(tmp_path / "toy/neuro/data/stanford64.bval")
    np.testing.assert_allclose(np.loadtxt(f"{stem}.bval"), given.ravel())
    assert np.loadtxt(f"{stem}.bvec").shape == (3, 65)


@pytest.mark.parametrize(
    ("method", "peer"),
    [("ols", "mrtrix"), ("wls_measured", "mrtrix"), ("iwls", "mrtrix"), ("wls_fitted", "dipy")],
)
def test_maps_equal_those_of_the_peer(toy: Path, tmp_path: Path, method: str, peer: str) -> None:
    if peer == "mrtrix" and not shutil.which("dwi2tensor"):
        pytest.skip("needs MRtrix (dwi2tensor)")
    tools = runpy.run_path(str(ROOT / "benchmarks/neuro/pipeline.py"))
    only(tmp_path, toy, SUBJECTS)
    settings = f"denoise: {{method: none, sigma: 20}}, fit: {{method: {method}}}, fit_bmax: all"
    run = snakemake(tmp_path, "neuro", "--config", f"neuro={{{settings}}}")
    assert run.returncode == 0, run.stderr
    for subject in SUBJECTS:
        arguments = (tmp_path, subject, method) if peer == "mrtrix" else (tmp_path, subject)
        theirs = tools[peer](*arguments)
        theirs["positive"] &= tools["all_positive"](tmp_path, subject)
        voxels, fa, md, angle = tools["compare"](tools["ours"](tmp_path, subject), theirs)
        assert voxels > 900
        assert fa <= 1e-6
        assert md <= 1e-9
        assert angle <= 0.05
