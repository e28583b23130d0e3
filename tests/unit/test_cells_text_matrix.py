import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from matrices import triplets
from tessera.cells import walk
from tessera.cells.metadata import Metadata
from tessera.cells.streams import PlainFile
from tessera.cells.text_matrix import TextMatrix
from tessera.errors import InputError

RAGGED = "give each row as many as the header, which begins with a name for the column of cells."
FINITE = "expected a finite number, with a decimal point if any."


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write_to(text, name="m.csv"):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    return write_to


def opened(path, metadata=None):
    return TextMatrix(PlainFile(path), Metadata(PlainFile(metadata)) if metadata else None)


def told(path):
    with pytest.raises(InputError) as caught:
        triplets(opened(path), 4)
    return str(caught.value).splitlines()


def cells(source):
    return source.table([])["cell"].tolist()


def test_names_that_look_like_something_else_stay_as_they_are(write):
    path = write('"",nan,NA,True,1-Mar,007,1.0,1.0," padded ","a,b","say ""hi""",ö\nc1' + ",1" * 11)
    source = opened(path)
    assert source.genes == [
        *("nan", "NA", "True", "1-Mar", "007", "1.0", "1.0", "padded", "a,b", 'say "hi"', "ö"),
    ]
    assert triplets(source) == {(0, gene): 1 for gene in range(11)}


TEXT = b"id,A,B,C\nx,0,1.5,-2\n\ny,0,0,0\n z ,3,+4e1,0.0\n"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.rstrip(b"\n"),
        lambda text: text.replace(b"\n", b"\r\n").rstrip(b"\r\n"),
        lambda text: text + b"\n\r\n\n",
        lambda text: text.replace(b",", b"\t"),
        lambda text: text.replace(b"x,0", b'"x","0"'),
        lambda text: text.replace(b"1.5", b" 1.5 "),
        lambda text: text.replace(b"1.5", b"1.50000000000000000000000000000"),
        gzip.compress,
        lambda text: gzip.compress(text[:9]) + gzip.compress(text[9:]),
    ],
)
@pytest.mark.parametrize("most", [1, 2, 100])
def test_forms_of_the_same_matrix(write, change, most):
    source = opened(write(change(TEXT)))
    assert (source.ordered, source.n_cells, source.genes) == (True, None, ["A", "B", "C"])
    for _ in range(2):
        found = triplets(source, most)
        assert found == {(0, 1): 1.5, (0, 2): -2, (2, 0): 3, (2, 1): 40}
        assert list(found) == sorted(found)
        assert cells(source) == ["x", "y", "z"]


def test_names_of_cells_may_be_quoted(write):
    path = write('id,A\n"a,1",1\n"say ""x""",2\n "b" ,3\nplain,4\n"4",5\n')
    source = opened(path)
    assert triplets(source) == {(n, 0): n + 1 for n in range(5)}
    assert cells(source) == ["a,1", 'say "x"', "b", "plain", "4"]


NUMBERS = st.one_of(
    st.just("0"),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(0, 300).map(str),
    st.sampled_from(["-0", "0.000", "1E5", "12345678901234567890123", "1e-400"]),
)


@how(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 6), st.integers(1, 8), st.integers(1, 40), st.integers(1, 9))
def test_any_matrix_in_blocks_and_chunks_of_any_size(
    tmp_path_factory, data, genes, rows, block, most
):
    values = [data.draw(st.lists(NUMBERS, min_size=genes, max_size=genes)) for _ in range(rows)]
    names = [f'"c{n},{n}"' if n % 3 == 0 else f"c{n}" for n in range(rows)]
    lines = [["", *map(str, range(genes))], *([n, *v] for n, v in zip(names, values, strict=True))]
    end = data.draw(st.sampled_from(["\n", "\r\n", "\n\n"]))
    path = tmp_path_factory.mktemp("m") / "m.csv"
    path.write_text(end.join(map(",".join, lines)), newline="")
    expected = np.array([[float(value) for value in row] for row in values])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walk, "_BLOCK", block)
        patch.setattr(walk, "_RARE", 2)
        source = opened(str(path))
        found = triplets(source, most)
    assert found == {(c, g): expected[c, g] for c, g in np.argwhere(expected).tolist()}
    assert cells(source) == [name.strip('"') for name in names]


def test_every_fault_of_a_file_is_told_with_its_place(write):
    text = (
        "id;x,CD3D,b\nA,1,2\n\nB,,3\nC,1,5;5\nD,nan,inf\nE,1\nF,1,2,3\n,1,2\n"
        'A,NA,-\n"G,1,2\nH,1e999,\x07\n\xfc,1,1\n'
    )
    assert told(write(text.encode("latin-1"))) == [
        f"m.csv: row 7: found 2 cells where the header has 3; {RAGGED}",
        f"m.csv: row 8: found 4 cells where the header has 3; {RAGGED}",
        f"m.csv: row 11: found 1 cells where the header has 3; {RAGGED}",
        "m.csv: row 9: the cell has no name; write the name of each cell first, as text in UTF-8.",
        "m.csv: row 11: a quotation mark is not closed in its line; "
        "write the name of each cell first, as text in UTF-8.",
        "m.csv: row 13: holds a character that is not in UTF-8; "
        "write the name of each cell first, as text in UTF-8.",
        "m.csv: row 4, column CD3D: the value is missing; write 0 where nothing was counted.",
        f"m.csv: row 5, column b: found 5;5; {FINITE}",
        f"m.csv: row 6, column CD3D: found nan; {FINITE}",
        f"m.csv: row 6, column b: found inf; {FINITE}",
        f"m.csv: row 10, column CD3D: found NA; {FINITE}",
        f"m.csv: row 10, column b: found -; {FINITE}",
        "m.csv: 2 more of this kind; correct them in the same way.",
        "m.csv: row 10: cell A is already in row 2; "
        "keep one cell of each name, or give each a name of its own.",
    ]


