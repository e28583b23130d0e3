"""Genotype filesets found, and who and what is in them, whatever their format.

Formats: PLINK 1 (``.bed``, ``.bim``, ``.fam``), PLINK 2 (``.pgen``, ``.pvar``, ``.psam``), and
BGEN 1.2 (``.bgen``, with or without ``.sample`` and ``.bgen.bgi``).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import pandas as pd

from tessera.bgen_files import bgen_chromosomes, find_bgen, read_bgen_samples, read_bgen_variants
from tessera.errors import InputError, Problem
from tessera.filesets import Fileset, gather
from tessera.plink_filesets import (
    find_plink,
    plink_chromosomes,
    read_plink_samples,
    read_plink_variants,
)
from tessera.plink_tables import remedy_for_missing, unreadable

PLINK = ("bed", "pgen")
ALL_KINDS = (*PLINK, "bgen")


def find_fileset(prefix: str, kinds: Sequence[str] = PLINK) -> Fileset:
    """Find a fileset and check that its files fit together, without reading genotypes.

    Parameters
    ----------
    prefix
        Path without suffix, or with ``.bed``, ``.pgen`` or ``.bgen``.
    kinds
        The formats to look for.

    Returns
    -------
    Fileset
        What was found, with its numbers of individuals and variants.

    Raises
    ------
    InputError
        With every problem: files that are missing, empty or unreadable, several formats under a
        prefix without suffix, files that are not what their suffix says or end early, a ``.pvar``
        that is compressed, a ``.bgen`` of another layout or whose index belongs to another file,
        or numbers of variants and individuals that contradict one another.
    """
    stem, kind = _stem_and_kind(prefix, kinds)
    return find_bgen(stem) if kind == "bgen" else find_plink(stem, kind)


def find_filesets(prefixes: Sequence[str], kinds: Sequence[str] = PLINK) -> list[Fileset]:
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
        place = Path(_split(prefix, kinds)[0]).resolve()
        if place in seen:
            what = "the fileset is named more than once"
            problems.append(Problem(prefix, "", what, "name each fileset once"))
            continue
        seen.add(place)
        if (fileset := gather(problems, find_fileset, prefix, kinds)) is not None:
            found.append(fileset)
    if problems:
        raise InputError(problems)
    return found


def read_samples(fileset: Fileset, *, key: Sequence[str] = ("iid",)) -> pd.DataFrame:
    """Read who the individuals of a fileset are.

    Parameters
    ----------
    fileset
        The fileset.
    key
        The columns that tell individuals apart: ``("iid",)`` or ``("fid", "iid")``.

    Returns
    -------
    DataFrame
        One row per individual, in the order of the file: ``fid`` (``0`` where the file has no
        families, as in PLINK 2; see `tessera.bgen_files.read_bgen_samples` for names within a
        ``.bgen``) and ``iid``, both str.

    Raises
    ------
    InputError
        With every row of the wrong width, or ids that occur more than once.
    """
    frame = read_bgen_samples(fileset) if fileset.kind == "bgen" else read_plink_samples(fileset)
    again = frame.loc[frame.duplicated(list(key)), list(key)].drop_duplicates()
    if len(again):
        ids = [" ".join(row) for row in again.itertuples(index=False)]
        shown = ", ".join(ids[:3]) + (", ..." if len(ids) > 3 else "")
        which = "1 id occurs" if len(ids) == 1 else f"{len(ids)} ids occur"
        what, remedy = f"{which} more than once ({shown})", "give each individual an IID of its own"
        raise InputError(Problem(fileset.samples_file, "", what, remedy))
    return frame


def read_variants(fileset: Fileset) -> pd.DataFrame:
    """Read what the variants of a fileset are.

    Returns
    -------
    DataFrame
        One row per variant, in the order of the file: ``id``, ``chr`` (str), ``pos`` (int64, base
        pairs), ``a1`` (the counted allele: column 5 of a ``.bim``, ALT of a ``.pvar``, the first
        one of a ``.bgen``) and ``a2`` (str), and ``multiallelic`` (bool: not two alleles).

    Raises
    ------
    InputError
        With the first 20 rows of the wrong width or without a position, and how many more; or a
        ``.bgen`` that ends early.
    """
    return read_bgen_variants(fileset) if fileset.kind == "bgen" else read_plink_variants(fileset)


def chromosome_runs(fileset: Fileset) -> list[tuple[str, int, int]]:
    """Find where chromosomes begin and end, from the names of the variants' chromosomes alone.

    Returns
    -------
    list of tuple
        Name as in the file, first variant, variant after the last; runs of variants that follow
        one another in the file, so that a chromosome in several places comes several times.

    Raises
    ------
    InputError
        The variants cannot be read.
    """
    names = bgen_chromosomes(fileset) if fileset.kind == "bgen" else plink_chromosomes(fileset)
    runs, first = [], 0
    for name, run in groupby(names):
        stop = first + sum(1 for _ in run)
        runs.append((name, first, stop))
        first = stop
    return runs


def _split(prefix: str, kinds: Sequence[str]) -> tuple[str, str]:
    """Take the suffix from a prefix, if it has one."""
    for kind in kinds:
        if prefix.endswith(f".{kind}"):
            return prefix.removesuffix(f".{kind}"), kind
    return prefix, ""


def _stem_and_kind(prefix: str, kinds: Sequence[str]) -> tuple[str, str]:
    stem, kind = _split(prefix, kinds)
    if kind:
        return stem, kind
    try:
        there = [kind for kind in kinds if Path(f"{prefix}.{kind}").exists()]
    except OSError as error:  # a name that is too long, say
        raise unreadable(prefix, error) from None
    if len(there) == 1:
        return prefix, there[0]
    if there:
        what = f"both {' and '.join(f'.{kind}' for kind in there)} exist"
        raise InputError(Problem(prefix, "", what, "name one of them by its suffix"))
    what = f"neither {' nor '.join(f'.{kind}' for kind in kinds)} exists"
    raise InputError(Problem(prefix, "", what, remedy_for_missing(prefix)))
