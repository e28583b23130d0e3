"""An imported acquisition on disk, of which single volumes and slices are read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray


class Series:
    """A float32 ``(V, Z, Y, X)`` series in an ``.npy`` file.

    Plain reads, not a memory map: pages of a map count as the process's own memory for as long as
    the map is open, and after a few volumes that is the whole series.

    Parameters
    ----------
    path
        A file written by `tessera.neuro.acquisition.import_acquisition`.

    Attributes
    ----------
    shape
        ``(V, Z, Y, X)``.

    Raises
    ------
    ValueError
        If the file holds anything else.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        with self.path.open("rb") as stream:
            npy.read_magic(stream)
            shape, fortran_order, dtype = npy.read_array_header_1_0(stream)
            self._offset = stream.tell()
        if fortran_order or dtype != np.float32 or len(shape) != 4:
            raise ValueError(f"{path} holds no C-ordered float32 series of four dimensions")
        self.shape: tuple[int, int, int, int] = shape

    def read(self, volume: int, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Return the planes ``start <= z < stop`` of a volume, by default all of them."""
        _, depth, height, width = self.shape
        stop = depth if stop is None else stop
        with self.path.open("rb") as stream:
            stream.seek(self._offset + 4 * (volume * depth + start) * height * width)
            block = np.fromfile(stream, np.float32, (stop - start) * height * width)
        return block.reshape(stop - start, height, width)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return (self.read(volume) for volume in range(len(self)))
