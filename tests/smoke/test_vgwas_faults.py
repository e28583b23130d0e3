"""Whatever dies, however the work is cut, whatever the order and format of files: one answer."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pgenlib
import pytest

from tessera.config import load_schema, validate_config
from tessera.genotypes import (
    Fileset,
    GenotypeReader,
    find_fileset,
    find_filesets,
    read_samples,
    read_variants,
    write_bed,
)
from tessera.vgwas.check import check_study
from tessera.vgwas.parts import load_part, merge, write_null, write_scan
from tessera.vgwas.plan import read_study
from tessera.vgwas.scan import Mapper
from tessera.vgwas.study import Settings, load_study
from tools import ROOT, copy_house, exists, kill_and_resume, plan, snakemake, tree_digest

DATA = "toy/vgwas/data"
SECTION = {
    **{"genotypes": f"{DATA}/cohort", "images": "toy/vgwas/images.tsv"},
    **{"mask": f"{DATA}/mask.nii.gz", "atlas": f"{DATA}/atlas.nii.gz"},
    **{"covariates": f"{DATA}/covariates.tsv", "categorical": ["sex", "site", "array"]},
}
OTHERWISE = [
    *("--config", "threads=1", "memory_mb=300"),
    "vgwas={snp_tile: 1100, permutations: 20}",
]
SAME = ("samples.tsv", "quarantine.tsv", "voxels.parquet", "hits.parquet", "ledger.json")
MOMENTS = (
    "results/work/vgwas/.tmp-phenotype.*",
    "results/work/vgwas/map/s1p0/part.npz",
    "results/work/vgwas/map/s?p1to*/part.npz",
)


def values(**section: object) -> dict:
    config = {"vgwas": SECTION | section}
    return validate_config(config, load_schema(ROOT / "schemas", "config"))["vgwas"]


def reorder(sheet: Path, seed: int) -> None:
    """Put the rows of a sheet into another order."""
    header, *rows = sheet.read_text().splitlines()
    order = np.random.default_rng(seed).permutation(len(rows))
    sheet.write_text("\n".join([header, *(rows[i] for i in order)]) + "\n")


def calls_of(fileset: Fileset, order: np.ndarray) -> np.ndarray:
    """All genotypes with people in this order, int8 with -1 where missing."""
    with GenotypeReader([fileset], [order]) as reader:
        return np.nan_to_num(reader.read(0, fileset.n_variants), nan=-1).astype(np.int8)


def write_pgen(
    prefix: Path, calls: np.ndarray, samples: pd.DataFrame, variants: pd.DataFrame
) -> None:
    writer = pgenlib.PgenWriter(
        os.fsencode(f"{prefix}.pgen"), calls.shape[1], variant_ct=len(calls), nonref_flags=False
    )
    writer.append_biallelic_batch(np.where(calls < 0, np.int8(-9), calls))
    writer.close()
    table = variants[["chr", "pos", "id", "a2", "a1"]]
    table.columns = ["#CHROM", "POS", "ID", "REF", "ALT"]
    table.to_csv(f"{prefix}.pvar", sep="\t", index=False)
    people = samples[["iid"]].rename(columns={"iid": "#IID"})
    people.assign(SEX="NA").to_csv(f"{prefix}.psam", sep="\t", index=False)


def split(folder: Path) -> list[str]:
    """Put the chromosomes into two filesets, of two formats, with people in different orders."""
    whole = find_fileset(str(folder / DATA / "cohort"))
    variants, samples = read_variants(whole), read_samples(whole)
    late = variants["chr"].isin(["19", "22"]).to_numpy()
    order = np.random.default_rng(6).permutation(len(samples))
    same = np.arange(len(samples))
    early = folder / "early"
    write_bed(early, [calls_of(whole, same)[~late]], samples, variants[~late])
    write_pgen(folder / "late", calls_of(whole, order)[late], samples.iloc[order], variants[late])
    return ["early", "late"]


def assert_same_answer(finished: Path, folder: Path) -> None:
    """Compare bytes with the finished run, of whose 200 permutations this one has the first 20."""
    results, expected = (root / "results/vgwas" for root in (folder, finished))
    for name in SAME:
        assert (results / name).read_bytes() == (expected / name).read_bytes(), name
    for name in ("max_t", "max_cluster"):
        found, of_200 = (np.load(each / f"null/{name}.npy") for each in (results, expected))
        assert found.tobytes() == of_200[:20].tobytes()
    snps, of_200 = (pd.read_parquet(each / "snps.parquet") for each in (results, expected))
    p = ["p_fwer", "p_fwer_cluster"]
    pd.testing.assert_frame_equal(snps.drop(columns=p), of_200.drop(columns=p), check_exact=True)


def test_killed_and_resumed_in_other_pieces(finished: Path, tmp_path: Path) -> None:
    """Other tiles, one thread, less memory, three kill -9: the same bytes."""
    house, target = copy_house(tmp_path / "house"), "results/vgwas/inference.json"
    shutil.copytree(finished / "toy/vgwas", house / "toy/vgwas")
    kill_and_resume(house, [target, *OTHERWISE], map(exists, MOMENTS))
    assert_same_answer(finished, house)


def test_the_page_is_drawn_alike_again(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("neuro", "astro"))
    results = folder / "results/vgwas"
    (results / "gwas.html").unlink()
    shutil.rmtree(results / "png")
    run = snakemake(folder, "results/vgwas/gwas.html")
    assert run.returncode == 0, run.stderr
    assert tree_digest(results) == tree_digest(finished / "results/vgwas")


def test_other_formats_orders_and_numbers_of_files(finished: Path, tmp_path: Path) -> None:
    """Two filesets, a .bed and a .pgen, and sheets with their rows shuffled: the same bytes."""
    folder = tmp_path / "run"
    shutil.copytree(finished / "toy/vgwas", folder / "toy/vgwas")
    for seed, sheet in enumerate(("toy/vgwas/images.tsv", f"{DATA}/covariates.tsv")):
        reorder(folder / sheet, seed)
    section = f"{{genotypes: [{', '.join(split(folder))}], permutations: 20}}"
    run = snakemake(folder, "results/vgwas/maps", "--config", f"vgwas={section}")
    assert run.returncode == 0, run.stderr
    assert_same_answer(finished, folder)
    maps, expected = (tree_digest(root / "results/vgwas/maps") for root in (folder, finished))
    both = set(maps) & set(expected)
    assert len(both) >= 10
    assert all(maps[name] == expected[name] for name in both)


@pytest.fixture
def work(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with what the rules before the map jobs made."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished / "toy/vgwas", tmp_path / "toy/vgwas", copy_function=os.link)
    return finished / "results/work/vgwas"


def test_tiles_of_any_size_add_up_to_the_same_bytes(
    finished: Path, work: Path, tmp_path: Path
) -> None:
    """137 SNPs at a time, 11 permutations at a time, merged in a tree of threes."""
    study = load_study(work / "study.npz", work / "phenotype.npy")
    flags = pd.read_parquet(work / "variants.parquet")["multiallelic"].to_numpy(bool)
    edges = [(start, min(start + 137, 2000)) for start in range(0, 2000, 137)]
    parts = []
    with GenotypeReader(find_filesets([SECTION["genotypes"]]), study.genotypes) as reader:
        blocks = [(a, reader.read(a, b), flags[a:b]) for a, b in edges]
    mapper = Mapper(study, Settings(**{f: values()[f] for f in Settings.__dataclass_fields__}))
    for number, block in enumerate(blocks):
        parts.append(tmp_path / f"s{number}p0")
        parts[-1].mkdir()
        write_scan(parts[-1], mapper.scan([block]))
    for first in range(1, 23, 11):
        for number, block in enumerate(blocks):
            parts.append(tmp_path / f"s{number}p{first}")
            parts[-1].mkdir()
            write_null(parts[-1], mapper.null([block], range(first, first + 11)))
    while len(parts) > 1:
        groups = [parts[i : i + 3] for i in range(0, len(parts), 3)]
        parts = [tmp_path / f"{len(groups)}-{number}" for number in range(len(groups))]
        for group, part in zip(groups, parts, strict=True):
            part.mkdir()
            merge(group, part)
    whole, results = load_part(parts[0]), finished / "results/vgwas"
    assert whole["permutations"].tolist() == list(range(1, 23))
    for name in ("max_t", "max_cluster"):
        kept = np.load(results / f"null/{name}.npy")[:22]
        assert whole["null_" + name.removeprefix("max_")].tobytes() == kept.tobytes()
    assert (parts[0] / "hits.parquet").read_bytes() == (results / "hits.parquet").read_bytes()
    snps = pd.read_parquet(results / "snps.parquet")
    for name in ("maf", "missing", "df", "max_t", "max_cluster"):
        assert whole[name].tobytes() == snps[name].to_numpy().tobytes()
    scan = load_part(work / "map/s0p0")
    assert all(whole[name].tobytes() == scan[name].tobytes() for name in scan)


def test_a_pgen_of_everybody_is_read_as_the_bed_is(work: Path, tmp_path: Path) -> None:
    study = load_study(work / "study.npz", work / "phenotype.npy")
    bed = find_fileset(SECTION["genotypes"])
    variants = read_variants(bed)
    calls = calls_of(bed, np.arange(bed.n_samples))
    write_pgen(tmp_path / "all", calls, read_samples(bed), variants.replace("A,T", "A"))
    pgen = find_fileset("all")
    with (
        GenotypeReader([bed], study.genotypes) as one,
        GenotypeReader([pgen], study.genotypes) as other,
    ):
        assert one.read(0, 2000).tobytes() == other.read(0, 2000).tobytes()


@pytest.mark.parametrize("sheet", ["toy/vgwas/images.tsv", f"{DATA}/covariates.tsv"])
def test_rows_of_sheets_come_in_any_order(work: Path, sheet: str) -> None:
    def checked() -> dict:
        study = read_study(values(), ROOT / "schemas")
        return check_study(values(), study["maps"], study["filesets"])

    before = checked()
    text = Path(sheet).read_text()
    Path(sheet).unlink()  # a link to what others use
    Path(sheet).write_text(text)
    reorder(Path(sheet), 4)
    assert Path(sheet).read_text() != text
    assert checked() == before


def test_more_permutations_run_the_new_ones_alone(finished: Path) -> None:
    """The first 200 are there, as one job."""
    section = {"permutations": 600, "permutation_tile": 200}
    planned = plan(finished, ["vgwas"], {"vgwas": section})
    assert "vgwas_phenotype" not in planned.counts
    jobs = [job for job in planned.jobs if job.rule.name == "vgwas_map"]
    tiles = {job.wildcards.tile: job.params["tile"] for job in jobs}
    assert tiles == {"s0p201to400": [0, 2000, 201, 401], "s0p401to600": [0, 2000, 401, 601]}


def test_settings_rerun_what_they_touch_and_nothing_else(finished: Path) -> None:
    def counts(**section: object) -> dict[str, int]:
        return plan(finished, ["vgwas"], {"vgwas": section}).counts

    end = dict.fromkeys(
        ("vgwas", "vgwas_reduce", "vgwas_inference", "vgwas_maps", "vgwas_report"), 1
    )
    assert counts(max_maps=5) == end
    assert counts(permutations=0) == end, "the scan is there"
    assert counts(permutations=100) == end | {"vgwas_map": 1}, "and is not repeated"
    assert counts(snp_tile=1000) == end | {"vgwas_map": 4}
    one = end | {"vgwas_map": 1}
    assert counts(threshold_p=1e-6) == one, "neither the maps nor the permutations"
    assert counts(seed=2) == counts(scheme="freedman-lane") == one, "not the scan"
    every = end | {"vgwas_check": 1, "vgwas_phenotype": 1, "vgwas_map": 2}
    assert counts(covariate_columns=["age", "pc1"]) == every
    assert "vgwas_snps" not in counts(min_mac=20)


def test_changed_files_rerun_what_reads_them(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("neuro", "astro"))
    assert plan(folder, ["vgwas"]).counts == {}
    shutil.copy(folder / f"{DATA}/m_P0002.nii.gz", folder / f"{DATA}/m_P0001.nii.gz")
    counts = plan(folder, ["vgwas"]).counts
    assert {"vgwas_check", "vgwas_phenotype", "vgwas_map", "vgwas_report"} <= set(counts)
    assert "vgwas_snps" not in counts
