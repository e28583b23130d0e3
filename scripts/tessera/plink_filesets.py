"""PLINK filesets: checked for whether their files fit together, and what is in them.

Two formats: PLINK 1 (``.bed``, ``.bim``, ``.fam``) and PLINK 2 (``.pgen``, ``.pvar``, ``.psam``),
see https://www.cog-genomics.org/plink/2.0/formats.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from pgenlib import PgenReader

from tessera.errors import InputError, Problem
from tessera.filesets import COPY_AGAIN, Fileset, gather
from tessera.plink_tables import SAMPLES, VARIANTS, open_table, read_columns, unreadable

BED_MAGIC = b"\x6c\x1b\x01"

_PGEN_MAGIC = b"\x6c\x1b"
_PGEN_MODES = (0x02, 0x03, 0x04, 0x10, 0x11)  # those with counts and index in the file itself


def find_plink(stem: str, kind: str) -> Fileset:
    """Check that the three files of a fileset fit together, without reading genotypes.

    Parameters
    ----------
    stem
        Path without suffix.
    kind
        ``bed`` or ``pgen``.

    Raises
    ------
    InputError
        With every problem: files that are missing, empty or unreadable, no (or an
        individual-major) ``.bed``, no ``.pgen``, a compressed ``.pvar``, or numbers of variants
        and individuals that the genotypes contradict.
    """
    data, variants, samples = Fileset(stem, kind, 0, 0).files
    problems: list[Problem] = []
    magic = gather(problems, _read_start, data)
    if magic is not None:
        gather(problems, _check_magic, data, magic)
    rows = gather(problems, open_table, variants, VARIANTS)
    people = gather(problems, open_table, samples, SAMPLES)
    if problems or magic is None or rows is None or people is None:
        raise InputError(problems)
    fileset = Fileset(stem, kind, n_samples=people.rows, n_variants=rows.rows)
    if kind == "bed":
        _check_bed_size(fileset)
    else:
        _check_pgen_counts(fileset, magic)
        _check_pgen_end(fileset)
    return fileset


def read_plink_samples(fileset: Fileset) -> pd.DataFrame:
    """Read ``fid`` (``0`` where the file has no families) and ``iid`` of each individual."""
    table = open_table(fileset.files[2], SAMPLES)
    if "FID" in table.columns:
        return read_columns(table, {"fid": "FID", "iid": "IID"})
    frame = read_columns(table, {"iid": "IID"})
    frame.insert(0, "fid", pd.Series("0", index=frame.index, dtype=frame["iid"].dtype))
    return frame


def read_plink_variants(fileset: Fileset) -> pd.DataFrame:
    """Read ``id``, ``chr``, ``pos``, ``a1``, ``a2`` and ``multiallelic`` of each variant."""
    table = open_table(fileset.files[1], VARIANTS)
    wanted = {"id": "ID", "chr": "CHROM", "pos": "POS", "a1": "ALT", "a2": "REF"}
    frame = read_columns(table, wanted, integer="POS")
    comma = [frame[allele].str.contains(",", regex=False) for allele in ("a1", "a2")]
    frame["multiallelic"] = (comma[0] | comma[1]).astype(bool)
    return frame


def plink_chromosomes(fileset: Fileset) -> Iterator[str]:
    """Go through the chromosome of each variant; a row that is too short has none."""
    table = open_table(fileset.files[1], VARIANTS)
    column = table.columns.index("CHROM")
    for line in table.lines():
        yield b"".join(line.split(None, column + 1)[column : column + 1]).decode("utf-8", "replace")


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
