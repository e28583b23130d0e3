import gzip

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from matrices import study, triplets, truth, write_triple
from tessera.cells import walk
from tessera.cells.mtx import MtxMatrix, find_files
from tessera.errors import InputError

HEAD = "%%MatrixMarket matrix coordinate integer general\n"
THREE = "name the three files that were written together."
AGAIN = "copy or export it again."
EXPECTED = "expected the numbers of a gene and of a cell, and a value."


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a triple of 3 genes x 2 cells, of which some files are given."""
    monkeypatch.chdir(tmp_path)

    def write_to(matrix, barcodes="x\ny\n", features="E1\tA\nE2\tB\nE3\tA\n"):
        (tmp_path / "t").mkdir()
        for name, text in {
            "matrix.mtx": matrix,
            "barcodes.tsv": barcodes,
            "features.tsv": features,
        }.items():
            (tmp_path / "t" / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return "t"

    return write_to


def told(path):
    with pytest.raises(InputError) as caught:
        triplets(MtxMatrix(path, None), 4)
    return str(caught.value).splitlines()


def test_a_triple_as_10x_writes_it(write):
    text = HEAD + '%metadata_json: {"format_version": 2}\n3 2 4\n1 1 5\n3 1 1\n2 2 7\n1 2 0\n'
    source = MtxMatrix(write(text), None)
    assert (source.genes, source.n_cells, source.nnz) == (["A", "B", "A"], 2, 4)
    assert source.file == "t/matrix.mtx"
    for most in (1, 100):
        assert triplets(source, most) == {(0, 0): 5, (0, 2): 1, (1, 1): 7}
    assert source.table([])["cell"].tolist() == ["x", "y"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda text: text.replace("integer", "real").replace(" 7", " 7.25e-1"), 0.725),
        (lambda text: text.replace("%%MatrixMarket matrix", "%%matrixmarket MATRIX"), 7),
        (lambda text: text.replace("\n", "\r\n"), 7),
        (lambda text: text.replace(" ", "\t"), 7),
        (lambda text: text.replace(" ", "   ").replace("2   2", "  2   2"), 7),
        (lambda text: text.replace("\n2 2", " \n\n2 2") + "\n", 7),
        (lambda text: text.rstrip("\n"), 7),
        (lambda text: text.replace(" 7", " -7"), -7),
        (lambda text: text.replace(" 7", " 7.0000000000000000000000000000"), 7),
        (
            lambda text: (
                text.replace("integer", "pattern").replace(" 5\n", "\n").replace(" 7\n", "\n")
            ),
            1,
        ),
    ],
)
def test_forms_of_the_same_matrix(write, change, expected):
    text = change(HEAD + "3 2 2\n1 1 5\n2 2 7\n")
    assert triplets(MtxMatrix(write(text), None))[1, 1] == expected


def test_genes_have_their_symbols_or_else_their_ids(write, tmp_path):
    text = HEAD + "3 2 1\n1 1 5\n"
    source = MtxMatrix(write(text, features="E1\nE2\tB\tGene Expression\nE3\tNA\n"), None)
    assert source.genes == ["E1", "B", "NA"]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("given", ["folder", "file", "prefix"])
def test_folders_files_and_prefixes(tmp_path, monkeypatch, packed, given):
    monkeypatch.chdir(tmp_path)
    data = study()
    write_triple(data, tmp_path, packed=packed)
    end = ".gz" if packed else ""
    (tmp_path / f"features.tsv{end}").rename(tmp_path / f"genes.tsv{end}")
    path = "." if given == "folder" else f"matrix.mtx{end}"
    if given == "prefix":
        path = f"GSM1_{path}"
        for name in ("matrix.mtx", "barcodes.tsv", "genes.tsv"):
            (tmp_path / f"{name}{end}").rename(tmp_path / f"GSM1_{name}{end}")
    source = MtxMatrix(path, None)
    assert triplets(source) == truth(data)
    assert source.table([])["cell"].tolist() == data.obs_names.tolist()
    assert source.genes == data.var_names.tolist()


def test_files_that_are_missing_or_there_twice(write, tmp_path):
    path = write(HEAD + "3 2 1\n1 1 5\n")
    (tmp_path / "t/matrix.mtx.gz").write_bytes(gzip.compress(b""))
    (tmp_path / "t/barcodes.tsv").unlink()
    (tmp_path / "t/features.tsv").rename(tmp_path / "t/feature.tsv")
    assert told(path) == [
        "t: has both matrix.mtx and matrix.mtx.gz; leave one of them there.",
        "t: has no barcodes.tsv or barcodes.tsv.gz; put it there, as 10x names it.",
        "t: has no features.tsv or features.tsv.gz; put it there, as 10x names it.",
    ]
    with pytest.raises(InputError, match="has no barcodes"):
        find_files("t/matrix.mtx")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty; name the file that was meant."),
        (
            "3 2 1\n1 1 5\n",
            "row 1: does not begin with %%MatrixMarket matrix coordinate integer general; "
            "name a matrix.mtx as 10x writes it.",
        ),
        (
            "%%MatrixMarket matrix array real general\n3 2\n1\n",
            "row 1: found matrix array real general; "
            "expected matrix coordinate integer, real or pattern general.",
        ),
        (
            "%%MatrixMarket matrix coordinate real symmetric\n3 3 1\n1 1 1\n",
            "row 1: found matrix coordinate real symmetric; "
            "expected matrix coordinate integer, real or pattern general.",
        ),
        (
            "%%MatrixMarket matrix coordinate complex general\n3 3 1\n1 1 1 1\n",
            "row 1: found matrix coordinate complex general; "
            "expected matrix coordinate integer, real or pattern general.",
        ),
        (HEAD + "%\n", "ends before the size of the matrix; copy or export it again."),
        (HEAD + "%\n3 2\n", "row 3: found 3 2; expected numbers of genes, cells, entries."),
        (HEAD + "3 2 -1\n", "row 2: found 3 2 -1; expected numbers of genes, cells, entries."),
        (HEAD + "3 0 0\n", "row 2: has 0 cells; expected from 1 to 2147483647."),
        (
            HEAD + "99999999999 2 0\n",
            "row 2: has 99999999999 genes; expected from 1 to 2147483647.",
        ),
        (HEAD + "3 2 5\n1 1 5\n", f"holds 1 entries where its header says 5; {AGAIN}"),
        (HEAD + "3 2 1\n1 1 5\n2 2 1\n", f"holds 2 entries where its header says 1; {AGAIN}"),
        (HEAD + "3 2 1\n4 1 5\n", f"row 3: gene 4 is not within 1 and 3; {EXPECTED}"),
        (HEAD + "3 2 1\n0 1 5\n", f"row 3: gene 0 is not within 1 and 3; {EXPECTED}"),
        (HEAD + "%\n3 2 1\n1 3 5\n", f"row 4: cell 3 is not within 1 and 2; {EXPECTED}"),
        (HEAD + "3 2 1\n1 1\n", f"row 3: found 1 1; {EXPECTED}"),
        (HEAD + "3 2 1\n1 1.0 5\n", f"row 3: found 1 1.0 5; {EXPECTED}"),
        (HEAD + "3 2 1\n-1 1 5\n", f"row 3: found -1 1 5; {EXPECTED}"),
        (HEAD + "3 2 1\n1,1,5\n", f"row 3: found 1,1,5; {EXPECTED}"),
        (
            HEAD.replace("integer", "pattern") + "3 2 1\n1 1 5\n",
            "row 3: found 1 1 5; expected the numbers of a gene and of a cell, and no value.",
        ),
        *(
            (
                HEAD + f"3 2 1\n1 1 {value}\n",
                f"row 3: found the value {value}; "
                "expected a finite number, with a decimal point if any.",
            )
            for value in ("nan", "inf", "x", "1e999", "5 5", "1_0")
        ),
        (
            HEAD + "3 2 1\n" + " " * 70_000,
            "row 3: a line has no end; check that it is a table of text.",
        ),
    ],
)
def test_a_matrix_that_is_refused(write, text, message):
    lines = [
        line
        for line in told(write(text))
        if "its header says 1" not in line or line.endswith(message)
    ]
    assert lines == [f"t/matrix.mtx: {message}"]


def test_faults_are_counted(write):
    text = HEAD + "3 2 12\n" + "9 1 1\n" * 8 + "1 1 x\n" * 3 + "2 2 2\n"
    lines = told(write(text))
    assert lines[4] == f"t/matrix.mtx: row 7: gene 9 is not within 1 and 3; {EXPECTED}"
    assert lines[5] == "t/matrix.mtx: 3 more of this kind; correct them in the same way."
    assert [line.split(":")[1] for line in lines[6:]] == [" row 11", " row 12", " row 13"]


@pytest.mark.parametrize(
    ("barcodes", "features", "messages"),
    [
        (
            "x\ny\nz\nw\n",
            "A\nB\n",
            [
                f"t/matrix.mtx: size: has 3 genes where t/features.tsv names 2; {THREE}",
                f"t/matrix.mtx: size: has 2 cells where t/barcodes.tsv names 4; {THREE}",
            ],
        ),
        (
            "x\ny\nz\n",
            "A\nB",
            [],
        ),
        (
            "x\nx\n",
            "A\nB\nC\n",
            [
                "t/barcodes.tsv: row 2: cell x is already in row 1; "
                "keep one cell of each name, or give each a name of its own."
            ],
        ),
        (
            "x\n\ny\n",
            "A\nB\nC\n",
            ["t/barcodes.tsv: row 2: the cell has no name; give each cell a name."],
        ),
        (
            "x\ny\n",
            b"A\n\xe9\nC\n",
            [
                "t/features.tsv: row 2: holds a character that is not in UTF-8; "
                "save it as text in UTF-8."
            ],
        ),
        (
            "",
            "A\nB\nC\n",
            [f"t/matrix.mtx: size: has 2 cells where t/barcodes.tsv names 0; {THREE}"],
        ),
    ],
)
def test_names_that_do_not_fit(write, barcodes, features, messages):
    path = write(HEAD + "3 2 1\n1 1 5\n", barcodes, features)
    if not messages:
        turned = "write the matrix as genes x cells, as 10x does."
        messages = [
            f"t/matrix.mtx: size: has 3 genes where t/features.tsv names 2; {turned}",
            f"t/matrix.mtx: size: has 2 cells where t/barcodes.tsv names 3; {turned}",
        ]
    assert told(path) == messages


def test_a_matrix_cut_short_in_its_compression(write, tmp_path):
    path = write("")
    (tmp_path / "t/matrix.mtx").unlink()
    text = HEAD + "3 2 2\n1 1 5\n2 2 3\n"
    (tmp_path / "t/matrix.mtx.gz").write_bytes(gzip.compress(text.encode(), mtime=0)[:-6])
    assert told(path) == [
        "t/matrix.mtx.gz: cannot be unpacked (Compressed file ended before the end-of-stream "
        "marker was reached); copy or compress it again."
    ]


@how(max_examples=40, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 10**6),
    st.integers(1, 50),
    st.integers(1, 9),
    st.booleans(),
)
def test_any_matrix_that_scipy_writes(tmp_path_factory, genes, cells, seed, block, most, whole):
    folder = tmp_path_factory.mktemp("t")
    rng = np.random.default_rng(seed)
    x = rng.poisson(0.7, (genes, cells)) * (1 if whole else rng.lognormal(size=(genes, cells)))
    scipy.io.mmwrite(folder / "matrix.mtx", sp.coo_matrix(x), precision=17, symmetry="general")
    (folder / "barcodes.tsv").write_text("".join(f"c{n}\n" for n in range(cells)))
    (folder / "features.tsv").write_text("".join(f"g{n}\n" for n in range(genes)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walk, "_BLOCK", block)
        patch.setattr(walk, "_RARE", 2)
        found = triplets(MtxMatrix(str(folder), None), most)
    assert found == {(c, g): x[g, c] for g, c in np.argwhere(x).tolist()}
