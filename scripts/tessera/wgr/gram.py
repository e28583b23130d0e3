"""Sums over people of products of genotypes: exact, and adjusted only afterwards.

Raw allele counts are whole numbers, so that their products summed in single precision are exact as
long as the sum stays below 2^24: for four million people. Missing genotypes, covariates and scales
enter afterwards in double precision, by terms that are sparse or of low rank. An exact sum is the
same in whatever order and by whatever route it was made: over all people less those left out, say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt
from scipy import sparse

from tessera.wgr.cohort import Cohort

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]

_TILE = 2048  # people turned to double precision at a time
_EXACT = 2**22  # people whose counts (up to 2 x 2 each) add up exactly in single precision
PANEL = 16
"""Columns of a product: traits go through in panels of this many, the last filled up with zeros,
because the last bit of a product may depend on its shape."""


@dataclass(frozen=True)
class Block:
    """Genotypes of a block of variants.

    Attributes
    ----------
    counts
        ``(B, n)`` float32: copies of an allele, 0 where missing.
    holes
        ``(B, n)`` sparse: 1 where missing.
    whole
        Whether all counts are whole numbers.
    """

    counts: Singles
    holes: sparse.csr_array
    whole: bool

    @classmethod
    def of(cls, dosages: Singles) -> Block:
        """Take dosages with NaN where missing, which are put to zero in place."""
        missing = np.isnan(dosages)
        if missing.any():
            # Unit weights in single precision, so that products with counts stay there: exact.
            holes = sparse.csr_array(missing, dtype=np.float32)
            dosages[missing] = 0
        else:
            holes = sparse.csr_array(dosages.shape, dtype=np.float32)
        return cls(dosages, holes, bool(_whole(dosages)))

    def of_people(self, rows: npt.NDArray[np.int64]) -> Block:
        """Return the block of some of the people, in ascending order."""
        if len(rows) == self.counts.shape[1]:
            return self
        return Block(
            np.take(self.counts, rows, axis=1), sparse.csr_array(self.holes[:, rows]), self.whole
        )

    def means(self) -> Floats:
        """Return the mean count of each variant over those who are not missing."""
        there = self.counts.shape[1] - np.diff(self.holes.indptr)
        total: Floats = _row_sums(self.counts)
        return np.asarray(total / np.maximum(there, 1), np.float64)

    def tile(self, start: int, stop: int, means: Floats) -> Floats:
        """Return the counts of a range of people in double precision, means where missing."""
        out = self.counts[:, start:stop].astype(np.float64)
        if self.holes.nnz:
            _fill(out, self.holes.indptr, self.holes.indices, start, stop, means)
        return out

    def tiles(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Cut a range of people into what is turned to double precision at a time."""
        return [(a, min(a + _TILE, stop)) for a in range(start, stop, _TILE)]


@dataclass(frozen=True)
class Products:
    """Products of mean-imputed genotypes over the people of one fold.

    Attributes
    ----------
    gram
        ``(B, B)`` float64 of genotypes with one another; the lower triangle is looked at.
    with_basis, with_traits
        ``(B, C)`` and ``(B, P)`` float64 of genotypes with covariates and with traits.
    basis, basis_traits
        ``(C, C)`` of covariates with one another, ``(C, P)`` with traits.
    """

    gram: Floats
    with_basis: Floats
    with_traits: Floats
    basis: Floats
    basis_traits: Floats


def products(
    block: Block, means: Floats, cohort: Cohort, traits: Floats, start: int, stop: int
) -> Products:
    """Sum up over a range of people.

    Parameters
    ----------
    block
        Genotypes of the cohort's people.
    means
        ``(B,)``, put in place of missing genotypes.
    traits
        ``(n, P)`` float64, P a multiple of `PANEL`.
    start, stop
        The people.
    """
    basis = cohort.basis[start:stop]
    with_basis = np.zeros((len(means), basis.shape[1]))
    with_traits = np.zeros((len(means), traits.shape[1]))
    basis_traits = np.zeros((basis.shape[1], traits.shape[1]))
    panels = [slice(p, p + PANEL) for p in range(0, traits.shape[1], PANEL)]
    gram = None if block.whole else np.zeros((len(means), len(means)))
    for a, b in block.tiles(start, stop):
        tile = block.tile(a, b, means)
        with_basis += tile @ cohort.basis[a:b]
        for panel in panels:
            with_traits[:, panel] += tile @ traits[a:b, panel]
        if gram is not None:
            gram += tile @ tile.T
    for panel in panels:
        basis_traits[:, panel] = basis.T @ traits[start:stop, panel]
    if gram is None:
        gram = _exact_gram(block, means, start, stop)
    return Products(gram, with_basis, with_traits, basis.T @ basis, basis_traits)


