import gzip
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from tessera.errors import InputError
from tessera.wgr import tables
from tessera.wgr.tables import Faults, read_ids, read_table


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write_to(text, name="t.txt"):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    return write_to


def told(call, *arguments):
    with pytest.raises(InputError) as caught:
        call(*arguments)
    return str(caught.value).splitlines()


def ids_of(table):
    return table.ids.to_numpy().tolist()


def test_blanks_tabs_and_any_spelling_of_missing(write):
    text = "FID IID Y1\tY2  Y3 \n01 a 1 -9 NA\n\n0 b\t1e-3 nan .\n  0 NA N/A NaN -2.5  \n"
    table = read_table(write(text))
    assert table.file == "t.txt"
    assert table.names == ("Y1", "Y2", "Y3")
    assert ids_of(table) == [["01", "a"], ["0", "b"], ["0", "NA"]]
    nan = math.nan
    np.testing.assert_array_equal(table.values, [[1, 1e-3, nan], [-9, nan, nan], [nan, nan, -2.5]])
    assert table.faults == {}


def test_cells_between_tabs_may_be_empty_or_padded(write):
    table = read_table(write("FID\tIID\tY1\tY2\n1\t1 \t\t 2\n2\t2\t n/a \t\n3\t3\t4\t5\n"))
    assert ids_of(table) == [["1", "1"], ["2", "2"], ["3", "3"]]
    np.testing.assert_array_equal(table.values, [[math.nan, math.nan, 4], [2, math.nan, 5]])
    assert table.faults == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.replace(b"\n", b"\r"),
        lambda text: text.rstrip(b"\n"),
        lambda text: b"\n \n" + text + b"\n\n",
        lambda text: text.replace(b"FID", b"#FID"),
        lambda text: text.replace(b"FID IID", b"IID FID"),
        gzip.compress,
        lambda text: gzip.compress(text[:9], mtime=0) + gzip.compress(text[9:], mtime=0),
    ],
)
def test_forms_of_the_same_table(write, change):
    table = read_table(write(change("FID IID ö 1\n7 7 1 2\n8 8 3 4\n".encode())))
    assert table.names == ("ö", "1")
    assert table.ids[["fid", "iid"]].to_numpy().tolist() == [["7", "7"], ["8", "8"]]
    np.testing.assert_array_equal(table.values, [[1, 3], [2, 4]])


def test_columns_are_chosen_in_the_wanted_order(write):
    path = write("FID IID A B C\n1 1 1 x 3\n2 2 4 5 6\n")
    table = read_table(path, ["C", "A", "C"])
    assert (table.names, table.faults) == (("C", "A"), {})
    np.testing.assert_array_equal(table.values, [[3, 6], [1, 4]])
    assert told(read_table, path, ["b", "IID", "A"]) == [
        "t.txt: header: has no column b, which wgr.traits names; "
        "expected one of A, B, C (did you mean B?).",
        "t.txt: header: has no column IID, which wgr.traits names; expected one of A, B, C.",
    ]


def test_a_table_without_fid(write):
    table = read_table(write("#IID Y\n5 1\n6 2\n"))
    assert list(table.ids) == ["iid"]
    assert ids_of(table) == [["5"], ["6"]]
    np.testing.assert_array_equal(table.values, [[1, 2]])


CELLS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**25), 10**25).map(str),
    st.sampled_from(["NA", "na", "NaN", ".", "n/a", "N/A", "-9", "1E5", "+1"]),
    st.sampled_from(["inf", "-Infinity", "x", "True", "0x1A", "1_0", "1,5", "1e999", "٣", "nan5"]),
)


