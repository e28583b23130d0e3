"""Numbers written as text, read exactly as Python's ``float`` reads them.

A decimal w times 10^q with w below 2^53 and q within 22 is one correctly rounded operation on
numbers that double precision holds (W. D. Clinger, How to read floating point numbers accurately,
PLDI 1990). Up to 19 digits take a product with a power of five of 128 bits (D. Lemire, Number
parsing at a gigabyte per second, Software: Practice and Experience 51, 2021, algorithm 2, with the
table of its appendix). All else, which is rare, is left to ``float``.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numba as nb
import numpy as np

PLUS, MINUS, POINT, ZERO, NINE, QUOTE, BLANK = b'+-.09" '
SMALL_E, LARGE_E = b"eE"

_DECIMAL = re.compile(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TENS = np.array([float(f"1e{n}") for n in range(23)])
_EXACT = np.uint64(2**53)
_LONGEST = 40  # characters of what the kernel reads
_LEAST, _MOST = -342, 308  # powers of ten that 19 digits may be multiplied by
_LOW = np.uint64(2**32 - 1)
_FRACTION = np.uint64(2**52 - 1)


def _fives() -> Any:
    """Return ``(651, 2)`` uint64: the leading 128 bits of powers of five, high and low."""
    rows = []
    for q in range(_LEAST, _MOST + 1):
        if q < 0:
            five = 5**-q
            bits = (five - 1).bit_length()
            power = 2 ** (bits + 127 if q >= -27 else 2 * bits + 128) // five + 1
        else:
            power = 5**q << max(0, 128 - (5**q).bit_length())
        power >>= max(0, power.bit_length() - 128)
        rows.append((power >> 64, power & (2**64 - 1)))
    return np.array(rows, np.uint64)


_FIVES = _fives()


def slow_number(text: bytes) -> float:
    """Return the number that a text holds; NaN if it is none, infinite if it is too large.

    Parameters
    ----------
    text
        A decimal of ASCII, with blanks or quotation marks around it or not; none of Python's
        other forms (``1_000``, ``inf``, ``nan``).
    """
    text = text.strip(b" ")
    if len(text) > 1 and text.startswith(b'"') and text.endswith(b'"'):
        text = text[1:-1].strip(b" ")
    return float(text) if _DECIMAL.fullmatch(text) else math.nan


@nb.njit(nogil=True, cache=True)
def number(text: Any, start: Any, stop: Any) -> Any:
    """Return a number, NaN where it is to be read by `slow_number`.

    Parameters
    ----------
    text
        uint8.
    start, stop
        Where the number begins and ends.
    """
    if stop - start >= 2 and text[start] == QUOTE and text[stop - 1] == QUOTE:
        start += 1
        stop -= 1
    negative = False
    if start < stop and (text[start] == MINUS or text[start] == PLUS):
        negative = text[start] == MINUS
        start += 1
    if stop - start > _LONGEST:
        return np.nan
    whole, digits, power, point = np.uint64(0), 0, 0, -1
    at = start
    while at < stop:
        byte = text[at]
        if ZERO <= byte <= NINE:
            whole = whole * np.uint64(10) + np.uint64(byte - ZERO)
            if digits > 0 or byte != ZERO:
                digits += 1
        elif byte == POINT and point < 0:
            point = at
        else:
            break
        at += 1
    if digits > 19 or at - start == (point >= 0):
        return np.nan
    if point >= 0:
        power = point + 1 - at
    if at < stop:
        if text[at] != SMALL_E and text[at] != LARGE_E:
            return np.nan
        at += 1
        down = False
        if at < stop and (text[at] == MINUS or text[at] == PLUS):
            down = text[at] == MINUS
            at += 1
        if at == stop or stop - at > 4:
            return np.nan
        exponent = 0
        while at < stop and ZERO <= text[at] <= NINE:
            exponent = exponent * 10 + (text[at] - ZERO)
            at += 1
        if at != stop:
            return np.nan
        power += -exponent if down else exponent
    if whole <= _EXACT and -22 <= power <= 22:
        value = float(whole)
        value = value / _TENS[-power] if power < 0 else value * _TENS[power]
    elif whole == 0:
        value = 0.0
    elif power < _LEAST or power > _MOST:
        return np.nan
    else:
        value = _long_number(whole, power)
    return -value if negative else value


@nb.njit(nogil=True, cache=True)
def _long_number(whole: Any, power: Any) -> Any:
    """Return whole times a power of ten; NaN for what is subnormal or too large."""
    shift = 0
    for step in (32, 16, 8, 4, 2, 1):
        if whole >> np.uint64(64 - step) == 0:
            whole = whole << np.uint64(step)
            shift += step
    high, low = _product(whole, _FIVES[power - _LEAST, 0])
    if high & np.uint64(511) == np.uint64(511):
        more, _ = _product(whole, _FIVES[power - _LEAST, 1])
        low = low + more
        if low < more:
            high = high + np.uint64(1)
    upper = high >> np.uint64(63)
    down = upper + np.uint64(9)
    mantissa = high >> down
    exponent = ((217706 * power) >> 16) + 63 + np.int64(upper) - shift + 1023
    if exponent <= 0:
        return np.nan
    halfway = low <= np.uint64(1) and -4 <= power <= 23 and mantissa & np.uint64(3) == np.uint64(1)
    if halfway and mantissa << down == high:
        mantissa = mantissa - np.uint64(1)
    mantissa = (mantissa + (mantissa & np.uint64(1))) >> np.uint64(1)
    if mantissa >> np.uint64(53):
        mantissa = mantissa >> np.uint64(1)
        exponent += 1
    if exponent >= 2047:
        return np.nan
    bits = (mantissa & _FRACTION) | (np.uint64(exponent) << np.uint64(52))
    return np.uint64(bits).view(np.float64)


@nb.njit(nogil=True, cache=True)
def _product(a: Any, b: Any) -> Any:
    """Return the high and the low half of a product of two uint64."""
    half = np.uint64(32)
    a_low, a_high, b_low, b_high = a & _LOW, a >> half, b & _LOW, b >> half
    lowest, one, two = a_low * b_low, a_high * b_low, a_low * b_high
    middle = (lowest >> half) + (one & _LOW) + (two & _LOW)
    high = a_high * b_high + (one >> half) + (two >> half) + (middle >> half)
    return high, (middle << half) | (lowest & _LOW)
