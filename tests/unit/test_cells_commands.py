import io
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import services
from tessera.cells.commands import STORE, main
from tessera.cells.printing import harmless, write_table
from tessera.cells.reading import Cells
from tessera.cells.store import open_store
from tools import ROOT

SCRIPT = str(ROOT / "scripts/cells.py")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """To be read only."""
    return services.make_store(tmp_path_factory.mktemp("commands"))


@pytest.fixture
def run(store, capsys):
    """Run a command about the store; returns what it printed."""

    def call(*arguments, status=0, where=store):
        place = ["--store", str(where)] if where else []
        assert main([arguments[0], *place, *arguments[1:]]) == status
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return out if status == 0 else err.splitlines()

    return call


def table(text):
    return pd.read_csv(
        io.StringIO(text), sep="\t", float_precision="round_trip", dtype={"gene": str}
    )


# ---- questions ----


@pytest.mark.parametrize("grouping", [None, "cell_type+sex"])
def test_gene_in_a_pipe_has_every_digit(run, store, grouping):
    more = ["--grouping", grouping] if grouping else []
    found = table(run("gene", "Gad1", "--dataset", "brain", *more))
    pd.testing.assert_frame_equal(
        found, Cells(store, "brain").gene("Gad1", grouping), check_exact=True
    )


def test_gene_as_json_has_null_for_what_is_missing(run, store):
    more = ["--dataset", "logs", "--grouping", "cell_type+sex", "--json"]
    found = json.loads(run("gene", "Gad1", *more))
    wanted = Cells(store, "logs").gene("Gad1", "cell_type+sex")
    assert [row["var"] for row in found if row["n"] == 1] == [None] * (wanted["n"] == 1).sum()
    assert [row["mean"] for row in found] == wanted["mean"].tolist()


def test_top(run, store):
    found = table(run("top", "Int", "--dataset", "brain", "--by", "p95", "-n", "2"))
    wanted = Cells(store, "brain").top_genes("Int", by="p95", n=2)
    pd.testing.assert_frame_equal(found, wanted, check_exact=True)


def test_expression(run):
    found = table(run("expression", "Gad1", "--dataset", "brain"))
    brain = services.tissue(1)
    counts = brain.counts[:, 1]
    assert found["cell"].tolist() == brain.cells["cell"][counts > 0].tolist()
    assert found["value"].tolist() == counts[counts > 0].tolist()


def test_sql(run):
    query = "SELECT \"group\", n FROM cell_type WHERE gene = 'Gad1' ORDER BY 1"
    assert run("sql", query, "--dataset", "brain") == "group\tn\nExc\t30\nGlia\t30\nInt\t30\n"


def test_datasets(run, store):
    found = table(run("datasets"))
    assert found["dataset"].tolist() == ["brain", "hostile", "logs"]
    assert found["cells"].tolist() == [90, 40, 7]
    assert found["version"].tolist() == [
        open_store(store).current(name).version for name in found["dataset"]
    ]


# ---- versions ----


@pytest.fixture
def two(tmp_path):
    """A store of one dataset with two versions, and their names, the older first."""
    store = tmp_path / "store"
    names = [
        services.publish(store, tmp_path / str(seed), "brain", services.tissue(seed))
        for seed in (1, 2)
    ]
    return store, names


def test_versions_rollback_and_gc(run, two):
    store, (old, new) = two

    def states():
        found = table(run("versions", where=store))
        return dict(zip(found["version"], found["state"], strict=True))

    found = table(run("versions", where=store))
    assert found["version"].tolist() == [old, new]
    assert found["since"].str.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC").tolist()[0]
    assert states() == {old: "replaced", new: "current"}
    assert run("rollback", where=store) == f"dataset\tversion\nbrain\t{old}\n"
    assert states() == {new: "replaced", old: "current"}
    assert run("rollback", new, where=store) == f"dataset\tversion\nbrain\t{new}\n"
    assert run("gc", "--keep", "1", where=store) == "dataset\tremoved\n"
    removed = run("gc", "--keep", "1", "--grace-hours", "0", where=store)
    assert removed == f"dataset\tremoved\nbrain\t{old}\n"
    assert states() == {new: "current"}


