import shutil
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bgen import BgenReader, BgenWriter
from hypothesis import given, settings
from hypothesis import strategies as st

from filesets import message, needs_plink2, plink2, put, simulate, snps
from tessera import genotypes
from tessera.genotypes import ALL_KINDS, GenotypeReader, chromosome_runs, find_fileset

HARD = np.vstack([np.eye(3), np.full(3, np.nan)])  # 2, 1, 0 copies of the first allele; missing


def variant(chances, name="rs1", chrom="1", pos=1, alleles=("A", "G"), **options):
    ids = {"varid": f"v{pos}", "rsid": name, "chrom": chrom, "pos": pos, "alleles": alleles}
    return ids | {"genotypes": np.array(chances, dtype=float)} | options


def put_bgen(prefix, variants, names=None, index=True, **options):
    """Write a .bgen by the package's own writer, which makes an index as well."""
    n = len(variants[0]["genotypes"])
    names = [f"p{i}" for i in range(n)] if names is None else names
    with BgenWriter(f"{prefix}.bgen", n, samples=names or None, **options) as writer:
        for each in variants:
            writer.add_variant(**each)
    if not index:
        Path(f"{prefix}.bgen.bgi").unlink()
    return f"{prefix}.bgen"


def find(prefix):
    return find_fileset(str(prefix), ALL_KINDS)


def read_all(*filesets, rows=None):
    rows = rows or [np.arange(fileset.n_samples) for fileset in filesets]
    with GenotypeReader(filesets, rows) as reader:
        return reader.read_with_info(0, reader.n_variants)


def some(prefix, n_variants=60, n=7, seed=0, **options):
    """Write random hard calls and return the counts of the first allele."""
    codes = np.random.default_rng(seed).integers(0, 4, (n_variants, n))
    rows = [
        variant(HARD[row], f"rs{i}", f"{1 + i // 20}", i + 1, ("AC", "G"))
        for i, row in enumerate(codes)
    ]
    put_bgen(prefix, rows, **options)
    return np.array([2, 1, 0, np.nan], dtype=np.float32)[codes]


# What is read


def test_the_example_of_regenie_is_the_same_in_both_formats(reference_data):
    prefix = reference_data / "wgr" / "inputs" / "example"
    bgen, bed = find(f"{prefix}.bgen"), find(f"{prefix}.bed")
    pd.testing.assert_frame_equal(genotypes.read_variants(bgen), genotypes.read_variants(bed))
    pd.testing.assert_frame_equal(genotypes.read_samples(bgen), genotypes.read_samples(bed))
    counts, info = read_all(bgen)
    np.testing.assert_array_equal(counts, read_all(bed)[0])
    assert set(np.unique(counts)) == {0, 1, 2}
    assert (info == 1).all()


def test_known_variants(tmp_path):
    rows = [
        variant(HARD[[0, 1, 2, 3]], "rs1", "1", 10),
        variant(HARD[[2, 2, 0, 1]], "", "X", 20, ("T", "CC")),
        variant(np.eye(6)[[0, 1, 2, 3]], "rs3", "X", 30, ("T", "C", "G")),
    ]
    fileset = find(put_bgen(tmp_path / "a.b", rows, compression="zlib"))
    assert fileset == genotypes.Fileset(str(tmp_path / "a.b"), "bgen", 4, 3)
    assert fileset.files == (f"{tmp_path}/a.b.bgen", f"{tmp_path}/a.b.bgen.bgi")
    assert find(tmp_path / "a.b") == fileset
    variants = genotypes.read_variants(fileset)
    assert variants.to_dict("list") == {
        "id": ["rs1", "v20", "rs3"],
        "chr": ["1", "X", "X"],
        "pos": [10, 20, 30],
        "a1": ["A", "T", "T"],
        "a2": ["G", "CC", "C,G"],
        "multiallelic": [False, False, True],
    }
    assert variants["pos"].dtype == np.int64
    assert variants["multiallelic"].dtype == bool
    nan = np.nan
    counts, info = read_all(fileset)
    assert counts.dtype == np.float32
    np.testing.assert_array_equal(counts, [[2, 1, 0, nan], [0, 0, 2, 1], [nan] * 4])
    np.testing.assert_array_equal(info, [1, 1, nan])


