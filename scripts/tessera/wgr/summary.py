"""The association tests of a trait, reduced to what its pictures and tables show."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import chi2

from tessera.gwas_charts import lay_out, leading, thin

Floats = npt.NDArray[np.float64]

GENOME_WIDE, SUGGESTIVE = 5e-8, 1e-5
HIT = float(-np.log10(GENOME_WIDE))
LISTED = float(-np.log10(SUGGESTIVE))
COLUMNS = (
    "CHROM", "GENPOS", "ID", "ALLELE0", "ALLELE1", "A1FREQ", "N", "BETA", "SE", "CHISQ", "LOG10P",
    "MASK", "TEST",
)  # fmt: skip
"""Columns of the table of results that `summarise` reads."""

MOST = 20  # rows of a table

_MEDIAN = float(chi2.median(1))
_APART = 500_000  # base pairs to both sides of a leading variant
_EXTREME = 1000  # smallest p that are all drawn


@dataclass(frozen=True)
class Summary:
    """Association tests of one trait.

    Attributes
    ----------
    tests, failed, hits : int
        Variants with a p-value, without one, and with a p below 5e-8.
    lambda_gc : float
        Genomic control; NaN without a test.
    points : DataFrame
        ``chromosome`` (name), ``position`` (base pairs), ``id``, ``log10p`` of the variants that
        show in a Manhattan plot: all hits, and of others that would hide each other the highest.
    expected, observed : (B,) array
        Quantiles in -log10 p, as from `quantiles`.
    leads : DataFrame
        Rows of the best variants with p below 1e-5, the strongest first, none within 500 kb of a
        stronger one.
    masks : int
        Burden tests with a p-value.
    burden : DataFrame
        Rows of the strongest of them.
    """

    tests: int
    failed: int
    hits: int
    lambda_gc: float
    points: pd.DataFrame
    expected: Floats
    observed: Floats
    leads: pd.DataFrame
    masks: int
    burden: pd.DataFrame


def summarise(assoc: pd.DataFrame) -> Summary:
    """Reduce the tests of a trait to what pictures and tables of it need.

    Parameters
    ----------
    assoc
        The columns `COLUMNS` of the table of results, in any order of rows. LOG10P is not finite
        where a test failed; rows with MASK are burden tests, which are told apart.

    Returns
    -------
    Summary
        About a hundred thousand rows at most beside the hits, however many there were.
    """
    apart = assoc["MASK"].to_numpy(bool)
    log10p = assoc["LOG10P"].to_numpy(np.float64)
    tested = np.isfinite(log10p)
    rows = np.flatnonzero(tested & ~apart)
    y = log10p[rows]
    chromosome, position = (assoc[key].to_numpy()[rows] for key in ("CHROM", "GENPOS"))
    best = leading(position.astype(np.float64), y, chromosome, LISTED, _APART, MOST)
    shown = rows[_visible(chromosome, position, y)]
    points = assoc.iloc[shown]
    burden = np.flatnonzero(tested & apart)
    strongest = burden[np.argsort(-log10p[burden], kind="stable")[:MOST]]
    expected, observed = quantiles(y)
    return Summary(
        tests=rows.size,
        failed=int(np.count_nonzero(~tested & ~apart)),
        hits=int(np.count_nonzero(y > HIT)),
        lambda_gc=lambda_gc(assoc["CHISQ"].to_numpy(np.float64)[rows]),
        points=pd.DataFrame(
            {
                "chromosome": points["CHROM"].map(chromosome_name).to_numpy(object),
                "position": points["GENPOS"].to_numpy(),
                "id": points["ID"].to_numpy(object),
                "log10p": log10p[shown],
            }
        ),
        expected=expected,
        observed=observed,
        leads=assoc.iloc[rows[best]].reset_index(drop=True),
        masks=burden.size,
        burden=assoc.iloc[strongest].reset_index(drop=True),
    )


def chromosome_name(number: int) -> str:
    """Return the name of a chromosome: 23 is X."""
    return "X" if number == 23 else str(number)


def lambda_gc(chisq: Floats) -> float:
    """Return the median chi-squared (1 degree of freedom) over that of chance; NaN without any.

    Devlin & Roeder 1999, Biometrics 55:997.
    """
    return float(np.median(chisq)) / _MEDIAN if chisq.size else float("nan")


def quantiles(log10p: Floats) -> tuple[Floats, Floats]:
    """Return quantiles of p-values beside those of as many that chance alone gives.

    Parameters
    ----------
    log10p : (N,) array
        All -log10 p.

    Returns
    -------
    expected, observed : (B,) array
        In -log10 p. The k-th smallest p stands at its mean under chance, k / (N + 1). The
        smallest 1,000 are all there, then as many of the others as a picture can show.
    """
    n = log10p.size
    extreme = np.arange(min(n, _EXTREME))
    others = np.geomspace(_EXTREME, n, _EXTREME).astype(np.int64) - 1 if n > _EXTREME else extreme
    ranks = np.union1d(extreme, others)
    expected: Floats = -np.log10((ranks + 1) / (n + 1))
    return expected, np.sort(log10p)[::-1][ranks]


def _visible(
    chromosome: npt.NDArray[np.integer], position: npt.NDArray[np.integer], y: Floats
) -> npt.NDArray[np.int64]:
    """Return which variants show in a picture: hits, and the highest of each cell of a grid."""
    if not y.size:
        return np.empty(0, np.int64)
    x, _, spans = lay_out(chromosome, position)
    kept = thin(x, y, (spans[0][1], spans[-1][2]), (0.0, max(float(y.max()), 1.0)))
    return np.union1d(kept, np.flatnonzero(y > HIT))


_COUNTS = ("tests", "failed", "hits", "masks")
_TABLES = ("leads", "burden")


def save_summary(place: Path, summary: Summary) -> None:
    """Write counts and tables, without what only pictures need."""
    kept: dict[str, Any] = {name: getattr(summary, name) for name in _COUNTS}
    lam = summary.lambda_gc
    kept["lambda_gc"] = lam if np.isfinite(lam) else None
    for name in _TABLES:
        table = getattr(summary, name)
        kept[name] = json.loads(table.to_json(orient="split", index=False, double_precision=15))
    place.write_text(json.dumps(kept) + "\n", encoding="utf-8")


def load_summary(path: str | Path) -> Summary:
    """Read what `save_summary` wrote; points and quantiles are empty."""
    kept = json.loads(Path(path).read_text(encoding="utf-8"))
    tables = {n: pd.DataFrame(kept[n]["data"], columns=kept[n]["columns"]) for n in _TABLES}
    lam = kept["lambda_gc"]
    return Summary(
        **{name: kept[name] for name in _COUNTS},
        lambda_gc=np.nan if lam is None else lam,
        points=pd.DataFrame(),
        expected=np.empty(0),
        observed=np.empty(0),
        **tables,
    )