def test_the_first_five_faults_are_told_and_the_others_counted(write):
    lines = told(write("id,A\n" + "".join(f"c{n},x{n}\n" for n in range(20))))
    assert lines[0] == f"m.csv: row 2, column A: found x0; {FINITE}"
    assert lines[5:] == ["m.csv: 15 more of this kind; correct them in the same way."]
    lines = told(write("id,A\n" + "".join(f"c{n},x{n}\n" for n in range(2000))))
    assert lines[5:] == ["m.csv: at least 995 more of this kind; correct them in the same way."]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "m.csv: the file is empty; name the file that was meant."),
        ("\n1,2\n", "m.csv: the first line is empty; begin with the names of the columns."),
        ("id,A,B\n", "m.csv: no rows below the header; add a row for each cell."),
        ("id,A,B\n\n \n", "m.csv: no rows below the header; add a row for each cell."),
        (
            "id\nA\n",
            "m.csv: row 1: the header names no genes; write a row for each cell and a column for "
            "each gene, separated by commas or tabs.",
        ),
        (
            "id;A;B\nx;1,5;2\n",
            "m.csv: the cells are separated by semicolons; separate them by tabs or commas, and "
            "write decimals with a point.",
        ),
        (
            "id,A,,C\nx,1,2,3\n",
            "m.csv: row 1, column 3: the gene has no name; give each gene a name.",
        ),
        (
            "id,A\x07,C\nx,1,2\n",
            "m.csv: row 1, column 2: the name of the gene, A\\x07, holds an invisible character; "
            "type the name anew.",
        ),
        (
            "id,A\rx,1\ry,2\r",
            "m.csv: its lines end in carriage returns alone; save it with line ends of Unix or "
            "Windows.",
        ),
        (
            'id,"A\nx,1\n',
            "m.csv: row 1: cannot be cut into cells (unexpected end of data); close each quotation "
            "mark in the line where it opens.",
        ),
        (
            "id,A\nx,1\n".encode("utf-16"),
            "m.csv: is binary or not in UTF-8; save it as text in UTF-8.",
        ),
        (
            b"id,\xe9\nx,1\n",
            "m.csv: row 1: holds a character that is not in UTF-8; save it as text in UTF-8.",
        ),
        (
            gzip.compress(b"id,A\n" + b"x,1\n" * 9, mtime=0)[:-9],
            "m.csv: cannot be unpacked (Compressed file ended before the end-of-stream marker was "
            "reached); copy or compress it again.",
        ),
    ],
)
def test_a_file_that_is_no_matrix_is_told_in_one_sentence(write, text, message):
    assert told(write(text)) == [message]


def test_files_that_are_not_there(write, tmp_path):
    message = "the file does not exist; correct the path or provide the file."
    assert told("absent.csv") == [f"absent.csv: {message}"]
    (tmp_path / "folder").mkdir()
    assert told("folder") == [
        "folder: cannot be read (Is a directory); check that it is a readable file."
    ]


def test_what_has_no_end_is_not_held_in_memory(write):
    (line,) = told(write(b"id,A\nx," + b"1" * (6 << 20)))
    assert line == (
        "m.csv: row 2: a cell of the table has no end; check that it is a table of text."
    )
    (line,) = told(write(b"x," * (33 << 20)))
    assert line == "m.csv: row 1: the header is longer than 64 MiB; name a table of text."


def test_chunks_end_where_the_first_fault_is(write):
    path = write("id,A,B\n" + "".join(f"c{n},1,2\n" for n in range(10)) + "bad,x,1\n" + "d,1,1\n")
    got = []
    with pytest.raises(InputError):
        for chunk in opened(path).chunks(2):
            got += chunk.values.tolist()
    assert got == [1, 2] * 10


def test_metadata_are_matched_to_cells_in_the_order_of_the_matrix(write):
    write("id\tsex\nb\tf\nq\tm\na\tm\n", "d.tsv")
    source = opened(write("id,A\na,1\nb,2\n"), "d.tsv")
    triplets(source)
    for _ in range(2):
        table = source.table(["sex"])
        pd.testing.assert_frame_equal(
            table, pd.DataFrame({"cell": ["a", "b"], "sex": ["m", "f"]}, dtype=object)
        )
    assert source.warnings == ["d.tsv: 1 of 3 rows are of cells that m.csv does not hold: q"]


def test_without_metadata_there_is_no_group(write):
    source = opened(write("id,A\na,1\n"))
    triplets(source)
    with pytest.raises(InputError) as caught:
        source.table(["sex"])
    assert str(caught.value) == (
        "m.csv: there are no metadata, and so no column sex; "
        "name the file of metadata in the sheet."
    )


def test_wide_matrix_as_pandas_reads_it(write, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.lognormal(size=(30, 5000)) * (rng.random((30, 5000)) < 0.05)
    table = pd.DataFrame(x, [f"c{n}" for n in range(30)], [f"g{n}" for n in range(5000)])
    table.to_csv(tmp_path / "m.csv")
    expected = pd.read_csv("m.csv", index_col=0, float_precision="round_trip").to_numpy()
    found = np.zeros_like(x)
    for chunk in opened("m.csv").chunks(1000):
        found[chunk.cells, chunk.genes] = chunk.values
    np.testing.assert_array_equal(found, x)
    np.testing.assert_array_equal(found, expected)
