"""The HTTP service as a client meets it, at rest and while a writer publishes.

    python benchmarks/cells/service.py

10,000 cells, 20,000 genes, 50 groups, through the library to two versions. One client with one
connection that is kept asks the service, a process of its own, for random genes. A third process
publishes the two versions in turn, as fast as it can. Writes ``service.md`` beside this file.
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import numpy as np
import pandas as pd
from counts_data import Counts

from tessera.cells.aggregate import aggregate_part
from tessera.cells.assemble import assemble
from tessera.cells.chunks import Chunk
from tessera.cells.groups import groups_of
from tessera.cells.ingest import ingest
from tessera.cells.layout import Part, Rows
from tessera.cells.store import open_store
from tessera.cells.transpose import transpose_part

HERE = Path(__file__).resolve()
COMMAND = HERE.parents[2] / "scripts/cells.py"
CELLS, GENES, GROUPS = 10_000, 20_000, 50
BATCH, STEP = 1 << 22, 1000  # values held at a time; cells drawn at a time
SETTINGS = {
    "normalize": "log2_cpm", "percentiles": [5, 25, 50, 75, 95], "trim": 0.25, "min_cells": 1,
    "duplicate_genes": "error",
    "statistics": ["n", "count_nonzero", "fraction", "sum", "mean", "var", "min", "max", "median",
                   "percentiles", "trimmed_mean"],
}  # fmt: skip
NAMES = [f"Gene{n}" for n in range(GENES)]


class Drawn:
    """Counts as a source of `ingest`."""

    file, ordered, warnings = "drawn", True, ()
    n_cells, genes = CELLS, NAMES

    def __init__(self, seed: int) -> None:
        self._counts = Counts(CELLS, GENES, GROUPS, seed)

    def chunks(self, most: int) -> Iterator[Chunk]:
        """Go through all values."""
        for start in range(0, CELLS, STEP):
            indptr, genes, values = self._counts.block(start, start + STEP)
            yield Chunk(np.repeat(np.arange(start, start + STEP), np.diff(indptr)), genes, values)

    def table(self, columns: object) -> pd.DataFrame:
        """Return the cells, each type around a place of its own."""
        random, groups = np.random.default_rng(1), self._counts.groups
        places = random.normal(size=(GROUPS, 2))[groups] * 9 + random.normal(size=(CELLS, 2))
        return pd.DataFrame(
            {"cell": [f"cell{n}" for n in range(CELLS)], "type": [f"type {g:02}" for g in groups],
             "umap_1": places[:, 0], "umap_2": places[:, 1]}
        )  # fmt: skip


def make(folder: Path, seed: int) -> Path:
    """Take the way of the pipeline, in one part."""
    for name in ("rows", "part", "version"):
        (folder / name).mkdir(parents=True)
    ingest(
        Drawn(seed), folder / "rows", batch_nnz=BATCH, duplicate_genes="error",
        normalize="log2_cpm", grouping_columns=["type"],
    )  # fmt: skip
    rows = Rows(folder / "rows")
    transpose_part(rows, 0, GENES, folder / "part", batch_nnz=BATCH)
    groups = groups_of(rows.cells, ["type"])
    rules = {key: SETTINGS[key] for key in ("normalize", "percentiles", "trim")}
    aggregate_part(
        Part(folder / "part"), rows.cells["total"].to_numpy(), groups.codes, groups.sizes,
        folder / "stats.npy", batch_nnz=BATCH, **rules,
    )  # fmt: skip
    stats = {"type": [folder / "stats.npy"]}
    parts, version = [folder / "part"], folder / "version"
    assemble("drawn", folder / "rows", parts, stats, [["type"]], SETTINGS, version)
    return version


def publish(store: str, stop: Path, *versions: str) -> None:
    """Publish the versions in turn until told to stop; prints how often."""
    opened, times = open_store(store), 0
    while not stop.exists():
        opened.publish("drawn", Path(versions[times % 2]), opened.current("drawn"))
        times += 1
    print(times)


class Client:
    """One connection to a service, which is kept."""

    def __init__(self, address: str) -> None:
        where = urlsplit(address)
        self._connection = http.client.HTTPConnection(where.hostname, where.port)
        self.versions: set[str] = set()

    def ask(self, path: str, tag: str = "") -> http.client.HTTPResponse:
        """Send a request and read the answer; with a tag, one that is known already."""
        headers = {"If-None-Match": tag} if tag else {}
        self._connection.request("GET", path, headers=headers)
        answer = self._connection.getresponse()
        self.size = len(answer.read())
        assert answer.status == (304 if tag else 200), (path, answer.status)
        self.versions.add(answer.headers["etag"])
        return answer

    def time(self, path: Callable[[int], str], n: int, tag: str = "") -> np.ndarray:
        """Return the time of each request in ms, the first ones left out."""
        took = []
        for k in range(n + 20):
            start = time.perf_counter()
            self.ask(path(k), tag)
            took.append(1e3 * (time.perf_counter() - start))
        return np.array(took[20:])


def cpu(process: int) -> float:
    """Return the CPU time of a process in s."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def row(name: str, took: np.ndarray, size: int) -> str:
    middle, high = np.percentile(took, [50, 99])
    return (
        f"| {name} | {len(took):,} | {middle:.2f} ms | {high:.2f} ms | {took.max():.1f} ms | "
        f"{size / 1024:,.1f} kB |"
    )