def test_every_probability_of_8_bits_gives_the_nearest_number(tmp_path):
    both, one = (part.ravel() for part in np.mgrid[:256, :256])
    both, one = both[both + one < 256], one[both + one < 256]
    chances = np.stack([both, one, 255 - both - one], axis=1) / 255
    counts, _ = read_all(find(put_bgen(tmp_path / "a", [variant(chances, bit_depth=8)])))
    nearest = [float(Fraction(int(2 * b + o), 255)) for b, o in zip(both, one, strict=True)]
    np.testing.assert_array_equal(counts[0], np.array(nearest).astype(np.float32))


@pytest.mark.parametrize("bits", [1, 2, 3, 5, 8, 11, 16, 23, 32])
@pytest.mark.parametrize("compression", [None, "zlib", "zstd"])
def test_certain_genotypes_are_whole_numbers_at_any_depth(tmp_path, bits, compression):
    apart = np.array([[1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 0, 1], [np.nan] * 4])
    rows = [
        variant(HARD[[0, 1, 2, 3, 1]], bit_depth=bits),
        variant(apart[[2, 1, 3, 0, 1]], phased=True, bit_depth=bits),
    ]
    counts, info = read_all(find(put_bgen(tmp_path / "a", rows, compression=compression)))
    np.testing.assert_array_equal(counts, [[2, 1, 0, np.nan, 1], [0, 1, np.nan, 2, 1]])
    np.testing.assert_array_equal(info, [1, 1])


@pytest.mark.parametrize("bits", [3, 8, 16, 32])
def test_expected_counts_and_info_against_the_definition(tmp_path, bits):
    rng = np.random.default_rng(bits)
    top = 2**bits - 1
    cuts = np.sort(rng.integers(0, top + 1, (6, 40, 2), endpoint=False), axis=2)
    stored = np.stack([cuts[..., 0], cuts[..., 1] - cuts[..., 0], top - cuts[..., 1]], axis=2)
    one, other = rng.integers(0, top + 1, (2, 40)).astype(float)
    rows = [variant(each / top, bit_depth=bits) for each in stored]
    chances = np.stack([one, top - one, other, top - other], axis=1) / top
    rows.append(variant(chances, phased=True, bit_depth=bits))
    people = rng.permutation(40)[:25]
    counts, info = read_all(find(put_bgen(tmp_path / "a", rows)), rows=[people])
    p2, p1 = stored[..., 0] / top, stored[..., 1] / top
    p2 = np.vstack([p2, one / top * other / top])[:, people]
    p1 = np.vstack([p1, (one * (top - other) + other * (top - one)) / top**2])[:, people]
    expected = 2 * p2 + p1
    np.testing.assert_allclose(counts, expected, atol=3e-7)
    f = expected.mean(axis=1) / 2
    score = 1 - (4 * p2 + p1 - expected**2).sum(axis=1) / (2 * len(people) * f * (1 - f))
    np.testing.assert_allclose(info, score, atol=1e-6)


def test_one_copy_counts_as_two_alike_and_three_as_missing(tmp_path):
    nan = np.nan
    unphased = [[0, 1, 0, nan], [1, 0, nan, nan], [0.2, 0.8, nan, nan], [1, 0, 0, 0], [nan] * 4]
    phased = [[0, 1, 1, 0], [1, 0, nan, nan], [0.2, 0.8, nan, nan], [0, 1, 0, 1], [nan] * 4]
    single = [[1, 0], [0, 1], [0.2, 0.8], [1, 0], [nan, nan]]
    rows = [
        variant(unphased, ploidy=np.array([2, 1, 1, 3, 2]), bit_depth=8),
        variant(phased, ploidy=np.array([2, 1, 1, 2, 2]), phased=True, bit_depth=8),
        variant(single, ploidy=1, bit_depth=8),
    ]
    counts, info = read_all(find(put_bgen(tmp_path / "a", rows)))
    expected = [[1, 2, 0.4, nan, nan], [1, 2, 0.4, 0, nan], [2, 0, 0.4, 2, nan]]
    np.testing.assert_array_equal(counts, np.array(expected, dtype=np.float32))
    f = 3.4 / 6
    assert info[0] == pytest.approx(1 - 4 * 0.2 * 0.8 / (6 * f * (1 - f)))


def test_info_where_nothing_varies_or_is_known(tmp_path):
    rows = [
        variant(HARD[[0, 0, 0, 3]]),
        variant(HARD[[2, 2, 2, 2]]),
        variant(HARD[[3, 3, 3, 3]]),
        variant([[0.25, 0.5, 0.25]] * 4, bit_depth=2),  # 1/3 each, or nearly nothing is known
    ]
    info = read_all(find(put_bgen(tmp_path / "a", rows)))[1]
    np.testing.assert_array_equal(info[:3], [1, 1, np.nan])
    assert info[3] < 0.5


