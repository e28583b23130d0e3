"""Voxel-wise GWAS planned: jobs follow from settings and headers, and errors are sentences."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest

from tessera.config import load_schema, validate_config
from tessera.genotypes import Fileset
from tessera.vgwas.plan import BLOCK, FAN_IN, Plan
from tools import ROOT, plan, snakemake


@pytest.mark.parametrize(
    ("section", "scans", "nulls"),
    [
        ({}, 1, 1),
        ({"permutations": 0}, 1, 0),
        ({"permutations": 0, "snp_tile": 500}, 4, 0),
        ({"permutations": 200, "permutation_tile": 50}, 1, 4),
        ({"permutations": 201, "permutation_tile": 50, "snp_tile": 700}, 3, 3 * 5),
        ({"permutations": 40, "permutation_tile": 11, "snp_tile": 137}, 15, 15 * 4),
    ],
)
def test_the_number_of_map_jobs_follows_from_the_settings(
    toy: Path, section: dict, scans: int, nulls: int
) -> None:
    counts = plan(toy, ["vgwas"], {"vgwas": section}).counts
    assert counts["vgwas_map"] == scans + nulls
    first = math.ceil((scans + nulls) / FAN_IN)
    assert counts["vgwas_reduce"] == first + (first > 1)
    assert all(n == 1 for rule, n in counts.items() if rule not in ("vgwas_map", "vgwas_reduce"))


def test_each_pair_of_snp_and_permutation_is_in_one_job(toy: Path) -> None:
    """Whatever the tiles: 2,000 SNPs as observed (0) and under each of 30 permutations."""
    section = {"permutations": 30, "permutation_tile": 7, "snp_tile": 640}
    planned = plan(toy, ["vgwas"], {"vgwas": section})
    tiles = [job.params["tile"] for job in planned.jobs if job.rule.name == "vgwas_map"]
    seen = sorted(
        (permutation, *tile[:2]) for tile in tiles for permutation in range(tile[2], tile[3])
    )
    for permutation in range(31):
        edges = [edge for number, *edge in seen if number == permutation]
        assert edges[0][0] == 0
        assert edges[-1][1] == 2000
        assert all(one[1] == other[0] for one, other in itertools.pairwise(edges))


def large(n_snps: int, voxels: int, subjects: int, **section: object) -> Plan:
    values = validate_config({"vgwas": section}, load_schema(ROOT / "schemas", "config"))
    study = {
        "maps": {f"s{i}": f"s{i}.nii.gz" for i in range(subjects)},
        "filesets": [Fileset("all", "bed", subjects, n_snps)],
        "voxels": voxels,
    }
    return Plan(values["vgwas"], lambda: study)


def test_a_launch_stays_small() -> None:
    """Half a million SNPs, thirty thousand voxels, twenty thousand people, 1,000 permutations."""
    tiles = large(500_000, 30_000, 20_000).tiles
    assert 1000 < len(tiles) < 5000
    scan = [tile for tile in tiles.values() if tile[2] == 0]
    assert all(start % BLOCK == 0 for start, *_ in scan)
    assert len(large(2_000, 2_600, 300, permutations=1_000_000).tiles) < 5000


def test_memory_and_time_grow_with_the_study_and_with_each_attempt() -> None:
    small, big = large(10_000, 5_000, 500), large(10_000, 50_000, 5_000)
    assert big.map_mb(None, 1) > small.map_mb(None, 1) + 900  # a matrix of 1 GB
    assert small.map_mb(None, 2) == 2 * small.map_mb(None, 1)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"genotypes": None}, ["vgwas.genotypes: nothing is named"]),
        ({"genotypes": "toy/vgwas/data/cohrt"}, ["cohrt", "neither .bed nor .pgen exists"]),
        (
            {"genotypes": ["toy/vgwas/data/cohort", "toy/vgwas/data/cohort.bed"]},
            ["cohort.bed", "more than once"],
        ),
        ({"mask": "toy/vgwas/data/brain.nii.gz"}, ["vgwas.mask", "brain.nii.gz", "not exist"]),
        ({"atlas": "toy/vgwas/data/mask.nii.gz"}, ["vgwas.atlas (labels)", "mask.tsv"]),
        ({"covariates": "toy/vgwas/age.tsv"}, ["vgwas.covariates", "toy/vgwas/age.tsv"]),
        ({"covariates": None}, ["vgwas.covariates", "columns are named, but no table"]),
        ({"images": "toy/vgwas/image.tsv"}, ["toy/vgwas/image.tsv", "does not exist"]),
        (
            {"missing": "complete", "scheme": "freedman-lane"},
            ["vgwas.scheme", "set vgwas.scheme to smith, or vgwas.missing to mean"],
        ),
        ({"engine": "sgem"}, ["vgwas.engine", "did you mean sgemm"]),
        ({"coding": "dominnt"}, ["vgwas.coding", "did you mean dominant"]),
        ({"scheme": "freedman"}, ["vgwas.scheme", "did you mean freedman-lane"]),
        ({"connectivity": 8}, ["vgwas.connectivity", "6, 18, 26"]),
        ({"permutation": 10}, ["vgwas.permutation", "did you mean permutations"]),
        ({"permutations": -1}, ["vgwas.permutations"]),
        ({"threshold_p": 0}, ["vgwas.threshold_p"]),
    ],
)
def test_a_wrong_config_ends_in_sentences(toy: Path, section: dict, words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        plan(toy, ["vgwas"], {"vgwas": section})
    for word in words:
        assert word in str(ended.value)


def test_all_errors_come_at_once(toy: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        plan(toy, ["vgwas"], {"vgwas": {"coding": "old", "snp_tile": 0, "min_mac": "many"}})
    text = str(ended.value)
    assert all(f"vgwas.{key}" in text for key in ("coding", "snp_tile", "min_mac"))
    section = {"genotypes": "away", "mask": "gone.nii", "images": None, "covariates": "lost.tsv"}
    clash = {"missing": "complete", "scheme": "freedman-lane"}
    with pytest.raises(SystemExit) as ended:
        plan(toy, ["vgwas"], {"vgwas": section | clash})
    lines = str(ended.value).splitlines()[1:]
    assert len(lines) == 5
    for word in ("away", "gone.nii", "vgwas.images", "lost.tsv", "vgwas.scheme"):
        assert any(word in line for line in lines), word


def test_missing_toy_data_is_told_on_the_command_line(tmp_path: Path) -> None:
    run = snakemake(tmp_path, "-n", "vgwas")
    assert run.returncode != 0
    for name in ("data/cohort", "data/mask.nii.gz", "data/covariates.tsv", "images.tsv"):
        assert f"toy/vgwas/{name}" in run.stderr
    assert "snakemake toy" in run.stderr
    assert "Traceback" not in run.stderr


def test_nested_values_from_the_command_line_are_strings(toy: Path) -> None:
    section = {"permutations": "40", "snp_tile": "700", "permutation_tile": "20", "atlas": "null"}
    assert plan(toy, ["vgwas"], {"vgwas": section}).counts["vgwas_map"] == 9


def test_inputs_that_are_not_named_are_not_asked_for(toy: Path) -> None:
    section = {"atlas": None, "covariates": None, "categorical": []}
    planned = plan(toy, ["vgwas"], {"vgwas": section})
    (check,) = [job for job in planned.jobs if job.rule.name == "vgwas_check"]
    assert not any("covariates" in file or "atlas" in file for file in check.input)
