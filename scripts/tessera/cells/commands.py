"""The console command: ask a store, look after it, serve it, and check data before a run."""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tessera.errors import InputError, Problem

# What a command needs is imported when it runs, so that `-h` answers at once.
if TYPE_CHECKING:
    import pandas as pd

    from tessera.cells.reading import Cells
    from tessera.cells.store import Store

STORE = "results/cells/store"
"""Where the pipeline publishes as `config.yaml` is shipped."""

_ABOUT = """\
Ask what the pipeline `cells` published, and look after it.

On a terminal answers are tables to look at; in a pipe they are TSV with every digit."""
_EXAMPLES = """\
examples:
  cells.py datasets
  cells.py gene Slc17a7 --grouping subclass
  cells.py top "L2/3 IT" --by mean -n 10
  cells.py sql "SELECT gene, \\"group\\", mean FROM subclass WHERE fraction > 0.9" > genes.tsv
  cells.py serve --port 8000
  cells.py check matrix.csv metadata.csv --group subclass
"""

Work = Callable[[Any], "pd.DataFrame | None"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments
        Those of the command line if None.

    Returns
    -------
    int
        Exit status: 0, or 2 for bad input, which is told in a sentence each.
    """
    given = _parser().parse_args(arguments)
    try:
        table = given.work(given)
        if table is not None:
            from tessera.cells.printing import write_table

            form = given.form or ("table" if sys.stdout.isatty() else "tsv")
            write_table(table, sys.stdout, form)
        sys.stdout.flush()
    except InputError as error:
        for problem in error.problems:
            _say(str(problem))
        return 2
    except BrokenPipeError:
        # Whoever read has enough, like `head`; Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="cells.py", description=_ABOUT, epilog=_EXAMPLES, formatter_class=shape
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    store = argparse.ArgumentParser(add_help=False)
    store.add_argument(
        "--store", default=STORE, metavar="PLACE",
        help="a folder, or s3://bucket/prefix (default: %(default)s)",
    )  # fmt: skip
    one = argparse.ArgumentParser(add_help=False)
    one.add_argument(
        "--dataset", metavar="NAME", help="may be left out where the store holds one only"
    )
    form = argparse.ArgumentParser(add_help=False)
    forms = form.add_mutually_exclusive_group()
    for name, text in (("tsv", "TSV with every digit"), ("json", "JSON with every digit")):
        forms.add_argument(
            f"--{name}", dest="form", action="store_const", const=name, help=text
        )  # fmt: skip
    view = argparse.ArgumentParser(add_help=False)
    view.add_argument(
        "--grouping", metavar="NAME", help="columns joined by + (default: the first of the dataset)"
    )

    def command(
        name: str, work: Work, text: str,
        *parents: argparse.ArgumentParser,
    ) -> argparse.ArgumentParser:  # fmt: skip
        made = commands.add_parser(name, help=text, description=text, parents=list(parents))
        made.set_defaults(work=work, form=None)
        return made

    gene = command("gene", _gene, "statistics of a gene, a row per group", store, one, view, form)
    gene.add_argument("name", metavar="NAME")
    top = command("top", _top, "the highest genes of a group", store, one, view, form)
    top.add_argument("group", metavar="GROUP")
    top.add_argument("--by", default="mean", metavar="COLUMN", help="default: %(default)s")
    top.add_argument(
        "-n", type=_at_least(1, int), default=20, metavar="N",
        help="how many (default: %(default)s)",
    )  # fmt: skip
    text = "values of a gene, cell by cell; cells of value 0 are left out"
    expression = command("expression", _expression, text, store, one, form)
    expression.add_argument("name", metavar="NAME")
    text = "any query in SQL: a view per grouping, and the tables genes and cells"
    command("sql", _sql, text, store, one, form).add_argument("query", metavar="QUERY")
    command("datasets", _datasets, "what is published in the store", store, form)
    command("versions", _versions, "versions of a dataset that are still there", store, one, form)
    text = "make the version before the current one, or a given one, the current one again"
    rollback = command("rollback", _rollback, text, store, one, form)
    rollback.add_argument("version", nargs="?", metavar="VERSION")
    gc = command("gc", _collect, "remove versions that are no longer needed", store, one, form)
    gc.add_argument(
        "--keep", type=_at_least(1, int), default=3, metavar="N",
        help="newest versions that stay, the current one among them (default: %(default)s)",
    )  # fmt: skip
    gc.add_argument(
        "--grace-hours", type=_at_least(0, float), default=24.0, metavar="H",
        help="how long the others stay after they were replaced (default: %(default)g)",
    )  # fmt: skip
    serve = command("serve", _serve, "the page and the HTTP service, read-only", store)
    serve.add_argument(
        "--host", default="127.0.0.1",
        help="default: %(default)s, this machine alone; any other is open to the network",
    )  # fmt: skip
    serve.add_argument("--port", type=_port, default=8000, help="default: %(default)s")
    text = "read a matrix before a run; metadata are named where they are a file of their own"
    check = command("check", _check, text, form)
    check.add_argument("matrix", metavar="MATRIX")
    check.add_argument("metadata", metavar="METADATA", nargs="?")
    check.add_argument(
        "--group", action="append", required=True, metavar="COLUMN",
        help="column of the metadata that cells are grouped by; may be given several times",
    )  # fmt: skip
    check.add_argument(
        "--normalize", choices=("none", "cpm", "log1p_cpm", "log2_cpm"), default="log2_cpm",
        help="as in the configuration (default: %(default)s)",
    )  # fmt: skip
    check.add_argument(
        "--duplicate-genes", choices=("error", "suffix", "sum"), default="error",
        help="as in the configuration (default: %(default)s)",
    )  # fmt: skip
    return parser


def _at_least(least: float, kind: type) -> Callable[[str], Any]:
    def number(text: str) -> Any:
        try:
            value = kind(text)
            if not least <= value < float("inf"):
                raise ValueError
        except ValueError:
            noun = "whole number" if kind is int else "number"
            message = f"{text!r} is no {noun} of at least {least:g}"
            raise argparse.ArgumentTypeError(message) from None
        return value

    return number


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65_536):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: expected 0 to 65535")
    return int(text)


def _say(text: str) -> None:
    from tessera.cells.printing import harmless

    print(harmless(text), file=sys.stderr, flush=True)


def _table(rows: Iterable[Sequence[Any]], *columns: str) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(list(rows), columns=list(columns))


def _open(given: Any) -> tuple[str, Store]:
    """Return the dataset that was named, or the only one there is, and the store."""
    from tessera.cells.store import open_store, unknown_dataset

    store = open_store(given.store)
    known = store.datasets()
    if given.dataset is None and len(known) == 1:
        return known[0], store
    if given.dataset is None and known:
        remedy = f"name one with --dataset: {', '.join(known[:20])}"
        raise InputError(Problem(given.store, "", f"holds {len(known)} datasets", remedy))
    if given.dataset not in known:
        raise unknown_dataset(store, str(given.dataset))
    return given.dataset, store


def _cells(given: Any) -> Cells:
    from tessera.cells.reading import Cells

    return Cells(given.store, _open(given)[0])


def _gene(given: Any) -> pd.DataFrame:
    return _cells(given).gene(given.name, given.grouping)


def _top(given: Any) -> pd.DataFrame:
    return _cells(given).top_genes(given.group, given.grouping, given.by, given.n)


def _expression(given: Any) -> pd.DataFrame:
    return _cells(given).gene_cells(given.name)


def _sql(given: Any) -> pd.DataFrame:
    return _cells(given).sql(given.query)


def _datasets(given: Any) -> pd.DataFrame:
    from tessera.cells.reading import Cells
    from tessera.cells.store import open_store

    rows = []
    for name in open_store(given.store).datasets():
        now = Cells(given.store, name).snapshot()
        sizes = [now.facts[key] for key in ("cells", "genes", "nnz")]
        rows.append((name, *sizes, " ".join(now.groupings), now.version))
    return _table(rows, "dataset", "cells", "genes", "nnz", "groupings", "version")


def _versions(given: Any) -> pd.DataFrame:
    dataset, store = _open(given)
    pointer = store.current(dataset)
    retired = dict(pointer.retired) if pointer else {}
    now = pointer.version if pointer else None
    found = store.versions(dataset)
    # As they were published: those that never were come first, the current one is the last.
    found.sort(key=lambda one: (one == now, retired.get(one, 0.0), one))
    return _table(((one, *_state(one, now, retired)) for one in found), "version", "state", "since")


def _state(version: str, now: str | None, retired: dict[str, float]) -> tuple[str, str]:
    if version == now:
        return "current", ""
    if version not in retired:
        return "never current", ""
    when = datetime.datetime.fromtimestamp(retired[version], datetime.UTC)
    return "replaced", when.strftime("%Y-%m-%d %H:%M:%S UTC")


def _rollback(given: Any) -> pd.DataFrame:
    dataset, store = _open(given)
    return _table([(dataset, store.rollback(dataset, given.version).version)], "dataset", "version")


def _collect(given: Any) -> pd.DataFrame:
    dataset, store = _open(given)
    removed = store.collect(dataset, given.keep, given.grace_hours)
    return _table(((dataset, version) for version in removed), "dataset", "removed")


def _serve(given: Any) -> None:
    from tessera.cells.service import is_loopback, serve

    if not is_loopback(given.host):
        _say(
            f"WARNING: the service will listen on {given.host}. Whoever reaches this machine over "
            "the network can read all of the store; there are no passwords. Leave --host out to "
            "keep it to this machine."
        )
    serve(
        given.store, given.host, given.port, lambda address: _say(f"{address}  (Ctrl-C stops it)")
    )


def _check(given: Any) -> pd.DataFrame:
    from tessera.cells.checking import check

    facts = check(given.matrix, given.metadata, given.group, given.duplicate_genes, given.normalize)
    for warning in facts.pop("warnings"):
        _say(f"Note: {warning}")
    return _table(facts.items(), "what", "found")
