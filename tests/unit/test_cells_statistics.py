import pytest

from tessera.cells.statistics import STATISTICS, columns, percentile_name, ranks


@pytest.mark.parametrize(
    ("percentile", "name"),
    [
        *((5, "p05"), (5.0, "p05"), (0, "p00"), (100, "p100"), (50, "median"), (50.0, "median")),
        *((2.5, "p02.5"), (97.5, "p97.5"), (0.25, "p00.25"), (99.999, "p99.999")),
    ],
)
def test_names_of_percentiles(percentile, name):
    assert percentile_name(percentile) == name


def test_all_columns_in_order():
    assert columns([95, 5, 25, 50, 75]) == (
        *("n", "count_nonzero", "fraction", "sum", "mean", "var", "min"),
        *("p05", "p25", "median", "p75", "p95", "max", "trimmed_mean"),
    )
    assert columns([]) == (
        *("n", "count_nonzero", "fraction", "sum", "mean", "var", "min"),
        *("median", "max", "trimmed_mean"),
    )


@pytest.mark.parametrize(
    ("statistics", "percentiles", "expected"),
    [
        (["trimmed_mean", "mean"], [5], ("mean", "trimmed_mean")),
        (["median", "n"], [5, 95], ("n", "median")),
        (["percentiles"], [5, 95], ("p05", "p95")),
        (["percentiles"], [95, 50], ("median", "p95")),
        (["percentiles", "median"], [95, 2.5], ("p02.5", "median", "p95")),
        ([], [5], ()),
    ],
)
def test_a_choice_keeps_the_order(statistics, percentiles, expected):
    assert columns(percentiles, statistics) == expected


def test_the_median_is_always_computed_and_no_percentile_twice():
    assert ranks([95, 5]) == [5, 50, 95]
    assert ranks([50, 5, 5.0]) == [5, 50]
    assert len(STATISTICS) == 11
