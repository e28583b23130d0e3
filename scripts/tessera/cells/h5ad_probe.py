"""A process of its own that reads through an HDF5 file that is not trusted, and may die of it.

Damage that HDF5 itself does not survive, references to other files, and arrays that unpack without
measure are met here first. Run as ``python h5ad_probe.py FILE``, it imports nothing of the library,
and prints what is wrong as JSON: pairs of place and clause.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
from pathlib import Path
from typing import Any

import h5py

PARTS = ("X", "obs", "var", "obsm/X_umap")

_SMALL, _RATIO = 16 << 20, 1000  # bytes of an array, unless it is so many times the file
_CHUNK = 1 << 30  # bytes of a chunk of an array, which is unpacked as a whole
_AT_ONCE = 16 << 20  # bytes read at a time
_WHOLE = 64 << 20  # bytes up to which the values of X are read here
_MEMORY = 4 << 30  # bytes of address space


class Probe:
    """A walk through the parts of a file that are read later.

    Parameters
    ----------
    file
        The file.

    Attributes
    ----------
    problems
        Place and clause of what was found.
    """

    def __init__(self, file: str) -> None:
        self.problems: list[tuple[str, str]] = []
        self._most = max(_SMALL, _RATIO * Path(file).stat().st_size)
        self._seen: set[Any] = set()
        with h5py.File(file, "r") as h5:
            self._attributes(h5)
            for part in PARTS:
                group: Any = h5
                for name in part.split("/"):
                    group = self._child(group, name, deep=part.endswith(name))
                    if not isinstance(group, h5py.Group):
                        break

    def _child(self, group: h5py.Group, name: str, *, deep: bool) -> Any:
        """Look at a member of a group, and all that is in it; return it if it is safe."""
        if name not in group.keys():  # noqa: SIM118, which would follow links
            return None
        place = f"{group.name}/{name}".lstrip("/")[:80]
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            self.problems.append((place, "is a link to another place or file"))
            return None
        thing = group[name]
        key = h5py.h5o.get_info(thing.id).addr
        if key in self._seen:
            return thing
        self._seen.add(key)
        if isinstance(thing, h5py.Dataset):
            fault = self._fault(thing)
            if fault:
                self.problems.append((place, fault))
                return None
            self._attributes(thing)
            self._read(thing, values=place in ("X", "X/data", "X/indices"))
        elif isinstance(thing, h5py.Group):
            self._attributes(thing)
            for child in thing.keys() if deep else ():
                self._child(thing, child, deep=True)
        else:
            self.problems.append((place, "is neither a group nor an array"))
            return None
        return thing

    def _fault(self, array: h5py.Dataset) -> str | None:
        if array.external or array.is_virtual:
            return "is an array that lies in another file"
        if array.size and array.size * array.dtype.itemsize > self._most:
            return f"unpacks to more than {_RATIO} times the size of the file"
        elements = 1
        for length in array.chunks or ():
            elements *= length
        if elements * array.dtype.itemsize > _CHUNK:
            return f"has chunks of more than {_CHUNK >> 30} GiB"
        return None

    def _read(self, array: h5py.Dataset, *, values: bool) -> None:
        """Read an array; of many values only where they are."""
        if array.chunks:
            array.id.chunk_iter(lambda info: None)
        if not array.ndim:
            array[()]
        elif not values or array.size * array.dtype.itemsize <= _WHOLE:
            row = max(1, array.size // max(1, len(array)) * array.dtype.itemsize)
            step = max(1, _AT_ONCE // row)
            for start in range(0, len(array), step):
                array[start : start + step]

    @staticmethod
    def _attributes(thing: Any) -> None:
        for name in thing.attrs:
            thing.attrs[name]


if __name__ == "__main__":
    with contextlib.suppress(OSError, ValueError):  # where there is a lower limit already
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print(json.dumps(Probe(sys.argv[1]).problems))
