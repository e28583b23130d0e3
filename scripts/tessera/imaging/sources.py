"""Images of every kind: which kind a path is, what its header tells."""

from __future__ import annotations

from pathlib import Path

from tessera.errors import InputError, Problem
from tessera.imaging import png, tiff_pages
from tessera.imaging.ome_zarr import OmeZarr
from tessera.imaging.planes import COPY, Header, Planes, missing, unpacking
from tessera.imaging.png import PngPlanes
from tessera.imaging.slices import SlicePlanes
from tessera.imaging.tiff import TiffPlanes
from tessera.imaging.zarr_meta import is_zarr

_OTHERS = {
    b"\xff\xd8\xff": "a JPEG", b"GIF8": "a GIF", b"BM": "a BMP", b"\x89HDF": "an HDF5 file",
    b"PK": "a ZIP archive", b"\x1f\x8b": "compressed by gzip", b"ZISRAWFILE": "a CZI",
    b"%PDF": "a PDF", b"\xda\xce\xbe\x0a": "an ND2", b"\x70\0\0\0": "a LIF", b"RIFF": "a WebP",
    b"\0\0\0\x0cjP": "a JPEG 2000", b"P5": "a PGM", b"SIMPLE": "a FITS",
}  # fmt: skip
_AS_TIFF = "save it as TIFF (in Fiji: File > Save As > Tiff)"


def look(path: str | Path) -> Header:
    """Return what the header of an image tells, from headers alone.

    Parameters
    ----------
    path
        A TIFF or PNG, a folder of slices, or an OME-Zarr.

    Raises
    ------
    InputError
        With all that headers show to be wrong.
    """
    return open_image(path).header


def check(path: str | Path) -> None:
    """Find all that the headers of an image show to be wrong.

    Raises
    ------
    InputError
        With every fault.
    """
    look(path)


def open_image(path: str | Path) -> Planes | OmeZarr:
    """Open an image of any kind and check its headers.

    Raises
    ------
    InputError
        With all that headers show to be wrong.
    """
    file = str(path)
    with unpacking(file):
        folder = Path(file).is_dir()
        if not folder and not Path(file).exists():
            raise missing(file)
        if folder:
            return OmeZarr(file) if is_zarr(Path(file)) else SlicePlanes(file)
        with Path(file).open("rb") as stream:
            start = stream.read(16)
    if start.startswith(tiff_pages.MAGIC):
        return TiffPlanes(file)
    if start.startswith(png.MAGIC):
        return PngPlanes(file)
    if not start:
        raise InputError(Problem(file, "", "the file is empty", COPY))
    if len(start) < 4 and any(m.startswith(start) for m in (*tiff_pages.MAGIC, png.MAGIC)):
        raise InputError(Problem(file, "", "is cut short, or its header is damaged", COPY))
    named = next((name for sign, name in _OTHERS.items() if start.startswith(sign)), None)
    what = f"is {named}, which is not read here" if named else "is no TIFF and no PNG"
    raise InputError(Problem(file, "", what, _AS_TIFF))
