"""Which pairs of SNP and voxel matter: found by the sieve, decided in double precision."""

from __future__ import annotations

from functools import cached_property

import numba
import numpy as np
import numpy.typing as npt

from tessera.vgwas.engines import ENGINES, Passed, Weights, margin
from tessera.vgwas.exact import correlations, r_of_t, t_of_r
from tessera.vgwas.permuted import map_weights
from tessera.vgwas.rows import Rows
from tessera.vgwas.study import Study

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Places = npt.NDArray[np.int32]

_LEAST_LEFT = 0.25
"""Share of a map's variance that is left, under a permutation or without some people, from which on
its products are trusted."""
_ANYTHING = np.float32(1e30)
"""Weight of a map of which less is left: every pair of it passes the sieve."""


class Search:
    """Looks for pairs.

    Parameters
    ----------
    study
        Maps and covariates.
    engine
        Key of `tessera.vgwas.engines.ENGINES`.
    """

    def __init__(self, study: Study, engine: str) -> None:
        self._study = study
        self._engine = ENGINES[engine](study.model.y)
        # Weights magnify what single precision gets wrong.
        self._slack = margin(study.n) / np.sqrt(_LEAST_LEFT)

    def observed(self, rows: Rows, least: Floats) -> tuple[Places, Places, Floats]:
        """Return all pairs of |t| from (about) the least on, and of each SNP the strongest.

        Parameters
        ----------
        rows
            SNPs, S of them.
        least
            (S,) |t|.

        Returns
        -------
        row, voxel, t
            (P,), sorted by row and then by voxel; t is exact.
        """
        unit, limit = _unit(rows), r_of_t(least, rows.df)
        weights = self._bounds(rows, np.arange(len(rows)))
        passed = self._sieve(unit, limit, weights)
        # Of SNPs of which nothing is above, the strongest voxel is still told.
        alone, few, top = self._weak(rows, passed, limit, bound=weights is not None)
        weak = np.zeros(len(rows), bool)
        weak[alone] = weak[few] = True
        strong = ~weak[passed.row]
        row: list[npt.NDArray[np.integer]] = [passed.row[strong], alone]
        voxel = [passed.voxel[strong], passed.best_at[alone]]
        if len(few):
            weights = self._bounds(rows, few)
            more = self._sieve(unit[few], np.minimum(limit[few], top), weights)
            row.append(few[more.row])
            voxel.append(more.voxel)
        rows_found, voxels_found = np.concatenate(row).astype(np.int32), np.concatenate(voxel)
        order = np.argsort(rows_found, kind="stable")
        row_, voxel_ = rows_found[order], voxels_found[order]
        return row_, voxel_, self._t(rows, row_, voxel_)

    def permuted(
        self, rows: Rows, least: Floats, turned: Floats | None
    ) -> tuple[Places, Places, Floats]:
        """Return all pairs of |t| from (about) the least on, and the strongest of all.

        Parameters
        ----------
        rows, least
            As for `observed`.
        turned
            (K, N) covariates permuted like the SNPs, where the maps are thought of as permuted.

        Returns
        -------
        row, voxel, t
            As of `observed`; t is exact where it decides anything.
        """
        unit, limit = _unit(rows), r_of_t(least, rows.df)
        weights = self._bounds(rows, np.arange(len(rows)))
        if turned is not None:
            of_maps = map_weights(self._study.model, turned, _LEAST_LEFT, _ANYTHING)
            weights = lambda start, stop: of_maps[:, start:stop]  # noqa: E731
        passed = self._sieve(unit, limit, weights)
        t, strongest = self._decide(rows, passed, limit, turned)
        if (r_of_t(strongest, rows.df) < limit).any():
            # It may not have passed everywhere that something stronger could be.
            limit = np.minimum(limit, r_of_t(strongest, rows.df))
            passed = self._sieve(unit, limit, weights)
            t, _ = self._decide(rows, passed, limit, turned)
        return passed.row, passed.voxel, t

    def _sieve(self, unit: Singles, limit: Floats, weights: Weights | None) -> Passed:
        return self._engine.sieve(unit, (limit - self._slack).astype(np.float32), weights)

    def _t(self, rows: Rows, row: Places, voxel: Places, turned: Floats | None = None) -> Floats:
        return t_of_r(correlations(rows, self._study.model, row, voxel, turned), rows.df[row])

    def _weak(
        self, rows: Rows, passed: Passed, limit: Floats, bound: bool
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats]:
        """Tell which SNPs may have no pair above their limit.

        Returns
        -------
        alone
            SNPs of which one voxel is the strongest beyond doubt.
        few, top
            Those of which it must be looked for, and an |r| that it has at least.
        """
        if not bound:
            weak = passed.best < limit + self._slack
            clear = passed.best - passed.second > 2 * self._slack
            few = np.flatnonzero(weak & ~clear)
            lower = passed.best[few].astype(np.float64) - self._slack
            return np.flatnonzero(weak & clear), few, lower
        # Products are bounds here, so what passed must be computed to know what is above.
        every = np.arange(len(rows), dtype=np.int32)
        top = np.abs(correlations(rows, self._study.model, every, passed.best_at))
        r = correlations(rows, self._study.model, passed.row, passed.voxel)
        np.maximum.at(top, passed.row, np.abs(r))
        few = np.flatnonzero(top < limit)
        return np.zeros(0, np.int64), few, top[few]

    def _decide(
        self, rows: Rows, passed: Passed, limit: Floats, turned: Floats | None
    ) -> tuple[Floats, float]:
        """Return the t of pairs, exact where that decides anything, and the largest |t|."""
        row, voxel = passed.row, passed.voxel
        if not len(row):
            every = np.arange(len(rows), dtype=np.int32)
            return np.zeros(0), float(np.abs(self._t(rows, every, passed.best_at, turned)).max())
        t = t_of_r(passed.r.astype(np.float64), rows.df[row])
        if len(rows.absent):
            doubtful = np.ones(len(row), bool)  # products are bounds
        else:
            size = np.abs(passed.r)
            beyond = size > 1 + self._slack
            top = size[~beyond].max(initial=0)
            doubtful = beyond | (np.abs(size - limit[row]) <= 2 * self._slack)
            doubtful |= size >= top - 4 * self._slack
        exact = self._t(rows, row[doubtful], voxel[doubtful], turned)
        t[doubtful] = exact
        return t, float(np.abs(exact).max())

    def _bounds(self, rows: Rows, chosen: npt.NDArray[np.int64]) -> Weights | None:
        """Return weights that make products at least as large as correlations.

        What a map loses with the people left out of a SNP's model is their values, and at most so
        much of these as the covariates make of it: the largest eigenvalue of `rows.kept` squared.
        """
        if not len(rows.absent) or not rows.absent[chosen].any():
            return None
        absent = rows.absent[chosen]
        gain = np.maximum(1, np.square(rows.kept[chosen]).sum(axis=1).max(axis=1))
        members = np.nonzero(absent)[1]
        ends = np.cumsum(absent.sum(axis=1))

        def weights(start: int, stop: int) -> Singles:
            out = np.empty((len(chosen), stop - start), np.float32)
            _bound(self._squares, members, ends, gain, start, out)
            return out

        return weights

    @cached_property
    def _squares(self) -> Singles:
        """(N, V) squares of the maps."""
        y = self._study.model.y
        squares = np.empty(y.shape[::-1], np.float32)
        for start in range(0, len(y), 1024):
            squares[:, start : start + 1024] = np.square(y[start : start + 1024]).T
        return squares


def _unit(rows: Rows) -> Singles:
    return (rows.x / rows.norm[:, None]).astype(np.float32)


@numba.njit(cache=True, nogil=True)
def _bound(squares, members, ends, gain, start, out):  # type: ignore[no-untyped-def]
    first = 0
    for s in range(len(out)):
        lost = np.zeros(out.shape[1], np.float32)
        for m in range(first, ends[s]):
            row = squares[members[m]]
            for j in range(len(lost)):
                lost[j] += row[start + j]
        first = ends[s]
        share = np.float32(gain[s])
        for j in range(len(lost)):
            left = np.float32(1) - share * lost[j]
            out[s, j] = np.float32(1) / np.sqrt(left) if left >= _LEAST_LEFT else _ANYTHING
