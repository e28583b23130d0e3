import pytest

from tessera.cells.memory import assemble_mb, batch_for, ingest_mb, names_mb, part_mb


@pytest.mark.parametrize("formula", [ingest_mb, part_mb, assemble_mb])
def test_memory_grows_with_batch_cells_and_genes(formula):
    least = formula(100_000, 1000, 1000)
    assert 300 < least < 500
    assert least < formula(1_000_000, 1000, 1000) < 1.5 * least
    assert formula(100_000, 1_000_000, 1000) > least + 90
    assert formula(100_000, 1000, 100_000) > least
    assert formula(100_000, None, 1000) <= least


@pytest.mark.parametrize("memory_mb", [800, 1100, 2000, 4000])
def test_a_batch_leaves_room_for_what_grows_with_the_cells(memory_mb):
    batch = batch_for(memory_mb)
    for formula in (ingest_mb, part_mb, assemble_mb):
        assert formula(batch, 100_000, 30_000) < memory_mb


def test_a_batch_is_neither_tiny_nor_huge():
    assert batch_for(100) == 1 << 16
    assert batch_for(1_000_000) == 1 << 25


def test_tables_grow_with_cells_and_columns():
    assert names_mb(1_000_000, 10) > names_mb(1_000_000, 2) > names_mb(1000, 10) > 300
