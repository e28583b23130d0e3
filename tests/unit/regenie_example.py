"""REGENIE's public example: 500 people, 1,000 variants of chromosome 1.

The files themselves are reference data; what is not there is here.
"""

from pathlib import Path

import numpy as np
import pandas as pd

# Rows, from 1, of the cases of trait Y2: example/phenotype_bin.txt of REGENIE (MIT licence).
CASES_Y2 = (
    1, 5, 6, 9, 10, 33, 34, 35, 39, 42, 43, 46, 56, 61, 63, 64, 67, 70, 82, 83, 87, 89, 90,
    91, 97, 102, 106, 110, 119, 124, 125, 131, 133, 137, 138, 143, 145, 150, 155, 156, 162,
    163, 164, 165, 168, 169, 170, 177, 181, 182, 185, 193, 197, 199, 206, 207, 209, 211, 218,
    227, 232, 236, 238, 243, 252, 253, 257, 267, 268, 281, 283, 284, 296, 297, 303, 306, 309,
    317, 321, 323, 326, 327, 338, 342, 343, 346, 359, 362, 368, 372, 373, 374, 395, 403, 407,
    412, 415, 416, 417, 419, 425, 437, 438, 441, 450, 453, 462, 464, 472, 473, 475, 480, 489,
    493, 494,
)  # fmt: skip

# BETA, SE, CHISQ, LOG10P of REGENIE v1.0.6.7 for trait Y2, option --ref-first, by ID: approximate
# Firth at a score test's p below 0.5, and without correction. From
# test-data/regenie/test_bin_out_half_firth_Y2.regenie of the Glow project (Apache-2.0).
FIRTH_Y2 = {
    "899": (0.257194, 0.353397, 0.537881, 0.334126),
    "903": (0.24589, 0.342991, 0.527839, 0.330203),
    "904": (-0.35714, 0.350377, 1.03173, 0.508984),
    "958": (-0.663571, 0.290382, 5.21959, 1.65104),
    "1000": (0.539161, 0.307327, 3.19896, 1.13262),
    "943": (0.795671, 0.411241, 4.24259, 1.40426),
}
SCORE_Y2 = {"899": (0.268368, 0.346797, 0.598842, 0.357515)}


def y2():
    """(500,) trait Y2."""
    y = np.zeros(500)
    y[np.array(CASES_Y2) - 1] = 1
    return y


def covariates(reference_data: Path):
    """(500, C) covariates."""
    table = pd.read_csv(reference_data / "wgr" / "inputs" / "covariates.txt", sep=" ")
    return table.iloc[:, 2:].to_numpy(np.float64)


def alleles(reference_data: Path, ids):
    """(len(ids), 500) copies of the second allele of the .bim, which --ref-first tests."""
    prefix = reference_data / "wgr" / "inputs" / "example"
    names = [line.split()[1] for line in prefix.with_suffix(".bim").read_text().splitlines()]
    packed = np.fromfile(prefix.with_suffix(".bed"), np.uint8)[3:].reshape(len(names), 125)
    codes = (packed[:, :, None] >> np.array([0, 2, 4, 6])) & 3
    counts = np.array([0, np.nan, 1, 2])[codes.reshape(len(names), 500)]
    return counts[[names.index(name) for name in ids]]
