import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filesets import BED, BIM, FAM, message, needs_plink2, people, plink2, put, simulate, snps
from tessera import genotypes
from tessera.genotypes import GenotypeReader, find_fileset, find_filesets

COUNTS = np.array([[2, np.nan, 1, 0, 2], [0, 0, 2, 2, np.nan]], dtype=np.float32)


def counts(truth):
    return np.where(truth < 0, np.nan, truth).astype(np.float32)


def read_all(*filesets, rows=None):
    rows = rows or [np.arange(fileset.n_samples) for fileset in filesets]
    with GenotypeReader(filesets, rows) as reader:
        return reader.read(0, reader.n_variants)


def test_known_bytes(tmp_path):
    fileset = find_fileset(put(tmp_path / "a.b"))
    assert fileset == genotypes.Fileset(str(tmp_path / "a.b"), "bed", 5, 2)
    assert [Path(file).name for file in fileset.files] == ["a.b.bed", "a.b.bim", "a.b.fam"]
    read = read_all(fileset)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, COUNTS)
    assert genotypes.read_samples(fileset).to_dict("list") == {
        "fid": ["f0", "f1", "f2", "f3", "f4"],
        "iid": ["p0", "p1", "p2", "p3", "p4"],
    }
    variants = genotypes.read_variants(fileset)
    assert variants.to_dict("list") == {
        "id": ["rs1", "rs2"],
        "chr": ["1", "23"],
        "pos": [100, 2000],
        "a1": ["A", "T"],
        "a2": ["G", "C"],
        "multiallelic": [False, False],
    }
    assert variants["pos"].dtype == np.int64
    assert variants["multiallelic"].dtype == bool


def test_suffix_is_not_part_of_the_prefix(tmp_path):
    prefix = put(tmp_path / "a")
    assert find_fileset(f"{prefix}.bed") == find_fileset(prefix)
    assert find_fileset(prefix).prefix == prefix


def test_blank_lines_at_the_end_and_other_line_ends_are_tolerated(tmp_path):
    bim = BIM.replace("\t", "  ").replace("\n", "\r\n") + "\r\n \n\n"
    fileset = find_fileset(put(tmp_path / "a", bim=bim, fam=FAM.rstrip() + "\n\n"))
    assert (fileset.n_samples, fileset.n_variants) == (5, 2)
    assert list(genotypes.read_variants(fileset)["a2"]) == ["G", "C"]
    assert list(genotypes.read_samples(fileset)["iid"])[-1] == "p4"


def test_ids_that_look_like_numbers_quotes_or_nothing_are_text(tmp_path):
    bim = '01 NA 0 -5 0 .\nX "x 0 7 A,T G\n'
    fam = "".join(f"NA 00{i} 0 0 0 -9 {i}.5\n" for i in range(5))  # and a second phenotype
    fileset = find_fileset(put(tmp_path / "a", bim=bim, fam=fam))
    variants = genotypes.read_variants(fileset)
    assert variants.to_numpy().tolist() == [
        ["NA", "01", -5, "0", ".", False],
        ['"x', "X", 7, "A,T", "G", True],
    ]
    assert list(genotypes.read_samples(fileset)["iid"]) == ["000", "001", "002", "003", "004"]


@pytest.mark.parametrize("n_samples", [1, 3, 4, 5, 8, 21])
def test_written_genotypes_are_read_back(tmp_path, n_samples):
    truth = np.random.default_rng(n_samples).integers(-1, 3, (70, n_samples)).astype(np.int8)
    chunks = np.split(truth, [0, 1, 40])
    genotypes.write_bed(tmp_path / "a", iter(chunks), people(n_samples), snps(70))
    (fileset,) = find_filesets([str(tmp_path / "a")])
    np.testing.assert_array_equal(read_all(fileset), counts(truth))
    pd.testing.assert_frame_equal(
        genotypes.read_variants(fileset), snps(70).assign(multiallelic=False)
    )
    pd.testing.assert_frame_equal(genotypes.read_samples(fileset), people(n_samples))


