import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from tessera.cells import entries


def kept(values, cells=None, genes=None, before=0, dtype=np.float64):
    n = len(values)
    cells = np.zeros(n, np.int64) if cells is None else np.array(cells, np.int64)
    genes = np.arange(n, dtype=np.int32) if genes is None else np.array(genes, np.int32)
    out = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.float64)
    many, found = entries.keep(cells, genes, np.array(values, dtype), before, 10, *out)
    return [each[:many].tolist() for each in out], found


def test_zeros_are_left_out():
    (cells, genes, values), found = kept([0, 3, -0.0, 4], [0, 0, 1, 2], [5, 6, 7, 8])
    assert (cells, genes, values) == ([0, 2], [6, 8], [3, 4])
    assert found == 0
    assert kept([]) == ([[], [], []], 0)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (1.0, 0),
        (0.5, entries.WHOLE),
        (-2.0, entries.NEGATIVE),
        (-0.5, entries.WHOLE | entries.NEGATIVE),
        (0.1, entries.WHOLE | entries.DOUBLE),
        (2.0**24 + 1, entries.DOUBLE),
        (np.inf, entries.ENDLESS),
        (-np.inf, entries.NEGATIVE | entries.ENDLESS),
    ],
)
def test_what_is_met_is_told(value, found):
    assert kept([1.0, value])[1] == found
    assert kept([np.nan])[1] & entries.ENDLESS


def test_disorder_and_strays_are_told():
    assert kept([1, 1], cells=[3, 2])[1] == entries.DISORDER
    assert kept([1, 1], cells=[2, 3], before=3)[1] == entries.DISORDER
    assert kept([1, 0, 1], cells=[2, 1, 3])[1] == 0  # a zero may come whenever it likes
    assert kept([1], genes=[10])[1] == kept([1], genes=[-1])[1] == entries.STRAY
    assert kept([1], cells=[-1])[1] & entries.STRAY


triples = st.lists(
    st.tuples(st.integers(3, 9), st.integers(0, 5), st.integers(-3, 3).filter(bool)), max_size=60
)


@how(max_examples=60, deadline=None)
@given(triples)
def test_entries_are_sorted_and_those_of_one_gene_added_up(found):
    table = np.array(found, np.int64).reshape(-1, 3)
    cells, genes, values = table[:, 0].astype(np.int32), table[:, 1].astype(np.int32), table[:, 2]
    values = values.astype(np.float64)
    order = np.lexsort((genes, cells))
    made = entries.sort_entries(cells, genes, values, (3, 10), 6)
    for each, given_ in zip(made, (cells, genes, values), strict=True):
        np.testing.assert_array_equal(each, given_[order])
    again = entries.repeated(*made[:2])
    pairs = list(zip(cells.tolist(), genes.tolist(), strict=True))
    assert again.sum() == len(pairs) - len(set(pairs))
    assert entries.ascending(cells, genes) == (pairs == sorted(set(pairs)))
    sums = {}
    for pair, value in zip(pairs, values.tolist(), strict=True):
        sums[pair] = sums.get(pair, 0) + value
    left = entries.merge(*made)
    cells, genes, values = (each[:left].tolist() for each in made)
    assert dict(zip(zip(cells, genes, strict=True), values, strict=True)) == {
        pair: value for pair, value in sums.items() if value
    }


@given(st.lists(st.integers(0, 9) | st.just(0), max_size=40), st.integers(1, 20))
def test_tiles_cover_all_cells_and_are_as_full_as_may_be(counts, most):
    counts = np.array(counts, np.int64)
    tiles = entries.cuts(counts, most)
    assert [c for start, stop in tiles for c in range(start, stop)] == list(range(len(counts)))
    for number, (start, stop) in enumerate(tiles):
        own = counts[start:stop]
        assert own.sum() <= most or np.count_nonzero(own) == 1
        if stop < len(counts):
            assert counts[stop]
            assert own.sum() + counts[stop] > most
        assert own.any() or len(tiles) == 1 or number == len(tiles) - 1


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(1, 20))
def test_cuts_found_on_the_way_are_those_found_afterwards(counts, most):
    counts = np.array(counts, np.int64)
    cells, start, tiles = np.repeat(np.arange(len(counts)), counts), 0, []
    while (cut := entries.cut_of(cells, most)) is not None:
        tiles.append((start, cut))
        cells, start = cells[cells >= cut], cut
    assert [*tiles, (start, len(counts))] == entries.cuts(counts, most)
