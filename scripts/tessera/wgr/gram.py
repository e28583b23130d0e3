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

from tessera.wgr.cohort import Cohort

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_TILE = 256  # people turned to double precision at a time: a tile stays in the cache
_NEIGHBOURS = 16  # people whose counts are turned on their side together: a line of the cache
EXACT = 2**22
"""People whose products of counts, up to 2 x 2 each, add up exactly in single precision."""
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
    first, missing
        ``(n + 1,)`` int64 and int32: the variants that person i lacks are
        ``missing[first[i]:first[i + 1]]``, ascending.
    whole
        Whether all counts are whole numbers.
    """

    counts: Singles
    first: Ints
    missing: npt.NDArray[np.int32]
    whole: bool

    @classmethod
    def of(cls, dosages: Singles) -> Block:
        """Take dosages with NaN where missing, which are put to zero in place."""
        first, whole = _count_missing(dosages)
        return cls(dosages, first, _clear_missing(dosages, first), bool(whole))

    def of_people(self, rows: Ints) -> Block:
        """Return the block of some of the people, in ascending order."""
        if len(rows) == self.counts.shape[1]:
            return self
        first, missing = _choose(self.first, self.missing, rows)
        return Block(np.take(self.counts, rows, axis=1), first, missing, self.whole)

    def means(self) -> Floats:
        """Return the mean count of each variant over those who are not missing."""
        there = self.counts.shape[1] - np.bincount(self.missing, minlength=len(self.counts))
        return np.asarray(_row_sums(self.counts) / np.maximum(there, 1), np.float64)

    def tile(self, start: int, stop: int, means: Floats) -> Floats:
        """Return the counts of a range of people in double precision, means where missing."""
        out = self.counts[:, start:stop].astype(np.float64)
        _fill(out, self.first, self.missing, start, means)
        return out

    def tiles(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Cut a range of people into what is turned to double precision at a time."""
        return [(a, min(a + _TILE, stop)) for a in range(start, stop, _TILE)]


def exact_gram(counts: Singles) -> Singles | Floats:
    """Return the exact Gram matrix ``(B, B)`` of whole counts ``(B, n)``."""
    if counts.shape[1] <= EXACT:
        return counts @ counts.T
    parts = range(0, counts.shape[1], EXACT)
    gram = np.zeros((len(counts), len(counts)))
    for a in parts:
        gram += counts[:, a : a + EXACT] @ counts[:, a : a + EXACT].T
    return gram


@dataclass(frozen=True)
class Products:
    """Products of mean-imputed genotypes over the people of one fold.

    Attributes
    ----------
    people
        First and last + 1 of them.
    gram
        ``(B, B)`` of genotypes with one another; of raw counts, 0 where missing, if those are
        whole.
    with_basis
        ``(B, C)`` float64 of genotypes with covariates.
    basis
        ``(C, C)`` of covariates with one another.
    """

    people: tuple[int, int]
    gram: Singles | Floats
    with_basis: Floats
    basis: Floats


def products(
    block: Block,
    means: Floats,
    cohort: Cohort,
    people: tuple[int, int],
    gram: Singles | Floats | None = None,
) -> Products:
    """Sum up over a range of people.

    Parameters
    ----------
    block
        Genotypes of the cohort's people.
    means
        ``(B,)``, put in place of missing genotypes.
    people
        First and last + 1 of them.
    gram
        ``(B, B)`` of their raw counts, where it is known.
    """
    start, stop = people
    basis = cohort.basis[start:stop]
    with_basis = np.zeros((len(means), basis.shape[1]))
    if block.whole and gram is None:
        gram = exact_gram(block.counts[:, start:stop])
    total = np.zeros((0, 0) if block.whole else (len(means), len(means)))
    for a, b in block.tiles(start, stop):
        tile = block.tile(a, b, means)
        with_basis += tile @ cohort.basis[a:b]
        if not block.whole:
            total += tile @ tile.T
    return Products(people, total if gram is None else gram, with_basis, basis.T @ basis)


def trait_products(
    block: Block,
    means: Floats,
    cohort: Cohort,
    traits: Floats,
    people: tuple[int, int],
    loads: Floats,
    scales: Floats,
) -> Floats:
    """Return ``(B, P)`` products of adjusted genotypes with traits over a range of people.

    Parameters
    ----------
    block
        Genotypes of the cohort's people.
    traits
        ``(n, P)`` float64, P a multiple of `PANEL`.
    people
        First and last + 1 of them.
    means, loads, scales
        As `adjusted` takes and returns them.
    """
    start, stop = people
    out = np.zeros((len(means), traits.shape[1]))
    panels = [slice(p, p + PANEL) for p in range(0, traits.shape[1], PANEL)]
    for a, b in block.tiles(start, stop):
        tile = block.tile(a, b, means)
        for panel in panels:
            out[:, panel] += tile @ traits[a:b, panel]
    basis = cohort.basis[start:stop]
    for panel in panels:
        out[:, panel] -= loads @ (basis.T @ traits[start:stop, panel])
    return np.asarray(scales[:, None] * out, np.float64)


