"""The bytes of an input file, unpacked while they are read, and what can go wrong with them."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from tessera.errors import InputError, Problem
from tessera.plink_tables import unreadable

HEADER = 64 << 20
"""Bytes that a header may have."""

_GZIP = b"\x1f\x8b"
AS_TEXT = "save it as text in UTF-8"
"""What to do about a file that is not."""


class Bytes(Protocol):
    """A file, wherever it lies.

    Attributes
    ----------
    name
        As the user named it.
    """

    @property
    def name(self) -> str:
        """Return the name."""

    def open(self) -> BinaryIO:
        """Open it for reading from its beginning; any error becomes one of `reading`."""
        ...


@dataclass(frozen=True)
class PlainFile:
    """A file on disk, compressed by gzip or not, which its content tells."""

    name: str

    def open(self) -> BinaryIO:
        """Return its unpacked bytes."""
        path = Path(self.name)
        with path.open("rb") as stream:
            packed = stream.read(2) == _GZIP
        return cast(BinaryIO, gzip.open(path)) if packed else path.open("rb")


class Limited(io.RawIOBase):
    """A stream that ends in an error where it goes on for too long.

    Parameters
    ----------
    stream
        What is read.
    name
        The file as the user named it.
    most
        Bytes that may be read.
    """

    def __init__(self, stream: BinaryIO, name: str, most: int) -> None:
        self._stream, self._name, self._most, self._count = stream, name, most, 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some bytes."""
        content = self._stream.read(len(buffer))
        self._count += len(content)
        if self._count > self._most:
            what = f"unpacks to more than {self._most} bytes"
            raise InputError(Problem(self._name, "", what, "check what it holds"))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        """Close what is read."""
        self._stream.close()
        super().close()


class Utf8(Limited):
    """A stream that ends in an error at what is no UTF-8.

    Parameters
    ----------
    line
        Number of the line that it begins with.
    """

    def __init__(self, stream: BinaryIO, name: str, most: int, line: int) -> None:
        super().__init__(stream, name, most)
        self._line, self._decoder = line, codecs.getincrementaldecoder("utf-8")()

    def readinto(self, buffer: Any) -> int:
        """Read some bytes."""
        count = super().readinto(buffer)
        content = bytes(buffer[:count])
        try:
            self._decoder.decode(content, final=not count)
        except UnicodeDecodeError as error:
            row = self._line + error.object[: error.start].count(b"\n")
            what = "holds a character that is not in UTF-8"
            raise InputError(Problem(self._name, f"row {row}", what, AS_TEXT)) from None
        self._line += content.count(b"\n")
        return count


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn errors of reading or unpacking a file into `InputError`."""
    try:
        yield
    except (EOFError, lzma.LZMAError, zipfile.BadZipFile, zlib.error, gzip.BadGzipFile) as error:
        what = f"cannot be unpacked ({str(error).rstrip('.')})"
        raise InputError(Problem(name, "", what, "copy or compress it again")) from None
    except OSError as error:
        raise unreadable(name, error) from None


def table_stream(source: Bytes) -> tuple[list[str], str, BinaryIO]:
    """Read the header of a table of text.

    Parameters
    ----------
    source
        A table whose cells are separated by tabs, if there is one in its first line, or commas.

    Returns
    -------
    header : list of str
        Cells of the first line, without blanks around them.
    separator : str
        Comma or tab.
    stream : BinaryIO
        What follows the first line.

    Raises
    ------
    InputError
        The file cannot be read, is empty, binary, or not in UTF-8, or its header cannot be cut
        into cells at tabs or commas.
    """

    def refuse(what: str, remedy: str, place: str = "row 1") -> InputError:
        return InputError(Problem(source.name, place, what, remedy))

    with reading(source.name):
        stream = source.open()
        line = stream.readline(HEADER + 1)
    if b"\0" in line or line.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise refuse("is binary or not in UTF-8", AS_TEXT, "")
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise refuse("holds a character that is not in UTF-8", AS_TEXT) from None
    text = text.rstrip("\r\n")
    if not text.strip():
        what, remedy = "the first line is empty", "begin with the names of the columns"
        if not line:
            what, remedy = "the file is empty", "name the file that was meant"
        raise refuse(what, remedy, "")
    if "\r" in text:
        what = "its lines end in carriage returns alone"
        raise refuse(what, "save it with line ends of Unix or Windows", "")
    if len(line) > HEADER:
        raise refuse(f"the header is longer than {HEADER >> 20} MiB", "name a table of text")
    bare = re.sub('"[^"]*"', "", text)
    separator = "\t" if "\t" in bare else ","
    if separator == "," and bare.count(";") > bare.count(","):
        what, remedy = "the cells are separated by semicolons", "separate them by tabs or commas"
        raise refuse(what, f"{remedy}, and write decimals with a point", "")
    try:
        header = next(csv.reader([text], delimiter=separator, strict=True))
    except csv.Error as error:
        what = f"cannot be cut into cells ({error})"
        remedy = "close each quotation mark in the line where it opens"
        raise refuse(what, remedy) from None
    return [cell.strip() for cell in header], separator, stream


def unquoted(text: str) -> str:
    """Return a cell of a table without blanks and quotation marks around it."""
    text = text.strip(" ")
    if len(text) > 1 and text.startswith('"') and text.endswith('"'):
        return text[1:-1].replace('""', '"').strip(" ")
    return text
