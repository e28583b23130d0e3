"""The one exception for bad input: which file, where in it, what is wrong, what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
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


def told(
    file: str,
    faults: Sized,
    tell: Callable[[int], tuple[str, str]],
    remedy: str,
    *,
    most: int = 10,
    least: bool = False,
) -> list[Problem]:
    """Return problems for the first faults of a kind, and one that counts the others.

    Parameters
    ----------
    file
        The file they are in.
    faults
        The faults, which are counted only.
    tell
        Number of a fault, from 0, to the place and what is wrong there.
    remedy
        What to do about them.
    most
        How many are told one by one.
    least
        Whether reading ended early, so that there may be more.
    """
    problems = [Problem(file, *tell(number), remedy) for number in range(min(len(faults), most))]
    if len(faults) > most:
        count = f"{'at least ' if least else ''}{len(faults) - most:,} more of this kind"
        problems.append(Problem(file, "", count, "correct them in the same way"))
    return problems
