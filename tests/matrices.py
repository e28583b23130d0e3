"""One expression matrix written in every form that is read, and what its readers return."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tessera.cells.sources import Source, open_source

ad.settings.allow_write_nullable_strings = True  # as pandas 3 has them everywhere

KINDS = ("csv", "tsv", "gz", "zip", "mtx", "mtx.gz", "csr", "csc", "dense", "dense-chunked")


def study(cells: int = 20, genes: int = 7, seed: int = 0) -> ad.AnnData:
    """Return counts in single precision with names, groups and numbers of cells."""
    rng = np.random.default_rng(seed)
    obs = pd.DataFrame(
        {
            "type": pd.Categorical(rng.choice(["T cell", "B", "7"], cells)),
            "batch": rng.integers(1, 3, cells),
            "depth": rng.normal(size=cells).round(3),
        },
        index=[f"cell-{n}" for n in range(cells)],
    )
    names = ["nan", "1-Mar", "TRUE", "a,b", 'say "hi"', "007"]
    var = pd.DataFrame(index=(names + [f"gene{n}" for n in range(genes)])[:genes])
    return ad.AnnData(sp.csr_matrix(rng.poisson(0.6, (cells, genes)).astype("f4")), obs, var)


def write_kind(data: ad.AnnData, kind: str, folder: Path) -> tuple[str, str | None]:
    """Write a study in one of `KINDS`; return the matrix and the metadata, if of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    metadata = folder / "metadata.tsv"
    data.obs.to_csv(metadata, sep="\t")
    x = data.X.toarray()
    table = pd.DataFrame(x, data.obs_names, data.var_names)
    path = folder / f"matrix.{'tsv' if kind == 'tsv' else 'csv'}"
    if kind in ("csr", "csc", "dense", "dense-chunked"):
        path = folder / f"{kind}.h5ad"
        form = {"csr": sp.csr_matrix, "csc": sp.csc_matrix}.get(kind, np.asarray)
        packed = {"compression": "gzip"} if kind == "dense-chunked" else {}
        ad.AnnData(form(x), data.obs, data.var).write_h5ad(path, **packed)
        return str(path), None
    if kind.startswith("mtx"):
        write_triple(data, folder, packed=kind.endswith("gz"))
        return str(folder), str(metadata)
    table.to_csv(path, sep="\t" if kind == "tsv" else ",")
    if kind == "gz":
        path = packed_by_gzip(path)
    if kind == "zip":
        path = zipped(folder / "all.zip", [("matrix.csv", path), ("metadata.tsv", metadata)])
        return str(path), None
    return str(path), str(metadata)


def packed_by_gzip(path: Path) -> Path:
    target = path.with_name(path.name + ".gz")
    target.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    path.unlink()
    return target


def zipped(path: Path, members: Iterable[tuple[Any, Path | bytes | str]]) -> Path:
    """Write an archive: names (or ZipInfo) and contents."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content.read_bytes() if isinstance(content, Path) else content)
    return path


def write_triple(data: ad.AnnData, folder: Path, *, packed: bool = False) -> None:
    """Write the three files of 10x: genes x cells, in order of cells."""
    entries = sp.csc_matrix(data.X.T).tocoo()
    lines = [
        f"{gene + 1} {cell + 1} {value:g}\n"
        for gene, cell, value in zip(entries.row, entries.col, entries.data, strict=True)
    ]
    size = f"{data.n_vars} {data.n_obs} {len(lines)}\n"
    head = '%%MatrixMarket matrix coordinate real general\n%metadata_json: {"n": 1}\n'
    features = [f"ENSG{n}\t{name}\tGene Expression\n" for n, name in enumerate(data.var_names)]
    for name, text in {
        "matrix.mtx": head + size + "".join(lines),
        "barcodes.tsv": "".join(f"{name}\n" for name in data.obs_names),
        "features.tsv": "".join(features),
    }.items():
        (folder / name).write_text(text)
        if packed:
            packed_by_gzip(folder / name)


def triplets(
    source: Source, most: int = 1 << 20, *, once: bool = True
) -> dict[tuple[int, int], float]:
    """Return (cell, gene) to value of all that is not zero, each at most once unless it may be."""
    found: dict[tuple[int, int], float] = {}
    for chunk in source.chunks(most):
        assert len(chunk.values) <= most
        assert (chunk.cells.dtype, chunk.genes.dtype) == (np.int64, np.int32)
        assert chunk.values.dtype in (np.float32, np.float64)
        places = zip(chunk.cells.tolist(), chunk.genes.tolist(), strict=True)
        for place, value in zip(places, chunk.values.tolist(), strict=True):
            assert not once or place not in found
            if value:
                found[place] = value
    return found


def truth(data: ad.AnnData) -> dict[tuple[int, int], float]:
    """Return the triplets of a study."""
    x = data.X.tocoo()
    return {
        (int(cell), int(gene)): float(value)
        for cell, gene, value in zip(x.row, x.col, x.data, strict=True)
        if value
    }


def read(matrix: str, metadata: str | None, columns: Iterable[str] = ()) -> Any:
    """Return triplets and table of cells."""
    source = open_source(matrix, metadata)
    return triplets(source, 13, once=False), source.table(list(columns))
