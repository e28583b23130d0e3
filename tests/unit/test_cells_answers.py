import threading
from urllib.parse import quote

import numpy as np
import pytest

import services
from services import GENES, TYPES
from tessera.cells import answers
from tessera.cells.densities import PERCENTILES, POINTS
from tessera.cells.store import open_store

COLUMNS = ["n", "count_nonzero", "fraction", "sum", "mean", "var", "min"]
COLUMNS += ["p05", "p25", "median", "p75", "p95", "max", "trimmed_mean"]


@pytest.fixture(scope="module")
def brain():
    return services.tissue(1)


def of_group(brain, gene, group, by=("cell_type",)):
    labels = brain.cells[list(by)].agg("|".join, axis=1)
    return brain.counts[(labels == group).to_numpy(), brain.genes.index(gene)]


# ---- what there is ----


def test_datasets(get, shared_store):
    found = get("/api/datasets")["datasets"]
    assert [one["dataset"] for one in found] == ["brain", "hostile", "logs"]
    now = open_store(shared_store).current("brain").version
    assert found[0] == {
        "version": now, "dataset": "brain", "cells": 90, "genes": 9,
        "nnz": found[0]["nnz"], "groupings": ["cell_type", "cell_type+sex"],
    }  # fmt: skip


def test_info(get, brain):
    info = get("/api/brain/info")
    assert (info["cells"], info["genes"]) == brain.counts.shape
    assert info["nnz"] == np.count_nonzero(brain.counts)
    assert (info["umap"], info["unit"]) == (True, "value")
    one, two = info["groupings"]
    assert (one["name"], one["columns"]) == ("cell_type", ["cell_type"])
    assert one["statistics"] == COLUMNS
    assert one["groups"] == [{"group": name, "n": 30} for name in sorted(TYPES)]
    assert one["definition"]["trim"] == 0.25
    assert all(isinstance(sentence, str) for sentence in one["definition"]["text"])
    assert (two["name"], two["columns"]) == ("cell_type+sex", ["cell_type", "sex"])
    assert len(two["groups"]) == 6


def test_info_of_logarithms_without_a_map(get):
    info = get("/api/logs/info")
    assert (info["umap"], info["unit"]) == (False, "log\u2082(CPM + 1)")


# ---- genes ----


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("g", ["Gad1", "Gad2"]),
        ("GAD", ["Gad1", "Gad2"]),
        ("gad2", ["Gad2"]),
        ("Sst", ["Sst", "SST-like"]),
        ("sst", ["Sst", "SST-like"]),
        ("co1", ["mt-Co1"]),
        ("/", ["a/b"]),
        ("%", []),
        ("zzz", []),
    ],
)
def test_genes_are_found_by_their_beginning_or_else_by_any_part(get, search, found):
    answer = get(f"/api/brain/genes?search={quote(search)}")
    assert (answer["genes"], answer["total"]) == (found, len(found))


def test_genes_are_limited_and_counted(get):
    answer = get("/api/brain/genes?limit=2")
    assert (len(answer["genes"]), answer["total"]) == (2, len(GENES))


@pytest.mark.parametrize("grouping", services.GROUPINGS, ids="+".join)
@pytest.mark.parametrize("gene", ["Gad1", "Silent", "a/b", "1"])
def test_a_gene_by_group(get, brain, gene, grouping):
    answer = get(f"/api/brain/gene/{quote(gene, safe='')}?grouping={quote('+'.join(grouping))}")
    assert (answer["gene"], answer["columns"], answer["unit"]) == (gene, COLUMNS, "value")
    assert answer["grouping"] == "+".join(grouping)
    assert answer["groups"] == sorted(answer["groups"])
    for group, row in zip(answer["groups"], answer["rows"], strict=True):
        values = of_group(brain, gene, group, grouping)
        told = dict(zip(COLUMNS, row, strict=True))
        assert (told["n"], told["count_nonzero"]) == (len(values), np.count_nonzero(values))
        assert isinstance(told["n"], int)
        assert told["mean"] == pytest.approx(values.mean(), abs=1e-12)
        assert told["p95"] == pytest.approx(np.percentile(values, 95), abs=1e-12)


def test_what_is_missing_is_null(get):
    """Of 7 cells, one group by type and sex has a single cell: it has no variance."""
    answer = get("/api/logs/gene/Gad1?grouping=cell_type%2Bsex")
    n, var = answer["columns"].index("n"), answer["columns"].index("var")
    single = [row[var] for row in answer["rows"] if row[n] == 1]
    assert single
    assert set(single) == {None}


