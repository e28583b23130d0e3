"""BGEN 1.2 files: checked, who and what is in them, and expected allele counts.

The format is described at https://www.chg.ox.ac.uk/~gav/bgen_format/. Variants lie one after the
other, each with a header that says how long its compressed genotypes are, so that all headers can
be read without decompressing any; an index (``.bgen.bgi``, of ``bgenix -index``) saves even that.
"""

from __future__ import annotations

import logging
import math
import sqlite3
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from sys import intern
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt
import pandas as pd
from bgen import BgenReader

from tessera.errors import InputError, Problem
from tessera.filesets import COPY_AGAIN, Fileset, check_names, gather
from tessera.plink_tables import Table, count_lines, read_columns, unreadable

# The package logs to the root logger, which without a handler would make itself one, and print
# from then on whatever anyone logs.
logging.getLogger().addHandler(logging.NullHandler())

_EXPORT = "export it with plink2 --export bgen-1.2"
_INDEX_AGAIN = "make it again with bgenix -index, or remove it"
_NEAR = 3e-5  # of 1/255: more than the package's probabilities of 8 bits are off
_OVER = 1 + 1e-6  # how much probabilities may add up to
_DAMAGE = (ValueError, IndexError, RuntimeError)  # by which the package tells bad bytes


def find_bgen(stem: str) -> Fileset:
    """Check a ``.bgen``, its ``.sample`` and its index, without decompressing genotypes.

    Parameters
    ----------
    stem
        Path without suffix.

    Raises
    ------
    InputError
        With every problem: no ``.bgen``, one of another layout, that ends early or goes on after
        its last variant; an index of another file; no names of individuals in it and no
        ``.sample``; a ``.sample`` without its two first lines or of other people.
    """
    file = f"{stem}.bgen"
    _check_magic(file)
    with _open(file) as reader:
        header = reader.header
        if header.layout != 2:
            what = f"has layout {header.layout}, that of BGEN 1.1"
            raise InputError(Problem(file, "", what, _EXPORT))
        problems = [
            Problem(file, "", f"holds no {things}", "export the fileset again")
            for number, things in ((header.nvariants, "variants"), (header.nsamples, "individuals"))
            if not number
        ]
        if problems:
            raise InputError(problems)
        fileset = Fileset(stem, "bgen", header.nsamples, header.nvariants)
        gather(problems, _check_end, fileset, reader)
    if fileset.samples_file != file:
        gather(problems, _open_sample, fileset)
    elif not header.has_sample_ids:
        what = f"names no individuals, and {stem}.sample does not exist"
        problems.append(Problem(file, "", what, "provide the .sample that belongs to it"))
    if problems:
        raise InputError(problems)
    return fileset


def read_bgen_samples(fileset: Fileset) -> pd.DataFrame:
    """Read ``fid`` and ``iid`` of each individual.

    They are ID_1 and ID_2 of the ``.sample`` if there is one. Else the ``.bgen`` has one name
    each, which REGENIE takes for FID and IID joined by ``_``, as plink2 writes it: if all names
    have an odd number of ``_`` they are cut at the middle one, such as ``1_1`` or ``a_1_a_1``;
    otherwise FID and IID are both the name.

    Raises
    ------
    InputError
        Rows of the wrong width, or names that hold blanks or come more than once.
    """
    file = fileset.files[0]
    if fileset.samples_file != file:
        return read_columns(_open_sample(fileset), {"fid": "ID_1", "iid": "ID_2"})
    with _open(file) as reader:
        try:
            names = reader.samples
        except ValueError as error:
            raise _damaged(file, "its individuals' names", error) from None
    check_names(file, names)
    halves = [_halves(name) for name in names]
    if not all(fid and iid for fid, iid in halves):
        halves = [(name, name) for name in names]
    return pd.DataFrame(halves, columns=["fid", "iid"])


def read_bgen_variants(fileset: Fileset) -> pd.DataFrame:
    """Read ``id``, ``chr``, ``pos``, ``a1`` (the first allele), ``a2`` and ``multiallelic``.

    ``id`` is the rsid, or the other id where that is empty. Further alleles than the first are
    joined by commas.
    """
    ids, chromosomes, positions, first, second, many = [], [], [], [], [], []
    try:
        for variant in _variants(fileset):
            alleles = variant.alleles
            ids.append(variant.rsid or variant.varid)
            chromosomes.append(intern(variant.chrom))
            positions.append(variant.pos)
            first.append(intern(alleles[0] if alleles else "."))
            second.append(intern(",".join(alleles[1:]) or "."))
            many.append(len(alleles) != 2)
    except UnicodeDecodeError as error:
        raise _damaged(fileset.files[0], f"variant {len(many) + 1}", error) from None
    columns = {"id": ids, "chr": chromosomes, "pos": np.array(positions, dtype=np.int64)}
    return pd.DataFrame(columns | {"a1": first, "a2": second, "multiallelic": many})


