"""The whole path from voxels to objects against scikit-image on the whole image."""

import itertools

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, median_filter
from skimage import filters, morphology

from tessera.imaging.boxes import Box, whole
from tessera.imaging.pieces import LIMB
from voxels import Voxels, analysed, known, labelled

NAMES = {"erode": "erosion", "dilate": "dilation", "open": "opening", "close": "closing"}
FILTERS = [{"name": "none"}, {"name": "gaussian", "sigma": 1.2}, {"name": "median", "size": 3}]
THRESHOLDS = [
    {"name": "fixed", "value": 95}, {"name": "otsu"}, {"name": "li"},
    {"name": "hysteresis", "low": 90, "high": 120},
]  # fmt: skip
MORPHOLOGIES = [{"op": "none"}, *({"op": op, "radius": 1} for op in NAMES)]


def image(shape, dtype="uint8", seed=0):
    rng = np.random.default_rng(seed)
    values = gaussian_filter(rng.normal(0, 1, shape), [min(1, n - 1) for n in shape])
    values = values / values.std() * 25 + 90 + rng.normal(0, 6, shape)
    return values.clip(1, 127 if dtype == "int8" else 254).astype(dtype)


def reference_mask(values, blur, limit, shape, dark=False):
    """Return the mask that scikit-image gives of the whole image."""
    flat = values[0] if values.shape[0] == 1 else values
    if blur["name"] == "gaussian":
        flat = gaussian_filter(flat.astype(np.float32), blur["sigma"], truncate=4)
    elif blur["name"] == "median":
        flat = median_filter(flat, blur["size"])
    if limit["name"] == "hysteresis":
        mask = filters.apply_hysteresis_threshold(flat, limit["low"], limit["high"])
    elif limit["name"] == "fixed":
        mask = flat > limit["value"]
    else:
        mask = flat > getattr(filters, f"threshold_{limit['name']}")(flat)
    mask = ~mask if dark else mask
    if shape["op"] != "none":
        ball = (morphology.disk if flat.ndim == 2 else morphology.ball)(shape["radius"])
        mask = getattr(morphology, NAMES[shape["op"]])(mask, ball, mode="ignore") > 0
    return mask.reshape(values.shape)


def assert_same(found, values, section):
    """Assert that objects and labels of every point are those of scikit-image."""
    every = itertools.product(section["filter"], section["threshold"], section["morphology"])
    dark = section.get("polarity") == "dark"
    for (objects, labels), parts in zip(found.values(), every, strict=True):
        mask = reference_mask(values, *parts, dark)
        expected = labelled(mask, section.get("connectivity", 26))
        np.testing.assert_array_equal(labels, expected, str(parts))
        if values.dtype.kind != "f":
            assert objects.tobytes() == known(expected, values).tobytes(), parts


@pytest.mark.parametrize("polarity", ["bright", "dark"])
@pytest.mark.parametrize(("shape", "edge"), [((9, 10, 12), 6), ((1, 26, 25), 9)])
def test_every_step_gives_the_objects_of_scikit_image(shape, edge, polarity, tmp_path):
    values = image(shape)
    section = {"filter": FILTERS, "threshold": THRESHOLDS, "morphology": MORPHOLOGIES,
               "polarity": polarity, "connectivity": 6}  # fmt: skip
    found, _ = analysed(Voxels(values), section, edge, tmp_path)
    assert len(found) == 60
    assert_same(found, values, section)


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int16", "float32", "float64"])
def test_every_type_of_voxels(dtype, tmp_path):
    values = image((9, 20, 21), dtype, 1)
    section = {"filter": FILTERS[:2], "threshold": THRESHOLDS, "morphology": MORPHOLOGIES[:1]}
    found, told = analysed(Voxels(values), section, 8, tmp_path)
    if dtype.startswith("f"):  # Li's threshold of floats is that of a fine histogram
        section["threshold"] = [each for each in THRESHOLDS if each["name"] != "li"]
        found = {name: each for name, each in found.items() if "_li_" not in name}
    assert_same(found, values, section)
    for objects, labels in found.values():  # intensities are those of the image, not of the filter
        for k, piece in list(enumerate(objects, start=1))[:5]:
            own = values[labels == k].astype(float)
            high, low = piece["total"].tolist()
            assert (high * 2**LIMB + low) * told["unit"] == pytest.approx(own.sum(), rel=1e-12)
            assert (piece["low"], piece["high"]) == (own.min(), own.max())


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_bytes_do_not_depend_on_tiles_or_parts(dtype, tmp_path):
    values = image((13, 20, 23), dtype, 2)
    section = {"filter": FILTERS[:2], "threshold": THRESHOLDS,
               "morphology": [{"op": "close", "radius": 2}]}  # fmt: skip
    every = set()
    for edge, parts in ((9, 1), (12, 3), (64, 1)):
        folder = tmp_path / f"{edge}-{parts}"
        folder.mkdir()
        found, told = analysed(Voxels(values), section, edge, folder, parts=parts)
        every.add((*(objects.tobytes() for objects, _ in found.values()), str(told)))
    assert len(every) == 1


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_plane_through_a_volume_has_the_mask_of_the_whole(axis, tmp_path):
    values = image((15, 18, 21), seed=3)
    lo, hi = [0, 0, 0], list(values.shape)
    lo[axis], hi[axis] = 8, 9
    box = Box(tuple(lo), tuple(hi))
    section = {"filter": FILTERS[:2], "threshold": THRESHOLDS, "morphology": MORPHOLOGIES[::3]}
    found, _ = analysed(Voxels(values), section, 7, tmp_path, box)
    every = itertools.product(section["filter"], section["threshold"], section["morphology"])
    for (objects, labels), parts in zip(found.values(), every, strict=True):
        cut = np.ascontiguousarray(reference_mask(values, *parts)[box.slices()])
        expected = labelled(cut, 26)
        np.testing.assert_array_equal(labels, expected)
        inner = np.ascontiguousarray(values[box.slices()])
        assert objects.tobytes() == known(expected, inner, box.lo, values.shape).tobytes()


def test_a_hysteresis_looks_at_filtered_values_and_compares_in_their_type(tmp_path):
    values = np.zeros((1, 20, 30), np.float32)
    values[0, 8:13, 4:9] = np.float32(0.1)  # not above 0.1, as scikit-image has it,
    values[0, 10, 6] = 9  # but for a speck that is gone after a median
    values[0, 8:13, 14:19] = np.nextafter(np.float32(0.1), np.float32(1))
    limit = {"name": "hysteresis", "low": 0.05, "high": 0.1}
    section = {"filter": [{"name": "none"}, {"name": "median", "size": 3}], "threshold": [limit],
               "morphology": [{"op": "none"}]}  # fmt: skip
    found, _ = analysed(Voxels(values), section, 6, tmp_path)
    assert_same(found, values, section)
    assert [len(objects) for objects, _ in found.values()] == [2, 1]


def test_an_object_of_every_voxel_and_none_at_all(tmp_path):
    values = image((5, 9, 10))
    section = {"filter": FILTERS[:1], "threshold": [{"name": "fixed", "value": [-1, 300]}],
               "morphology": [{"op": "none"}]}  # fmt: skip
    (full, _), (empty, labels) = analysed(Voxels(values), section, 4, tmp_path)[0].values()
    assert full["n"].tolist() == [whole(values.shape).size]
    assert len(empty) == 0
    assert not labels.any()
