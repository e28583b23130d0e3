"""PLINK filesets: found, checked for whether their files fit together, and what is in them.

Two formats: PLINK 1 (``.bed``, ``.bim``, ``.fam``) and PLINK 2 (``.pgen``, ``.pvar``, ``.psam``),
see https://www.cog-genomics.org/plink/2.0/formats.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from pgenlib import PgenReader

from tessera.errors import InputError, Problem
from tessera.plink_tables import (
    SAMPLES,
    VARIANTS,
    open_table,
    read_columns,
    remedy_for_missing,
    unreadable,
)

T = TypeVar("T")

BED_MAGIC = b"\x6c\x1b\x01"
COPY_AGAIN = "copy or export it again"

_SUFFIXES = {"bed": ("bed", "bim", "fam"), "pgen": ("pgen", "pvar", "psam")}
_PGEN_MAGIC = b"\x6c\x1b"
_PGEN_MODES = (0x02, 0x03, 0x04, 0x10, 0x11)  # those with counts and index in the file itself


@dataclass(frozen=True)
class Fileset:
    """A PLINK fileset whose files are there and fit together.

    Attributes
    ----------
    prefix
        Path of the files without suffix, as the user gave it.
    kind
        ``bed`` or ``pgen``.
    n_samples
        Individuals.
    n_variants
        Variants.
    """

    prefix: str
    kind: str
    n_samples: int
    n_variants: int

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of the genotypes, the variants and the individuals, in this order."""
        return tuple(f"{self.prefix}.{suffix}" for suffix in _SUFFIXES[self.kind])


def find_fileset(prefix: str) -> Fileset:
    """Find a fileset and check that its three files fit together, without reading genotypes.

    Parameters
    ----------
    prefix
        Path without suffix, or with ``.bed`` or ``.pgen``.

    Returns
    -------
    Fileset
        What was found, with its numbers of individuals and variants.

    Raises
    ------
    InputError
        With every problem: files that are missing, empty or unreadable, both formats under a
        prefix without suffix, no (or an individual-major) ``.bed``, no ``.pgen``, a compressed
        ``.pvar``, or numbers of variants and individuals that the genotypes contradict.
    """
    stem, kind = _stem_and_kind(prefix)
    data, variants, samples = Fileset(stem, kind, 0, 0).files
    problems: list[Problem] = []
    magic = _gather(problems, _read_start, data)
    if magic is not None:
        _gather(problems, _check_magic, data, magic)
    rows = _gather(problems, open_table, variants, VARIANTS)
    people = _gather(problems, open_table, samples, SAMPLES)
    if problems or magic is None or rows is None or people is None:
        raise InputError(problems)
    fileset = Fileset(stem, kind, n_samples=people.rows, n_variants=rows.rows)
    if kind == "bed":
        _check_bed_size(fileset)
    else:
        _check_pgen_counts(fileset, magic)
        _check_pgen_end(fileset)
    return fileset


def find_filesets(prefixes: Sequence[str]) -> list[Fileset]:
    """Find several filesets as `find_fileset` does; a prefix that comes twice is a problem too.

    Raises
    ------
    InputError
        With every problem of all of them.
    """
    problems: list[Problem] = []
    found: list[Fileset] = []
    seen: set[Path] = set()
    for prefix in prefixes:
        place = Path(prefix.removesuffix(".bed").removesuffix(".pgen")).resolve()
        if place in seen:
            what = "the fileset is named more than once"
            problems.append(Problem(prefix, "", what, "name each fileset once"))
            continue
        seen.add(place)
        if (fileset := _gather(problems, find_fileset, prefix)) is not None:
            found.append(fileset)
    if problems:
        raise InputError(problems)
    return found


