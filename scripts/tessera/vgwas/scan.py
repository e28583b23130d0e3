"""The map step: a range of SNPs against all voxels, under a range of permutations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from tessera.errors import InputError, Problem
from tessera.pvalues import log10p_of_t, t_of_p
from tessera.vgwas.clusters import clusters
from tessera.vgwas.engines import ENGINES, Engine, Passed, margin
from tessera.vgwas.exact import correlations, estimates, r_of_t, t_of_r
from tessera.vgwas.permutations import permutation
from tessera.vgwas.permuted import map_weights, permuted_rows
from tessera.vgwas.rows import Facts, Rows, make_rows
from tessera.vgwas.study import EDGES, Settings, Study

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Observed:
    """What a block of SNPs shows as observed.

    Attributes
    ----------
    snps
        Per SNP: maf, missing, status (place in `tessera.vgwas.rows.STATUS`), df, max_t (signed),
        max_cluster (voxels).
    hits
        snp, voxel (int32), beta, se, t, log10p (float32); by snp, then voxel.
    clusters
        snp, size, voxel (of the peak, int32), t (of the peak, float32).
    counts
        Tests of a sample of voxels by -log10 p, in the bins of EDGES.
    """

    snps: pd.DataFrame
    hits: pd.DataFrame
    clusters: pd.DataFrame
    counts: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Null:
    """What a range of SNPs shows under permutations: the largest |t| and the largest cluster."""

    permutations: npt.NDArray[np.int64]
    max_t: Floats
    max_cluster: npt.NDArray[np.int64]


Block = tuple[int, npt.NDArray[np.float32], npt.NDArray[np.bool_]]


class Mapper:
    """Tests blocks of SNPs against the maps of a study.

    Parameters
    ----------
    study
        Maps and covariates.
    settings
        Thresholds and schemes.
    """

    def __init__(self, study: Study, settings: Settings) -> None:
        self._study, self._settings = study, settings
        self._engine: Engine = ENGINES[settings.engine](study.model.y)
        self._before = study.before(settings.connectivity)
        self._margin = margin(study.n)

    @property
    def share(self) -> float:
        """Share of all pairs that pass the sieve by chance."""
        least = float(self._settings.least_t(self._study.df))
        return max(self._settings.threshold_p, float(10 ** -log10p_of_t(least, self._study.df)))

    def scan(self, blocks: Iterable[Block]) -> Iterator[Observed]:
        """Test blocks of SNPs as observed.

        Parameters
        ----------
        blocks
            Number of the first SNP, (B, N) copies of the counted allele, (B,) whether the SNP has
            more than two alleles; for each block.

        Raises
        ------
        InputError
            There are more hits than `max_hits`.
        """
        n_hits = 0
        for start, dosages, multiallelic in blocks:
            basis, rules = self._study.model.basis, self._settings.rules
            observed = self._observe(start, *make_rows(dosages, multiallelic, basis, rules))
            n_hits += len(observed.hits)
            if n_hits > self._settings.max_hits:
                raise InputError(too_many_hits(f"at least {n_hits:,}", self._settings))
            yield observed

    def null(
        self,
        blocks: Iterable[Block],
        numbers: Sequence[int],
        progress: Callable[[Sequence[int]], Iterable[int]] = iter,
    ) -> Null:
        """Test blocks of SNPs under permutations of these numbers; blocks as for `scan`."""
        order = np.array(numbers, np.int64)
        max_t, max_cluster = np.zeros(len(order)), np.zeros(len(order), np.int64)
        study = self._study
        for _, dosages, multiallelic in blocks:
            rows, _ = make_rows(dosages, multiallelic, study.model.basis, self._settings.rules)
            if not len(rows):
                continue
            for p in progress(range(len(order))):
                places = permutation(int(order[p]), study.blocks, self._settings.seed)
                t, size = self._largest(rows, places)
                max_t[p], max_cluster[p] = max(max_t[p], t), max(max_cluster[p], size)
        return Null(order, max_t, max_cluster)

    def _observe(self, start: int, rows: Rows, facts: Facts) -> Observed:
        model, voxels = self._study.model, self._study.voxel
        row, voxel = self._pairs(rows)
        t = t_of_r(correlations(rows, model, row, voxel), rows.df[row])
        # Of the pairs of a row, sorted by size, the last is the largest.
        order = np.lexsort((-voxel, np.abs(t), row))
        last = order[np.flatnonzero(np.diff(row[order], append=len(rows)))]
        above = np.flatnonzero(np.abs(t) >= self._settings.least_t(rows.df)[row])
        found = clusters(row[above], voxel[above], t[above], self._before)
        peak = above[found.peak]
        df, max_t = np.full((2, len(facts.status)), np.nan)
        df[rows.place] = rows.df
        max_t[rows.place[row[last]]] = t[last]
        max_cluster = np.zeros(len(facts.status), np.int32)
        np.maximum.at(max_cluster, rows.place[found.row], found.size)
        return Observed(
            snps=pd.DataFrame(
                {
                    "maf": facts.maf,
                    "missing": facts.missing,
                    "status": facts.status,
                    "df": df,
                    "max_t": max_t,
                    "max_cluster": max_cluster,
                }
            ),
            hits=self._hits(start, rows, row, voxel, t),
            clusters=pd.DataFrame(
                {
                    "snp": (start + rows.place[found.row]).astype(np.int32),
                    "size": found.size,
                    "voxel": voxels[voxel[peak]],
                    "t": t[peak].astype(np.float32),
                }
            ),
            counts=self._count(rows),
        )

    def _pairs(self, rows: Rows) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Return all pairs that may be hits or in clusters, and of each SNP the strongest."""
        settings = self._settings
        least = np.minimum(settings.hit_t(rows.df), settings.least_t(rows.df))
        unit = _unit(rows)
        weights, kind = self._weights(rows, None)
        limit = r_of_t(least, rows.df) - self._margin
        passed = self._engine.sieve(unit, limit.astype(np.float32), weights, kind)
        # Of SNPs of which nothing is surely above, the strongest voxel is told: where two are so
        # near to each other that the product cannot tell, both are looked at.
        weak = passed.best < limit + 2 * self._margin
        plain = passed.best - passed.second > 2 * self._margin if weights is None else ~weak
        strong = ~weak[passed.row]
        row, voxel = passed.row[strong], passed.voxel[strong]
        alone, few = np.flatnonzero(weak & plain), np.flatnonzero(weak & ~plain)
        row = np.concatenate([row, alone.astype(np.int32)])
        voxel = np.concatenate([voxel, passed.best_at[alone]])
        if len(few):
            lower = np.minimum(limit, self._best(rows, passed) - self._margin)[few]
            more = self._engine.sieve(
                unit[few], lower.astype(np.float32), weights, None if kind is None else kind[few]
            )
            row = np.concatenate([row, few[more.row].astype(np.int32)])
            voxel = np.concatenate([voxel, more.voxel])
        order = np.argsort(row, kind="stable")
        return row[order], voxel[order]

    def _best(self, rows: Rows, passed: Passed, turned: Floats | None = None) -> Floats:
        """Return |r| of each SNP with the voxel that seems its strongest."""
        every = np.arange(len(rows), dtype=np.int32)
        best = correlations(rows, self._study.model, every, passed.best_at, turned)
        return np.abs(best)

    def _hits(
        self,
        start: int,
        rows: Rows,
        row: npt.NDArray[np.int32],
        voxel: npt.NDArray[np.int32],
        t: Floats,
    ) -> pd.DataFrame:
        study, least = self._study, self._settings.hit_t(rows.df)
        near = np.abs(t) >= least[row] * (1 - 1e-6)
        row, voxel = row[near], voxel[near]
        beta, error, t = estimates(rows, study.model, study.scale, row, voxel)
        hit = np.abs(t) >= least[row]
        row, voxel, beta, error, t = row[hit], voxel[hit], beta[hit], error[hit], t[hit]
        return pd.DataFrame(
            {
                "snp": (start + rows.place[row]).astype(np.int32),
                "voxel": study.voxel[voxel],
                "beta": beta.astype(np.float32),
                "se": error.astype(np.float32),
                "t": t.astype(np.float32),
                "log10p": log10p_of_t(t, rows.df[row]).astype(np.float32),
            }
        )

    def _count(self, rows: Rows) -> npt.NDArray[np.int64]:
        """Count the tests of the sample of voxels by -log10 p."""
        sample = self._study.sample
        row = np.repeat(np.arange(len(rows), dtype=np.int32), len(sample))
        r = correlations(rows, self._study.model, row, np.tile(sample, len(rows)))
        counts = np.zeros(len(EDGES) - 1, np.int64)
        df = rows.df[row]
        for value in np.unique(df):
            t = np.abs(t_of_r(r[df == value], value))
            bins = np.searchsorted(_edges(float(value)), t, side="right") - 1
            counts += np.bincount(np.minimum(bins, len(counts) - 1), minlength=len(counts))
        return counts

    def _weights(
        self, rows: Rows, turned: Floats | None
    ) -> tuple[npt.NDArray[np.float32] | None, npt.NDArray[np.int64] | None]:
        """Return the weights of the sieve that turn products into (at least) correlations."""
        if turned is not None:
            return map_weights(self._study.model, turned), np.zeros(len(rows), np.int64)
        if not len(rows.absent) or not rows.absent.any():
            return None, None
        # A map loses at most its largest values with the subjects left out, and as much of them
        # as the covariates make of it.
        count = rows.absent.sum(axis=1)
        kind = np.where(count > 0, np.ceil(np.log2(np.maximum(count, 1))) + 1, 0).astype(np.int64)
        gain = max(1.0, float(np.square(rows.kept).sum(axis=1).max()))
        largest = self._study.largest[: int(kind.max())]
        left = np.maximum(1 - gain * largest, 1e-6)
        ones = np.ones((1, largest.shape[1]), np.float32)
        return np.concatenate([ones, (1 / np.sqrt(left)).astype(np.float32)]), kind

    def _largest(self, rows: Rows, places: npt.NDArray[np.int64]) -> tuple[float, int]:
        """Return the largest |t| and the largest cluster of SNPs under a permutation."""
        settings, model = self._settings, self._study.model
        of_maps = settings.scheme == "freedman-lane"
        turned = model.basis[:, places] if of_maps else None
        rows = permuted_rows(rows, model.basis, places, readjust=not of_maps)
        least = settings.least_t(rows.df)
        unit = _unit(rows)
        weights, kind = self._weights(rows, turned)
        limit = (r_of_t(least, rows.df) - self._margin).astype(np.float32)
        passed = self._engine.sieve(unit, limit, weights, kind)
        if (passed.best < limit + 2 * self._margin).all():
            # Nothing is surely above: the strongest pair is looked for.
            t = t_of_r(self._best(rows, passed, turned), rows.df).max()
            limit = np.minimum(limit, r_of_t(t, rows.df) - self._margin).astype(np.float32)
            passed = self._engine.sieve(unit, limit, weights, kind)
        row, voxel = passed.row, passed.voxel
        t = t_of_r(passed.r.astype(np.float64), rows.df[row])
        # Only what is near a threshold, or near the largest, needs a second look; where subjects
        # are left out of some models, the product is but a bound.
        doubtful = np.ones(len(row), bool)
        if not len(rows.absent):
            size, cut = np.abs(passed.r), float(r_of_t(least[0], rows.df[0]))
            near = np.abs(size - cut) <= 2 * self._margin
            doubtful = near | (size >= size.max() - 4 * self._margin)
        row_, voxel_ = row[doubtful], voxel[doubtful]
        exact = t_of_r(correlations(rows, model, row_, voxel_, turned), rows.df[row_])
        t[doubtful] = exact
        above = np.abs(t) >= least[row]
        found = clusters(row[above], voxel[above], t[above], self._before)
        return float(np.abs(exact).max()), int(found.size.max(initial=0))


def too_many_hits(many: str, settings: Settings) -> Problem:
    """Tell that there are more hits than allowed."""
    what = f"{many} hits at p <= {settings.threshold_p:g}, where {settings.max_hits:g} are allowed"
    remedy = "lower vgwas.threshold_p, or raise vgwas.max_hits"
    return Problem("config", "vgwas.max_hits", what, remedy)


def _unit(rows: Rows) -> npt.NDArray[np.float32]:
    return (rows.x / rows.norm[:, None]).astype(np.float32)


_CACHE: dict[float, Floats] = {}


def _edges(df: float) -> Floats:
    """Return EDGES as |t|."""
    if df not in _CACHE:
        _CACHE[df] = t_of_p(10.0**-EDGES, df)
    return _CACHE[df]
