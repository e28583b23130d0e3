"""The one exception for bad input: which file, where in it, what is wrong, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, order=True)
class Problem:
    """One fault in the user's input, told in one sentence.

    Attributes
    ----------
    file
        The file as the user named it (or ``config``).
    place
        Where in the file: ``row 3, column bval``, ``volume 12``; empty for the file as a whole.
    what
        What is wrong, with the value that was found.
    remedy
        What to do about it.
    """

    file: str
    place: str
    what: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.file}: {self.place}" if self.place else self.file
        return f"{where}: {self.what}; {self.remedy}."

    def as_dict(self) -> dict[str, str]:
        """Return the four fields as a plain dictionary (for verdict files)."""
        return asdict(self)


class InputError(Exception):
    """Bad input, with every problem that was found.

    Parameters
    ----------
    problems
        One problem or several; all are shown, a line each.
    """

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))
