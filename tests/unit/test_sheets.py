"""Sample sheets: what is accepted, and every fault with its place and remedy."""

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.config import load_schema
from tessera.errors import InputError
from tessera.sheets import read_sheet

SCHEMA = load_schema(Path(__file__).parents[2] / "schemas", "neuro_subjects")
KEY = ("subject", "session")
COLUMNS = "subject\tdwi\tbval\tbvec"
LINE = "a.nii.gz\ta.bval\ta.bvec"
TABLE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "number", "minimum": 0, "x-unit": "years"},
        "count": {"type": "integer"},
        "sex": {"enum": ["f", "m"]},
    },
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Work in a folder that holds one acquisition."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.nii.gz", "a.bval", "a.bvec", "m.nii"):
        Path(name).touch()


def sheet(*lines, name="s.tsv", newline="\n"):
    Path(name).write_bytes(newline.join([*lines, ""]).encode())
    return name


def rows(*lines, schema=SCHEMA, key=KEY, **how):
    return read_sheet(sheet(*lines, **how), schema, key=key)


def refused(*lines, schema=SCHEMA, key=KEY):
    with pytest.raises(InputError) as caught:
        rows(*lines, schema=schema, key=key)
    return str(caught.value).splitlines()


def refused_file(path):
    with pytest.raises(InputError) as caught:
        read_sheet(path, SCHEMA, key=KEY)
    return str(caught.value)


# -- what is accepted ----------------------------------------------------------------------------

ONE = {
    "subject": "01",
    "session": None,
    "dwi": "a.nii.gz",
    "bval": "a.bval",
    "bvec": "a.bvec",
    "mask": None,
}


def test_plain_sheet():
    assert rows(COLUMNS, f"01\t{LINE}") == [ONE]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_endings_byte_order_mark_comments_blanks_quotes_and_spaces(newline, mark):
    found = rows(
        f"{mark}# my acquisitions",
        COLUMNS + "\t\t",
        "",
        '"sub-01"\t a.nii.gz \t"a.bval"\ta.bvec\t\t\t',
        "\t\t\t",
        "# the end",
        "",
        newline=newline,
    )
    assert found == [ONE]


@pytest.mark.parametrize("null", ["", "n/a", "N/A"])
def test_null_in_optional_cells(null):
    header = "session\tmask\t" + COLUMNS
    assert rows(header, f"{null}\t{null}\tsub-01\t{LINE}") == [ONE]


def test_sessions_and_masks():
    found = rows(
        COLUMNS + "\tsession\tmask",
        f"sub-01\t{LINE}\tses-1\tm.nii",
        f"01\t{LINE}\t2\tn/a",
        f"02\t{LINE}\t\t",
    )
    assert [(r["subject"], r["session"], r["mask"]) for r in found] == [
        ("01", "1", "m.nii"),
        ("01", "2", None),
        ("02", None, None),
    ]


def test_types():
    found = rows("name\tage\tcount\tsex", "x\t1e1\t3\tf", "y\t\tn/a\t", schema=TABLE, key=["name"])
    assert found == [
        {"name": "x", "age": 10.0, "count": 3, "sex": "f"},
        {"name": "y", "age": None, "count": None, "sex": None},
    ]
    assert type(found[0]["age"]) is float


def test_paths_count_from_the_sheet_first_and_from_the_working_directory_second():
    Path("data").mkdir()
    Path("data/a.nii.gz").touch()
    absolute = str(Path("a.bvec").absolute())
    (row,) = rows(COLUMNS, f"01\ta.nii.gz\t./a.bval\t{absolute}", name="data/s.tsv")
    assert (row["dwi"], row["bval"], row["bvec"]) == ("data/a.nii.gz", "a.bval", absolute)


def test_extra_columns_only_where_the_schema_allows_them():
    lenient = TABLE | {"additionalProperties": True}
    assert rows("name\tnote", "x\ty", schema=lenient, key=["name"])[0]["name"] == "x"
    (message,) = refused("name\tnote", "x\ty", schema=TABLE, key=["name"])
    assert message == ("s.tsv: row 1, column note: unknown column; expected name, age, count, sex.")


