"""TIFF files: what they hold, and what is wrong with them, in a sentence."""

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from stacks import COPY, GREY, TYPES, outcome, read, sentences, voxels
from tessera.imaging.volume import check, look

pytestmark = pytest.mark.usefixtures("here")
SCRIPTS = Path(__file__).parents[2] / "scripts"


STYLES = {
    "plain": {},
    "big-endian": {"byteorder": ">"},
    "bigtiff": {"bigtiff": True, "byteorder": ">"},
    "lzw": {"compression": "lzw", "predictor": True},
    "deflate": {"compression": "zlib", "rowsperstrip": 7},
    "zstd in tiles": {"compression": "zstd", "tile": (16, 32)},
    "packbits": {"compression": "packbits"},
    "lzma": {"compression": "lzma", "rowsperstrip": 1},
    "tiles": {"tile": (32, 16)},
    "imagej": {"imagej": True},
    "ome": {"ome": True},
    "one page for all": {"truncate": True},
    "without notes": {"metadata": None},
}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_stacks_are_read_whatever_way_they_are_written(style, dtype):
    values = voxels(dtype=dtype)
    tifffile.imwrite("a.tif", values, photometric="minisblack", **STYLES[style])
    header, found = read("a.tif", Path("out"))
    np.testing.assert_array_equal(found, values)
    assert (header.shape, header.ndim, header.dtype) == (values.shape, 3, dtype)
    assert (header.voxel_size, header.unit, header.kind) == ((1, 1, 1), "", "tiff")


@pytest.mark.parametrize("dtype", TYPES)
def test_types_of_values_are_kept(dtype):
    values = voxels((3, 20, 30), dtype)
    tifffile.imwrite("a.tif", values, photometric="minisblack")
    assert np.array_equal(read("a.tif", Path("out"))[1], values)


@pytest.mark.parametrize(("dtype", "held"), [("bool", "uint8"), ("float16", "float32")])
@pytest.mark.parametrize("rows", [3, 20])
def test_narrow_types_are_held_as_wider_ones(dtype, held, rows):
    values = (voxels((2, 20, 30)) % 2).astype(dtype)
    tifffile.imwrite("a.tif", values, rowsperstrip=rows)
    header, found = read("a.tif", Path("out"))
    assert header.dtype == held
    np.testing.assert_array_equal(found, values.astype(held))


def test_a_fax_is_read():
    values = voxels((1, 40, 50))[0] % 2 == 1
    Image.fromarray(values).save("a.tif", compression="group4")
    expected = tifffile.imread("a.tif")
    np.testing.assert_array_equal(read("a.tif", Path("out"))[1][0], expected)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate", "packbits"])
def test_a_stack_that_pillow_wrote(compression):
    values = voxels((4, 30, 20), "uint16")
    first, *others = (Image.fromarray(plane) for plane in values)
    first.save("a.tif", save_all=True, append_images=others, compression=compression)
    np.testing.assert_array_equal(read("a.tif", Path("out"))[1], values)


def test_one_page_is_a_plane():
    values = voxels((21, 34))
    tifffile.imwrite("a.tif", values)
    header, found = read("a.tif", Path("out"))
    assert (header.shape, header.ndim) == ((1, 21, 34), 2)
    np.testing.assert_array_equal(found[0], values)


def test_planes_along_the_one_axis_that_there_is():
    values = voxels((6, 12, 13))
    for axes in ("TYX", "CYX"):
        tifffile.imwrite("a.tif", values, imagej=True, metadata={"axes": axes})
        np.testing.assert_array_equal(read("a.tif", Path(f"i{axes}"))[1], values)
        tifffile.imwrite("b.tif", values, ome=True, metadata={"axes": axes})
        np.testing.assert_array_equal(read("b.tif", Path(f"o{axes}"))[1], values)


