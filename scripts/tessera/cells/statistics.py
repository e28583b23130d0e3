"""Names of the statistics of a gene in a group of cells, and their order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

BEFORE = ("n", "count_nonzero", "fraction", "sum", "mean", "var", "min")
AFTER = ("max", "trimmed_mean")
STATISTICS = (*BEFORE, "median", "percentiles", *AFTER)
"""What can be asked for; ``percentiles`` stands for a column of each."""


def percentile_name(percentile: float) -> str:
    """Return the column of a percentile: p05, p02.5; ``median`` is that of 50."""
    if percentile == 50:
        return "median"
    whole, dot, rest = f"{percentile:.12g}".partition(".")
    return f"p{whole:>02}{dot}{rest}"


def ranks(percentiles: Iterable[float]) -> list[float]:
    """Return the percentiles that are computed, ascending, the median always among them."""
    return sorted({float(percentile) for percentile in (*percentiles, 50)})


def columns(
    percentiles: Iterable[float], statistics: Sequence[str] = STATISTICS
) -> tuple[str, ...]:
    """Return names of columns, in order.

    Parameters
    ----------
    percentiles
        Between 0 and 100.
    statistics
        Those that are wanted; all of them is what `tessera.cells.aggregate` computes.
    """
    asked = {percentile_name(percentile) for percentile in percentiles}
    asked = (asked if "percentiles" in statistics else set()) | ({"median"} & set(statistics))
    between = [name for name in map(percentile_name, ranks(percentiles)) if name in asked]
    return (
        *(name for name in BEFORE if name in statistics),
        *between,
        *(name for name in AFTER if name in statistics),
    )
