"""Stacks in TIFF files, read a few rows at a time."""

from __future__ import annotations

import importlib.util
import logging
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile

from tessera.errors import InputError, Problem
from tessera.imaging.planes import (
    COPY,
    WIDER,
    Array,
    Header,
    Sizes,
    damaged,
    dtype_problem,
    itemsize,
    unpacking,
)
from tessera.imaging.tiff_notes import read_notes
from tessera.imaging.tiff_pages import READ, Page, Tiff, read_pages

# It writes of oddities to the log; what matters becomes an error here.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


class TiffPlanes:
    """A TIFF whose pages are planes; or one page followed by the pixels of all planes.

    Parameters
    ----------
    file
        The file.

    Raises
    ------
    InputError
        With all that its headers show to be wrong.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        tiff = read_pages(file)
        notes = read_notes(file, tiff)
        self._pages, first = tiff.pages, tiff.pages[0]
        problems = [dtype_problem(file, first.dtype), _codec_problem(file, first)]
        if any(problems):
            raise InputError([problem for problem in problems if problem])
        count = len(tiff.pages)
        if notes.planes and notes.planes != count:
            _check_joined(file, tiff, notes.planes)
            count = notes.planes
        self._joined = count != len(tiff.pages)
        size = notes.voxel_size if count > 1 else (1.0, *notes.voxel_size[1:])
        self.header = _header(first, count, size, notes.unit)

    def needs(self) -> int:
        """Return bytes of a strip or tile."""
        page = self._pages[0]
        if page.plain:
            return 0
        rows, columns = page.segment
        return rows * columns * itemsize(self.header.dtype)

    def rows(self, z: int, lo: int, hi: int) -> Array:
        """Return rows of a plane: all columns."""
        page = self._pages[0 if self._joined else z]
        place = f"page {page.index + 1}"
        dtype = self.header.dtype
        with unpacking(self.file, place):
            if self._joined:
                start = page.first + (z * page.height + lo) * self._row_bytes(page)
                return self._plain(page, start, hi - lo).astype(dtype, copy=False)
            out = np.zeros((hi - lo, page.width), dtype)
            known = self._tif.pages[page.index]
            across = -(-page.width // page.segment[1]) if page.tiled else 1
            for number in range(lo // page.segment[0] * across, page.segments):
                top = number // across * page.segment[0]
                if top >= hi:
                    break
                left = number % across * page.segment[1]
                self._segment(page, known, number, out, (top - lo, left), place)
            return out

    def close(self) -> None:
        """Close the file."""
        opened = self.__dict__.pop("_stream", None)
        self.__dict__.pop("_tif", None)
        if opened:
            opened.close()

    @cached_property
    def _stream(self) -> BinaryIO:
        return Path(self.file).open("rb")

    @cached_property
    def _tif(self) -> Any:
        # Of no other flavour than plain: how pages make up a stack is known already.
        return tifffile.TiffFile(self._stream, _multifile=False, is_ndpi=False, is_lsm=False,
                                 is_scanimage=False, is_eer=False)  # fmt: skip

    def _segment(
        self, page: Page, known: Any, number: int, out: Array, at: tuple[int, int], place: str
    ) -> None:
        """Unpack a strip or tile into the rows that are asked for, the first of which is row 0."""
        start, length = int(known.dataoffsets[number]), int(known.databytecounts[number])
        if not length:
            return  # left out, as GDAL does with what is zero
        top, left = at
        first, stop = max(0, -top), min(page.segment[0], len(out) - top)
        if page.plain:
            whole = min(page.segment[0], page.height - number * page.segment[0])
            row = self._row_bytes(page)
            if length < whole * row:
                raise damaged(self.file, place, f"strip {number + 1} is too short")
            out[top + first : top + stop] = self._plain(page, start + first * row, stop - first)
            return
        self._stream.seek(start)
        packed = self._stream.read(length)
        tables = {"jpegtables": known.jpegtables} if page.compression == 7 else {}
        with unpacking(self.file, f"{place}, {'tile' if page.tiled else 'strip'} {number + 1}"):
            values, _, _ = known.decode(packed, number, **tables)
            values = values.reshape(values.shape[-3], values.shape[-2])
        right = min(left + values.shape[1], out.shape[1])
        stop = min(stop, values.shape[0])
        out[top + first : top + stop, left:right] = values[first:stop, : right - left]

    def _plain(self, page: Page, start: int, rows: int) -> Array:
        """Return rows that lie in the file as they do in memory, from a place on."""
        dtype = np.dtype(page.dtype).newbyteorder(page.order)  # type: ignore[arg-type]
        self._stream.seek(start)
        content = self._stream.read(rows * self._row_bytes(page))
        values = np.frombuffer(content, dtype).reshape(rows, page.width)
        return values.astype(dtype.newbyteorder("="), copy=False)

    def _row_bytes(self, page: Page) -> int:
        return page.width * page.bits // 8


def _header(page: Page, count: int, size: Sizes, unit: str) -> Header:
    dtype = WIDER.get(page.dtype, page.dtype)
    shape = (count, page.height, page.width)
    return Header(shape, 3 if count > 1 else 2, dtype, size, unit, "tiff")


def _codec_problem(file: str, page: Page) -> Problem | None:
    """Tell that the package is not installed that unpacks a page."""
    simple = page.compression == 1 and page.bits in (8, 16, 32, 64)
    if simple or importlib.util.find_spec("imagecodecs"):
        return None
    how = f"compressed by {READ[page.compression]}" if page.compression > 1 else "packed bit by bit"
    what = f"is {how}, which the Python package imagecodecs unpacks, and that is not there"
    return Problem(file, "", what, "install imagecodecs, or save the image uncompressed")


def _check_joined(file: str, tiff: Tiff, planes: int) -> None:
    """See that the pixels of all planes follow the first page, where there are no more pages."""
    page, there = tiff.pages[0], len(tiff.pages)
    end = page.first + planes * page.height * page.width * page.bits // 8
    if there == 1 and page.plain and page.segments == 1 and end <= tiff.size:
        return
    what = f"holds {there} planes, where its description tells of {planes}"
    if there == 1 and READ[page.compression] == "none":
        what = "is cut short" if end > tiff.size else what
    raise InputError(Problem(file, "", what, COPY))
