"""Voxel-wise association for tests: studies made by hand, and models refitted in full."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import ndimage, stats

from tessera.vgwas.design import make_design
from tessera.vgwas.engines import Passed, margin
from tessera.vgwas.exact import Model
from tessera.vgwas.scan import Mapper
from tessera.vgwas.study import Settings, Study

PLAIN = {
    "coding": "additive",
    "missing": "mean",
    "min_mac": 1,
    "max_missing": 0.2,
    "threshold_p": 1e-3,
    "cluster_p": 0.01,
    "cluster_t": None,
    "connectivity": 26,
    "scheme": "smith",
    "seed": 1,
    "max_hits": 1e8,
    "engine": "sgemm",
}


def settings(**other):
    return Settings(**{**PLAIN, **other})


def grid_of(count, side=None):
    """(V, 3) voxel indices that fill a cube, i fastest."""
    side = side or int(np.ceil(count ** (1 / 3)))
    return np.stack(np.unravel_index(np.arange(count), (side,) * 3)[::-1], axis=1)


def make_study(y, covariates=(), ijk=None, blocks=None):
    """Adjust (V, N) maps for (K, N) covariates, as the phenotype step does."""
    y = np.asarray(y, float)
    n_voxels, n = y.shape
    basis = make_design(n, {f"c{i}": c for i, c in enumerate(covariates)}).basis
    rest = y - y.mean(axis=1, keepdims=True)
    for _ in range(2):
        rest = rest - (rest @ basis.T) @ basis
    scale = np.linalg.norm(rest, axis=1)
    unit = (rest / scale[:, None]).astype(np.float32)
    norm = np.linalg.norm(unit.astype(float), axis=1)
    return Study(
        Model(unit, norm, basis),
        scale,
        np.arange(n_voxels, dtype=np.int32),
        np.zeros(n, np.int64) if blocks is None else np.asarray(blocks),
        grid_of(n_voxels) if ijk is None else ijk,
        np.arange(n)[None],
    )


def blocks_of(dosages, size=512, multiallelic=None):
    """Cut SNPs into blocks, as a map job reads them."""
    multiallelic = np.zeros(len(dosages), bool) if multiallelic is None else multiallelic
    cuts = range(0, len(dosages), size)
    return [(i, dosages[i : i + size], multiallelic[i : i + size]) for i in cuts]


def genotypes(rng, n_snps, n, missing=0.02, least=0.05):
    """(S, N) copies of an allele: every other SNP in strong linkage with the one before it."""
    frequency = rng.uniform(least, 0.5, (n_snps, 1))
    g = rng.binomial(2, frequency, (n_snps, n)).astype(np.float32)
    swap = rng.random((n_snps // 2, n)) < 0.1
    g[1::2] = np.where(swap, g[1::2], g[0 : n_snps // 2 * 2 : 2])
    g[rng.random(g.shape) < missing] = np.nan
    return g


def coded(dosages, coding):
    g = np.asarray(dosages, float)
    return {"additive": g, "dominant": np.minimum(g, 1), "recessive": np.maximum(g - 1, 0)}[coding]


def fit(y, nuisance, x):
    """Fit one column after others to (V, N) maps by least squares: beta, se, t, df."""
    design = np.column_stack([*nuisance, x])
    coefficients, _, rank, _ = np.linalg.lstsq(design, y.T, rcond=None)
    rest = y.T - design @ coefficients
    df = len(design) - rank
    error = np.sqrt((rest**2).sum(axis=0) / df) * np.linalg.norm(np.linalg.pinv(design)[-1])
    with np.errstate(invalid="ignore"):  # a column without variation
        return coefficients[-1], error, coefficients[-1] / error, df


def refit(y, covariates, dosages, coding="additive", missing="mean"):
    """Fit the full design of every SNP: beta, se, t (S, V), df (S,)."""
    beta, error, t = np.full((3, len(dosages), len(y)), np.nan)
    df = np.full(len(dosages), np.nan)
    for s, g in enumerate(coded(dosages, coding)):
        known = ~np.isnan(g)
        g = np.where(known, g, g[known].mean())
        if missing == "mean":
            known[:] = True
        nuisance = [np.ones(known.sum()), *(c[known] for c in covariates)]
        beta[s], error[s], t[s], df[s] = fit(y[:, known], nuisance, g[known])
    return beta, error, t, df


def p_of(t, df):
    return 2 * stats.t.sf(np.abs(t), np.asarray(df)[:, None])


def largest_cluster(t, least, ijk, connectivity=26):
    """The largest cluster of (V,) t, by scipy."""
    volume = np.zeros(ijk.max(axis=0) + 1)
    volume[tuple(ijk.T)] = t
    reach = ndimage.generate_binary_structure(3, {6: 1, 18: 2, 26: 3}[connectivity])
    most = 0
    for above in (volume >= least, -volume >= least):
        labels, _ = ndimage.label(above, reach)
        most = max(most, np.bincount(labels.ravel())[1:].max(initial=0))
    return int(most)


def scan(study, dosages, chosen, size=512, multiallelic=None):
    """Scan; per-SNP table, hits, clusters, counts."""
    out = list(Mapper(study, chosen).scan(blocks_of(dosages, size, multiallelic)))
    tables = [
        pd.concat([getattr(o, name) for o in out], ignore_index=True)
        for name in ("snps", "hits", "clusters")
    ]
    return (*tables, sum(o.counts for o in out))


def everything(study, dosages, chosen, size):
    """All bytes that a map job writes."""
    snps, hits, clusters, counts = scan(study, dosages, chosen, size)
    null = Mapper(study, chosen).null(blocks_of(dosages, size), range(4))
    return snps, hits, clusters, counts, null.max_t, null.max_cluster


def assert_same(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        if isinstance(theirs, pd.DataFrame):
            pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
        else:
            assert ours.tobytes() == theirs.tobytes()


class Known:
    """Correlated maps far from zero, covariates, SNPs in linkage, effects weak and overwhelming."""

    def __init__(self, seed=0, n=120, n_voxels=400, n_snps=48, missing=0.02, noise="normal"):
        rng = np.random.default_rng(seed)
        self.covariates = rng.normal(size=(3, n)) * [[1], [100], [1e-3]]
        self.covariates[1] += 5000
        self.g = genotypes(rng, n_snps, n, missing, least=0.02)
        draw = rng.normal if noise == "normal" else (lambda size: rng.standard_t(4, size))
        y = draw(size=(n_voxels, n)) + 0.7 * draw(size=(1, n))
        y += 0.05 * (self.covariates[1] - 5000)
        filled = np.where(np.isnan(self.g), np.nanmean(self.g, axis=1, keepdims=True), self.g)
        for voxel, snp, effect in ((5, 3, 0.8), (6, 4, -8), (7, 9, 300), (8, 12, -1), (9, 12, 1)):
            y[voxel] += effect * filled[snp]
        self.y = 40 + y * np.geomspace(1e-3, 1e3, n_voxels)[:, None]
        self.study = make_study(self.y, self.covariates)

    def refit(self, **how):
        return refit(self.y, self.covariates, self.g, **how)


class Worse:
    """A sieve whose products are off by up to half of what is allowed for, never the same twice."""

    def __init__(self, phenotype):
        self._y = np.asarray(phenotype)
        self._rng = np.random.default_rng(5)

    def sieve(self, x, limit, weights=None):
        exact = (x.astype(float) @ self._y.T.astype(float)).astype(np.float32)
        half = margin(x.shape[1]) / 2
        c = exact + self._rng.choice([-half, half], exact.shape).astype(np.float32)
        if weights is not None:
            c *= weights(0, len(self._y))
        size = np.abs(c)
        row, voxel = np.nonzero(size >= limit[:, None])
        two = np.sort(np.column_stack([np.full((len(x), 1), -1, np.float32), size]), axis=1)
        return Passed(
            row.astype(np.int32),
            voxel.astype(np.int32),
            c[row, voxel],
            best=two[:, -1],
            best_at=size.argmax(axis=1).astype(np.int32),
            second=two[:, -2],
        )
