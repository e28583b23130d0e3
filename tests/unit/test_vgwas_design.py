import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from tessera.vgwas.design import columns_of, make_design


def residual_maker(columns):
    """I - Q Qᵀ of intercept and columns, standardised so that LAPACK sees them well."""
    n = len(columns[0])
    scaled = [(c - np.mean(c)) / np.std(c) for c in columns]
    q, _ = np.linalg.qr(np.column_stack([np.ones(n), *scaled]))
    return np.eye(n) - q @ q.T


def of_basis(basis):
    return np.eye(basis.shape[1]) - basis.T @ basis


@how(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(8, 60), st.integers(1, 6), st.floats(-6, 6))
def test_spans_what_qr_spans_whatever_units_and_offsets(seed, n, k, decades):
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(k, n))
    expected = residual_maker(columns)
    scaled = columns * 10.0 ** rng.uniform(-abs(decades), abs(decades), (k, 1))
    scaled += 1e4 * scaled.std(axis=1, keepdims=True) * rng.normal(size=(k, 1))
    design = make_design(n, {f"c{i}": c for i, c in enumerate(scaled)})
    assert design.names == ("intercept", *(f"c{i}" for i in range(k)))
    assert design.dropped == ()
    assert design.df == n - k - 2
    np.testing.assert_allclose(design.basis @ design.basis.T, np.eye(k + 1), atol=1e-13)
    np.testing.assert_allclose(of_basis(design.basis), expected, atol=1e-9)


def test_correlated_columns_stay_orthonormal():
    rng = np.random.default_rng(1)
    base = rng.normal(size=50)
    columns = {f"c{i}": base + 1e-5 * rng.normal(size=50) for i in range(6)}
    design = make_design(50, columns)
    assert design.dropped == ()
    np.testing.assert_allclose(design.basis @ design.basis.T, np.eye(7), atol=1e-13)


def test_constant_and_dependent_columns_are_named_and_left_out():
    rng = np.random.default_rng(2)
    n = 40
    age, site = rng.normal(50, 9, n), rng.integers(0, 2, n).astype(float)
    columns = {
        "zero": np.zeros(n),
        "age": age,
        "one": np.full(n, 1e9 / 3),
        "site_a": site,
        "site_b": 1 - site,
        "months": 12 * age + 5,
        "both": 2 * age - 700 * site + 1e6,
        "year": 2000 + age + rng.normal(size=n),
        "age_again": age + 1e-10 * rng.normal(size=n),
    }
    design = make_design(n, columns)
    assert design.names == ("intercept", "age", "site_a", "year")
    assert design.dropped == ("zero", "one", "site_b", "months", "both", "age_again")
    assert design.df == n - 4 - 1
    expected = residual_maker([age, site, columns["year"]])
    np.testing.assert_allclose(of_basis(design.basis), expected, atol=1e-10)


@pytest.mark.parametrize("offset", [0, 1e3, 1e6, 1e9, -1e9])
def test_a_column_far_from_zero_is_kept(offset):
    """Seconds since 1970, say: the mean comes off first."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=30)
    design = make_design(30, {"x": x + offset})
    assert design.dropped == ()
    expected = residual_maker([x])
    np.testing.assert_allclose(of_basis(design.basis), expected, atol=1e-15 * abs(offset) + 1e-12)


def test_intercept_alone_and_more_columns_than_subjects():
    design = make_design(7, {})
    np.testing.assert_allclose(design.basis, np.full((1, 7), 7**-0.5))
    assert (design.names, design.dropped, design.df) == (("intercept",), (), 5)
    rng = np.random.default_rng(4)
    full = make_design(5, {f"c{i}": rng.normal(size=5) for i in range(9)})
    assert full.names == ("intercept", "c0", "c1", "c2", "c3")
    assert full.dropped == ("c4", "c5", "c6", "c7", "c8")
    assert full.df == -1
    np.testing.assert_allclose(of_basis(full.basis), 0, atol=1e-12)


def test_categories_become_indicators_of_all_levels_but_the_first():
    covariates = {"age": [3, 1.5, 2], "site": ["b", "a", "c"], "sex": ["f", "f", "f"]}
    columns = columns_of(covariates, ["site", "sex"])
    assert list(columns) == ["age", "site=b", "site=c", "sex"]
    assert {name: c.tolist() for name, c in columns.items()} == {
        "age": [3, 1.5, 2],
        "site=b": [1, 0, 0],
        "site=c": [0, 0, 1],
        "sex": [0, 0, 0],
    }
    assert all(c.dtype == np.float64 for c in columns.values())
    assert list(columns_of({"n": ["10", "9", "2"]}, ["n"])) == ["n=2", "n=9"]
    assert columns_of({}, []) == {}
    assert "sex" in make_design(3, columns).dropped
    both = columns_of({"site_b": [1, 5, 3, 4], "site": list("abab")}, ["site"])
    assert len(both) == 2, "a column named like an indicator is another column"


def test_any_first_level_gives_the_same_model():
    rng = np.random.default_rng(5)
    site = rng.choice(["a", "b", "c"], 30)
    turned = np.array([{"a": "z", "b": "b", "c": "a"}[s] for s in site])
    designs = [make_design(30, columns_of({"s": list(s)}, ["s"])) for s in (site, turned)]
    assert designs[0].names == ("intercept", "s=b", "s=c")
    np.testing.assert_allclose(of_basis(designs[0].basis), of_basis(designs[1].basis), atol=1e-13)
