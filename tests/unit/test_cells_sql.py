import io
import itertools

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from tessera.cells import sql_worker
from tessera.cells.sql import run_query, view_names
from tessera.errors import InputError

VIEWS = 'views are "subclass", "sub class"'


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    folder = tmp_path_factory.mktemp("it's a folder")
    frame = pd.DataFrame({"gene": list("abc"), "mean": [1.0, None, 3.0]})
    frame.to_parquet(folder / "subclass.parquet")
    frame.head(1).to_parquet(folder / "more.parquet")
    frame.to_parquet(folder / "other.parquet")
    (folder / "secret.csv").write_text("a,b\n1,2\n")
    return {"subclass": folder / "subclass.parquet", "sub class": folder / "more.parquet"}


def told(*arguments, **options):
    with pytest.raises(InputError) as caught:
        run_query(*arguments, **options)
    [line] = str(caught.value).splitlines()
    return line


def in_this_process(views, query, rows=None):
    """Answer as the worker does, but for the limits to the process."""
    paths = {name: str(path) for name, path in views.items()}
    request = {"views": paths, "query": query, "rows": rows, "memory": "1GB", "threads": 1}
    out = io.BytesIO()
    sql_worker.answer(request, out)
    return pa.ipc.open_stream(out.getvalue()).read_all().to_pandas()


def test_views_are_asked_by_their_names(views):
    answer = run_query(views, "SELECT gene, mean * 2 AS twice FROM subclass ORDER BY gene DESC;")
    expected = pd.DataFrame({"gene": list("cba"), "twice": [6.0, None, 2.0]})
    pd.testing.assert_frame_equal(answer, expected)
    for query, values in (
        ('WITH x AS (FROM "sub class") SELECT count(*) FROM x', [1]),
        ("SELECT name FROM (SHOW TABLES)", ["sub class", "subclass"]),
        ("SELECT column_name FROM (DESCRIBE subclass)", ["gene", "mean"]),
        ("-- a remark\nSELECT 1 -- and another", [1]),
    ):
        assert in_this_process(views, query).iloc[:, 0].tolist() == values


def test_sums_of_whole_numbers_are_numbers(views):
    answer = run_query(
        views, "SELECT sum(length(gene)) AS n, 1.5 AS x, sum(mean) AS m FROM subclass"
    )
    assert answer.dtypes.tolist() == [float] * 3
    assert answer.iloc[0].tolist() == [3.0, 1.5, 4.0]


def test_names_of_views_never_meet():
    names = ["cell_type", "cells", "Genes", "Cell_Type", "cells_", "cell_type_"]
    assert view_names(names) == {
        "cell_type": "cell_type", "cells": "cells_", "Genes": "Genes_", "Cell_Type": "Cell_Type_",
        "cells_": "cells__", "cell_type_": "cell_type__",
    }  # fmt: skip
    for order in itertools.permutations(names):
        made = [name.casefold() for name in view_names(list(order)).values()]
        assert len({*made, "genes", "cells"}) == len(made) + 2


FILES = [
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/hostname')",
    "SELECT * FROM read_csv('{folder}/secret.csv')",
    "SELECT * FROM read_json('{folder}/secret.csv')",
    "SELECT * FROM '{folder}/secret.csv'",
    "FROM '{folder}/other.parquet'",
    "SELECT * FROM read_parquet('{folder}/*.parquet')",
    "SELECT * FROM parquet_metadata('{folder}/other.parquet')",
    "SELECT * FROM sniff_csv('{folder}/secret.csv')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM 'http://127.0.0.1:1/x.parquet'",
    "SELECT * FROM 's3://bucket/x.parquet'",
    "SELECT * FROM duckdb_secrets()",
]


@pytest.mark.parametrize("query", FILES)
def test_other_files_are_out_of_reach(views, query):
    folder = str(views["subclass"].parent).replace("'", "''")
    with pytest.raises(duckdb.PermissionException):
        in_this_process(views, query.format(folder=folder))


def test_that_files_are_out_of_reach_is_told(views):
    assert told(views, "SELECT * FROM read_text('/etc/passwd')") == (
        "SQL: the query reads or writes a file, or loads something; "
        f"only views can be read ({VIEWS})."
    )


