"""Products of SNP rows and maps, of which only what passes a limit is kept.

A product of unit rows is a correlation. It is computed in single precision, by a BLAS or on a GPU,
and serves as a sieve alone: what it lets pass is decided again in double precision
(`tessera.vgwas.exact`), so that neither the library nor the shape of a block can change a result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import numba
import numpy as np
import numpy.typing as npt

from tessera.errors import InputError, Problem

Singles = npt.NDArray[np.float32]
Places = npt.NDArray[np.int32]
Weights = Callable[[int, int], Singles]
"""Of the voxels from .. to, (S, W) for S rows or (1, W) for all."""

MOST = 1_000_000  # pairs; they take some 120 bytes each on their way through
_WIDTH = 2048  # voxels of a block of the product, which stays in the cache with 512 SNPs or so
_STEP = 32


def margin(n: int) -> float:
    """Return how far a correlation of N subjects in single precision may be from the exact one.

    A sum of N products of unit vectors errs by at most N 2^-24 (Higham 2002, section 3.1), and
    comes near that where the products take few values, as those of binary maps do. A BLAS adds up
    some hundred products at a time, and then these sums.
    """
    return float(2.0**-24 * (16 + min(n, 512 + n / 64)))


class Overfull(Exception):
    """More pairs pass than there is room for: fewer rows are to be tried."""


@dataclass(frozen=True)
class Passed:
    """Pairs that passed a limit.

    Attributes
    ----------
    row, voxel
        (P,) int32, sorted by row and then by voxel.
    r
        (P,) float32, the correlation in single precision (where there are weights: times those).
    best, best_at, second
        (S,) largest |r| of each row, where that is, and the second largest.
    """

    row: Places
    voxel: Places
    r: Singles
    best: Singles
    best_at: Places
    second: Singles


class Engine(Protocol):
    """Multiplies rows by the maps."""

    def sieve(self, x: Singles, limit: Singles, weights: Weights | None = None) -> Passed:
        """Return the pairs whose |r| is at least the limit of their row.

        Parameters
        ----------
        x
            (S, N) rows of length 1.
        limit
            (S,) limits.
        weights
            Of a range of voxels, by which products are multiplied; None: by nothing.

        Raises
        ------
        Overfull
            More than MOST pairs pass, of several rows.
        """


class Sgemm:
    """The BLAS of numpy.

    Parameters
    ----------
    phenotype
        (V, N) float32 rows of length 1; a memory map will do.
    """

    def __init__(self, phenotype: Singles) -> None:
        self._y = phenotype
        self._product = np.empty((0, 0), np.float32)
        self._row = np.empty(1 << 16, np.int32)
        self._voxel = np.empty(1 << 16, np.int32)
        self._r = np.empty(1 << 16, np.float32)

    def sieve(self, x: Singles, limit: Singles, weights: Weights | None = None) -> Passed:
        """See `Engine`."""
        best, second = np.full((2, len(x)), -1, np.float32)
        best_at = np.zeros(len(x), np.int32)
        found = 0
        if self._product.shape != (len(x), _WIDTH):
            self._product = np.empty((len(x), _WIDTH), np.float32)
        for start in range(0, len(self._y), _WIDTH):
            y = self._y[start : start + _WIDTH]
            c = np.matmul(x, y.T, out=self._product if len(y) == _WIDTH else None)
            if weights is not None:
                c *= weights(start, start + len(y))
            while True:
                kept = self._row, self._voxel, self._r
                count = _sift(c, limit, best, best_at, second, *kept, found, start)
                if count > MOST and len(x) > 1:
                    raise Overfull
                if count <= len(self._row):
                    found = count
                    break
                self._grow(count)
        # Blocks of voxels came one after the other: a stable sort by row keeps voxels in order.
        order = np.argsort(self._row[:found], kind="stable")
        return Passed(
            self._row[:found][order],
            self._voxel[:found][order],
            self._r[:found][order],
            best,
            best_at,
            second,
        )

    def _grow(self, least: int) -> None:
        self._row = np.resize(self._row, 2 * least)
        self._voxel = np.resize(self._voxel, 2 * least)
        self._r = np.resize(self._r, 2 * least)


class Torch:
    """A GPU, where PyTorch finds one; otherwise the processor, through PyTorch.

    Parameters
    ----------
    phenotype
        (V, N) float32 rows of length 1.
    """

    def __init__(self, phenotype: Singles) -> None:
        try:
            torch = import_module("torch")
        except ImportError:
            remedy = "install it, or set vgwas.engine to sgemm"
            problem = Problem("config", "vgwas.engine", "PyTorch is not installed", remedy)
            raise InputError(problem) from None
        self._torch: Any = torch
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.backends.cuda.matmul.allow_tf32 = False  # 10 bits of mantissa would not do
        self._y = torch.from_numpy(np.array(phenotype)).to(self._device)

    def sieve(self, x: Singles, limit: Singles, weights: Weights | None = None) -> Passed:
        """See `Engine`."""
        torch = self._torch
        c = torch.from_numpy(x).to(self._device) @ self._y.T
        if weights is not None:
            c *= torch.from_numpy(weights(0, len(self._y))).to(self._device)
        size = c.abs()
        tops, places = torch.topk(size, min(2, size.shape[1]), dim=1)
        at = torch.nonzero(size >= torch.from_numpy(limit).to(self._device)[:, None])
        if len(at) > MOST and len(x) > 1:
            raise Overfull
        r = c[at[:, 0], at[:, 1]]
        return Passed(
            at[:, 0].to(torch.int32).cpu().numpy(),
            at[:, 1].to(torch.int32).cpu().numpy(),
            r.cpu().numpy(),
            tops[:, 0].cpu().numpy(),
            places[:, 0].to(torch.int32).cpu().numpy(),
            tops[:, -1].cpu().numpy() if size.shape[1] > 1 else np.full(len(x), -1, np.float32),
        )


ENGINES: dict[str, Callable[[Singles], Engine]] = {"sgemm": Sgemm, "torch": Torch}


@numba.njit(cache=True, nogil=True, fastmath=True)
def _sift(  # type: ignore[no-untyped-def]
    c, limit, best, best_at, second, out_row, out_voxel, out_r, found, offset
):
    rows, width = c.shape
    room = len(out_row)
    whole = width // _STEP
    for s in range(rows):
        row, least, top, at, next_top = c[s], limit[s], best[s], best_at[s], second[s]
        for step in range(whole + 1):
            start = step * _STEP
            largest = np.float32(0)
            # Of the steps of full length the compiler knows the length: these are fast.
            if step < whole:
                stop = start + _STEP
                for j in range(_STEP):
                    size = abs(row[start + j])
                    largest = size if size > largest else largest
            else:
                stop = width
                for j in range(start, stop):
                    largest = max(largest, abs(row[j]))
            if largest > next_top or largest >= least:
                for j in range(start, stop):
                    size = abs(row[j])
                    # A block that comes again, once there is more room, counts once.
                    if size > top:
                        top, at, next_top = size, offset + j, top
                    elif size > next_top and offset + j != at:
                        next_top = size
                    if size >= least:
                        if found < room:
                            out_row[found] = s
                            out_voxel[found] = offset + j
                            out_r[found] = row[j]
                        found += 1
        best[s], best_at[s], second[s] = top, at, next_top
    return found
