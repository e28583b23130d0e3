"""Which pairs of SNP and voxel matter: found by the sieve, decided in double precision."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tessera.vgwas.engines import ENGINES, Passed, margin
from tessera.vgwas.exact import correlations, r_of_t, t_of_r
from tessera.vgwas.permuted import map_weights
from tessera.vgwas.rows import Rows
from tessera.vgwas.study import Study

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Places = npt.NDArray[np.int32]

_MOST_WEIGHT = 2.0
_ANYTHING = np.float32(1e30)
"""Weight of a map of which too little may be left for its products to be trusted: every pair of it
passes the sieve."""


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
        self._slack = margin(study.n) * _MOST_WEIGHT

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
        weights, kind = self._bounds(rows)
        passed = self._sieve(unit, limit, weights, kind)
        # Of SNPs of which nothing is above, the strongest voxel is still told.
        alone, few, top = self._weak(rows, passed, limit, bound=weights is not None)
        weak = np.zeros(len(rows), bool)
        weak[alone] = weak[few] = True
        strong = ~weak[passed.row]
        row: list[npt.NDArray[np.integer]] = [passed.row[strong], alone]
        voxel = [passed.voxel[strong], passed.best_at[alone]]
        if len(few):
            kind = None if kind is None else kind[few]
            more = self._sieve(unit[few], np.minimum(limit[few], top), weights, kind)
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
        weights, kind = self._bounds(rows)
        if turned is not None:
            weights = map_weights(self._study.model, turned, 1 / _MOST_WEIGHT**2, _ANYTHING)
            kind = np.zeros(len(rows), np.int64)
        passed = self._sieve(unit, limit, weights, kind)
        t, strongest = self._decide(rows, passed, limit, turned)
        if (r_of_t(strongest, rows.df) < limit).any():
            # It may not have passed everywhere that something stronger could be.
            limit = np.minimum(limit, r_of_t(strongest, rows.df))
            passed = self._sieve(unit, limit, weights, kind)
            t, _ = self._decide(rows, passed, limit, turned)
        return passed.row, passed.voxel, t

    def _sieve(
        self,
        unit: Singles,
        limit: Floats,
        weights: Singles | None,
        kind: npt.NDArray[np.int64] | None,
    ) -> Passed:
        return self._engine.sieve(unit, (limit - self._slack).astype(np.float32), weights, kind)

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

    def _bounds(self, rows: Rows) -> tuple[Singles | None, npt.NDArray[np.int64] | None]:
        """Return weights that make products at least as large as correlations.

        A map loses at most its largest values with the people left out of a SNP's model, and as
        much of them as the covariates make of it.
        """
        if not len(rows.absent) or not rows.absent.any():
            return None, None
        count = rows.absent.sum(axis=1)
        kind = np.where(count > 0, np.ceil(np.log2(np.maximum(count, 1))) + 1, 0).astype(np.int64)
        gain = max(1.0, float(np.square(rows.kept).sum(axis=1).max()))
        left = 1 - gain * self._study.largest[: int(kind.max())]
        weights = np.ones((1 + len(left), left.shape[1]), np.float32)
        trusted = left >= 1 / _MOST_WEIGHT**2
        weights[1:] = np.where(trusted, 1 / np.sqrt(np.where(trusted, left, 1)), _ANYTHING)
        return weights, kind


def _unit(rows: Rows) -> Singles:
    return (rows.x / rows.norm[:, None]).astype(np.float32)
