"""Images of other kinds: what they hold, and what is wrong with them, in a sentence."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from stacks import COPY, GREY, outcome, read, sentences, voxels, write_slices
from tessera.imaging.volume import check, convert, look

pytestmark = pytest.mark.usefixtures("here")


# -- PNG -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "bool"])
def test_a_png(dtype):
    values = voxels((21, 35), "uint8") % 2 == 1 if dtype == "bool" else voxels((21, 35), dtype)
    Image.fromarray(values).save("a.png")
    header, found = read("a.png", Path("out"))
    assert (header.shape, header.ndim, header.kind) == ((1, 21, 35), 2, "png")
    np.testing.assert_array_equal(found[0], values.astype(header.dtype))


@pytest.mark.parametrize(
    ("mode", "named"),
    [("RGB", "an RGB"), ("RGBA", "an RGBA"), ("P", "a palette"), ("LA", "a grey and transparent")],
)
def test_a_png_that_is_not_grey(mode, named):
    Image.fromarray(voxels((9, 8))).convert(mode).save("a.png")
    assert sentences(check, "a.png") == [f"a.png: is {named} image, where grey is expected; {GREY}"]


def test_a_png_that_is_cut_short_is_refused():
    values = voxels((30, 20))
    Image.fromarray(values).save("a.png")
    content = Path("a.png").read_bytes()
    for length in range(0, len(content), 10):
        Path("a.png").write_bytes(content[:length])
        assert outcome("a.png", values, Path("out")) == "refused"


def test_a_png_that_promises_more_than_it_can_hold():
    Image.fromarray(voxels((9, 8))).save("a.png")
    content = bytearray(Path("a.png").read_bytes())
    content[16:24] = b"\0\1\0\0\0\1\0\0"
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    Path("a.png").write_bytes(content)
    assert sentences(check, "a.png") == [
        f"a.png: is cut short: {len(content)} bytes cannot hold 65536 x 65536 pixels; {COPY}"
    ]


# -- folders of slices ---------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["tif", "png"])
@pytest.mark.parametrize("name", ["s_{:03d}", "2024-c1-{}", "{}"])
def test_slices_are_in_the_order_of_their_numbers(suffix, name):
    values = voxels((12, 9, 8), "uint16")
    write_slices("stack", values, suffix, name)
    for hidden in (".DS_Store", "Thumbs.db"):
        Path("stack", hidden).touch()
    header, found = read("stack", Path("out"))
    assert (header.shape, header.ndim, header.kind) == ((12, 9, 8), 3, "slices")
    np.testing.assert_array_equal(found, values)


def test_faults_of_names_in_a_folder_are_told_together():
    write_slices("stack", voxels((9, 4, 4)))
    folder = Path("stack")
    (folder / "s_004.tif").unlink()
    (folder / "s_007.tif").unlink()
    (folder / "s_008.tif").unlink()
    (folder / "notes.txt").touch()
    (folder / "overview.tif").touch()
    (folder / "t_2.tif").touch()
    Image.fromarray(voxels((4, 4))).save(folder / "s_010.png")
    assert sentences(check, "stack") == [
        "stack: notes.txt: is no TIFF and no PNG; keep nothing but the slices in the folder.",
        "stack: holds slices in TIFF and in PNG; keep the slices of one image, in one format.",
        "stack: overview.tif: has no number in its name; number the slices, as in slice_001.tif.",
        "stack: t_2.tif: has number 2, as has s_002.tif; keep one slice of each number.",
        "stack: s_005.tif: follows s_003.tif: number 4 is missing; "
        "provide what is missing, or number the slices anew.",
        "stack: s_009.tif: follows s_006.tif: numbers 7 to 8 are missing; "
        "provide what is missing, or number the slices anew.",
    ]


def test_slices_that_are_unlike_the_first():
    write_slices("stack", voxels((5, 4, 6)))
    tifffile.imwrite("stack/s_002.tif", voxels((6, 4)))
    tifffile.imwrite("stack/s_003.tif", voxels((4, 6), "uint16"))
    tifffile.imwrite("stack/s_004.tif", voxels((3, 4, 6)), photometric="minisblack")
    Path("stack/s_005.tif").write_bytes(b"II*\0")
    alike = "where s_001.tif is 4 x 6 of uint8; keep slices of one shape and type in a folder."
    assert sentences(check, "stack") == [
        f"stack/s_005.tif: is cut short, or its header is damaged; {COPY}",
        "stack/s_004.tif: has 3 pages, where one is expected; keep a file for each plane.",
        f"stack/s_002.tif: is 6 x 4 of uint8, {alike}",
        f"stack/s_003.tif: is 4 x 6 of uint16, {alike}",
    ]


def test_a_folder_without_slices():
    Path("stack").mkdir()
    what = "stack: the folder holds no TIFF and no PNG; name a folder of slices."
    assert sentences(look, "stack") == [what]


# -- what is none of them ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", f"the file is empty; {COPY}"),
        (b"\x89PN", f"is cut short, or its header is damaged; {COPY}"),
        (b"\xff\xd8\xff\xe0", "is a JPEG, which is not read here; save it as TIFF (in Fiji: "
         "File > Save As > Tiff)."),
        (b"just text", "is no TIFF and no PNG; save it as TIFF (in Fiji: File > Save As > Tiff)."),
    ],
)  # fmt: skip
def test_a_file_that_is_no_image(content, what):
    Path("a.tif").write_bytes(content)
    assert sentences(check, "a.tif") == [f"a.tif: {what}"]


def test_an_image_that_is_not_there():
    assert sentences(check, "a.tif") == [
        "a.tif: does not exist; correct the path or provide the file."
    ]
    assert sentences(convert, "a.tif", Path("out")) == sentences(check, "a.tif")


def test_kinds_are_told_by_content():
    tifffile.imwrite("a.tif", voxels())
    Image.fromarray(voxels((9, 8))).save("b.png")
    Path("a.tif").rename("a")
    Path("b.png").rename("b.tif")
    assert (look("a").kind, look("b.tif").kind) == ("tiff", "png")