def bgen_chromosomes(fileset: Fileset) -> Iterator[str]:
    """Go through the chromosome of each variant; an index has them without the file."""
    file = fileset.files[0]
    index = _index(file)
    try:
        if index:
            with _open(file) as reader:
                yield from reader.chroms()
        else:
            for variant in _variants(fileset):
                yield variant.chrom
    except UnicodeDecodeError as error:
        raise _damaged(file, "a chromosome's name", error) from None
    except sqlite3.Error as error:
        raise _bad_index(index, error) from None


class Bgen:
    """An open ``.bgen`` and the individuals that are wanted of it.

    With an index, a variant is found at once. Without, the headers of those before it are read,
    about 2 seconds per million; reading on from where the last range ended costs nothing.

    Parameters
    ----------
    fileset
        The fileset.
    rows
        ``(n,)`` uint64: rows of the individuals, in the wanted order.
    """

    def __init__(self, fileset: Fileset, rows: npt.NDArray[np.uint64]) -> None:
        self._file, self._rows = fileset.files[0], rows
        self._indexed = bool(_index(self._file))
        self._reader, self._next = _open(self._file), 0
        header = self._reader.header
        if (header.nvariants, header.nsamples) != (fileset.n_variants, fileset.n_samples):
            what = f"holds {header.nvariants} variants of {header.nsamples} individuals, but "
            what += f"{fileset.n_variants} of {fileset.n_samples} before"
            self.close()
            remedy = "leave the files alone while they are used"
            raise InputError(Problem(self._file, "", what, remedy))

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def read(
        self, start: int, out: npt.NDArray[np.float32], info: npt.NDArray[np.float64] | None
    ) -> None:
        """Read variants from `start` on into `out`, ``(v, n)``, and their info score into `info`.

        The count of the first allele is expected from the probabilities of the genotypes, in
        float64 and then rounded. An individual with one copy of the chromosome counts as with two
        alike, as in PLINK. The info score is that of IMPUTE over the individuals whose genotype
        is not missing: ``1 - sum(var_i) / (2 n f (1 - f))``, where var_i is the variance of
        individual i's count given its probabilities and f the frequency of the allele; 1 where f
        is 0 or 1, NaN where nobody has a genotype.
        """
        for place in range(len(out)):
            number = start + place
            try:
                variant = self._variant(number)
                if len(variant.alleles) == 2:
                    probabilities, ploidy = variant.probabilities, variant.ploidy
                    score = _expect(
                        probabilities, ploidy, variant.is_phased, self._rows, out[place]
                    )
                else:
                    out[place] = score = math.nan
            except (*_DAMAGE, sqlite3.Error) as error:
                raise _damaged(self._file, f"variant {number + 1}", error) from None
            if info is not None:
                info[place] = score

    def _variant(self, number: int) -> Any:
        if self._indexed:
            return self._reader[number]
        if number < self._next:
            self._reader.close()
            self._reader, self._next = _open(self._file), 0
        variant = next(islice(self._reader, number - self._next, None))
        self._next = number + 1
        return variant


@nb.njit(cache=True, inline="always")
def _exact(probability: Any) -> Any:
    """Undo the rounding of a probability of 8 bits, which the package takes from a table."""
    scaled = np.float64(probability) * 255
    nearest = np.rint(scaled)
    return nearest / 255 if abs(scaled - nearest) < _NEAR else np.float64(probability)


@nb.njit(nogil=True, cache=True)
def _expect(probabilities: Any, ploidy: Any, phased: Any, rows: Any, out: Any) -> Any:
    """Expect counts of the first allele of two from probabilities; return the info score.

    Columns of the probabilities: both copies, one, none; or, where phased, of each chromosome:
    the first allele, the second.
    """
    known, total, uncertain = 0, 0.0, 0.0
    for person in range(rows.size):
        row = rows[person]
        copies = ploidy[row]
        first = _exact(probabilities[row, 0])
        if copies == 1:
            count, variance = 2 * first, 4 * first * (1 - first)
        elif copies == 2 and phased:
            other = _exact(probabilities[row, 2])
            count, variance = first + other, first * (1 - first) + other * (1 - other)
        elif copies == 2:
            one = _exact(probabilities[row, 1])
            count = 2 * first + one
            variance = 4 * first + one - count * count
            if first + one > _OVER:
                raise ValueError("probabilities add up to more than 1")
        else:
            count = variance = math.nan
        if math.isnan(variance):
            out[person] = math.nan
        else:
            out[person] = count
            known, total, uncertain = known + 1, total + count, uncertain + variance
    if not known:
        return math.nan
    frequency = total / (2 * known)
    if frequency <= 0 or frequency >= 1:
        return 1.0
    return 1 - uncertain / (2 * known * frequency * (1 - frequency))