def adjusted(
    block: Block, parts: list[Products], means: Floats, df: int
) -> tuple[list[Floats], Floats, Floats]:
    """Project covariates out of genotypes, and scale them, in their products.

    Parameters
    ----------
    block
        Genotypes of the cohort's people.
    parts
        Products of each fold; taken out of the list, to free their memory.
    means
        ``(B,)``, those put in place of missing genotypes.
    df
        What sums of squares are divided by.

    Returns
    -------
    grams
        ``(B, B)`` of each fold, symmetric.
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
    squares = np.zeros(len(means))
    for part in parts:
        squares += np.diagonal(part.gram)
    if block.whole:
        squares += np.bincount(block.missing, minlength=len(means)) * np.square(means)
    left = squares - np.einsum("ij,ij->i", loads, loads)
    sd = np.sqrt(np.maximum(left, 0) / df)
    # What rounding leaves of a genotype that is a combination of covariates is no variance.
    varies = left > 1e-10 * np.maximum(squares, 1)
    scales = np.divide(1.0, sd, out=np.zeros_like(sd), where=varies)
    grams = []
    while parts:
        part = parts.pop(0)
        start, stop = part.people
        crossed = np.empty((0, 0))
        if block.whole and block.first[stop] > block.first[start]:
            crossed = _crossed(block.counts, block.first, block.missing, means, start, stop)
        half = part.with_basis - 0.5 * loads @ part.basis
        # Becomes the answer in place.
        gram = np.hstack([half, loads]) @ np.hstack([loads, half]).T
        _adjust(gram, part.gram, crossed, means, scales)
        grams.append(gram)
    return grams, loads, scales


@nb.njit(nogil=True, cache=True)
def _adjust(low_rank: Any, gram: Any, crossed: Any, means: Any, scales: Any) -> None:
    """Put the products of adjusted genotypes in the place of what covariates explain of them.

    The lower triangle is computed and copied, so that the answer is symmetric to the last bit.
    """
    size, side = len(gram), 32
    turned = np.zeros((side, side))  # a square of the transpose, which stays in the cache
    for top in range(0, size, side):
        below = min(top + side, size)
        for left in range(0, below, side):
            right = min(left + side, size)
            if crossed.size:
                for j in range(left, right):
                    row = crossed[j, top:below]
                    for k in range(below - top):
                        turned[k, j - left] = means[j] * row[k]
            for i in range(top, below):
                out, own, extra = low_rank[i, left:right], gram[i, left:right], turned[i - top]
                for k in range(right - left):
                    out[k] = own[k] - out[k] + extra[k]
                if crossed.size:
                    row = crossed[i, left:right]
                    for k in range(right - left):
                        out[k] += means[i] * row[k]
                for k in range(right - left):
                    out[k] *= scales[i] * scales[left + k]
            for j in range(left, right):
                for i in range(max(top, j + 1), below):
                    low_rank[j, i] = low_rank[i, j]


@nb.njit(nogil=True, cache=True)
def _crossed(counts: Any, first: Any, missing: Any, means: Any, start: Any, stop: Any) -> Any:
    """Add up, for each variant, the counts of those who lack it.

    Of two variants that a person lacks, each counts the other as half its mean, so that both
    together make the product of the two means: with D the means, the sums of imputed genotypes are
    gram + D crossed + crossed' D.
    """
    size = len(counts)
    out = np.zeros((size, size))
    near = np.empty((_NEIGHBOURS, size))
    for a in range(start, stop, _NEIGHBOURS):
        b = min(a + _NEIGHBOURS, stop)
        if first[b] == first[a]:
            continue
        for j in range(size):
            for person in range(a, b):
                near[person - a, j] = counts[j, person]
        for person in range(a, b):
            own = missing[first[person] : first[person + 1]]
            row = near[person - a]
            for j in own:
                row[j] = 0.5 * means[j]
            for j in own:
                out[j] += row
    return out


@nb.njit(nogil=True, cache=True)
def _count_missing(dosages: Any) -> Any:
    """Return where each person's missing variants begin, and whether all counts are whole."""
    first = np.zeros(dosages.shape[1] + 1, np.int64)
    whole = True
    for row in dosages:
        for person in range(len(row)):
            if np.isnan(row[person]):
                first[person + 1] += 1
            elif row[person] != np.rint(row[person]):
                whole = False
    return np.cumsum(first), whole


@nb.njit(nogil=True, cache=True)
def _clear_missing(dosages: Any, first: Any) -> Any:
    """List each person's missing variants, and put their counts to zero."""
    missing = np.empty(first[-1], np.int32)
    if len(missing):
        place = first.copy()
        for j in range(len(dosages)):
            for person in range(dosages.shape[1]):
                if np.isnan(dosages[j, person]):
                    missing[place[person]] = j
                    place[person] += 1
                    dosages[j, person] = 0
    return missing


@nb.njit(nogil=True, cache=True)
def _choose(first: Any, missing: Any, rows: Any) -> Any:
    """Return the missing variants of some people."""
    own = np.zeros(len(rows) + 1, np.int64)
    for place in range(len(rows)):
        own[place + 1] = own[place] + first[rows[place] + 1] - first[rows[place]]
    out = np.empty(own[-1], np.int32)
    for place in range(len(rows)):
        out[own[place] : own[place + 1]] = missing[first[rows[place]] : first[rows[place] + 1]]
    return own, out


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
def _fill(out: Any, first: Any, missing: Any, start: Any, means: Any) -> None:
    for person in range(start, start + out.shape[1]):
        for j in missing[first[person] : first[person + 1]]:
            out[j, person - start] = means[j]
