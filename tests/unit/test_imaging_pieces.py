"""Pieces of objects: numbers that add up exactly, in any order."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera.imaging.boxes import whole
from tessera.imaging.pieces import LIMB, PIECE, carried, concatenated, shifted, unit_of, united
from tessera.imaging.runs import find_runs, measure
from voxels import known, sums

PLACES = st.lists(st.tuples(*[st.integers(0, 6)] * 3), min_size=1, max_size=40, unique=True)


def image_of(places):
    """Return a mask in which places are one object, and intensities."""
    labels = np.zeros((7, 7, 7), int)
    labels[tuple(np.array(places).T)] = 1
    return labels, np.random.default_rng(0).integers(-(2**15), 2**15, labels.shape, np.int16)


@given(PLACES, st.tuples(*[st.integers(-9, 9)] * 3))
def test_shifted_sums_are_those_counted_from_elsewhere(places, by):
    piece = known(*image_of(places))
    sums, squares = shifted(piece, np.array([by]))
    near = np.array(places) - piece["lo"] + by
    np.testing.assert_array_equal(sums[0], near.sum(axis=0))
    product = near.T @ near
    np.testing.assert_array_equal(squares[0], product[np.triu_indices(3)])


@given(PLACES, st.randoms(use_true_random=False), st.integers(1, 6))
def test_pieces_of_an_object_are_the_object_in_whatever_order(places, random, parts):
    labels, values = image_of(places)
    of = [random.randrange(parts) for _ in places]
    pieces = []
    for part in sorted(set(of)):
        own = [place for place, k in zip(places, of, strict=True) if k == part]
        pieces.append(known(image_of(own)[0], values))
    random.shuffle(pieces)
    one = united(concatenated(pieces), np.zeros(len(pieces), np.int64), 1)
    one["total"] = carried(one["total"])
    np.testing.assert_array_equal(one, known(labels, values))


def test_pieces_go_to_the_objects_that_they_are_of():
    labels, values = image_of([(0, 0, 0), (3, 3, 3), (6, 6, 6)])
    pieces = known(np.where(labels, labels.cumsum().reshape(labels.shape), 0), values)
    both = united(pieces, np.array([1, 0, 1]), 2)
    assert both["n"].tolist() == [1, 2]
    assert both["first"].tolist() == [171, 0]
    assert both["lo"].tolist() == [[3, 3, 3], [0, 0, 0]]
    assert both["hi"].tolist() == [[4, 4, 4], [7, 7, 7]]


def test_no_pieces_are_no_objects():
    assert concatenated([]).dtype == PIECE
    assert len(united(concatenated([]), np.empty(0, np.int64), 0)) == 0


@given(st.lists(st.tuples(*[st.integers(-(2**60), 2**60)] * 2), min_size=1, max_size=5))
def test_a_carried_total_is_the_same_number_written_in_the_one_way(totals):
    before = np.array([(high >> LIMB, low) for high, low in totals])
    after = carried(before)
    assert ((after[:, 1] >= 0) & (after[:, 1] < 2**LIMB)).all()
    for (a, b), (c, d) in zip(before.tolist(), after.tolist(), strict=True):
        assert a * 2**LIMB + b == c * 2**LIMB + d


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-(2.0**1000), 2.0**1000), min_size=1, max_size=60),
    st.randoms(use_true_random=False),
)
def test_sums_of_floats_do_not_depend_on_order_and_are_exact_to_the_unit(values, random):
    greatest = max(map(abs, values))
    unit = unit_of(np.dtype(float), greatest)

    def total(held):
        row = np.array(held).reshape(1, 1, -1)
        mask = np.ones(row.shape, bool)
        return measure(find_runs(mask, 6), row, whole(row.shape), row.shape, unit)

    shuffled = random.sample(values, len(values))
    assert total(values).tobytes() == total(shuffled).tobytes()
    cut = random.randrange(len(values))
    parts = concatenated([total(part) for part in (shuffled[:cut], shuffled[cut:]) if part])
    both = united(parts, np.zeros(len(parts), np.int64), 1)["total"]
    np.testing.assert_array_equal(carried(both), carried(total(values)["total"]))
    # The least unit is 2**-952: in images all below 2**-900 a voxel is off by that much.
    off = Fraction(max(2.0**-52 * greatest, 2.0**-953))
    high, low = total(values)["total"][0].tolist()
    exact = sum(map(Fraction, values))
    assert abs((high * 2**LIMB + low) * Fraction(unit) - exact) <= len(values) * off


@pytest.mark.parametrize(
    "greatest", [5e-324, 2.3e-308, 1e-300, 1e-30, 1.0, np.nextafter(1, 0), 3.4e38, 1e300, 1.7e308]
)
def test_a_unit_is_a_power_of_two_that_holds_the_greatest_in_two_limbs(greatest):
    unit = unit_of(np.dtype("float64"), greatest)
    assert math.frexp(unit)[0] == 0.5
    assert math.isfinite(1 / unit)
    assert greatest * (1 / unit) <= 2.0 ** (2 * LIMB)
    assert unit <= max(2.0**-51 * greatest, 2.0**-952)
    pieces = measure(
        find_runs(np.ones((1, 1, 2), bool), 6), np.full((1, 1, 2), -greatest), whole((1, 1, 2)),
        (1, 1, 2), unit,
    )  # fmt: skip
    assert sums(pieces, unit / 4)[0] == pytest.approx(-greatest / 2, rel=1e-15, abs=2.0**-952)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_the_unit_is_one_for_integers_and_for_an_image_of_zeros(dtype):
    assert unit_of(np.dtype(dtype), 0.0) == 1.0
    assert unit_of(np.dtype("uint16"), 12345.0) == 1.0
