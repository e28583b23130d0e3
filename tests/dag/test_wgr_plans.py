"""Whole-genome regression planned: jobs follow from settings and headers, and reruns from both."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from genomes import Genomes, write_bgen, write_parts, write_vcf
from tessera import digest
from tessera.config import load_schema, validate_config
from tessera.digest import code_digest
from tessera.filesets import Fileset
from tessera.wgr.plan import SETS, Plan
from tools import ROOT, House, Planned, plan, snakemake

ONCE = ("wgr_check", "wgr_strict", "wgr_prep", "wgr_report", "wgr")
BY_TRAIT = ("wgr_level1", "wgr_loco", "wgr_merge", "wgr_plots")


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Genomes:
    """Three chromosomes of 8 variants, in blocks of 5; two traits."""
    monkeypatch.chdir(tmp_path)
    study = Genomes()
    study.write()
    return study


def planned(study: Genomes, **section: Any) -> Planned:
    return plan(Path(), ["wgr"], {"wgr": study.config()["wgr"] | section})


def expected(level0: int, assoc: int, traits: int = 2, **others: int) -> dict[str, int]:
    return {
        **dict.fromkeys(ONCE, 1),
        **dict.fromkeys(BY_TRAIT, traits),
        **{"wgr_level0": level0, "wgr_assoc": assoc, **others},
    }


@pytest.mark.parametrize(
    ("section", "level0", "assoc", "traits"),
    [
        ({}, 6, 3, 2),
        ({"block_size": 8}, 3, 3, 2),
        ({"block_size": 1}, 24, 3, 2),
        ({"chunk_size": 3}, 6, 9, 2),
        ({"chunk_size": 1}, 6, 24, 2),
        ({"traits": ["weight"]}, 6, 3, 1),
        ({"step2_genotypes": "same"}, 6, 3, 2),
        ({"step2_genotypes": ["chr1", "chr3"]}, 6, 2, 2),
        ({"genotypes": "chr2", "step2_genotypes": "cohort"}, 2, 3, 2),
    ],
)
def test_the_number_of_jobs_follows_from_settings_and_headers(
    study: Genomes, section: dict, level0: int, assoc: int, traits: int
) -> None:
    write_parts(study)
    assert planned(study, **section).counts == expected(level0, assoc, traits)


def test_filesets_by_chromosome_are_planned_like_one(study: Genomes) -> None:
    parts = write_parts(study)
    assert planned(study, genotypes=parts).counts == planned(study).counts
    assert planned(study, genotypes=parts[::-1]).counts == planned(study).counts


def test_a_vcf_is_turned_into_a_fileset_once(study: Genomes) -> None:
    write_vcf(study)
    counts = expected(6, 3, wgr_convert=1)
    assert planned(study, genotypes="all.vcf").counts == counts
    assert planned(study, genotypes="all.vcf", step2_genotypes="all.vcf").counts == counts
    assert planned(study, step2_genotypes="all.vcf").counts == counts
    assert not planned(study).counts.get("wgr_convert")


def test_a_bgen_is_read_as_it_is(study: Genomes) -> None:
    write_bgen(study)
    assert planned(study, genotypes="all.bgen").counts == expected(6, 3)


def test_burden_tests_are_jobs_beside_those_of_variants(study: Genomes) -> None:
    study.burden()
    assert planned(study).counts == expected(6, 3 + 3) | {"wgr_sets": 1}
    assert planned(study, burden=None).counts == expected(6, 3)
    files = {job.wildcards.chunk: len(job.input.burden) for job in jobs(planned(study), "assoc")}
    assert files == {f"c0{c}{kind}00001": n for c in "123" for kind, n in (("k", 0), ("m", 4))}


def jobs(found: Planned, step: str) -> list[Any]:
    return [job for job in found.everything if job.rule.name == f"wgr_{step}"]


@pytest.mark.parametrize("size", [1, 3, 5, 8, 100])
def test_each_variant_is_in_one_block_and_one_chunk(study: Genomes, size: int) -> None:
    """Neither of which crosses from one chromosome to another."""
    parts = write_parts(study)
    genotypes = [parts[2], parts[0], parts[1]]
    found = planned(study, genotypes=genotypes, block_size=size, chunk_size=size)
    blocks = sorted(job.params.block for job in jobs(found, "level0"))
    assert blocks == [[c, k] for c in (1, 2, 3) for k in range(-(-8 // size))]
    chunks = sorted(job.params.chunk for job in jobs(found, "assoc"))
    for chromosome, first in ((1, 8), (2, 16), (3, 0)):
        edges = [edge for number, *edge in chunks if number == chromosome]
        assert edges[0][0] == first
        assert edges[-1][1] == first + 8
        assert all(one[1] == other[0] for one, other in itertools.pairwise(edges))
        assert all(b - a <= size for a, b in edges)


def test_inputs_that_are_not_named_are_not_asked_for(study: Genomes) -> None:
    (check,) = jobs(planned(study, covariates=None), "check")
    assert set(check.input) == {"cohort.bed", "cohort.bim", "cohort.fam", "traits.tsv"}


# Large studies.


def large(people: int, variants: int, traits: int, sets: int = 0, **section: Any) -> Plan:
    values = validate_config({"wgr": section}, load_schema(ROOT / "schemas", "config"))["wgr"]
    each = variants // 22
    spans = {c: [((c - 1) * each, c * each)] for c in range(1, 23)}
    study = {
        **{"step1": [Fileset("all", "bed", people, 22 * each)], "step2": []},
        **{"spans1": spans, "spans2": spans, "sets": {c: sets // 22 for c in spans if sets}},
        **{"traits": [f"t{i}" for i in range(traits)], "people": people, "covariates": 20},
    }
    return Plan(values, lambda: study)


def test_a_launch_stays_small() -> None:
    """Half a million people and variants, fifty traits, twenty thousand genes."""
    big = large(500_000, 500_000, 50, sets=20_000)
    masks = [name for name in big.chunks if "m" in name]
    assert len(masks) == 22 * -(-909 // SETS)
    assert len(big.blocks) + len(big.chunks) + 4 * 50 < 5000
    assert len(large(500_000, 40_000_000, 50).chunks) < 5000


def test_memory_and_time_grow_with_the_study_and_with_each_attempt() -> None:
    small, big = large(5_000, 50_000, 10), large(500_000, 500_000, 10)
    assert big.level0_mb(None, 1) > small.level0_mb(None, 1) + 4000  # genotypes of 4 GB
    for plan_of in (small, big):
        assert plan_of.level0_mb(None, 2) == 2 * plan_of.level0_mb(None, 1)
        assert plan_of.level1_minutes(None, 2) == 2 * plan_of.level1_minutes(None, 1)
    assert big.level0_seconds() > 10 * small.level0_seconds()


def test_what_is_kept_follows_from_headers() -> None:
    """Factors as long as they are worth it; sums of 16 bits as long as they fit."""
    blocks = {"block_size": 1000}
    small, middle = large(5_000, 50_000, 10, **blocks), large(82_000, 50_000, 10, **blocks)
    big = large(84_000, 50_000, 10, **blocks)
    factors = 5 * (8 + 5 * 4) * 1000 * 1001 / 2 / 1e6
    assert factors < small.kept_mb() < factors + 10
    assert small.kept_mb() < middle.kept_mb() < factors + 20
    assert big.kept_mb() < middle.kept_mb() - factors + 5
    assert large(5_000, 50_000, 10, keep_sums=False).kept_mb() == 0
    assert large(5_000, 50_000, 10, folds="loocv").kept_mb() < small.kept_mb() / 4


def test_a_dry_run_tells_what_the_run_will_take(study: Genomes) -> None:
    section = ", ".join(f"{key}: {value}" for key, value in study.config()["wgr"].items())
    config = f"wgr={{{section.replace('None', 'null')}}}"
    told = snakemake(Path(), "-n", "wgr", "--config", config)
    assert told.returncode == 0, told.stderr
    assert "60 people, 2 traits, 24 variants of step 1, 24 of step 2" in told.stderr
    assert "level 0: 6 jobs" in told.stderr


# What a changed setting repeats: jobs whose params or inputs differ.


def touched(study: Genomes, **section: Any) -> set[str]:
    """Return the rules that a setting touches itself, those after them not."""
    before, after = planned(study), planned(study, **section)

    def facts(found: Planned) -> Mapping[Any, Any]:
        return {
            (job.rule.name, str(job.wildcards_dict)): (dict(job.params.items()), set(job.input))
            for job in found.everything
        }

    one, other = facts(before), facts(after)
    return {key[0].removeprefix("wgr_") for key in one | other if one.get(key) != other.get(key)}


STEP2 = {"assoc", "report"}


@pytest.mark.parametrize(
    ("section", "rules"),
    [
        ({"test": "firth"}, STEP2),
        ({"firth_p": 0.01}, STEP2),
        ({"min_mac": 20}, STEP2),
        ({"min_info": 0.3}, STEP2),
        ({"ref_first": True}, STEP2),
        ({"chunk_size": 3}, {"assoc", "merge"}),
        ({"h2_grid": [0.1, 0.5]}, {"level0", "level1", "loco", "report"}),
        ({"folds": 4}, {"level0", "level1", "loco", "report"}),
        ({"convention": "v1"}, {"level0", "level1", "loco", "assoc", "report"}),
        ({"maf": 0.1}, {"prep", "assoc", "report"}),
    ],
    ids=lambda value: "-".join(sorted(value)),
)
def test_settings_touch_their_own_steps_and_no_others(
    study: Genomes, section: dict, rules: set[str]
) -> None:
    assert touched(study, **section) == rules


def test_strict_repeats_nothing_heavy(study: Genomes) -> None:
    assert touched(study, strict=True) == {"strict", "report"}


# What changed code repeats.


def digests(house: House) -> dict[str, str]:
    digest._library_module.cache_clear()
    library = house.root / "scripts"
    return {path.stem: code_digest(path, library) for path in sorted(library.glob("wgr/*.py"))}


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        ("firth.py", "_MAX_ITERATIONS = 250", "_MAX_ITERATIONS = 251", {"assoc"}),
        ("spa.py", "import numpy as np\n", "import numpy as np\n# a comment\n", set()),
        ("ridge_logistic.py", "1e-9  # of the largest", "1e-8  # of the largest", {"level1"}),
        ("hwe.py", "def hwe_p(", "ODD = 1\n\n\ndef hwe_p(", set()),
        ("wgr_page.py", "Whole-genome regression", "Regression", {"report"}),
        ("tables_out.py", '_DIGITS = "%.9g"', '_DIGITS = "%.8g"', {"merge"}),
        ("mismatch.py", "_SHOWN = 5", "_SHOWN = 6", {"check", "prep"}),
        ("plan.py", "_READ = 3e8", "_READ = 4e8", set()),
    ],
)
def test_a_changed_function_changes_the_rules_that_use_it(
    house: House, file: str, old: str, new: str, changed: set[str]
) -> None:
    before = digests(house)
    house.edit(f"scripts/tessera/wgr/{file}", old, new)
    after = digests(house)
    found = {name.removeprefix("wgr_") for name in after if after[name] != before[name]}
    assert found == changed


# Errors.


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"genotypes": None}, ["wgr.genotypes: nothing is named"]),
        ({"phenotypes": None}, ["wgr.phenotypes: nothing is named"]),
        ({"genotypes": ["cohort", "cohort.bed"]}, ["cohort.bed", "more than once"]),
        ({"covariates": "age.tsv"}, ["age.tsv", "wgr.covariates names does not exist"]),
        ({"burden": {}}, ["wgr.burden.annotations", "wgr.burden.sets", "wgr.burden.masks"]),
        ({"trait_type": "binary"}, ["wgr.trait_type", "expected one of qt, bt"]),
        ({"convention": "v3"}, ["wgr.convention"]),
        ({"folds": 1}, ["wgr.folds"]),
        ({"folds": "loovc"}, ["wgr.folds"]),
        ({"h2_grid": [0, 1]}, ["wgr.h2_grid"]),
        ({"test": "firthh"}, ["wgr.test", "did you mean firth"]),
        ({"pheno": "x"}, ["wgr.pheno"]),
    ],
)
def test_a_wrong_config_ends_in_sentences(study: Genomes, section: dict, words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        planned(study, **section)
    for word in words:
        assert word in str(ended.value)


def test_nested_values_from_the_command_line_are_strings(study: Genomes) -> None:
    section = {"block_size": "8", "chunk_size": "4", "traits": "all", "burden": "null"}
    section |= {"min_mac": "7.5", "h2_grid": ["0.1", "0.5"], "folds": "loocv", "strict": "true"}
    assert planned(study, **section).counts == expected(3, 6)


def test_missing_toy_data_is_told_on_the_command_line(tmp_path: Path) -> None:
    run = snakemake(tmp_path, "-n", "wgr")
    assert run.returncode != 0
    names = ("cohort", "traits.tsv", "covariates.tsv", "annotations.tsv", "sets.tsv", "masks.tsv")
    for name in names:
        assert f"toy/wgr/data/{name}" in run.stderr
    assert "snakemake toy" in run.stderr
    assert "Traceback" not in run.stderr