def test_info_of_other_formats_is_one(tmp_path):
    bed = find(put(tmp_path / "a", bed=bytes([0x6C, 0x1B, 1, 0b11_10_01_00, 0, 0b01010101, 1])))
    np.testing.assert_array_equal(read_all(bed)[1], [1, np.nan])


@pytest.mark.parametrize("index", [True, False])
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_any_people_and_ranges_in_any_order(tmp_path_factory, index, data):
    folder = tmp_path_factory.mktemp("any")
    truth = some(folder / "a", n_variants=40, index=index)
    people = data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=9))
    bounds = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted)
    with GenotypeReader([find(folder / "a.bgen")], [np.array(people)]) as reader:
        for start, stop in data.draw(st.lists(bounds, min_size=1, max_size=5)):
            np.testing.assert_array_equal(reader.read(start, stop), truth[start:stop, people])


def test_ranges_span_formats(tmp_path):
    first = some(tmp_path / "a", n_variants=5, index=False)
    second = simulate(tmp_path / "b", 6, 9).astype(np.float32)
    second[second < 0] = np.nan
    filesets = genotypes.find_filesets([f"{tmp_path}/a", f"{tmp_path}/b.bed"], ALL_KINDS)
    rows = [np.array([6, 0, 3]), np.array([2, 8, 1])]
    whole = np.vstack([first[:, rows[0]], second[:, rows[1]]])
    with GenotypeReader(filesets, rows) as reader:
        for start, stop in ((0, 11), (4, 6), (3, 5), (9, 11)):
            np.testing.assert_array_equal(reader.read(start, stop), whole[start:stop])


def test_probabilities_above_one_are_no_genotypes(tmp_path):
    path = put_bgen(tmp_path / "a", [variant(HARD[:3], bit_depth=8)], compression=None)
    stored = bytearray(Path(path).read_bytes())
    stored[-6:-4] = b"\xff\x01"
    Path(path).write_bytes(stored)
    assert message(read_all, find(path)) == (
        f"{path}: variant 1: cannot be read (probabilities add up to more than 1); "
        "copy or export it again."
    )


@needs_plink2
def test_what_plink2_exports(tmp_path):
    codes = np.random.default_rng(1).integers(-1, 3, (80, 30)).astype(np.int8)
    codes[40:, ::2][codes[40:, ::2] == 1] = 2  # no man is heterozygous on X
    truth = np.where(codes < 0, np.nan, codes).astype(np.float32)
    people = pd.DataFrame(
        {"fid": [f"f{i}" for i in range(30)], "iid": [f"p{i}" for i in range(30)]}
    )
    variants = snps(80).assign(chr=np.repeat(["1", "X"], 40), pos=np.arange(80) + 20_000_000)
    genotypes.write_bed(tmp_path / "a", [codes], people, variants)
    fam = "".join(f"f{i} p{i} 0 0 {i % 2 + 1} -9\n" for i in range(30))
    (tmp_path / "a.fam").write_text(fam)
    plink2("--bfile", tmp_path / "a", "--export", "bgen-1.2", "bits=8", "--out", tmp_path / "b")
    plink2("--bfile", tmp_path / "a", "--export", "bgen-1.3", "ref-first", "--out", tmp_path / "c")
    last, first = find(tmp_path / "b.bgen"), find(tmp_path / "c.bgen")
    with BgenReader(last.files[0]) as reader:
        assert set(reader[79].ploidy) == {1, 2}
    np.testing.assert_array_equal(read_all(last)[0], truth)
    np.testing.assert_array_equal(read_all(first)[0], 2 - truth)
    for fileset, names in ((last, ("a1", "a2")), (first, ("a2", "a1"))):
        told = genotypes.read_variants(fileset)
        assert list(told["a1"]) == list(variants[names[0]])
        assert list(told["a2"]) == list(variants[names[1]])
        assert fileset.samples_file == f"{fileset.prefix}.sample"
        pd.testing.assert_frame_equal(genotypes.read_samples(fileset), people)
        Path(fileset.samples_file).unlink()  # names within the file are FID_IID
        pd.testing.assert_frame_equal(genotypes.read_samples(fileset), people)


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