def main() -> None:
    lines = [
        "# The HTTP service", "",
        f"{CELLS:,} cells, {GENES:,} genes, {GROUPS} groups; one client with one connection, on "
        f"the same machine ({os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f} before the service was started).", "",
        "| request | requests | median | 99 % | longest | size |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    random = np.random.default_rng(0)
    genes = random.integers(0, GENES, 10_000).tolist()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        versions = [str(make(folder / str(seed), seed)) for seed in (1, 2)]
        store, stop = str(folder / "store"), folder / "stop"
        open_store(store).publish("drawn", Path(versions[0]), None)
        command = [sys.executable, str(COMMAND), "serve", "--store", store]
        service = subprocess.Popen([*command, "--port", "0"], stderr=subprocess.PIPE, text=True)
        assert service.stderr is not None
        client = Client(service.stderr.readline().split("/  ")[0])

        def one(k: int) -> str:
            return f"/api/drawn/gene/{NAMES[genes[k % len(genes)]]}"

        before = cpu(service.pid)
        lines.append(row("a gene in all groups", client.time(one, 5000), client.size))
        own = 1e3 * (cpu(service.pid) - before) / 5020
        tag = client.ask(one(0)).headers["etag"]
        known = client.time(one, 2000, tag)
        lines.append(row("the same, known already (304)", known, client.size))
        for name, path, n in (
            ("suggestions", lambda k: f"/api/drawn/genes?search=gene{k % 100}&limit=12", 1000),
            ("violins", lambda k: one(k).replace("/gene/", "/violin/"), 200),
            ("expression of the cells on the map",
             lambda k: one(k).replace("/gene/", "/expression/") + "?cells=umap", 200),
            ("map of the cells", lambda k: "/api/drawn/umap", 50),
            ("heat map of markers", lambda k: "/api/drawn/heatmap", 50),
            ("the 20 highest genes of a group",
             lambda k: f"/api/drawn/top?group=type+{k % GROUPS:02}", 200),
        ):  # fmt: skip
            lines.append(row(name, client.time(path, n), client.size))

        client.versions.clear()
        writer = subprocess.Popen(
            [sys.executable, str(HERE), "publish", store, str(stop), *versions],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        start, took = time.monotonic(), []
        while time.monotonic() - start < 30:
            took.append(client.time(one, 500))
        stop.touch()
        published = int(writer.communicate()[0])
        lines.append(
            row("a gene in all groups, while a writer publishes", np.concatenate(took), client.size)
        )
        service.terminate()
        service.communicate()
    lines += [
        "",
        f"The service takes {own:.2f} ms of CPU for a gene. While the last row was measured, "
        f"{published} versions were published ({len(client.versions)} different ones answered).",
        "", "Script: `benchmarks/cells/service.py`.",
    ]  # fmt: skip
    HERE.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    if sys.argv[1:2] == ["publish"]:
        publish(sys.argv[2], Path(sys.argv[3]), *sys.argv[4:])
    else:
        main()
