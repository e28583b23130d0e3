"""Images in files of every kind, written with other tools than those that read them here."""

from pathlib import Path

import numpy as np
import tifffile
import zarr
from PIL import Image

from tessera.errors import InputError
from tessera.imaging.boxes import whole
from tessera.imaging.volume import Volume, convert, look

COPY = "copy the file again from where it came."
GREY = "save it as grey values, one channel in a file (in Fiji: Image > Type > 8-bit or 16-bit)."
TYPES = ["uint8", "int8", "uint16", "int16", "float32", "float64"]


def voxels(shape=(5, 40, 33), dtype="uint8", seed=0):
    """Return values that use the whole range of a type."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 1000, shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)


def read(path, folder, **settings):
    """Convert an image and return its header and all of its voxels."""
    convert(path, folder, **settings)
    volume = Volume(folder)
    values = volume.read(whole(volume.shape))
    assert values.flags.c_contiguous
    assert values.dtype == volume.dtype
    assert values.dtype.isnative
    assert volume.header == look(path)
    return volume.header, values


def sentences(call, *arguments, **settings):
    """Return what an InputError says; a failure if there is none."""
    try:
        call(*arguments, **settings)
    except InputError as error:
        return str(error).splitlines()
    raise AssertionError("nothing was refused")


def write_slices(folder, values, suffix="tif", name="s_{:03d}", first=1):
    """Write a folder of slices."""
    Path(folder).mkdir(parents=True)
    for z, plane in enumerate(values):
        path = Path(folder) / f"{name.format(z + first)}.{suffix}"
        if suffix == "png":
            Image.fromarray(plane).save(path)
        else:
            tifffile.imwrite(path, plane)


def write_ome_zarr(path, values, axes="zyx", version=3, unit="micrometer", scale=None, **how):
    """Write an OME-Zarr 0.5 (Zarr 3) or 0.4 (Zarr 2) of one level."""
    scale = scale or [1.0] * len(axes)
    named = [
        {"name": a, "type": "space", "unit": unit} if a in "zyx" else {"name": a} for a in axes
    ]
    steps = [{"type": "scale", "scale": scale}]
    image = {"axes": named, "datasets": [{"path": "0", "coordinateTransformations": steps}]}
    group = zarr.open_group(path, mode="w", zarr_format=version)
    if version == 3:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    else:
        group.attrs["multiscales"] = [image | {"version": "0.4"}]
    how.setdefault("chunks", tuple(min(n, 16) for n in values.shape))
    array = group.create_array("0", shape=values.shape, dtype=values.dtype, **how)
    array[...] = values
    return path


def outcome(path, values, folder):
    try:
        header, found = read(path, folder, memory_mb=300)
    except InputError as error:
        lines = str(error).splitlines()
        return "refused" if all(x.isprintable() and x[:2] == "a." for x in lines) else "wrong"
    same = header.dtype == values.dtype and found.size == values.size
    return "right" if same and np.array_equal(found.reshape(values.shape), values) else "wrong"
