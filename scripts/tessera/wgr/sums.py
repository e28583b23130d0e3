"""Gram matrices of folds of people, each made but once: also once for several runs.

A person's genotypes in a block are told by a fingerprint, so that sums of another run fit wherever
they are of the same genotypes, in whatever file and order. Those who came since are added and those
who went are taken off: sums of whole numbers are the same by either route.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt

from tessera.wgr.cohort import Cohort
from tessera.wgr.gram import EXACT, Block, exact_gram
from tessera.wgr.kept import Shelf, digest_of

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Prints = npt.NDArray[np.uint64]

Reader = Callable[[Sequence[Ints]], Singles]
"""Reads genotypes of people, ``(B, m)``, by their rows in each fileset."""

_MISSING = 3  # stands for a genotype that is not known, where others are 0 to 2


def fingerprints(block: Block) -> Prints:
    """Return ``(n,)`` uint64, a number for the genotypes of each person, in whole counts.

    Random multiples of the counts are added up, round the clock: of two people whose genotypes
    differ anywhere, it is the same with a probability of 2^-63.
    """
    keys = np.random.Philox(key=20_240_229).random_raw(len(block.counts))
    out = np.zeros(block.counts.shape[1], np.uint64)
    _add_keys(block.counts, block.first, block.missing, keys, out)
    return out


class RawGrams:
    """Gram matrices of raw counts over folds of people.

    Those of a trait that some people lack are made of those of all people, less the ones who lack
    it.

    Parameters
    ----------
    block
        Genotypes of all people, in whole numbers.
    prints
        Of the same people; needed with a shelf.
    shelf
        Has the sums of an earlier run, and keeps those of this one.
    rows
        ``(F, n)``: where all people are found in each fileset.
    reader
        Reads people who took part in an earlier run.
    """

    def __init__(
        self,
        block: Block,
        prints: Prints | None = None,
        shelf: Shelf | None = None,
        rows: Ints | None = None,
        reader: Reader | None = None,
    ) -> None:
        self._block = block
        self._shelf = shelf
        self._prints = np.empty(0, np.uint64) if prints is None else prints
        self._rows = np.empty((0, block.counts.shape[1]), np.int64) if rows is None else rows
        self._reader = reader
        self._of_all: dict[tuple[int, int], Singles | Floats] = {}
        self._kept: dict[int, dict[str, npt.NDArray[Any]] | None] = {}
        self._new: set[int] = set()

    def _edges(self, folds: int) -> list[tuple[int, int]]:
        return Cohort(np.arange(self._block.counts.shape[1]), np.empty((0, 0)), folds, ()).edges

    def of(self, rows: Ints, fold: int, folds: int) -> Singles | Floats:
        """Return ``(B, B)`` over some people, who are to be most of a fold of all people.

        Parameters
        ----------
        rows
            The people, ascending.
        fold, folds
            Number of the fold, from 0, and of folds.
        """
        counts = self._block.counts
        start, stop = self._edges(folds)[fold]
        everyone = np.arange(start, stop)
        more, less = np.setdiff1d(rows, everyone), np.setdiff1d(everyone, rows)
        if 2 * (len(more) + len(less)) > len(rows):
            return exact_gram(np.take(counts, rows, axis=1))
        if (fold, folds) not in self._of_all:
            gram = self._recalled(fold, folds)
            if gram is None:
                self._new.add(folds)
                gram = exact_gram(counts[:, start:stop])
            self._of_all[fold, folds] = gram
        gram = self._of_all[fold, folds]
        if len(less):
            gram = gram - exact_gram(np.take(counts, less, axis=1))
        if len(more):
            gram = gram + exact_gram(np.take(counts, more, axis=1))
        return gram

    def spare(self, folds: int) -> None:
        """Leave the sums of an earlier run, though this one may not need any."""
        if self._shelf is not None:
            self._shelf.spare(self._name(folds)[0])

    def _name(self, folds: int) -> tuple[str, str]:
        return f"sums{folds}", digest_of(len(self._block.counts), folds)

    def _recalled(self, fold: int, folds: int) -> Singles | Floats | None:
        """Return the sums of an earlier run over a fold, brought up to date, if they fit."""
        if self._shelf is None:
            return None
        if folds not in self._kept:
            self._kept[folds] = self._shelf.get(*self._name(folds))
        kept = self._kept[folds]
        if kept is None:
            return None
        start, stop = self._edges(folds)[fold]
        begin, end = kept["edges"][fold]
        came, went = _difference(kept["prints"][begin:end], self._prints[start:stop])
        if 2 * (len(came) + len(went)) > stop - start:
            return None
        exact = max(stop - start, end - begin) <= EXACT
        gram = unfolded(kept[f"gram{fold}"], len(self._block.counts), exact)
        if len(came) or len(went):
            self._new.add(folds)
        if len(went):
            gone = self._genotypes(went, kept)
            if gone is None:
                return None
            gram -= exact_gram(gone)
        if len(came):
            gram += exact_gram(np.take(self._block.counts, self._places(came), axis=1))
        return gram

    def _places(self, wanted: Prints) -> Ints:
        """Return where people with these fingerprints are, -1 where there is nobody."""
        order = np.argsort(self._prints, kind="stable")
        there = self._prints[order]
        at = np.minimum(np.searchsorted(there, wanted), len(there) - 1)
        return np.where(there[at] == wanted, order[at], -1)

    def _genotypes(self, wanted: Prints, kept: dict[str, npt.NDArray[Any]]) -> Singles | None:
        """Find genotypes by their fingerprints: of somebody here, or of who took part earlier."""
        places = self._places(wanted)
        out = np.take(self._block.counts, np.maximum(places, 0), axis=1)
        lost = np.flatnonzero(places < 0)
        if len(lost):
            order = np.argsort(kept["prints"], kind="stable")
            at = order[np.searchsorted(kept["prints"][order], wanted[lost])]
            if self._reader is None or len(kept["rows"]) != len(self._rows):
                return None
            try:
                gone = Block.of(self._reader(list(kept["rows"][:, at])))
            except (ValueError, IndexError):  # the files have no such rows any more
                return None
            if not gone.whole or (fingerprints(gone) != wanted[lost]).any():
                return None
            out[:, lost] = gone.counts
        return out

    def keep(self) -> None:
        """Leave the sums for the next run, where they are not those of the last."""
        if self._shelf is None:
            return
        for folds in self._new:
            edges = self._edges(folds)
            if any((fold, folds) not in self._of_all for fold in range(folds)):
                continue  # of a trait that hardly anybody has
            with self._shelf.put(*self._name(folds)) as add:
                add("prints", self._prints)
                add("rows", self._rows)
                add("edges", np.array(edges, np.int64))
                for fold in range(folds):
                    add(f"gram{fold}", folded(self._of_all[fold, folds], whole=True))


def _difference(old: Prints, new: Prints) -> tuple[Prints, Prints]:
    """Return who came and who went, as often as they did."""
    if np.array_equal(old, new):
        return new[:0], old[:0]
    values, place = np.unique(np.concatenate([old, new]), return_inverse=True)
    before = np.bincount(place[: len(old)], minlength=len(values))
    change = np.bincount(place[len(old) :], minlength=len(values)) - before
    return np.repeat(values, np.maximum(change, 0)), np.repeat(values, np.maximum(-change, 0))


def folded(gram: npt.NDArray[Any], whole: bool = False) -> npt.NDArray[Any]:
    """Return the lower triangle of a symmetric matrix, row by row; of whole numbers, short."""
    kind: Any = np.float64
    if whole:
        kind = np.uint16 if gram.max(initial=0) < 2**16 else np.uint32
    out = np.empty(len(gram) * (len(gram) + 1) // 2, kind)
    _fold(gram, out)
    return out


def unfolded(triangle: npt.NDArray[Any], size: int, single: bool = False) -> Any:
    """Return the symmetric matrix of a triangle, in single or in double precision."""
    out = np.empty((size, size), np.float32 if single else np.float64)
    _unfold(triangle, out)
    return out


@nb.njit(nogil=True, cache=True)
def _fold(gram: Any, out: Any) -> None:
    place = 0
    for i in range(len(gram)):
        for j in range(i + 1):
            out[place + j] = gram[i, j]
        place += i + 1


@nb.njit(nogil=True, cache=True)
def _unfold(triangle: Any, out: Any) -> None:
    size, side = len(out), 32  # a square and its mirror image stay in the cache
    for top in range(0, size, side):
        below = min(top + side, size)
        for left in range(0, below, side):
            right = min(left + side, size)
            for i in range(top, below):
                start = i * (i + 1) // 2
                for j in range(left, min(right, i + 1)):
                    out[i, j] = triangle[start + j]
            for j in range(left, right):
                for i in range(max(top, j + 1), below):
                    out[j, i] = out[i, j]


@nb.njit(nogil=True, cache=True)
def _add_keys(counts: Any, first: Any, missing: Any, keys: Any, out: Any) -> None:
    for j in range(len(counts)):
        row, key = counts[j], keys[j]
        for person in range(len(out)):
            out[person] += np.uint64(np.int32(row[person])) * key
    for person in range(len(out)):
        for j in missing[first[person] : first[person + 1]]:
            out[person] += np.uint64(_MISSING) * keys[j]
