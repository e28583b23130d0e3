"""Counts of genes in cells as they come from single-cell sequencing, drawn cell by cell.

Each cell draws molecules, as many as its depth says, from the genes of its group with replacement.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numba as nb
import numpy as np
import pandas as pd
from anndata.io import write_elem

CELLS, GENES, GROUPS = 100_000, 20_000, 50
BLOCK = 5000  # cells drawn at a time
_HOUSEKEEPING = 50  # genes that nearly all cells have
_DEPTH, _SPREAD = 2470, 0.5  # molecules of a cell: median, and sigma of their logarithm


class Counts:
    """Counts of any number of cells; each is the same whoever asks, and after whatever.

    Parameters
    ----------
    cells, genes, groups
        How many there are.
    seed
        Of all of it.
    """

    def __init__(
        self, cells: int = CELLS, genes: int = GENES, groups: int = GROUPS, seed: int = 1
    ) -> None:
        rng = np.random.default_rng(seed)
        shared = rng.lognormal(0, 1.6, genes)
        shared[rng.choice(genes, _HOUSEKEEPING, replace=False)] *= 200
        own = shared * rng.lognormal(0, 0.5, (groups, genes))
        self._tables = _alias(own / own.sum(axis=1, keepdims=True))
        shares = rng.dirichlet(np.full(groups, 2.0))
        self.groups = rng.choice(groups, cells, p=shares).astype(np.int32)
        self._depths = rng.lognormal(np.log(_DEPTH), _SPREAD, cells).astype(np.int64)
        self.genes, self._seed = genes, seed

    def block(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return indptr, genes and counts of cells ``start`` to ``stop - 1``."""
        most = int(np.minimum(self._depths[start:stop], self.genes).sum())
        genes, counts = np.empty(most, np.int32), np.empty(most, np.float32)
        indptr = np.zeros(stop - start + 1, np.int64)
        share, other = self._tables
        seed = np.uint64(self._seed)
        _draw(seed, start, self.groups[start:stop], self._depths[start:stop], share, other,
              indptr, genes, counts)  # fmt: skip
        return indptr, genes[: indptr[-1]], counts[: indptr[-1]]


@nb.njit(cache=True)
def _alias(probability):
    """Return Walker's alias tables, one per group."""
    groups, genes = probability.shape
    share, other = np.ones((groups, genes), np.float32), np.zeros((groups, genes), np.int32)
    for group in range(groups):
        left = probability[group] * genes
        small = [gene for gene in range(genes) if left[gene] < 1]
        large = [gene for gene in range(genes) if left[gene] >= 1]
        while small and large:
            low, high = small.pop(), large[-1]
            share[group, low], other[group, low] = left[low], high
            left[high] -= 1 - left[low]
            if left[high] < 1:
                small.append(large.pop())
    return share, other


@nb.njit(cache=True)
def _draw(seed, first, group, depth, share, other, indptr, out_genes, out_counts):
    genes = share.shape[1]
    drawn = np.zeros(genes, np.int32)
    at = 0
    for cell in range(len(group)):
        # splitmix64, keyed by the cell
        state = (seed << np.uint64(40)) + np.uint64(first + cell) * np.uint64(0xD1342543DE82EF95)
        chances, others = share[group[cell]], other[group[cell]]
        for _ in range(depth[cell]):
            state += np.uint64(0x9E3779B97F4A7C15)
            mixed = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            mixed ^= mixed >> np.uint64(31)
            gene = np.int64(((mixed >> np.uint64(32)) * np.uint64(genes)) >> np.uint64(32))
            chance = np.float32(mixed & np.uint64(0xFFFFFFFF)) * np.float32(2.0**-32)
            if chance >= chances[gene]:
                gene = others[gene]
            drawn[gene] += 1
        for gene in range(genes):
            if drawn[gene]:
                out_genes[at] = gene
                out_counts[at] = drawn[gene]
                drawn[gene] = 0
                at += 1
        indptr[cell + 1] = at


def write_h5ad(path: Path, counts: Counts, cells: int) -> None:
    """Write counts as an uncompressed .h5ad, some cells at a time, with the groups as metadata."""
    obs = pd.DataFrame(
        {"cell_type": pd.Categorical([f"type {n:02}" for n in counts.groups[:cells]])},
        index=[f"cell{n}" for n in range(cells)],
    )
    var = pd.DataFrame(index=[f"gene{n}" for n in range(counts.genes)])
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        matrix = file.create_group("X")
        matrix.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
        matrix.attrs["shape"] = [cells, counts.genes]
        layout = {"shape": (0,), "maxshape": (None,), "chunks": (1 << 18,)}
        data = matrix.create_dataset("data", dtype="f4", **layout)
        indices = matrix.create_dataset("indices", dtype="i4", **layout)
        ends = [np.zeros(1, np.int64)]
        for start in range(0, cells, BLOCK):
            indptr, genes, values = counts.block(start, min(start + BLOCK, cells))
            at = len(data)
            for dataset, more in ((data, values), (indices, genes)):
                dataset.resize((at + len(more),))
                dataset[at:] = more
            ends.append(indptr[1:] + at)
        matrix.create_dataset("indptr", data=np.concatenate(ends))
        write_elem(file, "obs", obs)
        write_elem(file, "var", var)
