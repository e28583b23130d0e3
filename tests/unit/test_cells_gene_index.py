import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from tessera.cells.gene_index import find_gene, genes_at, mapped, nearest_gene, write_gene_index

NAMES = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
    unique=True,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("index") / "gene_index.npy"


@how(max_examples=50, deadline=None)
@given(NAMES, st.data())
def test_every_gene_is_found_and_no_other(place, genes, data):
    write_gene_index(place, genes)
    index = mapped(place)
    assert [find_gene(index, gene) for gene in genes] == list(range(len(genes)))
    others = (
        data.draw(NAMES) + [gene + "x" for gene in genes] + [gene[:-1] for gene in genes] + [""]
    )
    for other in set(others) - set(genes):
        assert find_gene(index, other) is None
    assert [name.decode() for name in index["gene"].tolist()] == sorted(genes)
    places = np.array(
        data.draw(st.lists(st.integers(0, len(genes) - 1)) if genes else st.just([])), int
    )
    assert genes_at(index, places) == [genes[place] for place in places]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("slc17a7", "Slc17a7"), ("GAD1", "Gad1"), ("Slc17a77", "Slc17a7"), ("Slc17", "Slc17a7"),
        ("Pvalbb", "Pvalb"), ("Sxt", "Sst"), ("mtCo1", "mt-Co1"), ("", None), ("Xyz", None),
    ],
)  # fmt: skip
def test_the_nearest_gene_is_spelled_alike(place, given, meant):
    write_gene_index(place, ["Slc17a7", "Gad1", "Pvalb", "Sst", "mt-Co1", "Slc6a1"])
    assert nearest_gene(mapped(place), given) == meant


def test_arrays_are_mapped_as_numpy_reads_them(tmp_path):
    for array in (
        np.arange(24.0).reshape(2, 3, 4),
        np.zeros((0, 3, 4)),
        np.zeros(3, "S5"),
        np.array(7),
    ):
        np.save(tmp_path / "x.npy", array)
        found = mapped(tmp_path / "x.npy")
        np.testing.assert_array_equal(found, array, strict=True)
        assert found.dtype == array.dtype


def test_what_may_run_code_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(
        ValueError, match=r"x\.npy is not an array of plain values in the order of C$"
    ):
        mapped(tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", np.asfortranarray(np.ones((2, 2))))
    with pytest.raises(ValueError, match="is not an array"):
        mapped(tmp_path / "x.npy")
    (tmp_path / "x.npy").write_bytes(b"no array")
    with pytest.raises(ValueError, match="magic"):
        mapped(tmp_path / "x.npy")
