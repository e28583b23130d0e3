"""Parameters of a request, checked: all that is wrong is told at once, and nothing is ignored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tessera.config import did_you_mean
from tessera.errors import InputError, Problem


class Unknown(Exception):
    """What a request asks for in its path is not there.

    Parameters
    ----------
    error
        What to tell.
    """

    def __init__(self, error: InputError) -> None:
        self.error = error
        super().__init__(str(error))


class Unavailable(Exception):
    """The service cannot answer at present; the message is a sentence."""


class Query:
    """Parameters of one request.

    Parameters
    ----------
    path
        Parts of the address, such as ``gene``.
    given
        What follows the question mark; of a name given twice the last counts.
    """

    def __init__(self, path: Mapping[str, str], given: Mapping[str, str]) -> None:
        self.path = path
        self._given = given
        self._known: list[str] = []
        self._problems: list[Problem] = []

    def text(self, name: str, default: str = "") -> str:
        """Return a parameter as it was given."""
        self._known.append(name)
        return self._given.get(name, default)

    def number(self, name: str, default: int, most: int) -> int:
        """Return a whole number from 1 to `most`."""
        text = self.text(name, str(default))
        if text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most:
            return int(text)
        remedy = f"expected a whole number from 1 to {most:,}"
        self._problems.append(Problem("request", f"parameter {name}", f"is {text!r}", remedy))
        return default

    def word(self, name: str, known: Sequence[str], default: str) -> str:
        """Return one of the words that are known."""
        text = self.text(name, default)
        if text in known:
            return text
        remedy = f"expected one of {', '.join(known)}{did_you_mean(text, known)}"
        self._problems.append(Problem("request", f"parameter {name}", f"is {text!r}", remedy))
        return default

    def needs(self, *names: str) -> None:
        """Note each of these that was not given."""
        for name in names:
            if not self.text(name):
                remedy = f"add {name}=... to the address"
                self._problems.append(Problem("request", f"parameter {name}", "is missing", remedy))

    def done(self) -> None:
        """Raise what is wrong with the parameters, among it those that nobody asked for.

        Raises
        ------
        InputError
            With a line for each.
        """
        known = list(dict.fromkeys(self._known))
        for name in self._given:
            if name not in known:
                expected = f"expected {', '.join(known)}" if known else "this address takes none"
                what, remedy = f"has no parameter {name!r}", expected + did_you_mean(name, known)
                self._problems.append(Problem("request", "", what, remedy))
        if self._problems:
            raise InputError(self._problems)
