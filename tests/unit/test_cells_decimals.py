import math
import struct

import numba as nb
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tessera.cells.decimals import number, slow_number

DIGITS = st.text("0123456789", max_size=25)


def decimals():
    sign = st.sampled_from(["", "-", "+"])
    power = st.one_of(st.just(""), st.integers(-350, 330).map(lambda n: f"e{n}"))
    point = st.sampled_from(["", "."])
    return st.tuples(sign, DIGITS, point, DIGITS, power).map("".join)


def bits(value):
    return struct.pack("d", value)


def read(text):
    """Read as the kernels do: fast where that is possible."""
    array = np.frombuffer(b"," + text.encode() + b",", np.uint8)
    value = number(array, 1, len(array) - 1)
    return slow_number(text.encode()) if math.isnan(value) else value


@settings(max_examples=800, deadline=None)
@given(
    st.one_of(
        decimals(),
        st.floats(allow_nan=False, allow_infinity=False).map(repr),
        st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
        st.integers(-(10**22), 10**22).map(str),
    )
)
@example("18446744073709551616")  # 2^64, which is 0 in 64 bits
@example("9007199254740993")  # half way between two doubles
@example("9007199254740993.0")
@example("1e23")
@example("2.2250738585072011e-308")
@example("1.7976931348623159e308")
@example("5e-324")
@example("-0")
@example("0e400")
@example(".")
@example("1.")
@example("-.5")
@example("")
def test_every_decimal_is_what_float_makes_of_it(text):
    try:
        expected = float(text)
    except ValueError:
        assert math.isnan(read(text))
    else:
        assert bits(read(text)) == bits(expected)


@settings(max_examples=300, deadline=None)
@given(st.integers(2**52, 2**53 - 1), st.integers(-60, 60))
def test_numbers_half_way_between_two_doubles_are_rounded_to_even(mantissa, shift):
    twice = 2 * mantissa + 1
    text = str(twice << shift) if shift >= 0 else f"{twice * 5**-shift}e{shift}"
    assert bits(read(text)) == bits(float(text))


@pytest.mark.parametrize(
    "text",
    [
        "1_000",
        "inf",
        "-Infinity",
        "nan",
        "NA",
        "1e",
        "1e+",
        "e5",
        "1.2.3",
        "0x1A",
        "1,5",
        "٣",
        "--1",
        *("1\t", "\t1", "1\r", "1 2", '"1', '1"', '""', "true", "1e5.0", "+-1"),
    ],
)
def test_what_is_no_decimal(text):
    assert math.isnan(read(text))


@pytest.mark.parametrize(
    ("text", "expected"), [(" 1.5", 1.5), ('"2"', 2), ('" 3 "', 3), ("1e400", math.inf)]
)
def test_blanks_quotes_and_numbers_that_are_too_large(text, expected):
    assert read(text) == expected


def test_numbers_of_up_to_19_digits_do_not_need_float():
    rng = np.random.default_rng(1)
    values = [*rng.lognormal(size=5000), *rng.integers(1, 2**62, 5000), *rng.random(5000) * 1e-30]
    texts = [repr(value.item()).encode() for value in values]
    ends = np.cumsum([0, *map(len, texts)])

    @nb.njit
    def all_of(text, ends):
        return [number(text, ends[n], ends[n + 1]) for n in range(len(ends) - 1)]

    found = all_of(np.frombuffer(b"".join(texts), np.uint8), ends)
    assert list(map(bits, found)) == [bits(float(text)) for text in texts]
