"""Parts of a study on disk, from one map job or merged from many: folders of the same form.

`part.npz` holds small arrays; `hits.parquet` and `clusters.parquet`, which may be large, are passed
on in batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tessera.vgwas.scan import Null, Observed
from tessera.vgwas.study import EDGES

PER_SNP = {
    "maf": np.float64,
    "missing": np.float64,
    "status": np.uint8,
    "df": np.float64,
    "max_t": np.float64,
    "max_cluster": np.int32,
}
HITS = pa.schema(
    [("snp", pa.int32()), ("voxel", pa.int32())]
    + [(name, pa.float32()) for name in ("beta", "se", "t", "log10p")]
)
CLUSTERS = pa.schema(
    [(name, pa.int32()) for name in ("snp", "size", "voxel")] + [("t", pa.float32())]
)
TABLES = {"hits": HITS, "clusters": CLUSTERS}
ROW_GROUP = 1 << 20


def write_scan(folder: Path, blocks: Iterable[Observed]) -> None:
    """Write what blocks of SNPs show as observed, one after the other, as they come."""
    snps, counts = [], np.zeros(len(EDGES) - 1, np.int64)
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(TableWriter(folder / f"{name}.parquet", schema))
            for name, schema in TABLES.items()
        }
        for block in blocks:
            snps.append(block.snps)
            counts += block.counts
            writers["hits"].add(pa.Table.from_pandas(block.hits, HITS, preserve_index=False))
            found = pa.Table.from_pandas(block.clusters, CLUSTERS, preserve_index=False)
            writers["clusters"].add(found)
    table = pd.concat(snps, ignore_index=True)
    _save(folder, counts=counts, **{n: table[n].to_numpy(kind) for n, kind in PER_SNP.items()})


def write_null(folder: Path, null: Null) -> None:
    """Write what a range of SNPs shows under permutations."""
    _save(
        folder,
        permutations=null.permutations,
        null_t=null.max_t,
        null_cluster=null.max_cluster,
    )


def load_part(folder: Path | str) -> dict[str, npt.NDArray]:
    """Return the arrays of a part."""
    with np.load(Path(folder) / "part.npz") as stored:
        return dict(stored)


def merge(parts: Sequence[Path], folder: Path) -> None:
    """Merge parts, those of the scan in the order of their SNPs.

    SNPs are put one after the other, counts added; of each permutation the largest stays.
    """
    loaded = [load_part(part) for part in parts]
    scans = [part for part in loaded if "counts" in part]
    nulls = [part for part in loaded if "permutations" in part]
    arrays: dict[str, npt.NDArray] = {}
    if scans:
        arrays["counts"] = np.sum([part["counts"] for part in scans], axis=0)
        arrays |= {name: np.concatenate([part[name] for part in scans]) for name in PER_SNP}
    if nulls:
        every = np.concatenate([part["permutations"] for part in nulls])
        numbers, place = np.unique(every, return_inverse=True)
        arrays["permutations"] = numbers
        for name in ("null_t", "null_cluster"):
            values = np.concatenate([part[name] for part in nulls])
            arrays[name] = np.zeros(len(numbers), values.dtype)
            np.maximum.at(arrays[name], place, values)
    _save(folder, **arrays)
    for name, schema in TABLES.items():
        files = [file for part in parts if (file := Path(part) / f"{name}.parquet").exists()]
        if files:
            with TableWriter(folder / f"{name}.parquet", schema) as writer:
                for batch in read_tables(files):
                    writer.add(batch)


def read_tables(files: Sequence[Path]) -> Iterator[pa.Table]:
    """Yield the rows of several tables in turn, a row group at a time."""
    for file in files:
        with pq.ParquetFile(file) as table:
            if not table.num_row_groups:
                yield table.schema_arrow.empty_table()
            for group in range(table.num_row_groups):
                yield table.read_row_group(group)


class TableWriter:
    """Writes a table in row groups of one size, however its rows come. A context manager.

    Parameters
    ----------
    path
        Parquet file to be made.
    schema
        Its columns.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._waiting = [schema.empty_table()]
        self._held = 0

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self._write(self._held)
        self._writer.close()

    def add(self, batch: pa.Table) -> None:
        """Take rows."""
        self._waiting.append(batch)
        self._held += len(batch)
        if self._held >= ROW_GROUP:
            self._write(self._held // ROW_GROUP * ROW_GROUP)

    def _write(self, rows: int) -> None:
        whole = pa.concat_tables(self._waiting).combine_chunks()
        for start in range(0, rows, ROW_GROUP):
            group = whole.slice(start, min(ROW_GROUP, rows - start))
            self._writer.write_table(group, row_group_size=ROW_GROUP)
        self._waiting, self._held = [whole.slice(rows)], self._held - rows


def _save(folder: Path, **arrays: npt.NDArray) -> None:
    with (folder / "part.npz").open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
