"""Words: what they are, where a text may be cut, and how tasks read and write."""

from __future__ import annotations

import codecs
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
"""Letters and digits of any script, with apostrophes, plain or typographic, between them."""
BORDER = re.compile(r"[^\w'\u2019]|_")
"""What is in no word, so that a text may be cut after it."""
BLOCK = 1 << 20  # bytes that are read at a time


class BadInput(Exception):
    """What is wrong with the input and what to do about it, in one sentence."""


def words(text: str) -> Iterator[str]:
    """Yield the words of a text in the form that they are counted in."""
    for found in WORD.finditer(text):
        yield found[0].casefold().replace("\u2019", "'")


def read(files: Iterable[Path], block: int = BLOCK) -> Iterator[str]:
    """Yield texts one after the other, some of them at a time, with a line's end between two."""
    for number, file in enumerate(files):
        if number:
            yield "\n"
        decoder, fed = codecs.getincrementaldecoder("utf-8")(), 0
        with file.open("rb") as stream:
            while True:
                data = stream.read(block)
                fed += len(data)
                try:
                    yield decoder.decode(data, final=not data)
                except UnicodeDecodeError as error:
                    place = fed - len(error.object) + error.start
                    what = f"{file}: byte {place + 1:,}: is not UTF-8"
                    raise BadInput(f"{what}; save the text in UTF-8.") from None
                if not data:
                    break


def split(blocks: Iterable[str], size: int, parts: int) -> Iterator[tuple[int, str]]:
    """Cut a text into parts, at the first border after each multiple of ``size / parts`` bytes.

    Parameters
    ----------
    blocks
        The text, in pieces of any length.
    size
        Its length in bytes of UTF-8.
    parts
        How many. Those at the end are empty where borders are too few.

    Yields
    ------
    tuple
        Number of a part, from 0, and what comes next of it. No word lies in two parts, and one
        after the other the parts are the text.
    """
    part = done = 0
    for block in blocks:
        rest = block
        while rest:
            wanted = max(size * (part + 1) // parts - done, 0)
            start = len(rest.encode()[:wanted].decode("utf-8", "ignore"))
            border = BORDER.search(rest, start) if part < parts - 1 else None
            end = border.end() if border else len(rest)
            yield part, rest[:end]
            done += len(rest[:end].encode())
            rest = rest[end:]
            part += border is not None


@contextmanager
def written(*targets: str) -> Iterator[list[BinaryIO]]:
    """Open files to write to, which appear under their names when all of them are complete."""
    places = {
        Path(target): Path(target).with_name(f".tmp-{Path(target).name}") for target in targets
    }
    try:
        with ExitStack() as stack:
            for target in places:
                target.parent.mkdir(parents=True, exist_ok=True)
            yield [stack.enter_context(place.open("wb")) for place in places.values()]
        for target, place in places.items():
            place.replace(target)
    finally:
        for place in places.values():
            place.unlink(missing_ok=True)


@contextmanager
def task(log: str) -> Iterator[None]:
    """Tell bad input in its sentence, in the log and on the terminal, and end with status 1."""
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    with Path(log).open("w", encoding="utf-8") as file:
        try:
            yield
        except BadInput as error:
            print(error, file=file)
            sys.exit(str(error))
        except OSError as error:
            print(error, file=file)
            sys.exit(f"{error.filename}: {error.strerror}; see to it and run again.")
        print("Done.", file=file)
