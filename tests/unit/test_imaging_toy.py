"""Toy data of images: every kind of file, with a truth, the same bytes at any time."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from stacks import read, sentences
from tessera.imaging.sheet import read_images
from tessera.imaging.toy import write_toy
from tessera.imaging.volume import check, convert, look

SCHEMAS = Path(__file__).parents[2] / "schemas"
KINDS = {
    "control-1": "tiff", "control-2": "tiff", "treated-1": "tiff", "treated-2": "slices",
    "winding": "tiff", "chains": "ome-zarr", "coins": "png", "cell": "tiff",
}  # fmt: skip


def write(folder: Path) -> Path:
    (folder / "data").mkdir(parents=True)
    write_toy(folder / "images.tsv", folder / "data", 1, "data")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("toy") / "imaging")


@pytest.fixture(autouse=True)
def here(made, monkeypatch):
    monkeypatch.chdir(made)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_seed_makes_the_same_bytes(made, tmp_path, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    first, again = contents(made), contents(write(tmp_path / "again"))
    assert first == again
    assert sum(map(len, first.values())) < 3e6
    assert b"DateTime" not in b"".join(first.values())


def test_the_sheet_names_an_image_of_every_kind_and_one_that_is_spoiled():
    rows = {row.image: row for row in read_images("images.tsv", SCHEMAS)}
    assert {name: look(row.path).kind for name, row in rows.items() if name != "spoiled"} == KINDS
    assert sentences(check, rows["spoiled"].path) == sentences(
        convert, rows["spoiled"].path, Path("x")
    )
    for name in ("control-1", "treated-2"):
        row, header = rows[name], look(rows[name].path)
        assert (row.voxel_size or header.voxel_size) == (2.0, 0.5, 0.5)
    assert {row.samples["group"] for row in rows.values()} == {"control", "treated", None}


@pytest.mark.parametrize("name", [name for name in KINDS if name not in ("coins", "cell")])
def test_the_truth_is_what_a_labelling_finds(name, tmp_path):
    truth = json.loads(Path("data/truth.json").read_text())[name]
    path = next(row.path for row in read_images("images.tsv", SCHEMAS) if row.image == name)
    _, values = read(path, tmp_path / "out")
    mask = values > 110
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    assert count == truth["n_objects"] == len(truth["objects"])
    sizes = np.bincount(labels.ravel())[1:].tolist()
    assert sizes == [each["n_voxels"] for each in truth["objects"]]
    if name == "chains":
        assert ndimage.label(mask)[1] == truth["n_objects_6"] > count


def test_groups_differ_in_the_size_of_their_objects():
    truth = json.loads(Path("data/truth.json").read_text())
    mean = {
        name: np.mean([each["n_voxels"] for each in truth[name]["objects"]])
        for name in KINDS if name in truth
    }  # fmt: skip
    assert max(mean["control-1"], mean["control-2"]) * 2 < min(mean["treated-1"], mean["treated-2"])
