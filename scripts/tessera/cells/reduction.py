"""All statistics of genes in groups of cells, most of whose values are zeros that are not stored.

Compiled, and all in one file: what numba keeps of a function is not renewed when a function that it
calls changes in another file.

Percentiles are numpy's (``linear``), medians `numpy.median`'s, trimmed means
`scipy.stats.trim_mean`'s: of the same numbers the same bits, but for the order of sums.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

_FEW = 16  # values that are sorted by insertion
_CROWD = 32  # values in a bucket from which on insertion would be slow


@nb.njit(nogil=True, cache=True)
def scratch(most: Any) -> Any:
    """Return what `sort` needs for rows of up to ``most`` values."""
    size = 1
    while size < most:
        size *= 2
    return np.empty(most), np.empty(most, np.int64), np.empty(size + 2, np.int64)


@nb.njit(nogil=True, cache=True)
def sort(values: Any, lowest: Any, highest: Any, spare: Any, keys: Any, ends: Any) -> None:
    """Sort float64 values in place.

    Parameters
    ----------
    values
        ``(n,)`` finite.
    lowest, highest
        The smallest and the largest of them.
    spare, keys, ends
        From `scratch`, for n values or more.

    Notes
    -----
    Values are put into buckets, about one to a bucket. If none is negative the bucket follows from
    the bits of the float, which grow with it, about as its logarithm does, and so spread expression
    values evenly; otherwise from the value itself. The same value many times over makes one bucket
    that is in order as it is. Insertion does the rest, and a sort by comparison where values crowd.
    """
    n = len(values)
    if n > _FEW and lowest < highest:
        buckets = 1
        while buckets < n:
            buckets *= 2
        own, counts = keys[:n], ends[: buckets + 1]
        if lowest >= 0:
            _buckets_by_bits(values, lowest, highest, buckets, own)
        else:
            scale = (buckets - 1) / (highest - lowest)
            if not 0 < scale < np.inf:
                values.sort()
                return
            for place in range(n):
                own[place] = np.int64((values[place] - lowest) * scale)
        _gather(values, own, counts, spare)
    for place in range(1, n):
        value = values[place]
        before = place - 1
        while before >= 0 and values[before] > value:
            values[before + 1] = values[before]
            before -= 1
        values[before + 1] = value


@nb.njit(nogil=True, cache=True)
def _buckets_by_bits(values: Any, lowest: Any, highest: Any, buckets: Any, own: Any) -> None:
    ends = np.empty(2)
    ends[0], ends[1] = lowest, highest
    bits, plain = ends.view(np.int64), values.view(np.int64)
    shift = 0
    while (bits[1] - bits[0]) >> shift >= buckets:
        shift += 1
    for place in range(len(values)):
        own[place] = (plain[place] - bits[0]) >> shift


@nb.njit(nogil=True, cache=True)
def _gather(values: Any, own: Any, counts: Any, spare: Any) -> None:
    """Put values into their buckets, one after the other, and sort those where they crowd."""
    n, buckets = len(values), len(counts) - 1
    counts[:] = 0
    for bucket in own:
        counts[bucket + 1] += 1
    crowded = False
    for bucket in range(buckets):
        crowded |= counts[bucket + 1] > _CROWD
        counts[bucket + 1] += counts[bucket]
    for place in range(n):
        put = counts[own[place]]
        counts[own[place]] = put + 1
        spare[put] = values[place]
    values[:] = spare[:n]
    if crowded:  # what was the start of a bucket is its end now
        start = 0
        for stop in counts[:buckets]:
            if stop - start > _CROWD and not _ascending(values, start, stop):
                values[start:stop].sort()
            start = stop


@nb.njit(nogil=True, cache=True)
def _ascending(values: Any, start: Any, stop: Any) -> Any:
    place = start + 1
    while place < stop and values[place] >= values[place - 1]:
        place += 1
    return place >= stop


@nb.njit(nogil=True, cache=True)
def reduce_group(
    values: Any, n: Any, total: Any, quantiles: Any, trim: Any, scratch: Any, out: Any
) -> None:
    """Compute all statistics of one gene in one group.

    Parameters
    ----------
    values
        ``(count_nonzero,)`` float64 of the cells that have one, in their order; sorted afterwards,
        if they must be.
    n
        Cells of the group, at least one.
    total
        Sum of the values, added up one by one in their order.
    quantiles
        Between 0 and 1, ascending; that of the median is 0.5.
    trim
        Share that the trimmed mean leaves out at each end, below 0.5.
    scratch
        From `scratch`.
    out
        ``(columns,)``: as `tessera.cells.statistics.columns` has them, all of them.
    """
    stored = len(values)
    zeros = n - stored
    mean = total / n
    squares = zeros * (mean * mean)
    lowest = highest = values[0] if stored else 0.0
    negative = 0
    for value in values:
        squares += (value - mean) * (value - mean)
        lowest, highest = min(lowest, value), max(highest, value)
        negative += value < 0
    out[0], out[1], out[2] = n, stored, stored / n
    out[3], out[4] = total, mean
    out[5] = squares / (n - 1) if n > 1 else np.nan
    out[6] = min(lowest, 0.0) if zeros else lowest
    at = 7 + len(quantiles)
    out[at] = max(highest, 0.0) if zeros else highest
    dropped = int(trim * n)
    # Places among the sorted values, zeros among them, that are looked at.
    first, last = min(dropped, int((n - 1) * quantiles[0]), (n - 1) // 2), n // 2
    last = max(last, n - dropped - 1, min(int((n - 1) * quantiles[-1]) + 1, n - 1))
    if first < negative or last >= negative + zeros:
        sort(values, lowest, highest, scratch[0], scratch[1], scratch[2])
        for number in range(len(quantiles)):
            out[7 + number] = _quantile(values, n, negative, quantiles[number])
        out[at + 1] = _trimmed_mean(values, n, negative, dropped)
    else:  # nothing but zeros
        for number in range(len(quantiles)):
            out[7 + number] = 0.0
        out[at + 1] = 0.0


@nb.njit(nogil=True, cache=True)
def _value(values: Any, n: Any, negative: Any, place: Any) -> Any:
    """Return the value at a place among all that are sorted, zeros at theirs."""
    if place < negative:
        return values[place]
    place -= n - len(values)
    return values[place] if place >= negative else 0.0


@nb.njit(nogil=True, cache=True)
def _quantile(values: Any, n: Any, negative: Any, quantile: Any) -> Any:
    if quantile == 0.5:
        upper = _value(values, n, negative, n // 2)
        return upper if n % 2 else (_value(values, n, negative, n // 2 - 1) + upper) / 2
    place = (n - 1) * quantile
    before = int(np.floor(place))
    if before >= n - 1:
        return _value(values, n, negative, n - 1)
    share = place - before
    low = _value(values, n, negative, before)
    high = _value(values, n, negative, before + 1)
    # As numpy does it, so that the end of the interval is met exactly.
    return high - (high - low) * (1 - share) if share >= 0.5 else low + (high - low) * share


@nb.njit(nogil=True, cache=True)
def _trimmed_mean(values: Any, n: Any, negative: Any, dropped: Any) -> Any:
    zeros = n - len(values)
    total = 0.0
    for place in range(dropped, min(negative, n - dropped)):
        total += values[place]
    for place in range(max(dropped, negative + zeros), n - dropped):
        total += values[place - zeros]
    return total / (n - 2 * dropped)


@nb.njit(nogil=True, cache=True)
def reduce_genes(
    ends: Any,
    cells: Any,
    values: Any,
    codes: Any,
    sizes: Any,
    quantiles: Any,
    trim: Any,
    spare: Any,
    out: Any,
) -> None:
    """Compute all statistics of some genes in each group of cells.

    Parameters
    ----------
    ends
        ``(genes + 1,)`` int64: where the values of each begin.
    cells, values
        ``(n,)`` the cell, ascending within a gene, and the normalised value.
    codes
        ``(cells,)`` int32, the group of each; -1 for none.
    sizes
        ``(groups,)`` int64, the cells of each.
    quantiles, trim, spare
        See `reduce_group`.
    out
        ``(genes, groups, columns)`` float64.
    """
    groups = len(sizes)
    most = 0
    for gene in range(len(out)):
        most = max(most, ends[gene + 1] - ends[gene])
    by_group = np.empty(most)
    own = np.empty(most, np.int32)
    starts, place, sums = (
        np.empty(groups + 1, np.int64),
        np.empty(groups, np.int64),
        np.empty(groups),
    )
    for gene in range(len(out)):
        start, stop = ends[gene], ends[gene + 1]
        starts[:] = 0
        sums[:] = 0
        for entry in range(start, stop):
            code = codes[cells[entry]]
            own[entry - start] = code
            if code >= 0:
                starts[code + 1] += 1
        for group in range(groups):
            starts[group + 1] += starts[group]
            place[group] = starts[group]
        for entry in range(start, stop):
            code = own[entry - start]
            if code >= 0:
                value = np.float64(values[entry])
                by_group[place[code]] = value
                place[code] += 1
                sums[code] += value
        for group in range(groups):
            among = by_group[starts[group] : starts[group + 1]]
            reduce_group(among, sizes[group], sums[group], quantiles, trim, spare, out[gene, group])
