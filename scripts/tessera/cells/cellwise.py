"""What a version says of each cell: its groups, its place on the map, its value of a gene."""

from __future__ import annotations

import threading
from functools import cached_property, partial
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import zarr

from tessera.cells.groups import JOIN
from tessera.cells.normalize import normalised
from tessera.cells.reading import Snapshot, View
from tessera.cells.store import Store

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MAP = ("umap_1", "umap_2")
"""Columns of the metadata that say where a cell is on the map."""

_BLOCK = 1 << 22  # statistics looked through at a time


class GeneValues(NamedTuple):
    """A gene in the k cells in which it is not zero: their numbers, ascending, and its values."""

    cells: Ints
    raw: npt.NDArray[np.floating]
    values: Floats


class Cellwise:
    """The cells of a version, column by column; what was read once is kept.

    Parameters
    ----------
    store
        Where the version is.
    snapshot
        The version.
    """

    def __init__(self, store: Store, snapshot: Snapshot) -> None:
        self._arrays = store.arrays(snapshot.dataset, snapshot.version, "gene_major.zarr")
        # Not the snapshot itself: it is forgotten when nobody else holds it (`cells_of`).
        self._file = partial(store.path, snapshot.dataset, snapshot.version)
        self._path = self._file("cells.parquet")
        self._codes: dict[str, npt.NDArray[np.int32]] = {}
        self._leads: dict[tuple[str, str], tuple[Ints, Floats]] = {}

    @cached_property
    def gene_names(self) -> pa.Array:
        """Names of all genes, in the order of ``genes.parquet``."""
        column = pq.read_table(self._file("genes.parquet"), columns=["gene"])["gene"]
        return column.combine_chunks().cast(pa.large_string())

    @cached_property
    def has_map(self) -> bool:
        """Whether the cells have places on a map."""
        return set(MAP) <= set(pq.read_schema(self._path).names)

    @cached_property
    def places(self) -> Floats:
        """``(cells, 2)`` places on the map, NaN where there is none."""
        table = pq.read_table(self._path, columns=list(MAP))
        return np.stack([table[name].to_numpy().astype(float) for name in MAP], axis=1)

    @cached_property
    def names(self) -> pa.Array:
        """Names of all cells."""
        return pq.read_table(self._path, columns=["cell"])["cell"].combine_chunks()

    def codes(self, view: View) -> npt.NDArray[np.int32]:
        """Return ``(cells,)`` numbers of the cells' groups; -1 for a cell in none."""
        if view.name not in self._codes:
            table = pq.read_table(self._path, columns=view.definition["by"])
            columns = [column.combine_chunks().cast(pa.string()) for column in table.columns]
            labels = pc.binary_join_element_wise(*columns, JOIN)
            found = pc.index_in(labels, value_set=pa.array(view.groups, pa.string()))
            self._codes[view.name] = found.fill_null(-1).to_numpy(zero_copy_only=False)
        return self._codes[view.name]

    def gene(self, place: int, normalize: str) -> GeneValues:
        """Return the values of the gene at this place, as they were given and normalised."""
        start, stop = (int(edge) for edge in self._matrix["indptr"][place : place + 2])
        cells = np.asarray(self._matrix["indices"][start:stop])
        raw = np.asarray(self._matrix["data"][start:stop])
        values = normalised(raw, cells, self._totals, normalize)
        return GeneValues(cells.astype(np.int64), raw, values.astype(np.float64))

    def markers(self, view: View, by: str, n: int) -> list[int]:
        """Return the places of genes that stand out in a group.

        Parameters
        ----------
        view
            Which groups.
        by
            The statistic by which a gene stands out: how far the group with its highest value is
            above every group that differs in the first column of the grouping.
        n
            How many genes of each group, at most.

        Returns
        -------
        list of int
            Group by group, in each the gene that stands out most first.
        """
        if (view.name, by) not in self._leads:
            table = pq.read_table(self._file(f"views/{view.name}/groups.parquet"))
            first = table[view.definition["by"][0]].combine_chunks().dictionary_encode()
            kinds = first.indices.to_numpy()
            self._leads[view.name, by] = _leads(view, view.columns.index(by), kinds)
        leaders, leads = self._leads[view.name, by]
        chosen: list[int] = []
        for group in range(len(view.groups)):
            own = np.flatnonzero((leaders == group) & (leads > 0))
            chosen += own[np.argsort(-leads[own], kind="stable")][:n].tolist()
        return chosen

    @cached_property
    def _totals(self) -> Floats:
        column = pq.read_table(self._path, columns=["total"])["total"]
        return column.to_numpy().astype(np.float64)

    @cached_property
    def _matrix(self) -> dict[str, Any]:
        group = zarr.open_group(self._arrays, path="X", mode="r", use_consolidated=False)
        return {name: group[name] for name in ("indptr", "indices", "data")}


def _leads(view: View, column: int, kinds: npt.NDArray[np.integer]) -> tuple[Ints, Floats]:
    """Return the group with the highest value of each gene, and how far it is above other kinds.

    `kinds` are whole numbers from 0, one for each group.
    """
    genes = len(view.values)
    leaders, leads = np.empty(genes, np.int64), np.empty(genes)
    step = max(1, _BLOCK // (len(view.groups) * len(view.columns)))
    for start in range(0, genes, step):
        here = slice(start, start + step)
        values = np.nan_to_num(view.values[here, :, column], nan=-np.inf)
        leaders[here] = values.argmax(axis=1)
        by_kind = [values[:, kinds == kind].max(axis=1) for kind in range(kinds.max() + 1)]
        two = np.sort([np.full(len(values), -np.inf), *by_kind], axis=0)[-2:]
        two[~np.isfinite(two)] = 0  # of one kind alone, or of no values, there is none
        leads[here] = two[1] - two[0]
    return leaders, leads


_opened: WeakKeyDictionary[Snapshot, Cellwise] = WeakKeyDictionary()
_lock = threading.Lock()


def cells_of(store: Store, snapshot: Snapshot) -> Cellwise:
    """Return the cells of a version, the same object for as long as the snapshot lives."""
    with _lock:
        found = _opened.get(snapshot)
        if found is None:
            found = _opened[snapshot] = Cellwise(store, snapshot)
        return found
