"""Converted images: parts, memory, values that are not finite, the same bytes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stacks import read, sentences, voxels, write_ome_zarr, write_slices
from tessera.imaging.boxes import Box
from tessera.imaging.volume import Volume, convert

SCRIPTS = Path(__file__).parents[2] / "scripts"
SHAPE = (9, 70, 81)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return an image and converted forms of it: from strips, tiles, slices and OME-Zarr."""
    folder = tmp_path_factory.mktemp("volume")
    values = voxels(SHAPE, "uint16")
    tifffile.imwrite(folder / "s.tif", values, compression="zlib", rowsperstrip=9)
    tifffile.imwrite(folder / "t.tif", values, tile=(32, 16))
    write_slices(folder / "slices", values, "png")
    write_ome_zarr(folder / "z.zarr", values[None], "czyx", chunks=(1, 4, 32, 16))
    names = ["s.tif", "t.tif", "slices", "z.zarr"]
    before = Path.cwd()
    os.chdir(folder)
    for name in names:
        convert(folder / name, folder / f"{name}.out")
    yield values, [Volume(folder / f"{name}.out") for name in names], folder
    os.chdir(before)


def boxes(shape=SHAPE):
    axis = [
        st.tuples(st.integers(0, n), st.integers(0, n)).map(sorted).filter(lambda p: p[0] < p[1])
        for n in shape
    ]
    return st.tuples(*axis).map(lambda p: Box(*(tuple(ends) for ends in zip(*p, strict=True))))


@settings(max_examples=40, deadline=None)
@given(box=boxes())
def test_a_box_is_what_numpy_cuts_out(made, box):
    values, volumes, folder = made
    for volume in volumes:
        os.chdir(folder)
        found = volume.read(box)
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, values[box.slices()])


@settings(max_examples=15, deadline=None)
@given(part=boxes(), data=st.data())
def test_a_part_holds_what_the_whole_holds_there(made, part, data):
    values, _, folder = made
    os.chdir(folder)
    for name in ("s.tif", "t.tif", "slices", "z.zarr"):
        convert(name, folder / "part", box=part, memory_mb=300)
        volume = Volume(folder / "part")
        assert (volume.shape, volume.box) == (SHAPE, part)
        inner = data.draw(boxes(part.shape))
        z, y, x = part.lo
        lo, hi = inner.lo, inner.hi
        box = Box((lo[0] + z, lo[1] + y, lo[2] + x), (hi[0] + z, hi[1] + y, hi[2] + x))
        np.testing.assert_array_equal(volume.read(box), values[box.slices()])


def test_what_is_outside_is_not_read():
    values = voxels((6, 20, 30))
    write_slices("stack", values, "png")
    content = Path("stack/s_001.png").read_bytes()
    Path("stack/s_001.png").write_bytes(content[:60] + bytes(100) + content[160:])
    part = Box((1, 2, 3), (5, 20, 30))
    convert("stack", Path("out"), box=part)
    volume = Volume("out")
    np.testing.assert_array_equal(volume.read(part), values[part.slices()])
    for lo, hi in (((0, 2, 3), (5, 9, 9)), ((1, 2, 3), (5, 21, 30)), ((1, 1, 3), (2, 3, 4))):
        with pytest.raises(ValueError, match="does not lie in"):
            volume.read(Box(lo, hi))
    assert sentences(convert, "stack", Path("out"))[0].startswith("stack/s_001.png: ")
    beyond = Box((0, 0, 0), (7, 20, 30))
    assert sentences(convert, "stack", Path("out"), box=beyond) == [
        "stack: has 6 x 20 x 30 voxels, which do not hold [0, 0, 0] to [7, 20, 30]; "
        "name a part that lies in the image."
    ]


@pytest.mark.parametrize("shape", [(1, 600, 1100), (70, 130, 65), (65, 64, 64), (3, 5, 2000)])
def test_chunks_are_no_larger_than_the_image_and_at_most_those_of_the_layout(shape):
    tifffile.imwrite("a.tif", voxels(shape), photometric="minisblack")
    convert("a.tif", Path("out"))
    facts = json.loads(Path("out/voxels.zarr/zarr.json").read_text())
    shard = facts["chunk_grid"]["configuration"]["chunk_shape"]
    chunk = facts["codecs"][0]["configuration"]["chunk_shape"]
    assert np.prod(chunk) <= 64**3
    assert all(c <= n for c, n in zip(chunk, shape, strict=True))
    assert all(s % c == 0 and s < n + c for s, c, n in zip(shard, chunk, shape, strict=True))


@pytest.mark.parametrize("style", [
    {}, {"rowsperstrip": 5000}, {"tile": (256, 256), "compression": "zstd"}, {"imagej": True},
])  # fmt: skip
def test_a_plane_larger_than_the_memory_is_read_in_bands(style):
    values = (np.arange(4000)[:, None] * 7 + np.arange(3000)).astype(np.uint16)
    tifffile.imwrite("a.tif", values, **style)
    np.testing.assert_array_equal(read("a.tif", Path("out"), memory_mb=260)[1][0], values)


def test_memory_does_not_change_what_is_held():
    values = np.repeat(voxels((40, 1, 700)), 600, axis=1)
    values[:, ::3] //= 2
    tifffile.imwrite("a.tif", values)
    for memory in (1100, 262, 250):
        np.testing.assert_array_equal(read("a.tif", Path(str(memory)), memory_mb=memory)[1], values)


