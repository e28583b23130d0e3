"""A dataset read as a run would read it, and nothing kept: what `cells.py check` tells."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tessera.cells.layout import Rows
from tessera.cells.sources import check_dataset, open_source

_BATCH = 1 << 22  # values held at a time


def check(
    matrix: str, metadata: str | None, columns: Sequence[str], duplicate_genes: str, normalize: str
) -> dict[str, Any]:
    """Read all of a dataset.

    Parameters
    ----------
    matrix, metadata
        As `tessera.cells.sources.open_source` takes them.
    columns
        Columns of the metadata that cells will be grouped by.
    duplicate_genes, normalize
        As in the configuration.

    Returns
    -------
    dict
        What was found: ``kind``, ``cells``, ``genes``, ``values that are not zero``, for each
        column the number of its ``groups``; and ``warnings``, a list of sentences.

    Raises
    ------
    InputError
        With everything that a run would refuse. What headers, names and metadata show is told
        before values are read, and without them.

    Notes
    -----
    Values are put in order as in a run, which takes as much room in the folder of temporary files
    (``TMPDIR``) as they have.
    """
    facts = check_dataset(matrix, metadata, [columns], duplicate_genes, normalize)
    from tessera.cells.ingest import ingest  # its kernels take a while to load

    with tempfile.TemporaryDirectory(prefix="tessera-check-") as place:
        folder = Path(place, "rows")
        folder.mkdir()
        ingest(
            open_source(matrix, metadata), folder, batch_nnz=_BATCH,
            duplicate_genes=duplicate_genes, normalize=normalize, grouping_columns=list(columns),
        )  # fmt: skip
        rows = Rows(folder)
        groups = {f"groups by {name}": int(rows.cells[name].nunique()) for name in columns}
        warnings = list(dict.fromkeys([*facts.warnings, *rows.facts["warnings"]]))
        return {
            "kind": facts.kind,
            "cells": rows.facts["n_cells"],
            "genes": rows.facts["n_genes"],
            "values that are not zero": rows.facts["nnz"],
            **groups,
            "warnings": warnings,
        }
