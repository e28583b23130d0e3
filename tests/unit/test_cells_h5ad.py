import pickle
import sys
from importlib.util import find_spec
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from matrices import study, triplets, truth
from tessera.cells.h5ad import H5ad
from tessera.errors import InputError

WRITE = "write the file again with anndata's write_h5ad."
FINITE = "expected a finite number, with a decimal point if any."


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a study, and change the file by a function of it, open."""
    monkeypatch.chdir(tmp_path)

    def write_to(change=None, data=None, form=sp.csr_matrix):
        data = study() if data is None else data
        data.X = form(data.X.toarray() if sp.issparse(data.X) else data.X)
        data.write_h5ad("a.h5ad")
        if change:
            with h5py.File("a.h5ad", "r+") as h5:
                change(h5)
        return "a.h5ad"

    return write_to


def told(path, columns=()):
    with pytest.raises(InputError) as caught:
        source = H5ad(path)
        triplets(source, 7)
        source.table(list(columns))
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    "form", [sp.csr_matrix, sp.csc_matrix, np.asarray], ids=["csr", "csc", "dense"]
)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8", "u2", "f2", "?", ">f4"])
def test_forms_and_types_of_values(write, form, dtype):
    data = study()
    data.X = (data.X.toarray() > 0).astype(dtype) if dtype == "?" else data.X.astype("f4")
    expected = truth(ad.AnnData(sp.csr_matrix(data.X)))

    def change(h5):
        place = h5["X"] if isinstance(h5["X"], h5py.Group) else h5
        name = "data" if place is not h5 else "X"
        values, attributes = place[name][()], dict(place[name].attrs)
        del place[name]
        place.create_dataset(name, data=values.astype(dtype)).attrs.update(attributes)

    source = H5ad(write(change, data, form))
    assert source.ordered == (form is not sp.csc_matrix)
    assert (source.n_cells, source.genes) == (20, data.var_names.tolist())
    for most in (1, 5, 1000):
        found = triplets(source, most)
        assert found == expected
        if source.ordered:
            assert list(found) == sorted(found)
        single = next(source.chunks(most)).values.dtype == np.float32
        assert single == (dtype in ("f4", "f2", ">f4"))


def test_values_that_hold_explicit_zeros_and_unsorted_genes(write):
    def change(h5):
        indptr = h5["X/indptr"][()]
        for cell in range(20):
            part = slice(indptr[cell], indptr[cell + 1])
            for name in ("data", "indices"):
                h5[f"X/{name}"][part] = h5[f"X/{name}"][part][::-1]
        h5["X/data"][3] = 0

    found = triplets(H5ad(write(change)), 4)
    expected = truth(study())
    assert len(found) == len(expected) - 1
    assert found.items() < expected.items()


@pytest.mark.parametrize("chunks", [(1, 7), (3, 2), (20, 7), (20, 1)])
def test_dense_arrays_in_chunks_of_any_shape(write, chunks):
    def change(h5):
        values = h5["X"][()]
        del h5["X"]
        h5.create_dataset("X", data=values, chunks=chunks, compression="gzip")

    source = H5ad(write(change, form=np.asarray))
    for most in (1, 15, 1000):
        assert triplets(source, most) == truth(study())


def test_metadata_of_every_kind(write):
    data = study(6)
    data.obs = pd.DataFrame(
        {
            "group": pd.Categorical(["b", "a", "b", "a", "a", "b"], ["a", "b", "no", "ne"]),
            "rank": pd.Categorical([1, 2, 1, 2, 2, 1]),
            "text": ["x", "y", "z", "x", "", "NA"],
            "whole": np.arange(6, dtype="i4"),
            "single": np.arange(6, dtype="f4") / 2,
            "gaps": pd.array([1, None, 3, 4, 5, 6], "Int64"),
            "flag": [True, False] * 3,
            "free": pd.Categorical(["u", None, "u", "u", "u", "u"]),
        },
        index=data.obs_names,
    )
    data.obsm["X_umap"] = np.arange(18, dtype="f4").reshape(6, 3)
    source = H5ad(write(data=data))
    for _ in range(2):
        table = source.table(["group", "rank", "flag"])
        assert source.warnings == ["a.h5ad: obs, column group: no cell is of category no, ne"]
    assert table["cell"].tolist() == data.obs_names.tolist()
    assert table["group"].tolist() == ["b", "a", "b", "a", "a", "b"]
    assert table["rank"].tolist() == ["1", "2", "1", "2", "2", "1"]
    assert table["flag"].tolist() == ["True", "False"] * 3
    assert table["text"].tolist() == ["x", "y", "z", "x", "", "NA"]
    assert table["free"].tolist() == ["u", None, "u", "u", "u", "u"]
    np.testing.assert_array_equal(table["whole"], np.arange(6))
    np.testing.assert_array_equal(table["single"], np.arange(6) / 2)
    np.testing.assert_array_equal(table["gaps"], [1, np.nan, 3, 4, 5, 6])
    np.testing.assert_array_equal(table["umap_1"], np.arange(0, 18, 3))
    np.testing.assert_array_equal(table["umap_2"], np.arange(1, 18, 3))
    assert H5ad("a.h5ad").table([])["flag"].dtype == bool


def test_texts_that_may_be_missing(write):
    data = study(6)
    data.obs_names = pd.Index(pd.array(data.obs_names, "string"))
    data.obs["text"] = pd.array(["x", None, "y", "x", "x", "y"], "string")
    source = H5ad(write(data=data))
    with h5py.File("a.h5ad") as h5:
        assert isinstance(h5["obs/_index"], h5py.Group)
        assert isinstance(h5["obs/text"], h5py.Group)
    assert triplets(source) == truth(data)
    assert source.table([])["text"].tolist() == ["x", None, "y", "x", "x", "y"]
    assert told("a.h5ad", ["text"]) == [
        "a.h5ad: obs, column text, cell cell-1: the group is missing; "
        "give each cell a group, unknown for instance."
    ]
    assert told(write(put("obs/_index/mask", 3, True), data)) == [
        f"a.h5ad: obs: has names that are missing; {WRITE}"
    ]


def test_cells_without_a_group_are_refused_by_name(write):
    data = study(6)
    data.obs["group"] = pd.Categorical(["b", None, "nan", "a", "a", "b"])
    assert told(write(data=data), ["group", "typ"]) == [
        "a.h5ad: obs: has no column typ, which cells.groupings names; "
        "expected one of type, batch, depth, group (did you mean type?).",
        "a.h5ad: obs, column group, cell cell-1: the group is missing; "
        "give each cell a group, unknown for instance.",
        "a.h5ad: obs, column group, cell cell-2: found nan, which means that the group is missing; "
        "give each cell a group, unknown for instance.",
    ]


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, np.asarray])
def test_values_that_are_no_finite_numbers_are_told_by_name(write, form):
    data = study(6)
    x = data.X.toarray()
    x[1, 2], x[4, 0] = np.nan, np.inf
    data.X = sp.csr_matrix(x)
    assert sorted(told(write(data=data, form=form))) == [
        f"a.h5ad: X, cell cell-1, gene TRUE: found nan; {FINITE}",
        f"a.h5ad: X, cell cell-4, gene nan: found inf; {FINITE}",
    ]


def test_names_that_cannot_be(write):
    data = study(4)
    data.obs_names = ["a", "b", "a", "b"]
    data.var_names = ["", "x\ty", *data.var_names[2:]]
    data.obs["cell"], data.obs["total"] = 1, 2
    data.obs["umap_1"], data.obsm["X_umap"] = 0.0, np.zeros((4, 2))
    unique = "keep one cell of each name, or give each a name of its own."
    assert told(write(data=data)) == [
        "a.h5ad: var, gene 1: the gene has no name; give each gene a name.",
        "a.h5ad: var, gene 2: the name of the gene, x\\ty, holds an invisible character; "
        "type the name anew.",
        "a.h5ad: obs: column cell has a name that the results use themselves; rename the column.",
        "a.h5ad: obs: column total has a name that the results use themselves; rename the column.",
        f"a.h5ad: obs, cell 3: cell a is already in obs, cell 1; {unique}",
        f"a.h5ad: obs, cell 4: cell b is already in obs, cell 2; {unique}",
        "a.h5ad: obs: has a column umap_1 beside obsm X_umap; rename the column.",
    ]


def replace(name, value):
    def change(h5):
        attributes = dict(h5[name].attrs)
        del h5[name]
        h5[name] = value(h5) if callable(value) else value
        h5[name].attrs.update(attributes)

    return change


def put(name, place, value):
    def change(h5):
        h5[name][place] = value

    return change


def attribute(name, key, value):
    def change(h5):
        h5[name].attrs[key] = value

    return change


def without(name):
    def change(h5):
        del h5[name]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("X"), f"X: is missing; {WRITE}"),
        (without("obs"), f"obs: is missing; {WRITE}"),
        (without("var/_index"), f"var: has no names; {WRITE}"),
        (
            replace("var", np.zeros(7, [("index", "S3")])),
            f"var: is of the form that anndata wrote before version 0.7; {WRITE}",
        ),
        (replace("var/_index", np.arange(7)), f"var: has names that are no text; {WRITE}"),
        (without("X/indptr"), f"X: has no array indptr; {WRITE}"),
        (
            attribute("X", "encoding-type", "coo_matrix"),
            f"X: is neither a dense array nor a sparse matrix; {WRITE}",
        ),
        (attribute("X", "shape", [20]), f"X: has no shape; {WRITE}"),
        (
            attribute("X", "shape", [20, 8]),
            f"X: is 20 x 8, where obs names 20 cells and var 7 genes; {WRITE}",
        ),
        (replace("X/data", np.zeros(3)), f"X: has arrays whose lengths disagree; {WRITE}"),
        (replace("X/data", lambda h5: np.zeros(h5["X/indices"].shape, "c8")), None),
        (
            replace("X/data", lambda h5: np.array([pickle.dumps(1)] * h5["X/indices"].size)),
            None,
        ),
        (
            put("X/indptr", 3, 10**6),
            f"X: has an indptr that does not rise from 0 to the end; {WRITE}",
        ),
        (
            put("X/indptr", 20, 3),
            f"X: has an indptr that does not rise from 0 to the end; {WRITE}",
        ),
        (put("X/indices", 3, 7), f"X: has an index that is outside of the matrix; {WRITE}"),
        (put("X/indices", 3, -1), f"X: has an index that is outside of the matrix; {WRITE}"),
        (replace("X/indices", lambda h5: np.zeros(h5["X/data"].size)), None),
    ],
)
def test_files_whose_parts_do_not_fit(write, change, message):
    (line,) = told(write(change))
    if message is None:
        assert line.startswith(("a.h5ad: X: holds ", "a.h5ad: X: has places that are no whole"))
        assert line.endswith(WRITE)
    else:
        assert line == f"a.h5ad: {message}"


def test_a_umap_of_another_size(write):
    def change(h5):
        h5["obsm/X_umap"] = np.zeros((3, 2))

    assert told(write(change)) == [f"a.h5ad: obsm, X_umap: has 3 rows for 20 cells; {WRITE}"]


def outside(h5):
    """Links and arrays that lead to other files."""
    Path("secret.bin").write_bytes(bytes(800))
    with h5py.File("other.h5", "w") as other:
        other["x"] = np.zeros(20)
    h5["obs/link"] = h5py.ExternalLink("other.h5", "/x")
    h5["obs/soft"] = h5py.SoftLink("/X/data")
    h5.create_dataset("obs/raw", (20,), "f8", external=[("secret.bin", 0, 160)])
    layout = h5py.VirtualLayout((20,), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "x", (20,))
    h5.create_virtual_dataset("obs/virtual", layout)


def test_nothing_outside_of_the_file_is_read(write):
    path = write(outside)
    lines = told(path)
    assert sorted(lines) == [
        f"a.h5ad: obs/link: is a link to another place or file; {WRITE}",
        f"a.h5ad: obs/raw: is an array that lies in another file; {WRITE}",
        f"a.h5ad: obs/soft: is a link to another place or file; {WRITE}",
        f"a.h5ad: obs/virtual: is an array that lies in another file; {WRITE}",
    ]


def test_arrays_that_unpack_without_measure_are_refused(write):
    def change(h5):
        h5.create_dataset("obs/large", (10**9,), "f8", chunks=(10**6,))
        h5.create_dataset("obs/chunk", (10,), "f8", maxshape=(None,), chunks=(2 * 10**8,))

    assert sorted(told(write(change))) == [
        f"a.h5ad: obs/chunk: has chunks of more than 1 GiB; {WRITE}",
        f"a.h5ad: obs/large: unpacks to more than 1000 times the size of the file; {WRITE}",
    ]


def test_files_that_hold_themselves_come_to_an_end(write):
    def change(h5):
        h5["obs/again"] = h5["obs"]

    assert told(write(change), ["zz"])


class Trap:
    def __reduce__(self):
        return (sys.exit, ("a pickle was opened",))


def test_pickled_content_is_never_opened(write):
    trap = np.frombuffer(pickle.dumps(Trap()), np.uint8)

    def change(h5):
        h5["obs/trap"] = np.array([trap.tobytes()] * 20)
        h5["obs"].attrs["column-order"] = ["type", "trap"]

    source = H5ad(write(change))
    try:
        table = source.table(["type"])
    except InputError:
        return
    assert "trap" not in table or all(isinstance(v, str) for v in table["trap"])


def test_files_that_are_cut_short_damaged_or_something_else(write, tmp_path):
    path = write()
    content = (tmp_path / path).read_bytes()
    (tmp_path / "short.h5ad").write_bytes(content[:-3000])
    (tmp_path / "text.h5ad").write_text("id,A\n")
    (tmp_path / "empty.h5ad").write_bytes(b"")
    (tmp_path / "zeros.h5ad").write_bytes(content[:200] + bytes(len(content) - 200))
    assert told("short.h5ad") == ["short.h5ad: is cut short; copy it again, or write it again."]
    none = "is no .h5ad file; name one that anndata's write_h5ad wrote."
    assert told("text.h5ad") == [f"text.h5ad: {none}"]
    assert told("empty.h5ad") == [f"empty.h5ad: {none}"]
    (line,) = told("zeros.h5ad")
    assert line.startswith("zeros.h5ad: is damaged")
    assert told("absent.h5ad") == [
        "absent.h5ad: the file does not exist; correct the path or provide the file."
    ]


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, np.asarray])
@pytest.mark.filterwarnings("ignore::anndata.OldFormatWarning", "ignore::FutureWarning")
def test_counts_of_pbmc68k(write, form):
    if find_spec("scanpy") is None:
        pytest.skip("needs scanpy, whose package holds the data")
    folder = Path(find_spec("scanpy").origin).parent / "datasets"
    data = ad.read_h5ad(folder / "10x_pbmc68k_reduced.h5ad")
    raw = data.raw.to_adata()
    path = write(data=ad.AnnData(raw.X, data.obs, raw.var, obsm=data.obsm), form=form)
    source = H5ad(path)
    assert (source.n_cells, len(source.genes)) == (700, 765)
    assert triplets(source, 10_000) == truth(ad.AnnData(sp.csr_matrix(raw.X)))
    table = source.table(["bulk_labels", "phase"])
    assert table["bulk_labels"].tolist() == data.obs["bulk_labels"].tolist()
    np.testing.assert_array_equal(table["n_counts"], data.obs["n_counts"])
    np.testing.assert_array_equal(table[["umap_1", "umap_2"]], data.obsm["X_umap"])