def test_the_default_grouping_is_the_first(get):
    assert get("/api/brain/gene/Gad1")["grouping"] == "cell_type"
    assert get("/api/brain/gene/Gad1?grouping=")["grouping"] == "cell_type"


# ---- genes by cells ----


def test_expression_holds_the_cells_that_are_not_zero(get, brain):
    answer = get("/api/brain/expression/Gad1?cells=name")
    counts = brain.counts[:, 1]
    assert answer["cells"] == 90
    assert answer["index"] == np.flatnonzero(counts).tolist()
    assert answer["name"] == brain.cells["cell"][counts > 0].tolist()
    assert answer["raw"] == answer["values"] == counts[counts > 0].tolist()
    plain = get("/api/brain/expression/Gad1")
    assert plain == {key: value for key, value in answer.items() if key != "name"}


def test_expression_is_normalised_as_the_view_is(get):
    small = services.tissue(2, n_cells=7, umap=False)
    answer = get("/api/logs/expression/Slc17a7")
    raw = small.counts[:, 0]
    cpm = raw / small.counts.sum(axis=1) * 1e6
    np.testing.assert_allclose(answer["values"], np.log2(cpm + 1)[raw > 0], rtol=1e-14)
    assert answer["raw"] == raw[raw > 0].tolist()


def test_expression_of_a_silent_gene(get):
    answer = get("/api/brain/expression/Silent?cells=umap")
    assert (answer["index"], answer["values"]) == ([], [])


def test_umap_shows_every_cell_of_a_small_dataset(get, brain):
    answer = get("/api/brain/umap?grouping=cell_type%2Bsex")
    np.testing.assert_allclose(answer["x"], brain.cells["umap_1"], atol=1e-4)
    np.testing.assert_allclose(answer["y"], brain.cells["umap_2"], atol=1e-4)
    labels = brain.cells[["cell_type", "sex"]].agg("|".join, axis=1)
    assert [answer["groups"][code] for code in answer["code"]] == labels.tolist()
    assert (answer["text"], answer["shown"]) == ("All 90 cells.", 90)


def test_umap_of_many_cells_shows_some_evenly_spaced_and_says_so(get, brain, monkeypatch):
    monkeypatch.setattr(answers, "SHOWN", 40)
    answer = get("/api/brain/umap")
    index = np.array(answer["index"])
    assert answer["text"] == "40 of 90 cells, evenly spaced in the order of the data."
    assert len(index) == 40
    assert set(np.diff(index)) == {2, 3}
    shown = get("/api/brain/expression/Gad1?cells=umap")
    values = np.zeros(40)
    values[shown["index"]] = shown["values"]
    np.testing.assert_array_equal(values, brain.counts[index, 1])


# ---- distributions ----


def test_violins_hold_exact_quantiles_of_all_cells(get, brain):
    answer = get("/api/brain/violin/Gad1")
    assert len(answer["grid"]) == POINTS
    assert [one["group"] for one in answer["groups"]] == sorted(TYPES)
    for one in answer["groups"]:
        values = of_group(brain, "Gad1", one["group"])
        wanted = np.quantile(values, list(PERCENTILES.values()))
        np.testing.assert_array_equal([one[name] for name in PERCENTILES], wanted)
        ends = (len(values), values.min(), values.max())
        assert (one["n"], one["min"], one["max"]) == ends
        assert one["mean"] == pytest.approx(values.mean())
        assert one["fraction"] == np.count_nonzero(values) / len(values)
        assert max(one["density"]) == 1


def test_a_violin_of_equal_values_has_no_density(get):
    for one in get("/api/brain/violin/Silent")["groups"]:
        assert (one["density"], one["median"], one["fraction"]) == (None, 0, 0)


# ---- several genes ----


def test_top_genes(get, brain):
    answer = get("/api/brain/top?group=Int&n=3")
    inter = brain.cells["cell_type"].to_numpy() == "Int"
    means = brain.counts[inter].mean(axis=0)
    order = np.argsort(-means, kind="stable")[:3]
    assert [row[0] for row in answer["rows"]] == [GENES[at] for at in order]
    assert answer["columns"] == ["gene", *COLUMNS]
    assert (answer["by"], answer["group"]) == ("mean", "Int")


