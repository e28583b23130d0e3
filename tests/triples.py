"""A matrix in memory for tests of `cells`: its values one by one, as they come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from tessera.cells.ingest import ingest
from tessera.cells.layout import Part, Rows, gene_ranges
from tessera.cells.transpose import transpose_part


@dataclass
class Triples:
    """A source that gives any values in any order."""

    cells: np.ndarray
    genes_of: np.ndarray
    values: np.ndarray
    n_cells: int
    genes: list[str]
    ordered: bool = True
    file: str = "m.csv"
    warnings: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, dense: np.ndarray, *, shuffle: int | None = None, **fields: Any) -> Triples:
        """Take what is not zero in a matrix, cell by cell, or shuffled by a seed."""
        cells, genes = np.nonzero(dense)
        if shuffle is not None:
            order = np.random.default_rng(shuffle).permutation(len(cells))
            cells, genes = cells[order], genes[order]
        names = [f"g{n}" for n in range(dense.shape[1])]
        fields = {"genes": names, "ordered": shuffle is None, **fields}
        return cls(cells, genes.astype(np.int32), dense[cells, genes], len(dense), **fields)

    def chunks(self, most: int) -> Iterator[Any]:
        for start in range(0, len(self.values), most):
            at = slice(start, start + most)
            yield SimpleNamespace(
                cells=self.cells[at].astype(np.int64),
                genes=self.genes_of[at].astype(np.int32),
                values=self.values[at],
            )

    def table(self, columns: list[str]) -> pd.DataFrame:
        return pd.DataFrame({"cell": [f"c{n}" for n in range(self.n_cells)], **self.metadata})


def rows_of(source: Triples, folder: Path, **options: Any) -> Rows:
    """Ingest a source into a folder that is made."""
    folder.mkdir(parents=True)
    options = {
        "batch_nnz": 50,
        "duplicate_genes": "error",
        "normalize": "none",
        "grouping_columns": [],
        **options,
    }
    ingest(source, folder, **options)
    return Rows(folder)


def parts_of(rows: Rows, folder: Path, parts: int = 1, batch_nnz: int = 50) -> list[Part]:
    """Transpose all genes, in as many parts."""
    made = []
    for number, (start, stop) in enumerate(gene_ranges(rows.genes["nnz"].to_numpy(), parts)):
        place = folder / f"{number + 1}of{parts}"
        place.mkdir(parents=True)
        transpose_part(rows, start, stop, place, batch_nnz=batch_nnz)
        made.append(Part(place))
    return made


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file in a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def counts(seed: int, cells: int = 60, genes: int = 30) -> np.ndarray:
    """Draw counts with empty cells and genes among them, and one gene in all other cells."""
    rng = np.random.default_rng(seed)
    dense = rng.poisson(rng.gamma(0.4, 1.5, genes), (cells, genes)).astype(np.float32)
    dense[:, 3] += 5
    dense[:, 7] = 0
    dense[[0, 5, 6, cells - 1]] = 0
    return dense
