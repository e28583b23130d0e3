import shutil
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bgen import BgenReader, BgenWriter

from bgens import HARD, find, put_bgen, some, variant
from filesets import message, put, simulate
from tessera import genotypes
from tessera.genotypes import ALL_KINDS, GenotypeReader, chromosome_runs, find_fileset

# Who


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        ("1_1 2_2 03_3", [("1", "1"), ("2", "2"), ("03", "3")]),
        ("a_1_a_1 b_1_c_2 d_e", [("a_1", "a_1"), ("b_1", "c_2"), ("d", "e")]),
        ("a b c", [("a", "a"), ("b", "b"), ("c", "c")]),
        ("a_1 b_2 c", [("a_1", "a_1"), ("b_2", "b_2"), ("c", "c")]),
        ("a_1 b_2 _3", [("a_1", "a_1"), ("b_2", "b_2"), ("_3", "_3")]),
        ("a_1_b a_2_b a_3_b", [("a_1_b",) * 2, ("a_2_b",) * 2, ("a_3_b",) * 2]),
    ],
)
def test_names_within_the_file(tmp_path, names, ids):
    path = put_bgen(tmp_path / "a", [variant(HARD[:3])], names.split())
    samples = genotypes.read_samples(find(path))
    assert list(samples.itertuples(index=False, name=None)) == ids


def test_a_sample_file_goes_before_the_names_within(tmp_path):
    path = put_bgen(tmp_path / "a", [variant(HARD[:3])])
    text = "ID_1 ID_2 missing sex\n0 0 0 D\nf 01 0 1\ng 02 0 2\nf NA 0 NA\n\n"
    (tmp_path / "a.sample").write_text(text)
    fileset = find(path)
    assert fileset.files[1] == f"{tmp_path}/a.sample"
    samples = genotypes.read_samples(fileset)
    assert samples.to_dict("list") == {"fid": ["f", "g", "f"], "iid": ["01", "02", "NA"]}


def test_ids_are_told_apart_by_the_key(tmp_path):
    path = put_bgen(tmp_path / "a", [variant(HARD[:3])], ["f_1", "g_1", "f_2"])
    told = message(genotypes.read_samples, find(path))
    assert (
        told == f"{path}: 1 id occurs more than once (1); give each individual an IID of its own."
    )
    assert len(genotypes.read_samples(find(path), key=("fid", "iid"))) == 3


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (
            ["a", "b c", "d"],
            "1 name of an individual is empty or hold blanks ('b c'); rename them.",
        ),
        (["a", "b", "a"], "1 name of an individual is there more than once ('a'); keep one each."),
        (["", " ", "\t"], "3 names are empty or hold blanks ('', ' ', '\\t'); rename them."),
    ],
)
def test_names_that_are_none(tmp_path, names, told):
    path = put_bgen(tmp_path / "a", [variant(HARD[:3])], names)
    assert message(genotypes.read_samples, find(path)) == f"{path}: {told}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "row 1: starts with nothing; begin a .sample with ID_1 ID_2."),
        ("FID IID\n0 0\n", "row 1: starts with FID IID; begin a .sample with ID_1 ID_2."),
        ("ID_1 ID_2\na a\n", "row 2: starts with a a; begin a .sample with 0 0."),
        (
            "ID_1 ID_2\n0 0\na a\nb b\n",
            "names 2 individuals where {path} holds 3; bring the two files of one export together.",
        ),
    ],
)
def test_sample_files_that_do_not_fit(tmp_path, text, told):
    path = put_bgen(tmp_path / "a", [variant(HARD[:3])])
    (tmp_path / "a.sample").write_text(text)
    assert message(find, path) == f"{tmp_path}/a.sample: {told.format(path=path)}"


def test_bad_rows_of_a_sample_file(tmp_path):
    path = put_bgen(tmp_path / "a", [variant(HARD[:3])])
    (tmp_path / "a.sample").write_text("ID_1 ID_2 missing\n0 0 0\na a 0\nb b\nc c 0\n")
    told = message(genotypes.read_samples, find(path))
    assert told.startswith(f"{tmp_path}/a.sample: row 4: found 2 columns where 3 are expected; ")


