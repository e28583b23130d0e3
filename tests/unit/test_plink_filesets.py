import numpy as np
import pytest

from filesets import BED, BIM, message, needs_plink2, plink2, put, put_pgen, simulate
from tessera import genotypes, plink_tables
from tessera.genotypes import GenotypeReader, find_fileset, find_filesets


def test_missing_files_are_told_all_at_once(tmp_path):
    prefix = put(tmp_path / "a")
    (tmp_path / "a.bim").unlink()
    (tmp_path / "a.fam").unlink()
    other = tmp_path / "none"
    remedy = "correct the path or provide the file"
    assert message(find_filesets, [prefix, str(other), f"{other}.pgen"]).splitlines() == [
        f"{prefix}.bim: the file does not exist; {remedy}.",
        f"{prefix}.fam: the file does not exist; {remedy}.",
        f"{other}: neither .bed nor .pgen exists; {remedy}.",
        f"{other}.pgen: the fileset is named more than once; name each fileset once.",
    ]
    assert "/none.psam: the file does not exist" in message(find_fileset, f"{other}.pgen")


def test_missing_toy_data_can_be_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    remedy = "run `snakemake toy` first, which makes the toy data"
    assert message(find_fileset, "toy/chr1") == (
        f"toy/chr1: neither .bed nor .pgen exists; {remedy}."
    )
    assert message(find_fileset, "toy/chr1.bed").splitlines()[2] == (
        f"toy/chr1.fam: the file does not exist; {remedy}."
    )


def test_a_prefix_twice(tmp_path, monkeypatch):
    put(tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    assert message(find_filesets, ["a", "./a.bed", f"{tmp_path}/a"]).splitlines() == [
        "./a.bed: the fileset is named more than once; name each fileset once.",
        f"{tmp_path}/a: the fileset is named more than once; name each fileset once.",
    ]


def test_a_prefix_of_both_formats(tmp_path):
    prefix = put(tmp_path / "a")
    put_pgen(prefix, BIM)
    assert message(find_fileset, prefix) == (
        f"{prefix}: both .bed and .pgen exist; name one of them by its suffix."
    )
    assert find_fileset(f"{prefix}.bed").kind == "bed"


def test_compressed_pvar(tmp_path):
    prefix = put_pgen(tmp_path / "a", BIM)
    (tmp_path / "a.pvar").rename(tmp_path / "a.pvar.zst")
    assert message(find_fileset, prefix).splitlines()[1] == (
        f"{prefix}.pvar.zst: is compressed by zstd, which is not read here; "
        f"decompress it: plink2 --zst-decompress {prefix}.pvar.zst {prefix}.pvar."
    )


@pytest.mark.parametrize(
    ("bed", "told"),
    [
        (b"", "is no PLINK .bed file (it is empty); name one that plink --make-bed wrote"),
        (b"chr1\t", "is no PLINK .bed file (it starts with 63 68 72); name one that"),
        (b"\x6c\x1b\x00" + BED[3:], "is individual-major; convert with plink --make-bed."),
        (
            BED[:-1],
            "holds 6 bytes where 2 variants of 5 individuals take 7, so it is truncated; "
            "copy or export it again.",
        ),
        (
            BED + b"\0\0",
            "holds 9 bytes where 2 variants of 5 individuals take 7, so the .bim and .fam belong "
            "to another file; bring the three files of one export together.",
        ),
    ],
)
def test_genotypes_that_are_no_bed_of_these_people_and_variants(tmp_path, bed, told):
    prefix = put(tmp_path / "a", bed=bed)
    assert message(find_fileset, prefix).startswith(f"{prefix}.bed: {told}")


@pytest.mark.parametrize("pgen", [b"", b"\x6c\x1b", BED + bytes(9), b"x" * 40])
def test_files_that_are_no_pgen(tmp_path, pgen):
    told = message(find_fileset, put_pgen(tmp_path / "a", BIM, pgen=pgen))
    assert told.startswith(f"{tmp_path}/a.pgen: is no PLINK 2 .pgen file (it ")


def test_damaged_header_of_a_pgen(tmp_path):
    pgen = b"\x6c\x1b\x10" + bytes([2, 0, 0, 0, 3, 0, 0, 0]) + b"\xff" * 30
    told = message(find_fileset, put_pgen(tmp_path / "a", BIM, pgen=pgen))
    assert told.startswith(f"{tmp_path}/a.pgen: cannot be opened (")


def test_empty_tables_and_folders(tmp_path):
    prefix = put(tmp_path / "a", bim="\n", fam="")
    assert message(find_fileset, prefix).splitlines() == [
        f"{prefix}.bim: holds no variants; export the fileset again.",
        f"{prefix}.fam: holds no individuals; export the fileset again.",
    ]
    (tmp_path / "a.fam").unlink()
    (tmp_path / "a.fam").mkdir()
    assert "a.fam: cannot be read (Is a directory); check" in message(find_fileset, prefix)
    assert "cannot be read (File name too long)" in message(find_fileset, "x" * 5000)


def test_header_without_the_columns_needed(tmp_path):
    pvar = "##source=x\n#CHROM\tPOS\tID\tALT\n1\t5\ta\tG\n"
    told = message(find_fileset, put_pgen(tmp_path / "a", pvar, "#FID SEX\n1 2\n"))
    assert told.splitlines()[1:] == [
        f"{tmp_path}/a.pvar: row 2: the header has no REF; name the columns in the last line that "
        "starts with #: #CHROM POS ID REF ALT.",
        f"{tmp_path}/a.psam: row 1: the header has no IID; name the columns in the last line that "
        "starts with #: #IID.",
    ]


@pytest.mark.parametrize("before", [0, 1, 4, 5, 8])
@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("1 b 0 6 A", "found 5 columns where 6 are expected; separate the columns by tabs"),
        ("1 b 0 6 A G T", "found 7 columns where 6 are expected; separate"),
        ("1 b 0 6 A G T T T", "found 9 columns where 6 are expected; separate"),
        ("", "found 0 columns where 6 are expected; separate"),
        ("1 b 0 x A G", "found x as the position; expected an integer, in base pairs."),
        ("1 b 0 1e5 A G", "found 1e5 as the position; expected"),
        ("1 b 0 5.0 A G", "found 5.0 as the position; expected"),
        ("1 b 0 99999999999999999999 A G", "found 99999999999999999999 as the position; "),
        (b"1 \xe9 0 5 A G", "holds a character that is not in UTF-8; save the file as text"),
    ],
)
def test_bad_rows_of_variants(tmp_path, monkeypatch, before, row, told):
    monkeypatch.setattr(plink_tables, "_CHUNK", 4)  # the first row of a chunk is no exception
    good = b"1 a 0 5 A G\n"
    bad = row if isinstance(row, bytes) else row.encode()
    bim = good * before + bad + b"\n" + good * 5
    fileset = find_fileset(put(tmp_path / "a", bed=BED[:3] + bytes(2 * (before + 6)), bim=bim))
    said = message(genotypes.read_variants, fileset)
    assert said.startswith(f"{tmp_path}/a.bim: row {before + 1}: {told}")
    assert said.count("\n") == 0


