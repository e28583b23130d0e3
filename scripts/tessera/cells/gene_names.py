"""Names of genes that occur more than once in a matrix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tessera.errors import InputError, Problem

_SHOWN = 5


@dataclass(frozen=True)
class GeneNames:
    """Genes of the output, and where those of the file go.

    Attributes
    ----------
    of_file
        Names in the file.
    names
        Of the output, each once.
    place
        ``(genes of the file,)`` int32: number in the output.
    merged
        Whether genes of the file fall together.
    """

    of_file: tuple[str, ...]
    names: tuple[str, ...]
    place: npt.NDArray[np.int32]
    merged: bool


def unique_genes(file: str, genes: Sequence[str], rule: str) -> GeneNames:
    """Make the names of genes unique.

    Parameters
    ----------
    file
        The file, for the message.
    genes
        Names in the order of the file.
    rule
        ``error``; ``suffix`` (the second X becomes X-1, as in AnnData's ``var_names_make_unique``);
        ``sum`` (one gene, at the place of the first).

    Raises
    ------
    InputError
        If names occur more than once and the rule is ``error``.
    """
    if rule not in ("error", "suffix", "sum"):
        raise ValueError(f"unknown rule {rule}")
    given, every = tuple(genes), np.arange(len(genes), dtype=np.int32)
    first: dict[str, int] = {}
    for name in given:
        first.setdefault(name, len(first))
    if len(first) == len(given):
        return GeneNames(given, given, every, False)
    if rule == "error":
        raise InputError(_told(file, given))
    if rule == "suffix":
        return GeneNames(given, _suffixed(given), every, False)
    place = np.array([first[name] for name in given], np.int32)
    return GeneNames(given, tuple(first), place, True)


def _told(file: str, genes: Sequence[str]) -> list[Problem]:
    many = {name: count for name, count in Counter(genes).items() if count > 1}
    remedy = "rename all but one, or set cells.duplicate_genes to suffix or sum"
    problems = [
        Problem(file, f"gene {name}", f"the name occurs {count} times", remedy)
        for name, count in list(many.items())[:_SHOWN]
    ]
    if len(many) > _SHOWN:
        what = f"{len(many) - _SHOWN:,} more names occur more than once"
        problems.append(Problem(file, "", what, remedy))
    return problems


def _suffixed(genes: Sequence[str]) -> tuple[str, ...]:
    taken, seen, used = set(genes), set[str](), Counter[str]()
    names = []
    for name in genes:
        new = name
        while name in seen and new in taken:
            used[name] += 1
            new = f"{name}-{used[name]}"
        seen.add(name)
        taken.add(new)
        names.append(new)
    return tuple(names)
