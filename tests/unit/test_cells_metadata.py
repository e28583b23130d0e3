import gzip

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from tessera.cells import metadata_rows
from tessera.cells.metadata import Metadata
from tessera.cells.metadata_columns import as_numbers, check_groups
from tessera.cells.streams import PlainFile
from tessera.errors import InputError

RAGGED = "give each row as many as the header, which begins with a name for the column of cells."


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write_to(text, name="d.csv"):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    return write_to


def match(path, cells, columns=()):
    return Metadata(PlainFile(path)).match("m.csv", cells, columns)


def told(path, cells=("a", "b"), columns=()):
    with pytest.raises(InputError) as caught:
        match(path, list(cells), list(columns))
    return str(caught.value).splitlines()


def test_rows_of_the_wanted_cells_in_their_order(write):
    path = write("id,sex,n,x,free\na,f,1,0.5,\nb,m,-2,1e-3,hello\nc,f,3,NA,\n")
    table, warnings = match(path, ["c", "a", "b"], ["sex"])
    assert warnings == []
    assert table["cell"].tolist() == ["c", "a", "b"]
    assert table["sex"].tolist() == ["f", "f", "m"]
    assert table["free"].tolist() == [None, None, "hello"]
    np.testing.assert_array_equal(table["n"], [3, 1, -2])
    np.testing.assert_array_equal(table["x"], [np.nan, 0.5, 1e-3])
    kinds = [table[name].dtype.kind for name in table]
    assert kinds == ["O", "O", "i", "f", "O"]
    alone, warnings = match(path, ["b"])
    assert alone["x"].tolist() == [1e-3]
    assert warnings == ["d.csv: 2 of 3 rows are of cells that m.csv does not hold: a, c"]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.rstrip(b"\n"),
        lambda text: text.replace(b",", b"\t"),
        lambda text: text.replace(b"\n", b"\n\n"),
        lambda text: text + b",,\n,,\n",
        lambda text: text.replace(b"T cell", b'"T cell"').replace(b"a", b'"a"'),
        lambda text: text.replace(b"T cell", b" T cell "),
        gzip.compress,
    ],
)
def test_forms_of_the_same_table(write, change):
    table, _ = match(
        write(change("id,type,ö\na,T cell,1\nb,1.0,2\n".encode())), ["b", "a"], ["type"]
    )
    assert table.to_dict("list") == {"cell": ["b", "a"], "type": ["1.0", "T cell"], "ö": [2, 1]}


def test_groups_are_text_as_it_is_written(write):
    path = write("id,g,h\na,01,1\nb,1.0,2\nc,1e5,3\nd,None,4\ne,+7,5\n")
    table, _ = match(path, list("abcde"), ["g", "h"])
    assert table["g"].tolist() == ["01", "1.0", "1e5", "None", "+7"]
    assert table["h"].tolist() == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("gap", ["", "NA", "nan", "NaN", "n/a", "N/A", "null", "<NA>"])
def test_a_cell_without_a_group_is_refused(write, gap):
    path = write(f"id,sex,age\nq,,\na,f,{gap}\n\nb,{gap},3\n")
    found = f"found {gap}, which means that the group is missing" if gap else "the group is missing"
    message = f"d.csv: row 5, column sex: {found}; give each cell a group, unknown for instance."
    assert told(path, columns=["sex"]) == [message]
    table, _ = match(path, ["a", "b"], [])
    np.testing.assert_array_equal(table["age"], [np.nan, 3])


def test_many_cells_without_a_group_are_counted(write):
    path = write("id,sex\n" + "".join(f"c{n},NA\n" for n in range(30)))
    lines = told(path, [f"c{n}" for n in range(30)], ["sex"])
    assert lines[4].startswith("d.csv: row 6, column sex: found NA, which means")
    assert lines[5:] == ["d.csv: 25 more of this kind; correct them in the same way."]


def test_groups_with_invisible_characters_are_refused(write):
    path = write("id,sex\na,f\x07\nb,f\x07\n")
    assert told(path, columns=["sex"]) == [
        "d.csv: row 2, column sex: the name of the group, f\\x07, holds an invisible character; "
        "type the name anew."
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "-2", "+3"], np.array([1, -2, 3])),
        (["1", "", "3"], np.array([1, np.nan, 3])),
        (["1.5", "na", "3e-2"], np.array([1.5, np.nan, 0.03])),
        (["1.", ".5", "+.5e1"], np.array([1, 0.5, 5])),
        (["1", "9999999999999999999"], np.array([1, 1e19])),
        (["0", "0.5", "-0.5"], np.array([0, 0.5, -0.5])),
        (["007", "1"], ["007", "1"]),
        (["1", "1e999"], ["1", "1e999"]),
        (["inf", "1"], ["inf", "1"]),
        (["", ""], [None, None]),
        (["NA", "nan"], ["NA", "nan"]),
        (["1", "x", ""], ["1", "x", None]),
        (["1_0", "2"], ["1_0", "2"]),
        (["٣", "2"], ["٣", "2"]),
        (["True", "False"], ["True", "False"]),
    ],
)
def test_numbers_are_what_holds_nothing_else(values, expected):
    found = as_numbers(pa.chunked_array([values[:1], values[1:]]))
    expected = np.array(expected, object) if isinstance(expected, list) else expected
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@how(max_examples=100, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_numbers_are_exact(values):
    found = as_numbers(pa.chunked_array([[repr(value) for value in values]]))
    np.testing.assert_array_equal(found, values)


@how(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "NA", None, "", "nan "]), max_size=20))
def test_gaps_are_found_one_by_one(values):
    problems = check_groups("f", str, np.array(values, object))
    gaps = [n for n, value in enumerate(values) if value in ("NA", None, "")]
    assert [int(p.place) for p in problems if p.place] == gaps[:5]