def read_samples(fileset: Fileset) -> pd.DataFrame:
    """Read who the individuals of a fileset are.

    Returns
    -------
    DataFrame
        One row per individual, in the order of the file: ``fid`` (``0`` where the file has no
        families, as in PLINK 2) and ``iid``, both str.

    Raises
    ------
    InputError
        With every row of the wrong width, or ids that occur more than once.
    """
    table = open_table(fileset.files[2], SAMPLES)
    if "FID" in table.columns:
        frame = read_columns(table, {"fid": "FID", "iid": "IID"})
    else:
        frame = read_columns(table, {"iid": "IID"})
        frame.insert(0, "fid", pd.Series("0", index=frame.index, dtype=frame["iid"].dtype))
    repeated = frame["iid"][frame["iid"].duplicated()].unique()
    if len(repeated):
        shown = ", ".join(repeated[:3]) + (", ..." if len(repeated) > 3 else "")
        which = "1 id occurs" if len(repeated) == 1 else f"{len(repeated)} ids occur"
        what = f"{which} more than once ({shown})"
        raise InputError(Problem(table.file, "", what, "give each individual an IID of its own"))
    return frame


def read_variants(fileset: Fileset) -> pd.DataFrame:
    """Read what the variants of a fileset are.

    Returns
    -------
    DataFrame
        One row per variant, in the order of the file: ``id``, ``chr`` (str), ``pos`` (int64, base
        pairs), ``a1`` (the counted allele) and ``a2`` (str), and ``multiallelic`` (bool).

    Raises
    ------
    InputError
        With the first 20 rows of the wrong width or without a position, and how many more.
    """
    table = open_table(fileset.files[1], VARIANTS)
    wanted = {"id": "ID", "chr": "CHROM", "pos": "POS", "a1": "ALT", "a2": "REF"}
    frame = read_columns(table, wanted, integer="POS")
    comma = [frame[allele].str.contains(",", regex=False) for allele in ("a1", "a2")]
    frame["multiallelic"] = (comma[0] | comma[1]).astype(bool)
    return frame


def open_pgen(
    fileset: Fileset, alleles: npt.NDArray[np.int64], subset: npt.NDArray[np.uint32] | None = None
) -> PgenReader:
    """Open a ``.pgen``.

    Parameters
    ----------
    fileset
        The fileset.
    alleles
        ``(n_variants,)``, from `allele_counts`.
    subset
        Rows of the individuals to read, ascending; by default all.

    Raises
    ------
    InputError
        What pgenlib says against the file.
    """
    file, variants, _ = fileset.files
    if len(alleles) != fileset.n_variants:  # pgenlib would read beyond the end of the offsets
        what = f"holds {len(alleles)} variants, but {fileset.n_variants} before"
        raise InputError(Problem(variants, "", what, "leave the files alone while they are used"))
    # Without the numbers of alleles pgenlib takes every variant for bi-allelic, and counts wrong.
    offsets = np.concatenate([[0], np.cumsum(alleles)]).astype(np.uintp)
    try:
        return PgenReader(
            os.fsencode(file),
            raw_sample_ct=fileset.n_samples,
            variant_ct=fileset.n_variants,
            sample_subset=subset,
            allele_idx_offsets=offsets,
        )
    except RuntimeError as error:
        what = f"cannot be opened ({reason(error)})"
        raise InputError(Problem(file, "", what, COPY_AGAIN)) from None


def allele_counts(fileset: Fileset) -> npt.NDArray[np.int64]:
    """Count the alleles of each variant of a ``.pvar``, REF and those of ALT: ``(n_variants,)``."""
    table = open_table(fileset.files[1], VARIANTS)
    column = table.columns.index("ALT")
    alts = (line.split(None, column + 1)[column : column + 1] for line in table.lines())
    return np.fromiter((2 + b"".join(alt).count(b",") for alt in alts), dtype=np.int64)


def reason(error: RuntimeError) -> str:
    """Return the message of pgenlib, which comes as bytes with a line break, or as text."""
    said = error.args[0] if error.args else ""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return " ".join(text.split()).rstrip(".")