def _halves(name: str) -> tuple[str, str]:
    """Cut a name at the middle one of an odd number of ``_``."""
    parts = name.split("_")
    half = len(parts) // 2 if len(parts) % 2 == 0 else 0
    return "_".join(parts[:half]), "_".join(parts[half:])


def _check_magic(file: str) -> None:
    try:
        with Path(file).open("rb") as stream:
            start = stream.read(20)
    except OSError as error:
        raise unreadable(file, error) from None
    if start[16:] not in (b"bgen", bytes(4)):
        found = f"it starts with {start[:3].hex(' ')}" if start else "it is empty"
        raise InputError(Problem(file, "", f"is no BGEN file ({found})", _EXPORT))


def _index(file: str) -> str:
    """Return the path of the index, empty if there is none."""
    return f"{file}.bgi" if Path(f"{file}.bgi").exists() else ""


def _open(file: str) -> BgenReader:
    try:
        return BgenReader(file)
    except sqlite3.Error as error:
        raise _bad_index(f"{file}.bgi", error) from None
    except _DAMAGE as error:
        raise InputError(Problem(file, "", f"cannot be opened ({error})", COPY_AGAIN)) from None


def _variants(fileset: Fileset) -> Iterator[Any]:
    """Go through the headers of all variants in the file."""
    file, number = fileset.files[0], 1
    with _open(file) as reader:
        try:
            for variant in islice(reader, fileset.n_variants):
                yield variant
                number += 1
        except _DAMAGE as error:
            raise _damaged(file, f"variant {number}", error) from None


def _check_end(fileset: Fileset, reader: BgenReader) -> None:
    """Compare the places of the variants with the size of the file."""
    file, index = fileset.files[0], _index(fileset.files[0])
    size = Path(file).stat().st_size
    if index and _end_in_index(reader, index) == size:
        return
    (last,) = deque(_variants(fileset), maxlen=1)
    more = size - last.next_variant_offset
    if more < 0:
        what = f"is truncated: {-more} bytes of its last variant are missing"
        raise InputError(Problem(file, "", what, COPY_AGAIN))
    if more > 0:
        what = f"goes on for {more} bytes after the {fileset.n_variants} variants it announces"
        raise InputError(Problem(file, "", what, COPY_AGAIN))
    if index:
        raise InputError(Problem(index, "", "is the index of another file", _INDEX_AGAIN))


def _end_in_index(reader: BgenReader, index: str) -> int:
    """Find where the last variant ends according to the index; 0 if that makes no sense."""
    header = reader.header
    try:
        if len(reader) == header.nvariants and reader[0].fileoffset == header.offset + 4:
            return int(reader[header.nvariants - 1].next_variant_offset)
    except sqlite3.Error as error:
        raise _bad_index(index, error) from None
    except _DAMAGE:
        pass
    return 0


def _open_sample(fileset: Fileset) -> Table:
    """Check the two first lines of a ``.sample`` and its number of rows."""
    file = fileset.samples_file
    try:
        with Path(file).open("rb") as stream:
            lines = [stream.readline().decode("utf-8", "replace").split() for _ in range(2)]
        rows = count_lines(file) - 2
    except OSError as error:
        raise unreadable(file, error) from None
    for number, (line, wanted) in enumerate(zip(lines, ("ID_1 ID_2", "0 0"), strict=True), 1):
        if line[:2] != wanted.split():
            what = f"starts with {' '.join(line[:2])[:40] or 'nothing'}"
            remedy = f"begin a .sample with {wanted}"
            raise InputError(Problem(file, f"row {number}", what, remedy))
    if rows != fileset.n_samples:
        what = f"names {rows} individuals where {fileset.files[0]} holds {fileset.n_samples}"
        raise InputError(Problem(file, "", what, "bring the two files of one export together"))
    return Table(file, tuple(lines[0]), 2, rows)


def _bad_index(index: str, error: sqlite3.Error) -> InputError:
    return InputError(Problem(index, "", f"cannot be read ({error})", _INDEX_AGAIN))


def _damaged(file: str, place: str, error: Exception) -> InputError:
    return InputError(Problem(file, place, f"cannot be read ({error})", COPY_AGAIN))
