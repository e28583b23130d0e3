"""Some statistics of some genes worked out again, by numpy, scipy and pandas from the matrix."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import zarr
from scipy.stats import trim_mean

from tessera.cells.layout import Array, Ints
from tessera.cells.routes import rows_between
from tessera.cells.zarr_matrices import array_of, slices_of

GENES_DRAWN, PAIRS_DRAWN = 40, 200
TOLERANCE = 1e-9
"""By which a statistic may differ: of its size, or of 1 where it is smaller."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Genes drawn at random, with their values out of the matrix by cell, and all totals.

    Attributes
    ----------
    found
        Number of each gene to its cells, ascending, and values.
    totals
        ``(cells,)`` sum of each cell over all genes.
    random
        Draws what else is to be drawn.
    """

    found: Mapping[int, tuple[Ints, Floats]]
    totals: Floats
    random: np.random.Generator

    @classmethod
    def draw(cls, path: Path, nnz: Ints, seed: int) -> Sample:
        """Draw genes, half of them the likelier the more values they have, and look them up.

        Parameters
        ----------
        path
            The matrix by cell, ``cell_major.zarr``.
        nnz
            ``(genes,)`` values of each gene.
        seed
            Of the draw.
        """
        random = np.random.Generator(np.random.Philox(key=[seed, 0]))
        half = min(GENES_DRAWN // 2, len(nnz))
        drawn = random.choice(len(nnz), half, replace=False).tolist()
        if nnz.any():
            drawn += random.choice(len(nnz), half, p=nnz / nnz.sum()).tolist()
        pieces: dict[int, list[tuple[Array, Array]]] = {gene: [] for gene in sorted(set(drawn))}
        wanted = np.zeros(len(nnz), bool)
        wanted[list(pieces)] = True
        group = zarr.open_group(path, mode="r")
        ends = np.asarray(array_of(group, "indptr")[1:])
        totals = np.zeros(len(ends))
        for start, genes, values in slices_of(group):
            cells = rows_between(ends, start, start + len(values))
            totals += np.bincount(cells, values, len(totals))
            at = np.flatnonzero(wanted[genes])
            for gene in np.unique(genes[at]).tolist():
                own = at[genes[at] == gene]
                pieces[gene].append((cells[own], values[own].astype(np.float64)))
        found = {gene: _joined(each) for gene, each in pieces.items()}
        return cls(found, totals, random)

    def compare(
        self,
        told: Callable[[int], Floats],
        columns: Sequence[str],
        cells: Sequence[Ints],
        settings: Mapping[str, Any],
    ) -> tuple[int, list[tuple[int, int, str, float, float]]]:
        """Draw pairs of gene and group and work them out.

        Parameters
        ----------
        told
            Returns what is published of a gene: ``(groups, statistics)``.
        columns
            Names of the statistics.
        cells
            Numbers of the cells of each group, ascending.
        settings
            ``normalize`` and ``trim`` of the pipeline.

        Returns
        -------
        int
            How many pairs were compared.
        list of (gene, group, column, published, worked out)
            What differs.
        """
        genes = np.array(list(self.found))
        pairs = {
            (int(self.random.choice(genes)), int(self.random.integers(len(cells))))
            for _ in range(PAIRS_DRAWN if len(genes) else 0)
        }
        wrong = []
        for gene, group in sorted(pairs):
            values = self._values(gene, cells[group], settings["normalize"])
            for column, value in zip(columns, told(gene)[group].tolist(), strict=True):
                wanted = statistic(column, values, settings["trim"])
                if not _close(value, wanted):
                    wrong.append((gene, group, column, value, wanted))
        return len(pairs), wrong

    def _values(self, gene: int, cells: Ints, normalize: str) -> Floats:
        """Return the normalised values of a gene in some cells, zeros included."""
        own, values = self.found[gene]
        _, at, of = np.intersect1d(cells, own, assume_unique=True, return_indices=True)
        dense = np.zeros(len(cells))
        dense[at] = values[of]
        if normalize == "none":
            return dense
        totals = self.totals[cells]
        cpm = np.where(totals == 0, 0, dense / np.where(totals == 0, 1, totals) * 1e6)
        if normalize == "cpm":
            return cpm
        return np.log1p(cpm) if normalize == "log1p_cpm" else np.log2(cpm + 1)


def _joined(pieces: Sequence[tuple[Array, Array]]) -> tuple[Ints, Floats]:
    cells = [np.empty(0, np.int64), *(cell for cell, _ in pieces)]
    return np.concatenate(cells), np.concatenate([np.empty(0), *(value for _, value in pieces)])


_PLAIN: dict[str, Callable[[Floats], Any]] = {
    "n": len,
    "count_nonzero": np.count_nonzero,
    "fraction": lambda values: np.count_nonzero(values) / len(values),
    "sum": np.sum,
    "mean": np.mean,
    "var": lambda values: pd.Series(values).var(ddof=1),
    "min": np.min,
    "median": np.median,
    "max": np.max,
}


def statistic(column: str, values: Floats, trim: float) -> float:
    """Work out a statistic of all values of a group.

    Parameters
    ----------
    column
        Its name, such as ``mean`` or ``p02.5``.
    values
        ``(n,)``, zeros included.
    trim
        Share that the trimmed mean drops at each end.
    """
    if column in _PLAIN:
        return float(_PLAIN[column](values))
    if column == "trimmed_mean":
        return float(trim_mean(values, trim))
    return float(np.percentile(values, float(column[1:])))


def _close(one: float, other: float) -> bool:
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return abs(one - other) <= TOLERANCE * max(1.0, abs(one), abs(other))
