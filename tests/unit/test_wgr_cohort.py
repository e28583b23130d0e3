"""People of a trait: covariates, folds and scales against least squares and plain counting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from tessera.wgr.cohort import Cohort, covariate_basis, make_cohorts, penalties, scaled_trait

NAN = np.nan


def cohort(covariates, folds=5):
    basis = covariate_basis(np.asarray(covariates, np.float64))
    return Cohort(np.arange(len(basis)), basis, folds, (0,))


def design(covariates):
    return np.column_stack([np.ones(len(covariates)), covariates])


def assert_spans(basis, columns, atol):
    """Orthonormal, and nothing of any column lies beyond."""
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-13)
    lengths = np.linalg.norm(columns, axis=0)
    unit = columns / np.where(lengths > 0, lengths, 1)
    np.testing.assert_allclose(basis @ (basis.T @ unit), unit, atol=atol)


@how(max_examples=100, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(12, 600),
    st.integers(0, 10),
    st.floats(-6, 6),
    st.floats(-3, 4),
)
def test_basis_spans_an_intercept_and_the_covariates(seed, n, many, units, far):
    rng = np.random.default_rng(seed)
    c = rng.normal(size=(n, many)) * 10 ** rng.uniform(-abs(units), abs(units), many)
    c += c.std(axis=0) * 10**far
    basis = covariate_basis(c)
    assert basis.shape == (n, many + 1)
    assert basis.flags.c_contiguous
    assert_spans(basis, design(c), 1e-11)


@how(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(30, 1500), st.integers(2, 20))
def test_columns_that_say_nothing_new_add_nothing(seed, n, centres):
    """Marks of centres, which sum to the intercept, both sexes, a constant, and a mixture."""
    rng = np.random.default_rng(seed)
    marks = np.eye(centres)[rng.integers(0, centres, n)]
    sex, age = rng.integers(0, 2, n), rng.uniform(40, 70, n)
    c = np.column_stack([marks, sex, 1 - sex, age, np.full(n, 4.2), 3 * age - 2 * sex, np.zeros(n)])
    basis = covariate_basis(c)
    assert basis.shape[1] == np.linalg.matrix_rank(design(c))
    assert_spans(basis, design(c), 1e-12)


@pytest.mark.parametrize("far", [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7])
def test_orthonormal_however_much_covariates_resemble_one_another(far):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 3))
    x[:, 1] = x[:, 0] + far * x[:, 1]
    basis = covariate_basis(x)
    assert basis.shape[1] == 4
    assert_spans(basis, design(x), 1e-7)


def test_what_rounding_leaves_of_a_covariate_is_cut():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(400, 2))
    x[:, 1] = x[:, 0] + 1e-9 * x[:, 1]
    assert covariate_basis(x).shape[1] == 2
    # Large units are none of that, nor is a column far from 0.
    assert covariate_basis(rng.normal(size=(400, 2)) * [1e9, 1e-9] + [0, 1]).shape[1] == 3


@pytest.mark.parametrize(
    ("n", "folds", "edges"),
    [
        (10, 5, [(0, 2), (2, 4), (4, 6), (6, 8), (8, 10)]),
        (14, 5, [(0, 2), (2, 4), (4, 6), (6, 8), (8, 14)]),
        (500, 3, [(0, 166), (166, 332), (332, 500)]),
        (7, 7, [(k, k + 1) for k in range(7)]),
    ],
)
def test_folds_follow_one_another_and_the_last_has_the_rest(n, folds, edges):
    assert cohort(np.empty((n, 0)), folds).edges == edges


def test_penalties_of_both_conventions():
    """Of 1,000 variants and the first and last heritability of the grid."""
    h2 = [0.01, 0.5, 0.99]
    np.testing.assert_allclose(penalties(h2, 1000, "v1"), [1e5, 2000, 1000 / 0.99], rtol=1e-14)
    np.testing.assert_allclose(penalties(h2, 1000, "v4"), [99_000, 1000, 1000 / 99], rtol=1e-14)
    for convention in ("v1", "v4"):
        found = penalties(h2, 50, convention, binary=True)
        np.testing.assert_allclose(
            found, [50 * 99 * 3 / np.pi**2, 150 / np.pi**2, 150 / np.pi**2 / 99]
        )


def test_degrees_of_freedom():
    c = np.random.default_rng(0).normal(size=(40, 3))
    people = cohort(np.column_stack([c, c[:, 0] - c[:, 1]]))
    assert people.df("v1") == 39
    assert people.df("v4") == 36


def test_traits_with_the_same_people_share_a_cohort():
    values = np.array(
        [
            [1, 2, NAN, 4, 5, 6, 7, 8],
            [1, 2, 3, 4, 5, 6, 7, 9.0],
            [0, 1, NAN, 1, 0, 0, 1, 1],
            [2, 2, 3, 4, NAN, 6, 7, 9],
            [8, 7, 6, 5, 4, 3, 2, 1],
        ]
    )
    c = np.arange(8.0)[:, None]
    cohorts = make_cohorts(values, c, 3, False)
    assert [each.members for each in cohorts] == [(0, 2), (1, 4), (3,)]
    assert [each.rows.tolist() for each in cohorts] == [
        [0, 1, 3, 4, 5, 6, 7], list(range(8)), [0, 1, 2, 3, 5, 6, 7],
    ]  # fmt: skip
    for each in cohorts:
        assert each.folds == 3
        np.testing.assert_array_equal(each.basis, covariate_basis(c[each.rows]))


def test_a_covariate_that_does_not_vary_among_those_with_the_trait_is_none():
    values = np.array([[1.0, NAN] * 20, [1.0, 2.0] * 20])
    sex = np.array([0.0, 1.0] * 20)
    age = np.random.default_rng(1).uniform(40, 70, 40)
    women, all_ = make_cohorts(values, np.column_stack([sex, age]), 5, False)
    assert women.basis.shape == (20, 2)
    assert all_.basis.shape == (40, 3)


@pytest.mark.parametrize(
    ("folds", "binary", "n", "expected"),
    [
        (5, True, 4999, 0),
        (5, True, 5000, 5),
        (7, False, 100, 7),
        ("loocv", False, 6000, 0),
        ("loocv", True, 6000, 0),
    ],
)
def test_who_is_left_out_one_by_one(folds, binary, n, expected):
    (found,) = make_cohorts(np.zeros((1, n)), np.empty((n, 0)), folds, binary)
    assert found.folds == expected


def test_few_people_of_one_binary_trait_do_not_change_the_folds_of_another():
    values = np.zeros((2, 5001))
    values[0, :2] = NAN
    cohorts = make_cohorts(values, np.empty((5001, 0)), 5, True)
    assert [(len(each.rows), each.folds) for each in cohorts] == [(4999, 0), (5001, 5)]


@how(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from(["v1", "v4"]),
    st.floats(-1e6, 1e6),
    st.floats(1e-6, 1e6),
)
def test_scaled_trait_is_the_residual_of_least_squares(seed, convention, shift, unit):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(20, 200))
    c = rng.normal(size=(n, int(rng.integers(0, 5))))
    y = rng.normal(size=n) + c.sum(axis=1)
    people = cohort(c)
    rest = y - design(c) @ np.linalg.lstsq(design(c), y, rcond=None)[0]
    sd = np.linalg.norm(rest) / np.sqrt(n - (1 if convention == "v1" else 1 + c.shape[1]))
    scaled, scale = scaled_trait(y, people, convention)
    np.testing.assert_allclose(scale, sd, rtol=1e-12)
    np.testing.assert_allclose(scaled, rest / sd, atol=1e-11)
    # In other units, from another zero: the last digits of y are lost to the shift.
    lost = 1e-14 * (1 + abs(shift) / unit)
    moved, other = scaled_trait(shift + unit * y, people, convention)
    np.testing.assert_allclose(other, unit * scale, rtol=1e-9 + lost)
    np.testing.assert_allclose(moved, scaled, atol=1e-9 + 30 * lost)


def test_a_trait_that_is_a_combination_of_covariates_is_nothing():
    rng = np.random.default_rng(3)
    c = rng.normal(size=(80, 4)) * [1, 1e3, 1e-3, 1] + [0, 500, 0, 9]
    people = cohort(c)
    for y in (c @ [1.0, 2, -4000, 0.3] + 7, np.full(80, 3.3), np.zeros(80)):
        for convention in ("v1", "v4"):
            scaled, scale = scaled_trait(y, people, convention)
            assert scale == 0
            np.testing.assert_array_equal(scaled, np.zeros(80))
    # Little is left of this one, but not by rounding.
    small = rng.normal(size=80)
    scaled, scale = scaled_trait(c[:, 1] + 0.01 * small, people, "v4")
    alone = scaled_trait(small, people, "v4")
    np.testing.assert_allclose(scaled, alone[0], atol=1e-8)
    np.testing.assert_allclose(scale, 0.01 * alone[1], rtol=1e-8)
