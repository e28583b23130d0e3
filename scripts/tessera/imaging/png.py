"""Images in PNG files."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import PngImagePlugin

from tessera.errors import InputError, Problem
from tessera.imaging.planes import AS_GREY, COPY, ISOTROPIC, Array, Header, itemsize, unpacking

MAGIC = b"\x89PNG\r\n\x1a\n"

_COLOURS = {2: "an RGB", 3: "a palette", 4: "a grey and transparent", 6: "an RGBA"}
_DTYPES = {1: "uint8", 8: "uint8", 16: "uint16"}
_RATIO = 1040  # bytes that deflate can make of one, at most


class PngPlanes:
    """A grey PNG.

    Parameters
    ----------
    file
        The file.

    Raises
    ------
    InputError
        With all that its header shows to be wrong.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        with unpacking(file), Path(file).open("rb") as stream:
            start, size = stream.read(33), stream.seek(0, 2)
            complete = _ends(stream, size)
        if len(start) < 33 or start[8:16] != b"\0\0\0\rIHDR":
            raise InputError(Problem(file, "", "is cut short, or its header is damaged", COPY))
        width, height, bits, colour = struct.unpack(">IIBB", start[16:26])
        if zlib.crc32(start[12:29]) != struct.unpack(">I", start[29:])[0] or not width * height:
            raise InputError(Problem(file, "", "its header is damaged", COPY))
        if colour in _COLOURS:
            what = f"is {_COLOURS[colour]} image, where grey is expected"
            raise InputError(Problem(file, "", what, AS_GREY))
        if bits not in _DTYPES:
            what = f"has {bits} bits per pixel, which are not read here"
            raise InputError(Problem(file, "", what, "save it with 8 or 16 bits"))
        if not complete:
            raise InputError(Problem(file, "", "is cut short", COPY))
        # So the memory that a header asks for is bounded by the size of the file.
        if height * (width * bits // 8) > _RATIO * size:
            what = f"is cut short: {size:,} bytes cannot hold {height} x {width} pixels"
            raise InputError(Problem(file, "", what, COPY))
        shape = (1, height, width)
        self.header = Header(shape, 2, _DTYPES[bits], ISOTROPIC, "", "png")
        self._held: Array | None = None

    def needs(self) -> int:
        """Return bytes of the image, which is unpacked as a whole."""
        _, height, width = self.header.shape
        return 2 * height * width * itemsize(self.header.dtype)

    def rows(self, z: int, lo: int, hi: int) -> Array:
        """Return rows of the image, which is held until it is closed."""
        if self._held is None:
            # The class itself: Pillow's open refuses large images, whatever memory there is.
            with unpacking(self.file), PngImagePlugin.PngImageFile(self.file) as image:
                if getattr(image, "is_animated", False):
                    what = "is animated"
                    raise InputError(Problem(self.file, "", what, "save one of its pictures"))
                self._held = np.asarray(image).astype(self.header.dtype)
        held = self._held
        if held.shape != self.header.shape[1:]:
            raise InputError(Problem(self.file, "", "its header is damaged", COPY))
        return held[lo:hi]

    def close(self) -> None:
        """Forget the pixels."""
        self._held = None


def _ends(stream: BinaryIO, size: int) -> bool:
    """Tell whether the parts of a file, each of which tells its length, lead to its end."""
    place = len(MAGIC)
    while place + 12 <= size:
        stream.seek(place)
        length, kind = struct.unpack(">I4s", stream.read(8))
        place += 12 + length
        if kind == b"IEND":
            return place <= size
    return False
