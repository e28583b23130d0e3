"""The simulated tissue is what its truth says."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st
from scipy.stats import trim_mean

from tessera.cells.simulate import (
    DONORS,
    HALF,
    HALF_TYPE,
    HOUSEKEEPING,
    LADDER,
    LEVEL,
    LEVEL_COUNT,
    LEVEL_TYPE,
    MARKERS,
    N_GENES,
    ODD_NAMES,
    ONCE,
    ONCE_COUNT,
    PLANTED,
    RAMP,
    RAMP_TYPE,
    TYPES,
    ZEROS,
    Tissue,
    exactly,
    simulate,
    truth,
)


@cache
def tissue() -> Tissue:
    return simulate(1)


@cache
def told(normalize: str) -> pd.DataFrame:
    return truth(tissue(), [normalize]).set_index(["gene", "group"])


def column(gene: str) -> np.ndarray:
    return tissue().counts[:, [tissue().genes.index(gene)]].toarray()[:, 0]


def test_a_seed_makes_one_tissue_and_another_seed_another() -> None:
    again, other = simulate(1), simulate(2)
    assert (again.counts != tissue().counts).nnz == 0
    assert again.genes == tissue().genes
    pd.testing.assert_frame_equal(again.cells, tissue().cells)
    np.testing.assert_array_equal(again.umap, tissue().umap)
    assert other.genes != tissue().genes


def test_cells_are_those_of_types_and_donors_mixed() -> None:
    cells = tissue().cells
    found = cells.groupby(["cell_type", "donor"]).size().unstack().loc[list(TYPES), list(DONORS)]
    np.testing.assert_array_equal(found, list(TYPES.values()))
    assert cells["cell"].is_unique
    assert (cells["cell_type"] != cells["cell_type"].shift()).mean() > 0.7
    assert cells.groupby("donor")["age"].unique().map(list).to_dict() == {
        donor: [age] for donor, age in DONORS.items()
    }


def test_genes_are_in_no_order_and_hold_odd_names() -> None:
    genes = tissue().genes
    assert len(set(genes)) == len(genes) == N_GENES == tissue().counts.shape[1]
    assert set(ODD_NAMES) | set(PLANTED) | set(HOUSEKEEPING) <= set(genes)
    assert {"nan", "NA", "True", "1-Mar"} <= set(genes)
    assert list(genes) != sorted(genes)


def test_counts_are_whole_numbers_of_a_sparse_matrix() -> None:
    counts = tissue().counts
    assert counts.dtype == np.int32
    assert counts.data.min() > 0
    assert 0.08 < counts.nnz / np.prod(counts.shape) < 0.15


def test_markers_housekeeping_genes_and_zeros() -> None:
    kind = tissue().cells["cell_type"]
    for name, genes in MARKERS.items():
        for gene in genes:
            found = pd.Series(column(gene) > 0).groupby(kind).mean()
            assert found.idxmax() == name
            assert found[name] > 0.6
            assert found.drop(name).max() < 0.2
    for gene in HOUSEKEEPING:
        assert column(gene).min() >= 1
    for gene in ZEROS:
        assert not column(gene).any()
    assert sorted(column(ONCE))[-2:] == [0, ONCE_COUNT]


def closed_form(n: int, top: int) -> dict[str, float]:
    """Statistics of the counts 1 to `top`, each n / top times."""
    low, high = 1, top
    found = {
        "n": n, "count_nonzero": n, "fraction": 1, "sum": n * (top + 1) / 2, "mean": (top + 1) / 2,
        "var": n / (n - 1) * (top**2 - 1) / 12, "min": low, "median": (top + 1) / 2, "max": high,
        "trimmed_mean": (top + 1) / 2,
    }  # fmt: skip
    if n == top:
        found |= {f"p{p:02d}": 1 + (n - 1) * p / 100 for p in (5, 25, 75, 95)}
    return found


def check(gene: str, group: str, expected: dict[str, float]) -> None:
    found = told("none").loc[(gene, group)]
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-15), (gene, group, name)


def test_answers_in_closed_form() -> None:
    sizes = {name: sum(each) for name, each in TYPES.items()}
    n = sizes[RAMP_TYPE]
    check(RAMP, RAMP_TYPE, closed_form(n, n))
    for name, size in sizes.items():
        check(LADDER, name, closed_form(size, 10))
        nothing = dict.fromkeys(closed_form(size, size), 0)
        nothing |= {"n": size}
        for gene, own in ((RAMP, RAMP_TYPE), (HALF, HALF_TYPE), (LEVEL, LEVEL_TYPE)):
            if name != own:
                check(gene, name, nothing)
        check(ZEROS[0], name, nothing)
    n = sizes[LEVEL_TYPE]
    level = dict.fromkeys(closed_form(n, n), LEVEL_COUNT)
    level |= {"n": n, "count_nonzero": n, "fraction": 1, "sum": n * LEVEL_COUNT, "var": 0}
    check(LEVEL, LEVEL_TYPE, level)
    n = sizes[HALF_TYPE]
    half = n // 2
    total = half * (half + 1) / 2
    # The middle half of n = 190: 47 dropped at each end, so 48 zeros and the counts 1 to 48.
    kept = half - n // 4
    check(
        HALF,
        HALF_TYPE,
        {
            "n": n, "count_nonzero": half, "fraction": 0.5, "sum": total, "mean": total / n,
            "median": 0.5, "min": 0, "max": half, "p05": 0, "p25": 0,
            "trimmed_mean": kept * (kept + 1) / 2 / (2 * kept),
        },
    )  # fmt: skip


@pytest.mark.parametrize("normalize", ["none", "cpm", "log1p_cpm", "log2_cpm"])
def test_truth_is_what_numpy_finds(normalize: str) -> None:
    counts = tissue().counts.toarray().astype(float)
    cpm = counts * 1e6 / counts.sum(1, keepdims=True)
    values = {
        "none": counts, "cpm": cpm, "log1p_cpm": np.log1p(cpm), "log2_cpm": np.log2(cpm + 1)
    }[normalize]  # fmt: skip
    kind = tissue().cells["cell_type"].to_numpy()
    assert len(told(normalize)) == len(PLANTED) * len(TYPES)
    for (gene, group), row in told(normalize).iterrows():
        own = values[kind == group, tissue().genes.index(gene)]
        assert row["mean"] == pytest.approx(own.mean(), rel=1e-12)
        assert row["var"] == pytest.approx(own.var(ddof=1), rel=1e-11)
        assert row["trimmed_mean"] == pytest.approx(trim_mean(own, 0.25), rel=1e-12)
        assert row["p95"] == pytest.approx(np.percentile(own, 95), rel=1e-12)


numbers = st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 3))


@given(st.lists(numbers, min_size=1, max_size=30))
@how(max_examples=150, deadline=None)
def test_exact_statistics_are_those_of_numpy_and_scipy(values: list[float]) -> None:
    found, array = exactly(values), np.array(values)
    near = {"rel": 1e-9, "abs": 1e-6}
    assert found["n"] == len(values)
    assert found["count_nonzero"] == np.count_nonzero(array)
    assert found["mean"] == pytest.approx(array.mean(), **near)
    assert found["median"] == pytest.approx(np.median(array), **near)
    assert found["trimmed_mean"] == pytest.approx(trim_mean(array, 0.25), **near)
    for p in (5, 25, 75, 95):
        assert found[f"p{p:02d}"] == pytest.approx(np.percentile(array, p), **near)
    if len(values) == 1:
        assert math.isnan(found["var"])
    else:
        assert found["var"] == pytest.approx(array.var(ddof=1), rel=1e-9, abs=1e-3)


def test_exact_statistics_round_once() -> None:
    assert exactly([0.1, 0.2, 0.3])["sum"] == float(Fraction(0.1) + Fraction(0.2) + Fraction(0.3))
