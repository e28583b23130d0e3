"""Answers one query in a process of its own, which has nothing to lose; run by `sql.py`.

Reads a request (JSON) from standard input, writes the answer (Arrow IPC stream) to standard output;
what is wrong goes to standard error as JSON: ``kind``, a name, and ``said``, a text. It imports
nothing of the library, so that it starts at once.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
from typing import Any, BinaryIO

import duckdb
import pyarrow as pa

# None of these can be undone by a query, since the last one locks them all. Files that a query may
# read are named one by one (allowed_paths); nothing may be written, fetched or loaded.
LOCKS = (
    "temp_directory = ''",
    "autoinstall_known_extensions = false",
    "autoload_known_extensions = false",
    "allow_community_extensions = false",
    "python_enable_replacements = false",  # names of variables of this program are no tables
    "enable_external_access = false",
    "lock_configuration = true",
)


class Refused(Exception):
    """The query is refused; arguments are kind and text."""


def main() -> int:
    """Answer the request; returns the exit status."""
    request = json.load(sys.stdin)
    # DuckDB neither counts nor interrupts what a single call of a function takes, repeat() say.
    for limit, most in (
        (resource.RLIMIT_AS, request["address_space"]),
        (resource.RLIMIT_CPU, request["cpu_seconds"]),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(limit, (most, most))
    try:
        answer(request, sys.stdout.buffer)
    except Refused as error:
        kind, said = error.args
    except MemoryError:
        kind, said = "OutOfMemoryException", ""
    except duckdb.Error as error:
        kind, said = type(error).__name__, str(error)
    else:
        return 0
    json.dump({"kind": kind, "said": said}, sys.stderr)
    return 1


def answer(request: dict[str, Any], out: BinaryIO) -> None:
    """Write the answer of a request, or raise why there is none."""
    connection = duckdb.connect(":memory:")
    connection.execute(f"SET memory_limit = {quoted(request['memory'])}")
    connection.execute(f"SET threads = {int(request['threads'])}")
    paths = list(request["views"].values())
    for name, path in request["views"].items():
        source = f"read_parquet({quoted(path)})"
        connection.execute(f"CREATE VIEW {quoted(name, mark=chr(34))} AS SELECT * FROM {source}")
    connection.execute(f"SET allowed_paths = [{', '.join(map(quoted, paths))}]")
    for lock in LOCKS:
        connection.execute(f"SET {lock}")
    statements = connection.extract_statements(request["query"])
    if len(statements) != 1:
        raise Refused("statements", len(statements))
    if statements[0].type != duckdb.StatementType.SELECT:
        raise Refused("type", statements[0].type.name)
    found, most = connection.sql(statements[0].query), request["rows"]
    if most is not None:
        found = found.limit(most + 1)
    written = 0
    batches = pa.RecordBatchReader.from_stream(found)
    with pa.ipc.new_stream(out, batches.schema) as writer:
        for batch in batches:
            written += len(batch)
            if most is not None and written > most:
                raise Refused("rows", "")
            writer.write_batch(batch)


def quoted(name: str, mark: str = "'") -> str:
    """Return a text as SQL writes it."""
    return mark + name.replace(mark, mark * 2) + mark


if __name__ == "__main__":
    sys.exit(main())
