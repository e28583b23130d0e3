"""What is beyond chance: familywise p-values from the permutations, inflation, tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import stats

from tessera.errors import InputError, Problem
from tessera.pvalues import log10p_of_t
from tessera.vgwas.maps import file_names
from tessera.vgwas.parts import load_part, read_tables
from tessera.vgwas.plan import too_many_hits
from tessera.vgwas.rows import STATUS
from tessera.vgwas.study import EDGES, Settings

Floats = npt.NDArray[np.float64]

ALPHA = 0.05  # share of studies without any effect in which anything is called significant


def fwer_p(observed: npt.ArrayLike, null: npt.NDArray[Any]) -> Floats:
    """Return familywise error rates (1 + number of null maxima as large) / (1 + permutations).

    NaN where there are no permutations. Phipson & Smyth 2010, Stat Appl Genet Mol Biol 9:39.
    """
    observed = np.asarray(observed)
    if not len(null):
        return np.full(observed.shape, np.nan)
    # What differs in the last bits alone, as sums in another order do, is a tie.
    beyond = len(null) - np.searchsorted(np.sort(null), observed * (1 - 1e-9), side="left")
    p: Floats = (1 + beyond) / (1 + len(null))
    return p


def fwer_level(null: npt.NDArray[Any]) -> float | None:
    """Return the null maximum beyond which the familywise p is at most ALPHA.

    None where there are too few permutations for that.
    """
    allowed = int(np.floor(ALPHA * (1 + len(null)) + 1e-9)) - 1
    return float(np.sort(null)[len(null) - 1 - allowed]) if 0 <= allowed < len(null) else None


def inflation(counts: npt.NDArray[np.int64]) -> float | None:
    """Return lambda, the median chi-squared over that of the null (Devlin & Roeder 1999).

    Parameters
    ----------
    counts
        Tests in the bins of EDGES; within that of the median they are taken as evenly spread.
    """
    total = counts.sum()
    if not total:
        return None
    below = np.cumsum(counts)
    place = int(np.searchsorted(below, 0.5 * total))
    inside = (0.5 * total - (below[place] - counts[place])) / counts[place]
    median = EDGES[place] + inside * (EDGES[place + 1] - EDGES[place])
    return float(stats.chi2.isf(10.0**-median, 1) / stats.chi2.isf(0.5, 1))


def snp_table(
    variants: pd.DataFrame,
    part: Mapping[str, npt.NDArray[Any]],
    null_t: Floats,
    null_cluster: npt.NDArray[np.int64],
) -> pd.DataFrame:
    """Return one row per SNP read.

    Parameters
    ----------
    variants
        id, chr, pos, a1 (counted), a2.
    part
        The merged part of the whole study.
    null_t, null_cluster
        Largest |t| and largest cluster of each permutation.
    """
    tested = part["status"] == STATUS.index("tested")
    p_voxel, p_cluster = np.full((2, len(tested)), np.nan)
    p_voxel[tested] = fwer_p(np.abs(part["max_t"][tested]), null_t)
    p_cluster[tested] = fwer_p(part["max_cluster"][tested], null_cluster)
    return pd.DataFrame(
        {
            "id": variants["id"],
            "chr": variants["chr"],
            "pos": variants["pos"],
            "alleles": variants["a1"] + "/" + variants["a2"],
            "a1": variants["a1"],
            "a2": variants["a2"],
            "maf": part["maf"],
            "missing": part["missing"],
            "status": np.array(STATUS)[part["status"]],
            "df": part["df"],
            "max_t": part["max_t"],
            "max_log10p": np.where(
                tested, log10p_of_t(np.nan_to_num(part["max_t"]), np.fmax(part["df"], 1)), np.nan
            ),
            "max_cluster": part["max_cluster"],
            "p_fwer": p_voxel,
            "p_fwer_cluster": p_cluster,
        }
    )


def listed_clusters(
    batches: Iterable[pa.Table], null: npt.NDArray[np.int64], hit_t: Floats
) -> pd.DataFrame:
    """Return the clusters worth telling: whose p is below 1, and whose peak is a hit.

    Parameters
    ----------
    batches
        Rows of snp, size, voxel, t.
    null
        Largest cluster of each permutation.
    hit_t
        (all SNPs,) least |t| of a hit.
    """
    kept = []
    for batch in batches:
        frame = batch.to_pandas()
        frame["p_fwer"] = fwer_p(frame["size"], null)
        hit = np.abs(frame["t"]) >= hit_t[frame["snp"]].astype(np.float32)
        kept.append(frame[(frame["p_fwer"] < 1) | hit])
    return pd.concat(kept, ignore_index=True)


def cluster_table(found: pd.DataFrame, snps: pd.DataFrame, voxels: pd.DataFrame) -> pd.DataFrame:
    """Name the SNP, the place and the region of each cluster; the largest come first."""
    peak = voxels.iloc[found["voxel"]]
    table = pd.DataFrame(
        {
            "snp": snps["id"].to_numpy()[found["snp"]],
            "size": found["size"].to_numpy(),
            "p_fwer": np.round(found["p_fwer"].to_numpy(), 6),
            "peak_t": np.round(found["t"].to_numpy(np.float64), 4),
            **{f"peak_{axis}": np.round(peak[axis].to_numpy(np.float64), 3) for axis in "xyz"},
            "label": peak["label"].to_numpy(),
            "chr": snps["chr"].to_numpy()[found["snp"]],
            "pos": snps["pos"].to_numpy()[found["snp"]],
        }
    )
    order = np.lexsort((found["voxel"], found["snp"], -found["size"]))
    return table.iloc[order]


@dataclass(frozen=True)
class Leads:
    """SNPs worth a map: those beyond chance, the most significant first, and the leading one."""

    snps: list[int]
    n_voxel: int
    n_cluster: int


def leading(snps: pd.DataFrame, n_tests: int, most: int) -> Leads:
    """Choose SNPs to make maps of.

    With permutations those of a familywise p up to ALPHA, of a voxel or a cluster; without, those
    that pass Bonferroni's threshold for all tests. The strongest SNP is always among them.
    """
    strength = snps["max_log10p"].fillna(-1).to_numpy()
    size = snps["max_cluster"].to_numpy(np.float64)
    if snps["p_fwer"].notna().any():
        by_voxel = (snps["p_fwer"] <= ALPHA).to_numpy()
        by_cluster = (snps["p_fwer_cluster"] <= ALPHA).to_numpy()
        p = np.fmin(snps["p_fwer"].to_numpy(), snps["p_fwer_cluster"].to_numpy())
    else:
        by_voxel = strength >= -np.log10(ALPHA / max(1, n_tests))
        by_cluster = np.zeros(len(snps), bool)
        p = -strength
    chosen = np.flatnonzero(by_voxel | by_cluster)
    # Few permutations give many the least p: those come first that are farthest beyond the weakest
    # of their kind.
    excess = np.zeros(len(snps))
    for values, beyond in ((strength, by_voxel), (size, by_cluster)):
        if beyond.any():
            excess = np.maximum(excess, values / max(values[beyond].min(), 1e-9))
    order = chosen[np.lexsort((-size[chosen], -excess[chosen], p[chosen]))]
    first = [int(s) for s in order[:most]]
    if strength.max(initial=-1) >= 0:
        strongest = int(np.argmax(strength))
        first = first if strongest in first else [*first[: most - 1], strongest]
    return Leads(first, int(by_voxel.sum()), int(by_cluster.sum()))


def ledger(
    samples: pd.DataFrame, snps: pd.DataFrame, voxels: pd.DataFrame
) -> dict[str, dict[str, Any]]:
    """Account for every subject, SNP and voxel: read = used + dropped, by reason."""

    def count(status: pd.Series, used: str) -> dict[str, Any]:
        counts = {str(k): int(v) for k, v in sorted(status.value_counts().items())}
        kept = counts.pop(used, 0)
        return {"read": len(status), "tested": kept, "dropped": counts}

    return {
        "subjects": count(samples["status"], "used"),
        "snps": count(snps["status"], "tested"),
        "voxels": count(voxels["status"], "tested"),
    }


@dataclass(frozen=True)
class Conclusion:
    """All that is told of a study at its end; tables as they are published."""

    snps: pd.DataFrame
    clusters: pd.DataFrame
    null_t: Floats
    null_cluster: npt.NDArray[np.int64]
    inference: dict[str, Any]
    ledger: dict[str, dict[str, Any]]


def conclude(
    folder: Path,
    variants: pd.DataFrame,
    voxels: pd.DataFrame,
    samples: pd.DataFrame,
    facts: Mapping[str, Any],
    settings: Settings,
    max_maps: int,
) -> Conclusion:
    """Draw the conclusions of a study.

    Parameters
    ----------
    folder
        The part that everything was merged into.
    variants, voxels, samples
        The tables of SNPs, voxels and subjects as read.
    facts
        As from `tessera.vgwas.prepare.prepare`.
    settings
        As the map jobs had them.
    max_maps
        Most SNPs to make maps of.

    Raises
    ------
    InputError
        There are more hits than `max_hits`.
    """
    part = load_part(folder)
    n_hits = pq.read_metadata(folder / "hits.parquet").num_rows
    if n_hits > settings.max_hits:
        raise InputError(too_many_hits(f"{n_hits:,}", settings.threshold_p, settings.max_hits))
    null_t = part.get("null_t", np.zeros(0))
    null_cluster = part.get("null_cluster", np.zeros(0, np.int64))
    snps = snp_table(variants, part, null_t, null_cluster)
    account = ledger(samples, snps, voxels)
    if not account["snps"]["tested"]:
        reasons = ", ".join(f"{why}: {many}" for why, many in account["snps"]["dropped"].items())
        what = f"none of the {len(snps)} SNPs can be tested ({reasons})"
        remedy = "look at vgwas.min_mac, vgwas.max_missing and the genotypes"
        raise InputError(Problem("config", "vgwas.genotypes", what, remedy))
    df = facts["df"]
    n_tests = account["snps"]["tested"] * account["voxels"]["tested"]
    leads = leading(snps, n_tests, max_maps)
    hit_t = settings.hit_t(np.fmax(part["df"], 1))
    found = listed_clusters(read_tables([folder / "clusters.parquet"]), null_cluster, hit_t)
    t_level, size_level = fwer_level(null_t), fwer_level(null_cluster)
    names = [str(name) for name in snps["id"].iloc[leads.snps]]
    counts = np.trim_zeros(part["counts"], "b")
    lam = inflation(part["counts"])
    inference = {
        **facts,
        "n_snps": account["snps"]["tested"],
        "n_voxels": account["voxels"]["tested"],
        "n_tests": n_tests,
        "coding": settings.coding,
        "missing": settings.missing,
        "threshold_p": settings.threshold_p,
        "threshold_t": float(settings.hit_t(df)),
        "cluster_p": settings.cluster_p if settings.cluster_t is None else None,
        "cluster_t": float(settings.least_t(df)),
        "connectivity": settings.connectivity,
        "scheme": settings.scheme,
        "permutations": len(null_t),
        "seed": settings.seed,
        "lambda": lam,
        "n_hits": n_hits,
        "fwer": None
        if t_level is None
        else {
            "alpha": ALPHA,
            "max_t": t_level,
            "max_t_log10p": float(log10p_of_t(t_level, df)),
            "max_cluster": size_level,
        },
        "n_significant_snps": {"voxel": leads.n_voxel, "cluster": leads.n_cluster},
        "observed": {
            "max_t": float(snps["max_t"].abs().max()),
            "max_cluster": int(snps["max_cluster"].max()),
        },
        "leads": [
            {"snp": snp, "id": name, "map": file}
            for snp, name, file in zip(leads.snps, names, file_names(names), strict=True)
        ],
        "qq": {
            "edges": [round(float(edge), 6) for edge in EDGES[: len(counts) + 1]],
            "counts": [int(count) for count in counts],
        },
    }
    table = cluster_table(found, snps, voxels)
    return Conclusion(snps, table, null_t, null_cluster, inference, account)
