"""The demonstration data of the pipeline: the simulated tissue in three forms, and a bad matrix.

``tissue`` is an h5ad of all cells; ``tenx`` are the cells of one donor as 10x Genomics writes
them; ``upload`` is a ZIP of text tables with a few cells of another donor; ``spoiled`` lacks a
value. The same bytes at any time and place.
"""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.sparse import csr_matrix

from tessera.cells.simulate import MARKERS, Tissue, simulate, truth

TENX_DONOR, UPLOAD_DONOR = "D1", "D2"
UPLOAD_CELLS = 300
SPOILED_CELLS, SPOILED_GENES = 40, 60
SPOILED_AT = (17, 23)
"""Cell and gene of the value that `spoiled` lacks, from 0."""

NORMALIZE = ("none", "cpm", "log1p_cpm", "log2_cpm")

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a ZIP can hold


def write_toy(sheet: Path, folder: Path, seed: int, named: str) -> None:
    """Write all datasets, their truth, and the sheet that lists them.

    Parameters
    ----------
    sheet
        The sheet.
    folder
        An empty folder for the data.
    seed
        Of the simulation.
    named
        How the sheet is to name the folder.
    """
    tissue = simulate(seed)
    _write_h5ad(folder / "tissue.h5ad", tissue)
    _write_tenx(folder / "tenx", tissue)
    _write_upload(folder / "upload.zip", tissue)
    _write_spoiled(folder, tissue)
    _save(folder / "truth.tsv", truth(tissue, NORMALIZE))
    pairs = [(gene, name) for name, genes in MARKERS.items() for gene in genes]
    _save(folder / "markers.tsv", pd.DataFrame(pairs, columns=["gene", "cell_type"]))
    rows = [
        ("tissue", f"{named}/tissue.h5ad", None),
        ("upload", f"{named}/upload.zip", None),
        ("tenx", f"{named}/tenx", f"{named}/tenx.metadata.tsv"),
        ("spoiled", f"{named}/spoiled.csv", f"{named}/spoiled.metadata.tsv"),
    ]
    _save(sheet, pd.DataFrame(rows, columns=["dataset", "matrix", "metadata"]))


def rows_of(tissue: Tissue, dataset: str) -> np.ndarray:
    """Return the numbers of the cells of the tissue that a dataset holds, ascending."""
    donor = tissue.cells["donor"].to_numpy()
    return {
        "tissue": np.arange(len(donor)),
        "tenx": np.flatnonzero(donor == TENX_DONOR),
        "upload": np.flatnonzero(donor == UPLOAD_DONOR)[:UPLOAD_CELLS],
        "spoiled": np.arange(SPOILED_CELLS),
    }[dataset]


def _write_h5ad(path: Path, tissue: Tissue) -> None:
    obs = tissue.cells.drop(columns="cell").set_axis(_text(tissue.cells["cell"], "cell"))
    for name in ("cell_type", "donor"):
        obs[name] = pd.Categorical(obs[name], categories=_text(sorted(set(obs[name])), None))
    AnnData(
        X=csr_matrix(tissue.counts.astype(np.float32)),
        obs=obs,
        var=pd.DataFrame(index=_text(tissue.genes, "gene")),
        obsm={"X_umap": tissue.umap},
    ).write_h5ad(path, compression="gzip")


def _text(names: Iterable[str], title: str | None) -> pd.Index:
    """Return an index of plain text, which is written the same by any version of pandas."""
    return pd.Index(list(names), dtype=object, name=title)


def _write_tenx(folder: Path, tissue: Tissue) -> None:
    """Write the three files that Cell Ranger writes: genes by cells, counted from 1."""
    rows = rows_of(tissue, "tenx")
    cells = tissue.cells.iloc[rows]
    counts = tissue.counts[rows].tocoo()
    folder.mkdir()
    head = (
        "%%MatrixMarket matrix coordinate integer general\n%simulated\n"
        f"{counts.shape[1]} {counts.shape[0]} {counts.nnz}\n"
    )
    cell, gene = counts.coords
    body = pd.DataFrame({"gene": gene + 1, "cell": cell + 1, "count": counts.data})
    body = body.sort_values(["cell", "gene"])
    _zip(folder / "matrix.mtx.gz", head + body.to_csv(sep=" ", index=False, header=False))
    _zip(folder / "barcodes.tsv.gz", "".join(f"{cell}\n" for cell in cells["cell"]))
    features = [f"TOY{k:011d}\t{gene}\tGene Expression\n" for k, gene in enumerate(tissue.genes)]
    _zip(folder / "features.tsv.gz", "".join(features))
    _save(folder.with_suffix(".metadata.tsv"), cells)


def _write_upload(path: Path, tissue: Tissue) -> None:
    rows = rows_of(tissue, "upload")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, table in (
            ("matrix.csv", _wide(tissue, rows)),
            ("metadata.csv", tissue.cells.iloc[rows]),
        ):
            text = table.to_csv(index=False, lineterminator="\n")
            place = zipfile.ZipInfo(name, _EPOCH)
            place.external_attr = 0o644 << 16
            archive.writestr(place, text, zipfile.ZIP_DEFLATED)


def _write_spoiled(folder: Path, tissue: Tissue) -> None:
    rows = rows_of(tissue, "spoiled")
    table = _wide(tissue, rows).iloc[:, : 1 + SPOILED_GENES].astype(object)
    cell, gene = SPOILED_AT
    table.iat[cell, 1 + gene] = ""
    table.to_csv(folder / "spoiled.csv", index=False, lineterminator="\n")
    _save(folder / "spoiled.metadata.tsv", tissue.cells.iloc[rows])


def _wide(tissue: Tissue, rows: np.ndarray) -> pd.DataFrame:
    """Return cells by genes as a table whose first column is the cell."""
    table = pd.DataFrame(tissue.counts[rows].toarray(), columns=list(tissue.genes))
    table.insert(0, "cell", tissue.cells["cell"].to_numpy()[rows])
    return table


def _zip(path: Path, text: str) -> None:
    """Compress a text without name and time of the file in the header."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=buffer, mode="wb", compresslevel=6, mtime=0) as file:
        file.write(text.encode())
    path.write_bytes(buffer.getvalue())


def _save(path: Path, table: pd.DataFrame) -> None:
    table.to_csv(path, sep="\t", index=False, na_rep="n/a", lineterminator="\n")