def _exact_gram(block: Block, means: Floats, start: int, stop: int) -> Floats:
    """Return the Gram matrix of mean-imputed whole counts."""
    counts = block.counts[:, start:stop]
    gram = np.zeros((len(means), len(means)))
    for a in range(0, stop - start, _EXACT):
        part = counts[:, a : a + _EXACT]
        gram += part @ part.T
    if block.holes.nnz:
        holes = sparse.csr_array(block.holes[:, start:stop])
        crossed = np.zeros_like(gram)
        for a, b in block.tiles(0, stop - start):
            crossed += sparse.csr_array(holes[:, a:b]) @ np.ascontiguousarray(counts[:, a:b].T)
        crossed *= means[:, None]
        gram += crossed + crossed.T
        both = (holes @ holes.T).tocoo()
        gram[both.row, both.col] += both.data * means[both.row] * means[both.col]
    return gram


def adjusted(parts: list[Products], df: int) -> tuple[list[Floats], list[Floats], Floats, Floats]:
    """Project covariates out of genotypes, and scale them, in their products.

    Parameters
    ----------
    parts
        Products of each fold.
    df
        What sums of squares are divided by.

    Returns
    -------
    grams
        ``(B, B)`` of each fold; lower triangle.
    with_traits
        ``(B, P)`` of each fold.
    loads
        ``(B, C)``: what of each genotype lies along the covariates.
    scales
        ``(B,)``: one over the standard deviation; 0 for a genotype that does not vary beyond them.

    Notes
    -----
    With G imputed genotypes, Q the basis, B = G Q and D scales, the adjusted genotypes are
    D (G - B Q'), and over the people of fold k their products are
    D (G_k G_k' - P_k B' - B P_k' + B (Q_k' Q_k) B') D with P_k = G_k Q_k.
    """
    loads = sum((part.with_basis for part in parts[1:]), parts[0].with_basis)
    squares = sum(np.diagonal(part.gram) for part in parts)
    left = squares - np.einsum("ij,ij->i", loads, loads)
    sd = np.sqrt(np.maximum(left, 0) / df)
    # What rounding leaves of a genotype that is a combination of covariates is no variance.
    varies = left > 1e-10 * np.maximum(squares, 1)
    scales = np.divide(1.0, sd, out=np.zeros_like(sd), where=varies)
    grams, with_traits = [], []
    for part in parts:
        half = part.with_basis - 0.5 * loads @ part.basis
        low_rank = np.hstack([half, loads]) @ np.hstack([loads, half]).T
        grams.append(_scaled(part.gram, low_rank, scales))
        with_traits.append(
            scales[:, None] * (part.with_traits - _panels(loads, part.basis_traits))
        )
    return grams, with_traits, loads, scales


def _panels(left: Floats, right: Floats) -> Floats:
    """Multiply panel by panel."""
    return np.hstack([left @ right[:, p : p + PANEL] for p in range(0, right.shape[1], PANEL)])


@nb.njit(nogil=True, cache=True)
def _scaled(gram: Any, low_rank: Any, scales: Any) -> Any:
    out = np.empty_like(gram)
    for i in range(len(gram)):
        for j in range(i + 1):
            out[i, j] = (gram[i, j] - low_rank[i, j]) * (scales[i] * scales[j])
        for j in range(i + 1, len(gram)):
            out[i, j] = 0.0
    return out


@nb.njit(nogil=True, cache=True)
def _whole(counts: Any) -> Any:
    for row in counts:
        for value in row:
            if value != np.rint(value):
                return False
    return True


@nb.njit(nogil=True, cache=True)
def _row_sums(counts: Any) -> Any:
    out = np.empty(len(counts))
    for j in range(len(counts)):
        total = 0.0
        for value in counts[j]:
            total += value
        out[j] = total
    return out


@nb.njit(nogil=True, cache=True)
def _fill(out: Any, indptr: Any, indices: Any, start: Any, stop: Any, means: Any) -> None:
    for j in range(len(out)):
        first, last = indptr[j], indptr[j + 1]
        for k in range(first + np.searchsorted(indices[first:last], start), last):
            if indices[k] >= stop:
                break
            out[j, indices[k] - start] = means[j]
