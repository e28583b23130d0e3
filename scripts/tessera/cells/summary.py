"""A published version drawn, and what the page says of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq

from tessera.cells.charts import dot_plot, heat_map, plane_by_gene, plane_by_group
from tessera.cells.gene_index import genes_at
from tessera.cells.groups import groups_of
from tessera.cells.markers import can_mark, fractions, markers
from tessera.cells.normalize import normalised
from tessera.cells.reading import Snapshot, View

MOST_GROUPS, MOST_ROWS = 60, 200
"""Groups of a dot plot and of a table, and of a heat map; the largest are shown."""

_MOST_GENES = 60  # across a chart
_MARKERS, _DOTS = 5, 3  # of a group: in the table and the heat map, and in a dot plot
_PANELS = 8  # genes shown in the plane
_MOST_CELLS = 100_000  # drawn in the plane: every second one, or third, where there are more

Floats = npt.NDArray[np.float64]


def summarise(snapshot: Snapshot, checked: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Draw a version into a folder, and say what is in it.

    Parameters
    ----------
    snapshot
        The version.
    checked
        What `tessera.cells.verify.verify` returned of it.
    folder
        An empty folder for the charts, all of the markers of the first view: ``dots.K.png`` in
        the groups of view number K; ``heat.png``; ``plane.groups.png`` and ``plane.genes.png``
        where cells have a layout.

    Returns
    -------
    dict
        Plain values for JSON: ``dataset``, ``version``, ``cells``, ``genes``, ``nnz``,
        ``checks``, ``warnings``; ``markers`` of the first view (by group: ``group``, ``n``,
        ``genes``); ``views``, each with ``name``, ``by``, ``groups``, ``cells`` (in these groups),
        ``drawn`` (groups in the dot plot, None without one) and ``text`` (what its numbers are).
    """
    manifest, first = snapshot.manifest, snapshot.view()
    sizes = {name: _sizes(snapshot, name) for name in snapshot.groupings}
    marked: list[dict[str, Any]] = []
    drawn: dict[str, int | None] = dict.fromkeys(snapshot.groupings)
    if can_mark(first.columns):
        found = markers(first, sizes[first.name], _MARKERS)
        names = _names(snapshot, found["place"])
        marked = _listed(first, sizes[first.name], found, names)
        groups = _largest(sizes[first.name], MOST_GROUPS)
        chosen = _chosen(found, groups, _DOTS, names)
        for number, name in enumerate(snapshot.groupings):
            picture, drawn[name] = _draw_view(snapshot.view(name), sizes[name], chosen)
            (folder / f"dots.{number}.png").write_bytes(picture)
        chosen = _chosen(found, groups, _MARKERS, names)
        (folder / "heat.png").write_bytes(_draw_heat(first, sizes[first.name], chosen))
        best = _chosen(found, _largest(sizes[first.name], _PANELS), 1, names)
        _draw_plane(snapshot, first, list(best.values()), folder)
    views = [
        {
            "name": name,
            "by": view.definition["by"],
            "groups": len(view.groups),
            "cells": int(sizes[name].sum()),
            "drawn": drawn[name],
            "text": view.definition["text"],
        }
        for name, view in ((name, snapshot.view(name)) for name in snapshot.groupings)
    ]
    return {
        "dataset": snapshot.dataset,
        "version": snapshot.version,
        **{key: manifest[key] for key in ("cells", "genes", "nnz")},
        "checks": list(checked["checks"]),
        "warnings": list(checked["warnings"]),
        "markers": marked,
        "views": views,
    }


def _sizes(snapshot: Snapshot, name: str) -> Floats:
    table = pq.read_table(snapshot.path(f"views/{name}/groups.parquet"), columns=["n"])
    return np.asarray(table["n"].to_numpy(), np.float64)


def _largest(sizes: Floats, most: int) -> npt.NDArray[np.int64]:
    """Return the numbers of the largest groups, in their order."""
    return np.sort(np.argsort(-sizes, kind="stable")[:most])


