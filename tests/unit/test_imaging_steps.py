"""What the jobs of an image do between files."""

import numpy as np
import pytest
import zarr

from stacks import sentences, write_slices
from tessera.imaging.boxes import Box, Tiling, whole
from tessera.imaging.grid import points
from tessera.imaging.steps import (
    LabelFile,
    Labels,
    check_slice,
    high_of,
    in_order,
    open_work,
    read_json,
    rules,
    seed_rules,
    tiling_from,
    write_json,
)
from tessera.imaging.volume import convert
from voxels import Voxels, analysed

NONE = {"filter": [{"name": "none"}], "morphology": [{"op": "none"}]}
HYSTERESIS = [{"name": "hysteresis", "low": [5, 6], "high": [7, 8]}]


def content(**lists):
    return {point.name: point.as_dict() for point in points(NONE | lists)}


def test_labels_follow_pieces_to_their_objects():
    labels = Labels(np.array([[4, 2], [9, 2], [30, 30]]), np.array([2, 7, 30]))
    first = np.array([2, 4, 7, 9, 30, 31, 0])
    assert labels(first).tolist() == [1, 1, 2, 1, 3, 0, 0]
    assert labels(np.empty(0, np.int64)).tolist() == []
    assert Labels(np.empty((0, 2), np.int64), np.array([7]))(first).tolist() == [0, 0, 1] + [0] * 4
    assert Labels(np.array([[4, 2]]), np.empty(0, np.int64))(first).tolist() == [0] * 7


@pytest.mark.parametrize("box", [whole((5, 9, 11)), Box((3, 0, 0), (4, 9, 11))])
@pytest.mark.parametrize("dtype", ["uint32", "uint8"])
def test_a_volume_of_labels_holds_what_tiles_wrote(box, dtype, tmp_path):
    values = np.random.default_rng(0).integers(0, 2**31, (5, 9, 11), np.uint32)
    values[:, :4] = 0  # tiles of nothing are not written
    tiling = Tiling(box, 4)
    file = LabelFile(tmp_path / "labels", tiling, dtype)
    for number in range(len(tiling)):
        tile = tiling.tile(number)
        file.write(tile, values[tile.slices()])
    array = zarr.open_array(tmp_path / "labels", mode="r")
    assert array.dtype == dtype
    assert array.attrs["origin"] == list(box.lo)
    held = values[box.slices()]
    np.testing.assert_array_equal(array[...], held if dtype == "uint32" else held > 0)


@pytest.mark.parametrize("polarity", ["bright", "dark"])
def test_a_filter_that_leaves_one_value_leaves_no_objects_of_either_polarity(
    polarity, tmp_path, capsys
):
    values = np.full((1, 9, 9), 5, np.uint8)
    values[0, 4, 4] = 9  # gone after the median
    section = NONE | {
        "filter": [{"name": "none"}, {"name": "median", "size": 3}],
        "threshold": [{"name": "otsu"}, {"name": "li"}], "polarity": polarity,
    }  # fmt: skip
    found, _ = analysed(Voxels(values), section, 4, tmp_path)
    assert [len(objects) for objects, _ in found.values()] == [1, 1, 0, 0]
    assert "image.tif: every value after the filter median-3 is 5" in capsys.readouterr().out


def test_an_image_of_one_value_is_refused(tmp_path):
    section = NONE | {"threshold": [{"name": "otsu"}]}
    told = sentences(analysed, Voxels(np.full((3, 4, 5), 2.5)), section, 4, tmp_path)
    assert told == [
        "image.tif: every value is 2.5, so that Otsu's threshold is not defined; give a fixed "
        "threshold, or leave it out."
    ]


def test_a_plane_that_an_image_has_not_is_refused():
    check_slice((3, 4, 5), "a.tif", None)
    check_slice((3, 4, 5), "a.tif", {"axis": "y", "index": 3})
    assert sentences(check_slice, (3, 4, 5), "a.tif", {"axis": "y", "index": 4}) == [
        "a.tif: has 4 planes along y, so none of index 4; choose another plane in imaging.slice, "
        "or leave the image out."
    ]


def test_masks_of_hysteresis_thresholds_are_told_by_name():
    grid = content(threshold=[*HYSTERESIS, {"name": "otsu"}])
    assert high_of(grid) == {
        "hysteresis-5-7": 7, "hysteresis-5-8": 8, "hysteresis-6-7": 7, "hysteresis-6-8": 8
    }  # fmt: skip
    found = seed_rules(grid)
    assert {name: rule.value for name, rule in found.items()} == {
        "hysteresis-5-7": 5, "hysteresis-5-8": 5, "hysteresis-6-7": 6, "hysteresis-6-8": 6
    }  # fmt: skip
    assert {(rule.connectivity, rule.dark) for rule in found.values()} == {(6, False)}


def test_rules_tell_value_polarity_and_connectivity():
    grid = content(threshold=[{"name": "fixed", "value": 3}])
    (rule,) = rules(grid, {"values": dict.fromkeys(grid, 3)}, None, {
        "polarity": "dark", "connectivity": 18}).values()  # fmt: skip
    assert (rule.value, rule.mask, rule.dark, rule.connectivity) == (3, None, True, 18)


def test_a_converted_image_is_opened_for_some_of_its_tiles(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).integers(0, 255, (5, 9, 11), np.uint8)
    write_slices("slices", values)
    convert("slices", tmp_path / "volume")
    told = {"box": {"lo": [0, 0, 0], "hi": [5, 9, 11]}, "edge": 4}
    work = open_work(str(tmp_path / "volume"), told, (2, 5))
    assert work.tiling == tiling_from(told) == Tiling(whole((5, 9, 11)), 4)
    assert list(work.tiles) == [2, 3, 4]
    for box in work.boxes():
        np.testing.assert_array_equal(work.source.read(box), values[box.slices()])
    assert len(open_work(str(tmp_path / "volume"), told).tiles) == 18


def test_files_are_shared_out_by_name():
    assert list(in_order("ab", ["1", "2", "3", "4"])) == [("a", ["1", "2"]), ("b", ["3", "4"])]
    assert list(in_order([], [])) == []


def test_json_comes_back(tmp_path):
    told = {"value": 0.1, "name": "µ", "none": None}
    write_json(tmp_path / "told.json", told)
    assert read_json(tmp_path / "told.json") == told
