"""Groups of cells: the combinations of values of some columns of the metadata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from tessera.errors import InputError, Problem

JOIN = "|"
"""Between the values of several columns, in the label of a group."""


@dataclass(frozen=True)
class Groups:
    """The groups of one grouping.

    Attributes
    ----------
    codes
        ``(cells,)`` int32: number of each cell's group, -1 for a cell of a group left out.
    table
        One row per group, by label in the order of code points: ``group`` its label, the columns of
        the grouping (``group_`` and ``n_`` where they have such a name), and ``n`` int64, its
        number of cells.
    """

    codes: npt.NDArray[np.int32]
    table: pd.DataFrame

    @property
    def labels(self) -> list[str]:
        """Labels of the groups, in order."""
        return list(self.table["group"])

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Return ``(groups,)``, the number of cells of each."""
        return self.table["n"].to_numpy(np.int64)


def groups_of(cells: pd.DataFrame, columns: Sequence[str], min_cells: int = 1) -> Groups:
    """Find the groups that cells fall into.

    Parameters
    ----------
    cells
        Table of the cells; `columns` are text in it, without nulls.
    columns
        Columns that make a grouping.
    min_cells
        Groups of fewer cells are left out.

    Raises
    ------
    InputError
        If two combinations of values have one label, or no group has enough cells.
    """
    # A column of the metadata may be called like one of the table.
    names = [f"{name}_" if name in ("group", "n") else name for name in columns]
    own = cells[list(columns)].set_axis(names, axis=1)
    sizes = own.groupby(names, sort=False, observed=True).size()
    table = sizes.index.to_frame(index=False).astype(object)
    table.insert(0, "group", [JOIN.join(row) for row in table.itertuples(index=False)])
    table["n"] = sizes.to_numpy(np.int64)
    place = f"column {' and '.join(columns)}"
    twice = sorted(table["group"][table["group"].duplicated()])
    if twice:
        what = f"two different groups would both be called {twice[0]!r}"
        remedy = f"take {JOIN!r} out of the values"
        raise InputError(Problem("metadata", place, what, remedy))
    table = table[table["n"] >= min_cells].sort_values("group", ignore_index=True)
    if table.empty:
        what = f"no group has {min_cells} cells or more"
        raise InputError(Problem("metadata", place, what, "lower cells.min_cells"))
    keys = pd.MultiIndex.from_frame(table[names])
    codes = keys.get_indexer(pd.MultiIndex.from_frame(own))
    return Groups(codes.astype(np.int32), table)
