"""Medians for kernels: of a few numbers by comparisons alone, separable ones, of many columns."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np


@nb.njit(nogil=True, cache=True)
def median7(plane: Any, y: Any, x: Any) -> Any:
    """Separable 7 x 7 median (of rows, then of their medians) at least 3 from the edge."""
    return middle7(
        row_median7(plane[y - 3], x),
        row_median7(plane[y - 2], x),
        row_median7(plane[y - 1], x),
        row_median7(plane[y], x),
        row_median7(plane[y + 1], x),
        row_median7(plane[y + 2], x),
        row_median7(plane[y + 3], x),
    )


@nb.njit(nogil=True, cache=True)
def row_median7(row: Any, x: Any) -> Any:
    """Median of 7 around the middle one."""
    return middle7(row[x - 3], row[x - 2], row[x - 1], row[x], row[x + 1], row[x + 2], row[x + 3])


@nb.njit(nogil=True, cache=True)
def row_medians7(row: Any, out: Any) -> None:
    """Take the running median of 7; ``out`` is shorter than the row by 6."""
    for i in range(len(out)):
        out[i] = row_median7(row, i + 3)


@nb.njit(nogil=True, cache=True)
def middle3(a: Any, b: Any, c: Any) -> Any:
    """Median of 3."""
    return max(min(a, b), min(max(a, b), c))


@nb.njit(nogil=True, cache=True)
def middle5(a: Any, b: Any, c: Any, d: Any, e: Any) -> Any:
    """Median of 5: neither end of the first four can be it."""
    return middle3(max(min(a, b), min(c, d)), min(max(a, b), max(c, d)), e)


@nb.njit(nogil=True, cache=True)
def middle7(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any) -> Any:
    """Median of 7: neither end of the first five can be it."""
    least, most = min(min(a, b), min(c, d)), max(max(a, b), max(c, d))
    second, third = max(min(a, b), min(c, d)), min(max(a, b), max(c, d))
    return middle5(second, third, max(least, min(e, most)), f, g)


@nb.njit(nogil=True, cache=True)
def middle9(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any, i: Any) -> Any:
    """Median of 9 from that of the triples' least, middle and greatest (Smith, XCell 23)."""
    least = max(min(a, b, c), min(d, e, f), min(g, h, i))
    middle = middle3(middle3(a, b, c), middle3(d, e, f), middle3(g, h, i))
    most = min(max(a, b, c), max(d, e, f), max(g, h, i))
    return middle3(least, middle, most)


@nb.njit(nogil=True, cache=True)
def median_of(values: Any, n: Any) -> Any:
    """Median of the first n values, which are put into another order."""
    half = n // 2
    if n <= 24:
        for i in range(1, n):
            value = values[i]
            j = i
            while j > 0 and values[j - 1] > value:
                values[j] = values[j - 1]
                j -= 1
            values[j] = value
    else:  # Hoare's selection
        low, high = 0, n - 1
        while low < high:
            pivot = values[half]
            i, j = low, high
            while i <= j:
                while values[i] < pivot:
                    i += 1
                while pivot < values[j]:
                    j -= 1
                if i <= j:
                    values[i], values[j] = values[j], values[i]
                    i += 1
                    j -= 1
            if j < half:
                low = i
            if half < i:
                high = j
    upper = np.float64(values[half])
    if n % 2:
        return upper
    lower = values[0]
    for i in range(1, half):
        lower = max(lower, values[i])
    return 0.5 * (np.float64(lower) + upper)


@nb.njit(nogil=True, cache=True)
def sort_columns(values: Any) -> None:
    """Sort each column, in place: neighbours are put in order in as many rounds as there are rows.

    More comparisons than in other ways, but without branches and for many columns at once.
    """
    count, width = values.shape
    for turn in range(count):
        for n in range(turn % 2, count - 1, 2):
            above, below = values[n], values[n + 1]
            for c in range(width):
                a, b = above[c], below[c]
                above[c] = a if a < b else b
                below[c] = b if a < b else a
