"""The grid of parameters: expansion, names, and what is wrong with one."""

import json

import pytest

from stacks import sentences
from tessera.imaging.grid import (
    Point,
    Step,
    as_point,
    filter_margin,
    margin,
    points,
    seeds,
    shape_margin,
    steps,
)


def section(**lists):
    names = {"filter": "none", "threshold": "otsu"}
    plain = {key: [{"name": name}] for key, name in names.items()}
    return plain | {"morphology": [{"op": "none"}]} | lists


def names(**lists):
    return [point.name for point in points(section(**lists))]


def test_every_filter_meets_every_threshold_and_every_morphology_in_order():
    found = names(
        filter=[{"name": "none"}, {"name": "gaussian", "sigma": 2}],
        threshold=[{"name": "otsu"}, {"name": "fixed", "value": 0.5}],
        morphology=[{"op": "none"}, {"op": "open", "radius": 1}],
    )
    assert found == [
        "none_otsu_none", "none_otsu_open-1", "none_fixed-0.5_none", "none_fixed-0.5_open-1",
        "gaussian-2_otsu_none", "gaussian-2_otsu_open-1", "gaussian-2_fixed-0.5_none",
        "gaussian-2_fixed-0.5_open-1",
    ]  # fmt: skip


def test_a_list_of_numbers_stands_for_several_steps_and_two_for_every_pair():
    medians = steps([{"name": "median", "size": [3, 5]}], "filter", "name")
    assert [step.name for step in medians] == ["median-3", "median-5"]
    many = {"name": "hysteresis", "low": [1, 2], "high": [30, 40]}
    assert names(threshold=[many]) == [
        f"none_hysteresis-{low}-{high}_none" for low in (1, 2) for high in (30, 40)
    ]
    nlm = {"h": [0.5, 10], "patch_distance": 2, "patch_size": 3, "name": "nlm"}
    assert names(filter=[nlm]) == ["nlm-3-2-0.5_otsu_none", "nlm-3-2-10_otsu_none"]


def test_what_is_asked_for_twice_is_one_point():
    both = [{"name": "gaussian", "sigma": [1, 2]}, {"name": "gaussian", "sigma": 2.0}]
    assert names(filter=both) == ["gaussian-1_otsu_none", "gaussian-2_otsu_none"]


def test_names_tell_small_negative_and_large_numbers():
    values = {"name": "fixed", "value": [-3, 1e-07, 123456789.25, 1e300]}
    assert names(threshold=[values]) == [
        "none_fixed--3_none", "none_fixed-1e-07_none", "none_fixed-123456789.25_none",
        "none_fixed-1e+300_none",
    ]  # fmt: skip


def test_a_point_comes_back_from_json():
    grid = points(
        section(
            filter=[{"name": "nlm", "patch_size": 3, "patch_distance": 2, "h": 0.1}],
            threshold=[{"name": "hysteresis", "low": 1.5, "high": 2}, {"name": "li"}],
            morphology=[{"op": "close", "radius": [1, 2]}],
        )
    )
    assert [as_point(json.loads(json.dumps(point.as_dict()))) for point in grid] == grid


def test_faults_of_all_lists_are_told_at_once():
    faulty = section(
        filter=[{"name": "gaussian"}, {"name": "none", "size": 3}],
        threshold=[{"name": "otsu"}, {"name": "hysteresis", "low": 3, "value": 1}],
        morphology=[{"op": "open"}],
    )
    assert sentences(points, faulty) == [
        "config: imaging.filter, entry 1.sigma: missing key; gaussian has sigma: give it.",
        "config: imaging.filter, entry 2.size: does not belong here; none has no numbers.",
        "config: imaging.threshold, entry 2.high: missing key; hysteresis has low, high: give it.",
        "config: imaging.threshold, entry 2.value: does not belong here; hysteresis has low, high.",
        "config: imaging.morphology, entry 1.radius: missing key; open has radius: give it.",
    ]


def test_a_hysteresis_the_wrong_way_round_is_refused():
    wrong = section(threshold=[{"name": "hysteresis", "low": [1, 9], "high": 5}])
    assert sentences(points, wrong) == [
        "config: imaging.threshold: low is 9, above high, 5; objects are the voxels above low that "
        "are joined to one above high."
    ]


def test_two_points_of_one_name_are_refused():
    near = section(threshold=[{"name": "fixed", "value": [0.1, 0.1 + 1e-15]}])
    assert sentences(points, near) == [
        "config: imaging: two points of the grid have the name none_fixed-0.1_none; write numbers "
        "of up to 12 digits."
    ]


def test_the_seeds_of_a_hysteresis_are_what_is_above_low_without_morphology():
    (point,) = points(
        section(
            filter=[{"name": "median", "size": 3}],
            threshold=[{"name": "hysteresis", "low": 4, "high": 5}],
            morphology=[{"op": "open", "radius": 2}],
        )
    )
    assert seeds(point).name == "median-3_fixed-4_none"


@pytest.mark.parametrize(
    ("kind", "numbers", "reach"),
    [
        ("none", {}, 0), ("gaussian", {"sigma": 1}, 4), ("gaussian", {"sigma": 2.5}, 10),
        ("median", {"size": 5}, 2), ("nlm", {"patch_size": 5, "patch_distance": 3, "h": 1}, 5),
    ],
)  # fmt: skip
def test_margins_of_filters(kind, numbers, reach):
    assert filter_margin(Step(kind, tuple(numbers.items()))) == reach


def test_margins_of_morphologies_add_to_those_of_filters():
    kinds = {op: shape_margin(Step(op, (("radius", 3),))) for op in
             ("erode", "dilate", "open", "close")}  # fmt: skip
    assert kinds == {"erode": 3, "dilate": 3, "open": 6, "close": 6}
    assert shape_margin(Step("none")) == 0
    otsu, none = Step("otsu"), Step("none")
    wide, far = Step("gaussian", (("sigma", 2),)), Step("close", (("radius", 5),))
    assert margin([Point(none, otsu, none)]) == 0
    assert margin([Point(wide, otsu, none), Point(none, otsu, far)]) == 10
    assert margin([Point(wide, otsu, far)]) == 18
