"""What a job leaves for the same job of the next run: arrays in files that are trusted or ignored.

A file says what it is of, and by what code and libraries it was made; what does not fit is made
anew. Nobody depends on one: a run without any gives the same bytes.
"""

from __future__ import annotations

import contextlib
import json
import platform
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import scipy
from threadpoolctl import threadpool_info

Array = npt.NDArray[Any]

_MAGIC = b"TESSERA\n"
_LINE = 64  # bytes: arrays begin where a line of the cache does


def digest_of(*parts: Any) -> str:
    """Return a digest of arrays (their type, shape and bytes) and of what JSON holds."""
    digest = blake2b(digest_size=20)
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            digest.update(part.tobytes())
        else:
            digest.update(json.dumps(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()


class Shelf:
    """Files that a job finds from the last run, and leaves for the next one.

    Parameters
    ----------
    folder
        Where they lie; made if need be.
    maker
        Digest of the code. Together with the libraries and the make of the processor it is part of
        what a file is of, because both may change the last bit of a number.
    room
        Bytes that may be kept for the sake of speed alone.

    Attributes
    ----------
    notes
        What was found, and what not, for the log.
    """

    def __init__(self, folder: str | Path, maker: str, room: float = np.inf) -> None:
        self._folder = Path(folder)
        blas = sorted({str(each.get("architecture")) for each in threadpool_info()})
        made_by = [maker, np.__version__, scipy.__version__, platform.machine(), blas]
        self._maker = digest_of(made_by)
        self._room = room
        self._mine: set[str] = set()
        self.notes: list[str] = []

    def charge(self, size: float) -> None:
        """Count bytes that are kept whether there is room or not."""
        self._room -= size

    def take_room(self, wanted: float) -> bool:
        """Tell whether so many bytes more may be kept, and count them if so."""
        if wanted > self._room:
            return False
        self._room -= wanted
        return True

    def get(self, name: str, of: str) -> dict[str, Array] | None:
        """Return arrays that an earlier run kept, as read-only views of the file.

        Parameters
        ----------
        name
            Of the file.
        of
            Digest of all that the arrays follow from.
        """
        place = self._folder / f"{name}.kept"
        if not place.exists():
            self.notes.append(f"{name}: nothing kept.")
            return None
        try:
            found, arrays = _read(place)
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.notes.append(f"{name}: {place} is damaged ({error}), so made anew.")
            return None
        if found != digest_of(self._maker, of):
            self.notes.append(f"{name}: kept of other data, settings or code, so made anew.")
            return None
        self.notes.append(f"{name}: taken from the last run.")
        self._mine.add(place.name)
        return arrays

    @contextlib.contextmanager
    def put(self, name: str, of: str) -> Iterator[Callable[[str, Array], None]]:
        """Keep arrays, one after the other, in the place of those of that name.

        Yields
        ------
        callable
            Takes the name of an array and the array, which it need not hold any longer.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        place = self._folder / f"{name}.kept"
        with _unsynced(place) as stream:
            table: list[tuple[str, str, tuple[int, ...], int]] = []
            total = 0

            def add(label: str, array: Array) -> None:
                nonlocal total
                own = np.ascontiguousarray(array)
                raw = own.reshape(-1).view(np.uint8)
                table.append((label, own.dtype.str, own.shape, stream.tell()))
                stream.write(raw.data)
                stream.write(bytes(-raw.size % _LINE))
                total += _checksum(raw)

            yield add
            end = {"of": digest_of(self._maker, of), "sum": total % 2**64, "arrays": table}
            footer = json.dumps(end).encode()
            stream.write(footer + len(footer).to_bytes(8, "little") + _MAGIC)
        self._mine.add(place.name)

    def spare(self, name: str) -> None:
        """Leave a file for the next run, though this one need not look into it."""
        self._mine.add(f"{name}.kept")

    def sweep(self) -> None:
        """Remove what this run neither used nor made nor spared."""
        for place in self._folder.glob("*.kept"):
            if place.name not in self._mine:
                place.unlink()


@contextlib.contextmanager
def _unsynced(place: Path) -> Iterator[BinaryIO]:
    """Write a file that appears complete or not at all, but may be lost with the power.

    What is then found does not add up, and is made anew: not worth waiting for the disk.
    """
    beside = place.with_name(f".tmp-{place.name}")
    try:
        with beside.open("wb") as stream:
            yield stream
        beside.replace(place)
    finally:
        beside.unlink(missing_ok=True)


def _checksum(raw: npt.NDArray[np.uint8]) -> int:
    """Add up eight bytes at a time, round the clock: as quick as reading them is."""
    whole = raw.size // 8 * 8
    rest = int.from_bytes(raw[whole:].tobytes(), "little")
    return int(np.add.reduce(raw[:whole].view(np.uint64), dtype=np.uint64)) + rest


def _read(place: Path) -> tuple[str, dict[str, Array]]:
    """Return what a file is of, and its arrays; raise ValueError where it is not as it was."""
    raw = np.memmap(place, np.uint8, mode="r")
    if raw[-8:].tobytes() != _MAGIC:
        raise ValueError("it has no end")
    length = int.from_bytes(raw[-16:-8].tobytes(), "little")
    end = json.loads(raw[raw.size - 16 - length : raw.size - 16].tobytes())
    arrays, total = dict[str, Array](), 0
    for label, kind, shape, start in end["arrays"]:
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        part = raw[start : start + size]
        total += _checksum(part)
        arrays[label] = np.asarray(part).view(kind).reshape(shape)
    if total % 2**64 != end["sum"]:
        raise ValueError("its numbers do not add up")
    return str(end["of"]), arrays
