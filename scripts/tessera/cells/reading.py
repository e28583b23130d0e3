"""Reading what is published: one version per request, whatever is published meanwhile."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import zarr

from tessera.cells.gene_index import find_gene, genes_at, mapped, nearest_gene
from tessera.cells.sql import SECONDS, run_query, view_names
from tessera.cells.store import Store, open_store, unknown_dataset
from tessera.config import did_you_mean
from tessera.errors import InputError, Problem

T = TypeVar("T")

_KEPT = 2  # versions whose files stay mapped: the one of now, and the one before
_WHOLE = ("n", "count_nonzero")  # columns that count


class View:
    """The statistics of one grouping in one version.

    Attributes
    ----------
    name
        Name of the grouping.
    definition
        What its numbers are (``definition.json``).
    columns, groups
        Names of the statistics and of the groups, in their order.
    values
        ``(genes, groups, columns)`` float64, mapped; genes in the order of ``genes.parquet``.
    """

    def __init__(self, name: str, definition: dict[str, Any], values: npt.NDArray[Any]) -> None:
        self.name = name
        self.definition = definition
        self.columns: list[str] = definition["columns"]
        self.groups: list[str] = definition["groups"]
        self.values = values
        self._labels = np.array(self.groups, dtype=object)

    def gene(self, at: int) -> pd.DataFrame:
        """Return a row per group for the gene at this place."""
        return self._frame("group", self._labels, np.array(self.values[at]))

    def top(self, group: int, by: int, n: int) -> npt.NDArray[np.int64]:
        """Return the places of the genes with the highest values, the highest first.

        Of equal values the gene that comes first in ``genes.parquet`` is the first; missing values
        count for nothing.
        """
        values = np.array(self.values[:, group, by])
        order = np.argsort(-values, kind="stable")  # NaN goes to the end
        return order[: max(0, min(n, int(np.count_nonzero(~np.isnan(values)))))]

    def genes(self, places: npt.NDArray[np.int64], names: list[str], group: int) -> pd.DataFrame:
        """Return a row per gene for one group."""
        rows = np.array([self.values[at, group] for at in places.tolist()])
        values = rows.reshape(len(names), len(self.columns))
        return self._frame("gene", np.array(names, dtype=object), values)

    def _frame(self, key: str, labels: npt.NDArray[Any], values: npt.NDArray[Any]) -> pd.DataFrame:
        data: dict[str, npt.NDArray[Any]] = {key: labels}
        for column, name in enumerate(self.columns):
            numbers = values[:, column]
            data[name] = numbers.astype(np.int64) if name in _WHOLE else numbers
        return pd.DataFrame(data, copy=False)


class Snapshot:
    """One version of a dataset: it never changes, and all that is asked of it fits together.

    Made by `Cells.snapshot`. A version that was removed meanwhile raises FileNotFoundError, which
    `Cells.ask` deals with.

    Attributes
    ----------
    dataset, version
        Name of the dataset, and of the version (a UUID).
    """

    def __init__(self, store: Store, dataset: str, version: str) -> None:
        self.dataset = dataset
        self.version = version
        self._store = store
        self._views: dict[str, View] = {}

    def path(self, name: str) -> Path:
        """Return a local path to a file of the version, such as ``cells.parquet``."""
        return self._store.path(self.dataset, self.version, name)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What the version says of itself (``manifest.json``)."""
        return self._store.manifest(self.dataset, self.version)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The manifest without its list of files."""
        return self._store.facts(self.dataset, self.version)

    @property
    def groupings(self) -> list[str]:
        """Names of the groupings; the first is the default."""
        return list(self.facts["groupings"])

    def view(self, grouping: str | None = None) -> View:
        """Return the statistics of a grouping; of the first if none is named.

        Raises
        ------
        InputError
            If there is no such grouping.
        """
        name = self.groupings[0] if grouping is None else grouping
        if name not in self._views:
            try:
                definition = json.loads(self.path(f"views/{name}/definition.json").read_bytes())
            except (FileNotFoundError, InputError):
                if name in self.groupings:
                    raise
                raise self._refused("grouping", name, self.groupings) from None
            values = mapped(self.path(f"views/{name}/serving.npy"))
            self._views[name] = View(name, definition, values)
        return self._views[name]

    def gene(self, gene: str, grouping: str | None = None) -> pd.DataFrame:
        """Return the statistics of a gene: a row per group, column ``group`` and the statistics.

        Raises
        ------
        InputError
            If there is no such gene or grouping.
        """
        view = self.view(grouping)
        return view.gene(self.place(gene))

    def top_genes(
        self, group: str, grouping: str | None = None, by: str = "mean", n: int = 20
    ) -> pd.DataFrame:
        """Return the n genes with the highest value of a statistic in a group, the highest first.

        Columns are ``gene`` and the statistics; genes of equal value are in the order of the data.

        Raises
        ------
        InputError
            If there is no such group, grouping or statistic.
        """
        view = self.view(grouping)
        problems: list[Problem] = []
        if group not in view.groups:
            problems += self._refused(f"group of {view.name}", group, view.groups).problems
        if by not in view.columns:
            problems += self._refused(f"statistic in {view.name}", by, view.columns).problems
        if problems:
            raise InputError(problems)
        places = view.top(view.groups.index(group), view.columns.index(by), n)
        names = genes_at(self._index, places)
        return view.genes(places, names, view.groups.index(group))

    def gene_cells(self, gene: str) -> pd.DataFrame:
        """Return the cells in which a gene is not zero, and its values as they were given.

        Columns are ``cell`` and ``value``, cells in the order of the data. Of the matrix only the
        gene's part is read.

        Raises
        ------
        InputError
            If there is no such gene.
        """
        at = self.place(gene)
        matrix = self._matrix
        start, stop = (int(edge) for edge in matrix["indptr"][at : at + 2])
        names = self._cell_names.take(pa.array(matrix["indices"][start:stop]))
        return pd.DataFrame(
            {
                "cell": names.to_numpy(zero_copy_only=False),
                "value": np.asarray(matrix["data"][start:stop]),
            }
        )

    def sql(self, query: str, rows: int | None = None, seconds: float = SECONDS) -> pd.DataFrame:
        """Answer a query in SQL; see `tessera.cells.sql.run_query`.

        There are views ``genes`` and ``cells``, and one per grouping under its name
        (`tessera.cells.sql.view_names`), to be put into double quotes where it has other signs than
        letters, digits and ``_``.
        """
        return run_query(self.views, query, rows, seconds)

    @cached_property
    def views(self) -> dict[str, Path]:
        """Names of the views that SQL knows, and the files that they show."""
        named = view_names(self.groupings)
        files = {named[name]: f"views/{name}/stats.parquet" for name in named}
        files |= {"genes": "genes.parquet", "cells": "cells.parquet"}
        return {name: self.path(file).absolute() for name, file in files.items()}

    def place(self, gene: str) -> int:
        """Return the place of a gene in ``genes.parquet`` and in all arrays, from 0.

        Raises
        ------
        InputError
            If there is no such gene.
        """
        at = find_gene(self._index, gene)
        if at is None:
            near = nearest_gene(self._index, gene)
            hint = f" (did you mean {near}?)" if near else ""
            remedy = f"expected the name of one of its {len(self._index):,} genes{hint}"
            raise InputError(Problem(self.dataset, "", f"has no gene {gene}", remedy))
        return at

    @cached_property
    def _index(self) -> npt.NDArray[np.void]:
        return mapped(self.path("gene_index.npy"))

    @cached_property
    def _matrix(self) -> dict[str, Any]:
        store = self._store.arrays(self.dataset, self.version, "gene_major.zarr")
        group = zarr.open_group(store, path="X", mode="r")
        return {name: group[name] for name in ("indptr", "indices", "data")}

    @cached_property
    def _cell_names(self) -> pa.Array:
        column = pq.read_table(self.path("cells.parquet"), columns=["cell"])["cell"]
        return column.combine_chunks().cast(pa.large_string())

    def _refused(self, kind: str, name: str, known: list[str]) -> InputError:
        some = ", ".join(known[:20]) + (" and others" if known[20:] else "")
        remedy = f"expected one of {some}{did_you_mean(name, known)}"
        return InputError(Problem(self.dataset, "", f"has no {kind} {name}", remedy))


class Cells:
    """A published dataset, as it is at each request.

    Parameters
    ----------
    location
        The store (`tessera.cells.store.open_store`).
    dataset
        Name of the dataset.
    """

    def __init__(self, location: str | Path, dataset: str) -> None:
        self.store = open_store(location)
        self.dataset = dataset
        self._snapshots: dict[str, Snapshot] = {}
        self._lock = threading.Lock()

    def snapshot(self) -> Snapshot:
        """Return the version that is current now, to ask one thing or several that fit together.

        Raises
        ------
        InputError
            If nothing is published of the dataset.
        """
        pointer = self.store.current(self.dataset)
        if pointer is None:
            raise unknown_dataset(self.store, self.dataset)
        with self._lock:
            snapshot = self._snapshots.pop(pointer.version, None)
            if snapshot is None:
                snapshot = Snapshot(self.store, self.dataset, pointer.version)
            self._snapshots[pointer.version] = snapshot
            while len(self._snapshots) > _KEPT:
                del self._snapshots[next(iter(self._snapshots))]
        return snapshot

    def ask(self, question: Callable[[Snapshot], T]) -> T:
        """Ask the current version, and once more the then current one if it was removed meanwhile.

        Parameters
        ----------
        question
            What is done with the snapshot; all of it again, if a file was missing.

        Raises
        ------
        InputError
            If a file is missing in the version that is current then.
        """
        try:
            return question(self.snapshot())
        except FileNotFoundError:
            with self._lock:
                self._snapshots.clear()  # what they remember may be of a version that is gone
        try:
            return question(self.snapshot())
        except FileNotFoundError as error:
            what = f"the version that is current lacks a file ({error})"
            remedy = "publish it again, or roll back to another version"
            raise InputError(Problem(self.dataset, "", what, remedy)) from None

    def gene(self, gene: str, grouping: str | None = None) -> pd.DataFrame:
        """Answer `Snapshot.gene` of the current version."""
        return self.ask(lambda now: now.gene(gene, grouping))

    def top_genes(
        self, group: str, grouping: str | None = None, by: str = "mean", n: int = 20
    ) -> pd.DataFrame:
        """Answer `Snapshot.top_genes` of the current version."""
        return self.ask(lambda now: now.top_genes(group, grouping, by, n))

    def gene_cells(self, gene: str) -> pd.DataFrame:
        """Answer `Snapshot.gene_cells` of the current version."""
        return self.ask(lambda now: now.gene_cells(gene))

    def sql(self, query: str, rows: int | None = None, seconds: float = SECONDS) -> pd.DataFrame:
        """Answer `Snapshot.sql` of the current version."""
        return self.ask(lambda now: now.sql(query, rows, seconds))
