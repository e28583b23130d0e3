"""Step 2: association of single variants with traits, the predictions of step 1 being offsets.

Mbatchou et al. 2021, Nature Genetics 53:1097, "Association testing".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt
from scipy import special

from tessera.wgr.cohort import Cohort
from tessera.wgr.counts import centre, count
from tessera.wgr.firth import approximate_firth
from tessera.wgr.gram import PANEL
from tessera.wgr.hwe import hwe_p
from tessera.wgr.logistic import NullModel
from tessera.wgr.spa import saddlepoint

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]

ROWS = 128
"""Variants of one product; the last ones of a range are filled up with zeros, because the last bit
of a product may depend on its shape."""
_TILE = 4096  # people of one product


class Field(IntEnum):
    """What is told of a test."""

    A1FREQ = 0
    N = 1
    INFO = 2
    BETA = 3
    SE = 4
    CHISQ = 5
    LOG10P = 6
    CODE = 7


class Code(IntEnum):
    """How a test came out; what is dropped starts at `MISSING`."""

    PLAIN = 0
    CORRECTED = 1
    FAILED = 2
    MISSING = 10
    RARE = 11
    MAF = 12
    HWE = 13
    POOR = 14
    FLAT = 15
    ODD = 16


DROPPED = {
    Code.MISSING: "more genotypes missing than max_missing",
    Code.RARE: "minor allele count below min_mac",
    Code.MAF: "minor allele frequency below maf",
    Code.HWE: "Hardy-Weinberg p below hwe",
    Code.POOR: "imputation info below min_info",
    Code.FLAT: "no variance beyond the covariates",
    Code.ODD: "more than two alleles",
}


@dataclass(frozen=True)
class Rules:
    """Which variants are tested, and how those of a binary trait.

    Attributes
    ----------
    test
        ``score``, ``firth`` or ``spa``.
    firth_p
        p-value of the score test below which the other two take its place.
    """

    convention: str
    test: str
    firth_p: float
    min_mac: float
    maf: float
    hwe: float
    max_missing: float
    min_info: float


@dataclass(frozen=True)
class Linear:
    """A quantitative trait less its prediction.

    Attributes
    ----------
    residual
        ``(n,)``, in units of the trait.
    sd
        Its standard deviation.
    """

    residual: Floats
    sd: float

    @classmethod
    def of(cls, scaled: Floats, scale: float, prediction: Floats, df: int) -> Linear:
        """Take a scaled trait, and its prediction from other chromosomes."""
        residual = scale * (scaled - prediction)
        return cls(residual, float(np.linalg.norm(residual) / np.sqrt(df)))


@dataclass(frozen=True)
class Logistic:
    """A binary trait: cases, and their probabilities under the null hypothesis."""

    cases: Floats
    null: NullModel


def log10p_of_chisq(chisq: npt.ArrayLike) -> Floats:
    """Return -log10 of the upper tail of chi-square with one degree of freedom, however far."""
    z = np.sqrt(np.asarray(chisq, np.float64))
    return np.asarray(-(np.log(2) + special.log_ndtr(-z)) / np.log(10), np.float64)


class Tester:
    """Tests variants against the traits of a cohort.

    Parameters
    ----------
    cohort
        The people.
    models
        Of each of its traits: all `Linear`, or all `Logistic`; None of one that cannot be tested.
    rules
        Settings.
    """

    def __init__(
        self, cohort: Cohort, models: Sequence[Linear | Logistic | None], rules: Rules
    ) -> None:
        self._cohort, self._models, self._rules = cohort, models, rules
        linear = [m for m in models if isinstance(m, Linear)]
        # Without what lies along the covariates, so that genotypes need not be adjusted.
        basis = cohort.basis
        self._columns = np.zeros((len(cohort.rows), -(-len(linear) // PANEL) * PANEL))
        for place, model in enumerate(linear):
            self._columns[:, place] = model.residual - basis @ (basis.T @ model.residual)
        self._weighted = [
            np.column_stack([m.null.w[:, None] * m.null.basis, m.cases - m.null.p])
            if isinstance(m, Logistic)
            else None
            for m in models
        ]

    def test(
        self,
        dosages: Singles,
        info: Floats | None = None,
        odd: npt.NDArray[np.bool_] | None = None,
        summed: Floats | None = None,
    ) -> Floats:
        """Test variants.

        Parameters
        ----------
        dosages
            ``(V, n)`` float32 of the cohort's people: copies of the tested allele, NaN where
            missing.
        info
            ``(V,)`` imputation quality; by default 1.
        odd
            ``(V,)``: whether a variant has more than two alleles.
        summed
            ``(V,)``: of how many variants the counts are a sum, by default 1.

        Returns
        -------
        ndarray
            ``(T, 8, V)`` float64, see `Field` and `Code`; NaN where there is no figure.
        """
        out = np.full((len(self._models), len(Field), len(dosages)), np.nan)
        info = np.ones(len(dosages)) if info is None else info
        odd = np.zeros(len(dosages), bool) if odd is None else odd
        summed = np.ones(len(dosages)) if summed is None else summed
        for first in range(0, len(dosages), ROWS):
            part = slice(first, first + ROWS)
            self._panel(dosages[part], info[part], odd[part], summed[part], out[:, :, part])
        return out

    def _panel(
        self,
        dosages: Singles,
        info: Floats,
        odd: npt.NDArray[np.bool_],
        summed: Floats,
        out: Floats,
    ) -> None:
        many = len(dosages)
        there, total, hets, homs = count(dosages)
        with np.errstate(divide="ignore", invalid="ignore"):
            frequency = total / (2 * there * summed)
            means = np.where(there > 0, total / there, 0.0)
        code = self._dropped(there, total, hets, homs, frequency, info, odd, summed > 1)
        out[:, Field.A1FREQ], out[:, Field.N], out[:, Field.INFO] = frequency, there, info
        out[:, Field.CODE] = code
        tested = np.flatnonzero(code == Code.PLAIN)
        if not len(tested):
            return
        if any(isinstance(model, Linear) for model in self._models):
            self._linear(dosages, means, many, out)
        for place, model in enumerate(self._models):
            if model is None:
                out[place, Field.CODE, tested] = Code.FAILED
            elif isinstance(model, Logistic):
                weighted = self._weighted[place]
                assert weighted is not None
                self._logistic(dosages, means, summed > 1, model, weighted, out[place])
        untested = code != Code.PLAIN
        out[:, Field.BETA : Field.LOG10P + 1, untested] = np.nan
        out[:, Field.CODE, untested] = code[untested]

    def _dropped(
        self,
        there: Floats,
        total: Floats,
        hets: Floats,
        homs: Floats,
        frequency: Floats,
        info: Floats,
        odd: npt.NDArray[np.bool_],
        sums: npt.NDArray[np.bool_],
    ) -> Floats:
        """Return the code of each variant; the first reason counts."""
        rules, people = self._rules, len(self._cohort.rows)
        # A sum over variants has no other allele to be counted instead.
        minor = np.where(sums, total, np.minimum(total, 2 * there - total))
        with np.errstate(invalid="ignore"):
            reasons = [
                (Code.ODD, odd),
                (Code.MISSING, (people - there > rules.max_missing * people) | (there == 0)),
                (Code.RARE, minor < rules.min_mac),
                (Code.MAF, (np.minimum(frequency, 1 - frequency) < rules.maf) & ~sums),
                (Code.POOR, info < rules.min_info),
            ]
        if rules.hwe > 0:
            unlikely = hwe_p(there - hets - homs, hets, homs) < rules.hwe
            reasons.append((Code.HWE, unlikely & ~sums))
        code = np.full(len(there), float(Code.PLAIN))
        for number, hit in reversed(reasons):
            code[hit] = number
        return code

    def _tiles(self, dosages: Singles, means: Floats) -> Any:
        """Go through people: ``(ROWS, t)`` centred genotypes in double precision, 0 if missing."""
        for a in range(0, dosages.shape[1], _TILE):
            people = slice(a, min(a + _TILE, dosages.shape[1]))
            tile = np.zeros((ROWS, people.stop - a))
            centre(dosages[:, people], means, tile)
            yield people, tile

    def _linear(self, dosages: Singles, means: Floats, many: int, out: Floats) -> None:
        basis, columns = self._cohort.basis, self._columns
        squares = np.zeros(ROWS)
        loads = np.zeros((ROWS, basis.shape[1]))
        products = np.zeros((ROWS, columns.shape[1]))
        for people, tile in self._tiles(dosages, means):
            squares += np.einsum("ij,ij->i", tile, tile)
            loads += tile @ basis[people]
            for p in range(0, columns.shape[1], PANEL):
                products[:, p : p + PANEL] += tile @ columns[people, p : p + PANEL]
        left = (squares - np.einsum("ij,ij->i", loads, loads))[:many]
        flat = left <= 1e-8 * squares[:many]
        left[flat] = np.nan
        place = 0
        for trait, model in enumerate(self._models):
            if isinstance(model, Linear):
                beta = products[:many, place] / left
                _tell(out[trait], beta, model.sd / np.sqrt(left))
                out[trait, Field.CODE, flat] = Code.FLAT
                place += 1

    def _logistic(
        self,
        dosages: Singles,
        means: Floats,
        sums: npt.NDArray[np.bool_],
        model: Logistic,
        weighted: Floats,
        out: Floats,
    ) -> None:
        many, null, rules = len(dosages), model.null, self._rules
        products = np.zeros((ROWS, weighted.shape[1]))
        squares = np.zeros(ROWS)
        for people, tile in self._tiles(dosages, means):
            products += tile @ weighted[people]
            squares += _weighted_squares(tile, null.w[people])
        loads, score = products[:, :-1], products[:many, -1]
        turned = loads @ null.projector
        left = (squares - np.einsum("ij,ij->i", turned, loads))[:many]
        flat = left <= 1e-8 * squares[:many]
        left[flat] = np.nan
        _tell(out, score / left, 1 / np.sqrt(left))
        out[Field.CODE, flat] = Code.FLAT
        if rules.test == "score":
            return
        threshold = -np.log10(rules.firth_p)
        plain = out[Field.CODE] == Code.PLAIN
        chosen = np.flatnonzero(plain & (out[Field.LOG10P] > threshold))
        for row in chosen:
            # For the saddle point those who carry the rarer allele count.
            fold = means[row] > 1 and not sums[row]
            self._correct(dosages[row], means[row], turned[row], fold, model, out[:, row])

    def _correct(
        self,
        dosage: Singles,
        mean: float,
        turned: Floats,
        fold: bool,
        model: Logistic,
        out: Floats,
    ) -> None:
        """Put another test in the place of the score test of one variant."""
        null, rules = model.null, self._rules
        centred = np.where(np.isnan(dosage), 0.0, dosage.astype(np.float64) - mean)
        by_weight = centred - null.basis @ turned
        if rules.test == "firth":
            if rules.convention == "v1":
                basis = self._cohort.basis
                by_weight = centred - basis @ (basis.T @ centred)
            assert null.firth_offset is not None  # the null model was fitted for this test
            beta, se, chisq, ok = approximate_firth(model.cases, by_weight[None], null.firth_offset)
            if ok[0]:
                out[Field.BETA], out[Field.SE], out[Field.CHISQ] = beta[0], se[0], chisq[0]
                out[Field.LOG10P] = log10p_of_chisq(chisq[0])
        else:
            denominator = 1 / out[Field.SE] ** 2
            stat = out[Field.BETA] / out[Field.SE]
            carriers = np.where(np.isnan(dosage), mean, dosage) != (2 if fold else 0)
            log10p, ok = saddlepoint(
                np.array([stat]), np.array([denominator]), by_weight[None], null.p,
                carriers[None], rules.convention == "v4",
            )  # fmt: skip
            if ok[0]:
                out[Field.CHISQ], out[Field.LOG10P] = chisq_of_log10p(log10p[0]), log10p[0]
                out[Field.BETA] = np.sign(stat) * np.sqrt(out[Field.CHISQ]) * out[Field.SE]
        out[Field.CODE] = Code.CORRECTED if ok[0] else Code.FAILED
        if not ok[0]:
            out[Field.CHISQ] = out[Field.LOG10P] = np.nan


def chisq_of_log10p(log10p: float) -> float:
    """Return the chi-square value of one degree of freedom whose upper tail is 10^-log10p."""
    wanted = -log10p * np.log(10) - np.log(2)
    return float(special.ndtri_exp(wanted) ** 2)


def _tell(out: Floats, beta: Floats, se: Floats) -> None:
    chisq = np.square(beta / se)
    many = len(beta)
    out[Field.BETA, :many], out[Field.SE, :many], out[Field.CHISQ, :many] = beta, se, chisq
    out[Field.LOG10P, :many] = log10p_of_chisq(chisq)


@nb.njit(nogil=True, cache=True)
def _weighted_squares(tile: Any, weights: Any) -> Any:
    out = np.zeros(len(tile))
    for row in range(len(tile)):
        total = 0.0
        for person in range(tile.shape[1]):
            total += weights[person] * tile[row, person] * tile[row, person]
        out[row] = total
    return out
