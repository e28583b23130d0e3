"""A pass over a long text, some megabytes at a time, by a kernel that may stop anywhere."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from tessera.cells.chunks import Chunk
from tessera.cells.decimals import slow_number
from tessera.cells.faults import COUNTED, shown
from tessera.cells.streams import reading
from tessera.errors import InputError, Problem

AT, LINE, VALUES, RARES, WRONG, FREE = range(6)
"""What the state of every kernel begins with: place in the block, number of the line, values that
wait, numbers that are left to `slow_number`, lines that are wrong. From `FREE` on it is its own."""

_BLOCK = 4 << 20  # bytes read at a time
_RARE = 1 << 16  # numbers that are left to `slow_number` at a time


class Walk(ABC):
    """One pass over a file.

    Parameters
    ----------
    file
        The file as the user named it.
    line
        Number of the first line to be read.
    most
        Values of a chunk.
    longest
        Bytes that have to be read in one piece.
    what
        What these bytes are.
    width
        Numbers that tell of a line that is wrong.

    Attributes
    ----------
    state
        int64: where the kernel is.
    out
        Cells, genes and values: room for a chunk.
    rare
        ``(n, 5)`` int64: start and stop in the block, line and column of a number that is left to
        `slow_number`, and its place in the chunk.
    wrong
        ``(COUNTED, width)`` int64.
    """

    def __init__(
        self, file: str, line: int, most: int, longest: int, what: str, width: int
    ) -> None:
        self.file, self._most, self._longest, self._what = file, max(most, 1), longest, what
        self.state = np.zeros(FREE + 3, np.int64)
        self.state[LINE] = line
        self.out = self._room()
        self.rare = np.empty((_RARE, 5), np.int64)
        self.wrong = np.empty((COUNTED, width), np.int64)
        self.bad: list[tuple[int, int, str]] = []
        """Line, column and text of what is no number."""

    @abstractmethod
    def scan(self, block: npt.NDArray[np.uint8]) -> bool:
        """Call the kernel; return whether there is more in the block that had no room."""

    @abstractmethod
    def digest(self, text: bytes) -> None:
        """Take from a block what the kernel pointed at."""

    @abstractmethod
    def faults(self) -> int:
        """Count the faults met so far."""

    @abstractmethod
    def problems(self) -> list[Problem]:
        """Return all faults met, once the file came to its end."""

    @property
    def enough(self) -> bool:
        """Whether there are so many faults that reading ends."""
        return self.faults() >= COUNTED

    def chunks(self, stream: BinaryIO) -> Iterator[Chunk]:
        """Go through a file; from the first fault on, only for the sake of other faults.

        Raises
        ------
        InputError
            At the end, with all faults.
        """
        rest = b""
        while not self.enough:
            with reading(self.file):
                block = stream.read(_BLOCK)
            text = rest + (block or b"\n")
            self.state[AT] = 0
            yield from self._through(text)
            if not block:
                break
            rest = text[self.state[AT] :]
            if len(rest) > self._longest:
                place, what = f"row {self.state[LINE]}", f"{self._what} has no end"
                fault = Problem(self.file, place, what, "check that it is a table of text")
                raise InputError([*self.problems(), fault])
        if problems := self.problems():
            raise InputError(problems)
        if self.state[VALUES]:
            yield self._flush()

    def _through(self, text: bytes) -> Iterator[Chunk]:
        block, more = np.frombuffer(text, np.uint8), True
        while more and not self.enough:
            more = self.scan(block)
            for start, stop, line, column, place in self.rare[: self.state[RARES]].tolist():
                value = self.out[2][place] = slow_number(text[start:stop])
                if not math.isfinite(value):
                    found = text[start:stop].decode(errors="replace").strip(' "')
                    self.bad.append((line, column, shown(found)))
            self.state[RARES] = 0
            self.digest(text)
            if self.state[VALUES] == self._most:
                chunk = self._flush()
                if not self.faults():
                    yield chunk

    def _room(self) -> tuple[Any, Any, Any]:
        most = self._most
        return np.empty(most, np.int64), np.empty(most, np.int32), np.empty(most, np.float64)

    def _flush(self) -> Chunk:
        count = self.state[VALUES]
        chunk = Chunk(*(part[:count] for part in self.out))
        self.out = self._room()
        self.state[VALUES] = 0
        return chunk
