"""Tables and facts beside the row tiles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tessera.cells import entries
from tessera.cells.layout import CELLS, FACTS, GENES, write_json
from tessera.cells.row_tiles import RowTiles

if TYPE_CHECKING:
    from tessera.cells.chunks import Source


def write_tables(
    folder: Path, tiles: RowTiles, table: pd.DataFrame, source: Source, columns: list[str]
) -> None:
    """Write ``genes.parquet``, ``cells.parquet`` and ``facts.json``.

    Parameters
    ----------
    folder
        The folder ``rows/``.
    tiles
        The row tiles, complete.
    table
        A row per cell: cell, and its metadata.
    source
        Where they came from.
    columns
        Columns of the metadata that cells will be grouped by.
    """
    genes = {"gene": list(tiles.names), "nnz": tiles.nnz, "sum": tiles.sums}
    _write(folder / GENES, genes)
    totals = tiles.totals()
    rest = {name: table[name] for name in table.columns if name != "cell"}
    _write(folder / CELLS, {"cell": table["cell"], "total": totals, **rest})
    facts = {
        "n_cells": len(table),
        "n_genes": len(tiles.nnz),
        "nnz": int(tiles.nnz.sum()),
        "dtype": tiles.dtype.newbyteorder("<").str,
        "whole": not tiles.found & entries.WHOLE,
        "negative": bool(tiles.found & entries.NEGATIVE),
        "tiles": [list(tile) for tile in tiles.tiles],
        "warnings": [*source.warnings, *tiles.warnings(totals)],
        "grouping_columns": list(columns),
    }
    write_json(folder / FACTS, facts)


def _write(path: Path, columns: dict[str, Any]) -> None:
    """Write columns of text and numbers, the same bytes whoever made the table."""
    arrays = {str(name): _arrow(values) for name, values in columns.items()}
    pq.write_table(pa.table(arrays), path, compression="zstd")


def _arrow(values: Any) -> pa.Array:
    """Return a column: numbers and truth values as they are, all else as text."""
    if isinstance(values, np.ndarray):
        return pa.array(values)
    if not isinstance(values, pd.Series):
        return pa.array(values, pa.string())
    kind = values.dtype
    if pd.api.types.is_bool_dtype(kind) or pd.api.types.is_numeric_dtype(kind):
        return pa.array(values, from_pandas=True)
    if isinstance(kind, pd.CategoricalDtype):
        texts = np.array([*kind.categories.astype(str), None], dtype=object)
        return pa.array(texts[values.cat.codes.to_numpy()], pa.string())
    texts = values.astype(object).where(values.notna(), None)
    return pa.array([None if text is None else str(text) for text in texts], pa.string())
