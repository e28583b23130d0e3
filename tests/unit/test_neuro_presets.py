"""The settings in force: what a preset sets, and what has no effect."""

from copy import deepcopy
from pathlib import Path

import pytest

from tessera.config import load_schema, validate_config
from tessera.neuro.presets import effective, highest_b, settings_in_force

SCHEMA = load_schema(Path(__file__).parents[2] / "schemas", "config")


def section(**values):
    return validate_config({"neuro": values}, SCHEMA)["neuro"]


def test_paper2017_is_the_protocol_of_the_paper():
    given = section(preset="paper2017", b0_max=99, slabs=3, denoise={"method": "mppca"})
    before = deepcopy(given)
    applied = effective(given)
    assert given == before
    assert settings_in_force(applied) == {
        "b0_max": 10,
        "fit_bmax": "all",
        "mask": {"method": "median_otsu", "radius_voxels": 4, "passes": 2, "dilate": 1},
        "denoise": {
            "method": "nlm",
            "patch_radius": 1,
            "search_radius": 5,
            "rician": True,
            "sigma": "per_volume",
        },
        "fit": {"method": "wls_fitted"},
        "preset": "paper2017",
    }
    assert applied["slabs"] == 3


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"fit": {"reweightings": 1}}, {"fit": {"reweightings": 3}}),
        (
            {"denoise": {"method": "none", "search_radius": 4}},
            {"denoise": {"method": "none", "search_radius": 5}},
        ),
        (
            {"mask": {"method": "file", "radius_mm": 3}},
            {"mask": {"method": "file", "radius_mm": 4}},
        ),
    ],
)
def test_what_has_no_effect_makes_no_difference(first, second):
    assert effective(section(**first)) == effective(section(**second))


def test_what_has_an_effect_stays():
    for fit in ({"method": "iwls", "reweightings": 1}, {"method": "iwls", "reweightings": 3}):
        assert effective(section(fit=fit))["fit"] == fit


def test_a_shell_is_not_cut_by_the_scatter_of_its_b_values():
    assert highest_b(section(fit_bmax=1500)) >= 1515
    assert highest_b(section(fit_bmax=1500)) < 2000
    assert highest_b(section(fit_bmax="all")) == float("inf")