def slow_decode(packed, n_samples, rows):
    width = (n_samples + 3) // 4
    copies = {0b00: 2.0, 0b01: float("nan"), 0b10: 1.0, 0b11: 0.0}
    return [
        [copies[packed[start + row // 4] >> 2 * (row % 4) & 3] for row in rows]
        for start in range(0, len(packed), width)
    ]


@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_any_bytes_people_and_range_as_by_a_slow_decoder(tmp_path_factory, data):
    n_samples = data.draw(st.integers(1, 40))
    n_variants = data.draw(st.integers(1, 12))
    size = n_variants * ((n_samples + 3) // 4)
    packed = data.draw(st.binary(min_size=size, max_size=size))  # the padding as well
    rows = data.draw(st.lists(st.integers(0, n_samples - 1), min_size=1, max_size=50))
    start = data.draw(st.integers(0, n_variants))
    stop = data.draw(st.integers(start, n_variants))
    prefix = tmp_path_factory.mktemp("any") / "a"
    genotypes.write_bed(prefix, [], people(n_samples), snps(0))
    Path(f"{prefix}.bed").write_bytes(BED[:3] + packed)
    snps(n_variants).assign(cm=0)[["chr", "id", "cm", "pos", "a1", "a2"]].to_csv(
        f"{prefix}.bim", sep=" ", header=False, index=False
    )
    with GenotypeReader([find_fileset(str(prefix))], [np.array(rows)]) as reader:
        read = reader.read(start, stop)
    expected = np.array(slow_decode(packed, n_samples, rows), np.float32).reshape(-1, len(rows))
    np.testing.assert_array_equal(read, expected[start:stop])


def test_ranges_span_filesets_that_list_people_in_other_orders(tmp_path):
    rng = np.random.default_rng(1)
    parts, rows = [], []
    for number, (n_variants, n_samples) in enumerate([(7, 9), (1, 11), (5, 9)]):
        truth = simulate(tmp_path / f"chr{number}", n_variants, n_samples, seed=number)
        rows.append(rng.permutation(n_samples)[:6])
        parts.append(counts(truth)[:, rows[-1]])
    whole = np.concatenate(parts)
    filesets = find_filesets([str(tmp_path / f"chr{number}") for number in range(3)])
    with GenotypeReader(filesets, rows) as reader:
        assert reader.n_variants == 13
        for start in range(14):
            for stop in range(start, 14):
                np.testing.assert_array_equal(reader.read(start, stop), whole[start:stop])


# PLINK 2


@needs_plink2
def test_both_formats_give_what_plink2_exports(tmp_path):
    truth = simulate(tmp_path / "a", 150, 23)
    plink2("--bfile", tmp_path / "a", "--make-pgen", "--out", tmp_path / "b")
    plink2("--bfile", tmp_path / "a", "--export", "A", "--out", tmp_path / "c")
    plink2("--bfile", tmp_path / "a", "--geno-counts", "--out", tmp_path / "c")
    bed, pgen = find_filesets([str(tmp_path / "a"), str(tmp_path / "b.pgen")])
    assert (bed.kind, pgen.kind) == ("bed", "pgen")
    assert (pgen.n_samples, pgen.n_variants) == (23, 150)
    np.testing.assert_array_equal(read_all(bed), counts(truth))
    np.testing.assert_array_equal(read_all(pgen), counts(truth))
    variants = genotypes.read_variants(bed)
    pd.testing.assert_frame_equal(genotypes.read_variants(pgen), variants)
    pd.testing.assert_frame_equal(genotypes.read_samples(pgen), genotypes.read_samples(bed))

    exported = pd.read_csv(tmp_path / "c.raw", sep="\t").iloc[:, 6:]
    allele = exported.columns.str.rsplit("_").str[-1]
    copies = exported.to_numpy(np.float32).T
    other = np.asarray(allele == variants["a2"])  # the names of the columns tell which is counted
    copies[other] = 2 - copies[other]
    np.testing.assert_array_equal(copies, counts(truth))

    counted = pd.read_csv(tmp_path / "c.gcount", sep="\t")
    assert list(counted["ALT"]) == list(variants["a1"])
    for column, value in (("TWO_ALT_GENO_CTS", 2), ("HET_REF_ALT_CTS", 1), ("MISSING_CT", -1)):
        assert list(counted[column]) == list((truth == value).sum(axis=1))


@needs_plink2
def test_people_of_a_pgen_in_any_order_and_more_than_once(tmp_path):
    truth = simulate(tmp_path / "a", 200, 30)
    plink2("--bfile", tmp_path / "a", "--make-pgen", "--out", tmp_path / "b")
    filesets = [find_fileset(str(tmp_path / "b")), find_fileset(str(tmp_path / "a"))]
    rows = np.array([17, 3, 29, 3, 0])
    whole = np.tile(counts(truth)[:, rows], (2, 1))
    with GenotypeReader(filesets, [rows, rows]) as reader:
        for start, stop in ((0, 400), (130, 131), (150, 260), (5, 5), (63, 193)):
            np.testing.assert_array_equal(reader.read(start, stop), whole[start:stop])


VCF = """\
##fileformat=VCFv4.2
##contig=<ID=1>
##INFO=<ID=X,Number=1,Type=String,Description="one, two">
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
##FORMAT=<ID=DS,Number=1,Type=Float,Description="Dosage">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tp1\tp2\tp3\tp4\tp5
"""


def convert(prefix, lines, *options):
    lines = [line.split() for line in lines]
    Path(f"{prefix}.vcf").write_text(VCF + "".join("\t".join(line) + "\n" for line in lines))
    plink2("--vcf", f"{prefix}.vcf", *options, "--make-pgen", "--out", prefix)
    return find_fileset(str(prefix))


@needs_plink2
def test_dosages_are_those_of_alt(tmp_path):
    lines = [
        "1 10 v1 A G . . X=a,b GT:DS 0/0:0.25 0/1:1.125 1/1:1.875 ./.:. 0/1:1",
        "1 20 v2 G A . . X=c GT 0/0 0/1 1/1 ./. 1/1",
    ]
    fileset = convert(tmp_path / "a", lines, "dosage=DS")
    variants = genotypes.read_variants(fileset)
    assert list(variants["a1"]) == ["G", "A"]
    assert list(variants["a2"]) == ["A", "G"]
    expected = [[0.25, 1.125, 1.875, np.nan, 1], [0, 1, 2, np.nan, 2]]
    np.testing.assert_array_equal(read_all(fileset), expected)


@needs_plink2
def test_multiallelic_variants_are_missing_and_leave_others_alone(tmp_path):
    lines = [
        "1 10 v1 A G . . X=a,b GT 0/0 0/1 1/1 ./. 0/1",
        "1 20 v2 A G,T . . X=a GT 0/0 0/1 1/2 ./. 2/2",
        "1 30 v3 C T . . X=a GT 0/1 0/1 1/1 1/1 0/1",
    ]
    fileset = convert(tmp_path / "a", lines)
    assert list(genotypes.read_variants(fileset)["multiallelic"]) == [False, True, False]
    nan = np.nan
    expected = [[0, 1, 2, nan, 1], [nan] * 5, [1, 1, 2, 2, 1]]
    np.testing.assert_array_equal(read_all(fileset), expected)


@needs_plink2
def test_tables_of_plink2_with_and_without_header(tmp_path):
    truth = simulate(tmp_path / "a", 3, 4)
    plink2("--bfile", tmp_path / "a", "--make-pgen", "--out", tmp_path / "b")
    prefix = tmp_path / "b"
    for variants, samples, fid in (
        (None, "#FID\tIID\n" + "".join(f"f{i} p{i}\n" for i in range(4)), ["f0", "f1", "f2", "f3"]),
        ("a.bim", "## a comment\n#IID SEX\np0 1\np1 2\np2 NA\np3 1\n", ["0"] * 4),
        (None, (tmp_path / "a.fam").read_text(), ["0"] * 4),
    ):
        if variants:
            shutil.copy(tmp_path / variants, f"{prefix}.pvar")
        Path(f"{prefix}.psam").write_text(samples)
        fileset = find_fileset(str(prefix))
        assert list(genotypes.read_samples(fileset)["fid"]) == fid
        assert list(genotypes.read_samples(fileset)["iid"]) == ["p0", "p1", "p2", "p3"]
        pd.testing.assert_frame_equal(
            genotypes.read_variants(fileset), snps(3).assign(multiallelic=False)
        )
        np.testing.assert_array_equal(read_all(fileset), counts(truth))


def test_a_bed_that_ends_early_after_it_was_found(tmp_path):
    fileset = find_fileset(put(tmp_path / "a"))
    Path(fileset.files[0]).write_bytes(BED[:-1])
    with GenotypeReader([fileset], [np.arange(5)]) as reader:
        assert reader.read(0, 1).shape == (1, 5)
        assert message(reader.read, 0, 2) == (
            f"{fileset.files[0]}: variant 2: the file ends early; copy or export it again."
        )
        Path(fileset.files[0]).unlink()
        assert "a.bed: the file does not exist" in message(reader.read, 0, 1)


def test_mistakes_of_the_caller_are_no_bad_input(tmp_path):
    fileset = find_fileset(put(tmp_path / "a"))
    for rows in ([5], [-1, 2], []):
        with pytest.raises(ValueError, match=r"of .*/a$"):
            GenotypeReader([fileset], [np.array(rows, dtype=np.int64)])
    with pytest.raises(ValueError, match="1 individuals of"):
        GenotypeReader([fileset, fileset], [np.arange(2), np.arange(1)])
    with pytest.raises(ValueError, match="variants 0 to 3 of 2"):
        GenotypeReader([fileset], [np.arange(2)]).read(0, 3)
    for chunk, told in (
        (np.zeros((3, 4), np.int8), "for 5 individuals"),
        (np.full((3, 5), 3, np.int8), "genotypes from 3 to 3"),
        (np.zeros((2, 5), np.int8), "2 variants came where 3 were announced"),
    ):
        with pytest.raises(ValueError, match=told):
            genotypes.write_bed(tmp_path / "b", [chunk], people(5), snps(3))
