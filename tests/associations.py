"""Tables of association tests with a known truth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import chi2


def associations(n: int, seed: int, planted: Mapping[int, float]) -> pd.DataFrame:
    """Make tests of n variants on chromosomes 1 to 23 by chance, but for the planted ones.

    Parameters
    ----------
    n, seed
    planted
        -log10 p by row.
    """
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    for row, log10p in planted.items():
        z[row] = np.sqrt(chi2.isf(10.0**-log10p, 1))
    se = rng.uniform(0.01, 0.05, n)
    return pd.DataFrame(
        {
            "CHROM": np.arange(n) * 23 // max(n, 1) + 1,
            "GENPOS": 1 + np.arange(n) * 20_000 % 90_000_000,
            "ID": [f"rs{k}" for k in range(n)],
            "ALLELE0": "A",
            "ALLELE1": "G",
            "A1FREQ": rng.uniform(0.01, 0.5, n),
            "N": 5000,
            "TEST": "ADD",
            "BETA": z * se,
            "SE": se,
            "CHISQ": z**2,
            "LOG10P": -chi2.logsf(z**2, 1) / np.log(10),
            "EXTRA": "NA",
            "MASK": False,
        }
    )
