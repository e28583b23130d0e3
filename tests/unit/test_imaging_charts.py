"""Charts and overlays: the same bytes each time, for any number of images, whatever the names."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tessera.imaging.charts import (
    agreement_chart,
    along,
    size_chart,
    size_name,
    stability_chart,
)
from tessera.imaging.overlays import bar_length, busiest, overlay

HOSTILE = "<script>alert(1)</script> $a_b^$ \\frac{1}"


def pixels(png):
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def orange(png):
    return (pixels(png) == (0xE6, 0x9F, 0x00)).all(axis=2)


def grid(values=(10, 20, 30), filters=("none", "gaussian, sigma 2"), radii=(1,)):
    rows = [
        {
            "params": f"{f}_{v}_{r}", "filter": f, "threshold": f"fixed, value {v}",
            "morphology": f"open, radius {r}", "threshold_name": "fixed", "op": "open",
            "value": v, "low": None, "high": None, "radius": r,
        }
        for f in filters for v in values for r in radii
    ]  # fmt: skip
    return pd.DataFrame(rows)


def count_rows(parameters, images):
    rows = [
        {"image": i, "params": p, "objects": 10 * k + n}
        for n, i in enumerate(images) for k, p in enumerate(parameters["params"])
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["image", "params", "objects"])


def size_rows(images, params):
    bins = np.array([3, 4, 8])
    rows = [
        pd.DataFrame({"image": i, "params": p, "bin": bins, "low": 10 ** (bins / 8),
                      "high": 10 ** ((bins + 1) / 8), "objects": [5, 9, 1]})
        for i in images for p in params
    ]  # fmt: skip
    return (
        pd.concat(rows)
        if rows
        else pd.DataFrame(columns=["image", "params", "bin", "low", "high", "objects"])
    )


@pytest.mark.parametrize(("images", "points"), [(0, 1), (1, 1), (2, 3), (40, 20)])
def test_charts_of_any_number_of_images_and_points(images, points):
    names = [f"{HOSTILE} {k}" for k in range(images)]
    parameters = grid(values=range(points))
    params = parameters["params"].tolist()
    charts = [
        size_chart(size_rows(names, params), names, params, size_name("µm", 3)),
        stability_chart(count_rows(parameters, names), parameters, names),
    ]
    pairs = [(a, b, 0.5) for k, a in enumerate(params) for b in params[k + 1 :]]
    agreement = pd.DataFrame(pairs, columns=["params_a", "params_b", "f1"])
    charts.append(agreement_chart(agreement, params))
    for chart in charts:
        height, width, _ = pixels(chart).shape
        assert width == 1500
        assert height < 2500


def test_the_same_numbers_make_the_same_bytes():
    parameters, names = grid(), ["a", "b"]
    params = parameters["params"].tolist()
    for draw in (
        lambda: size_chart(size_rows(names, params), names, params, size_name("", 2)),
        lambda: stability_chart(count_rows(parameters, names), parameters, names),
    ):
        assert draw() == draw()


def test_what_varies_is_found():
    assert along(grid()) == ("threshold", [10, 20, 30, 10, 20, 30])
    name, places = along(grid(values=(5,), radii=(1, 2)))
    assert (name, places) == ("radius of the morphology (voxels)", [1, 2, 1, 2])
    name, places = along(grid(values=(5, 6), radii=(1, 2), filters=("none",)))
    assert (name, places) == ("", [0, 1, 2, 3])
    mixed = grid(values=(5, 6))
    mixed.loc[[1, 3], ["threshold_name", "threshold", "value"]] = ["otsu", "otsu", np.nan]
    assert along(mixed) == ("", [0, 1, 0, 1])


def test_units_are_those_of_areas_in_two_dimensions():
    assert size_name("µm", 2) == "area of an object (µm²)"
    assert size_name("µm", 3) == "volume of an object (µm³)"
    assert size_name("", 2) == "area of an object (pixels)"


def test_outlines_are_drawn_around_objects_and_nowhere_else():
    plane = np.random.default_rng(0).integers(0, 200, (700, 700))
    labels = np.zeros((700, 700), int)
    labels[100:300, 200:600] = 7
    drawn = orange(overlay(plane, labels, title=HOSTILE, unit=""))
    y, x = np.nonzero(drawn)
    assert (y.max() - y.min()) / (x.max() - x.min()) == pytest.approx(199 / 399, rel=0.02)
    assert drawn.mean() < 0.02
    assert not orange(overlay(plane, 0 * labels, title="none")).any()


def test_objects_that_touch_are_told_apart_if_they_have_numbers():
    labels = np.zeros((40, 40), int)
    labels[10:30, 10:20], labels[10:30, 20:30] = 1, 2
    plane = np.zeros((40, 40))
    many = [orange(overlay(plane, each, title="x")).sum() for each in (labels, labels > 0)]
    assert many[0] > 1.2 * many[1]


def test_one_pixel_of_a_large_plane_is_not_lost():
    labels = np.zeros((5000, 4000), bool)
    labels[2345, 1234] = True
    assert orange(overlay(np.zeros(labels.shape, np.uint8), labels, title="x")).any()


def test_a_scale_bar_needs_a_unit():
    plane = np.zeros((100, 100), np.uint16)
    with_bar, without = (overlay(plane, plane, title="x", unit=unit) for unit in ("µm", ""))
    assert pixels(with_bar).mean() > pixels(without).mean()
    assert with_bar == overlay(plane, plane, title="x", unit="µm")


@pytest.mark.parametrize(("width", "length"), [(1000, 200), (4, 1), (3.9, 0.5), (0.081, 0.02)])
def test_scale_bars_have_round_lengths(width, length):
    assert bar_length(width) == pytest.approx(length)


def test_the_busiest_plane_cuts_the_most_objects():
    assert busiest([0, 2, 3], [3, 4, 9], 10) == 3
    assert busiest([], [], 9) == 4
    assert busiest([0, 6], [2, 8], 9) == 6
    assert busiest([0], [1], 1) == 0