cell = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1).filter(
    lambda text: text.casefold() != "n/a" and not text.startswith("#")
)


@given(st.lists(cell, min_size=1, max_size=6, unique=True))
def test_text_comes_back_as_written(cells):
    quoted = ['"' + text.replace('"', '""') + '"' for text in cells]
    found = rows("name", *quoted, schema=TABLE, key=["name"])
    assert [row["name"] for row in found] == cells


# -- what is refused -----------------------------------------------------------------------------


def test_missing_sheet():
    assert refused_file("toy/neuro/subjects.tsv") == (
        "toy/neuro/subjects.tsv: the sheet does not exist; "
        "run `snakemake toy` first, which makes the toy data."
    )
    sheet(COLUMNS, name="subjects.tsv")
    assert refused_file("subject.tsv") == (
        "subject.tsv: the sheet does not exist; correct the path (did you mean subjects.tsv?)."
    )
    assert refused_file("no/where.tsv") == (
        "no/where.tsv: the sheet does not exist; correct the path (sought in no)."
    )
    assert "does not exist" in refused_file("x" * 5000)
    assert refused_file(".") == ".: is a folder; name the sheet in it."


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"PK\x03\x04rest", "is a spreadsheet or zip archive, not text"),
        (b"\x1f\x8b\x08rest", "is compressed by gzip, not text"),
        (COLUMNS.encode("utf-16"), "is binary or not in UTF-8"),
        (b"\0\1\2", "is binary or not in UTF-8"),
        (b"subject\tdwi\nM\xfcller\tx\n", "row 2: holds a character that is not in UTF-8"),
    ],
)
def test_not_text(content, what):
    Path("s.tsv").write_bytes(content)
    assert refused_file("s.tsv") == f"s.tsv: {what}; save it as tab-separated text in UTF-8."


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_unreadable_sheet():
    Path(sheet(COLUMNS)).chmod(0)
    assert refused_file("s.tsv") == (
        "s.tsv: cannot be read (Permission denied); check its permissions."
    )


@pytest.mark.parametrize(
    ("separator", "word"), [(",", "commas"), (";", "semicolons"), (" ", "spaces"), ("|", "bars")]
)
def test_other_separators(separator, word):
    lines = [line.replace("\t", separator) for line in (COLUMNS, f"01\t{LINE}")]
    assert refused(*lines) == [f"s.tsv: the cells are separated by {word}; separate them by tabs."]


def test_empty_sheets():
    assert refused() == ["s.tsv: the sheet is empty; add a header and rows."]
    assert refused("# a comment", "\t") == ["s.tsv: the sheet is empty; add a header and rows."]
    assert refused(COLUMNS) == ["s.tsv: no rows below the header; add a row for each item."]


def test_header():
    found = refused("subject\tdwi\tbvals\t\tsubject", f"01\t{LINE}\t01")
    assert found == [
        "s.tsv: row 1, column bvals: unknown column; "
        "expected subject, session, dwi, bval, bvec, mask (did you mean bval?).",
        "s.tsv: row 1, column 4: the column has no name; name the column in the header.",
        "s.tsv: row 1, column subject: the column occurs twice; remove or rename one of the two.",
        "s.tsv: row 1: column bvec is missing; add it to the header and rows.",
    ]


def test_every_fault_of_every_row_at_once():
    found = refused(
        "# comment",
        COLUMNS,
        f"sub_01\t{LINE}",
        "02\ta.nii.gz\ta.bval",
        "03\tb.mgz\tn/a\ta.bvec",
        f"04\t{LINE}\textra",
        "05\ta.nii.gz\ta.bvall\t.",
    )
    assert found == [
        "s.tsv: row 3, column subject: found 'sub_01'; expected letters and digits only.",
        "s.tsv: row 4: found 3 cells where the header has 4; "
        "separate all cells by one tab, empty ones as well.",
        "s.tsv: row 5, column dwi: found 'b.mgz'; expected a path that ends in .nii or .nii.gz.",
        "s.tsv: row 5, column bval: found n/a; expected a path.",
        "s.tsv: row 6: found 5 cells where the header has 4; "
        "separate all cells by one tab, empty ones as well.",
        "s.tsv: row 7, column bval: file 'a.bvall' does not exist; "
        "correct the path (did you mean a.bval?).",
        "s.tsv: row 7, column bvec: '.' is a folder; name a file in it.",
    ]


