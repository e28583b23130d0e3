"""OME-Zarr: what it holds, and what is wrong with it, in a sentence."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import zarr
from numcodecs import BZ2, LZ4, Blosc, Delta, GZip, Zlib, Zstd

from stacks import TYPES, outcome, read, sentences, voxels, write_ome_zarr
from tessera.imaging.volume import check

pytestmark = pytest.mark.usefixtures("here")


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