def test_a_dataset_need_not_be_named_where_there_is_one(run, two):
    assert run("gene", "Gad1", where=two[0]) == run(
        "gene", "Gad1", "--dataset", "brain", where=two[0]
    )


# ---- what is refused ----


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["gene", "Gad1"],
            "{store}: holds 3 datasets; name one with --dataset: brain, hostile, logs.",
        ),
        (
            ["gene", "Gad1", "--dataset", "brian"],
            "{store}: has no dataset brian; expected one of brain, hostile, logs "
            "(did you mean brain?).",
        ),
        (
            ["gene", "gad1", "--dataset", "brain"],
            "brain: has no gene gad1; expected the name of one of its 9 genes "
            "(did you mean Gad1?).",
        ),
        (
            ["expression", "gad1", "--dataset", "brain"],
            "brain: has no gene gad1; expected the name of one of its 9 genes "
            "(did you mean Gad1?).",
        ),
        (
            ["gene", "Gad1", "--dataset", "brain", "--grouping", "sex"],
            "brain: has no grouping sex; expected one of cell_type, cell_type+sex.",
        ),
        (
            ["rollback", "--dataset", "brain"],
            "brain: has no version before the current one; name one of its versions, or publish "
            "one.",
        ),
        (["sql", "DROP VIEW genes", "--dataset", "brain"],
         "SQL: found a statement of the kind DROP; expected a SELECT, which only reads."),
        (["versions", "--dataset", "../brain"],
         "{store}: has no dataset ../brain; expected one of brain, hostile, logs "
         "(did you mean brain?)."),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)  # fmt: skip
def test_bad_questions_are_told_in_a_sentence(run, store, arguments, said):
    assert run(*arguments, status=2) == [said.format(store=store)]


def test_an_empty_store(run, tmp_path):
    place = tmp_path / "nothing"
    assert run("gene", "Gad1", status=2, where=place) == [
        f"{place}: holds no published dataset; publish one first (snakemake cells)."
    ]
    assert run("datasets", where=place) == "dataset\tcells\tgenes\tnnz\tgroupings\tversion\n"


def test_a_store_of_an_unknown_kind(run):
    assert run("datasets", status=2, where="ftp://x") == [
        "ftp://x: is a ftp address; expected a folder or s3://bucket/prefix."
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["gene"], "the following arguments are required: NAME"),
        (["gc", "--keep", "0"], "argument --keep: '0' is no whole number of at least 1"),
        (["gc", "--grace-hours", "-1"], "argument --grace-hours: '-1' is no number of at least 0"),
        (
            ["gc", "--grace-hours", "nan"],
            "argument --grace-hours: 'nan' is no number of at least 0",
        ),
        (["top", "x", "-n", "0"], "argument -n: '0' is no whole number of at least 1"),
        (["serve", "--port", "70000"], "argument --port: '70000' is no port: expected 0 to 65535"),
        (["check", "x.csv"], "the following arguments are required: --group"),
    ],
    ids=" ".join,
)
def test_bad_arguments(capsys, arguments, said):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert capsys.readouterr().err.splitlines()[-1].endswith(said)


def test_a_port_that_is_taken(run, store):
    with services.served(store) as running:
        port = running.address.rsplit(":", 1)[1]
        assert run("serve", "--port", port, status=2) == [
            f"serve: 127.0.0.1 port {port} cannot be taken: Address already in use; choose another "
            "--port or --host."
        ]


def test_a_host_that_is_open_to_the_network_is_said_loudly(run, store):
    with services.served(store) as running:
        port = running.address.rsplit(":", 1)[1]
        said = run("serve", "--host", "0.0.0.0", "--port", port, status=2)
    assert said[0] == (
        "WARNING: the service will listen on 0.0.0.0. Whoever reaches this machine over the "
        "network can read all of the store; there are no passwords. Leave --host out to keep it to "
        "this machine."
    )


# ---- a check before a run ----


@pytest.fixture
def upload(tmp_path, monkeypatch):
    """A matrix and its metadata, as somebody brings them."""
    monkeypatch.chdir(tmp_path)
    made = services.tissue(1, 12)
    frame = pd.DataFrame(made.counts.astype(int), made.cells["cell"], list(made.genes))
    frame.to_csv("matrix.csv")
    made.cells.to_csv("metadata.csv", index=False)
    return tmp_path