@how(max_examples=150, deadline=None)
@given(st.data(), st.integers(1, 4), st.integers(1, 6), st.sampled_from("\t "))
def test_every_cell_is_what_python_makes_of_it(tmp_path_factory, data, columns, rows, mark):
    cells = [data.draw(st.lists(CELLS, min_size=rows, max_size=rows)) for _ in range(columns)]
    names = [f"c{n}" for n in range(columns)]
    lines = [["FID", "IID", *names]]
    lines += [[str(n), f"i{n}", *row] for n, row in enumerate(zip(*cells, strict=True))]
    path = tmp_path_factory.mktemp("t") / "t.txt"
    path.write_text("".join(mark.join(line) + "\n" for line in lines))
    table = read_table(str(path))
    expected, faults = np.full((columns, rows), math.nan), {}
    for n, column in enumerate(cells):
        bad = []
        for row, cell in enumerate(column):
            if cell.casefold() in ("na", "nan", ".", "n/a"):
                continue
            try:
                expected[n, row] = float(cell.replace("_", "?").replace("٣", "?"))
            except ValueError:
                bad.append((row + 2, cell))
            else:
                if math.isinf(expected[n, row]):
                    expected[n, row] = math.nan
                    bad.append((row + 2, cell))
        if bad:
            faults[names[n]] = Faults(len(bad), tuple(bad))
    np.testing.assert_array_equal(table.values, expected)
    assert table.faults == faults


def test_faulty_cells_are_counted_and_the_first_ten_kept(write):
    rows = [f"{n} {n} {n if n % 2 else f'bad{n}'} 1\n" for n in range(1, 41)]
    table = read_table(write("FID IID A B\n\n" + "".join(rows)))
    assert list(table.faults) == ["A"]
    assert table.faults["A"].count == 20
    assert table.faults["A"].first[:2] == ((4, "bad2"), (6, "bad4"))
    assert len(table.faults["A"].first) == 10
    np.testing.assert_array_equal(table.values[0, ::2], np.arange(1, 41, 2))
    assert np.isnan(table.values[0, 1::2]).all()


def test_all_faults_of_rows_and_header_at_once(write):
    text = (
        "FID\tIID\tA\tB\tA\n1\t1\t1\t2\t3\n2\t2\t1\t2\n\t3\t1\t2\t3\n1\t1\t4\t5\t6\n1\t1\t\t\t\t\n"
    )
    assert told(read_table, write(text)) == [
        "t.txt: header: column A occurs twice; remove or rename one of the two.",
        "t.txt: row 3: found 4 cells where the header has 5; separate all cells by one tab.",
        "t.txt: row 6: found 6 cells where the header has 5; separate all cells by one tab.",
        "t.txt: row 4: no id; fill it in.",
        "t.txt: row 5: FID 1, IID 1 is already in row 2; keep one row of each individual.",
    ]
    lines = told(read_table, write("FID IID A\n" + "1 1\n" * 13 + "2 2 3\n"))
    assert lines[0] == (
        "t.txt: row 2: found 2 cells where the header has 3; write NA where there is no value."
    )
    assert lines[10:] == ["t.txt: 3 more of this kind; correct them in the same way."]
    assert told(read_table, write("FID IID A\n1 1\n")) == lines[:1]
    lines = told(read_table, write("IID A\n" + "5 1\n" * 12))
    assert lines[0] == "t.txt: row 3: IID 5 is already in row 2; keep one row of each individual."
    assert lines[10:] == ["t.txt: 1 more of this kind; correct them in the same way."]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "FID,IID,A\n1,1,2\n",
            "t.txt: row 1: the cells are separated by commas; separate them by tabs or blanks.",
        ),
        (
            "FID; IID; A\n1; 1; 2\n",
            "t.txt: row 1: the cells are separated by semicolons; separate them by tabs or blanks.",
        ),
        (
            "1 1 0.5\n2 2 0.7\n",
            "t.txt: no header: it starts with 1 1; name the columns FID IID NAME... in the first "
            "line.",
        ),
        (
            '"FID" "IID" "A"\n"1" "1" 2\n',
            "t.txt: the cells are in quotes; write it without them (R: quote = FALSE).",
        ),
        ("FID IID\n1 1\n", "t.txt: no columns but those of the ids; add columns of numbers."),
        ("FID IID A\n \n", "t.txt: no rows below the header; add a row for each individual."),
        ("\n \n", "t.txt: the file is empty; name the file that was meant."),
        ("", "t.txt: the file is empty; name the file that was meant."),
        (
            b"FID IID A\n1 1 2\n2 \xe9 3\n",
            "t.txt: row 3: holds a character that is not in UTF-8; save the file as text in UTF-8.",
        ),
        (
            "FID IID A\n1 1 2\n".encode("utf-16"),
            "t.txt: is binary or not in UTF-8; save it as text in UTF-8.",
        ),
        (
            gzip.compress(b"FID IID A\n1 1 2\n", mtime=0)[:-9],
            "t.txt: cannot be unpacked (Compressed file ended before the end-of-stream marker was "
            "reached); copy or compress it again.",
        ),
    ],
)
def test_a_file_that_is_no_table_is_told_in_one_sentence(write, text, message):
    assert told(read_table, write(text)) == [message]


