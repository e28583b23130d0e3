import gzip
import json
from pathlib import Path

import cyvcf2
import numpy as np
import pytest

from filesets import message, needs_plink2, plink2
from tessera import genotypes
from tessera.genotypes import GenotypeReader, find_fileset
from tessera.vcf_files import convert_vcf, scan_vcf

HEADER = """\
##fileformat=VCFv4.2
##contig=<ID=1>
##contig=<ID=X>
##INFO=<ID=X,Number=1,Type=String,Description="one, two">
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
##FORMAT=<ID=DS,Number=1,Type=Float,Description="Dosage">
##FORMAT=<ID=GP,Number=G,Type=Float,Description="Probabilities">
##FORMAT=<ID=AD,Number=R,Type=Integer,Description="Depths">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT"""
FIVE = [
    "1 10 v1 A G . . X=a,b GT:DS 0/0:0.25 0|1:1.125 1/1:1.875 ./.:. 0/1:1",
    "1 20 v2 G A . . . GT 0/0 0|1 1/1 ./1 1|0",
    "X 30 . C T . . . GT 0 1 0/1 . 1/1",
]
COUNTS = [[0.25, 1.125, 1.875, np.nan, 1], [0, 1, 2, np.nan, 1], [0, 2, 1, np.nan, 2]]


def put_vcf(path, rows, names=None, header=HEADER):
    """Write rows, given with blanks instead of tabs, as text or as the suffix of the path says."""
    rows = [row.split() for row in rows]
    names = names or [f"p{i}" for i in range(len(rows[0]) - 9)]
    text = "".join("\t".join(row) + "\n" for row in [[header, *names], *rows])
    if str(path).endswith(".gz"):
        Path(path).write_bytes(gzip.compress(text.encode()))
    else:
        Path(path).write_text(text)
    return str(path)


def packed(path, mode):
    """Write a VCF again in the blocks of its field's tools: `mode` wz for text, wb for BCF."""
    target = f"{path}.{'bcf' if mode == 'wb' else 'gz'}"
    vcf = cyvcf2.VCF(path)
    writer = cyvcf2.Writer(target, vcf, mode=mode)
    for record in vcf:
        writer.write_record(record)
    writer.close()
    return target


def convert(path, prefix="converted"):
    prefix = Path(path).with_name(prefix)
    convert_vcf(path, str(prefix), scan_vcf(path)["n_variants"])
    return find_fileset(f"{prefix}.pgen")


def read_all(fileset):
    with GenotypeReader([fileset], [np.arange(fileset.n_samples)]) as reader:
        return reader.read_with_info(0, fileset.n_variants)


@pytest.mark.parametrize("kind", ["vcf", "gzip", "wz", "wb"])
def test_what_is_counted_and_converted(tmp_path, kind):
    path = put_vcf(tmp_path / f"a.vcf{'.gz' if kind == 'gzip' else ''}", FIVE)
    path = packed(path, kind) if kind in ("wz", "wb") else path
    scan = scan_vcf(path)
    assert scan == {
        "n_variants": 3,
        "samples": ["p0", "p1", "p2", "p3", "p4"],
        "chromosomes": [["1", 2], ["X", 1]],
    }
    assert json.loads(json.dumps(scan)) == scan
    fileset = convert(path)
    assert (fileset.n_samples, fileset.n_variants) == (5, 3)
    assert genotypes.read_samples(fileset).to_dict("list") == {
        "fid": scan["samples"],
        "iid": scan["samples"],
    }
    assert genotypes.read_variants(fileset).to_dict("list") == {
        "id": ["v1", "v2", "X:30:C:T"],
        "chr": ["1", "1", "X"],
        "pos": [10, 20, 30],
        "a1": ["G", "A", "T"],
        "a2": ["A", "G", "C"],
        "multiallelic": [False, False, False],
    }
    np.testing.assert_array_equal(read_all(fileset)[0], COUNTS)
    assert genotypes.chromosome_runs(fileset) == [("1", 0, 2), ("X", 2, 3)]