def test_heat_map_of_chosen_genes(get, brain):
    answer = get("/api/brain/heatmap?genes=Sst,Gad1,Sst&by=max")
    assert (answer["genes"], answer["by"]) == (["Sst", "Gad1"], "max")
    wanted = [[of_group(brain, g, t).max() for t in sorted(TYPES)] for g in ("Sst", "Gad1")]
    assert answer["values"] == wanted
    shares = np.array(answer["fractions"])
    assert shares[0, 0] == np.count_nonzero(of_group(brain, "Sst", "Exc")) / 30


@pytest.mark.parametrize("grouping", services.GROUPINGS, ids="+".join)
def test_heat_map_of_markers(get, brain, grouping):
    """Markers are above every group of another type: brute force over all genes."""
    answer = get(f"/api/brain/heatmap?n=2&grouping={quote('+'.join(grouping))}")
    labels = brain.cells[list(grouping)].agg("|".join, axis=1).to_numpy()
    groups = sorted(set(labels))
    means = np.array([brain.counts[labels == group].mean(axis=0) for group in groups])
    kinds = np.array([group.split("|")[0] for group in groups])
    wanted = []
    for k in range(len(groups)):
        lead = means[k] - means[kinds != kinds[k]].max(axis=0)
        own = [g for g in range(len(GENES)) if means[:, g].argmax() == k and lead[g] > 0]
        wanted += [GENES[g] for g in sorted(own, key=lambda g: (-round(lead[g], 9), g))[:2]]
    assert answer["genes"] == wanted
    assert "Silent" not in wanted
    other = "other group" if len(grouping) == 1 else "group of another cell_type"
    assert answer["text"] == (
        f"Of each group, the genes whose mean is the furthest above that of every {other}, 2 at "
        "most; a difference of values, not a test."
    )


def test_a_view_without_fractions_has_none_in_its_heat_map(get):
    answer = get("/api/logs/heatmap?genes=Gad1&by=var")
    assert answer["fractions"] is None
    assert answer["unit"] == "log\u2082(CPM + 1) squared"


# ---- SQL ----


def test_sql(get, brain):
    query = "SELECT gene, \"group\", n FROM cell_type WHERE gene = 'Gad1' ORDER BY 2"
    answer = get(f"/api/brain/sql?q={quote(query)}")
    assert answer["columns"] == ["gene", "group", "n"]
    assert answer["rows"] == [["Gad1", group, 30] for group in sorted(TYPES)]


def test_sql_gives_what_json_has_no_form_for(get):
    query = "SELECT DATE '2020-01-02' d, 'nan'::double x, NULL y, true z, 1.50::DECIMAL(9, 2) w"
    row = get(f"/api/brain/sql?q={quote(query)}")["rows"][0]
    assert row[0].startswith("2020-01-02")
    assert row[1:4] == [None, None, True]
    assert float(row[4]) == 1.5


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_text('../../../../etc/passwd')",
        "SELECT * FROM glob('/*')",
        "COPY genes TO '{}/stolen.csv'",
        "CREATE TABLE t AS SELECT 1",
        "ATTACH '{}/stolen.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET memory_limit = '100GB'",
        "PRAGMA database_list",
        "SELECT 1; SELECT 2",
        "SELECT * FROM read_parquet('https://example.org/x.parquet')",
        "SELECT getenv('PATH')",
        "not sql",
        "",
    ],
)
def test_sql_reads_the_views_and_nothing_else(server, query, tmp_path):
    assert services.refused(server, f"/api/brain/sql?q={quote(query.format(tmp_path))}", 400)
    assert not list(tmp_path.iterdir())


def test_sql_is_bounded_in_rows(server, monkeypatch):
    monkeypatch.setattr(answers, "ROWS", 5)
    assert services.refused(server, "/api/brain/sql?q=SELECT+*+FROM+cell_type", 400) == [
        "SQL: the answer has more than 5 rows; add LIMIT 5, or let SQL add up."
    ]


def test_sql_is_bounded_in_time(server, monkeypatch):
    monkeypatch.setattr(answers, "SECONDS", 0.5)
    slow = "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b"
    assert services.refused(server, f"/api/brain/sql?q={quote(slow)}", 400) == [
        "SQL: the query takes longer than 0.5 s; ask for less."
    ]


def test_sql_waits_for_a_place_and_gives_up(server, monkeypatch):
    monkeypatch.setattr(answers, "SECONDS", 0.1)
    monkeypatch.setattr(answers, "_AT_WORK", threading.BoundedSemaphore(1))
    with answers._AT_WORK:
        answer = server.get("/api/brain/sql?q=SELECT+1")
    assert (answer.status, answer.json) == (
        503,
        {"error": "Other queries in SQL are at work; ask again in some seconds."},
    )
