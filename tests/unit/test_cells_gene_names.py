import pandas as pd
import pytest
from anndata.utils import make_index_unique
from hypothesis import given
from hypothesis import strategies as st

from tessera.cells.gene_names import unique_genes
from tessera.errors import InputError


def told(genes):
    with pytest.raises(InputError) as caught:
        unique_genes("m.csv", genes, "error")
    return str(caught.value).splitlines()


@pytest.mark.parametrize("rule", ["error", "suffix", "sum"])
def test_names_that_occur_once_stay(rule):
    names = unique_genes("m.csv", ["b", "a", "nan", "1"], rule)
    assert names.names == names.of_file == ("b", "a", "nan", "1")
    assert names.place.tolist() == [0, 1, 2, 3]
    assert not names.merged


def test_names_that_occur_twice_are_refused_with_the_first_five():
    remedy = "rename all but one, or set cells.duplicate_genes to suffix or sum."
    assert told(["a", "b", "a", "c", "a", "c"]) == [
        f"m.csv: gene a: the name occurs 3 times; {remedy}",
        f"m.csv: gene c: the name occurs 2 times; {remedy}",
    ]
    lines = told([f"x{n}" for n in range(8)] * 2)
    assert len(lines) == 6
    assert lines[-1] == f"m.csv: 3 more names occur more than once; {remedy}"


@pytest.mark.filterwarnings("ignore:Suffix used")
@given(st.lists(st.sampled_from(["a", "a-1", "a-2", "b", "b-1", "a-1-1"]), max_size=12))
def test_suffixes_are_those_of_anndata_and_never_collide(genes):
    names = unique_genes("m.csv", genes, "suffix")
    assert len(set(names.names)) == len(genes)
    expected = make_index_unique(pd.Index(genes, dtype=object)) if genes else []
    assert list(names.names) == list(expected)
    assert names.of_file == tuple(genes)
    assert not names.merged


def test_of_sums_the_place_is_that_of_the_first():
    names = unique_genes("m.csv", ["b", "a", "b", "c", "a"], "sum")
    assert names.names == ("b", "a", "c")
    assert names.place.tolist() == [0, 1, 0, 2, 1]
    assert names.merged