@pytest.mark.parametrize(
    ("row", "counts"),
    [
        ("A G . . . GT 0/0 0/1 1|0 1|1 ./.", [0, 1, 1, 2, None]),
        ("A G . . . GT ./1 0|. . .|. 1/.", [None] * 5),
        ("A G . . . GT 0 1 . 0/1 1", [0, 2, None, 1, 2]),
        ("A G . . . GT 0/0/1 0/1 1/1/1 0 ././.", [None, 1, None, 0, None]),
        ("A G,T . . . GT 0/0 0/1 1/2 2/2 0/2", [None] * 5),
        ("A . . . . GT 0/0 0/0 . 0 0/0", [0, 0, None, 0, 0]),
        ("A <DEL> . . . GT:AD 0/0:1,2 0/1:1,1 1/1:0,9 ./.:. 0/0:1,1", [0, 1, 2, None, 0]),
        ("A G . . . DS 0.5 2 . 0 1.75", [0.5, 2, None, 0, 1.75]),
        ("A G . . . GT:DS 0/0:. 0/1:. ./.:1.5 ./1:. 1/1:1.25", [0, 1, 1.5, None, 1.25]),
        ("A G . . . GT:DS 0:0.25 1:0.875 1:. 0/1:0.5 .:1.5", [0.5, 1.75, 2, 0.5, 1.5]),
        ("A G . . . GP 1,0,0 0,1,0 0.25,0.5,0.25 . 0,0.25,0.75", [0, 1, 1, None, 1.75]),
        ("A G . . . GT:GP 0:0.75,0.25 0/1:0,1,0 1:. ./.:. 1/1:.", [0.5, 1, 2, None, 2]),
        ("A G . . . GP 0.75,0.25 0,1 . 1,0 0.5,0.5", [0.5, 2, None, 0, 1]),
        (
            "A G . . . GT:GP:DS 0/0:0,0,1:0.5 0/1:0,0,1:. 1/1:.:. ./.:.:. 0/0:.:.",
            [0.5, 2, 2, None, 0],
        ),
    ],
)
def test_genotypes(tmp_path, row, counts):
    fileset = convert(put_vcf(tmp_path / "a.vcf", [FIVE[1], f"1 30 v3 {row}", FIVE[1]]))
    expected = [COUNTS[1], [np.nan if count is None else count for count in counts], COUNTS[1]]
    np.testing.assert_array_equal(read_all(fileset)[0], np.array(expected, dtype=np.float32))
    several = genotypes.read_variants(fileset)["multiallelic"]
    assert list(several) == [False, "G,T" in row, False]


def test_r2_of_dosages_and_one_of_hard_calls(tmp_path):
    dosages = np.array([0.25, 1.125, 1.875, 0.5, 1, 2])
    rows = [
        "1 10 a A G . . . DS " + " ".join(map(str, dosages)),
        "1 20 b A G . . . GT 0/0 0/1 0/0 1/1 0/1 ./.",
        "1 30 c A G . . . DS " + " ".join(map(str, [*dosages[:5], "."])),
        "1 40 d A G . . . GT " + " ".join(["./."] * 6),
        "1 50 e A G . . . GT " + " ".join(["1/1"] * 6),
    ]
    info = read_all(convert(put_vcf(tmp_path / "a.vcf", rows)))[1]
    r2 = [np.var(each) / (each.mean() * (1 - each.mean() / 2)) for each in (dosages, dosages[:5])]
    np.testing.assert_allclose(info, [r2[0], 1, r2[1], np.nan, 1])


