"""The published methods, file in and file out, for affines of every kind."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import pytest

from tools import ROOT, snakemake

SUBJECTS = ("positive", "oblique", "stanford64")


@pytest.mark.parametrize(
    ("method", "peer"),
    [("ols", "mrtrix"), ("wls_measured", "mrtrix"), ("iwls", "mrtrix"), ("wls_fitted", "dipy")],
)
def test_maps_equal_those_of_the_peer(toy: Path, tmp_path: Path, method: str, peer: str) -> None:
    if peer == "mrtrix" and not shutil.which("dwi2tensor"):
        pytest.skip("needs MRtrix (dwi2tensor)")
    tools = runpy.run_path(str(ROOT / "benchmarks/neuro/pipeline.py"))
    shutil.copytree(toy / "toy", tmp_path / "toy")
    sheet = tmp_path / "toy/neuro/subjects.tsv"
    lines = sheet.read_text().splitlines(keepends=True)
    sheet.write_text("".join([lines[0], *(x for x in lines if x.split("\t")[0] in SUBJECTS)]))
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
