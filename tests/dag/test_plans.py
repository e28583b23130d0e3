"""Dry runs of every target, profile and configuration, in this process."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tools import ROOT, House, plan, snakemake

CONFIGS = sorted((ROOT / "tests/configs").glob("*.yaml"))
STEPS = {
    "neuro": ("check", "import", "mask", "noise", "fit", "maps", "qc", "group"),
    "astro": ("index", "clean", "coadd", "detect", "catalogue", "patch_picture", "qc"),
    "vgwas": (
        "check",
        "regions",
        "snps",
        "phenotype",
        "map",
        "reduce",
        "inference",
        "maps",
        "report",
    ),
    "wgr": (
        "check",
        "prep",
        "level0",
        "level1",
        "loco",
        "assoc",
        "merge",
        "plots",
        "report",
    ),
    "cells": (
        *("check", "ingest", "transpose", "aggregate", "assemble", "verify", "publish", "gc"),
        *("figures", "report"),
    ),
    "imaging": (
        *("check", "convert", "histogram", "threshold", "segment", "merge", "objects"),
        *("database", "compare", "report"),
    ),
}


@pytest.mark.parametrize("target", ["all", *STEPS, "toy"])
@pytest.mark.parametrize("config", [None, *CONFIGS], ids=lambda c: c.stem if c else "shipped")
def test_every_target_with_every_config(toy: Path, target: str, config: Path | None) -> None:
    values = yaml.safe_load(config.read_text()) if config else {}
    planned = plan(toy, [target], values)
    if target == "toy":
        assert not any(name.startswith("toy_") for name in planned.counts), "made once is enough"
    else:
        words = STEPS if target == "all" else [target]
        wanted = {f"{word}_{step}" for word in words for step in STEPS[word]}
        if values.get("astro", {}).get("granularity") == "ccd" and "astro" in words:
            wanted = wanted - {"astro_clean"} | {"astro_clean_ccd", "astro_gather"}
        assert set(planned.counts) >= wanted


@pytest.mark.parametrize("profile", ["local", "slurm", "ci"])
def test_every_profile_plans(toy: Path, profile: str, tmp_path: Path) -> None:
    """Through the command line, since profiles are its matter."""
    run = snakemake(toy, "-n", "--profile", str(ROOT / "profiles" / profile), "neuro")
    assert run.returncode == 0, run.stderr
    assert re.search(r"neuro_fit +7", run.stdout + run.stderr)


def test_the_number_of_slabs_comes_from_the_headers(toy: Path) -> None:
    one = plan(toy, ["neuro"]).counts["neuro_fit"]
    assert one == 7
    several = plan(toy, ["neuro"], {"neuro": {"slabs": 3}}).counts["neuro_fit"]
    assert several == 3 * 7
    tight = plan(toy, ["neuro"], {"memory_mb": 230}).counts["neuro_fit"]
    assert tight > one


def test_a_launch_stays_small(toy: Path) -> None:
    per_acquisition = (len(plan(toy, ["neuro"]).everything) - 3) / 7
    assert per_acquisition <= 6, "a thousand acquisitions are to stay near 5,000 jobs"


def test_nested_values_from_the_command_line_are_strings(toy: Path) -> None:
    planned = plan(toy, ["neuro"], {"neuro": {"slabs": "2", "strict": "false"}, "threads": "1"})
    assert planned.counts["neuro_fit"] == 14


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"neuro": {"denois": {}}}, ["neuro.denois", "did you mean denoise"]),
        ({"neuro": {"slabs": 0}}, ["neuro.slabs"]),
        ({"neuro": {"subjects": None}}, ["nothing to work on", "neuro.subjects"]),
        ({"neuro": {"bids": "somewhere"}}, ["somewhere", "no such folder"]),
        ({"neuro": {"subjects": "toy/neuro/subject.tsv"}}, ["toy/neuro/subject.tsv"]),
    ],
)
def test_a_wrong_config_ends_in_sentences(toy: Path, config: dict, words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        plan(toy, ["neuro"], config)
    for word in words:
        assert word in str(ended.value)


def test_all_errors_come_at_once(toy: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        plan(toy, ["neuro"], {"sed": 1, "neuro": {"slabs": "many", "fit": {"method": "old"}}})
    text = str(ended.value)
    assert all(place in text for place in ("sed", "neuro.slabs", "neuro.fit.method"))


def test_a_missing_sheet_is_one_sentence_on_the_command_line(tmp_path: Path) -> None:
    run = snakemake(tmp_path, "-n", "neuro")
    assert run.returncode != 0
    assert "toy/neuro/subjects.tsv" in run.stderr
    assert "snakemake toy" in run.stderr
    assert "Traceback" not in run.stderr


def test_the_sheet_is_not_read_for_another_target(tmp_path: Path) -> None:
    assert plan(tmp_path, ["toy"]).counts["toy_neuro"] == 1


def digests(house: House, folder: Path) -> dict[str, str]:
    from tessera import digest

    digest._library_module.cache_clear()
    rules = plan(folder, ["neuro"], snakefile=house.root / "Snakefile").rules
    params = {name: dict(rule.params.items()) for name, rule in rules.items()}
    return {name: values["code"] for name, values in params.items() if "code" in values}


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        ("neuro/slabs.py", "Return the patch radius of MP-PCA", "Give the patch radius", set()),
        ("neuro/mask.py", "components == 1 +", "components == 0 + 1 +", {"neuro_mask"}),
        ("neuro/tensor.py", "import numpy as np\n", "import numpy as np\n# a comment\n", set()),
        ("neuro/qc.py", "Quantity", "Number", {"neuro_qc"}),
        ("neuro/tensor.py", "CHUNK_VOXELS = 2000", "CHUNK_VOXELS = 64", {"neuro_fit"}),
    ],
)
def test_a_changed_function_changes_the_rules_that_use_it(
    toy: Path, house: House, file: str, old: str, new: str, changed: set[str]
) -> None:
    before = digests(house, toy)
    house.edit(f"scripts/tessera/{file}", old, new)
    after = digests(house, toy)
    assert {name for name in after if after[name] != before[name]} == changed
