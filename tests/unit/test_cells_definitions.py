"""The definition of a view, in fields and word by word."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tessera.cells.definitions import definition, unit, words

SETTINGS: dict[str, Any] = {
    "normalize": "log2_cpm",
    "percentiles": [5, 50, 95],
    "trim": 0.25,
    "min_cells": 1,
    "duplicate_genes": "error",
}
ALL = (
    *("n", "count_nonzero", "fraction", "sum", "mean", "var", "min", "p05", "median", "p95"),
    *("max", "trimmed_mean"),
)
ALLEN = (
    "This is the trimmed mean (25 % to 75 %) that the Allen Institute publishes for its cell types."
)


def told(columns: tuple[str, ...] = ALL, **changed: Any) -> list[str]:
    return words({**SETTINGS, **changed}, ["cell_type", "donor"], columns)


def test_the_definition_word_by_word() -> None:
    assert told() == [
        "Each row is a gene in a group of cells; cells are in the same group if they agree in "
        "cell_type and donor.",
        "Values are log\N{SUBSCRIPT TWO}(CPM + 1), the logarithm to base 2.",
        "CPM, counts per million, are the value of the gene in the cell, times 1,000,000, divided "
        "by the sum of the cell over all genes of the matrix, and 0 in a cell whose sum is 0.",
        "n is the number of cells in the group. Cells without the gene count as zeros in every "
        "statistic.",
        "count_nonzero is the number of cells whose value is not zero, and fraction is "
        "count_nonzero / n; both are the same for every normalisation.",
        "sum and mean are those of the normalised values of all cells of the group.",
        "var is the variance of the sample, with n - 1 in the denominator (ddof = 1), and is "
        "missing where the group has one cell.",
        "median and percentiles (p05: 5 % of the cells are below) are exact, zeros included, with "
        "linear interpolation between neighbouring values, as numpy and Excel (PERCENTILE.INC) do "
        "it.",
        "trimmed_mean is the mean of what is left when the 25 % of the cells with the lowest "
        "values and the 25 % with the highest are dropped: floor(0.25 n) cells at each end, zeros "
        "included.",
        ALLEN,
        "Groups of any size are shown.",
        "No name of a gene occurs twice in the matrix.",
    ]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"normalize": "none"}, "Values are those of the matrix, as they were given."),
        ({"normalize": "log1p_cpm"}, "Values are ln(CPM + 1), the natural logarithm."),
        ({"normalize": "cpm"}, "Values are counts per million (CPM)."),
        ({"min_cells": 1500}, "Groups of fewer than 1,500 cells are left out."),
        (
            {"duplicate_genes": "sum"},
            "Where genes had one name, their values were added up, cell by cell.",
        ),
        (
            {"duplicate_genes": "suffix"},
            "Where genes had one name, the later ones were named anew: -1, -2 was added.",
        ),
        (
            {"trim": 0.05},
            "trimmed_mean is the mean of what is left when the 5 % of the cells with the lowest "
            "values and the 5 % with the highest are dropped: floor(0.05 n) cells at each end, "
            "zeros included.",
        ),
    ],
)
def test_what_a_setting_changes_is_said(changed: dict[str, Any], sentence: str) -> None:
    assert sentence in told(**changed)
    assert sentence not in told()


@pytest.mark.parametrize(
    ("changed", "is_allen"),
    [({}, True), ({"trim": 0.2}, False), ({"normalize": "cpm"}, False)],
)
def test_only_the_trimmed_mean_of_the_allen_institute_is_called_so(
    changed: dict[str, Any], is_allen: bool
) -> None:
    assert (ALLEN in told(**changed)) == is_allen
    assert ALLEN not in told(("n", "mean"), **changed)


def test_statistics_that_are_not_there_are_not_explained() -> None:
    text = " ".join(told(("n", "max")))
    for name in ("trimmed_mean", "variance", "fraction", "sum and mean"):
        assert name not in text
    assert "median and percentiles" not in text


@pytest.mark.parametrize(
    ("normalize", "expected"),
    [
        ("none", (None, None, None)),
        ("cpm", (None, None, 1e6)),
        ("log1p_cpm", (2.718281828459045, 1, 1e6)),
        ("log2_cpm", (2, 1, 1e6)),
    ],
)
def test_fields(normalize: str, expected: tuple[float | None, ...]) -> None:
    found = definition({**SETTINGS, "normalize": normalize}, ["a"], ALL, ["x", "y"])
    assert (found["log_base"], found["pseudocount"], found["scale"]) == expected
    assert json.loads(json.dumps(found)) == found
    assert (found["by"], found["columns"], found["groups"]) == (["a"], list(ALL), ["x", "y"])
    assert found["percentiles"] == [5, 50, 95]
    assert found["percentile_method"] == "linear"
    assert found["trim_rule"] == "floor(trim * n) values are dropped at each end"
    assert (found["trim"], found["ddof"], found["zeros"]) == (0.25, 1, "included")
    assert (found["min_cells"], found["duplicate_genes"]) == (1, "error")


def test_percentiles_that_are_not_there_are_not_listed() -> None:
    assert definition(SETTINGS, ["a"], ("n", "median"), ["x"])["percentiles"] == []


def test_units() -> None:
    units = [unit(name) for name in ("none", "cpm", "log1p_cpm", "log2_cpm")]
    assert units == ["value", "CPM", "ln(CPM + 1)", "log\N{SUBSCRIPT TWO}(CPM + 1)"]