def test_a_file_that_is_not_there(write, tmp_path):
    message = "the file does not exist; correct the path or provide the file."
    assert told(read_table, "absent.txt") == [f"absent.txt: {message}"]
    assert told(read_ids, "absent.txt") == [f"absent.txt: {message}"]
    (tmp_path / "folder").mkdir()
    assert told(read_table, "folder") == [
        "folder: cannot be read (Is a directory); check that it is a readable file."
    ]


def test_a_small_file_does_not_unpack_without_end(write, monkeypatch):
    monkeypatch.setattr(tables, "_UNPACKED", 1 << 16)
    path = write(gzip.compress(b"FID IID A\n" + b" " * (1 << 22)))
    (message,) = told(read_table, path)
    assert "t.txt: unpacks to more than " in message
    assert message.endswith("bytes; unpack it and name what is inside.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 a\n2 b\n", {"fid": ["1", "2"], "iid": ["a", "b"]}),
        ("FID IID\n1\ta\n\n2 b", {"fid": ["1", "2"], "iid": ["a", "b"]}),
        ("#FID IID SEX\r\n1 a 2\r\n2 b 1\r\n", {"fid": ["1", "2"], "iid": ["a", "b"]}),
        ("1 a 0 0 1 -9\n2 b 0 0 2 -9\n", {"fid": ["1", "2"], "iid": ["a", "b"]}),
        ("#IID\n01\nb\n", {"iid": ["01", "b"]}),
        ("01\n01\n", {"iid": ["01", "01"]}),
    ],
)
def test_lists_of_individuals(write, text, expected):
    pd.testing.assert_frame_equal(read_ids(write(text)), pd.DataFrame(expected, dtype=str))
    pd.testing.assert_frame_equal(
        read_ids(write(gzip.compress(text.encode()))), pd.DataFrame(expected, dtype=str)
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t.txt: the file is empty; name the file that was meant."),
        (
            "FID IID\n",
            "t.txt: names nobody; list individuals in it, or take it out of the config.",
        ),
        (
            "1,1\n2,2\n",
            "t.txt: row 1: the cells are separated by commas; separate them by tabs or blanks.",
        ),
        (
            "1 1\n\n2\n3 3\n",
            "t.txt: row 3: holds one id where others hold FID and IID; "
            "write FID and IID in all rows, or IID alone in all.",
        ),
        (
            "1\n2 2\n",
            "t.txt: row 2: holds more than the one id that others hold; "
            "write FID and IID in all rows, or IID alone in all.",
        ),
    ],
)
def test_a_list_that_cannot_be_read(write, text, message):
    assert told(read_ids, write(text)) == [message]


def test_examples_of_regenie(reference_data):
    inputs = reference_data / "wgr" / "inputs"
    for name, names, n in (
        ("phenotype.txt", ("Y1", "Y2"), 500),
        ("covariates.txt", ("V1", "V2", "V3"), 500),
        ("toy.pheno", ("Q1", "Q2", "Q3"), 600),
        ("toy.covar", tuple(f"C{i}" for i in range(1, 11)), 600),
    ):
        table = read_table(str(inputs / name))
        lines = [line.split() for line in (inputs / name).read_text().splitlines()[1:]]
        assert table.names == names
        assert ids_of(table) == [line[:2] for line in lines]
        assert len(lines) == n
        expected = np.array([[float(cell) for cell in line[2:]] for line in lines]).T
        np.testing.assert_array_equal(table.values, expected)
        assert table.faults == {}
