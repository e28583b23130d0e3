"""Partitions cover everything once, and budgets are kept."""

from hypothesis import given
from hypothesis import strategies as st

from tessera.tiles import partition, parts_for_budget, with_halo


@given(st.integers(1, 500), st.integers(1, 600))
def test_pieces_cover_all_items_once_in_order(length: int, parts: int) -> None:
    pieces = partition(length, parts)
    assert [i for start, stop in pieces for i in range(start, stop)] == list(range(length))
    sizes = {stop - start for start, stop in pieces}
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(1, 300), st.floats(0, 50), st.floats(0.1, 20), st.floats(1, 500))
def test_a_piece_stays_within_the_budget_if_one_item_does(
    length: int, fixed: float, per_item: float, budget: float
) -> None:
    parts = parts_for_budget(length, fixed, per_item, budget)
    assert 1 <= parts <= length
    longest = max(stop - start for start, stop in partition(length, parts))
    assert longest == 1 or fixed + per_item * longest <= budget * (1 + 1e-12)


def test_a_halo_ends_at_the_edges() -> None:
    assert with_halo(2, 5, 3, 10) == (0, 8)
    assert with_halo(6, 9, 3, 10) == (3, 10)