def test_copies_of_lower_resolution_are_passed_over():
    values = voxels((3, 64, 64))
    with tifffile.TiffWriter("a.tif") as file:
        for plane in values:
            file.write(plane, metadata=None, photometric="minisblack")
            file.write(plane[::2, ::2], subfiletype=1, metadata=None)
    np.testing.assert_array_equal(read("a.tif", Path("a"))[1], values)
    with tifffile.TiffWriter("b.tif", ome=True) as file:
        file.write(
            values, subifds=1, tile=(32, 32), photometric="minisblack", metadata={"axes": "ZYX"}
        )
        file.write(values[:, ::2, ::2], subfiletype=1, tile=(32, 32), photometric="minisblack")
    np.testing.assert_array_equal(read("b.tif", Path("b"))[1], values)


def test_the_size_of_a_voxel_that_imagej_notes():
    notes = {"axes": "ZYX", "spacing": 2.5, "unit": "um"}
    how = {"imagej": True, "resolution": (1 / 0.25, 1 / 0.5)}
    tifffile.imwrite("a.tif", voxels(), metadata=notes, **how)
    header = look("a.tif")
    assert header.voxel_size == pytest.approx((2.5, 0.5, 0.25))
    assert header.unit == "µm"
    tifffile.imwrite("a.tif", voxels()[0], metadata={"unit": "\\u00B5m"}, **how)
    assert look("a.tif").voxel_size == pytest.approx((1, 0.5, 0.25))
    assert look("a.tif").unit == "µm"
    tifffile.imwrite("a.tif", voxels(), resolution=(300, 300), imagej=True)
    assert look("a.tif").voxel_size == (1, 1, 1)


def test_the_size_of_a_voxel_that_ome_notes():
    notes = {
        "axes": "ZYX", "PhysicalSizeX": 250, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.5,
        "PhysicalSizeYUnit": "µm", "PhysicalSizeZ": 0.002, "PhysicalSizeZUnit": "mm",
    }  # fmt: skip
    tifffile.imwrite("a.tif", voxels(), ome=True, metadata=notes)
    header = look("a.tif")
    assert header.voxel_size == pytest.approx((2000, 500, 250))
    assert header.unit == "nm"


def written(values, **how):
    tifffile.imwrite("a.tif", values, **how)
    return "a.tif"


