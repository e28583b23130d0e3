"""The SNPs of a block as rows that only have to be multiplied by the maps.

All of it is in double precision, row by row in a fixed order, so that no block size changes a bit.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

STATUS = (
    "tested",
    "multiallelic",
    "all_missing",
    "missing",
    "monomorphic",
    "low_mac",
    "constant",
    "collinear",
)
"""What becomes of a SNP: tested, or why not. `missing`: more missing than allowed; `constant`:
without variation as coded; `collinear`: a combination of the covariates."""

_TESTED, _ALL_MISSING, _MISSING, _MONOMORPHIC, _LOW_MAC, _CONSTANT, _COLLINEAR = 0, 2, 3, 4, 5, 6, 7
_CODINGS = {"additive": 0, "dominant": 1, "recessive": 2}
_LEAST = 1e-8  # share of a SNP's variance, or of a covariate's, below which nothing is left of it


@dataclass(frozen=True)
class Rules:
    """Which SNPs are tested and how their genotypes enter the model."""

    coding: str
    complete: bool
    min_mac: float
    max_missing: float


@dataclass(frozen=True)
class Rows:
    """SNPs of a block that are tested, S of them.

    Attributes
    ----------
    place
        (S,) their places in the block.
    x
        (S, N) genotypes as coded, what the covariates explain taken off; where a subject is left
        out of the SNP's model, 0.
    norm
        (S,) their lengths.
    df
        (S,) degrees of freedom.
    absent
        (S, N) whether a subject is left out; no rows where nobody is.
    kept
        (S, K, K) turns the K covariates into an orthonormal basis over those not left out; no
        rows where nobody is left out.
    """

    place: npt.NDArray[np.int64]
    x: Floats
    norm: Floats
    df: Floats
    absent: npt.NDArray[np.bool_]
    kept: Floats

    def __len__(self) -> int:
        return len(self.place)

    def halves(self) -> list[Rows]:
        """Return the first and the second half of the SNPs."""
        half = len(self) // 2
        return [
            Rows(*(getattr(self, field.name)[part] for field in fields(self)))
            for part in (slice(0, half), slice(half, None))
        ]


@dataclass(frozen=True)
class Facts:
    """What is told of every SNP of a block, B of them.

    Attributes
    ----------
    maf, missing
        (B,) frequency of the minor allele and share of missing genotypes among those analysed.
    status
        (B,) uint8, places in STATUS.
    """

    maf: Floats
    missing: Floats
    status: npt.NDArray[np.uint8]


def make_rows(
    dosages: npt.NDArray[np.float32],
    multiallelic: npt.NDArray[np.bool_],
    basis: Floats,
    rules: Rules,
) -> tuple[Rows, Facts]:
    """Code genotypes, adjust them for the covariates, and tell which SNPs cannot be tested.

    Parameters
    ----------
    dosages
        (B, N) copies of the counted allele, NaN where missing.
    multiallelic
        (B,) bool.
    basis
        (K, N) orthonormal covariates, the intercept among them.
    rules
        See there.
    """
    n_block, n = dosages.shape
    facts = Facts(
        np.full(n_block, np.nan), np.ones(n_block), np.where(multiallelic, 1, 0).astype(np.uint8)
    )
    x = np.empty((n_block, n))
    norm = np.zeros(n_block)
    _code(
        dosages, basis, _CODINGS[rules.coding], rules.min_mac, rules.max_missing,
        x, norm, facts.maf, facts.missing, facts.status,
    )  # fmt: skip
    absent = np.isnan(dosages)
    k = len(basis)
    kept = np.zeros((0, k, k))
    df = np.full(n_block, n - k - 1.0)
    if rules.complete:
        kept = np.zeros((n_block, k, k))
        for s in np.flatnonzero((facts.status == _TESTED) & absent.any(axis=1)):
            _leave_out(int(s), x, norm, df, kept, absent[s], basis, facts.status)
    place = np.flatnonzero(facts.status == _TESTED)
    rows = Rows(
        place,
        x[place],
        norm[place],
        df[place],
        absent[place] if rules.complete else np.zeros((0, n), bool),
        kept[place] if rules.complete else kept,
    )
    return rows, facts


def _leave_out(
    s: int,
    x: Floats,
    norm: Floats,
    df: Floats,
    kept: Floats,
    absent: npt.NDArray[np.bool_],
    basis: Floats,
    status: npt.NDArray[np.uint8],
) -> None:
    """Adjust a SNP for the covariates among those subjects who have a genotype.

    The covariates stay orthonormal but for those left out, G = I - Q_M Q_Mᵀ: its eigenvectors,
    scaled, are the basis over the others. One without an eigenvalue is a covariate that only those
    left out had.
    """
    outside = basis[:, absent]
    values, vectors = np.linalg.eigh(np.eye(len(basis)) - outside @ outside.T)
    alive = values > _LEAST
    turn = np.zeros_like(vectors)
    turn[:, alive] = vectors[:, alive] / np.sqrt(values[alive])
    before = x[s].copy()
    before[absent] = 0
    rest = adjust_kept(before, absent, turn, basis)
    df[s] = (~absent).sum() - alive.sum() - 1
    length = float(np.sqrt(rest @ rest))
    if length**2 <= _LEAST * float(before @ before) or df[s] < 1:
        status[s] = _COLLINEAR
    x[s], norm[s], kept[s] = rest, length, turn


def adjust_kept(x: Floats, absent: npt.NDArray[np.bool_], kept: Floats, basis: Floats) -> Floats:
    """Return a SNP adjusted for the covariates among the subjects that are not left out.

    Parameters
    ----------
    x
        (N,) genotypes as coded.
    absent
        (N,) subjects left out; 0 in the answer.
    kept
        (K, K), as in `Rows`.
    basis
        (K, N) orthonormal covariates.
    """
    rest = np.where(absent, 0.0, x)
    for _ in range(2):
        rest = rest - (kept @ (kept.T @ (basis @ rest))) @ basis
        rest[absent] = 0
    return rest


@numba.njit(cache=True, nogil=True, fastmath=True)
def dot(a, b):  # type: ignore[no-untyped-def]
    """Return the sum of products in double precision, always in the same order."""
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@numba.njit(cache=True, nogil=True)
def _code(dosages, basis, coding, min_mac, max_missing, x, norm, maf, missing, status):  # type: ignore[no-untyped-def]
    n_block, n = dosages.shape
    k = len(basis)
    for s in range(n_block):
        called, total = 0, 0.0
        for i in range(n):
            if not np.isnan(dosages[s, i]):
                called += 1
                total += dosages[s, i]
        missing[s] = (n - called) / n
        if called:
            maf[s] = min(total, 2 * called - total) / (2 * called)
        if status[s] != _TESTED:
            continue
        if called == 0:
            status[s] = _ALL_MISSING
            continue
        if missing[s] > max_missing:
            status[s] = _MISSING
            continue
        if min(total, 2 * called - total) <= 0:
            status[s] = _MONOMORPHIC
            continue
        if min(total, 2 * called - total) < min_mac:
            status[s] = _LOW_MAC
            continue
        mean = 0.0
        for i in range(n):
            d = float(dosages[s, i])
            if coding == 1:
                d = min(d, 1.0)
            elif coding == 2:
                d = max(d - 1.0, 0.0)
            x[s, i] = d
            if not np.isnan(d):
                mean += d
        mean /= called
        spread = 0.0
        for i in range(n):
            x[s, i] = 0.0 if np.isnan(x[s, i]) else x[s, i] - mean
            spread += x[s, i] * x[s, i]
        if spread <= 1e-12 * n:
            status[s] = _CONSTANT
            continue
        # Twice: what rounding leaves of a covariate that explains nearly all is taken off as well.
        for _ in range(2):
            for j in range(k):
                weight = dot(basis[j], x[s])
                for i in range(n):
                    x[s, i] -= weight * basis[j, i]
        rest = dot(x[s], x[s])
        norm[s] = np.sqrt(rest)
        if rest <= _LEAST * spread:
            status[s] = _COLLINEAR
