"""The map step: a range of SNPs against all voxels, under a range of permutations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt
import pandas as pd

from tessera.errors import InputError, Problem
from tessera.pvalues import log10p_of_t, t_of_p
from tessera.vgwas.clusters import clusters
from tessera.vgwas.engines import Overfull
from tessera.vgwas.exact import correlations, estimates, t_of_r
from tessera.vgwas.permutations import permutation
from tessera.vgwas.permuted import permuted_rows
from tessera.vgwas.plan import too_many_hits
from tessera.vgwas.rows import Facts, Rows, make_rows
from tessera.vgwas.search import Search
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
        self._search = Search(study, settings.engine)
        self._before = study.before(settings.connectivity)

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
        for observed in chain.from_iterable(map(self._in_parts, blocks)):
            n_hits += len(observed.hits)
            if n_hits > self._settings.max_hits:
                told, settings = f"at least {n_hits:,}", self._settings
                raise InputError(too_many_hits(told, settings.threshold_p, settings.max_hits))
            yield observed

    def null(
        self,
        blocks: Iterable[Block],
        numbers: Sequence[int],
        progress: Callable[[Sequence[int]], Iterable[int]] = iter,
    ) -> Null:
        """Test blocks of SNPs under permutations of these numbers; blocks as for `scan`."""
        members = np.bincount(self._study.blocks).tolist()
        arrangements = math.exp(min(40, sum(math.lgamma(many + 1) for many in members)))
        if round(arrangements) <= max(numbers):
            what = f"the subjects can be arranged in their blocks in only {arrangements:.0f} ways"
            remedy = "make fewer permutations, or the blocks of vgwas.exchangeability larger"
            raise InputError(Problem("config", "vgwas.permutations", what, remedy))
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

    def _in_parts(self, block: Block) -> Iterator[Observed]:
        """Observe a block, in halves of halves where more passes than there is room for."""
        start, dosages, multiallelic = block
        rows = make_rows(dosages, multiallelic, self._study.model.basis, self._settings.rules)
        try:
            yield self._observe(start, *rows)
        except Overfull:
            half = len(dosages) // 2
            yield from self._in_parts((start, dosages[:half], multiallelic[:half]))
            yield from self._in_parts((start + half, dosages[half:], multiallelic[half:]))

    def _observe(self, start: int, rows: Rows, facts: Facts) -> Observed:
        voxels = self._study.voxel
        settings = self._settings
        least = np.minimum(settings.hit_t(rows.df), settings.least_t(rows.df))
        row, voxel, t = self._search.observed(rows, least)
        # Of the pairs of a row, sorted by size, the last is the largest.
        order = np.lexsort((-voxel, np.abs(t), row))
        last = order[np.flatnonzero(np.diff(row[order], append=len(rows)))]
        above = np.flatnonzero(np.abs(t) >= settings.least_t(rows.df)[row])
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

    def _largest(self, rows: Rows, places: npt.NDArray[np.int64]) -> tuple[float, int]:
        """Return the largest |t| and the largest cluster of SNPs under a permutation."""
        settings, model = self._settings, self._study.model
        of_maps = settings.scheme == "freedman-lane"
        turned = model.basis[:, places] if of_maps else None
        rows = permuted_rows(rows, model.basis, places, readjust=not of_maps)
        return self._largest_of(rows, turned)

    def _largest_of(self, rows: Rows, turned: Floats | None) -> tuple[float, int]:
        least = self._settings.least_t(rows.df)
        try:
            row, voxel, t = self._search.permuted(rows, least, turned)
        except Overfull:
            halves = (self._largest_of(part, turned) for part in rows.halves())
            max_t, max_cluster = zip(*halves, strict=True)
            return max(max_t), max(max_cluster)
        above = np.abs(t) >= least[row]
        found = clusters(row[above], voxel[above], t[above], self._before)
        return float(np.abs(t).max()), int(found.size.max(initial=0))


_CACHE: dict[float, Floats] = {}


def _edges(df: float) -> Floats:
    """Return EDGES as |t|."""
    if df not in _CACHE:
        _CACHE[df] = t_of_p(10.0**-EDGES, df)
    return _CACHE[df]