def _stem_and_kind(prefix: str) -> tuple[str, str]:
    for kind in _SUFFIXES:
        if prefix.endswith(f".{kind}"):
            return prefix.removesuffix(f".{kind}"), kind
    try:
        there = [kind for kind in _SUFFIXES if Path(f"{prefix}.{kind}").exists()]
    except OSError as error:  # a name that is too long, say
        raise unreadable(prefix, error) from None
    if len(there) == 1:
        return prefix, there[0]
    if there:
        what, remedy = "both .bed and .pgen exist", "name one of them by its suffix"
    else:
        what, remedy = "neither .bed nor .pgen exists", remedy_for_missing(prefix)
    raise InputError(Problem(prefix, "", what, remedy))


def _read_start(file: str) -> bytes:
    try:
        with Path(file).open("rb") as stream:
            return stream.read(12)
    except OSError as error:
        raise unreadable(file, error) from None


def _check_magic(file: str, start: bytes) -> None:
    """Check the first bytes of a ``.bed`` or ``.pgen``."""
    found = f"it starts with {start[:3].hex(' ')}" if start else "it is empty"
    if file.endswith(".bed"):
        good = start[:3] == BED_MAGIC
        what, remedy = f"is no PLINK .bed file ({found})", "name one that plink --make-bed wrote"
        if start[:3] == BED_MAGIC[:2] + b"\0":
            what, remedy = "is individual-major", "convert with plink --make-bed"
    else:
        good = start[:2] == _PGEN_MAGIC and len(start) == 12 and start[2] in _PGEN_MODES
        what = f"is no PLINK 2 .pgen file ({found})"
        remedy = "name one that plink2 --make-pgen wrote"
    if not good:
        raise InputError(Problem(file, "", what, remedy))


def _check_bed_size(fileset: Fileset) -> None:
    """Compare the size of a ``.bed`` with the rows of the other two files."""
    file = fileset.files[0]
    needed = len(BED_MAGIC) + fileset.n_variants * -(-fileset.n_samples // 4)
    size = Path(file).stat().st_size
    if size == needed:
        return
    what = (
        f"holds {size} bytes where {fileset.n_variants} variants of {fileset.n_samples} "
        f"individuals take {needed}, "
    )
    if size < needed:
        raise InputError(Problem(file, "", f"{what}so it is truncated", COPY_AGAIN))
    what += "so the .bim and .fam belong to another file"
    raise InputError(Problem(file, "", what, "bring the three files of one export together"))


def _check_pgen_counts(fileset: Fileset, start: bytes) -> None:
    """Compare the counts in the header of a ``.pgen`` with the rows of the other two files."""
    n_variants, n_samples = np.frombuffer(start[3:11], dtype="<u4")
    problems = [
        Problem(
            fileset.files[0],
            "",
            f"holds {held} {things} where {file} has {rows}",
            "bring the three files of one export together",
        )
        for held, things, file, rows in (
            (n_variants, "variants", fileset.files[1], fileset.n_variants),
            (n_samples, "individuals", fileset.files[2], fileset.n_samples),
        )
        if held != rows
    ]
    if problems:
        raise InputError(problems)


def _check_pgen_end(fileset: Fileset) -> None:
    """Open a ``.pgen`` and read its last variant, which one that ends early does not have."""
    genotypes = np.empty(fileset.n_samples, dtype=np.int8)
    with open_pgen(fileset, allele_counts(fileset)) as reader:
        try:
            reader.read(fileset.n_variants - 1, genotypes)
        except RuntimeError as error:
            what = f"its last variant cannot be read ({reason(error)})"
            raise InputError(Problem(fileset.files[0], "", what, COPY_AGAIN)) from None


def _gather(problems: list[Problem], call: Callable[..., T], *arguments: object) -> T | None:
    """Call, and put the problems of bad input to the others."""
    try:
        return call(*arguments)
    except InputError as error:
        problems.extend(error.problems)
        return None
