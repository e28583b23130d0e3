"""The images of a study: a sheet with columns of its own, or all of a folder."""

from pathlib import Path

import pytest
import tifffile
from PIL import Image

from stacks import sentences, voxels, write_ome_zarr, write_slices
from tessera.imaging.sheet import ImageRow, read_images

SCHEMAS = Path(__file__).parents[2] / "schemas"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        Path(f"{name}.tif").touch()


def sheet(*lines):
    Path("images.tsv").write_text("\n".join(lines) + "\n")
    return "images.tsv"


def rows(*lines):
    return read_images(sheet(*lines), SCHEMAS)


def refused(*lines):
    return sentences(read_images, sheet(*lines), SCHEMAS)


def test_the_least_that_a_sheet_can_be():
    assert rows("image\tpath", "one\ta.tif") == [ImageRow("one", "a.tif", None, {})]


def test_columns_of_the_sample_are_kept_and_numbers_become_numbers():
    found = rows(
        "image\tgroup\tage\tpath\tdose\tid\tempty\tbig",
        "one\tcontrol\t7\ta.tif\t0.5\t007\tn/a\t1e999",
        "two\ttreated\tn/a\tb.tif\t-2\t8\t\t1",
        "three\t12\t9\tc.tif\t1e3\t9\t\t2",
    )
    assert [row.samples for row in found] == [
        {"group": "control", "age": 7, "dose": 0.5, "id": "007", "empty": None, "big": "1e999"},
        {"group": "treated", "age": None, "dose": -2.0, "id": "8", "empty": None, "big": "1"},
        {"group": "12", "age": 9, "dose": 1000.0, "id": "9", "empty": None, "big": "2"},
    ]
    assert [type(row.samples["age"]) for row in found] == [int, type(None), int]
    assert [row.path for row in found] == ["a.tif", "b.tif", "c.tif"]


def test_a_folder_may_be_an_image_and_paths_count_from_the_sheet():
    write_slices("deep/stack", voxels((2, 4, 4)))
    Path("deep/images.tsv").write_text("image\tpath\nx\tstack\n")
    assert read_images("deep/images.tsv", SCHEMAS) == [ImageRow("x", "deep/stack")]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0.5", (0.5, 0.5, 0.5)),
        ("0.5,0.25", (1.0, 0.5, 0.25)),
        ("2, .5 ,2.5e-1", (2.0, 0.5, 0.25)),
        ("n/a", None),
        ("", None),
    ],
)
def test_sizes_of_voxels(text, size):
    assert rows("image\tvoxel_size\tpath", f"one\t{text}\ta.tif")[0].voxel_size == size


@pytest.mark.parametrize("text", ["1,2,3,4", "a", "-1", "1;2", "1,", "nan", "1 2"])
def test_what_is_no_size_of_a_voxel(text):
    assert refused("image\tpath\tvoxel_size", f"one\ta.tif\t{text}") == [
        f"images.tsv: row 2, column voxel_size: found {text!r}; expected one, two (y,x) or three "
        "(z,y,x) positive numbers separated by commas, such as 2,0.5,0.5."
    ]


@pytest.mark.parametrize("text", ["0", "1,0,1", "1e999", "1e-999,1"])
def test_a_size_that_is_nothing_or_endless(text):
    assert refused("image\tpath\tvoxel_size", f"one\ta.tif\t{text}") == [
        f"images.tsv: image one, column voxel_size: found {text}; expected numbers above 0."
    ]


def test_columns_that_would_be_taken_for_another():
    assert refused("image\tpath\tWidth\tstatus\tgroup\tGroup", "one\ta.tif\t1\t2\t3\t4") == [
        "images.tsv: column Width: the name is taken: the table of images has a column width; "
        "rename the column.",
        "images.tsv: column status: the name is taken: the table of images has a column status; "
        "rename the column.",
        "images.tsv: column Group: the name is taken: the sheet has a column group; "
        "rename the column.",
    ]


def test_faults_of_a_sheet_are_told_together():
    found = refused("image\tpath", "one\ta.tif", "one\tb.tif", "../x\tb.tif", "two\td.tif")
    assert [line.partition(": ")[2].partition(":")[0] for line in found] == [
        "row 4, column image", "row 5, column path", "row 3",
    ]  # fmt: skip


# -- folders -------------------------------------------------------------------------------------


def test_all_images_of_a_folder_by_name():
    folder = Path("study")
    write_slices(folder / "stack.1", voxels((2, 4, 4)))
    write_ome_zarr(folder / "z.ome.zarr", voxels((2, 4, 4)))
    tifffile.imwrite(folder / "b.ome.tif", voxels((4, 4)))
    Image.fromarray(voxels((4, 4))).save(folder / "A.PNG", format="PNG")
    (folder / "scan.czi").touch()
    (folder / "notes").mkdir()
    for name in ("truth.json", ".hidden.tif", "notes/readme.txt", "images.tsv"):
        (folder / name).touch()
    found = read_images("study", SCHEMAS)
    assert [(row.image, row.path) for row in found] == [
        ("A", "study/A.PNG"),
        ("b", "study/b.ome.tif"),
        ("scan", "study/scan.czi"),
        ("stack.1", "study/stack.1"),
        ("z", "study/z.ome.zarr"),
    ]
    assert all(row.voxel_size is None and row.samples == {} for row in found)


def test_names_in_a_folder_that_clash_or_are_none():
    Path("study").mkdir()
    for name in ("a.tif", "a.ome.tif", "a.png", "two words.tif", "_x.png"):
        Path("study", name).touch()
    assert sentences(read_images, "study", SCHEMAS) == [
        "study: _x.png cannot be the name of an image; rename it with letters, digits and _ . - "
        "only, or name it in a sheet.",
        "study: a.ome.tif and a.png would both be named a; rename one, or name them in a sheet.",
        "study: a.ome.tif and a.tif would both be named a; rename one, or name them in a sheet.",
        "study: two words.tif cannot be the name of an image; rename it with letters, digits and "
        "_ . - only, or name it in a sheet.",
    ]


def test_folders_that_are_none_of_images():
    Path("study").mkdir()
    assert sentences(read_images, "study", SCHEMAS) == [
        "study: the folder holds no image; name a folder of images, or a sheet."
    ]
    write_ome_zarr("z.zarr", voxels((2, 4, 4)))
    assert sentences(read_images, "z.zarr", SCHEMAS) == [
        "z.zarr: is one image; name the folder that it lies in, or a sheet."
    ]