def test_nobody_is_named(tmp_path):
    path = put_bgen(tmp_path / "a", [variant(HARD[:3])], [])
    assert message(find, path) == (
        f"{path}: names no individuals, and {tmp_path}/a.sample does not exist; "
        "provide the .sample that belongs to it."
    )


# Headers


def test_headers_are_read_without_any_genotype(tmp_path):
    some(tmp_path / "a", index=False, compression="zlib")
    stored = bytearray((tmp_path / "a.bgen").read_bytes())
    ends = [each.next_variant_offset for each in BgenReader(tmp_path / "a.bgen")]
    for end in ends:  # the last bytes of a variant are of its compressed genotypes
        stored[end - 20 : end] = b"\xff" * 20
    (tmp_path / "b.bgen").write_bytes(stored)
    sound, spoilt = find(tmp_path / "a.bgen"), find(tmp_path / "b.bgen")
    assert chromosome_runs(spoilt) == [("1", 0, 20), ("2", 20, 40), ("3", 40, 60)]
    told = [genotypes.read_variants(fileset) for fileset in (sound, spoilt)]
    pd.testing.assert_frame_equal(*told)
    with GenotypeReader([spoilt], [np.arange(7)]) as reader:
        said = message(reader.read, 3, 5)
    assert said.startswith(f"{tmp_path}/b.bgen: variant 4: cannot be read (")
    assert said.endswith("; copy or export it again.")


def test_runs_of_chromosomes(tmp_path):
    names = ["1", "1", "chr2", "X", "X", "1"]
    runs = [("1", 0, 2), ("chr2", 2, 3), ("X", 3, 5), ("1", 5, 6)]
    put_bgen(tmp_path / "a", [variant(HARD, chrom=name) for name in names])
    fileset = find(tmp_path / "a.bgen")
    assert chromosome_runs(fileset) == runs, "by the index"
    (tmp_path / "a.bgen.bgi").unlink()
    assert chromosome_runs(fileset) == runs
    simulate(tmp_path / "b", 6, 4)
    bim = "".join(f"{name} rs{i}\t0 {i} A G\n" for i, name in enumerate(names))
    (tmp_path / "b.bim").write_text(bim)
    assert chromosome_runs(find(tmp_path / "b.bed")) == runs
    pvar = "##x\n#ID POS CHROM REF ALT\n" + "".join(f"rs 1 {name} A G\n" for name in names)
    (tmp_path / "b.pvar").write_text(pvar)
    assert chromosome_runs(genotypes.Fileset(f"{tmp_path}/b", "pgen", 4, 6)) == runs


# Files that are no sound BGEN


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is no BGEN file (it is empty); export it with plink2 --export bgen-1.2."),
        (
            b"chr1 and so on for a while",
            "is no BGEN file (it starts with 63 68 72); export it with",
        ),
        (
            bytes(100),
            "cannot be opened (bgen header is the wrong length); copy or export it again.",
        ),
    ],
)
def test_files_that_are_no_bgen(tmp_path, content, told):
    (tmp_path / "a.bgen").write_bytes(content)
    assert message(find, tmp_path / "a.bgen").startswith(f"{tmp_path}/a.bgen: {told}")


def test_other_layouts_and_empty_files(tmp_path):
    path = put_bgen(tmp_path / "a", [variant(HARD[:3])], layout=1, compression="zlib")
    told = "has layout 1, that of BGEN 1.1; export it with plink2 --export bgen-1.2."
    assert message(find, path) == f"{path}: {told}"
    with BgenWriter(f"{tmp_path}/b.bgen", 2, samples=["a", "b"]):
        pass
    path = f"{tmp_path}/b.bgen"
    assert message(find, path) == f"{path}: holds no variants; export the fileset again."


