"""Markers, what is said of a version, its charts, the account, and the page that shows all."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from assembled import SETTINGS, Given, Made, make
from tessera.cells import markers as ranking
from tessera.cells.commands import main
from tessera.cells.markers import can_mark, markers
from tessera.cells.reading import Cells, Snapshot, View
from tessera.cells.report import Report, make_ledger, report
from tessera.cells.simulate import MARKERS, simulate
from tessera.cells.store import open_store
from tessera.cells.summary import summarise
from tessera.errors import Problem
from tessera.verdict import write_verdict

HOSTILE = "<script>alert(1)</script>'; rm -rf x"
CHECKED = {"checks": ["all is well"], "warnings": [f"column {HOSTILE} was odd"]}
CHARTS = ["dots.0.png", "dots.1.png", "heat.png", "plane.genes.png", "plane.groups.png"]


def tissue_given(*, plane: bool = True) -> Given:
    tissue = simulate(1)
    cells = tissue.cells.copy()
    if plane:
        cells["umap_1"], cells["umap_2"] = tissue.umap.T.astype(float)
    return Given(tissue.counts.toarray(), list(tissue.genes), cells)


def small() -> Given:
    """Three groups, of which each has a gene of its own; names that want to be something else."""
    random = np.random.default_rng(5)
    kind = np.repeat([HOSTILE, "b", "c"], 20)
    values = random.poisson(0.5, (60, 6)).astype(float)
    for k, name in enumerate(dict.fromkeys(kind)):
        values[kind == name, k] = 3
        values[kind != name, k] = 0
    genes = [HOSTILE, "$a_b$", "--help", "x", "y", "z"]
    cells = pd.DataFrame({"cell": [f"c{k}" for k in range(60)], "kind": kind})
    return Given(values, genes, cells)


def publish(folder: Path, made: Made, dataset: str = "made") -> Snapshot:
    store = open_store(str(folder / "store"))
    store.publish(dataset, made.version, None)
    return Cells(str(folder / "store"), dataset).snapshot()


@pytest.fixture(scope="module")
def tissue(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    folder = tmp_path_factory.mktemp("tissue")
    made = make(
        folder, tissue_given(), [["cell_type"], ["cell_type", "donor"]],
        {"normalize": "log2_cpm"}, batch_nnz=100_000, dataset="tissue",
    )  # fmt: skip
    return publish(folder, made, "tissue")


def sum_up(snapshot: Snapshot, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    found = summarise(snapshot, CHECKED, folder)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found


def charts(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def view_of(share: np.ndarray, columns: list[str], sizes: np.ndarray) -> View:
    mean = share * 2
    values = {"fraction": share, "mean": mean, "count_nonzero": share * sizes}
    groups = [f"g{k}" for k in range(share.shape[1])]
    definition = {"columns": columns, "groups": groups}
    return View("v", definition, np.stack([values[name] for name in columns], axis=-1))


@pytest.mark.parametrize("columns", [["fraction", "mean"], ["count_nonzero", "mean"]])
@pytest.mark.parametrize("batch", [4, 4096])
def test_markers_are_those_of_brute_force(
    columns: list[str], batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "_BATCH", batch)
    share = np.random.default_rng(1).integers(0, 11, (50, 5)) / 10
    sizes = np.array([10.0, 30, 3, 20, 10])  # the third is too small to be compared with
    found = markers(view_of(share, columns, sizes), sizes, 3)
    wanted = []
    for group in (0, 1, 3, 4):
        rows = []
        for gene in range(50):
            rest = max(share[gene, other] for other in (0, 1, 3, 4) if other != group)
            score = share[gene, group] - rest
            if score >= 0.1:
                rows.append((-score, -2 * share[gene, group], gene))
        wanted += [(group, gene) for *_, gene in sorted(rows)[:3]]
    assert list(zip(found["group"], found["place"], strict=True)) == wanted
    np.testing.assert_allclose(found["score"], found["fraction"] - found["next_fraction"])
    for row in found.itertuples():
        assert row.fraction == pytest.approx(share[row.place, row.group])
        assert row.next_fraction == pytest.approx(share[row.place, row.next])
        assert row.mean == pytest.approx(2 * share[row.place, row.group])


def test_one_group_has_no_markers() -> None:
    sizes = np.array([50.0])
    assert markers(view_of(np.ones((4, 1)), ["fraction", "mean"], sizes), sizes, 3).empty


@pytest.mark.parametrize(
    ("columns", "can"),
    [
        (["mean", "fraction"], True),
        (["count_nonzero", "mean"], True),
        (["fraction"], False),
        (["mean", "median"], False),
    ],
)
def test_what_markers_need(columns: list[str], can: bool) -> None:
    assert can_mark(columns) == can


def test_planted_markers_lead_their_type_and_charts_are_the_same_bytes_each_time(
    tissue: Snapshot, tmp_path: Path
) -> None:
    found = sum_up(tissue, tmp_path / "figures")
    assert [row["group"] for row in found["markers"]] == sorted(MARKERS)
    for row in found["markers"]:
        planted = [gene["gene"] for gene in row["genes"] if not gene["gene"].startswith("TRUTH")]
        assert set(planted) <= set(MARKERS[row["group"]])
        assert len(planted) >= 4
    assert charts(tmp_path / "figures") == CHARTS
    assert [(view["name"], view["groups"], view["cells"]) for view in found["views"]] == [
        ("cell_type", 8, 2400),
        ("cell_type+donor", 24, 2400),
    ]
    assert (found["cells"], found["genes"], found["version"]) == (2400, 1500, tissue.version)
    assert found["checks"] == CHECKED["checks"]
    assert sum_up(tissue, tmp_path / "again") == found
    for name in CHARTS:
        one, two = ((tmp_path / place / name).read_bytes() for place in ("figures", "again"))
        assert one == two


def test_without_a_layout_there_is_no_plane(tmp_path: Path) -> None:
    snapshot = publish(tmp_path, make(tmp_path / "made", small(), [["kind"]]))
    sum_up(snapshot, tmp_path / "figures")
    assert charts(tmp_path / "figures") == ["dots.0.png", "heat.png"]


def test_cells_without_a_place_are_left_out_of_the_plane(tmp_path: Path) -> None:
    given = small()
    given.cells["umap_1"], given.cells["umap_2"] = np.random.default_rng(1).random((2, 60))
    given.cells.loc[3, "umap_1"] = np.nan
    snapshot = publish(tmp_path, make(tmp_path / "made", given, [["kind"]]))
    sum_up(snapshot, tmp_path / "figures")
    assert "plane.groups.png" in charts(tmp_path / "figures")


def test_without_means_there_are_no_charts(tmp_path: Path) -> None:
    made = make(tmp_path / "made", small(), [["kind"]], {"statistics": ["n", "median"]})
    found = sum_up(publish(tmp_path, made), tmp_path / "figures")
    assert (found["markers"], charts(tmp_path / "figures")) == ([], [])
    assert found["views"][0]["drawn"] is None
    told = put_together(tmp_path, [found])
    assert "No markers were looked for" in told.page


def put_together(folder: Path, summaries: list[dict[str, Any]], **changed: Any) -> Report:
    """Make the report of datasets that were published, and of one that was not."""
    rows, verdicts, files, figures = [], [], [], []
    for number, summary in enumerate([*summaries, None]):
        place = folder / f"report{number}"
        place.mkdir()
        bad = Problem(f"{HOSTILE}.csv", "row 3", f"found {HOSTILE}", "correct it")
        write_verdict(place / "verdict.json", [] if summary else [bad, bad])
        (place / "summary.json").write_text(json.dumps(summary))
        name = summary["dataset"] if summary else "spoiled"
        rows.append({"dataset": name, "matrix": f"{name}.csv", "metadata": None})
        verdicts.append(place / "verdict.json")
        files.append(place / "summary.json")
        figures.append(folder / "figures")
    settings = {**SETTINGS, "groupings": [["kind"]], "store": "results/cells/store", **changed}
    return report(rows, verdicts, files, figures, settings)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("told")
    snapshot = publish(folder, make(folder / "made", small(), [["kind"]]))
    found = sum_up(snapshot, folder / "figures")
    return put_together(folder, [found], strict=False, datasets=None, min_cells=1)


def test_the_page_tells_all_and_escapes_names(told: Report) -> None:
    assert "<script" not in told.page
    for words in (
        "1 of 2 published",
        "1 of 2 datasets were published",
        "1 dataset was set aside, and readers go on seeing the version before, if there is one: "
        "spoiled",
        "all is well",
        "column &lt;script&gt;",
        "was odd",
        "kind: 3 groups",
        "20",
        "(100\N{NO-BREAK SPACE}%, next 0\N{NO-BREAK SPACE}% in",
        "$a_b$",
        "No name of a gene occurs twice in the matrix.",
        "cells are in the same group if they agree in kind.",
        "python scripts/cells.py serve<",
        "found &lt;script&gt;",
        "correct it",
        "5, 25, 50, 75, 95",
        "<td>strict</td>\n<td>no</td>",
        "<td>datasets</td>\n<td>not set</td>",
        "<td>min_cells</td>\n<td>1</td>",
        "<td>groupings</td>\n<td>[kind]</td>",
        "set aside: 1",
        "data:image/png;base64,",
    ):
        assert words in told.page, words


def test_commands_of_the_page_work_whatever_the_names(
    told: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the page tells to type in, typed in, but for the place of the store."""
    place = tmp_path / "a store"
    snapshot = publish(place, make(tmp_path / "made", small(), [["kind"]]))
    found = sum_up(snapshot, tmp_path / "figures")
    page = put_together(tmp_path, [found], store=str(place / "store")).page
    lines = [
        line.removeprefix("<td>").removesuffix("</td>")
        for line in page.splitlines()
        if line.startswith("<td>python scripts/cells.py")
    ]
    assert len(lines) == 5
    for line in lines[:4]:
        text = line
        for entity, sign in (("lt", "<"), ("gt", ">"), ("#34", '"'), ("#39", "'"), ("amp", "&")):
            text = text.replace(f"&{entity};", sign)
        words = shlex.split(text)
        assert words[:2] == ["python", "scripts/cells.py"]
        assert main(words[2:]) == 0, capsys.readouterr().err
        assert capsys.readouterr().out
    assert lines[4].startswith("<td>python scripts/cells.py serve --store"[4:])


