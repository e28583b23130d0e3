"""Images of every kind: what they hold, and what is wrong with them, in a sentence."""

import json
import os
import random
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from numcodecs import BZ2, LZ4, Blosc, Delta, GZip, Zlib, Zstd
from PIL import Image

from stacks import read, sentences, voxels, write_ome_zarr, write_slices
from tessera.errors import InputError
from tessera.imaging.volume import check, convert, look

SCRIPTS = Path(__file__).parents[2] / "scripts"
COPY = "copy the file again from where it came."
GREY = "save it as grey values, one channel in a file (in Fiji: Image > Type > 8-bit or 16-bit)."
TYPES = ["uint8", "int8", "uint16", "int16", "float32", "float64"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# -- TIFF ----------------------------------------------------------------------------------------

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


def outcome(path, values, folder):
    try:
        header, found = read(path, folder, memory_mb=300)
    except InputError as error:
        lines = str(error).splitlines()
        return "refused" if all(x.isprintable() and x[:2] == "a." for x in lines) else "wrong"
    same = header.dtype == values.dtype and found.size == values.size
    return "right" if same and np.array_equal(found.reshape(values.shape), values) else "wrong"


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


# -- OME-Zarr ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("axes", ["zyx", "yx", "czyx", "tczyx", "tcyx", "xyz"])
def test_an_ome_zarr_whatever_its_axes(version, axes):
    sizes = {"t": 1, "c": 1, "z": 5, "y": 40, "x": 33}
    shape = tuple(sizes[axis] for axis in axes)
    values = voxels(shape, "u2").astype(">u2")
    scale = {"t": 9.0, "c": 9.0, "z": 2.0, "y": 0.5, "x": 0.25}
    write_ome_zarr("a.zarr", values, axes, version, scale=[scale[a] for a in axes])
    header, found = read("a.zarr", Path("out"))
    whole = np.transpose(values, [axes.index(a) for a in "tczyx" if a in axes])
    np.testing.assert_array_equal(found, whole.reshape(found.shape))
    flat = "z" not in axes
    assert header.shape == (1 if flat else 5, 40, 33)
    assert header.voxel_size == ((1.0 if flat else 2.0), 0.5, 0.25)
    assert (header.unit, header.dtype, header.kind) == ("µm", "uint16", "ome-zarr")
    assert not Path("out/voxels.zarr").exists()


@pytest.mark.parametrize("dtype", [*TYPES, "bool", "float16"])
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("shape", [(5, 40, 33), (40, 33)])
def test_a_plain_zarr_array_of_any_type(dtype, version, shape):
    values = (voxels(shape) % 2).astype(dtype) if dtype == "bool" else voxels(shape, "u1")
    values = values.astype(dtype)
    array = zarr.create_array("a.zarr", shape=shape, chunks=(16,) * len(shape), dtype=dtype,
                              zarr_format=version)  # fmt: skip
    array[...] = values
    header, found = read("a.zarr", Path("out"))
    assert header.ndim == len(shape)
    np.testing.assert_array_equal(found.reshape(shape), values.astype(header.dtype))


@pytest.mark.parametrize("codec", [Blosc(), Zstd(), GZip(), Zlib(), LZ4()])
def test_codecs_of_zarr_2_that_are_read(codec):
    values = voxels()
    write_ome_zarr("a.zarr", values, version=2, compressors=codec)
    np.testing.assert_array_equal(read("a.zarr", Path("out"))[1], values)


def test_shards_transposition_and_codecs_of_zarr_3():
    from zarr.codecs import GzipCodec, TransposeCodec
    from zarr.codecs.numcodecs import Zlib as Zlib3

    values = voxels((32, 40, 33), "int16")
    how = {"chunks": (8, 8, 8), "shards": (16, 16, 16)}
    filters = [TransposeCodec(order=(2, 1, 0))]
    for number, codec in enumerate([GzipCodec(), Zlib3(level=1), None]):
        write_ome_zarr("a.zarr", values, compressors=codec, filters=filters, **how)
        np.testing.assert_array_equal(read("a.zarr", Path(f"out{number}"))[1], values)


@pytest.mark.parametrize(
    ("how", "named"),
    [({"compressors": BZ2()}, "bz2"), ({"filters": [Delta(dtype="u1")]}, "delta")],
)
def test_codecs_that_are_not_read_are_named(how, named):
    write_ome_zarr("a.zarr", voxels(), version=2, **how)
    assert sentences(check, "a.zarr") == [
        f"a.zarr: is packed by {named}, which is not read here; write it with blosc, zstd or gzip."
    ]


def change(path, *keys, to):
    """Change metadata of an OME-Zarr: the value at some keys."""
    text = json.loads(Path(path).read_text())
    held = text
    for key in keys[:-1]:
        held = held[key]
    held[keys[-1]] = to
    Path(path).write_text(json.dumps(text))


OME = ("attributes", "ome", "multiscales", 0)
INSIDE = "names a level of resolution that does not lie in it"
REWRITE = "write it as OME-Zarr 0.4 or 0.5."


@pytest.mark.parametrize("place", ["../b.zarr/0", "/etc", "", "link", None, "a\0b"])
def test_a_level_lies_within_its_image(place):
    for name in "ab":
        write_ome_zarr(f"{name}.zarr", voxels())
    Path("a.zarr/link").symlink_to("../b.zarr/0")
    change("a.zarr/zarr.json", *OME, "datasets", 0, "path", to=place)
    assert sentences(check, "a.zarr") == [f"a.zarr: {INSIDE}; {REWRITE}"]


def axis(name):
    return {"name": name}


@pytest.mark.parametrize(
    ("keys", "to", "sentence"),
    [
        (("axes",), ["z", "y", "x"], "does not name its axes as OME-Zarr 0.4 and 0.5 do"),
        (
            ("axes",), [*map(axis, "abc")],
            "has axes a, b, c, where some of t, c, z, y, x are expected",
        ),
        (("axes",), [*map(axis, "yx")], "names 2 axes of an array that has 3"),
        (("datasets",), [], "names no level of resolution (datasets)"),
        (
            ("datasets", 0, "coordinateTransformations", 0, "scale"), [1, -2, 1],
            "has a scale that is not 3 positive numbers",
        ),
    ],
)  # fmt: skip
def test_metadata_that_make_no_sense(keys, to, sentence):
    write_ome_zarr("a.zarr", voxels())
    change("a.zarr/zarr.json", *OME, *keys, to=to)
    assert sentences(check, "a.zarr") == [f"a.zarr: {sentence}; {REWRITE}"]


def test_channels_types_and_levels_that_are_missing():
    write_ome_zarr("a.zarr", voxels((2, 3, 4, 5), "i4"), "czyx")
    assert sentences(check, "a.zarr") == [
        "a.zarr: its values are int32, which is not read here; convert it to uint16 or float32.",
        "a.zarr: has 2 channels; save each channel and time point as an image of its own.",
    ]
    change("a.zarr/zarr.json", *OME, "datasets", 0, "path", to="7")
    assert sentences(check, "a.zarr") == ["a.zarr: has no array 7; copy it again, complete."]
    change("a.zarr/zarr.json", "attributes", to={"ome": {"bioformats2raw.layout": 3}})
    assert sentences(check, "a.zarr") == [
        "a.zarr: is a collection of images; name one of them: a.zarr/0."
    ]


def test_objects_are_never_unpacked():
    write_ome_zarr("a.zarr", voxels(), version=2)
    change("a.zarr/0/.zarray", "dtype", to="|O")
    change("a.zarr/0/.zarray", "filters", to=[{"id": "pickle"}])
    assert [line.split(",")[0] for line in sentences(check, "a.zarr")] == [
        "a.zarr: is packed by pickle",
        "a.zarr: its values are no numbers",
    ]


def test_damaged_metadata_and_chunks_are_refused_or_read():
    values, rng = voxels((6, 20, 20)), random.Random(0)
    for version in (2, 3):
        write_ome_zarr(f"a.{version}.zarr", values, version=version)
        files = [p for p in Path(f"a.{version}.zarr").rglob("*") if p.is_file()]
        for number in range(60):
            path = rng.choice([p for p in files if (p.name[0] in ".z") == (number % 2 == 0)])
            content = path.read_bytes()
            damaged = bytearray(content)
            if number % 3:
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            path.write_bytes(damaged if number % 3 else damaged[: rng.randrange(len(damaged))])
            outcome(f"a.{version}.zarr", values, Path(f"out{version}{number}"))
            path.write_bytes(content)


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
