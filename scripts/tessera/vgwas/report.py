"""What the report of a study is put together from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tessera.vgwas.brains import glass_brain, slices
from tessera.vgwas.charts import manhattan, null_distributions, qq
from tessera.vgwas.gwas_page import gwas_page
from tessera.vgwas.parts import read_tables

Map = tuple[str, npt.NDArray[np.float32], npt.NDArray[np.float64]]

_TOP = 20
_PICTURED = 5  # leading SNPs on the page; all have their maps
_APART = 1_000_000  # base pairs between SNPs on the page: nearer ones tell the same in linkage


def read_clusters(path: str) -> pd.DataFrame:
    """Read the table of clusters, in which ids and names may be any text."""
    text, absent = {"snp": str, "chr": str}, {"p_fwer": "n/a"}
    return pd.read_csv(
        path,
        sep="\t",
        dtype=text,
        keep_default_na=False,
        na_values=absent,
        float_precision="round_trip",
    )


def top_hits(path: str, snps: pd.DataFrame, voxels: pd.DataFrame) -> pd.DataFrame:
    """Return the strongest hits, with the names of their SNPs and the places of their voxels."""
    top = pd.DataFrame()
    for batch in read_tables([Path(path)]):
        frame = pd.concat([top, batch.to_pandas()], ignore_index=True)
        top = frame.iloc[np.argsort(-frame["t"].abs(), kind="stable")[:_TOP]]
    where = voxels.iloc[top["voxel"]][["x", "y", "z", "label"]].reset_index(drop=True)
    numbers = top[["beta", "se", "t", "log10p"]].reset_index(drop=True)
    names = snps.iloc[top["snp"]][["id", "chr", "pos"]].reset_index(drop=True)
    return pd.concat([names.rename(columns={"id": "snp"}), where, numbers], axis=1)


def draw(
    inference: Mapping[str, Any],
    ledger: Mapping[str, Any],
    aside: Sequence[Mapping[str, str]],
    snps: pd.DataFrame,
    clusters: pd.DataFrame,
    hits: pd.DataFrame,
    null: tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]],
    maps: Sequence[Map],
) -> tuple[str, dict[str, bytes]]:
    """Draw the pictures of a study and write its page.

    Parameters
    ----------
    inference, ledger, aside, snps, clusters, hits
        As for `tessera.vgwas.gwas_page.gwas_page`.
    null
        Largest |t| and largest cluster of each permutation.
    maps
        Name, map of t and affine of the leading SNPs.

    Returns
    -------
    page, pictures
        HTML; file name to PNG.
    """
    fwer = inference["fwer"]
    level = fwer["max_t_log10p"] if fwer else None
    size = fwer["max_cluster"] if fwer else None
    counts, edges = (np.array(inference["qq"][key]) for key in ("counts", "edges"))
    pictures = {
        "manhattan.png": manhattan(snps, level, -np.log10(inference["threshold_p"]), size),
        "qq.png": qq(counts, edges, inference["lambda"]),
    }
    if len(null[0]):
        observed = inference["observed"]
        t_level = fwer["max_t"] if fwer else None
        pictures["null.png"] = null_distributions(
            *null, t_level, size, observed["max_t"], observed["max_cluster"]
        )
    least = inference["cluster_t"]
    shown = [maps[place] for place in _apart(snps, inference["leads"])]
    brains = [(name, glass_brain(t, affine, name, least)) for name, t, affine in shown]
    cuts = [(name, slices(t, affine, least)) for name, t, affine in shown]
    for number, (_, picture) in enumerate(brains, start=1):
        pictures[f"brain_{number}.png"] = picture
    page = gwas_page(
        inference,
        clusters,
        hits,
        ledger,
        aside,
        manhattan=pictures["manhattan.png"],
        qq=pictures["qq.png"],
        null=pictures.get("null.png"),
        brains=brains,
        slices=cuts,
    )
    return page, pictures


def _apart(snps: pd.DataFrame, leads: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the places of leading SNPs to be shown: the first of each region of the genome."""
    shown: list[int] = []
    places = snps.iloc[[lead["snp"] for lead in leads]]
    chromosome, pos = places["chr"].to_numpy(), places["pos"].to_numpy()
    for k in range(len(leads)):
        near = (chromosome[k] == chromosome[j] and abs(pos[k] - pos[j]) < _APART for j in shown)
        if not any(near):
            shown.append(k)
    return shown[:_PICTURED]
