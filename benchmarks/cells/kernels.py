"""Transposition and statistics beside scanpy, DuckDB and Polars: CPU and memory.

    python benchmarks/cells/kernels.py

100,000 cells, 20,000 genes, about 125 million counts that are not zero, 50 groups. Each side in a
process of its own with one thread; CPU without imports and compilation, memory of the whole
process at its peak. What both sides compute is compared. Writes ``kernels.md`` beside this file.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from machine import processor

from tessera.job import peak_mb

HERE = Path(__file__).resolve()
BATCH = 4_000_000
PERCENTILES, TRIM = [5, 25, 50, 75, 95], 0.25
CORES = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
LONG = (
    'SELECT gene, "group", count(*) AS n, avg(value) AS mean, median(value) AS median, '
    "quantile_cont(value, [0.05, 0.25, 0.75, 0.95]) AS ranks FROM '{}' GROUP BY gene, \"group\""
)


class Clock:
    """Seconds of CPU of parts of the work."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self._start = time.process_time()

    def stop(self, part: str) -> None:
        """Note what was spent since the last part, under a name."""
        now = time.process_time()
        self.parts[part], self._start = now - self._start, now


def ingest_(folder: Path, clock: Clock) -> None:
    from tessera.cells.ingest import ingest
    from tessera.cells.sources import open_source

    (folder / "rows").mkdir()
    options = {"duplicate_genes": "error", "normalize": "none", "grouping_columns": ["cell_type"]}
    clock.stop("imports")
    source = open_source(str(folder / "counts.h5ad"), None)
    ingest(source, folder / "rows", batch_nnz=BATCH, **options)
    clock.stop("ingest")


def transpose(folder: Path, clock: Clock) -> None:
    from tessera.cells.layout import Rows
    from tessera.cells.transpose import transpose_part

    (folder / "genes").mkdir()
    clock.stop("imports")
    rows = Rows(folder / "rows")
    transpose_part(rows, 0, rows.facts["n_genes"], folder / "genes", batch_nnz=BATCH)
    clock.stop("transpose")


def aggregate(folder: Path, clock: Clock, normalize: str) -> None:
    from tessera.cells.aggregate import aggregate_part
    from tessera.cells.groups import groups_of
    from tessera.cells.layout import CELLS, Part, Rows

    clock.stop("imports")
    rows = Rows(folder / "rows")
    groups = groups_of(rows.grouping(["cell_type"]), ["cell_type"])
    totals, out = rows.column(CELLS, "total"), folder / f"{normalize}.npy"
    options = {"normalize": normalize, "percentiles": PERCENTILES, "trim": TRIM}
    part = Part(folder / "genes")
    aggregate_part(part, totals, groups.codes, groups.sizes, out, batch_nnz=BATCH, **options)
    clock.stop("statistics")


def scanpy(folder: Path, clock: Clock, normalize: str) -> None:
    import anndata
    import scanpy as sc

    clock.stop("imports")
    data = anndata.read_h5ad(folder / "counts.h5ad")
    clock.stop("read")
    if normalize != "none":
        sc.pp.normalize_total(data, target_sum=1e6)
        sc.pp.log1p(data)
        clock.stop("normalise")
    found = sc.get.aggregate(data, "cell_type", func=["mean", "count_nonzero"])
    clock.stop("mean and count_nonzero")
    for name in ("mean", "count_nonzero"):
        np.save(folder / f"scanpy {normalize} {name}.npy", found.layers[name])


def duckdb(folder: Path, clock: Clock) -> None:
    import duckdb as duck

    connection = duck.connect()
    connection.execute("SET threads = 1")
    clock.stop("imports")
    query = LONG.format(folder / "long.parquet")
    connection.execute(f"COPY ({query}) TO '{folder / 'duckdb.parquet'}'")
    clock.stop("query")


def polars(folder: Path, clock: Clock) -> None:
    import polars as pl

    clock.stop("imports")
    value = pl.col("value")
    ranks = [value.quantile(rank / 100, "linear").alias(f"p{rank}") for rank in (5, 25, 75, 95)]
    columns = [pl.len(), value.mean().alias("mean"), value.median().alias("median"), *ranks]
    table = pl.scan_parquet(folder / "long.parquet").group_by("gene", "group").agg(columns)
    table.collect().write_parquet(folder / "polars.parquet")
    clock.stop("query")