@needs_plink2
def test_the_same_as_plink2_makes_of_it(tmp_path):
    rng = np.random.default_rng(5)
    rows = []
    for i in range(200):
        calls = rng.choice(["0/0", "0/1", "1|0", "1/1", "./.", "./1", "0", "1"], 40)
        if i % 3 == 0:  # the dosage of a haploid call goes to 1 only
            highest = np.where(np.char.str_len(calls) > 1, 2, 1)
            dosages = np.char.mod(":%.3f", rng.uniform(0, highest))
            calls = np.char.add(calls, np.where(rng.random(40) < 0.1, ":.", dosages))
        place = f"{1 + i // 100} {i + 1} {'.' if i % 7 else f'v{i}'} A G . . ."
        rows.append(f"{place} {'GT' if i % 3 else 'GT:DS'} {' '.join(calls)}")
    path = put_vcf(tmp_path / "a.vcf", rows)
    options = ("dosage=DS", "--vcf-half-call", "missing", "--set-missing-var-ids", "@:#:$r:$a")
    plink2("--vcf", path, *options, "--make-pgen", "--out", tmp_path / "b")
    ours, theirs = convert(path), find_fileset(f"{tmp_path}/b.pgen")
    np.testing.assert_array_equal(read_all(ours)[0], read_all(theirs)[0])
    assert genotypes.read_variants(ours).equals(genotypes.read_variants(theirs))
    plink2("--pfile", tmp_path / "converted", "--validate", "--out", tmp_path / "c")


@needs_plink2
def test_plink2_takes_what_was_converted(tmp_path):
    rows = [*FIVE, "X 40 m C T,G . . . GT 0/0 0/1 1/1 1/2 0/2"]
    convert(put_vcf(tmp_path / "a.vcf", rows))
    plink2("--pfile", tmp_path / "converted", "--validate", "--out", tmp_path / "c")
    (tmp_path / "sex.txt").write_text("".join(f"p{i} p{i} 2\n" for i in range(5)))
    options = ("--update-sex", tmp_path / "sex.txt", "--freq", "--out", tmp_path / "c")
    plink2("--pfile", tmp_path / "converted", *options)
    rows = [line.split()[-2:] for line in (tmp_path / "c.afreq").read_text().splitlines()[1:]]
    assert rows[0] == [f"{4.25 / 8:.6g}", "8"]
    assert rows[1:] == [["0.5", "8"], ["0.625", "8"], ["nan,nan", "0"]]


# Bad input

AGAIN = "copy or export it again"


def test_missing_files_and_folders(tmp_path):
    remedy = "correct the path or provide the file"
    path = f"{tmp_path}/a.vcf"
    assert message(scan_vcf, path) == f"{path}: the file does not exist; {remedy}."
    assert message(scan_vcf, str(tmp_path)).startswith(
        f"{tmp_path}: cannot be read (Is a directory)"
    )
    assert message(convert_vcf, path, f"{tmp_path}/b", 1).startswith(f"{path}: cannot be opened (")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is no VCF (it is empty); name one that bcftools view or plink2 --export vcf wrote."),
        (b"\x6c\x1b\x01", "is no VCF (it starts with 6c 1b 01); name one that"),
        (b"##fileformat=VCFv4.2\n1\t2\n", "the line of column names is missing, #CHROM POS ID REF"),
        (HEADER.encode() + b"\n", "holds no individuals; name a VCF with genotypes."),
        (HEADER.encode() + b"\ta\tb\n", "holds no variants; export it again."),
        (
            HEADER.encode() + b"\ta\tb\ta\n",
            "1 name of an individual is there more than once ('a');",
        ),
        (
            HEADER.encode() + b"\ta b\tb\n",
            "1 name of an individual is empty or hold blanks ('a b');",
        ),
        (gzip.compress(b"chr1 1"), "is no VCF (it starts with 63 68 72); name one that"),
        (b"\x1f\x8b" + bytes(30), "cannot be decompressed (Unknown compression method); copy"),
    ],
)
def test_files_that_are_no_vcf_of_anybody(tmp_path, content, told):
    (tmp_path / "a.vcf").write_bytes(content)
    assert message(scan_vcf, f"{tmp_path}/a.vcf").startswith(f"{tmp_path}/a.vcf: {told}")


