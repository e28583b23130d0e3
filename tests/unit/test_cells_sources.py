import gzip
import json
import random
from contextlib import suppress
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

from matrices import KINDS, read, study, triplets, truth, write_kind
from tessera.cells.sources import Facts, check_dataset, files_of, look, open_source
from tessera.errors import InputError

RAGGED = "give each row as many as the header, which begins with a name for the column of cells."


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def told(call, *arguments):
    with pytest.raises(InputError) as caught:
        call(*arguments)
    return str(caught.value).splitlines()


def check(matrix, metadata, *groupings, duplicate_genes="error", normalize="log1p_cpm"):
    return check_dataset(matrix, metadata, list(groupings), duplicate_genes, normalize)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_matrix_in_every_kind_gives_the_same(kind, tmp_path):
    data = study()
    source = open_source(*write_kind(data, kind, tmp_path / "d"))
    assert source.genes == data.var_names.tolist()
    assert source.n_cells in (None, 20)
    for most in (3, 1 << 20):
        assert triplets(source, most) == truth(data)
    table = source.table(["type", "batch"])
    assert list(table) == ["cell", "type", "batch", "depth"]
    assert table["cell"].tolist() == data.obs_names.tolist()
    assert table["type"].tolist() == data.obs["type"].tolist()
    assert table["batch"].tolist() == data.obs["batch"].astype(str).tolist()
    assert [type(value) for value in table["batch"]] == [str] * 20
    np.testing.assert_array_equal(table["depth"], data.obs["depth"])
    assert source.warnings == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_header_tells(kind, tmp_path):
    data = study()
    matrix, metadata = write_kind(data, kind, tmp_path / "d")
    known = look(matrix, metadata)
    assert json.loads(json.dumps(known)) == known
    assert look(files_of(matrix)[0], metadata) == known
    both = [files_of(matrix)[0], *([metadata] if metadata else [])]
    assert known["bytes"] == sum(Path(path).stat().st_size for path in both)
    assert known["genes"] == 7
    assert known["cells"] == open_source(matrix, metadata).n_cells
    assert known["nnz_bound"] >= data.X.nnz
    facts = check(matrix, metadata, ["type"], ["type", "batch"])
    assert facts.warnings == []
    family = {"tsv": "csv", "gz": "csv", "mtx.gz": "mtx", "zip": "zip"}
    expected = family.get(kind, kind if kind in ("csv", "mtx") else "h5ad")
    columns = ["type", "batch", "depth"]
    assert facts == Facts(expected, 7, known["cells"], columns, [])
    assert known["kind"] == expected


def test_the_bound_of_compressed_text_is_near_the_truth(tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"c{n}," + ",".join(rng.poisson(0.2, 2000).astype(str)) for n in range(3000)]
    text = "\n".join(["id," + ",".join(f"g{n}" for n in range(2000)), *rows])
    (tmp_path / "m.csv.gz").write_bytes(gzip.compress(text.encode(), 1))
    assert look("m.csv.gz", None)["nnz_bound"] == pytest.approx(len(text) / 2, rel=0.1)


def test_kinds_are_told_by_content(tmp_path):
    data = study()
    for kind, name in (("zip", "a"), ("csr", "b"), ("gz", "c.txt"), ("tsv", "d.csv")):
        matrix, metadata = write_kind(data, kind, tmp_path / kind)
        (tmp_path / name).write_bytes((tmp_path / matrix).read_bytes())
        assert triplets(open_source(name, metadata)) == truth(data)


def test_files_that_a_matrix_consists_of(tmp_path):
    data = study()
    folder, _ = write_kind(data, "mtx.gz", tmp_path / "t")
    names = ["matrix.mtx.gz", "barcodes.tsv.gz", "features.tsv.gz"]
    three = [f"{folder}/{name}" for name in names]
    assert files_of(folder) == three
    assert files_of(three[0]) == three
    assert files_of("m.csv") == ["m.csv"]
    (tmp_path / "t/barcodes.tsv.gz").unlink()
    assert files_of(folder) == three[:1]
    (tmp_path / "empty").mkdir()
    assert files_of("empty") == ["empty/matrix.mtx"]


@pytest.mark.parametrize("name", ["absent.csv", "absent.h5ad", "empty.csv", "empty.zip", "folder"])
def test_looking_at_a_bad_file_never_fails(name, tmp_path):
    (tmp_path / "empty.csv").touch()
    (tmp_path / "empty.zip").touch()
    (tmp_path / "folder").mkdir()
    known = look(name, None)
    assert (known["nnz_bound"], known["cells"], known["genes"]) == (0, None, 0)
    assert told(check, name, None)


def test_metadata_beside_what_brings_its_own(tmp_path):
    data = study()
    for kind in ("zip", "csr"):
        matrix, _ = write_kind(data, kind, tmp_path / "d")
        data.obs.to_csv("more.csv")
        assert told(open_source, matrix, "more.csv") == [
            f"more.csv: is named beside {matrix}, which brings metadata of its own; "
            "leave the column metadata of the sheet empty."
        ]