def check(capsys, *arguments):
    status = main(["check", "matrix.csv", "metadata.csv", *arguments])
    out, err = capsys.readouterr()
    return status, out, err.splitlines()


def test_check_tells_what_was_found(upload, capsys):
    status, out, err = check(capsys, "--group", "cell_type", "--group", "sex", "--json")
    assert (status, err) == (0, [])
    nnz = np.count_nonzero(services.tissue(1, 12).counts)
    assert [row["found"] for row in json.loads(out)] == ["csv", 12, 9, nnz, 3, 2]
    assert not list(upload.glob("tessera-check-*"))


def test_check_tells_all_that_is_wrong_at_once(upload, capsys):
    text = (upload / "matrix.csv").read_text().splitlines()
    text[3] = text[3].rsplit(",", 1)[0] + ",many"
    (upload / "matrix.csv").write_text("\n".join(text) + "\n")
    status, out, err = check(capsys, "--group", "celltype")
    assert (status, out) == (2, "")
    assert len(err) == 2
    assert err[0] == (
        "matrix.csv: row 4, column 1: found many; expected a finite number, with a decimal point "
        "if any."
    )
    assert "has no column celltype" in err[1]
    assert "(did you mean cell_type?)" in err[1]


def test_check_reads_every_value_as_a_run_does(upload, capsys):
    """A negative value is no fault of the file, but of its logarithm."""
    text = (upload / "matrix.csv").read_text().splitlines()
    text[5] = text[5].rsplit(",", 1)[0] + ",-3"
    (upload / "matrix.csv").write_text("\n".join(text) + "\n")
    status, _, err = check(capsys, "--group", "sex")
    assert status == 2
    assert len(err) == 1
    assert err[0].startswith("matrix.csv: ")
    status, _, err = check(capsys, "--group", "sex", "--normalize", "none")
    assert status == 0


# ---- on a terminal ----


def test_tables_for_people():
    frame = pd.DataFrame(
        {"gene": ["Gad1", "a\x1b[31m\nb"], "n": [1234567, 8], "mean": [0.123456789, np.nan]}
    )
    stream = io.StringIO()
    write_table(frame, stream, "table")
    assert stream.getvalue().splitlines() == [
        "gene                  n      mean",
        "Gad1          1,234,567  0.123457",
        "a\\x1b[31m\\nb          8         -",
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (1e-9, "1.000e-09"), (123456789.0, "1.235e+08"), (-2.5, "-2.5"), (np.inf, "-")],
)
def test_numbers_for_people(value, shown):
    stream = io.StringIO()
    write_table(pd.DataFrame({"x": [value]}), stream, "table")
    assert stream.getvalue().split() == ["x", shown]


def test_nothing_steers_the_terminal():
    assert harmless("ok é ß\x1b]0;title\x07\u202e\r") == "ok é ß\\x1b]0;title\\x07\\u202e\\r"


def command(*arguments, **more):
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False, **more
    )


def test_the_command_for_real(store):
    found = command("gene", "Gad1", "--dataset", "brain", "--store", str(store))
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.startswith("group\tn\tcount_nonzero\t")
    bad = command("gene", "\x1b[31mx", "--dataset", "brain", "--store", str(store))
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr == (
        "brain: has no gene \\x1b[31mx; expected the name of one of its 9 genes.\n"
    )


def test_a_reader_who_has_enough(store):
    text = f"{sys.executable} {SCRIPT} sql 'SELECT range FROM range(1000000)' --dataset brain"
    found = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {text} --store {store} | head -1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (found.returncode, found.stdout, found.stderr) == (0, "range\n", "")


@pytest.mark.parametrize(
    "name",
    [
        *("gene", "top", "expression", "sql", "datasets", "versions", "rollback", "gc", "serve"),
        "check",
    ],
)
def test_every_command_tells_what_it_is_for(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([name, "-h"])
    said = capsys.readouterr().out
    assert said.startswith(f"usage: cells.py {name}")
    if name != "check":
        assert STORE in " ".join(said.split())
