"""Memory of the jobs beside what is declared for them, and a matrix ten times as large as that.

    python benchmarks/cells/memory.py

Each job in a process of its own. The large matrix is read and transposed with two sizes of tiles,
and what comes out is compared. Writes ``memory.md`` beside this file; takes about 9 GB of disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))


from tessera.cells.memory import ingest_mb, part_mb
from tessera.job import peak_mb

HERE = Path(__file__).resolve()
LARGE = 450_000  # cells of the large matrix
BATCH = 1_000_000
RULES = {"duplicate_genes": "error", "normalize": "none", "grouping_columns": ["cell_type"]}


class Stream:
    """Counts as a source of `tessera.cells.ingest.ingest`, drawn while they are read."""

    file, ordered, warnings = "counts", True, []

    def __init__(self, cells: int) -> None:
        from counts_data import Counts

        self._counts, self._cells = Counts(cells), cells
        self.genes = [f"gene{n}" for n in range(self._counts.genes)]

    def chunks(self, most: int):
        """Go through the counts, 200 cells or fewer at a time."""
        for start in range(0, self._cells, 200):
            stop = min(start + 200, self._cells)
            indptr, genes, values = self._counts.block(start, stop)
            cells = np.repeat(np.arange(start, stop), np.diff(indptr))
            for at in range(0, len(values), most):
                some = slice(at, at + most)
                yield SimpleNamespace(cells=cells[some], genes=genes[some], values=values[some])

    def table(self, columns: list[str]):
        """Return the cells with their groups."""
        import pandas as pd

        names = [f"cell{n}" for n in range(self._cells)]
        groups = pd.Categorical.from_codes(
            self._counts.groups, [f"type {n:02}" for n in range(self._counts.groups.max() + 1)]
        )
        return pd.DataFrame({"cell": names, "cell_type": groups})


def ingest_(folder: Path, batch: int, cells: int = 0) -> None:
    from tessera.cells.ingest import ingest

    if cells:
        source = Stream(cells)
    else:
        from tessera.cells.sources import check_dataset, open_source

        matrix = str(folder / "counts.h5ad")
        check_dataset(matrix, None, [["cell_type"]], duplicate_genes="error", normalize="none")
        source = open_source(matrix, None)
    (folder / "rows").mkdir()
    ingest(source, folder / "rows", batch_nnz=batch, **RULES)


def transpose(folder: Path, batch: int, _: int = 0) -> None:
    from tessera.cells.layout import GENES, Rows, gene_ranges
    from tessera.cells.transpose import transpose_part

    rows = Rows(folder / "rows")
    for number, (start, stop) in enumerate(gene_ranges(rows.column(GENES, "nnz"), 4)):
        place = folder / f"genes{number}"
        place.mkdir()
        transpose_part(rows, start, stop, place, batch_nnz=batch)


def aggregate(folder: Path, batch: int, _: int = 0) -> None:
    from tessera.cells.aggregate import aggregate_part
    from tessera.cells.groups import groups_of
    from tessera.cells.layout import CELLS, Part, Rows

    rows = Rows(folder / "rows")
    groups = groups_of(rows.grouping(["cell_type"]), ["cell_type"])
    totals, out = rows.column(CELLS, "total"), folder / "stats.npy"
    options = {"normalize": "log2_cpm", "percentiles": [5, 25, 50, 75, 95], "trim": 0.25}
    part = Part(folder / "genes0")
    aggregate_part(part, totals, groups.codes, groups.sizes, out, batch_nnz=batch, **options)


JOBS = {"ingest": ingest_, "transpose": transpose, "aggregate": aggregate}


def measure(job: str, folder: Path, batch: int, cells: int = 0) -> float:
    """Run a job in a process of its own, and return its memory at its peak."""
    command = [sys.executable, str(HERE), job, str(folder), str(batch), str(cells)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def uniform(cells: int, genes: int, each: int, columns: int, layout: str, path: Path) -> None:
    """Write a matrix with as many values in every cell, and columns of metadata."""
    import anndata
    import pandas as pd
    import scipy.sparse as sp

    rng = np.random.default_rng(1)
    step = genes // each
    found = rng.integers(0, step, (cells, each)) + np.arange(each) * step
    values = rng.integers(1, 5, found.size).astype(np.float32)
    ends = np.arange(cells + 1, dtype=np.int64) * each
    matrix = sp.csr_matrix((values, found.ravel().astype(np.int32), ends), (cells, genes))
    obs = {"cell_type": pd.Categorical(rng.integers(0, 40, cells).astype(str))}
    for number in range(1, columns):
        obs[f"c{number}"] = rng.random(cells) if number % 2 else pd.Categorical(
            rng.integers(0, 9, cells).astype(str)
        )  # fmt: skip
    names = [f"AAACCTGAGAAACCAT-{n}" for n in range(cells)]
    anndata.AnnData(
        matrix.asformat(layout),
        obs=pd.DataFrame(obs, index=names),
        var=pd.DataFrame(index=[f"gene{n}" for n in range(genes)]),
    ).write_h5ad(path)


KINDS = {
    "100,000 cells, 1,000 values in each": (100_000, 20_000, 1000, 1, "csr"),
    "50,000 cells, gene by gene (CSC): sorted on disk": (50_000, 20_000, 500, 1, "csc"),
    "1,000,000 cells, 20 values in each, 3 columns of metadata": (1_000_000, 1000, 20, 3, "csr"),
    "1,000,000 cells, 5 values in each, 20 columns of metadata": (1_000_000, 500, 5, 20, "csr"),
}


def compare_with_declared() -> list[str]:
    """Run all jobs on matrices of several shapes; returns rows of the table."""
    lines = []
    for label, (cells, genes, each, columns, layout) in KINDS.items():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            uniform(cells, genes, each, columns, layout, folder / "counts.h5ad")
            for batch in (1_000_000, 4_000_000):
                for job in JOBS:
                    taken = measure(job, folder, batch)
                    if job == "ingest":
                        declared = ingest_mb(batch, cells, genes, columns)
                    else:
                        declared = part_mb(batch, cells, genes)
                    lines.append(
                        f"| {label} | {batch:,} | {job} | {taken:,.0f} MB | {declared:,.0f} MB | "
                        f"{declared / taken:.2f} |"
                    )
                    print(lines[-1], flush=True)
                for place in [folder / "rows", *folder.glob("genes*")]:
                    shutil.rmtree(place)
    return lines


def transpose_large() -> list[str]:
    """Read and transpose the large matrix with two sizes of tiles; returns what to tell."""
    digests, taken = set(), {}
    for tiles in (BATCH, 3 * BATCH // 4):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            read = measure("ingest", folder, tiles, LARGE)
            facts = json.loads((folder / "rows" / "facts.json").read_text())
            taken[tiles] = (read, measure("transpose", folder, tiles), len(facts["tiles"]))
            digest = hashlib.sha256()
            for file in sorted(folder.glob("genes*/*")):
                digest.update(f"{file.parent.name}/{file.name}".encode())
                with file.open("rb") as stream:
                    while piece := stream.read(1 << 22):
                        digest.update(piece)
            digests.add(digest.hexdigest())
        print(taken, flush=True)
    size = 8e-6 * facts["nnz"]
    budget = part_mb(BATCH, LARGE, facts["n_genes"])
    assert len(digests) == 1
    assert max(each[1] for each in taken.values()) < budget < size / 10
    told = "; ".join(
        f"with {many:,} tiles of {tiles:,} values reading took {read:,.0f} MB and transposing "
        f"{turned:,.0f} MB"
        for tiles, (read, turned, many) in taken.items()
    )
    return [
        f"{LARGE:,} cells, 20,000 genes, {facts['nnz']:,} values: {size:,.0f} MB as a sparse "
        f"matrix in single precision, {size / budget:.1f} times the {budget:,.0f} MB that are "
        f"declared for a part of the genes. Peaks of whole processes: {told}. All genes had the "
        "same bytes.",
    ]


def main() -> None:
    """Run everything and write the table."""
    with tempfile.TemporaryDirectory() as name:  # compiles the kernels
        uniform(100, 50, 5, 1, "csr", Path(name, "counts.h5ad"))
        for job in JOBS:
            measure(job, Path(name), 1000)
    lines = [
        "# Memory",
        "",
        "| matrix | `batch_nnz` | job | taken | declared | ratio |",
        "|---|---|---|---|---|---|",
        *compare_with_declared(),
        "",
        "## A matrix ten times as large as the memory",
        "",
        *transpose_large(),
        "",
        "Script: `benchmarks/cells/memory.py`.",
    ]
    HERE.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        job, folder, batch, cells = sys.argv[1:]
        JOBS[job](Path(folder), int(batch), int(cells))
        print(json.dumps(peak_mb()))
    else:
        main()
