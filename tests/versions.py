"""A tiny version folder as the pipeline makes it, of random counts from a seed."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse
import zarr

from tessera.cells.gene_index import write_gene_index
from tessera.cells.manifest import write_manifest

COLUMNS = ("n", "count_nonzero", "fraction", "sum", "mean", "var", "min")
COLUMNS += ("p05", "p25", "median", "p75", "p95", "max", "trimmed_mean")
ZARR = {"zarr_write_format": 3, "auto_shard_zarr_v3": True, "allow_write_nullable_strings": True}
GENES = ("Slc17a7", "Gad1", "Gad2", "Pvalb", "Sst", "Vip", "Aqp4", "mt-Co1", "1700001C02Rik")
GROUPINGS = {"cell_type": ("cell_type",), "cell_type+sex": ("cell_type", "sex")}


def make_version(
    folder: str | Path,
    seed: int,
    n_cells: int = 60,
    genes: Sequence[str] = GENES,
    groupings: Mapping[str, Sequence[str]] = GROUPINGS,
    dataset: str = "toy",
    matrices: bool = True,
) -> str:
    """Make a version of whole-number counts, not normalised; returns its name.

    Parameters
    ----------
    folder
        Where to; made, and empty before.
    seed
        What the counts and the cells' metadata (``cell_type``, ``sex``) follow from; noted in the
        manifest as ``seed``.
    n_cells, genes
        Size of the matrix, and its genes in the order of the file.
    groupings
        Name of each view, and the columns of the metadata that make it.
    matrices
        Whether to write the two matrices as well, which takes longest.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    counts, obs = counts_of(seed, n_cells, genes)
    var = pd.DataFrame({"gene": list(genes), "nnz": (counts > 0).sum(0), "sum": counts.sum(0)})
    cells = pd.DataFrame({"cell": obs.index, "total": counts.sum(1)}).join(
        obs.reset_index(drop=True)
    )
    var.to_parquet(folder / "genes.parquet", index=False)
    cells.to_parquet(folder / "cells.parquet", index=False)
    write_gene_index(folder / "gene_index.npy", genes)
    said = {}
    for name, columns in groupings.items():
        view = folder / "views" / name
        view.mkdir(parents=True)
        said[name] = _write_view(view, counts, obs, list(columns), genes)
    if matrices:
        facts = pd.DataFrame(index=pd.Index(list(genes)))
        for form, sparse in (("cell", scipy.sparse.csr_matrix), ("gene", scipy.sparse.csc_matrix)):
            data = anndata.AnnData(sparse(counts.astype("<f4")), obs=obs, var=facts)
            # Of metadata that Zarr has not yet agreed on, which anndata writes all the same.
            with warnings.catch_warnings(), anndata.settings.override(**ZARR):
                warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
                data.write_zarr(folder / f"{form}_major.zarr")
    sizes = {"cells": n_cells, "genes": len(genes), "nnz": int((counts > 0).sum())}
    manifest = {"format": 1, "dataset": dataset, "seed": seed, "definitions": {}}
    return write_manifest(folder, {**manifest, **sizes, "groupings": said})


def counts_of(
    seed: int, n_cells: int = 60, genes: Sequence[str] = GENES
) -> tuple[np.ndarray, pd.DataFrame]:
    """Return the counts ``(n_cells, genes)`` float64 of `make_version` and its cells' metadata."""
    random = np.random.Generator(np.random.Philox(seed))
    counts = random.poisson(0.8, (n_cells, len(genes))).astype(float)
    obs = pd.DataFrame(
        {
            "cell_type": np.array(["Exc", "Inh", "Glia"])[random.integers(0, 3, n_cells)],
            "sex": np.array(["F", "M"])[random.integers(0, 2, n_cells)],
        },
        index=pd.Index([f"cell{n}" for n in range(n_cells)], name="cell"),
    )
    return counts, obs


def statistics(values: np.ndarray) -> list[float]:
    """Return COLUMNS of the values of one gene in one group, by numpy."""
    n, whole = len(values), np.sort(values)
    cut = int(0.25 * n)
    five = np.percentile(values, [5, 25, 50, 75, 95])
    nonzero, var = np.count_nonzero(values), values.var(ddof=1) if n > 1 else np.nan
    low, high, trimmed = values.min(), values.max(), whole[cut : n - cut].mean()
    return [n, nonzero, nonzero / n, values.sum(), values.mean(), var, low, *five, high, trimmed]


def _write_view(
    folder: Path, counts: np.ndarray, obs: pd.DataFrame, columns: list[str], genes: Sequence[str]
) -> dict[str, object]:
    labels = obs[columns].agg("|".join, axis=1).to_numpy()
    groups = sorted(set(labels))
    values = np.array(
        [[statistics(column[labels == group]) for group in groups] for column in counts.T]
    )
    np.save(folder / "serving.npy", values)
    rows = [
        (gene, group, *values[g, k])
        for g, gene in enumerate(genes)
        for k, group in enumerate(groups)
    ]
    stats = pd.DataFrame(rows, columns=["gene", "group", *COLUMNS])
    stats = stats.astype({"n": "int64", "count_nonzero": "int64"}).sort_values(["gene", "group"])
    stats.to_parquet(folder / "stats.parquet", index=False)
    parts = pd.DataFrame([group.split("|") for group in groups], columns=columns)
    parts.insert(0, "group", groups)
    parts["n"] = [int((labels == group).sum()) for group in groups]
    parts.to_parquet(folder / "groups.parquet", index=False)
    definition = {
        "by": columns, "columns": list(COLUMNS), "groups": groups, "normalize": "none",
        "log_base": None, "pseudocount": None, "scale": None, "percentiles": [5, 25, 50, 75, 95],
        "percentile_method": "linear", "trim": 0.25, "ddof": 1, "zeros": "included",
        "min_cells": 1, "text": ["Counts as they are."],
    }  # fmt: skip
    (folder / "definition.json").write_text(json.dumps(definition))
    return {"by": columns, "groups": len(groups)}
