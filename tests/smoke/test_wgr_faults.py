"""Whatever dies, however the work is cut, whatever the order of files: one answer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genomes import Genomes, Outcome, carry_out, go, write_parts
from tools import House, copy_house, exists, kill_and_resume, plan, snakemake, tree_digest

TRAITS = ("height", "weight")
MOMENTS = (
    "results/wgr/level0/c02b00001.npy",
    "results/wgr/loco/height.loco",
    "results/work/wgr/assoc/c02k00001",
)


def small() -> Genomes:
    """Two chromosomes of 12 variants, some genotypes and values missing, two genes."""
    study = Genomes(n=150, per=12, chromosomes=2)
    rng = np.random.default_rng(5)
    study.counts[rng.random(study.counts.shape) < 0.03] = -1
    study.traits["weight"][::7] = np.nan
    study.section = {"block_size": 12}
    return study


def put(folder: Path) -> Genomes:
    """Write the study into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        study = small()
        study.burden()
        study.write()
    return study


def said(study: Genomes, **section: Any) -> list[str]:
    return ["--config", f"wgr={json.dumps(study.config()['wgr'] | section)}"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the study ran to its end; not to be written to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run = snakemake(folder, "wgr", *said(put(folder)))
    assert run.returncode == 0, run.stderr
    return folder


def digests(folder: Path) -> dict[str, str]:
    return tree_digest(folder / "results/wgr")


def test_killed_and_resumed_in_other_pieces_on_one_core(undisturbed: Path, tmp_path: Path) -> None:
    """Three kill -9, chunks of 7 variants: the same bytes of everything."""
    house = copy_house(tmp_path / "house")
    study = put(house)
    arguments = ["wgr", "--cores", "1", *said(study, chunk_size=7)]
    kill_and_resume(house, arguments, map(exists, MOMENTS))
    assert digests(house) == digests(undisturbed)


def test_what_was_finished_is_not_repeated(undisturbed: Path, tmp_path: Path) -> None:
    """A lost block costs that block, and what follows from it."""
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    (folder / "results/wgr/loco/weight.loco").unlink()
    (folder / "results/work/wgr/loco/weight.npy").unlink()
    config = {"wgr": small().config()["wgr"]}
    counts = plan(folder, ["results/wgr/loco/weight.loco"], config).counts
    assert counts == {"wgr_level0": 2, "wgr_level1": 1, "wgr_loco": 1}


# In process: the same rules, without what Snakemake itself costs.


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Genomes:
    monkeypatch.chdir(tmp_path)
    study = small()
    study.burden()
    return study


def assert_same(outcome: Outcome, before: Path, *traits: str) -> None:
    """Compare all files of traits with those in another folder."""
    expected = Outcome(before / "results/wgr", [])
    for trait in traits or TRAITS:
        found, wanted = outcome.bytes_of(trait), expected.bytes_of(trait)
        for name in wanted:
            same = without_gaps if name.endswith(".loco") else bytes
            assert same(found[name]) == same(wanted[name]), name.format(trait)


def without_gaps(loco: bytes) -> list[list[bytes]]:
    """Leave out who has no value: whether they have a column depends on the other traits."""
    rows = [line.split(b" ") for line in loco.splitlines()]
    return [list(column) for column in zip(*rows, strict=True) if b"NA" not in column]


@pytest.mark.parametrize("size", [1, 7])
def test_chunks_of_any_size(undisturbed: Path, study: Genomes, size: int) -> None:
    study.section["chunk_size"] = size
    assert_same(go(study), undisturbed)


@pytest.mark.parametrize("trait", TRAITS)
def test_a_trait_alone(undisturbed: Path, study: Genomes, trait: str) -> None:
    study.section["traits"] = [trait]
    assert_same(go(study), undisturbed, trait)


def test_a_trait_among_many_others(undisturbed: Path, study: Genomes) -> None:
    rng = np.random.default_rng(9)
    others = {f"other{k:02d}": rng.normal(size=150).round(5) for k in range(20)}
    for k, values in enumerate(others.values()):
        values[rng.random(150) < 0.1 * (k % 3)] = np.nan
    study.traits = others | {"weight": study.traits["weight"], "height": study.traits["height"]}
    targets = [f"results/wgr/assoc/{trait}.parquet" for trait in TRAITS]
    levels = [f"results/wgr/level1/{trait}.json" for trait in TRAITS]
    assert_same(go(study, *targets, *levels), undisturbed)


def test_rows_of_tables_and_genotypes_in_another_order_and_number_of_files(
    undisturbed: Path, study: Genomes
) -> None:
    """A .bed for each chromosome, each but the first with people in its own order."""
    rng = np.random.default_rng(8)
    study.traited = study.traited.iloc[rng.permutation(150)]
    study.covaried = study.covaried.iloc[rng.permutation(150)]
    study.write()
    study.section["genotypes"] = write_parts(study)
    assert_same(carry_out(study.config()), undisturbed)


@pytest.mark.parametrize("test", ["score", "firth", "spa"])
def test_binary_traits_in_pieces_alone_and_in_other_files(
    study: Genomes, test: str, tmp_path: Path
) -> None:
    noise = np.random.default_rng(4).normal(size=150)
    gap = np.where(np.arange(150) % 9 == 0, np.nan, study.sick)
    study.binary(noise=(noise > 0.5).astype(int), gappy=gap)
    study.section |= {"test": test, "firth_p": 0.3}
    go(study)
    shutil.move("results", tmp_path / "before/results")
    study.section |= {"chunk_size": 5, "genotypes": write_parts(study)}
    for trait in ("sick", "gappy"):
        study.section["traits"] = [trait]
        assert_same(carry_out(study.config()), tmp_path / "before", trait)


# What changes repeat.


def counts(folder: Path, **section: Any) -> dict[str, int]:
    study = small()
    study.section |= {"burden": put_burden()} | section
    return plan(folder, ["wgr"], study.config()).counts


def put_burden() -> dict[str, Any]:
    tables = {key: f"{key}.tsv" for key in ("annotations", "sets", "masks")}
    return tables | {"tests": ["max", "sum", "comphet"], "aaf_bins": [1], "singletons": False}


REPORT = {"wgr": 1, "wgr_report": 1}
STEP2 = {**REPORT, "wgr_assoc": 4, "wgr_merge": 2, "wgr_plots": 2}
STEP1 = {**STEP2, "wgr_level0": 2, "wgr_level1": 2, "wgr_loco": 2}
CHECK = {"wgr_check": 1, "wgr_strict": 1, "wgr_prep": 1, "wgr_sets": 1}
HEAVY = {"wgr_level0", "wgr_level1", "wgr_loco"}


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({}, {}),
        ({"min_mac": 20}, STEP2),
        ({"test": "firth"}, STEP2),
        ({"firth_p": 0.01}, STEP2),
        ({"ref_first": True}, STEP2),
        ({"chunk_size": 6}, STEP2 | {"wgr_assoc": 6}),
        ({"h2_grid": [0.1, 0.5]}, STEP1),
        ({"block_size": 6}, STEP1 | {"wgr_level0": 4, "wgr_prep": 1, "wgr_sets": 1}),
        ({"covariates": None}, STEP1 | CHECK),
    ],
    ids=lambda value: "-".join(sorted(value)),
)
def test_settings_rerun_what_they_touch_and_nothing_else(
    undisturbed: Path, section: dict, expected: dict[str, int]
) -> None:
    assert counts(undisturbed, **section) == expected


