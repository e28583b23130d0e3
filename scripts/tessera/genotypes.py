"""Genotypes of filesets: found and checked cheaply, then read range by range.

Three formats: PLINK 1 (``.bed``, ``.bim``, ``.fam``), PLINK 2 (``.pgen``, ``.pvar``, ``.psam``) and
BGEN 1.2 (``.bgen``). A genotype is the number of copies of the allele ``a1``: column 5 of a
``.bim``, ALT of a ``.pvar`` (https://www.cog-genomics.org/plink/2.0/formats), the first one of a
``.bgen``. Places in messages count from 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt
import pandas as pd

from tessera.bgen_files import Bgen
from tessera.errors import InputError, Problem
from tessera.filesets import COPY_AGAIN, Fileset
from tessera.genotype_files import (
    ALL_KINDS,
    chromosome_runs,
    find_fileset,
    find_filesets,
    read_samples,
    read_variants,
)
from tessera.plink_filesets import BED_MAGIC, allele_counts, open_pgen, reason
from tessera.plink_tables import unreadable

__all__ = [
    "ALL_KINDS",
    "Fileset",
    "GenotypeReader",
    "chromosome_runs",
    "find_fileset",
    "find_filesets",
    "read_samples",
    "read_variants",
    "write_bed",
]

_COUNTS = np.array([2, np.nan, 1, 0], dtype=np.float32)  # copies of a1 by 2-bit code of a .bed
_CODES = np.array([1, 3, 2, 0], dtype=np.uint8)  # the reverse, for counts from -1 (missing)
_BLOCK = 64  # variants of a .pgen brought into the wanted order at a time


class GenotypeReader:
    """Genotypes of chosen individuals over filesets that follow one another, as a context.

    Only the range that is asked for is ever held (of a ``.pgen`` and a ``.bgen`` also the index,
    about 20 bytes per variant). A reader serves one thread at a time.

    Parameters
    ----------
    filesets
        The filesets, whose variants are numbered from 0 in this order.
    samples
        For each fileset, ``(n,)`` int64: the rows of the individuals, in the wanted order.

    Attributes
    ----------
    n_variants
        Variants of all filesets.

    Raises
    ------
    ValueError
        The rows are not as many in each fileset, none, or outside of it.
    """

    def __init__(
        self, filesets: Sequence[Fileset], samples: Sequence[npt.NDArray[np.int64]]
    ) -> None:
        for fileset, rows in zip(filesets, samples, strict=True):
            if not len(rows) or len(rows) != len(samples[0]):
                raise ValueError(f"{len(rows)} individuals of {fileset.prefix}")
            if rows.min() < 0 or rows.max() >= fileset.n_samples:
                raise ValueError(f"rows {rows.min()} to {rows.max()} of {fileset.prefix}")
        self.n_variants = sum(fileset.n_variants for fileset in filesets)
        self._filesets = tuple(filesets)
        # Unsigned, since an index that may be negative costs the kernel a branch per genotype.
        self._rows = [np.asarray(rows).astype(np.uint64) for rows in samples]
        self._opened: dict[int, _Pgen | Bgen] = {}  # when first read: an index takes time

    def __enter__(self) -> GenotypeReader:
        return self

    def __exit__(self, *_: object) -> None:
        while self._opened:
            self._opened.popitem()[1].close()

    def read(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Read a range of variants, which may span filesets.

        Parameters
        ----------
        start, stop
            Half-open range of variants.

        Returns
        -------
        ndarray
            ``(stop - start, n)`` float32: copies of allele a1 from 0 to 2 (dosages where a
            ``.pgen`` has them, expected copies of a ``.bgen``), NaN where missing and in
            variants of a ``.pgen`` or a ``.bgen`` that have not two alleles.

        Raises
        ------
        ValueError
            The range goes beyond the variants.
        InputError
            The genotypes cannot be read, such as those of a file that ends early.
        """
        return self._read(start, stop, None)

    def read_with_info(
        self, start: int, stop: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
        """Read a range of variants, and how well they were imputed.

        Parameters
        ----------
        start, stop
            Half-open range of variants.

        Returns
        -------
        dosages : ndarray
            As `read` returns them.
        info : ndarray
            ``(stop - start,)`` float64, over the chosen individuals whose genotype is known. Of
            a ``.bgen``, which has probabilities: the info score of IMPUTE (Marchini and Howie
            2010, see `tessera.bgen_files.Bgen.read`). Of dosages in a ``.pgen``: r2 of MaCH,
            ``var(dosage) / (2 f (1 - f))`` with f the frequency of a1. 1 for variants without
            dosages and where f is 0 or 1; NaN where no genotype is known.

        Raises
        ------
        ValueError, InputError
            As of `read`.
        """
        info = np.ones(max(0, stop - start), dtype=np.float64)
        return self._read(start, stop, info), info

    def _read(
        self, start: int, stop: int, info: npt.NDArray[np.float64] | None
    ) -> npt.NDArray[np.float32]:
        if not 0 <= start <= stop <= self.n_variants:
            raise ValueError(f"variants {start} to {stop} of {self.n_variants}")
        out = np.empty((stop - start, len(self._rows[0]) if self._rows else 0), dtype=np.float32)
        first = 0
        for number, fileset in enumerate(self._filesets):
            low, high = max(start, first), min(stop, first + fileset.n_variants)
            if low < high:
                part = slice(low - start, high - start)
                scores = None if info is None else info[part]
                if fileset.kind == "bed":
                    _read_bed(fileset, low - first, self._rows[number], out[part])
                    if scores is not None:
                        scores[np.isnan(out[part]).all(axis=1)] = np.nan
                else:
                    self._open(number).read(low - first, out[part], scores)
            first += fileset.n_variants
        return out

    def _open(self, number: int) -> _Pgen | Bgen:
        if number not in self._opened:
            kind = Bgen if self._filesets[number].kind == "bgen" else _Pgen
            self._opened[number] = kind(self._filesets[number], self._rows[number])
        return self._opened[number]


def write_bed(
    prefix: Path,
    chunks: Iterable[npt.NDArray[np.int8]],
    samples: pd.DataFrame,
    variants: pd.DataFrame,
) -> None:
    """Write a PLINK 1 fileset from genotypes that come in chunks.

    Parameters
    ----------
    prefix
        Path of the three files without suffix.
    chunks
        ``(S, N)`` int8 each, in the order of `variants`: copies of a1, -1 where missing.
    samples
        N rows with ``fid`` and ``iid``.
    variants
        One row per variant with ``id``, ``chr``, ``pos``, ``a1`` and ``a2``.

    Raises
    ------
    ValueError
        The chunks do not fit `samples` and `variants`, or hold other numbers.
    """
    written = 0
    with Path(f"{prefix}.bed").open("wb") as stream:
        stream.write(BED_MAGIC)
        for chunk in chunks:
            if chunk.ndim != 2 or chunk.shape[1] != len(samples):
                raise ValueError(f"chunk of shape {chunk.shape} for {len(samples)} individuals")
            if chunk.size and not (chunk.min() >= -1 and chunk.max() <= 2):
                raise ValueError(f"genotypes from {chunk.min()} to {chunk.max()}")
            codes = np.pad(_CODES[chunk + 1], ((0, 0), (0, -len(samples) % 4)))
            packed = codes[:, ::4].copy()
            for place in (1, 2, 3):
                packed |= codes[:, place::4] << 2 * place
            stream.write(packed.tobytes())
            written += len(chunk)
    if written != len(variants):
        raise ValueError(f"{written} variants came where {len(variants)} were announced")
    fam = samples[["fid", "iid"]].assign(father=0, mother=0, sex=0, phenotype=-9)
    bim = variants.assign(cm=0)[["chr", "id", "cm", "pos", "a1", "a2"]]
    for frame, suffix in ((fam, "fam"), (bim, "bim")):
        frame.to_csv(f"{prefix}.{suffix}", sep="\t", header=False, index=False, lineterminator="\n")


@nb.njit(nogil=True, cache=True)
def _decode(packed: Any, rows: Any, out: Any) -> None:
    """Pick individuals out of rows of 2-bit codes, four to a byte from its lowest bits on."""
    for variant in range(out.shape[0]):
        codes = packed[variant]
        for person in range(rows.size):
            row = rows[person]
            out[variant, person] = _COUNTS[(codes[row >> 2] >> (2 * (row & 3))) & 3]


def _read_bed(
    fileset: Fileset, start: int, rows: npt.NDArray[np.uint64], out: npt.NDArray[np.float32]
) -> None:
    width, file = -(-fileset.n_samples // 4), fileset.files[0]
    try:
        offset = len(BED_MAGIC) + start * width
        packed = np.fromfile(file, np.uint8, count=len(out) * width, offset=offset)
    except OSError as error:
        raise unreadable(file, error) from None
    if packed.size < len(out) * width:
        place = f"variant {start + packed.size // width + 1}"
        raise InputError(Problem(file, place, "the file ends early", COPY_AGAIN))
    _decode(packed.reshape(len(out), width), rows, out)


class _Pgen:
    """An open ``.pgen`` and the order in which its individuals are wanted."""

    def __init__(self, fileset: Fileset, rows: npt.NDArray[np.uint64]) -> None:
        alleles = allele_counts(fileset)
        subset, self.order = np.unique(rows, return_inverse=True)  # pgenlib wants them ascending
        self.file, self.multiallelic, self.subset = fileset.files[0], alleles > 2, subset
        self.reader = open_pgen(fileset, alleles, subset.astype(np.uint32))

    def close(self) -> None:
        self.reader.close()

    def read(
        self, start: int, out: npt.NDArray[np.float32], info: npt.NDArray[np.float64] | None
    ) -> None:
        block = np.empty((_BLOCK, len(self.subset)), dtype=np.float32)
        for first in range(0, len(out), _BLOCK):
            part = out[first : first + _BLOCK]
            low, high = start + first, start + first + len(part)
            try:
                self.reader.read_dosages_range(low, high, block[: len(part)])  # of ALT
            except RuntimeError as error:
                what = f"the genotypes cannot be read ({reason(error)})"
                place = f"variants {low + 1} to {high}"
                raise InputError(Problem(self.file, place, what, COPY_AGAIN)) from None
            block[block == -9] = np.nan
            np.take(block[: len(part)], self.order, axis=1, out=part, mode="clip")
            part[self.multiallelic[low:high]] = np.nan
            if info is not None:
                _rsq(part, info[first : first + _BLOCK])


@nb.njit(nogil=True, cache=True)
def _rsq(dosages: Any, out: Any) -> None:
    """Compute r2 of MaCH of each variant that has a dosage between the whole numbers."""
    for variant in range(out.size):
        known, total, squares, whole = 0, 0.0, 0.0, True
        for dosage in dosages[variant]:
            if not np.isnan(dosage):
                count = np.float64(dosage)
                whole = whole and count == np.rint(count)
                known, total, squares = known + 1, total + count, squares + count * count
        if not known:
            out[variant] = np.nan
        elif whole or total == 0 or total == 2 * known:
            out[variant] = 1
        else:
            mean = total / known
            out[variant] = (squares / known - mean * mean) / (mean * (1 - mean / 2))
