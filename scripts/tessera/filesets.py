"""What a genotype fileset is, whatever its format, and what its readers share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tessera.errors import InputError, Problem

T = TypeVar("T")

COPY_AGAIN = "copy or export it again"

_NEEDED = {"bed": ("bed", "bim", "fam"), "pgen": ("pgen", "pvar", "psam"), "bgen": ("bgen",)}
_BESIDE = {"bgen": ("sample", "bgen.bgi")}  # read where they exist


@dataclass(frozen=True)
class Fileset:
    """A genotype fileset whose files are there and fit together.

    Attributes
    ----------
    prefix
        Path of the files without suffix, as the user gave it.
    kind
        ``bed``, ``pgen`` or ``bgen``.
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
        """Paths of the files: genotypes, variants and individuals, in this order.

        Of a ``.bgen``, which holds all of it: itself, and its ``.sample`` and its index
        ``.bgen.bgi`` where they exist.
        """
        needed = [f"{self.prefix}.{suffix}" for suffix in _NEEDED[self.kind]]
        beside = [f"{self.prefix}.{suffix}" for suffix in _BESIDE.get(self.kind, ())]
        return (*needed, *(file for file in beside if Path(file).exists()))

    @property
    def samples_file(self) -> str:
        """Path of the file that names the individuals."""
        if self.kind == "bgen":
            named = f"{self.prefix}.sample"
            return named if named in self.files else self.files[0]
        return self.files[2]


def gather(problems: list[Problem], call: Callable[..., T], *arguments: object) -> T | None:
    """Call, and put the problems of bad input to the others."""
    try:
        return call(*arguments)
    except InputError as error:
        problems.extend(error.problems)
        return None


def check_names(file: str, names: Sequence[str]) -> None:
    """Check names of individuals that come in no column of a table.

    Raises
    ------
    InputError
        Names that occur more than once, are empty, or hold blanks, which separate columns in
        everything that is written about them.
    """
    problems = []
    for bad, what, remedy in (
        ([n for n in names if n.split() != [n]], "empty or hold blanks", "rename them"),
        ([n for n, k in Counter(names).items() if k > 1], "there more than once", "keep one each"),
    ):
        if bad:
            shown = ", ".join(map(repr, bad[:3])) + (", ..." if len(bad) > 3 else "")
            which = "1 name of an individual is" if len(bad) == 1 else f"{len(bad)} names are"
            problems.append(Problem(file, "", f"{which} {what} ({shown})", remedy))
    if problems:
        raise InputError(problems)
