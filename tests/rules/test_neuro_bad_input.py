"""Every kind of bad acquisition, through the whole pipeline, in one run that finishes."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tools import snakemake

SHAPE = (12, 13, 11)
AFFINE = np.diag([-2.0, 2.0, 2.0, 1.0])


class Acquisition:
    """Six sound files' worth of data, to be spoiled in one respect."""

    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        vectors = rng.normal(size=(12, 3))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        self.bvals = np.r_[0.0, 0.0, np.full(10, 1000.0)]
        self.bvecs = vectors
        self.bvecs[:2] = 0
        brain = np.zeros(SHAPE)
        brain[2:10, 2:11, 2:9] = 1
        signal = 1000 * brain[..., None] * np.exp(-self.bvals * 0.7e-3)
        self.data = np.abs(signal + rng.normal(0, 5, (*SHAPE, 12))).astype(np.float32)
        self.mask: np.ndarray | None = None
        self.mask_affine = AFFINE
        self.transposed = False
        self.raw: Callable[[bytes], bytes] = bytes

    def write(self, folder: Path, name: str) -> str:
        image = nib.Nifti1Image(self.data, AFFINE)
        image.header["descrip"] = b"Patient Name"
        (folder / f"{name}.nii.gz").write_bytes(self.raw(gzip.compress(image.to_bytes())))
        table = self.bvecs if self.transposed else self.bvecs.T
        np.savetxt(folder / f"{name}.bvec", table, "%.8g")
        np.savetxt(folder / f"{name}.bval", self.bvals[None], "%g")
        mask = "n/a"
        if self.mask is not None:
            mask = f"{name}_mask.nii.gz"
            nib.save(nib.Nifti1Image(self.mask.astype(np.uint8), self.mask_affine), folder / mask)
        return "\t".join([name, f"{name}.nii.gz", f"{name}.bval", f"{name}.bvec", mask])


def sound(a: Acquisition) -> None:
    pass


def rows_of_three(a: Acquisition) -> None:
    a.transposed = True


def few_nans(a: Acquisition) -> None:
    a.data[3, 3, 3, 4:6] = np.nan
    a.data[4, 4, 3, 5] = -3


def counts(a: Acquisition) -> None:
    a.bvals = a.bvals[:-1]
    a.bvecs = np.r_[a.bvecs, a.bvecs[-1:]]


def length(a: Acquisition) -> None:
    a.bvecs[5] *= 0.42


def milliseconds(a: Acquisition) -> None:
    a.bvals /= 1000


def only_b0(a: Acquisition) -> None:
    a.bvals[:] = 0
    a.bvecs[:] = 0


def no_b0(a: Acquisition) -> None:
    a.bvals[:2] = 1000
    a.bvecs[:2] = a.bvecs[2:4]


def one_plane(a: Acquisition) -> None:
    a.bvecs[2:, 2] = 0
    a.bvecs[2:] /= np.linalg.norm(a.bvecs[2:], axis=1, keepdims=True)


def three_axes(a: Acquisition) -> None:
    a.data = a.data[..., 0]


def truncated(a: Acquisition) -> None:
    a.raw = lambda data: data[: len(data) // 2]


def not_nifti(a: Acquisition) -> None:
    a.raw = lambda data: gzip.compress(b"DICM" * 500)


def dropped_volume(a: Acquisition) -> None:
    a.data[..., 7] = 0


def empty_mask(a: Acquisition) -> None:
    a.mask = np.zeros(SHAPE)


def small_mask(a: Acquisition) -> None:
    a.mask = np.ones((12, 13, 10))


def shifted_mask(a: Acquisition) -> None:
    a.mask = np.ones(SHAPE)
    a.mask_affine = AFFINE + np.array([[0, 0, 0, 3.0], [0] * 4, [0] * 4, [0] * 4])


SOUND = {"sound": sound, "rowsofthree": rows_of_three, "fewnans": few_nans}


def tiny_mask(a: Acquisition) -> None:
    a.mask = np.zeros(SHAPE)
    a.mask[3:5, 3:5, 2:5] = 1


BAD = {
    "counts": (counts, ("11", "12", "13")),
    "length": (length, ("column 6", "length 0.42", "more than 1 %")),
    "milliseconds": (milliseconds, ("ms/um2", "1000")),
    "onlyb0": (only_b0, ("b0",)),
    "nob0": (no_b0, ("b0",)),
    "oneplane": (one_plane, ("direction", "6")),
    "threeaxes": (three_axes, ("3 dimensions, not 4",)),
    "truncated": (truncated, ("truncated.nii.gz", "volume")),
    "notnifti": (not_nifti, ("notnifti.nii.gz", "NIfTI")),
    "droppedvolume": (dropped_volume, ("volume 8 of 12",)),
    "emptymask": (empty_mask, ("mask", "empty")),
    "smallmask": (small_mask, ("12 x 13 x 10", "12 x 13 x 11")),
    "tinymask": (tiny_mask, ("12 of its 12 voxels", "noise")),
    "shiftedmask": (shifted_mask, ("affine", "3")),
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, str]]]:
    folder = tmp_path_factory.mktemp("bad")
    lines = ["subject\tdwi\tbval\tbvec\tmask"]
    for name, spoil in [*SOUND.items(), *((n, bad[0]) for n, bad in BAD.items())]:
        acquisition = Acquisition()
        spoil(acquisition)
        lines.append(acquisition.write(folder, name))
    (folder / "subjects.tsv").write_text("\n".join(lines) + "\n")
    target = "results/neuro/quarantine.tsv"
    run = snakemake(folder, target, "--config", "neuro={subjects: subjects.tsv}")
    assert run.returncode == 0, run.stderr
    with (folder / target).open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {name: [r for r in rows if r["subject"] == name] for name in (*SOUND, *BAD)}


@pytest.mark.parametrize("name", SOUND)
def test_what_can_be_used_is_used(verdicts: dict, name: str) -> None:
    assert verdicts[name] == []


@pytest.mark.parametrize("name", BAD)
def test_a_bad_acquisition_is_told_with_place_and_remedy(verdicts: dict, name: str) -> None:
    assert verdicts[name], "went through"
    text = " | ".join(" ".join(problem.values()) for problem in verdicts[name])
    for word in BAD[name][1]:
        assert word in text, text
    assert all(problem["file"] and problem["remedy"] for problem in verdicts[name])