REFUSED = {
    "rgb": (
        lambda: written(voxels((9, 8, 3)), photometric="rgb"),
        f"a.tif: is in colours (RGB), where grey is expected; {GREY}",
    ),
    "rgba planes": (
        lambda: written(voxels((4, 9, 8)), photometric="rgb", planarconfig="separate"),
        f"a.tif: is in colours (RGB), where grey is expected; {GREY}",
    ),
    "two samples": (
        lambda: written(voxels((9, 8, 2)), photometric="minisblack", planarconfig="contig"),
        f"a.tif: has 2 channels in each pixel, where grey is expected; {GREY}",
    ),
    "palette": (
        lambda: written(voxels((9, 8)), photometric="palette", colormap=voxels((3, 256), "u2")),
        f"a.tif: is a palette image, whose values are numbers of colours; {GREY}",
    ),
    "hyperstack": (
        lambda: written(voxels((2, 3, 9, 8)), imagej=True, metadata={"axes": "ZCYX"}),
        "a.tif: has 2 slices and 3 channels, where one stack of planes is expected; "
        "save each channel and time point as a file of its own.",
    ),
    "ome of two axes": (
        lambda: written(voxels((2, 3, 9, 8)), ome=True, metadata={"axes": "TZYX"}),
        "a.tif: has 3 planes and 2 time points, where one stack of planes is expected; "
        "save each channel and time point as a file of its own.",
    ),
    "array of four axes": (
        lambda: written(voxels((2, 3, 9, 8)), photometric="minisblack"),
        "a.tif: has 2 planes along axis 0 and 3 planes along axis 1, where one stack of planes is "
        "expected; save each channel and time point as a file of its own.",
    ),
    "wide integers": (
        lambda: written(voxels(dtype="int32")),
        "a.tif: its values are int32, which is not read here; convert it to uint16 or float32.",
    ),
    "complex": (
        lambda: written(voxels((4, 5), "f4").astype("c8")),
        "a.tif: its values are complex64, which is not read here; save its magnitude, as float32.",
    ),
    "compression": (
        lambda: written(voxels((64, 64)), compression="jpegxl"),
        "a.tif: is compressed by JPEG XL, which is not read here; "
        "save it uncompressed, or with LZW or deflate.",
    ),
    "volume in a page": (
        lambda: written(voxels((16, 16, 16)), volumetric=True, tile=(16, 16, 16)),
        "a.tif: holds a volume in one page; save it as a stack, a page for each plane.",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_tiff_that_is_no_grey_stack(name):
    write, sentence = REFUSED[name]
    assert sentences(check, write()) == [sentence]


def test_pages_that_are_unlike_the_first():
    with tifffile.TiffWriter("a.tif") as file:
        for shape, dtype in (((9, 8), "u1"), ((9, 8), "u1"), ((8, 9), "u1"), ((9, 8), "u2")):
            file.write(voxels(shape, dtype), metadata=None)
    assert sentences(look, "a.tif") == [
        "a.tif: page 3: has 8 x 9 pixels of 8 bits (uint8), where page 1 has 9 x 8 pixels of "
        "8 bits (uint8); keep pages of one image in a file.",
        "a.tif: page 4: has 9 x 8 pixels of 16 bits (uint16), where page 1 has 9 x 8 pixels of "
        "8 bits (uint8); keep pages of one image in a file.",
    ]


WHOLE = {
    "stack": lambda: voxels((5, 11, 9)),
    "ramp": lambda: np.arange(5 * 11 * 9, dtype="u2").reshape(5, 11, 9),
}


@pytest.mark.parametrize("style", ["plain", "deflate", "bigtiff", "imagej", "ome", "lzw",
                                   "one page for all", "tiles", "packbits"])  # fmt: skip
@pytest.mark.parametrize("values", WHOLE)
def test_a_tiff_that_is_cut_short_is_refused_or_read_right(style, values):
    values = WHOLE[values]()
    tifffile.imwrite("a.tif", values, **STYLES[style])
    content = Path("a.tif").read_bytes()
    outcomes = set()
    for number, length in enumerate(range(0, len(content), 10)):
        Path("a.tif").write_bytes(content[:length])
        outcomes.add(outcome("a.tif", values, Path(f"out{number}")))
    assert "refused" in outcomes
    assert "wrong" not in outcomes


@pytest.mark.parametrize("style", ["plain", "deflate", "zstd in tiles", "imagej", "ome", "lzw"])
def test_a_damaged_tiff_is_refused_or_read(style):
    values, rng = voxels((5, 40, 33)), random.Random(style)
    tifffile.imwrite("a.tif", values, **STYLES[style])
    content = Path("a.tif").read_bytes()
    for number in range(80):
        damaged = bytearray(content)
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(400 if number % 2 else len(damaged))
            damaged[place] = rng.randrange(256)
        Path("a.tif").write_bytes(damaged)
        outcome("a.tif", values, Path(f"out{number}"))


def test_a_page_that_leads_back_is_no_endless_stack():
    tifffile.imwrite("a.tif", voxels((2, 5, 6)), photometric="minisblack", metadata=None)
    content = bytearray(Path("a.tif").read_bytes())
    with tifffile.TiffFile("a.tif") as file:
        first, second = (page.offset for page in file.pages)
    (count,) = content[second : second + 1]
    place = second + 2 + 12 * count
    content[place : place + 4] = first.to_bytes(4, "little")
    Path("a.tif").write_bytes(content)
    assert sentences(look, "a.tif") == [
        f"a.tif: page 3: its header is that of another page; {COPY}"
    ]


def test_without_codecs_a_compressed_tiff_is_refused_and_a_plain_one_read():
    tifffile.imwrite("a.tif", voxels(), compression="zstd")
    tifffile.imwrite("b.tif", voxels())
    code = (
        "import sys; sys.modules['imagecodecs'] = None\n"
        "from pathlib import Path\n"
        "from tessera.errors import InputError\n"
        "from tessera.imaging.volume import convert\n"
        "convert('b.tif', Path('b'))\n"
        "try:\n    convert('a.tif', Path('a'))\n"
        "except InputError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(SCRIPTS)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == (
        "a.tif: is compressed by zstd, which the Python package imagecodecs unpacks, and that is "
        "not there; install imagecodecs, or save the image uncompressed.\n"
    )