def test_strict_repeats_its_own_rule_and_the_page(undisturbed: Path) -> None:
    assert counts(undisturbed, strict=True) == REPORT | {"wgr_strict": 1}


def test_keeping_sums_repeats_nothing(undisturbed: Path) -> None:
    assert counts(undisturbed, keep_sums=False) == {}


def test_other_burden_tables_repeat_no_regression(undisturbed: Path) -> None:
    burden = put_burden()
    assert not HEAVY & set(counts(undisturbed, burden=burden | {"tests": ["max"]}))


def test_changed_files_rerun_what_reads_them(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    assert counts(folder) == {}
    text = (folder / "traits.tsv").read_text()
    (folder / "traits.tsv").write_text(text.replace("P003\t", "P003\t1"))
    assert set(counts(folder)) == {*CHECK, *STEP1}


def test_a_changed_step_2_leaves_the_regression_alone(
    undisturbed: Path, tmp_path: Path, house: House
) -> None:
    """By the code that each rule reaches."""
    config = small().config() | {"wgr": small().config()["wgr"] | {"burden": put_burden()}}
    file = house.root / "Snakefile"
    house.edit("scripts/tessera/wgr/spa.py", "def saddlepoint(", "OTHER = 1\n\n\ndef saddlepoint(")
    assert plan(undisturbed, ["wgr"], config, snakefile=file).counts == {}
