"""Whole-genome regression in plain float64, one trait at a time: what tests of `wgr` compare with.

A person left out is a fold of one, models are refitted, and nothing is updated or shared.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from tessera.wgr.assoc import Linear, Logistic, Rules, Tester
from tessera.wgr.cohort import Cohort, scaled_trait
from tessera.wgr.logistic import fit_null

H2 = [0.01, 0.25, 0.5, 0.75, 0.99]


def genotypes(rng, n_variants, n, missing=0.0, least=0.05):
    """(V, n) float32 copies of an allele, neighbours in linkage; NaN where missing."""
    g = rng.binomial(2, rng.uniform(least, 0.5, (n_variants, 1)), (n_variants, n))
    swap = rng.random((n_variants // 2, n)) < 0.3
    g[1::2] = np.where(swap, g[1::2], g[0 : n_variants // 2 * 2 : 2])
    g = g.astype(np.float32)
    g[rng.random(g.shape) < missing] = np.nan
    return g


def make_cohort(rng, n, n_covariates=3, folds=5):
    """People without gaps, whose basis is not the pipeline's own."""
    return Cohort(np.arange(n), orthonormal(rng.normal(size=(n, n_covariates))), folds, (0,))


def orthonormal(covariates):
    """An intercept and (n, c) independent covariates."""
    return np.linalg.qr(np.column_stack([np.ones(len(covariates)), covariates]))[0]


def filled(g):
    """Mean where missing."""
    g = np.asarray(g, np.float64)
    there = ~np.isnan(g)
    mean = np.where(there, g, 0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    return np.where(there, g, mean[:, None])


def rest(rows, basis):
    """(V, n) rows without what lies along the columns of a basis."""
    return rows - (rows @ basis) @ basis.T


def adjusted(g, basis, df):
    """(V, n) filled, without covariates, and of unit variance."""
    g = rest(filled(g), basis)
    sd = np.linalg.norm(g, axis=1, keepdims=True) / np.sqrt(df)
    return np.divide(g, sd, out=np.zeros_like(g), where=sd > 1e-9)


def degrees(convention, basis):
    """What sums of squares are divided by."""
    return len(basis) - (1 if convention == "v1" else basis.shape[1])


def shrinkage(h2, size, convention):
    """Ridge parameters of both levels of a quantitative trait."""
    return [size / h if convention == "v1" else size * (1 - h) / h for h in h2]


def contiguous(n, folds):
    """First and last + 1 person of each fold; of one person each for no folds."""
    if not folds:
        return [(i, i + 1) for i in range(n)]
    each = n // folds
    return [(k * each, (k + 1) * each if k + 1 < folds else n) for k in range(folds)]


def others(n, edge):
    return np.r_[: edge[0], edge[1] : n]


def level0(g, y, basis, convention, folds, n_variants, h2=H2):
    """(L, n) predictions of y from one block, centred and of unit variance."""
    x = adjusted(g, basis, degrees(convention, basis))
    n = len(y)
    out = np.empty((len(h2), n))
    for edge in contiguous(n, folds):
        seen = others(n, edge)
        for row, penalty in zip(out, shrinkage(h2, n_variants, convention), strict=True):
            gram = x[:, seen] @ x[:, seen].T + penalty * np.eye(len(x))
            row[slice(*edge)] = np.linalg.solve(gram, x[:, seen] @ y[seen]) @ x[:, slice(*edge)]
    out -= out.mean(axis=1, keepdims=True)
    return out / out.std(axis=1, ddof=1, keepdims=True)


def ridge_weights(x, y, tau, edges):
    """(n, J) coefficients for each person, of models that have not seen it."""
    out = np.empty_like(x)
    for edge in edges:
        seen = others(len(y), edge)
        gram = x[seen].T @ x[seen] + tau * np.eye(x.shape[1])
        out[slice(*edge)] = np.linalg.solve(gram, x[seen].T @ y[seen])
    return out


def logistic_ridge(x, y, offset, tau, start=None, steps=100):
    """Coefficients by Newton's method, from 0 on."""
    b = np.zeros(x.shape[1]) if start is None else start
    for _ in range(steps):
        p = special.expit(offset + x @ b)
        information = (x.T * (p * (1 - p))) @ x + tau * np.eye(len(b))
        b = b + np.linalg.solve(information, x.T @ (y - p) - tau * b)
    return b


def logistic_weights(x, y, offset, tau, folds):
    """(n, J); without folds one Newton step from everyone's model, as REGENIE does it."""
    out = np.empty_like(x)
    n = len(y)
    full = None if folds else logistic_ridge(x, y, offset, tau)
    for edge in contiguous(n, folds):
        seen = others(n, edge)
        out[slice(*edge)] = logistic_ridge(
            x[seen], y[seen], offset[seen], tau, full, 100 if folds else 1
        )
    return out


def logistic_null(y, basis, offset):
    """(n,) probabilities of a logistic model of covariates."""
    return special.expit(offset + basis @ logistic_ridge(basis, y, offset, 0.0, steps=30))


LOOSE = {"min_mac": 0.5, "maf": 0.0, "hwe": 0.0, "max_missing": 1.0, "min_info": 0.0}


def rules(**other):
    return Rules(**({"convention": "v4", "test": "score", "firth_p": 0.05} | LOOSE | other))


class Trial:
    """People, covariates, traits with predictions, and variants of all frequencies."""

    def __init__(self, seed=0, n=401, n_variants=60, missing=0.03, many=2, cases=0.3, covariates=3):
        rng = np.random.default_rng(seed)
        self.people = make_cohort(rng, n, covariates)
        self.g = genotypes(rng, n_variants, n, missing, least=0.01)
        self.y = rng.normal(size=(many, n)) + 0.3 * filled(self.g[:1])
        self.loco = 0.4 * rng.normal(size=(many, n))
        log_odds = special.logit(cases) + self.loco + 10 * self.people.basis[:, 1]
        self.cases = (rng.random((many, n)) < special.expit(log_odds)).astype(np.float64)

    def linear(self, trait, convention="v4"):
        scaled, scale = scaled_trait(self.y[trait], self.people, convention)
        return Linear.of(scaled, scale, self.loco[trait], self.people.df(convention))

    def logistic(self, trait, firth=False):
        null = fit_null(self.cases[trait], self.people.basis, self.loco[trait], firth=firth)
        return Logistic(self.cases[trait], null)

    def tester(self, binary=False, traits=(0, 1), **other):
        how_ = rules(**other)
        models = [
            self.logistic(t, how_.test == "firth") if binary else self.linear(t, how_.convention)
            for t in traits
        ]
        return Tester(self.people, models, how_)

    def turned(self, trait):
        """Genotypes without what covariates explain by the null model's weights, and it."""
        p = logistic_null(self.cases[trait], self.people.basis, self.loco[trait])
        q, w, g = self.people.basis, p * (1 - p), filled(self.g)
        return g - (np.linalg.solve((q.T * w) @ q, (q.T * w) @ g.T)).T @ q.T, p
