"""Genes that mark a group: found in far more of its cells than in those of any other group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from tessera.cells.reading import View

LEAST_CELLS = 10
"""Groups of fewer cells are neither marked nor compared with: their fractions mean little."""

LEAST_SCORE = 0.1
"""By which the fraction of cells must exceed that of the next group."""

_BATCH = 4096  # genes looked at at a time

Floats = npt.NDArray[np.float64]


def can_mark(columns: Sequence[str]) -> bool:
    """Tell whether a view has what `markers` needs."""
    return "mean" in columns and bool({"fraction", "count_nonzero"} & set(columns))


def fractions(view: View, sizes: Floats, genes: slice | npt.NDArray[np.int64]) -> Floats:
    """Return ``(genes, groups)``, the share of cells with the gene; sizes are those of groups."""
    if "fraction" in view.columns:
        return np.array(view.values[genes, :, view.columns.index("fraction")])
    return np.array(view.values[genes, :, view.columns.index("count_nonzero")]) / sizes


def markers(view: View, sizes: Floats, most: int) -> pd.DataFrame:
    """Find the genes that mark each group best.

    Parameters
    ----------
    view
        The view; see `can_mark`.
    sizes
        ``(groups,)`` number of cells of each.
    most
        Genes of a group at most.

    Returns
    -------
    DataFrame
        By group and then best first: ``group`` and ``place`` (their numbers), ``score`` (fraction
        of the group's cells with the gene less that of the next group), ``fraction``, ``next``
        (number of the next group), ``next_fraction``, ``mean``. Equal scores are in the order of
        the mean, then of the genes.
    """
    compared = np.flatnonzero(sizes >= LEAST_CELLS)
    found = []
    for start in range(0, len(view.values) if len(compared) > 1 else 0, _BATCH):
        genes = slice(start, min(start + _BATCH, len(view.values)))
        share = fractions(view, sizes, genes)[:, compared]
        first, second = np.argsort(-share, axis=1, kind="stable")[:, :2].T
        row = np.arange(len(share))
        mean = np.array(view.values[genes, :, view.columns.index("mean")])
        table = pd.DataFrame(
            {
                "group": compared[first],
                "place": row + start,
                "score": share[row, first] - share[row, second],
                "fraction": share[row, first],
                "next": compared[second],
                "next_fraction": share[row, second],
                "mean": mean[row, compared[first]],
            }
        )
        found.append(_best(table[table["score"] >= LEAST_SCORE], most))
    names = ["group", "place", "score", "fraction", "next", "next_fraction", "mean"]
    return (
        _best(pd.concat(found, ignore_index=True), most) if found else pd.DataFrame(columns=names)
    )


def _best(table: pd.DataFrame, most: int) -> pd.DataFrame:
    order = ["group", "score", "mean", "place"]
    table = table.sort_values(order, ascending=[True, False, False, True], ignore_index=True)
    return table.groupby("group").head(most).reset_index(drop=True)
