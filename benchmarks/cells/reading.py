"""One gene in all groups, from a published version: how long a reader waits for it.

    python benchmarks/cells/reading.py

20,000 genes x 50 groups x 14 statistics, in process, from a store in a folder whose files are in
memory (page cache). Beside it what the same answer costs from the Parquet file of the view. "Right
after a switch": the first question that a reader asks of a version that it has not met before.
Writes ``reading.md`` beside this file.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tessera.cells.gene_index import write_gene_index
from tessera.cells.manifest import write_manifest
from tessera.cells.reading import Cells
from tessera.cells.store import Pointer, open_store

HERE = Path(__file__).resolve()
GENES, GROUPS = [f"Gene{n:05d}" for n in range(20_000)], [f"{n:03d} L2/3 IT CTX" for n in range(50)]
COLUMNS = ["n", "count_nonzero", "fraction", "sum", "mean", "var", "min"]
COLUMNS += ["p05", "p25", "median", "p75", "p95", "max", "trimmed_mean"]
FILES = 400  # beside the view: as many as two large matrices have
NAMED, DEFAULT = "subclass", None


def make(folder: Path, seed: int) -> None:
    """Make a version with one view, and with the files of matrices, empty."""
    view = folder / "views" / NAMED
    view.mkdir(parents=True)
    random = np.random.Generator(np.random.Philox(seed))
    values = random.random((len(GENES), len(GROUPS), len(COLUMNS)))
    values[..., :2] = np.round(100 * values[..., :2])
    np.save(view / "serving.npy", values)
    definition = {"columns": COLUMNS, "groups": GROUPS, "text": ["What the numbers are."] * 20}
    (view / "definition.json").write_text(json.dumps(definition))
    write_gene_index(folder / "gene_index.npy", GENES)
    table = {
        "gene": pa.array(GENES).take(pa.array(np.repeat(np.arange(len(GENES)), len(GROUPS)))),
        "group": pa.array(GROUPS * len(GENES)),
    }
    table |= {name: values[..., k].ravel() for k, name in enumerate(COLUMNS)}
    pq.write_table(
        pa.table(table), view / "stats.parquet", compression="zstd", row_group_size=20_000
    )
    for number in range(FILES):
        place = folder / "gene_major.zarr" / f"{number}"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(b"")
    write_manifest(folder, {"format": 1, "dataset": "brain", "groupings": {NAMED: {}}})


def measure(
    times: int, ask: Callable[[int], object], before: Callable[[int], object]
) -> list[float]:
    """Return median and 99th percentile of the wall time, and of the CPU time, in ms."""
    wall, used = np.empty(times), np.empty(times)
    for number in range(times):
        before(number)
        started, busy = time.perf_counter(), time.thread_time()
        ask(number)
        used[number] = time.thread_time() - busy
        wall[number] = time.perf_counter() - started
    return [1e3 * float(np.percentile(one, p)) for one in (wall, used) for p in (50, 99)]


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store, pointer = open_store(folder / "store"), None
        for seed in range(3):
            make(folder / f"v{seed}", seed)
            pointer = store.publish("brain", folder / f"v{seed}", pointer)
        home, versions = folder / "store" / "brain", store.versions("brain")
        dice = np.random.default_rng(1)
        chosen = [GENES[place] for place in dice.integers(0, len(GENES), 20_000)]

        def switch(number: int) -> None:
            # Of three versions in turn a reader, who keeps two open, has not kept the next.
            (home / "next").write_bytes(Pointer(versions[number % 3]).encode())
            (home / "next").replace(home / "CURRENT")

        cells = Cells(folder / "store", "brain")
        for grouping, text in ((NAMED, "the grouping named"), (DEFAULT, "the default grouping")):

            def gene(number: int, grouping: str | None = grouping) -> object:
                return cells.gene(chosen[number], grouping)

            measure(100, gene, lambda _: None)
            rows.append((f"one gene, {text}", 20_000, measure(20_000, gene, lambda _: None)))
            found = measure(2_000, gene, switch)
            rows.append((f"the same, right after a switch, {text}", 2_000, found))
        found = measure(200, lambda k: cells.top_genes(GROUPS[k % 50]), lambda _: None)
        rows.append(("the 20 highest genes of a group", 200, found))
        path = store.path("brain", versions[0], f"views/{NAMED}/stats.parquet")

        def parquet(number: int) -> object:
            return pq.read_table(path, filters=[("gene", "=", chosen[number])]).to_pandas()

        rows.append(("one gene, pyarrow from the Parquet file", 100, measure(100, parquet, str)))
        connection = duckdb.connect(":memory:", config={"threads": 1})
        query = f"SELECT * FROM read_parquet('{path}') WHERE gene = ?"

        def sql(number: int) -> object:
            return connection.execute(query, [chosen[number]]).df()

        rows.append(("one gene, DuckDB from the Parquet file", 100, measure(100, sql, str)))
    load = os.getloadavg()[0]
    write(rows, load)


def write(rows: list[tuple[str, int, list[float]]], load: float) -> None:
    lines = [
        "# One gene in all groups: how long a reader waits",
        "",
        "Written by `reading.py`: 20,000 genes x 50 groups x 14 statistics, in milliseconds, in",
        "process, files in memory. Each question resolves `CURRENT` anew and makes a table of",
        f"pandas. Two cores, load {load:.1f} at the end: above 2, other programs were waited for,",
        "and CPU time is what counts.",
        "",
        "| | questions | median | 99 % | median, CPU | 99 %, CPU |",
        "|---|---|---|---|---|---|",
    ]
    for text, times, found in rows:
        lines.append(f"| {text} | {times:,} | " + " | ".join(f"{x:.3f}" for x in found) + " |")
    HERE.with_suffix(".md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
