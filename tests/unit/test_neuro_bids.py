"""A raw BIDS dataset as it comes: sessions, inheritance, several runs, missing content."""

from pathlib import Path

import pytest

from tessera.errors import InputError
from tessera.neuro.bids import find_acquisitions, prefix, unit_name


def touch(root: Path, *names: str) -> None:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def test_sessions_and_inherited_gradients(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "dwi.bval",
        "sub-01/sub-01_dwi.bvec",
        "sub-01/ses-a/dwi/sub-01_ses-a_dwi.nii.gz",
        "sub-01/ses-b/dwi/sub-01_ses-b_dwi.nii.gz",
        "sub-01/ses-b/dwi/sub-01_ses-b_dwi.bvec",
        "derivatives/x/sub-01/dwi/sub-01_dwi.nii.gz",
        "sub-01/ses-a/dwi/sub-01_ses-a_sbref.nii.gz",
    )
    first, second = find_acquisitions(str(tmp_path))
    assert (first["subject"], first["session"], second["session"]) == ("01", "a", "b")
    assert first["bvec"] == str(tmp_path / "sub-01/sub-01_dwi.bvec")
    assert second["bvec"] == str(tmp_path / "sub-01/ses-b/dwi/sub-01_ses-b_dwi.bvec")
    assert first["bval"] == second["bval"] == str(tmp_path / "dwi.bval")
    assert first["problems"] == second["problems"] == []


def test_one_bad_subject_is_set_aside_not_the_dataset(tmp_path: Path) -> None:
    touch(tmp_path, "dwi.bval", "dwi.bvec", "sub-1/dwi/sub-1_dwi.nii.gz")
    touch(tmp_path, "sub-2/dwi/sub-2_dir-AP_dwi.nii.gz", "sub-2/dwi/sub-2_dir-PA_dwi.nii.gz")
    (tmp_path / "sub-3/dwi").mkdir(parents=True)
    (tmp_path / "sub-3/dwi/sub-3_dwi.nii.gz").symlink_to("../.git/annex/gone")
    sound, several, gone = find_acquisitions(str(tmp_path))
    assert sound["problems"] == []
    assert [p["what"] for p in several["problems"]] == [
        "second acquisition of this subject and session, beside sub-2_dir-AP_dwi.nii.gz"
    ]
    assert "dir-PA" in several["problems"][0]["place"]
    assert "datalad get" in gone["problems"][0]["remedy"]


def test_missing_gradients_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "sub-1/dwi/sub-1_dwi.nii.gz", "sub-1/dwi/sub-1_dwi.bval")
    (row,) = find_acquisitions(str(tmp_path))
    assert [p["what"] for p in row["problems"]] == ["no .bvec file applies to it"]


def test_the_nearest_file_with_most_entities_wins(tmp_path: Path) -> None:
    touch(tmp_path, "sub-1/dwi/sub-1_acq-x_dwi.nii.gz", "sub-1/dwi/sub-1_dwi.bval")
    touch(tmp_path, "sub-1/dwi/sub-1_acq-x_dwi.bval", "sub-1/dwi/sub-1_acq-y_dwi.bval", "dwi.bvec")
    (row,) = find_acquisitions(str(tmp_path))
    assert row["bval"].endswith("sub-1_acq-x_dwi.bval")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "no diffusion acquisition in this dataset"),
        (["sub-a_b/dwi/sub-a_b_dwi.nii.gz", "sub-/dwi/sub-_dwi.nii.gz"], "not a valid BIDS label"),
    ],
)
def test_a_dataset_that_cannot_be_read(tmp_path: Path, names: list[str], words: str) -> None:
    touch(tmp_path, *names)
    with pytest.raises(InputError, match=words):
        find_acquisitions(str(tmp_path))


def test_a_missing_folder() -> None:
    with pytest.raises(InputError, match=r"no such folder; correct neuro\.bids"):
        find_acquisitions("/no/such/folder")


def test_names() -> None:
    assert unit_name("01", None) == "sub-01"
    assert prefix(unit_name("01", "a")) == "sub-01_ses-a"
