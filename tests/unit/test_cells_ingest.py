import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from tessera.cells.ingest import ingest
from tessera.cells.layout import Rows
from tessera.errors import InputError
from triples import Triples, contents, counts, rows_of


def told(source, folder, **options):
    with pytest.raises(InputError) as caught:
        rows_of(source, folder, **options)
    return str(caught.value).splitlines()


def dense_of(rows):
    out = np.zeros((rows.facts["n_cells"], rows.facts["n_genes"]))
    for number, (start, stop, _) in enumerate(rows.facts["tiles"]):
        indptr, genes, values = rows.tile(number)
        out[np.repeat(np.arange(start, stop), np.diff(indptr)), genes] = values
    return out


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch_nnz", [1, 7, 50, 10_000])
def test_by_a_spill_the_same_bytes_as_in_order(tmp_path, batch_nnz, dtype):
    dense = counts(1).astype(dtype)
    if dtype == np.float64:
        dense[20, 3] = 0.1
    ordered = rows_of(Triples.of(dense), tmp_path / "ordered", batch_nnz=batch_nnz)
    rows_of(Triples.of(dense, shuffle=2), tmp_path / "spilled", batch_nnz=batch_nnz)
    said_so = Triples.of(dense, shuffle=3, ordered=True)
    rows_of(said_so, tmp_path / "said so", batch_nnz=batch_nnz)
    expected = contents(tmp_path / "ordered")
    assert contents(tmp_path / "spilled") == expected
    assert contents(tmp_path / "said so") == expected
    np.testing.assert_array_equal(dense_of(ordered), dense)
    assert ordered.facts["dtype"] == np.dtype(dtype).str
    for _, _, nnz in ordered.facts["tiles"]:
        assert nnz <= max(batch_nnz, (dense != 0).sum(axis=1).max())