def test_wide_planes_are_read_in_bands_of_fewer_rows():
    values = np.arange(90 * 60_000, dtype=np.uint32).astype(np.uint16).reshape(90, 60_000)
    tifffile.imwrite("a.tif", values, compression="zlib", rowsperstrip=5)
    np.testing.assert_array_equal(read("a.tif", Path("out"), memory_mb=260)[1][0], values)
    facts = json.loads(Path("out/voxels.zarr/zarr.json").read_text())
    assert facts["chunk_grid"]["configuration"]["chunk_shape"][1] <= 16


def test_a_row_that_does_not_fit_is_refused_before_memory_is_taken():
    tifffile.imwrite("a.tif", np.zeros((16, 1 << 21), np.uint8), tile=(16, 1 << 17),
                     compression="zlib")  # fmt: skip
    assert sentences(convert, "a.tif", Path("out"), memory_mb=250) == [
        "a.tif: has pieces of 8 MiB that are unpacked as a whole; "
        "save it in smaller strips, tiles or chunks, or allow more memory."
    ]


def test_pieces_that_do_not_fit_the_memory_are_refused():
    values = np.zeros((3000, 4000), np.uint8)
    tifffile.imwrite("a.tif", values, compression="zlib", rowsperstrip=3000)
    Image.fromarray(values).save("b.png")
    write_ome_zarr("c.zarr", values, "yx", chunks=(3000, 4000))
    for name, size in (("a.tif", 11), ("b.png", 22), ("c.zarr", 11)):
        assert sentences(convert, name, Path("out"), memory_mb=256) == [
            f"{name}: has pieces of {size} MiB that are unpacked as a whole; "
            "save it in smaller strips, tiles or chunks, or allow more memory."
        ]


def test_the_peak_of_memory_stays_below_what_is_given():
    with tifffile.TiffWriter("a.tif") as file:
        for z in range(12):
            file.write(np.full((3600, 4000), z, np.uint16), contiguous=True)
    code = (
        "from pathlib import Path\n"
        "from tessera.imaging.volume import convert\n"
        "convert('a.tif', Path('out'), memory_mb=400)\n"
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(SCRIPTS)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout) >> 10 < 400


@pytest.mark.parametrize("kind", ["a.tif", "a.zarr", "stack"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_values_that_are_not_finite_are_counted_and_the_first_is_told(kind, dtype):
    values = voxels((6, 40, 33), "float32").clip(-100, 100).astype(dtype)
    values[3, 9, 20], values[3, 10, 1], values[5, 0, 0] = np.inf, np.nan, -np.inf
    write = {
        "a.tif": lambda: tifffile.imwrite("a.tif", values),
        "a.zarr": lambda: write_ome_zarr("a.zarr", values),
        "stack": lambda: write_slices("stack", values),
    }
    write[kind]()
    assert sentences(convert, kind, Path("out")) == [
        f"{kind}: voxel z 3, y 9, x 20: is inf, the first of 3 values that are not finite; "
        "replace what is not finite by numbers, 0 for instance."
    ]
    assert not Path("out/volume.json").exists()
    convert(kind, Path("out"), box=Box((0, 0, 0), (3, 40, 33)))


@pytest.mark.parametrize("name", ["a.tif", "a.zarr"])
def test_the_largest_magnitude_of_a_float_image_is_kept(name):
    values = voxels((5, 20, 30), "float32")
    values[2, 3, 4] = -1e6
    tifffile.imwrite("a.tif", values)
    write_ome_zarr("a.zarr", values)
    convert(name, Path("out"))
    assert Volume("out").greatest == 1e6
    convert(name, Path("part"), box=Box((3, 0, 0), (5, 20, 30)))
    assert Volume("part").greatest == np.abs(values[3:]).max()


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_same_bytes_in_every_run_and_place(monkeypatch):
    tifffile.imwrite("a.tif", voxels((5, 600, 700), "uint16"))
    write_ome_zarr("b.zarr", voxels())
    for name in ("a.tif", "b.zarr"):
        convert(name, Path(f"{name}.1"))
        convert(Path(name).resolve(), Path(f"{name}.2"))
        assert contents(Path(f"{name}.1")) == contents(Path(f"{name}.2"))
    assert json.loads(Path("b.zarr.2/volume.json").read_text())["array"]["path"] == "b.zarr/0"


def test_progress_passes_on_every_slab():
    tifffile.imwrite("a.tif", voxels((200, 8, 8)))
    seen = []

    def progress(items, label):
        for item in items:
            yield item
            seen.append((label, item.lo[0], item.hi[0]))

    convert("a.tif", Path("out"), progress=progress)
    assert seen == [("slabs", z, min(z + 64, 200)) for z in range(0, 200, 64)]


def test_a_damaged_chunk_is_told_when_it_is_read():
    write_ome_zarr("a.zarr", voxels((5, 40, 33)))
    convert("a.zarr", Path("out"))
    volume = Volume("out")
    chunk = next(p for p in sorted(Path("a.zarr/0/c").rglob("*")) if p.is_file())
    chunk.write_bytes(chunk.read_bytes()[:10])
    (line,) = sentences(volume.read, Box((0, 0, 0), (5, 40, 33)))
    assert line.startswith("a.zarr/0: voxels from 0, 0, 0: cannot be unpacked")
    (line,) = sentences(convert, "a.zarr", Path("again"))
    assert line.startswith("a.zarr/0: voxels from 0, 0, 0: cannot be unpacked")