def test_the_tables(told: Report) -> None:
    assert told.datasets["dataset"].tolist() == ["made", "spoiled"]
    assert told.datasets["status"].tolist() == ["published", "set aside"]
    row = told.datasets.iloc[0]
    assert (row["cells"], row["genes"], row["groups"], row["warnings"]) == (60, 6, "kind: 3", 1)
    text = told.datasets.to_csv(sep="\t", index=False, na_rep="n/a")
    assert text.splitlines()[2] == "spoiled\tset aside" + "\tn/a" * 6 + "\tspoiled.csv"
    assert told.aside.columns.tolist() == ["dataset", "file", "place", "what", "remedy"]
    assert told.aside["dataset"].tolist() == ["spoiled", "spoiled"]


def test_the_account(told: Report) -> None:
    nnz = int(np.count_nonzero(small().values))
    assert told.ledger == {
        "datasets": {"read": 2, "used": 1, "dropped": {"set aside": 1}},
        "cells": {"read": 60, "used": 60, "dropped": {}},
        "genes": {"read": 6, "used": 6, "dropped": {}},
        "values": {"read": nnz, "used": nnz, "dropped": {}},
        "grouped": {"read": 60, "used": 60, "dropped": {}},
    }


def test_cells_of_small_groups_are_accounted_for() -> None:
    summary = {"cells": 100, "genes": 5, "nnz": 50, "views": [{"cells": 90}, {"cells": 70}]}
    ledger = make_ledger(1, [summary], 4)
    assert ledger["grouped"] == {
        "read": 200,
        "used": 160,
        "dropped": {"in groups of fewer than 4 cells": 40},
    }


def test_nothing_published_is_said(tmp_path: Path) -> None:
    told = put_together(tmp_path, [])
    assert "No dataset was published" in told.page
    assert "0 of 1 datasets were published" in told.page
    assert told.ledger["cells"] == {"read": 0, "used": 0, "dropped": {}}


def test_more_groups_than_a_chart_has_room_for(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    cells = pd.DataFrame(
        {"cell": [f"c{k}" for k in range(800)], "kind": [f"k{k % 70:02d}" for k in range(800)]}
    )
    given = Given(random.poisson(0.5, (800, 90)).astype(float), [f"g{k}" for k in range(90)], cells)
    snapshot = publish(tmp_path, make(tmp_path / "made", given, [["kind"]], {"normalize": "cpm"}))
    found = sum_up(snapshot, tmp_path / "figures")
    assert (found["views"][0]["groups"], found["views"][0]["drawn"]) == (70, 60)
    assert len(found["markers"]) == 60
    assert "Shown are the 60 largest of 70 groups." in put_together(tmp_path, [found]).page
