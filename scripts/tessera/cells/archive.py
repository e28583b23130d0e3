"""A ZIP archive of a matrix and its metadata, read in place: nothing is extracted.

An archive is untrusted: paths, links and sizes are checked first, and what is unpacked is counted
while it is read.
"""

from __future__ import annotations

import io
import re
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from tessera.cells.faults import shown, told
from tessera.cells.metadata_columns import few
from tessera.cells.streams import Limited, reading
from tessera.errors import InputError, Problem

MOST = 64 << 30
"""Bytes to which an archive may unpack."""
RATIO, SMALL = 1000, 16 << 20
"""A member may unpack to so many times its size, or to so many bytes."""

_ENTRIES = 1000  # entries that an archive may have
_MATRIX, _METADATA = ("matrix.csv", "matrix.tsv"), ("metadata.csv", "metadata.tsv")
_ARCHIVES = re.compile(r"\.(zip|gz|tgz|bz2|xz|zst|7z|rar|tar)$", re.IGNORECASE)
_ENCRYPTED = 1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_BUFFER = 1 << 20
_AGAIN = "zip the two files again, and nothing else"


@dataclass(frozen=True)
class Member:
    """A file in an archive; see `tessera.cells.streams.Bytes`.

    Attributes
    ----------
    archive
        The archive as the user named it.
    entry
        Name of the member.
    size, packed
        Bytes of the member as the directory tells, and in the archive.
    """

    archive: str
    entry: str
    size: int
    packed: int

    @property
    def name(self) -> str:
        """Return the archive and the member as one path."""
        return f"{self.archive}/{self.entry}"

    def open(self) -> BinaryIO:
        """Return its unpacked bytes, as many as a member of its size may have."""
        with _unpacking(self.name):
            archive = zipfile.ZipFile(self.archive)
            stream = cast(BinaryIO, archive.open(self.entry))
        most = min(MOST, max(SMALL, RATIO * self.packed))
        return cast(BinaryIO, io.BufferedReader(Limited(stream, self.name, most), _BUFFER))


def open_archive(file: str) -> tuple[Member, Member, list[str]]:
    """Look through an archive.

    Parameters
    ----------
    file
        The archive.

    Returns
    -------
    matrix, metadata : Member
        The two files that it is to hold.
    warnings : list of str
        What else is in it.

    Raises
    ------
    InputError
        It cannot be read, does not hold one matrix and one metadata, or holds what is not safe:
        paths out of it, links, encrypted or nested archives, more than `MOST` bytes or `RATIO`
        times its size.
    """
    with _unpacking(file):
        if not Path(file).stat().st_size:
            raise InputError(Problem(file, "", "the file is empty", "name the file that was meant"))
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
        packed_size = Path(file).stat().st_size
    problems = _problems(file, entries)
    wanted = {
        kind: [e for e in entries if _name(e) in names and not _of_system(e)]
        for kind, names in (("matrix", _MATRIX), ("metadata", _METADATA))
    }
    spreadsheet = any(entry.filename == "[Content_Types].xml" for entry in entries)
    if spreadsheet:
        what, remedy = "is a document of an office program", "save the table as CSV"
        raise InputError(Problem(file, "", what, remedy))
    for kind, found in wanted.items():
        if len(found) > 1:
            names = ", ".join(_shown(entry) for entry in found[:5])
            what = f"holds more than one {kind}: {names}"
            problems.append(Problem(file, "", what, "leave one of them in it"))
        elif not found and not problems:
            what, remedy = f"holds no {kind}.csv or {kind}.tsv", f"add it, and {_AGAIN}"
            problems.append(Problem(file, "", what, remedy))
    if problems:
        raise InputError(problems)
    (matrix,), (metadata,) = wanted["matrix"], wanted["metadata"]
    folders = [PurePosixPath(entry.filename).parent for entry in (matrix, metadata)]
    if folders[0] != folders[1] or len(folders[0].parts) > 1:
        what, remedy = "holds matrix and metadata in folders of their own", "put both into one"
        if folders[0] == folders[1]:
            what, remedy = f"holds its files in {folders[0]}", "put them into one folder or none"
        raise InputError(Problem(file, "", what, remedy))
    others = [e for e in entries if e not in (matrix, metadata) and not _of_system(e)]
    warnings = []
    if others:
        warnings.append(f"{file}: not looked at: {few([_shown(entry) for entry in others])}")
    first, second = (
        Member(file, e.filename, e.file_size, min(e.compress_size, packed_size))
        for e in (matrix, metadata)
    )
    return first, second, warnings


@contextmanager
def _unpacking(name: str) -> Iterator[None]:
    """Turn errors of reading the directory of an archive into `InputError`."""
    try:
        with reading(name):
            yield
    except (InputError, MemoryError):
        raise
    except Exception as error:  # what a damaged directory raises is all but any
        what, remedy = f"is a damaged archive ({str(error)[:80].rstrip('.')})", _AGAIN
        raise InputError(Problem(name, "", what, remedy)) from None


def _problems(file: str, entries: list[zipfile.ZipInfo]) -> list[Problem]:
    """Look for what is not safe."""
    if len(entries) > _ENTRIES:
        return [Problem(file, "", f"holds {len(entries)} entries", _AGAIN)]
    faults = [(entry, what) for entry in entries if (what := _unsafe(entry))]
    problems = told(file, faults, lambda n: (_shown(faults[n][0]), faults[n][1]), _AGAIN)
    total = sum(entry.file_size for entry in entries)
    if total > MOST:
        what = f"unpacks to {total} bytes, more than {MOST}"
        problems.append(Problem(file, "", what, "write it as .h5ad or MTX"))
    return problems


def _unsafe(entry: zipfile.ZipInfo) -> str | None:
    """Tell what is not safe about an entry."""
    name, mode = entry.orig_filename, stat.S_IFMT(entry.external_attr >> 16)
    path = PurePosixPath(name)
    if not name or "\0" in name or "\\" in name or re.match("[A-Za-z]:", name):
        return "has a name that is no path in an archive"
    if path.is_absolute() or ".." in path.parts:
        return "leads out of the archive"
    if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device, no file"
    if entry.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if _ARCHIVES.search(name):
        return "is an archive within the archive"
    if entry.file_size > max(SMALL, RATIO * entry.compress_size):
        return f"unpacks to more than {RATIO} times its size"
    if not entry.is_dir() and entry.compress_type not in _METHODS:
        return "is compressed by a method that is not read here"
    return None


def _of_system(entry: zipfile.ZipInfo) -> bool:
    """Tell folders, and what macOS adds."""
    path = PurePosixPath(entry.filename)
    return path.parts[:1] == ("__MACOSX",) or path.name == ".DS_Store" or entry.is_dir()


def _name(entry: zipfile.ZipInfo) -> str:
    return PurePosixPath(entry.filename).name.casefold()


def _shown(entry: zipfile.ZipInfo) -> str:
    return shown(entry.orig_filename)