def test_only_some_of_many_bad_rows_are_told(tmp_path):
    bim = BIM + "1 b 0 x A G\n" * 30 + "1 b 0\n" * 7
    prefix = put(tmp_path / "a", bed=BED[:3] + bytes(2 * 39), bim=bim)
    told = message(genotypes.read_variants, find_fileset(prefix)).splitlines()
    assert len(told) == 21
    assert told[0].startswith(f"{prefix}.bim: row 3: found x")
    assert told[20] == f"{prefix}.bim: 17 more bad rows; correct them in the same way."


def test_bad_rows_of_samples(tmp_path):
    fam = "f p0 0 0 0 -9\nf p1\nf p2 0 0 0 -9\np3 0\nf p4 0 0 0 -9\n"
    prefix = put(tmp_path / "a", fam=fam)
    remedy = "separate the columns by tabs, and leave none empty"
    assert message(genotypes.read_samples, find_fileset(prefix)).splitlines() == [
        f"{prefix}.fam: row 2: found 2 columns where 6 are expected; {remedy}.",
        f"{prefix}.fam: row 4: found 2 columns where 6 are expected; {remedy}.",
    ]


@pytest.mark.parametrize(
    ("ids", "told"),
    [
        ("a b a c a", "1 id occurs more than once (a)"),
        ("a b a b a", "2 ids occur more than once (a, b)"),
        ("a b c d d c b a", "4 ids occur more than once (d, c, b, ...)"),
    ],
)
def test_repeated_people(tmp_path, ids, told):
    names = ids.split()
    fam = "".join(f"{n} {name} 0 0 0 -9\n" for n, name in enumerate(names))
    prefix = put(tmp_path / "a", fam=fam, bed=BED[:3] + bytes(2 * ((len(names) + 3) // 4)))
    assert message(genotypes.read_samples, find_fileset(prefix)) == (
        f"{prefix}.fam: {told}; give each individual an IID of its own."
    )


@needs_plink2
def test_a_pgen_that_ends_early(tmp_path):
    simulate(tmp_path / "a", 100, 64)
    plink2("--bfile", tmp_path / "a", "--make-pgen", "--out", tmp_path / "b")
    fileset = find_fileset(str(tmp_path / "b"))
    stored = (tmp_path / "b.pgen").read_bytes()
    (tmp_path / "b.pgen").write_bytes(stored[: len(stored) // 2])
    told = message(find_fileset, fileset.prefix)
    assert told.startswith(f"{tmp_path}/b.pgen: its last variant cannot be read (")
    assert told.endswith("; copy or export it again.")
    with GenotypeReader([fileset], [np.arange(64)]) as reader:
        reader.read(0, 20)
        told = message(reader.read, 20, 100)
    assert told.startswith(f"{tmp_path}/b.pgen: variants 21 to 84: the genotypes cannot be read (")
    for size in (0, 2, 11, 12, 40):
        (tmp_path / "b.pgen").write_bytes(stored[:size])
        assert message(find_fileset, fileset.prefix).startswith(f"{tmp_path}/b.pgen: ")


@needs_plink2
def test_a_pgen_beside_the_files_of_another(tmp_path):
    simulate(tmp_path / "a", 4, 3)
    plink2("--bfile", tmp_path / "a", "--make-pgen", "--out", tmp_path / "b")
    pgen = (tmp_path / "b.pgen").read_bytes()
    prefix = put_pgen(tmp_path / "c", BIM, "#IID\na\nb\n", pgen)
    remedy = "bring the three files of one export together"
    assert message(find_fileset, prefix).splitlines() == [
        f"{prefix}.pgen: holds 4 variants where {prefix}.pvar has 2; {remedy}.",
        f"{prefix}.pgen: holds 3 individuals where {prefix}.psam has 2; {remedy}.",
    ]
    fileset = find_fileset(str(tmp_path / "b"))
    (tmp_path / "b.pvar").write_text(BIM)
    with GenotypeReader([fileset], [np.arange(3)]) as reader:
        told = message(reader.read, 0, 1)
    assert "b.pvar: holds 2 variants, but 4 before; leave the files alone" in told