def test_missing_files():
    Path("data").mkdir()
    with pytest.raises(InputError) as caught:
        rows(COLUMNS, "01\ttoy/x.nii\tzzz/q\ta.bvec", name="data/s.tsv")
    assert str(caught.value).splitlines() == [
        "data/s.tsv: row 2, column dwi: file 'toy/x.nii' does not exist; "
        "run `snakemake toy` first, which makes the toy data.",
        "data/s.tsv: row 2, column bval: file 'zzz/q' does not exist; "
        "correct the path (sought in data/zzz and in zzz).",
    ]


def test_types_and_ranges():
    found = refused("name\tage\tcount\tsex", "x\t-1\t1.5\tF", schema=TABLE, key=["name"])
    assert found == [
        "s.tsv: row 2, column age: found -1; expected a number of at least 0 (years).",
        "s.tsv: row 2, column count: found '1.5'; expected a whole number.",
        "s.tsv: row 2, column sex: found 'F'; expected one of f, m (did you mean f?).",
    ]


def test_duplicate_rows_name_both():
    found = refused(
        COLUMNS + "\tsession",
        f"01\t{LINE}\tpre",
        "",
        f"sub-01\t{LINE}\tses-pre",
        f"02\t{LINE}\t",
        f"02\t{LINE}\tn/a",
    )
    remedy = "each row needs its own subject and session"
    assert found == [
        f"s.tsv: row 4: subject 01, session pre is already in row 2; {remedy}.",
        f"s.tsv: row 6: subject 02 is already in row 5; {remedy}.",
    ]


def test_rows_without_a_valid_key_are_no_duplicates():
    found = refused(COLUMNS, f"a_b\t{LINE}", f"c_d\t{LINE}", f"\t{LINE}")
    assert len(found) == 3
    assert not any("already" in line for line in found)


@pytest.mark.parametrize("character", ["\x07", "\u200b", "\xa0", "\x7f", "\u2028"])
def test_invisible_characters(character):
    (message,) = refused(COLUMNS, f"01\ta{character}.nii\ta.bval\ta.bvec")
    assert message.startswith("s.tsv: row 2, column dwi: found ")
    assert message.endswith("with an invisible character; type the cell anew.")
    assert message.isprintable()


@pytest.mark.parametrize("name", ["a{b}.nii", "<a>.nii"])
def test_placeholders_in_paths(name):
    Path(name).touch()
    assert refused(COLUMNS, f"01\t{name}\ta.bval\ta.bvec") == [
        f"s.tsv: row 2, column dwi: '{name}' holds one of {{ }} < >; "
        "rename it, for these mark placeholders in paths."
    ]


def test_quotation_marks():
    found = refused(COLUMNS, f'"01\t{LINE}', f"a_b\t{LINE}")
    assert [line.split(":")[1] for line in found] == [" row 2", " row 3, column subject"]
    assert found[0].endswith("close each quotation mark in the line where it opens.")
    (message,) = refused('"subject\tdwi', "01\tx")
    assert message.startswith("s.tsv: row 1: cannot be cut into cells")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content):
    Path("s.tsv").write_bytes(COLUMNS.encode() + b"\n" + content)
    with contextlib.suppress(InputError):
        assert read_sheet("s.tsv", SCHEMA, key=KEY)


def test_other_columns_are_returned_as_text_if_asked_for():
    table = TABLE | {"additionalProperties": True}
    name = sheet("site\tname\tage\tgroup", "1\tx\t3\tn/a", "02\ty\t\tb")
    assert read_sheet(name, table, key=("name",), others=True) == [
        {"name": "x", "age": 3.0, "count": None, "sex": None, "site": "1", "group": None},
        {"name": "y", "age": None, "count": None, "sex": None, "site": "02", "group": "b"},
    ]
    plain = read_sheet(name, table, key=("name",))
    assert [list(row) for row in plain] == [["name", "age", "count", "sex"]] * 2
    with pytest.raises(InputError, match="unknown column"):
        read_sheet(name, TABLE, key=("name",), others=True)