def _draw_view(view: View, sizes: Floats, genes: Mapping[int, str]) -> tuple[bytes, int]:
    """Draw genes in the largest groups of a view; returns how many groups as well."""
    shown = _largest(sizes, MOST_GROUPS)
    places = np.array(list(genes), np.int64)
    share, mean = fractions(view, sizes, places), _means(view, places)
    labels = [view.groups[k] for k in shown]
    normalize = view.definition["normalize"]
    names = list(genes.values())
    return dot_plot(names, labels, share[:, shown], mean[:, shown], normalize), len(shown)


def _draw_heat(view: View, sizes: Floats, genes: Mapping[int, str]) -> bytes:
    rows = _largest(sizes, MOST_ROWS)
    mean = _means(view, np.array(list(genes), np.int64))[:, rows]
    labels = [view.groups[k] for k in rows]
    return heat_map(list(genes.values()), labels, mean, view.definition["normalize"])


def _means(view: View, places: npt.NDArray[np.int64]) -> Floats:
    return np.array(view.values[places, :, view.columns.index("mean")])


def _listed(
    view: View, sizes: Floats, found: pd.DataFrame, names: Mapping[int, str]
) -> list[dict[str, Any]]:
    """Return the markers of the largest groups as plain values."""
    return [
        {
            "group": view.groups[k],
            "n": int(sizes[k]),
            "genes": [
                {
                    "gene": names[row.place],
                    "fraction": float(row.fraction),
                    "next": view.groups[row.next],
                    "next_fraction": float(row.next_fraction),
                    "mean": float(row.mean),
                }
                for row in found[found["group"] == k].itertuples()
            ],
        }
        for k in _largest(sizes, MOST_GROUPS)
    ]


def _names(snapshot: Snapshot, places: pd.Series) -> dict[int, str]:
    index = np.load(snapshot.path("gene_index.npy"), mmap_mode="r", allow_pickle=False)
    names = genes_at(index, places.to_numpy(np.int64))
    return dict(zip(places.tolist(), names, strict=True))


def _chosen(
    found: pd.DataFrame, groups: npt.NDArray[np.int64], most: int, names: Mapping[int, str]
) -> dict[int, str]:
    """Return places and names of the best markers of groups, as many of each as there is room."""
    each = max(1, min(most, _MOST_GENES // max(len(groups), 1)))
    table = found[found["group"].isin(groups)].groupby("group").head(each)
    return {int(place): names[place] for place in table["place"]}


def _draw_plane(snapshot: Snapshot, view: View, genes: list[str], folder: Path) -> None:
    path, axes = snapshot.path("cells.parquet"), ["umap_1", "umap_2"]
    if not set(axes) <= set(pq.read_schema(path).names):
        return
    by = view.definition["by"]
    cells = pd.read_parquet(path, columns=["cell", "total", *axes, *by])
    umap = cells[axes].to_numpy(np.float64)
    shown = np.flatnonzero(np.isfinite(umap).all(1))[:: -(-len(cells) // _MOST_CELLS)]
    code = groups_of(cells, by, view.definition["min_cells"]).codes.astype(np.int64)
    picture = plane_by_group(umap[shown], code[shown], view.groups)
    (folder / "plane.groups.png").write_bytes(picture)
    if not genes:
        return
    names, totals = pd.Index(cells["cell"]), cells["total"].to_numpy()
    values = {}
    for gene in genes:
        found = snapshot.gene_cells(gene)
        at = names.get_indexer(found["cell"])
        dense = np.zeros(len(cells))
        raw, normalize = found["value"].to_numpy(), view.definition["normalize"]
        dense[at] = normalised(raw, at, totals, normalize)
        values[gene] = dense[shown]
    picture = plane_by_gene(umap[shown], values, view.definition["normalize"])
    (folder / "plane.genes.png").write_bytes(picture)
