"""What the configuration names: found, or told in sentences, all of them at once."""

import numpy as np
import pytest

from bgens import some
from filesets import needs_plink2, people, plink2, put, snps
from tessera.errors import InputError
from tessera.genotypes import write_bed
from tessera.wgr.inputs import is_vcf, read_inputs

SECTION = {
    "genotypes": "g",
    "step2_genotypes": None,
    "phenotypes": "p.txt",
    "traits": "all",
    "covariates": None,
    "keep": None,
    "remove": None,
    "burden": None,
}
VCF = """##fileformat=VCFv4.2
##contig=<ID=2>
##contig=<ID=chrX>
##FORMAT=<ID=GT,Number=1,Type=String,Description="genotype">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ta\tb
2\t5\trs1\tA\tG\t.\t.\t.\tGT\t0/1\t1/1
2\t6\trs2\tA\tG\t.\t.\t.\tGT\t0/0\t0/1
chrX\t7\trs3\tC\tT\t.\t.\t.\tGT\t./.\t1/1
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Nine people, twelve variants of three chromosomes and mitochondria; two traits."""
    monkeypatch.chdir(tmp_path)
    chromosomes = ["1"] * 4 + ["MT"] * 2 + ["2"] * 3 + ["X"] * 2 + ["1"]
    write_bed(
        tmp_path / "g", [np.ones((12, 9), np.int8)], people(9), snps(12).assign(chr=chromosomes)
    )
    (tmp_path / "p.txt").write_text("FID IID A B\n0 p1 1 2\n")
    (tmp_path / "c.txt").write_text("FID IID age sex pc\n0 p1 1 2 3\n")
    return tmp_path


def read(**section):
    return read_inputs(SECTION | section, "work/vcf")


def told(**section):
    with pytest.raises(InputError) as caught:
        read(**section)
    for problem in caught.value.problems:
        assert problem.what
        assert problem.remedy
    return str(caught.value).splitlines()


def test_what_is_found():
    found = read(covariates="c.txt")
    spans = {1: [(0, 4), (11, 12)], 2: [(6, 9)], 23: [(9, 11)]}
    assert found["spans1"] == found["spans2"] == spans
    assert [each.prefix for each in found["step1"]] == ["g"]
    assert found["step2"] == found["step1"]
    assert (found["people"], found["covariates"]) == (9, 3)
    assert found["traits"] == ["A", "B"]
    assert (found["vcfs"], found["sets"]) == ({}, {})
    assert read()["covariates"] == 0


def test_chosen_traits_each_once():
    assert read(traits=["B", "A", "B"])["traits"] == ["B", "A"]


def test_several_filesets_are_counted_on(folder):
    some(folder / "h", n_variants=45, n=9)  # of chromosomes 1, 2 and 3
    found = read(genotypes="g", step2_genotypes=["h.bgen", "g"])
    assert found["spans1"][1] == [(0, 4), (11, 12)]
    assert found["spans2"] == {
        1: [(0, 20), (45, 49), (56, 57)],
        2: [(20, 40), (51, 54)],
        3: [(40, 45)],
        23: [(54, 56)],
    }
    assert read(step2_genotypes="same")["spans2"] == found["spans1"]


def test_a_vcf_will_be_a_fileset(folder):
    (folder / "v.vcf").write_text(VCF)
    found = read(step2_genotypes=["v.vcf", "g"])
    assert found["vcfs"] == {"1": "v.vcf"}
    assert found["folders"] == {"work/vcf/1/fileset": "work/vcf/1"}
    made = found["step2"][0]
    assert (made.prefix, made.kind) == ("work/vcf/1/fileset", "pgen")
    assert (made.n_samples, made.n_variants) == (2, 3)
    assert found["spans2"][2] == [(0, 2), (9, 12)]
    assert found["spans2"][23] == [(2, 3), (12, 14)]


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("a.vcf", True), ("a.vcf.gz", True), ("a.vcf.bgz", True), ("a.bcf", True),
     ("a.vcf.bed", False), ("vcf", False), ("a.gz", False)],
)  # fmt: skip
def test_a_vcf_by_its_name(name, is_one):
    assert is_vcf(name) == is_one


@needs_plink2
def test_a_pgen(folder):
    table = snps(9).assign(chr=[*"1122MMXYY"])
    write_bed(folder / "s", [np.ones((9, 5), np.int8)], people(5), table.replace("M", "5"))
    plink2("--bfile", "s", "--make-pgen", "--out", "h")
    found = read(genotypes="h")
    assert found["spans1"] == {1: [(0, 2)], 2: [(2, 4)], 5: [(4, 6)], 23: [(6, 7)]}
    assert found["people"] == 5


def test_nothing_named():
    assert told(genotypes=None, phenotypes=None) == [
        "config: wgr.genotypes: nothing is named; name the input.",
        "config: wgr.phenotypes: nothing is named; name the input.",
    ]


def test_everything_wrong_is_told_at_once():
    burden = {"annotations": None, "sets": "sets.txt", "masks": "p.txt"}
    lines = told(
        genotypes=["nowhere", "none.vcf"], phenotypes="q.txt", covariates="toy/c.txt",
        keep="k.txt", burden=burden,
    )  # fmt: skip
    assert lines[0] == "config: wgr.burden.annotations: is empty; name the table."
    for line in (
        "q.txt: the file that wgr.phenotypes names does not exist; correct the path.",
        "k.txt: the file that wgr.keep names does not exist; correct the path.",
        "sets.txt: the file that wgr.burden.sets names does not exist; correct the path.",
        "none.vcf: the file does not exist; correct the path.",
    ):
        assert line in lines
    toy = "toy/c.txt: the file that wgr.covariates names does not exist; run `snakemake toy` first"
    assert any(line.startswith(toy) for line in lines)
    assert any(line.startswith("nowhere") for line in lines)
    assert len(lines) == len(set(lines)) == 7


def test_step2_is_looked_at_too():
    (line,) = told(step2_genotypes="nowhere")
    assert line.startswith("nowhere")


def test_a_fault_of_both_steps_is_told_once():
    assert len(told(genotypes="nowhere", step2_genotypes=["nowhere"])) == 1


def test_no_chromosome_that_is_analysed(folder):
    put(folder / "y", bim="MT\trs1\t0\t100\tA\tG\nY\trs2\t0\t2000\tT\tC\n")
    assert told(genotypes="y") == [
        "y: no variant lies on chromosomes 1 to 22 or X, but on MT, Y; name the chromosomes by "
        "number."
    ]


def test_names_of_traits_that_can_be_no_files_are_set_aside(folder):
    (folder / "p.txt").write_text("FID IID A ../B\n0 p1 1 2\n")
    assert read()["traits"] == ["A"]
