import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from matrices import study, triplets, truth, write_kind, zipped
from tessera.cells import archive
from tessera.cells.sources import open_source
from tessera.errors import InputError

MATRIX, METADATA = "id,A\nx,1\ny,2\n", "id,sex\nx,f\ny,m\n"
AGAIN = "zip the two files again, and nothing else."


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write an archive: names to contents; ``matrix.csv`` and ``metadata.csv`` unless given."""
    monkeypatch.chdir(tmp_path)

    def write_to(more=(), *, bare=False):
        both = [] if bare else [("matrix.csv", MATRIX), ("metadata.csv", METADATA)]
        zipped(tmp_path / "a.zip", [*both, *more])
        return "a.zip"

    return write_to


def read(path):
    source = open_source(path, None)
    return triplets(source), source.table(["sex"]), source.warnings


def told(path):
    with pytest.raises(InputError) as caught:
        read(path)
    return str(caught.value).splitlines()


def entry(name, mode=0, method=zipfile.ZIP_DEFLATED):
    info = zipfile.ZipInfo(name)
    info.external_attr, info.compress_type = mode << 16, method
    return info


@pytest.mark.parametrize("folder", ["", "study/", "a study/"])
@pytest.mark.parametrize("end", ["csv", "tsv"])
@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_archives_of_two_files(write, folder, end, method):
    mark = "\t" if end == "tsv" else ","
    names = [(f"{folder}Matrix.{end.upper()}", MATRIX), (f"{folder}metadata.{end}", METADATA)]
    more = [(entry(name, method=method), text.replace(",", mark)) for name, text in names]
    if folder:
        more.insert(0, (folder, b""))
    values, table, warnings = read(write(more, bare=True))
    assert values == {(0, 0): 1, (1, 0): 2}
    assert table.to_dict("list") == {"cell": ["x", "y"], "sex": ["f", "m"]}
    assert warnings == []


def test_other_files_are_not_looked_at(write):
    more = [("README.txt", "x"), ("__MACOSX/._matrix.csv", "x"), (".DS_Store", "x"), ("f/a.md", "")]
    _, _, warnings = read(write(more))
    assert warnings == ["a.zip: not looked at: README.txt, f/a.md"]


def test_a_large_matrix_is_streamed(write, tmp_path):
    data = study(300, 40)
    path, _ = write_kind(data, "zip", tmp_path / "z")
    source = open_source(path, None)
    assert triplets(source, 100) == truth(data)
    assert source.table(["type"])["type"].tolist() == data.obs["type"].tolist()


@pytest.mark.parametrize(
    ("more", "messages"),
    [
        ([("../m.csv", "")], ["../m.csv: leads out of the archive"]),
        ([("a/../../b", "")], ["a/../../b: leads out of the archive"]),
        ([("/etc/passwd", "")], ["/etc/passwd: leads out of the archive"]),
        ([("..\\b.csv", "")], ["..\\b.csv: has a name that is no path in an archive"]),
        ([("C:/b.csv", "")], ["C:/b.csv: has a name that is no path in an archive"]),
        (
            [(entry("link", stat.S_IFLNK | 0o777), "/etc/passwd")],
            ["link: is a link or a device, no file"],
        ),
        ([(entry("fifo", stat.S_IFIFO), "")], ["fifo: is a link or a device, no file"]),
        ([("inner.zip", "x")], ["inner.zip: is an archive within the archive"]),
        ([("matrix.csv.gz", "x")], ["matrix.csv.gz: is an archive within the archive"]),
        ([("x.tar", "x")], ["x.tar: is an archive within the archive"]),
        (
            [("zeros", bytes(20 << 20))],
            ["zeros: unpacks to more than 1000 times its size"],
        ),
        (
            [("../a", ""), ("/b", "")],
            ["../a: leads out of the archive", "/b: leads out of the archive"],
        ),
        (
            [(f"../{n}", "") for n in range(8)],
            [f"../{n}: leads out of the archive" for n in range(5)],
        ),
    ],
)
def test_what_is_not_safe_is_refused(write, more, messages):
    path = write(more)
    lines = told(path)
    expected = [f"a.zip: {message}; {AGAIN}" for message in messages]
    if len(more) > 5:
        expected.append("a.zip: 3 more of this kind; correct them in the same way.")
    assert lines == expected


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], f"holds no matrix.csv or matrix.tsv; add it, and {AGAIN}"),
        (
            [("counts.csv", MATRIX), ("metadata.csv", METADATA)],
            f"holds no matrix.csv or matrix.tsv; add it, and {AGAIN}",
        ),
        ([("matrix.csv", MATRIX)], f"holds no metadata.csv or metadata.tsv; add it, and {AGAIN}"),
        (
            [("matrix.csv", MATRIX), ("b/matrix.tsv", MATRIX), ("metadata.csv", METADATA)],
            "holds more than one matrix: matrix.csv, b/matrix.tsv; leave one of them in it.",
        ),
        (
            [("a/matrix.csv", MATRIX), ("b/metadata.csv", METADATA)],
            "holds matrix and metadata in folders of their own; put both into one.",
        ),
        (
            [("a/b/matrix.csv", MATRIX), ("a/b/metadata.csv", METADATA)],
            "holds its files in a/b; put them into one folder or none.",
        ),
        (
            [("[Content_Types].xml", ""), ("xl/workbook.xml", "")],
            "is a document of an office program; save the table as CSV.",
        ),
        ([(f"{n}.txt", "") for n in range(1001)], f"holds 1001 entries; {AGAIN}"),
    ],
)
def test_archives_of_something_else(write, more, message):
    assert f"a.zip: {message}" in told(write(more, bare=True))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name(write):
    assert told(write([("matrix.csv", MATRIX)])) == [
        "a.zip: holds more than one matrix: matrix.csv, matrix.csv; leave one of them in it."
    ]


def test_faults_within_are_told_with_the_name_of_the_member(write):
    more = [("s/matrix.csv", "id,A\nx,1\ny,?\n"), ("s/metadata.csv", "id,sex\nx,\ny,m\n")]
    assert told(write(more, bare=True)) == [
        "a.zip/s/matrix.csv: row 3, column A: found ?; "
        "expected a finite number, with a decimal point if any."
    ]


def changed(path, at, new):
    with Path(path).open("r+b") as stream:
        stream.seek(at)
        stream.write(new)


def place(path, signature, offset, nth=0):
    """Return where a field of the nth record of a kind stands."""
    content = Path(path).read_bytes()
    at = -1
    for _ in range(nth + 1):
        at = content.index(signature, at + 1)
    return at + offset


LOCAL, CENTRAL = b"PK\3\4", b"PK\1\2"


def test_encrypted_members_are_refused(write):
    path = write()
    changed(path, place(path, CENTRAL, 8), b"\1\0")
    assert told(path) == [f"a.zip: matrix.csv: is encrypted; {AGAIN}"]


def test_methods_that_are_not_read(write):
    path = write()
    changed(path, place(path, CENTRAL, 10), struct.pack("<H", 99))
    assert told(path) == [
        f"a.zip: matrix.csv: is compressed by a method that is not read here; {AGAIN}"
    ]


def test_a_wrong_checksum_is_met_while_reading(write):
    path = write()
    changed(path, place(path, CENTRAL, 16), b"\0\0\0\0")
    (line,) = told(path)
    assert line == (
        "a.zip/matrix.csv: cannot be unpacked (Bad CRC-32 for file 'matrix.csv'); "
        "copy or compress it again."
    )


def test_a_directory_that_lies_about_sizes_is_not_believed(write, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "SMALL", 1 << 16)
    body = "id,A\n" + "".join(f"c{n},0\n" for n in range(60_000))
    zipped(tmp_path / "a.zip", [("matrix.csv", body), ("metadata.csv", METADATA)])
    changed("a.zip", place("a.zip", CENTRAL, 24), struct.pack("<I", 10_000))
    (line,) = told("a.zip")
    assert line.startswith("a.zip/matrix.csv: cannot be unpacked (Bad CRC-32")
    monkeypatch.setattr(archive, "RATIO", 2)
    zipped(tmp_path / "a.zip", [("matrix.csv", body), ("metadata.csv", METADATA)])
    changed("a.zip", place("a.zip", CENTRAL, 20), struct.pack("<I", 300_000))
    (line,) = told("a.zip")
    assert line.startswith("a.zip/matrix.csv: unpacks to more than ")
    assert line.endswith(" bytes; check what it holds.")


def test_the_total_that_an_archive_unpacks_to_is_bounded(write, monkeypatch):
    monkeypatch.setattr(archive, "MOST", 1 << 10)
    path = write([("rest.txt", "abc" * 1000)])
    assert told(path) == ["a.zip: unpacks to 3028 bytes, more than 1024; write it as .h5ad or MTX."]


def test_archives_that_are_cut_short_or_none(write, tmp_path):
    path = write()
    content = (tmp_path / path).read_bytes()
    for name, part in {
        "short.zip": content[:-30],
        "half.zip": content[: len(content) // 2],
        "text.zip": b"id,A\n",
    }.items():
        (tmp_path / name).write_bytes(part)
        assert told(name) == [
            f"{name}: cannot be unpacked (File is not a zip file); copy or compress it again."
        ]
    (tmp_path / "empty.zip").write_bytes(b"")
    assert told("empty.zip") == ["empty.zip: the file is empty; name the file that was meant."]


def test_nothing_is_extracted(write, tmp_path):
    path = write()
    before = sorted(tmp_path.rglob("*"))
    read(path)
    assert sorted(tmp_path.rglob("*")) == before
    assert zipfile.ZipFile(io.BytesIO((tmp_path / path).read_bytes())).testzip() is None