def test_missing_files_and_several_formats(tmp_path):
    remedy = "correct the path or provide the file"
    path = f"{tmp_path}/a.bgen"
    assert message(find, path) == f"{path}: the file does not exist; {remedy}."
    assert message(find, tmp_path / "a") == (
        f"{tmp_path}/a: neither .bed nor .pgen nor .bgen exists; {remedy}."
    )
    some(tmp_path / "a")
    put(tmp_path / "a")
    assert message(find, tmp_path / "a") == (
        f"{tmp_path}/a: both .bed and .bgen exist; name one of them by its suffix."
    )
    assert message(genotypes.find_filesets, [path, f"{tmp_path}/a.bed"], ALL_KINDS) == (
        f"{tmp_path}/a.bed: the fileset is named more than once; name each fileset once."
    )


@pytest.mark.parametrize("index", [True, False])
def test_a_bgen_that_ends_early_or_late(tmp_path, index):
    some(tmp_path / "a", index=index)
    path = f"{tmp_path}/a.bgen"
    fileset, stored = find(path), Path(path).read_bytes()
    ends = [each.next_variant_offset for each in BgenReader(path)]
    Path(path).write_bytes(stored[:-3])
    remedy = "copy or export it again."
    told = f"{path}: is truncated: 3 bytes of its last variant are missing; {remedy}"
    assert message(find, path) == told
    Path(path).write_bytes(stored[: ends[10]])
    told = "cannot be read (bgen is truncated - the header lists 60 variants, but only 11 could be"
    assert message(find, path).startswith(f"{path}: variant 12: {told}")
    with GenotypeReader([fileset], [np.arange(7)]) as reader:
        reader.read(0, 11)
        assert message(reader.read, 9, 13).startswith(f"{path}: variant 12: cannot be read (")
    Path(path).write_bytes(stored[:1000])
    assert message(find, path).startswith(f"{path}: ")
    Path(path).write_bytes(stored + b"12")
    told = f"{path}: goes on for 2 bytes after the 60 variants it announces; {remedy}"
    assert message(find, path) == told


def test_a_header_that_announces_other_numbers(tmp_path):
    some(tmp_path / "a")
    path = f"{tmp_path}/a.bgen"
    fileset, stored = find(path), bytearray(Path(path).read_bytes())
    stored[8:12] = struct.pack("<I", 59)
    Path(path).write_bytes(stored)
    with GenotypeReader([fileset], [np.arange(7)]) as reader:
        told = "holds 59 variants of 7 individuals, but 60 of 7 before; leave the files alone while"
        assert message(reader.read, 0, 1).startswith(f"{path}: {told}")
    stored[8:12] = struct.pack("<I", 61)
    Path(path).write_bytes(stored)
    assert message(find, path).startswith(f"{path}: variant 61: cannot be read (bgen is truncated")
    stored[8:12] = struct.pack("<I", 60)
    stored[12:16] = struct.pack("<I", 8)
    Path(path).write_bytes(stored)
    assert message(find, path).startswith(f"{path}: cannot be opened (inconsistent number of samp")


@pytest.mark.parametrize("n_variants", [59, 60])
def test_an_index_of_another_file(tmp_path, n_variants):
    some(tmp_path / "a")
    some(tmp_path / "b", n_variants=n_variants, n=30)
    shutil.copy(tmp_path / "b.bgen.bgi", tmp_path / "a.bgen.bgi")
    assert message(find, tmp_path / "a.bgen") == (
        f"{tmp_path}/a.bgen.bgi: is the index of another file; "
        "make it again with bgenix -index, or remove it."
    )


def test_an_index_that_is_none(tmp_path):
    some(tmp_path / "a")
    fileset = find(tmp_path / "a.bgen")
    (tmp_path / "a.bgen.bgi").write_text("not a database, but some text that is long enough")
    told = f"{tmp_path}/a.bgen.bgi: cannot be read (file is not a database); make it again with"
    assert message(find, tmp_path / "a.bgen").startswith(told)
    assert message(chromosome_runs, fileset).startswith(told)
    with GenotypeReader([fileset], [np.arange(7)]) as reader:
        assert "cannot be read (file is not a database)" in message(reader.read, 0, 1)


def test_vgwas_looks_for_plink_only(tmp_path):
    some(tmp_path / "a")
    for prefix in ("a", "a.bgen"):
        told = message(find_fileset, f"{tmp_path}/{prefix}")
        assert told.startswith(f"{tmp_path}/{prefix}: neither .bed nor .pgen exists; ")
