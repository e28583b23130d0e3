"""The bits of the mask planes that the pipeline writes, in cleaned exposures and in co-adds."""

from __future__ import annotations

BAD = 1 << 0
SAT = 1 << 1
INTERP = 1 << 2
CR = 1 << 3
EDGE = 1 << 4
CLIPPED = 1 << 5
FEW = 1 << 6
NODATA = 1 << 7

NAMES = {
    "BAD": BAD,
    "SAT": SAT,
    "INTERP": INTERP,
    "CR": CR,
    "EDGE": EDGE,
    "CLIPPED": CLIPPED,
    "FEW": FEW,
    "NODATA": NODATA,
}
"""Name to value; the first five have the numbers that the LSST pipelines give them."""

MEANINGS = {
    "BAD": "defective or not finite",
    "SAT": "saturated; in a co-add: in an exposure that was left out for it",
    "INTERP": "value or a part of it was interpolated from neighbours",
    "CR": "cosmic ray",
    "EDGE": "at the edge of the detector, where the kernel lacks neighbours",
    "CLIPPED": "co-add: an exposure was clipped as an outlier",
    "FEW": "co-add: seen by fewer than three exposures, so that outliers cannot be told",
    "NODATA": "co-add: seen by no exposure",
}

UNUSABLE = BAD | SAT | CR | EDGE | NODATA
"""A pixel of an exposure with any of these does not enter a co-add."""


def keywords() -> dict[str, int]:
    """Return the header keywords ``MP_NAME`` with the number of each bit."""
    return {f"MP_{name[:5]}": value.bit_length() - 1 for name, value in NAMES.items()}