def test_neither_gt_nor_ds(tmp_path):
    row = "1 10 a A G . . . AD 1,2 3,4"
    path = put_vcf(tmp_path / "a.vcf", [row])
    told = "has neither GT nor DS nor GP of its individuals; name a VCF with genotypes."
    assert message(scan_vcf, path) == f"{path}: variant 1: {told}"
    assert message(scan_vcf, packed(path, "wb")) == f"{path}.bcf: variant 1: {told}"
    path = put_vcf(tmp_path / "a.vcf", ["1 10 a A G . . . GT 0/1 0/1", row])
    assert message(convert, path) == f"{path}: variant 2: {told}"


@pytest.mark.parametrize("kind", ["gzip", "wz", "wb"])
@pytest.mark.parametrize("left", [0.5, -28, -3])
def test_compressed_files_that_end_early(tmp_path, kind, left):
    rng = np.random.default_rng(0)
    rows = [
        f"1 {i + 1} v{i} A G . . . DS " + " ".join(f"{d:.3f}" for d in rng.uniform(0, 2, 20))
        for i in range(2000)
    ]
    path = put_vcf(tmp_path / f"a.vcf{'.gz' if kind == 'gzip' else ''}", rows)
    path = packed(path, kind) if kind != "gzip" else path
    n_variants = scan_vcf(path)["n_variants"]
    stored = Path(path).read_bytes()
    Path(path).write_bytes(stored[: int(left * len(stored)) if left > 0 else left])
    told = f"{path}: is truncated, for its compression ends early; {AGAIN}."
    assert message(scan_vcf, path) == told
    if left > 0:
        told = message(convert_vcf, path, f"{tmp_path}/b", n_variants)
        assert told.startswith(f"{path}: variant ")
        assert told.endswith(
            f": cannot be read, for it is damaged or the file ends early; {AGAIN}."
        )


def test_text_that_ends_early(tmp_path):
    path = put_vcf(tmp_path / "a.vcf", FIVE)
    stored = Path(path).read_text()
    Path(path).write_text(stored[:-10])
    assert message(convert, path) == (
        f"{path}: variant 3: cannot be read, for it is damaged or the file ends early; {AGAIN}."
    )


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (
            "DS 0.5 2.5",
            "variant 2: an individual has 2.5 copies of ALT by its dosage; "
            "expected DS from 0 to 2 (to 1 if haploid), GP that add up to 1.",
        ),
        ("DS -1 0", "variant 2: an individual has -1 copies of ALT by its dosage; expected DS"),
        ("GT:DS 1:1.5 0/1:1", "variant 2: an individual has 3 copies of ALT by its dosage; exp"),
        ("GP 0,20,30 .", "variant 2: an individual has 80 copies of ALT by its dosage; expected"),
        ("GT 0/2 0/1", "variant 2: a genotype names an allele that is not in ALT; correct the"),
        ("GT 1/1 2", "variant 2: a genotype names an allele that is not in ALT; correct the"),
        ("GT 0/x 0/1", "variant 2: cannot be read, for it is damaged or the file ends early; copy"),
    ],
)
def test_genotypes_that_are_none(tmp_path, row, told):
    path = put_vcf(tmp_path / "a.vcf", ["1 1 a A G . . . GT 0/1 0/1", f"1 2 b A G . . . {row}"])
    assert message(convert, path).startswith(f"{path}: {told}")


def test_dosages_that_are_declared_as_text(tmp_path):
    header = HEADER.replace("ID=DS,Number=1,Type=Float", "ID=DS,Number=1,Type=String")
    path = put_vcf(tmp_path / "a.vcf", FIVE, header=header)
    assert message(convert, path) == (
        f"{path}: the header declares DS as no Float; correct the header."
    )


@pytest.mark.parametrize("n_variants", [2, 4])
def test_a_file_that_has_changed(tmp_path, n_variants):
    path = put_vcf(tmp_path / "a.vcf", FIVE)
    assert message(convert_vcf, path, f"{tmp_path}/b", n_variants) == (
        f"{path}: had {n_variants} variants before; leave the file alone while it is used."
    )