@how(max_examples=60, deadline=None)
@given(st.data())
def test_tables_do_not_depend_on_tiles_and_zeros_are_dropped(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("rows")
    shape = data.draw(st.tuples(st.integers(1, 12), st.integers(1, 8)))
    numbers = st.sampled_from([0, 0, 0, 1, 2, -1.5, 0.1, 1e-40, 16_777_217])
    dense = np.array(
        data.draw(st.lists(numbers, min_size=shape[0] * shape[1], max_size=96))[
            : shape[0] * shape[1]
        ]
    )
    dense = dense.reshape(shape)
    cells, genes = map(np.ravel, np.indices(shape))
    order = data.draw(st.permutations(range(dense.size)))
    every = Triples.of(dense)
    every.cells, every.genes_of, every.values = cells[order], genes[order], dense.ravel()[order]
    every.ordered = data.draw(st.booleans())
    one = rows_of(every, folder / "one", batch_nnz=data.draw(st.integers(1, 30)))
    two = rows_of(Triples.of(dense), folder / "two", batch_nnz=data.draw(st.integers(1, 30)))
    np.testing.assert_array_equal(dense_of(one), dense)
    for name in ("genes.parquet", "cells.parquet"):
        assert (folder / "one" / name).read_bytes() == (folder / "two" / name).read_bytes()
    for rows in (one, two):
        rows.facts.pop("tiles")
    assert one.facts == two.facts
    assert one.facts["nnz"] == np.count_nonzero(dense)
    assert one.facts["negative"] == bool((dense < 0).any())
    assert one.facts["whole"] == bool((dense == np.rint(dense)).all())
    single = (dense.astype(np.float32) == dense).all()
    assert one.facts["dtype"] == ("<f4" if single else "<f8")
    totals = [float(sum(row, 0.0)) for row in dense.tolist()]
    assert one.cells["total"].tolist() == totals
    assert one.genes["sum"].tolist() == [float(sum(column, 0.0)) for column in dense.T.tolist()]


def test_tables_and_facts(tmp_path):
    dense = counts(2, cells=8, genes=12)
    source = Triples.of(
        dense,
        warnings=["it is odd"],
        metadata={
            "kind": pd.Categorical(list("babbaaab"), categories=["a", "z", "b"]),
            "donor": ["01", "2", None, "nan", "x", "ü", "", "a"],
            "age": list(range(8)),
            "score": [0.5, None, *range(6)],
            "umap_1": np.arange(8.0),
            "good": [True, False] * 4,
        },
    )
    rows = rows_of(source, tmp_path / "rows", grouping_columns=["kind", "donor"])
    assert list(rows.cells) == [
        *("cell", "total", "kind", "donor", "age", "score", "umap_1", "good"),
    ]
    assert rows.cells["kind"].tolist() == list("babbaaab")
    assert rows.cells["donor"].tolist()[:2] == ["01", "2"]
    assert rows.cells["donor"].isna().tolist() == [False] * 2 + [True] + [False] * 5
    assert rows.cells["age"].dtype == np.int64
    assert rows.cells["good"].dtype == bool
    np.testing.assert_array_equal(rows.cells["total"], dense.sum(axis=1, dtype=np.float64))
    schema = pq.read_schema(tmp_path / "rows" / "cells.parquet")
    assert schema.metadata is None
    assert [str(schema.field(name).type) for name in ("cell", "kind", "score")] == [
        *("string", "string", "double"),
    ]
    facts = json.loads((tmp_path / "rows" / "facts.json").read_text())
    facts.pop("tiles")
    assert facts == {
        "n_cells": 8,
        "n_genes": 12,
        "nnz": int((dense != 0).sum()),
        "dtype": "<f4",
        "whole": True,
        "negative": False,
        "warnings": ["it is odd"],
        "grouping_columns": ["kind", "donor"],
    }


def test_cells_and_matrices_without_any_value(tmp_path):
    for number, shape in enumerate([(4, 3), (1, 1)]):
        for shuffle in (None, 1):
            source = Triples.of(np.zeros(shape, np.float32), shuffle=shuffle)
            rows = rows_of(source, tmp_path / f"{number}{shuffle}")
            assert rows.facts["tiles"] == [[0, shape[0], 0]]
            assert rows.cells["total"].tolist() == [0] * shape[0]
            assert rows.genes["nnz"].tolist() == [0] * shape[1]


def test_values_of_one_cell_and_gene_are_refused_in_any_order(tmp_path):
    dense = counts(3)
    for shuffle in (None, 4):
        source = Triples.of(dense, shuffle=shuffle)
        at = [np.flatnonzero((source.cells == cell) & (source.genes_of == 3)) for cell in (9, 30)]
        source = Triples(
            np.concatenate([source.cells, *(source.cells[a] for a in at)]),
            np.concatenate([source.genes_of, *(source.genes_of[a] for a in at)]),
            np.concatenate([source.values, np.array([8, 9], np.float32)]),
            **{key: getattr(source, key) for key in ("n_cells", "genes", "ordered")},
        )
        sentence = "there is more than one value; keep one value of each gene in each cell."
        for rule in ("error", "sum"):
            assert told(source, tmp_path / f"{shuffle}{rule}", duplicate_genes=rule) == [
                f"m.csv: cell c9, gene g3: {sentence}",
                f"m.csv: cell c30, gene g3: {sentence}",
            ]
    twice = Triples(np.zeros(24, int), np.repeat(np.arange(8), 3), np.ones(24), 1, list("abcdefgh"))
    lines = told(twice, tmp_path / "many")
    assert lines[0] == f"m.csv: cell c0, gene a: {sentence}"
    assert lines[5:] == ["m.csv: 11 more of this kind; correct them in the same way."]


def test_values_that_are_not_finite_are_refused(tmp_path):
    dense = np.ones((3, 4))
    dense[1, 2], dense[2, 0], dense[2, 3] = np.nan, np.inf, -np.inf
    remedy = "give a finite number, or 0 where nothing was counted"
    for shuffle in (None, 1):
        lines = told(Triples.of(dense, shuffle=shuffle), tmp_path / str(shuffle), normalize="cpm")
        assert sorted(lines) == [
            f"m.csv: cell c1, gene g2: the value is not finite (nan); {remedy}.",
            f"m.csv: cell c2, gene g0: the value is not finite (inf); {remedy}.",
            f"m.csv: cell c2, gene g3: the value is not finite (-inf); {remedy}.",
        ]


def test_genes_of_one_name(tmp_path):
    dense = np.array([[1, 2, 0, 4], [0, 3, -3, 0.1], [5, 0, 0, 0]])
    names = ["a", "b", "b", "a"]
    (line, _) = told(Triples.of(dense, genes=names), tmp_path / "error")
    assert line.startswith("m.csv: gene a: the name occurs 2 times;")
    rows = rows_of(Triples.of(dense, genes=names), tmp_path / "suffix", duplicate_genes="suffix")
    assert rows.genes["gene"].tolist() == ["a", "b", "b-1", "a-1"]
    np.testing.assert_array_equal(dense_of(rows), dense)
    summed = rows_of(Triples.of(dense, genes=names), tmp_path / "sum", duplicate_genes="sum")
    rows_of(Triples.of(dense, genes=names, shuffle=1), tmp_path / "other", duplicate_genes="sum")
    assert contents(tmp_path / "sum") == contents(tmp_path / "other")
    assert summed.genes["gene"].tolist() == ["a", "b"]
    np.testing.assert_array_equal(dense_of(summed), [[5, 2], [0.1, 0], [5, 0]])
    assert summed.facts["nnz"] == 4  # 3 - 3 is no value any more


def test_sums_of_one_name_that_single_precision_does_not_hold(tmp_path):
    dense = np.array([[2.0**24, 1], [1, 2]], np.float32)
    source = Triples.of(dense, genes=["a", "a"])
    rows = rows_of(source, tmp_path / "rows", duplicate_genes="sum", batch_nnz=2)
    assert rows.facts["dtype"] == "<f8"
    np.testing.assert_array_equal(dense_of(rows), [[2.0**24 + 1], [3]])
    (line,) = told(
        Triples.of(np.full((1, 2), 1.5e308), genes=["a", "a"]),
        tmp_path / "endless",
        duplicate_genes="sum",
    )
    assert line.startswith("m.csv: cell c0, gene a: the value is not finite (inf);")


def test_tiles_before_the_first_value_that_needs_more_are_widened(tmp_path):
    dense = counts(5)
    dense = dense.astype(np.float64)
    dense[50, 3] = 0.1
    rows = rows_of(Triples.of(dense), tmp_path / "rows", batch_nnz=40)
    assert rows.n_tiles > 3
    for number in range(rows.n_tiles):
        assert rows.tile(number)[2].dtype == rows.run(number)[2].dtype == np.float64


def test_warnings_of_what_a_normalisation_makes_little_of(tmp_path):
    dense = np.array([[1, 2.5], [0, 0], [-1, 3]])
    plain = rows_of(Triples.of(dense), tmp_path / "none")
    assert plain.facts["warnings"] == []
    scaled = rows_of(Triples.of(dense), tmp_path / "cpm", normalize="cpm")
    assert scaled.facts["warnings"] == [
        "Some values are negative; counts per million of them mean little.",
        "Some values are no whole numbers; counts per million are meant for raw counts.",
        "The values of 1 of 3 cells add up to 0; their normalised values are taken as 0.",
    ]


def test_what_has_no_logarithm_is_refused(tmp_path):
    dense = np.array([[1, 2.5], [0, 0], [-1, 3], [1e-7, -1e-14], [1, -3]])
    remedy = "give counts, or set cells.normalize to none."
    below = (
        "m.csv: cell c4: the values of the cell add up to -2, so that there is nothing to scale "
        f"them to; {remedy}"
    )
    for normalize in ("log1p_cpm", "log2_cpm"):
        lines = told(Triples.of(dense), tmp_path / normalize, normalize=normalize, batch_nnz=3)
        assert sorted(lines) == [
            f"m.csv: cell c2, gene g0: -500000 counts per million have no logarithm; {remedy}",
            f"m.csv: cell c4, gene g0: -500000 counts per million have no logarithm; {remedy}",
            below,
        ]
    assert told(Triples.of(dense), tmp_path / "cpm", normalize="cpm") == [below]
    rows = rows_of(Triples.of(dense[:4][[0, 1, 3]]), tmp_path / "fine", normalize="log2_cpm")
    assert rows.facts["negative"]


@pytest.mark.parametrize(
    ("cells", "genes", "message"),
    [
        ([0, 1], [0, 5], "cells or genes that do not exist"),
        ([0, 1], [-1, 0], "cells or genes that do not exist"),
        ([-1, 1], [0, 0], "cells or genes that do not exist"),
        ([0, 7], [0, 0], "cells that are not in its table"),
    ],
)
@pytest.mark.parametrize("ordered", [True, False])
def test_a_source_that_goes_beyond_its_bounds_is_a_bug(tmp_path, cells, genes, message, ordered):
    source = Triples(np.array(cells), np.array(genes), np.ones(2), 2, ["a", "b"], ordered)
    with pytest.raises(ValueError, match=message):
        rows_of(source, tmp_path / "rows")


def test_progress_is_told(tmp_path):
    seen = []

    def progress(items, label):
        for item in items:
            seen.append(label)
            yield item

    options = {"duplicate_genes": "error", "normalize": "none", "grouping_columns": []}
    for shuffle in (None, 1):
        folder = tmp_path / str(shuffle)
        folder.mkdir()
        source = Triples.of(counts(1), shuffle=shuffle)
        ingest(source, folder, batch_nnz=100, progress=progress, **options)
        assert Rows(folder).n_tiles > 1
    assert list(dict.fromkeys(seen)) == ["values", "counting", "sorting", "tiles"]
