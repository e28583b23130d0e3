"""The three text files of burden tests: annotations of variants, sets of variants, and masks.

Formats are those of REGENIE (https://rgcgithub.github.io/regenie/options/, gene-based testing):
no header, columns separated by tabs or blanks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tessera.errors import InputError, Problem
from tessera.plink_tables import unreadable
from tessera.wgr.variants import chromosome_number

T = TypeVar("T")

Annotations = dict[str, dict[str, str]]
"""Set to variant to annotation."""

_TOLD = 10  # problems of a file that are told one by one


@dataclass(frozen=True)
class VariantSet:
    """A set of variants, such as those of a gene.

    Attributes
    ----------
    file, row
        Where it stands.
    name
        Of the set.
    chrom, pos
        Where its masks are placed; the chromosome as the file names it.
    variants
        Their ids, without repeats.
    """

    file: str
    row: int
    name: str
    chrom: str
    pos: int
    variants: tuple[str, ...]


@dataclass(frozen=True)
class Mask:
    """The annotations whose variants make a mask.

    Attributes
    ----------
    file, row
        Where it stands.
    name
        Of the mask.
    annotations
        Their names, without repeats.
    """

    file: str
    row: int
    name: str
    annotations: tuple[str, ...]


class Problems:
    """Problems of one file, of which the first ten are told and the others counted.

    Parameters
    ----------
    file
        The file.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._first: list[Problem] = []
        self._more = 0

    def add(self, place: str, what: str, remedy: str) -> None:
        """Add one; the arguments are those of `Problem`."""
        if len(self._first) < _TOLD:
            self._first.append(Problem(self._file, place, what, remedy))
        else:
            self._more += 1

    def refuse(self) -> None:
        """Raise an `InputError` if there is any."""
        if self._more:
            more = f"{self._more} more such problems"
            self._first.append(Problem(self._file, "", more, "correct them in the same way"))
        if self._first:
            raise InputError(self._first)


def read_annotations(path: str) -> Annotations:
    """Read the annotation of each variant for each set.

    Parameters
    ----------
    path
        Rows of variant, set, annotation. As in REGENIE, columns from the fifth on may follow, but
        not four of them, which would name a domain of the set.

    Raises
    ------
    InputError
        The file cannot be read or is empty, a row is too short or has four columns, or a variant
        has two annotations for a set.
    """
    annotations: Annotations = {}
    problems = Problems(path)
    for row, line in _rows(path, "variant, set and annotation"):
        fields = line.split()
        if len(fields) < 3:
            what = f"found {_columns(fields)} where 3 are expected"
            problems.add(f"row {row}", what, "write variant, set and annotation")
            continue
        if len(fields) == 4:
            what = "found 4 columns, which would make the third a domain of the set"
            problems.add(f"row {row}", what, "leave it out: variant, set and annotation are read")
            continue
        # The same names stand in many rows and in the other files: each is kept once.
        variant, name, annotation = map(sys.intern, fields[:3])
        known = annotations.setdefault(name, {}).setdefault(variant, annotation)
        if known != annotation:
            what = (
                f"variant {variant} is {annotation} for set {name}, but {known} in an earlier row"
            )
            problems.add(f"row {row}", what, "keep one annotation for each variant and set")
    problems.refuse()
    return annotations


def read_sets(path: str) -> list[VariantSet]:
    """Read which variants make each set.

    Parameters
    ----------
    path
        Rows of set, chromosome, position, variants; these separated by commas.

    Raises
    ------
    InputError
        The file cannot be read or is empty, a row is too short, a position is not a whole number,
        or a set occurs twice.
    """
    sets: dict[str, VariantSet] = {}
    problems = Problems(path)
    for row, line in _rows(path, "set, chromosome, position and variants"):
        place, fields = f"row {row}", line.split(maxsplit=3)
        if len(fields) < 4:
            what = f"found {_columns(fields)} where 4 are expected"
            remedy = "write set, chromosome, position and the variants, separated by commas"
            problems.add(place, what, remedy)
            continue
        name, chrom, pos, variants = *fields[:3], _listed(fields[3])
        if not variants:
            what = f"set {name} names no variant"
            problems.add(place, what, "list its variants, separated by commas")
        elif not (pos.isascii() and pos.isdecimal()):
            what = f"found {pos[:40]} as the position of set {name}"
            problems.add(place, what, "expected a whole number, in base pairs")
        elif name in sets:
            what = f"set {name} occurs in row {sets[name].row} already"
            problems.add(place, what, "list all variants of a set in one row")
        else:
            sets[name] = VariantSet(path, row, name, chrom, int(pos), variants)
    problems.refuse()
    return list(sets.values())


def read_masks(path: str) -> list[Mask]:
    """Read which annotations make each mask.

    Parameters
    ----------
    path
        Rows of mask, annotations; these separated by commas.

    Raises
    ------
    InputError
        The file cannot be read or is empty, a row is too short, or a mask occurs twice.
    """
    masks: dict[str, Mask] = {}
    problems = Problems(path)
    for row, line in _rows(path, "mask and annotations"):
        name, *rest = line.split(maxsplit=1)
        annotations = _listed(rest[0]) if rest else ()
        if not annotations:
            what = f"mask {name} names no annotation"
            problems.add(f"row {row}", what, "write mask and annotations, separated by commas")
        elif name in masks:
            what = f"mask {name} occurs in row {masks[name].row} already"
            problems.add(f"row {row}", what, "give each mask a name of its own")
        else:
            masks[name] = Mask(path, row, name, annotations)
    problems.refuse()
    return list(masks.values())


def _rows(path: str, columns: str) -> Iterator[tuple[int, str]]:
    """Go through the rows of a file that are not blank, with their numbers from 1."""
    row = 0
    try:
        with Path(path).open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    row = number
                    yield row, line
    except OSError as error:
        raise unreadable(path, error) from None
    except UnicodeDecodeError:
        remedy = "save it as plain text, not compressed"
        raise InputError(Problem(path, "", "is not text in UTF-8", remedy)) from None
    if not row:
        raise InputError(Problem(path, "", "holds no rows", f"write rows of {columns}"))


def _listed(text: str) -> tuple[str, ...]:
    """Split at commas and blanks; no name twice."""
    return tuple(dict.fromkeys(map(sys.intern, text.replace(",", " ").split())))


def _columns(fields: list[str]) -> str:
    return f"{len(fields)} column{'s' if len(fields) != 1 else ''}"


@dataclass(frozen=True)
class Burden:
    """The three files."""

    annotations: Annotations
    sets: list[VariantSet]
    masks: list[Mask]


def read_burden(section: Mapping[str, Any]) -> Burden:
    """Read the files that the section ``wgr.burden`` names.

    Raises
    ------
    InputError
        With every problem of all three.
    """
    problems: list[Problem] = []

    def attempt(read: Callable[[str], T], key: str) -> T | None:
        try:
            return read(section[key])
        except InputError as error:
            problems.extend(error.problems)
            return None

    annotations = attempt(read_annotations, "annotations")
    sets, masks = attempt(read_sets, "sets"), attempt(read_masks, "masks")
    if annotations is None or sets is None or masks is None:
        raise InputError(problems)
    return Burden(annotations, sets, masks)


def count_sets(path: str) -> dict[int, int]:
    """Count the sets of each chromosome (1 to 23) in a file of sets."""
    counts: dict[int, int] = {}
    for each in read_sets(path):
        if number := chromosome_number(each.chrom):
            counts[number] = counts.get(number, 0) + 1
    return dict(sorted(counts.items()))
