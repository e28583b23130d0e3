from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bgen import BgenReader
from hypothesis import given, settings
from hypothesis import strategies as st

from bgens import HARD, find, put_bgen, read_all, some, variant
from filesets import message, needs_plink2, plink2, put, simulate, snps
from tessera import genotypes
from tessera.genotypes import ALL_KINDS, GenotypeReader

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
