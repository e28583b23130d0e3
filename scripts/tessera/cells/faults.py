"""Faults of a file, collected: the first of each kind are told, the others counted."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

from tessera import errors
from tessera.errors import Problem

TOLD = 5
"""Faults of a kind that are told one by one."""
told = partial(errors.told, most=TOLD)
COUNTED = 1000
"""Faults of a file after which reading ends."""

FINITE = "expected a finite number, with a decimal point if any"
"""What to do about a value that is no number."""
RAGGED = "give each row as many as the header, which begins with a name for the column of cells"
"""What to do about rows of another length than the header."""

Place = Callable[[int], str]

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def shown(text: str) -> str:
    """Return a text as it can be shown: short, and with invisible characters spelt out."""
    return text[:40] if text.isprintable() else ascii(text[:40])[1:-1]


def invisible(text: str) -> bool:
    """Tell whether a text holds a control character (or half of a surrogate pair)."""
    return bool(_CONTROLS.search(text))


def check_names(file: str, place: Place, names: Sequence[str], of: str) -> list[Problem]:
    """Look for names that are empty or hold invisible characters.

    Parameters
    ----------
    file
        The file they are in.
    place
        Number of a name to where it stands.
    names
        The names.
    of
        What they are names of, for the message.
    """
    empty = [n for n, name in enumerate(names) if not name]
    odd = [n for n, name in enumerate(names) if invisible(name)]

    def tell(n: int) -> tuple[str, str]:
        what = f"the name of the {of}, {shown(names[odd[n]])}, holds an invisible character"
        return place(odd[n]), what

    problems = told(
        file,
        empty,
        lambda n: (place(empty[n]), f"the {of} has no name"),
        f"give each {of} a name",
    )
    return problems + told(file, odd, tell, "type the name anew")


def check_unique(file: str, place: Place, cells: Sequence[str]) -> list[Problem]:
    """Look for cells of the same name; those without one are left to `check_names`.

    Parameters
    ----------
    file
        The file they are in.
    place
        Number of a cell to where it stands.
    cells
        Their names.
    """
    if len(set(cells)) == len(cells):
        return []
    first: dict[str, int] = {}
    again = [n for n, name in enumerate(cells) if first.setdefault(name, n) != n and name]

    def tell(n: int) -> tuple[str, str]:
        name = cells[again[n]]
        return place(again[n]), f"cell {name[:80]} is already in {place(first[name])}"

    return told(file, again, tell, "keep one cell of each name, or give each a name of its own")
