"""The headers of all pages of a TIFF, read without its pixels, and what is wrong with them.

Pages are walked through here, and not by a library, for a library takes a file that was cut
short for one of fewer pages.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tessera.errors import InputError, Problem, told
from tessera.imaging.planes import AS_GREY, COPY, unpacking

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

READ = {
    1: "none", 2: "CCITT RLE", 3: "CCITT fax 3", 4: "CCITT fax 4", 5: "LZW", 7: "JPEG",
    8: "deflate", 32773: "PackBits", 32946: "deflate", 34925: "LZMA", 34926: "zstd",
    50000: "zstd",
}  # fmt: skip
"""Compressions that are read: of each the unpacked size is known before it is unpacked."""

_REFUSED = {
    6: "old JPEG", 33003: "JPEG 2000", 33004: "JPEG 2000", 33005: "JPEG 2000", 33007: "JPEG",
    34712: "JPEG 2000", 34887: "LERC", 34892: "lossy JPEG", 34933: "PNG", 34934: "JPEG XR",
    48124: "Jetraw", 50001: "WebP", 50002: "JPEG XL", 50013: "PIXTIFF", 52546: "JPEG XL",
    9: "JBIG", 34661: "JBIG", 32809: "ThunderScan", 34676: "SGI log", 65000: "EER", 65001: "EER",
    65002: "EER",
}  # fmt: skip

_TYPES = {1: "u1", 2: "S1", 3: "u2", 4: "u4", 5: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4",
          10: "i4", 11: "f4", 12: "f8", 13: "u4", 16: "u8", 17: "i8", 18: "u8"}  # fmt: skip
_RATIONAL = (5, 10)
_TEXT = 64 << 20  # bytes that a description may have

(_SUBFILE, _WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL, _DESCRIPTION) = (
    254, 256, 257, 258, 259, 262, 266, 270)  # fmt: skip
_STRIPS, _SAMPLES, _ROWS, _STRIP_BYTES, _X, _Y, _PLANAR = 273, 277, 278, 279, 282, 283, 284
_PREDICTOR, _TILE_WIDTH, _TILE_LENGTH, _TILES, _TILE_BYTES = 317, 322, 323, 324, 325
_FORMAT, _DEPTH = 339, 32997
_COLOURS = {2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "CIELab", 32803: "colour filter"}
_REDUCED = 1


@dataclass(frozen=True)
class Page:
    """A page of a TIFF.

    Attributes
    ----------
    index
        Its number among all pages, from 0, those of lower resolution included.
    height, width
        In pixels.
    dtype
        Of its values as they are unpacked; ``bool`` for 1 bit.
    bits
        Bits of a value in the file.
    segment
        Rows and columns of a strip or tile.
    tiled
        Whether it is in tiles.
    plain
        Whether its strips hold the values as they are in memory, but for the order of bytes.
    depth
        Planes in the page.
    reduced
        Whether it is a copy of another page in lower resolution.
    first
        Where its first strip or tile begins in the file.
    order
        ``<`` or ``>``.
    resolution
        Pixels per unit, along y and x; 0 if not given.
    """

    index: int
    height: int
    width: int
    dtype: str
    bits: int
    segment: tuple[int, int]
    tiled: bool
    plain: bool
    compression: int
    photometric: int
    samples: int
    depth: int
    reduced: bool
    first: int
    order: str
    resolution: tuple[float, float]

    @property
    def segments(self) -> int:
        """Return how many strips or tiles a row of it, and all of it, should have."""
        (rows, columns), height, width = self.segment, self.height, self.width
        return -(-height // rows) * (-(-width // columns) if self.tiled else 1)


@dataclass(frozen=True)
class Tiff:
    """The headers of a TIFF: pages of full resolution, and the text that describes the first."""

    pages: list[Page]
    description: str
    size: int


def read_pages(file: str) -> Tiff:
    """Read the headers of all pages.

    Raises
    ------
    InputError
        The file is no TIFF, or cut short, or its pages are no planes of one grey image.
    """
    with unpacking(file), Path(file).open("rb") as stream:
        try:
            walk = _Walk(file, stream)
            pages = walk.pages()
        except (struct.error, ValueError, ZeroDivisionError, OverflowError, TypeError):
            raise walk_fault(file, "") from None
    full = [page for page in pages if not page.reduced]
    if not full:
        raise walk_fault(file, "")
    problems = _problems(file, full)
    if problems:
        raise InputError(problems)
    return Tiff(full, walk.description, walk.size)


def walk_fault(file: str, place: str, what: str = "its header is damaged") -> InputError:
    """Tell that headers cannot be followed."""
    return InputError(Problem(file, place, what, COPY))


class _Walk:
    """Goes from the header of a page to that of the next."""

    def __init__(self, file: str, stream: BinaryIO) -> None:
        self.file, self.stream, self.description = file, stream, ""
        self.tags: dict[int, tuple[int, int, bytes]] = {}
        self.size = stream.seek(0, os.SEEK_END)
        start = self.read(0, 16 if self.size >= 16 else 8, "")
        self.order = "<" if start[:2] == b"II" else ">"
        self.big = start[:4] in MAGIC[2:]
        self.next = int(struct.unpack_from(f"{self.order}{'Q' if self.big else 'I'}", start,
                                           8 if self.big else 4)[0])  # fmt: skip

    def read(self, place: int, count: int, where: str) -> bytes:
        if place < 0 or place + count > self.size:
            raise walk_fault(self.file, where, "is cut short, or its header is damaged")
        self.stream.seek(place)
        return self.stream.read(count)

    def pages(self) -> list[Page]:
        pages: list[Page] = []
        seen: set[int] = set()
        while self.next:
            where = f"page {len(pages) + 1}"
            if self.next in seen:
                raise walk_fault(self.file, where, "its header is that of another page")
            seen.add(self.next)
            pages.append(self.page(len(pages), where))
        return pages

    def page(self, index: int, where: str) -> Page:
        big, order = self.big, self.order
        lead, entry, tail = (8, 20, 8) if big else (2, 12, 4)
        start = self.next
        (count,) = struct.unpack(f"{order}{'Q' if big else 'H'}", self.read(start, lead, where))
        block = self.read(start + lead, count * entry + tail, where)
        (self.next,) = struct.unpack(f"{order}{'Q' if big else 'I'}", block[count * entry :])
        self.tags = {}
        for number in range(count):
            tag, kind, many = struct.unpack_from(
                f"{order}HH{'Q' if big else 'I'}", block, number * entry
            )
            held = block[number * entry + (12 if big else 8) : (number + 1) * entry]
            self.tags.setdefault(tag, (kind, many, held))
        if not index and _DESCRIPTION in self.tags:
            text = bytes(self.values(_DESCRIPTION, where)[:_TEXT].tobytes())
            self.description = text.split(b"\0")[0].decode("utf-8", "replace")
        return self.facts(index, where)

    def values(self, tag: int, where: str) -> Any:
        """Return the values of a tag; an empty array if it is not there."""
        if tag not in self.tags:
            return np.zeros(0, np.int64)
        kind, many, held = self.tags[tag]
        if kind not in _TYPES:
            raise walk_fault(self.file, where)
        dtype = np.dtype(f"{self.order}{_TYPES[kind]}")
        many *= 2 if kind in _RATIONAL else 1
        length = many * dtype.itemsize
        if length > len(held):
            (place,) = struct.unpack(f"{self.order}{'Q' if self.big else 'I'}", held)
            held = self.read(place, length, where)
        return np.frombuffer(held[:length], dtype)

    def one(self, tag: int, default: int, where: str) -> int:
        values = self.values(tag, where)
        return int(values[0]) if len(values) else default

    def ratio(self, tag: int, where: str) -> float:
        pair = [int(n) for n in self.values(tag, where)[:2]]
        return pair[0] / pair[1] if len(pair) == 2 and pair[1] else 0.0

    def facts(self, index: int, where: str) -> Page:
        def one(tag: int, default: int) -> int:
            return self.one(tag, default, where)

        height, width, bits = one(_LENGTH, 0), one(_WIDTH, 0), self.values(_BITS, where)
        samples, compression, tiled = one(_SAMPLES, 1), one(_COMPRESSION, 1), _TILES in self.tags
        depth = int(bits[0]) if len(bits) else 1
        segment = (one(_TILE_LENGTH, 0), one(_TILE_WIDTH, 0))
        if not tiled:
            segment = (min(one(_ROWS, height), height) or height, width)
        if min(height, width, *segment) < 1:
            raise walk_fault(self.file, where)
        places = self.values(_TILES if tiled else _STRIPS, where)
        lengths = self.values(_TILE_BYTES if tiled else _STRIP_BYTES, where)
        page = Page(
            index, height, width,
            _dtype(one(_FORMAT, 1), depth), depth, segment, tiled,
            plain=not tiled and compression == 1 and one(_PREDICTOR, 1) == 1
            and one(_FILL, 1) == 1 and depth in (8, 16, 32, 64),
            compression=compression, photometric=one(_PHOTOMETRIC, 1),
            samples=samples, depth=one(_DEPTH, 1), reduced=bool(one(_SUBFILE, 0) & _REDUCED),
            first=int(places[0]) if len(places) else 0, order=self.order,
            resolution=(self.ratio(_Y, where), self.ratio(_X, where)),
        )  # fmt: skip
        self.check_segments(page, places, lengths, where)
        return page

    def check_segments(self, page: Page, places: Any, lengths: Any, where: str) -> None:
        """See that strips or tiles are all there, and within the file."""
        wanted = page.segments
        if page.samples > 1:
            return  # is refused later
        if len(places) < wanted or (len(lengths) < wanted and not (wanted == 1 and page.plain)):
            what = f"has {len(places)} strips or tiles of {wanted}"
            raise walk_fault(self.file, where, what)
        if not len(lengths):
            lengths = np.array([page.height * page.width * page.bits // 8])
        ends = places[:wanted].astype(np.float64) + lengths[:wanted].astype(np.float64)
        if ends.max() > self.size:
            what = f"is cut short: its pixels end at byte {int(ends.max()):,} of {self.size:,}"
            raise walk_fault(self.file, where, what)
        absent = (places[:wanted] == 0) != (lengths[:wanted] == 0)
        if absent.any():
            number = int(np.flatnonzero(absent)[0]) + 1
            raise walk_fault(self.file, where, f"strip or tile {number} is empty")


def _dtype(form: int, bits: int) -> str:
    if bits == 1:
        return "bool"
    kind = {1: "uint", 2: "int", 3: "float", 4: "uint", 5: "complex", 6: "complex"}.get(form)
    if kind == "uint" and bits < 16:
        return "uint8" if bits <= 8 else "uint16"
    return f"{kind}{bits}" if kind else f"of sample format {form}"


def _problems(file: str, pages: list[Page]) -> list[Problem]:
    """Return what speaks against pages being the planes of a grey image."""
    first = pages[0]
    colour = _COLOURS.get(first.photometric)
    if first.photometric == 3:
        what = "is a palette image, whose values are numbers of colours"
        return [Problem(file, "", what, AS_GREY)]
    if colour or first.samples != 1:
        what = (
            f"is in colours ({colour})" if colour else f"has {first.samples} channels in each pixel"
        )
        return [Problem(file, "", f"{what}, where grey is expected", AS_GREY)]
    problems = []
    if first.depth > 1:
        what = "holds a volume in one page"
        problems.append(Problem(file, "", what, "save it as a stack, a page for each plane"))
    for code in dict.fromkeys(page.compression for page in pages):
        if code not in READ:
            named = _REFUSED.get(code, f"number {code}")
            what = f"is compressed by {named}, which is not read here"
            problems.append(Problem(file, "", what, "save it uncompressed, or with LZW or deflate"))
    odd = [page for page in pages if _alike(page) != _alike(first)]
    problems += told(
        file, odd,
        lambda k: (f"page {odd[k].index + 1}", f"{_shown(odd[k])}, where page "
                   f"{first.index + 1} {_shown(first)}"),
        "keep pages of one image in a file",
    )  # fmt: skip
    return problems


def _alike(page: Page) -> tuple[object, ...]:
    return page.height, page.width, page.dtype, page.bits, page.samples, page.photometric


def _shown(page: Page) -> str:
    return (
        f"has {page.height} x {page.width} pixels of {page.bits} bits ({page.dtype}"
        f"{', ' + _COLOURS[page.photometric] if page.photometric in _COLOURS else ''})"
    )