def test_cells_without_metadata_are_refused(write):
    path = write("id,sex\na,f\n")
    assert told(path, ["a", *(f"x{n}" for n in range(7))]) == [
        "d.csv: 7 of 8 cells of m.csv have no row: x0, x1, x2, x3, x4 and others; "
        "add a row for each of them, or take them out of the matrix."
    ]
    assert told(path, ["a-1", "b-1"]) == [
        "d.csv: 2 of 2 cells of m.csv have no row: a-1, b-1; "
        "name the cells as the matrix does; here the first is a."
    ]


def test_all_that_is_wrong_at_once(write):
    path = write("id,sex,age\na,,1\nb,m,1\n")
    assert told(path, ["a", "b", "c"], ["sex", "Age", "zz"]) == [
        "d.csv: row 1: has no column Age, which cells.groupings names; "
        "expected one of sex, age (did you mean age?).",
        "d.csv: row 1: has no column zz, which cells.groupings names; expected one of sex, age.",
        "d.csv: 1 of 3 cells of m.csv have no row: c; "
        "add a row for each of them, or take them out of the matrix.",
        "d.csv: row 2, column sex: the group is missing; give each cell a group, unknown for "
        "instance.",
    ]
    path = write("id,sex\na,f,1\n\nb\n,m\nc,m\nc,f\nd\x07,f\n")
    assert told(path) == [
        f"d.csv: row 2: found 3 cells where the header has 2; {RAGGED}",
        f"d.csv: row 4: found 1 cells where the header has 2; {RAGGED}",
        "d.csv: row 5: the cell has no name; give each cell a name.",
        "d.csv: row 8: the name of the cell, d\\x07, holds an invisible character; "
        "type the name anew.",
        "d.csv: row 7: cell c is already in row 6; "
        "keep one cell of each name, or give each a name of its own.",
    ]


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("", ["d.csv: the file is empty; name the file that was meant."]),
        ("id,sex\n", ["d.csv: no rows below the header; add a row for each cell."]),
        ("id,sex\n\n,\n", ["d.csv: no rows below the header; add a row for each cell."]),
        (
            "id;sex\na;f\n",
            [
                "d.csv: the cells are separated by semicolons; separate them by tabs or commas, "
                "and write decimals with a point."
            ],
        ),
        (
            "id,,cell,x,x,total\na,1,2,3,4,5\n",
            [
                "d.csv: row 1, column 2: the column has no name; give each column a name.",
                "d.csv: row 1: column x occurs twice; remove or rename one of the two.",
                "d.csv: row 1: column cell has a name that the results use themselves; "
                "rename the column.",
                "d.csv: row 1: column total has a name that the results use themselves; "
                "rename the column.",
            ],
        ),
        (
            b"id,sex\na,f\nb,\xe9\n",
            ["d.csv: row 3: holds a character that is not in UTF-8; save it as text in UTF-8."],
        ),
        (
            'id,sex\na,"f\nb,m\nc,f\n',
            [
                "d.csv: row 2, column sex: holds a line break; "
                "close each quotation mark in the line where it opens."
            ],
        ),
    ],
)
def test_a_table_that_cannot_be_read(write, text, messages):
    assert told(write(text)) == messages


def test_a_table_cut_short_in_its_compression(write):
    packed = gzip.compress("".join(f"c{n},{n * n % 977}\n" for n in range(9000)).encode(), mtime=0)
    assert told(write(packed[:-400])) == [
        "d.csv: cannot be unpacked (Compressed file ended before the end-of-stream marker was "
        "reached); copy or compress it again."
    ]


def test_a_table_that_unpacks_without_end(write, monkeypatch):
    monkeypatch.setattr(metadata_rows, "_MOST", 1 << 20)
    assert told(write(gzip.compress(b"id,x\n" + b"a,bbbb\n" * (1 << 19)))) == [
        "d.csv: unpacks to more than 1048576 bytes; check what it holds."
    ]


def test_lines_are_counted_over_blocks_of_a_large_table(write):
    rows = [f"c{n},{'x' * 40},{n}" for n in range(60_000)]
    rows[40_000] = "c40000,f"
    rows[50_000] = ""
    rows.append("c7,f,1")
    assert told(write("\n".join(["id,sex,n", *rows])), ["c0"]) == [
        f"d.csv: row 40002: found 2 cells where the header has 3; {RAGGED}",
        "d.csv: row 60002: cell c7 is already in row 9; "
        "keep one cell of each name, or give each a name of its own.",
    ]


def test_a_table_as_pandas_reads_it(write):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=500),
            "n": rng.integers(0, 9, 500),
            "t": rng.choice(["a", "b c"], 500),
        },
        index=pd.Index([f"cell {n}" for n in range(500)], name="id"),
    )
    path = write(frame.to_csv())
    order = rng.permutation(500)
    table, _ = match(path, frame.index[order].tolist(), ["t"])
    for name in frame:
        assert table[name].tolist() == frame[name].iloc[order].tolist()
