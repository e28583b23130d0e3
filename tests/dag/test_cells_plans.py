"""What the plan of `cells` makes of sheets, headers and settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools import plan


def cells_of(folder: Path, **section: object) -> dict[str, int]:
    return plan(folder, ["cells"], {"cells": section}).counts


def test_a_job_for_each_part_and_grouping_of_a_dataset(toy: Path) -> None:
    counts = cells_of(toy)
    assert counts["cells_ingest"] == counts["cells_transpose"] == counts["cells_publish"] == 4
    assert counts["cells_aggregate"] == 2 * 4


def test_parts_follow_from_headers_and_the_budget(toy: Path) -> None:
    """The h5ad and the triple tell their number of values, a table has half its bytes at most."""
    planned = plan(toy, ["cells"], {"cells": {"batch_nnz": 100_000, "groupings": [["donor"]]}})
    parts: dict[str, int] = {}
    for job in planned.jobs:
        if job.rule.name == "cells_aggregate":
            parts[job.wildcards.dataset] = parts.get(job.wildcards.dataset, 0) + 1
    assert (parts["tissue"], parts["tenx"], parts["spoiled"]) == (5, 2, 1)
    assert 2 <= parts["upload"] <= 6


def test_statistics_are_assembled_in_the_order_of_parts(toy: Path) -> None:
    planned = plan(toy, ["cells"], {"cells": {"batch_nnz": 1000}})
    (job,) = [
        job
        for job in planned.jobs
        if job.rule.name == "cells_assemble" and job.wildcards.dataset == "tissue"
    ]
    genes = [Path(path).name for path in job.input.genes]
    count = len(genes)
    assert genes == [f"{k + 1}of{count}" for k in range(count)]
    folder = "results/work/cells/tissue/stats"
    views = ["cell_type", "cell_type+donor"]
    assert list(job.input.stats) == [f"{folder}/{v}/{part}.npy" for v in views for part in genes]


def test_a_launch_stays_small(toy: Path) -> None:
    """However small the budget: no more than 400 parts of a dataset."""
    counts = cells_of(toy, batch_nnz=1000, groupings=[["cell_type"]])
    triple = 192  # 191,566 values
    assert counts["cells_transpose"] == counts["cells_aggregate"]
    assert 2 * 400 + triple < counts["cells_transpose"] < 2 * 400 + triple + 10


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"datasets": None}, ["cells.datasets", "no sheet is named"]),
        ({"groupings": [["a b"], ["a_b"]]}, ["cells.groupings", "both make the name a_b"]),
        ({"trim": 0.5}, ["cells.trim"]),
        ({"percentiles": [101]}, ["cells.percentiles"]),
        ({"statistics": ["mode"]}, ["cells.statistics", "expected one of n, count_nonzero"]),
    ],
)
def test_a_wrong_section_ends_in_sentences(toy: Path, section: dict, words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cells_of(toy, **section)
    for word in words:
        assert word in str(ended.value)


def test_a_folder_and_a_missing_file_in_the_sheet(toy: Path, tmp_path: Path) -> None:
    (tmp_path / "toy").symlink_to(toy / "toy")
    sheet = tmp_path / "own.tsv"
    data = "toy/cells/data"
    sheet.write_text(
        "dataset\tmatrix\tmetadata\n"
        f"a\t{data}/tenx\t{data}/tenx.metadata.tsv\n"
        "b\tonw.tsv\t\n"
        f"../c\t{data}/tissue.h5ad\t\n"
    )
    with pytest.raises(SystemExit) as ended:
        cells_of(tmp_path, datasets="own.tsv")
    text = str(ended.value)
    assert "row 3, column matrix: file" in text
    assert "did you mean own.tsv?" in text
    assert "row 4, column dataset" in text
    assert "row 2" not in text


def test_a_matrix_that_is_none_does_not_stop_the_plan(tmp_path: Path) -> None:
    """It is told by its check, and set aside."""
    (tmp_path / "x.h5ad").write_bytes(b"no HDF5")
    (tmp_path / "own.tsv").write_text("dataset\tmatrix\nx\tx.h5ad\n")
    assert cells_of(tmp_path, datasets="own.tsv")["cells_transpose"] == 1


def test_headers_are_remembered(toy: Path, tmp_path: Path) -> None:
    (tmp_path / "toy").symlink_to(toy / "toy")
    cells_of(tmp_path)
    known = json.loads((tmp_path / ".snakemake/tessera/headers.json").read_text())
    own = [key for key in known if key.startswith("tessera.cells.plan.header ")]
    assert len(own) == 4
