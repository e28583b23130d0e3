"""The whole pipeline on the toy data: truth recovered, promises kept."""

from __future__ import annotations

import csv
import json
import re
import socket
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tools import ROOT, plan

PHANTOMS = ("negative", "positive", "oblique", "badsamples")
GOOD = (*PHANTOMS, "stanford64", "dsi101")


def written(folder: Path) -> list[Path]:
    """Files of a folder, but for the marker that Snakemake puts into folders."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in files if path.name != ".snakemake_timestamp")


def result(finished: Path, subject: str, rest: str) -> np.ndarray:
    folder = finished / f"results/neuro/sub-{subject}/dwi"
    return np.asarray(nib.load(folder / f"sub-{subject}_{rest}.nii.gz").dataobj)


def param(finished: Path, subject: str, name: str) -> np.ndarray:
    return result(finished, subject, f"model-tensor_param-{name}_dwimap")


def truth(finished: Path, subject: str, name: str) -> np.ndarray:
    return np.asarray(nib.load(finished / f"toy/neuro/data/{subject}_{name}.nii.gz").dataobj)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.mark.parametrize("subject", PHANTOMS)
def test_the_truth_of_a_phantom_is_recovered(finished: Path, subject: str) -> None:
    labels = truth(finished, subject, "labels")
    mask = result(finished, subject, "desc-brain_mask") > 0
    invalid = result(finished, subject, "desc-invalid_mask") > 0
    brain = labels > 0
    overlap = 2 * np.count_nonzero(mask & brain) / (mask.sum() + brain.sum())
    assert overlap > 0.95
    white = mask & ~invalid & (labels == 2)
    error = param(finished, subject, "fa")[white] - truth(finished, subject, "fa")[white]
    assert np.sqrt(np.mean(error**2)) < 0.05
    assert abs(np.mean(error)) < 0.01
    error = param(finished, subject, "md")[white] - truth(finished, subject, "md")[white]
    assert abs(np.median(error)) < 2e-5
    clear = white & (truth(finished, subject, "fa") > 0.4)
    cosine = np.abs(
        (param(finished, subject, "v1")[clear] * truth(finished, subject, "v1")[clear]).sum(-1)
    )
    assert np.degrees(np.arccos(np.clip(np.median(cosine), 0, 1))) < 3


@pytest.mark.parametrize("subject", PHANTOMS)
def test_the_noise_level_is_within_five_percent(finished: Path, subject: str) -> None:
    mask = result(finished, subject, "desc-brain_mask") > 0
    sigma = result(finished, subject, "desc-sigma_dwimap")
    ratio = np.median(sigma[mask]) / np.median(truth(finished, subject, "sigma")[mask])
    assert 0.95 < ratio < 1.05


def test_the_same_head_stored_either_way_round_gives_the_same_maps(finished: Path) -> None:
    """Same anatomy, other sign of the determinant: V1 is in scanner axes in both."""
    ours, other = (param(finished, s, "v1") for s in ("negative", "positive"))
    assert np.linalg.det(nib.load(finished / "toy/neuro/data/positive.nii.gz").affine[:3, :3]) > 0
    labels = truth(finished, "negative", "labels")
    assert (labels == truth(finished, "positive", "labels")).all()
    for subject, v1 in (("negative", ours), ("positive", other)):
        known = truth(finished, subject, "v1")
        clear = (labels == 2) & (truth(finished, subject, "fa") > 0.4)
        cosine = np.abs((v1 * known).sum(-1))[clear]
        assert np.median(cosine) > np.cos(np.radians(3))


def test_bad_samples_are_excluded_and_counted(finished: Path) -> None:
    row = next(
        row
        for row in table(finished / "results/neuro/group_dwi.tsv")
        if row["subject"] == "badsamples"
    )
    invalid = result(finished, "badsamples", "desc-invalid_mask") > 0
    assert int(row["n_nonfinite_samples"]) > 0
    assert int(row["n_nonpositive_samples"]) > 0
    assert int(row["n_invalid"]) == np.count_nonzero(invalid) >= 27
    for name in ("fa", "md", "v1", "tensor"):
        values = param(finished, "badsamples", name)
        assert np.isfinite(values).all()
        assert (values[invalid] == 0).all()


def test_a_defective_acquisition_is_set_aside_and_the_others_finish(finished: Path) -> None:
    rows = table(finished / "results/neuro/quarantine.tsv")
    assert [row["subject"] for row in rows] == ["badbvec"]
    assert rows[0]["file"].endswith("badbvec.bvec")
    assert "0.42" in rows[0]["what"]
    assert rows[0]["remedy"]
    used = {row["subject"] for row in table(finished / "results/neuro/group_dwi.tsv")}
    assert used == set(GOOD)
    left = {path.name for path in written(finished / "results/neuro/sub-badbvec")}
    assert left == {"qc.html", "quarantined.json"}
    assert "0.42" in (finished / "results/neuro/sub-badbvec/qc.html").read_text()


def test_outputs_are_those_that_the_docs_promise(finished: Path) -> None:
    page = (ROOT / "docs/neuro.md").read_text(encoding="utf-8")
    section = page[page.index("## Outputs") :]
    section = section[: section.index("\n## ", 5)]
    files, columns = section.split("Columns of `group_dwi.tsv`")
    promised = set(re.findall(r"^\| `([^`]+)`", files, flags=re.M))
    promised |= {name.replace(".nii.gz", ".json") for name in promised}
    root = finished / "results/neuro"
    there = {
        re.sub(r"sub-\w+?(?=[/_])", "sub-X", path.relative_to(root).as_posix())
        for path in written(root)
    }
    assert there == {name for name in promised if "denoised" not in name}
    named = re.findall(r"^\| `(\w+)` \|", columns, flags=re.M)
    assert named == list(table(root / "group_dwi.tsv")[0])


def test_names_follow_bids(finished: Path) -> None:
    from bidsschematools.schema import load_schema

    files = load_schema().rules.files.deriv.imaging
    folder = finished / "results/neuro/sub-negative/dwi"
    known = {"dwi_mask": "mask", "dwi_dwi_volumetric": "dwi"}
    suffixes = {suffix: files[rule] for rule, suffix in known.items()}
    ignored = (finished / "results/neuro/.bidsignore").read_text()
    for path in written(folder):
        entities = [part.split("-")[0] for part in path.name.split("_")[:-1]]
        suffix = path.name.split("_")[-1].split(".")[0]
        if suffix in suffixes:
            assert set(entities) <= {"sub", "ses", "desc"}
            assert "description" in suffixes[suffix].entities
            assert path.name[path.name.index(".") :] in suffixes[suffix].extensions
        else:
            assert suffix == "dwimap"
            assert "*_dwimap.*" in ignored
    description = json.loads((finished / "results/neuro/dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert {"Name", "BIDSVersion", "GeneratedBy"} <= set(description)


def test_every_image_has_a_sidecar_with_provenance(finished: Path) -> None:
    images = sorted((finished / "results/neuro").rglob("*.nii.gz"))
    assert len(images) == 12 * len(GOOD)
    for image in images:
        sidecar = json.loads(Path(str(image).replace(".nii.gz", ".json")).read_text())
        assert sidecar["Description"]
        assert {"denoise", "fit", "mask"} <= set(sidecar["Parameters"])
        assert all(len(each["SHA256"]) == 64 for each in sidecar["Inputs"].values())
        assert {"dwi", "bval", "bvec"} <= set(sidecar["Inputs"])
        if "param-v1" in image.name or "param-tensor" in image.name:
            assert "scanner RAS" in sidecar["ReferenceFrame"]
        header = nib.load(image).header
        assert not header["descrip"].item()
        assert not header["aux_file"].item()


def test_nothing_of_this_machine_or_this_moment_is_in_the_results(finished: Path) -> None:
    words = rf"20[2-9]\d-\d\d-\d\d|\b{re.escape(socket.gethostname())}\b"
    for path in written(finished / "results/neuro"):
        if path.suffix in (".json", ".tsv", ".html"):
            text = re.sub(r"base64,[\w+/=]+", "", path.read_text(encoding="utf-8"))
            assert str(finished) not in text, path
            assert not re.search(words, text), path


def test_a_second_run_has_nothing_to_do(finished: Path) -> None:
    assert plan(finished, ["neuro"]).counts == {}


def test_pages_need_no_network(finished: Path) -> None:
    for page in (finished / "results/neuro").rglob("qc.html"):
        outside = re.findall(r'(?:src|href)="(?!data:|#)([^"]+)', page.read_text())
        assert not outside, page