def write_data(folder: Path) -> int:
    """Write the matrix as .h5ad, and as long Parquet; returns how many values it has."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from counts_data import BLOCK, CELLS, Counts, write_h5ad

    counts, nnz = Counts(), 0
    write_h5ad(folder / "counts.h5ad", counts, CELLS)
    fields = [("gene", pa.int32()), ("group", pa.int32()), ("value", pa.float32())]
    with pq.ParquetWriter(folder / "long.parquet", pa.schema(fields)) as writer:
        for start in range(0, CELLS, BLOCK):
            indptr, genes, values = counts.block(start, start + BLOCK)
            groups = np.repeat(counts.groups[start : start + BLOCK], np.diff(indptr))
            writer.write_table(pa.table({"gene": genes, "group": groups, "value": values}))
            nnz += len(values)
    return nnz


SIDES = {
    "ingest": ingest_,
    "transpose": transpose,
    "statistics": lambda folder, clock: aggregate(folder, clock, "none"),
    "statistics of logs": lambda folder, clock: aggregate(folder, clock, "log1p_cpm"),
    "scanpy": lambda folder, clock: scanpy(folder, clock, "none"),
    "scanpy of logs": lambda folder, clock: scanpy(folder, clock, "log1p_cpm"),
    "duckdb": duckdb,
    "polars": polars,
}


def measure(folder: Path, side: str) -> dict:
    """Run one side in a process of its own; returns seconds of CPU by part, and its memory."""
    command = [sys.executable, str(HERE), str(folder), side]
    environment = {**os.environ, **CORES}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(done.stderr)
    found = json.loads(done.stdout.splitlines()[-1])
    print(side, found, flush=True)
    return found


def compile_kernels() -> None:
    """Compile everything on a small matrix, as happens but once on a machine."""
    from counts_data import Counts, write_h5ad

    with tempfile.TemporaryDirectory() as name:
        write_h5ad(Path(name, "counts.h5ad"), Counts(200, 300, 5), 200)
        for side in list(SIDES)[:4]:
            measure(Path(name), side)


def compare(folder: Path, nnz: int) -> tuple[float, float]:
    """Compare results; returns by how much means differ from scanpy's, of values and of logs."""
    import duckdb as duck

    from tessera.cells.statistics import columns

    place = {name: number for number, name in enumerate(columns(PERCENTILES))}
    off = []
    for normalize in ("none", "log1p_cpm"):
        found = np.load(folder / f"{normalize}.npy", mmap_mode="r")
        means = np.load(folder / f"scanpy {normalize} mean.npy").T
        counts = np.load(folder / f"scanpy {normalize} count_nonzero.npy").T
        assert (found[..., place["count_nonzero"]] == counts).all()
        assert counts.sum() == nnz
        off.append(float((np.abs(found[..., place["mean"]] - means) / (means + 1e-9)).max()))
    query = (
        "SELECT count(*), max(abs(d.median - p.median)), max(abs(d.ranks[4] - p.p95)) FROM "
        f"'{folder / 'duckdb.parquet'}' d JOIN '{folder / 'polars.parquet'}' p "
        'USING (gene, "group")'
    )
    rows, *apart = duck.sql(query).fetchall()[0]
    assert rows == (counts > 0).sum()
    assert max(apart) < 1e-6
    return off[0], off[1]


def sum_of(found: dict, part: str | None = None) -> float:
    return found["cpu"][part] if part else sum(found["cpu"].values())


def versions() -> str:
    names = ("numpy", "numba", "scipy", "scanpy", "anndata", "duckdb", "polars")
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def main() -> None:
    """Run all sides and write the table."""
    from counts_data import CELLS, GENES, GROUPS

    compile_kernels()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        nnz = write_data(folder)
        found = {side: measure(folder, side) for side in SIDES}
        off = compare(folder, nnz)
    alone = found["scanpy"]["cpu"]["mean and count_nonzero"]
    both = [sum_of(found[side]) for side in ("transpose", "statistics", "ingest")]
    most = max(found[side]["memory"] for side in ("transpose", "statistics"))
    rows = [
        ("ours: ingestion of an uncompressed .h5ad", found["ingest"], None),
        ("ours: transposition of the row tiles", found["transpose"], None),
        ("ours: all 14 statistics", found["statistics"], None),
        ("ours: all 14 statistics of ln(CPM + 1)", found["statistics of logs"], None),
        ("scanpy: reading the .h5ad", found["scanpy"], "read"),
        ("scanpy: mean and count_nonzero", found["scanpy"], "mean and count_nonzero"),
        ("scanpy: normalize_total and log1p", found["scanpy of logs"], "normalise"),
        (
            "scanpy: mean and count_nonzero of that",
            found["scanpy of logs"],
            "mean and count_nonzero",
        ),
        ("DuckDB: count, mean, median, four quantiles, zeros left out", found["duckdb"], None),
        ("Polars: the same", found["polars"], None),
    ]
    lines = [
        "# Transposition and statistics",
        "",
        f"{CELLS:,} cells, {GENES:,} genes, {nnz:,} counts that are not zero, {GROUPS} groups; one "
        f"thread, batches of {BATCH:,}. CPU without imports and compilation; memory of the whole "
        f"process. {processor()}; {versions()}.",
        "",
        "| | CPU | memory |",
        "|---|---|---|",
        *(
            f"| {label} | {sum_of(each, part):.1f} s | "
            + ("|" if part in ("read", "normalise") else f"{each['memory']:,.0f} MB |")
            for label, each, part in rows
        ),
        "",
        f"Transposition and all statistics take {both[0] + both[1]:.1f} s, "
        f"{(both[0] + both[1]) / alone:.2f} times as long as scanpy takes for two statistics of "
        f"the matrix in memory, and {most / found['scanpy']['memory']:.0%} of its memory; with "
        f"ingestion {sum(both):.1f} s, where scanpy takes {sum_of(found['scanpy']):.1f} s with "
        "reading.",
        "",
        "The numbers of non-zero values are equal; means differ from scanpy's, relatively, by "
        f"{off[0]:.0e} at most, those of logarithms, which scanpy takes in single precision, by "
        f"{off[1]:.0e}. DuckDB and Polars read a Parquet of gene, group and value; with zeros, of "
        "which they see none, medians and quantiles would be others.",
        "",
        "Script: `benchmarks/cells/kernels.py`.",
    ]
    HERE.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        clock = Clock()
        SIDES[sys.argv[2]](Path(sys.argv[1]), clock)
        clock.parts.pop("imports")
        print(json.dumps({"cpu": clock.parts, "memory": peak_mb()}))
    else:
        main()
