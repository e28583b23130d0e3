"""The definition of a view: what its numbers are, in fields for programs and words for people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

SCALE = 1_000_000.0
"""Counts per million: what the counts of a cell are scaled to."""

ALLEN = ("log2_cpm", 0.25)
"""Normalisation and trim of the trimmed means that the Allen Institute publishes."""

_LOGS: dict[str, tuple[float | None, float | None]] = {
    "none": (None, None),
    "cpm": (None, None),
    "log1p_cpm": (math.e, 1.0),
    "log2_cpm": (2.0, 1.0),
}
_UNITS = {
    "none": "value",
    "cpm": "CPM",
    "log1p_cpm": "ln(CPM + 1)",
    "log2_cpm": "log\N{SUBSCRIPT TWO}(CPM + 1)",
}
_NORMALISED = {
    "none": "Values are those of the matrix, as they were given",
    "cpm": "Values are counts per million (CPM)",
    "log1p_cpm": "Values are ln(CPM + 1), the natural logarithm",
    "log2_cpm": "Values are log\N{SUBSCRIPT TWO}(CPM + 1), the logarithm to base 2",
}
_CPM = (
    "CPM, counts per million, are the value of the gene in the cell, times 1,000,000, divided by "
    "the sum of the cell over all genes of the matrix, and 0 in a cell whose sum is 0"
)
_DUPLICATES = {
    "error": "No name of a gene occurs twice in the matrix.",
    "suffix": "Where genes had one name, the later ones were named anew: -1, -2 was added.",
    "sum": "Where genes had one name, their values were added up, cell by cell.",
}


def unit(normalize: str) -> str:
    """Return what a normalised value is called on an axis."""
    return _UNITS[normalize]


def definition(
    settings: Mapping[str, Any], by: Sequence[str], columns: Sequence[str], groups: Sequence[str]
) -> dict[str, Any]:
    """Define a view.

    Parameters
    ----------
    settings
        ``normalize``, ``percentiles``, ``trim``, ``min_cells`` and ``duplicate_genes`` of the
        pipeline.
    by
        Columns of the metadata that cells are grouped by.
    columns
        Statistics of the view, in order.
    groups
        Names of the groups, in order.

    Returns
    -------
    dict
        Plain values for JSON. ``text`` says all of it in words, a list of sentences.
    """
    base, pseudocount = _LOGS[settings["normalize"]]
    percentiles = any(map(_is_percentile, columns))
    return {
        "by": list(by),
        "columns": list(columns),
        "groups": list(groups),
        "normalize": settings["normalize"],
        "log_base": base,
        "pseudocount": pseudocount,
        "scale": None if settings["normalize"] == "none" else SCALE,
        "percentiles": list(settings["percentiles"]) if percentiles else [],
        "percentile_method": "linear",
        "trim": settings["trim"],
        "trim_rule": "floor(trim * n) values are dropped at each end",
        "ddof": 1,
        "zeros": "included",
        "min_cells": settings["min_cells"],
        "duplicate_genes": settings["duplicate_genes"],
        "text": words(settings, by, columns),
    }


def words(settings: Mapping[str, Any], by: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Say in sentences what the numbers of a view are; arguments as of `definition`."""
    normalize, trim = settings["normalize"], settings["trim"]
    told = [
        f"Each row is a gene in a group of cells; cells are in the same group if they agree in "
        f"{' and '.join(by)}.",
        f"{_NORMALISED[normalize]}.",
    ]
    if normalize != "none":
        told.append(f"{_CPM}.")
    told.append(
        "n is the number of cells in the group. Cells without the gene count as zeros in every "
        "statistic."
    )
    if "count_nonzero" in columns or "fraction" in columns:
        told.append(
            "count_nonzero is the number of cells whose value is not zero, and fraction is "
            "count_nonzero / n; both are the same for every normalisation."
        )
    if {"sum", "mean"} & set(columns):
        told.append("sum and mean are those of the normalised values of all cells of the group.")
    if "var" in columns:
        told.append(
            "var is the variance of the sample, with n - 1 in the denominator (ddof = 1), and is "
            "missing where the group has one cell."
        )
    if "median" in columns or any(map(_is_percentile, columns)):
        told.append(
            "median and percentiles (p05: 5 % of the cells are below) are exact, zeros included, "
            "with linear interpolation between neighbouring values, as numpy and Excel "
            "(PERCENTILE.INC) do it."
        )
    if "trimmed_mean" in columns:
        told += _trimmed(normalize, trim)
    told.append(_left_out(settings["min_cells"]))
    told.append(_DUPLICATES[settings["duplicate_genes"]])
    return told


def _is_percentile(name: str) -> bool:
    return name[0] == "p" and name[1:2].isdigit()


def _trimmed(normalize: str, trim: float) -> list[str]:
    told = [
        f"trimmed_mean is the mean of what is left when the {100 * trim:.4g} % of the cells with "
        f"the lowest values and the {100 * trim:.4g} % with the highest are dropped: floor("
        f"{trim:.4g} n) cells at each end, zeros included."
    ]
    if (normalize, trim) == ALLEN:
        told.append(
            "This is the trimmed mean (25 % to 75 %) that the Allen Institute publishes for its "
            "cell types."
        )
    return told


def _left_out(min_cells: int) -> str:
    if min_cells <= 1:
        return "Groups of any size are shown."
    return f"Groups of fewer than {min_cells:,} cells are left out."