OTHERS = [
    ("COPY", "COPY subclass TO '{folder}/out.csv'"),
    ("COPY", "COPY (SELECT 1) TO '{folder}/subclass.parquet'"),
    ("EXPORT", "EXPORT DATABASE '{folder}/out'"),
    ("ATTACH", "ATTACH '{folder}/out.db'"),
    ("LOAD", "INSTALL httpfs"),
    ("LOAD", "LOAD httpfs"),
    ("PRAGMA", "PRAGMA version"),
    ("SET", "SET threads = 64"),
    ("SET", "SET enable_external_access = true"),
    ("SET", "RESET lock_configuration"),
    ("CALL", "CALL enable_logging()"),
    ("CREATE", "CREATE TABLE t AS SELECT 1"),
    ("CREATE", "CREATE OR REPLACE VIEW subclass AS SELECT 1"),
    ("DROP", "DROP VIEW subclass"),
    ("INSERT", "INSERT INTO subclass VALUES ('a', 1)"),
    ("DELETE", "DELETE FROM subclass"),
    ("TRANSACTION", "BEGIN"),
    ("EXPLAIN", "EXPLAIN ANALYZE SELECT 1"),
]


@pytest.mark.parametrize(("kind", "query"), OTHERS)
def test_only_select_is_taken(views, kind, query):
    folder = views["subclass"].parent
    before = sorted(folder.iterdir())
    with pytest.raises(sql_worker.Refused) as caught:
        in_this_process(views, query.format(folder=str(folder).replace("'", "''")))
    assert caught.value.args == ("type", kind)
    assert sorted(folder.iterdir()) == before


def test_that_only_select_is_taken_is_told(views):
    assert told(views, "SET threads = 64") == (
        "SQL: found a statement of the kind SET; expected a SELECT, which only reads."
    )


@pytest.mark.parametrize(
    ("query", "found"),
    [("SELECT 1; SELECT 2", 2), ("SELECT 1; DROP VIEW subclass", 2), ("", 0), ("--x", 0)],
)
def test_one_statement_is_taken(views, query, found):
    assert told(views, query) == f"SQL: found {found} statements; expected one SELECT."


def test_settings_cannot_be_changed_from_within_a_select(views):
    for query in (
        "SELECT * FROM enable_logging(storage='file', storage_path='/tmp/x')",
        "SELECT * FROM query('SET threads = 64')",
    ):
        with pytest.raises((duckdb.InvalidInputException, duckdb.ParserException)):
            in_this_process(views, query)
    for name, value in (("enable_external_access", False), ("lock_configuration", True)):
        found = in_this_process(views, f"SELECT current_setting('{name}')")
        assert found.iloc[0, 0] == value


def test_variables_of_the_program_are_no_tables(views):
    frame = pd.DataFrame({"x": [1]})
    with pytest.raises(duckdb.CatalogException, match="Table with name frame does not exist"):
        in_this_process(views, "SELECT * FROM frame")
    assert len(frame) == 1


def test_mistakes_are_told_in_one_sentence(views):
    assert told(views, "SELEC 1") == (
        f'SQL: Parser Error: syntax error at or near "SELEC"; correct the query ({VIEWS}).'
    )
    assert told(views, "SELECT nam FROM subclass").startswith(
        'SQL: Binder Error: Referenced column "nam" not found in FROM clause'
    )
    assert told(views, "SELECT * FROM subclass WHERE mean > $1").startswith(
        "SQL: Invalid Input Error: "
    )


def test_an_answer_has_the_rows_it_may_have_or_is_refused(views):
    for rows in (3, 4, None):
        assert len(in_this_process(views, "FROM subclass", rows)) == 3
    assert len(in_this_process(views, "FROM subclass LIMIT 2", 2)) == 2
    assert told(views, "FROM subclass", rows=2) == (
        "SQL: the answer has more than 2 rows; add LIMIT 2, or let SQL add up."
    )
    for query in ("FROM range(10_000_000_000)", "FROM range(30_000)"):
        with pytest.raises(sql_worker.Refused, match="rows"):
            in_this_process(views, query, 25_000)
    for query in ("SHOW TABLES", "DESCRIBE subclass", "SUMMARIZE subclass", "VALUES (1), (2)"):
        assert len(in_this_process(views, query, 2)) == 2


def test_a_query_that_takes_too_long_is_stopped(views):
    query = "WITH RECURSIVE t(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM t) SELECT max(a) FROM t"
    assert told(views, query, seconds=0.3) == (
        "SQL: the query takes longer than 0.3 s; ask for less."
    )


def test_a_query_that_needs_too_much_memory_is_refused(views):
    # In one call of a function, which DuckDB itself neither counts nor interrupts.
    query = "SELECT length(repeat('x', 4_000_000_000))"
    assert told(views, query) == "SQL: the query needs more than 1GB of memory; ask for less."


def test_a_file_that_is_gone_is_not_the_querys_fault(views, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.parquet is missing"):
        run_query({**views, "gone": tmp_path / "gone.parquet"}, "SELECT 1")
