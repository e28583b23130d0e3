"""What the service answers: plain values for JSON about one version, of bounded size."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tessera.cells.cellwise import Cellwise, cells_of
from tessera.cells.definitions import unit
from tessera.cells.densities import described, grid_of
from tessera.cells.printing import plain
from tessera.cells.queries import Query, Unavailable, Unknown
from tessera.cells.reading import Snapshot, View
from tessera.cells.store import Store
from tessera.errors import InputError, Problem

SHOWN = 50_000
"""Cells on a map; of more, evenly spaced ones are shown."""

ROWS, SECONDS = 10_000, 10.0
"""Rows of an answer in SQL, and the time that it may take."""

_COUNTS = ("n", "count_nonzero")
_GENES = 200  # of a heat map
_MARKERS = 40  # of all groups together, unless asked for
_AT_WORK = threading.BoundedSemaphore(2)  # queries in SQL at a time: each may take its memory

Answer = dict[str, Any]
Work = Callable[[Store, Snapshot, Query], Answer]


def entry(store: Store, snapshot: Snapshot, query: Query) -> Answer:
    """Tell how large a dataset is, and how its cells are grouped."""
    sizes = {key: snapshot.facts[key] for key in ("cells", "genes", "nnz")}
    return {"dataset": snapshot.dataset, **sizes, "groupings": snapshot.groupings}


def info(store: Store, snapshot: Snapshot, query: Query) -> Answer:
    """Tell all about a dataset but its numbers: groupings, groups, columns, definitions."""
    query.done()
    views = [snapshot.view(name) for name in snapshot.groupings]
    groupings = [
        {"name": view.name, "columns": view.definition["by"], "statistics": view.columns,
         "groups": _sizes(snapshot, view), "definition": view.definition}
        for view in views
    ]  # fmt: skip
    has_map = cells_of(store, snapshot).has_map
    about = entry(store, snapshot, query)
    return {**about, "unit": _unit(views[0]), "umap": has_map, "groupings": groupings}


def genes(store: Store, snapshot: Snapshot, query: Query) -> Answer:
    """Find genes by the beginning of their names; where none begins so, by any part of them."""
    search, limit = query.text("search"), query.number("limit", 20, 1000)
    query.done()
    names = cells_of(store, snapshot).gene_names
    found = names.filter(pc.starts_with(names, search, ignore_case=True))
    if not len(found):
        found = names.filter(pc.match_substring(names, search, ignore_case=True))
    # The gene of just this name first, then in the order of names: Sox1 before Sox10.
    order = sorted(found.to_pylist(), key=lambda name: (name != search, name.casefold(), name))
    return {"search": search, "total": len(order), "genes": order[:limit]}


def gene(store: Store, snapshot: Snapshot, query: Query) -> Answer:
    """Tell the statistics of a gene in every group."""
    view = _view(snapshot, query)
    query.done()
    rows = _without_nan(view.values[_place(snapshot, query)])
    counts = [k for k, name in enumerate(view.columns) if name in _COUNTS]
    for row in rows:
        for k in counts:
            row[k] = int(row[k])
    return {
        "gene": query.path["gene"], "grouping": view.name, "unit": _unit(view),
        "columns": view.columns, "groups": view.groups, "rows": rows,
    }  # fmt: skip


def expression(store: Store, snapshot: Snapshot, query: Query) -> Answer:
    """Tell the values of a gene in the cells in which it is not zero.

    ``cells`` says what stands for a cell: ``index``, its number from 0 (the default), ``name``, or
    ``umap``, its number among those of the map, where others are left out.
    """
    kind = query.word("cells", ("index", "name", "umap"), "index")
    query.done()
    cells, view = cells_of(store, snapshot), snapshot.view()
    found = cells.gene(_place(snapshot, query), view.definition["normalize"])
    answer: Answer = {"gene": query.path["gene"], "unit": _unit(view)}
    if kind == "umap":
        shown = _on_map(cells, snapshot)
        at = np.searchsorted(shown, found.cells)
        here = (at < len(shown)) & (shown[np.minimum(at, len(shown) - 1)] == found.cells)
        values = np.round(found.values[here], 4).tolist()
        return {**answer, "cells": len(shown), "index": at[here].tolist(), "values": values}
    answer |= {"cells": snapshot.facts["cells"], "index": found.cells.tolist()}
    if kind == "name":
        answer["name"] = cells.names.take(pa.array(found.cells)).to_pylist()
    return {**answer, "raw": found.raw.tolist(), "values": found.values.tolist()}


def violin(store: Store, snapshot: Snapshot, query: Query) -> Answer:
    """Describe the values of a gene in every group by densities and quantiles, of all cells."""
    view = _view(snapshot, query)
    query.done()
    cells = cells_of(store, snapshot)
    found = cells.gene(_place(snapshot, query), view.definition["normalize"])
    codes, grid = cells.codes(view), grid_of(found.values)
    values = np.zeros(len(codes))
    values[found.cells] = found.values
    order = np.argsort(codes, kind="stable")
    edges = np.searchsorted(codes[order], np.arange(len(view.groups) + 1))
    groups = [
        {"group": name, **described(values[order[edges[k] : edges[k + 1]]], grid)}
        for k, name in enumerate(view.groups)
    ]
    return {
        "gene": query.path["gene"], "grouping": view.name, "unit": _unit(view),
        "grid": grid.tolist(), "groups": groups, "text": _CAPTIONS,
    }  # fmt: skip


def top(store: Store, snapshot: Snapshot, query: Query) -> Answer:
    """Tell the genes with the highest values of a statistic in a group."""
    view = _view(snapshot, query)
    query.needs("group")
    by, n = query.text("by", _main(view)), query.number("n", 20, 1000)
    query.done()
    group = query.text("group")
    frame = snapshot.top_genes(group, view.name, by, n)
    table = records(frame)
    return {"grouping": view.name, "group": group, "by": by, "unit": _unit(view), **table}


def heatmap(store: Store, snapshot: Snapshot, query: Query) -> Answer:
    """Tell a statistic of several genes in every group: of those named, or of markers."""
    view = _view(snapshot, query)
    by = query.word("by", view.columns, _main(view))
    few = max(1, min(5, _MARKERS // len(view.groups)))
    n, named = query.number("n", few, 50), query.text("genes")
    query.done()
    if named:
        chosen = list(dict.fromkeys(name for name in named.split(",") if name))
        if len(chosen) > _GENES:
            what, remedy = f"names {len(chosen)} genes", f"name {_GENES} at most"
            raise InputError(Problem("request", "parameter genes", what, remedy))
        places = _places(snapshot, chosen)
        text = "The genes that were asked for."
    else:
        places = cells_of(store, snapshot).markers(view, by, n)[:_GENES]
        names = cells_of(store, snapshot).gene_names
        chosen = names.take(pa.array(places, pa.int64())).to_pylist()
        others = view.definition["by"]
        other = "other group" if len(others) == 1 else f"group of another {others[0]}"
        text = (
            f"Of each group, the genes whose {_word(by)} is the furthest above that of every "
            f"{other}, {n} at most; a difference of values, not a test."
        )
    block = np.array([view.values[place] for place in places])
    block = block.reshape(len(places), len(view.groups), len(view.columns))
    share = "fraction" if "fraction" in view.columns else by
    return {
        "grouping": view.name, "by": by, "unit": _unit_of(view, by), "genes": chosen,
        "groups": view.groups, "values": _numbers(block, view, by),
        "fractions": _numbers(block, view, share) if share == "fraction" else None, "text": text,
    }  # fmt: skip


def umap(store: Store, snapshot: Snapshot, query: Query) -> Answer:
    """Tell where cells are on the map, and in which groups."""
    view = _view(snapshot, query)
    query.done()
    cells = cells_of(store, snapshot)
    shown = _on_map(cells, snapshot)
    places = np.round(cells.places[shown], 4)
    placed = int(np.isfinite(cells.places).all(axis=1).sum())
    all_of = f"{snapshot.facts['cells']:,} cells"
    text = f"All {all_of}." if placed == snapshot.facts["cells"] else (
        f"{placed:,} of {all_of}: the others have no place on the map."
    )  # fmt: skip
    if len(shown) < placed:
        text = f"{len(shown):,} of {all_of}, evenly spaced in the order of the data."
    return {
        "grouping": view.name, "cells": snapshot.facts["cells"], "shown": len(shown),
        "text": text, "index": shown.tolist(), "x": places[:, 0].tolist(),
        "y": places[:, 1].tolist(), "groups": view.groups,
        "code": cells.codes(view)[shown].tolist(),
    }  # fmt: skip


def sql(store: Store, snapshot: Snapshot, query: Query) -> Answer:
    """Answer a query in SQL that only reads the tables of the version."""
    query.needs("q")
    query.done()
    if not _AT_WORK.acquire(timeout=SECONDS):
        raise Unavailable("Other queries in SQL are at work; ask again in some seconds.")
    try:
        return records(snapshot.sql(query.text("q"), ROWS, SECONDS))
    finally:
        _AT_WORK.release()


def records(frame: pd.DataFrame) -> Answer:
    """Return names of columns, and rows of plain values."""
    rows = [[plain(value) for value in row] for row in frame.itertuples(index=False, name=None)]
    return {"columns": [str(name) for name in frame.columns], "rows": rows}


_CAPTIONS = {
    "violin": (
        "Violins show all cells, zeros included, by a kernel density (Silverman's rule); all have "
        "the same height. Bar: middle half of the cells; white dot: median. Dots at the right: "
        "area for the share of cells that express the gene, colour for the mean of all cells."
    ),
    "box": (
        "Boxes show all cells, zeros included: the middle half; whiskers from 5 % to 95 %; ticks "
        "at the lowest and the highest; white dot: median. Percentiles are exact. Dots at the "
        "right: area for the share of cells that express the gene, colour for the mean of all."
    ),
}


def _view(snapshot: Snapshot, query: Query) -> View:
    return snapshot.view(query.text("grouping") or None)


def _place(snapshot: Snapshot, query: Query) -> int:
    try:
        return snapshot.place(query.path["gene"])
    except InputError as error:
        raise Unknown(error) from None


def _places(snapshot: Snapshot, names: list[str]) -> list[int]:
    places: list[int] = []
    problems: list[Problem] = []
    for name in names:
        try:
            places.append(snapshot.place(name))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return places


def _on_map(cells: Cellwise, snapshot: Snapshot) -> np.ndarray:
    """Return the numbers of the cells that are shown on the map, ascending."""
    if not cells.has_map:
        what = "has no map: its metadata have no columns umap_1 and umap_2"
        raise Unknown(InputError(Problem(snapshot.dataset, "", what, "add them, and publish anew")))
    placed = np.flatnonzero(np.isfinite(cells.places).all(axis=1))
    if len(placed) <= SHOWN:
        return placed
    return placed[np.arange(SHOWN) * len(placed) // SHOWN]


def _main(view: View) -> str:
    """Return the statistic that is shown where none was asked for."""
    liked = ("mean", "trimmed_mean", "median", "fraction")
    return next((name for name in liked if name in view.columns), view.columns[-1])


def _numbers(block: np.ndarray, view: View, name: str) -> list[list[Any]]:
    return _without_nan(block[:, :, view.columns.index(name)])


def _without_nan(values: np.ndarray) -> list[list[Any]]:
    # NaN alone differs from itself; a test of each number is faster than pandas for a few.
    return [[value if value == value else None for value in row] for row in values.tolist()]


def _sizes(snapshot: Snapshot, view: View) -> list[Answer]:
    table = pq.read_table(snapshot.path(f"views/{view.name}/groups.parquet"))
    return table.select(["group", "n"]).to_pylist()


def _unit(view: View) -> str:
    return unit(view.definition["normalize"])


def _unit_of(view: View, by: str) -> str:
    if by == "count_nonzero":
        return "cells"
    return {"fraction": "share of cells", "var": f"{_unit(view)} squared"}.get(by, _unit(view))


def _word(by: str) -> str:
    return by.replace("_", " ")