def test_faults_of_matrix_and_metadata_are_told_together(tmp_path):
    (tmp_path / "m.csv").write_text("id,A,A,B\nx,1,?,3\ny,1\nz,1,1,1\n")
    (tmp_path / "d.csv").write_text("id,sex\nx,\nz,f\n")
    again = "rename all but one, or set cells.duplicate_genes to suffix or sum."
    lines = [
        f"m.csv: gene A: the name occurs 2 times; {again}",
        f"m.csv: row 3: found 2 cells where the header has 4; {RAGGED}",
        "m.csv: row 2, column A: found ?; expected a finite number, with a decimal point if any.",
        "d.csv: row 1: has no column age, which cells.groupings names; expected one of sex.",
        "d.csv: 1 of 3 cells of m.csv have no row: y; "
        "add a row for each of them, or take them out of the matrix.",
        "d.csv: row 2, column sex: the group is missing; give each cell a group, unknown for "
        "instance.",
    ]
    assert told(check, "m.csv", "d.csv", ["sex"], ["sex", "age"]) == lines
    rule = {"duplicate_genes": "sum"}
    with pytest.raises(InputError) as caught:
        check("m.csv", "d.csv", ["sex", "age"], **rule)
    assert str(caught.value).splitlines() == lines[1:]
    (tmp_path / "m.csv").write_text("id;A\n")
    (tmp_path / "d.csv").write_text("id,sex,sex\n")
    assert [line.split(": ")[0] for line in told(open_source, "m.csv", "d.csv")] == [
        "m.csv",
        "d.csv",
    ]


def test_a_large_matrix_is_not_read_as_a_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("tessera.cells.sources.SMALL", 16)
    (tmp_path / "m.csv").write_text("id,A,B\n" + "x,1,2\n" * 30)
    (tmp_path / "d.csv").write_text("id,sex\nx,f\n")
    facts = check("m.csv", "d.csv", ["sex"])
    assert (facts.cells, facts.columns) == (None, ["sex"])
    (tmp_path / "d.csv").write_text("id,sex\nx,f\nx,m\n")
    assert told(check, "m.csv", "d.csv", ["sex"], ["age"]) == [
        "d.csv: row 1: has no column age, which cells.groupings names; expected one of sex.",
        "d.csv: row 3: cell x is already in row 2; "
        "keep one cell of each name, or give each a name of its own.",
    ]


def test_values_that_are_no_counts_are_warned_of(tmp_path):
    data = study()
    data.X = data.X.log1p()
    matrix, metadata = write_kind(data, "csv", tmp_path / "d")
    message = "values are no whole numbers; log1p_cpm is meant for raw counts"
    assert check(matrix, metadata, ["type"]).warnings == [f"{matrix}: {message}"]
    assert check(matrix, metadata, ["type"], normalize="none").warnings == []


def test_warnings_are_those_of_all_parts(tmp_path):
    data = study()
    data.obs["type"] = data.obs["type"].cat.add_categories("none of them")
    matrix, _ = write_kind(data, "csr", tmp_path / "d")
    assert check(matrix, None, ["type"]).warnings == [
        f"{matrix}: obs, column type: no cell is of category none of them"
    ]


def mutated(content, rng):
    """Return bytes with some of them cut off, changed or taken out."""
    content = bytearray(content)
    if rng.random() < 0.25:
        return bytes(content[: rng.randrange(len(content))])
    for _ in range(rng.randint(1, 4)):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    if rng.random() < 0.2:
        start = rng.randrange(len(content))
        del content[start : start + rng.randint(1, 40)]
    return bytes(content)


@pytest.mark.parametrize(
    ("kind", "times"),
    [
        *(("csv", 150), ("gz", 150), ("zip", 150), ("mtx", 150), ("mtx.gz", 100)),
        *(("csr", 8), ("csc", 8), ("dense-chunked", 8)),
    ],
)
def test_damaged_files_are_read_or_refused(kind, times, tmp_path):
    data, rng = study(), random.Random(kind)
    matrix, metadata = write_kind(data, kind, tmp_path / "d")
    path = tmp_path / files_of(matrix)[0]
    content = path.read_bytes()
    checked = kind in ("gz", "zip", "mtx.gz")  # by a checksum
    for _ in range(times):
        path.write_bytes(mutated(content, rng))
        look(matrix, metadata)
        try:
            check(matrix, metadata, ["type"])
            values, table = read(matrix, metadata, ["type"])
        except InputError as error:
            sentences = str(error).splitlines()
        else:
            sentences = []
            assert len(table) == 20 or kind == "csv"  # which may end after any row
            if checked:
                assert values == truth(data)
        assert all(sentence.isprintable() for sentence in sentences)


def test_damaged_metadata_are_read_or_refused(tmp_path):
    data, rng = study(), random.Random(0)
    matrix, metadata = write_kind(data, "csv", tmp_path / "d")
    path = tmp_path / metadata
    content = path.read_bytes()
    for _ in range(150):
        path.write_bytes(mutated(content, rng))
        with suppress(InputError):
            _, table = read(matrix, metadata, ["type"])
            assert table["cell"].tolist() == data.obs_names.tolist()


def test_an_empty_matrix_of_nothing_but_zeros(tmp_path):
    data = ad.AnnData(sp.csr_matrix((5, 3), dtype="f4"), study(5).obs, study(5, 3).var)
    for kind in KINDS:
        matrix, metadata = write_kind(data, kind, tmp_path / kind)
        values, table = read(matrix, metadata, ["type"])
        assert (values, len(table)) == ({}, 5)
        assert check(matrix, metadata, ["type"]).genes == 3
