"""Files of image, mask and variance planes: exposures as they come, cleaned ones, co-adds.

A cleaned visit is a FITS file of tile-compressed planes, three per detector, put together from
the bytes of each detector: so it is the same file whether one job made it or many. Where the bytes
of a detector lie is told beside it, since finding one of sixty by headers would take longer than
reading it.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from tessera.astro.bits import keywords
from tessera.errors import InputError, Problem

Floats = npt.NDArray[np.float32]
Bits = npt.NDArray[np.uint8]

TILE = (256, 256)
STEPS = 16
"""Steps per standard deviation of the sky in which the pixels of cleaned exposures are kept."""
_BLOCK = 2880


@dataclass
class RawCcd:
    """A detector as it came.

    Attributes
    ----------
    image
        (Y, X) float32, ADU.
    mask
        (Y, X) integers as stored, or None.
    variance
        (Y, X) float32, ADU^2, or None.
    header
        Header of the image.
    """

    image: Floats
    mask: npt.NDArray[Any] | None
    variance: Floats | None
    header: fits.Header


def read_ccd(path: str, record: Mapping[str, Any]) -> RawCcd:
    """Read the planes of one detector.

    Parameters
    ----------
    path
        The visit's file.
    record
        The detector's record, as from `tessera.astro.visits.read_visit`.

    Raises
    ------
    InputError
        If a plane's CHECKSUM does not fit its bytes, or the planes cannot be read.
    """
    place = f"CCD {record['ccd']}"
    planes: dict[str, Any] = {"mask": None, "variance": None}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            with fits.open(path, memmap=False) as hdus, Path(path).open("rb") as stream:
                for role in ("image", "mask", "variance"):
                    index = record[role]
                    if index is None:
                        continue
                    if not _sums_up(stream, hdus[index].fileinfo()):
                        what = f"the CHECKSUM of the {role} plane (HDU {index}) does not fit"
                        raise InputError(Problem(path, place, what, "copy the file anew"))
                    data = np.asarray(hdus[index].data)
                    native = data.dtype.newbyteorder("=")
                    kind = native if role == "mask" else np.dtype(np.float32)
                    planes[role] = np.ascontiguousarray(data, kind)
                    if role == "image":
                        planes["header"] = hdus[index].header.copy()
    except (OSError, ValueError, TypeError, KeyError, fits.VerifyError) as error:
        what = f"the planes cannot be read ({' '.join(str(error).split())[:100]})"
        raise InputError(Problem(path, place, what, "copy the file anew")) from None
    if planes["mask"] is not None and planes["mask"].dtype.kind not in "iub":
        what = f"the mask plane holds {planes['mask'].dtype} numbers, not bits"
        raise InputError(Problem(path, place, what, "store it as whole numbers"))
    return RawCcd(**planes)


def _sums_up(stream: Any, info: Mapping[str, Any]) -> bool:
    """Tell whether an HDU that has a CHECKSUM (or a DATASUM alone) still fits it.

    The ones' complement sum of the 32-bit words of an HDU with CHECKSUM is all ones (FITS 4.0,
    appendix J).
    """
    stream.seek(info["hdrLoc"])
    head = stream.read(info["datLoc"] - info["hdrLoc"])
    cards = [head[i : i + 80] for i in range(0, len(head), 80)]
    values = {c[:8].strip(): c[10:].split(b"/")[0].strip(b" '") for c in cards if c[8:9] == b"="}
    if not values.get(b"CHECKSUM") and not values.get(b"DATASUM"):
        return True
    total = 0
    left = info["datSpan"]
    while left > 0:
        chunk = stream.read(min(left, 1 << 24))
        if not chunk:
            return False
        total += _sum32(chunk)
        left -= len(chunk)
    if not values.get(b"CHECKSUM"):
        return values[b"DATASUM"] == str(_fold(total)).encode()
    return _fold(total + _sum32(head)) == 0xFFFFFFFF


def _sum32(chunk: bytes) -> int:
    return int(np.frombuffer(chunk, ">u4").sum(dtype=np.uint64))


def _fold(total: int) -> int:
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def _drawer(planes: Iterable[fits.hdu.base.ExtensionHDU]) -> bytes:
    """Return the bytes of extensions as they stand in a file after its primary HDU."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(buffer)
    content = bytearray(buffer.getvalue())
    _drop_times(content)
    return bytes(content[_BLOCK:])


def _drop_times(content: bytearray) -> None:
    """Put 0 in place of the time that stands in the header of each gzipped tile (RFC 1952)."""
    with fits.open(io.BytesIO(content), disable_image_compression=True) as hdus:
        for hdu in hdus[1:]:
            size, count = hdu.header["NAXIS1"], hdu.header["NAXIS2"]
            start = hdu.fileinfo()["datLoc"]
            rows = np.frombuffer(content, np.uint8, size * count, start).reshape(count, size)
            # Rice's method takes whole numbers: tiles that cannot be made such are gzipped.
            name = "GZIP_COMPRESSED_DATA"
            if name not in hdu.columns.names:
                continue
            wide = "Q" in hdu.columns[name].format
            first = hdu.data.dtype.fields[name][1]
            pairs = np.ascontiguousarray(rows[:, first : first + (16 if wide else 8)])
            for length, offset in pairs.view(">i8" if wide else ">i4").tolist():
                place = start + size * count + offset
                if length:
                    content[place + 4 : place + 8] = bytes(4)
            del rows


def _compressed(
    data: npt.NDArray[Any], name: str, cards: fits.Header, step: float = 0.0
) -> fits.CompImageHDU:
    """Make an extension of whole numbers, or of others in steps of a given size, dithered."""
    how: dict[str, Any] = {"compression_type": "RICE_1", "tile_shape": TILE}
    if data.dtype.kind == "f":
        how |= {"quantize_level": -step, "quantize_method": 1, "dither_seed": 1}
    hdu = fits.CompImageHDU(data, name=name, **how)
    hdu.header.extend(cards, update=True)
    return hdu


# astropy makes its table of dithers on first use, without the GIL and without a lock: of two
# threads that come first at once, one would round with a table half made. So it is made here.
_drawer([_compressed(np.eye(TILE[0], dtype=np.float32), "DITHERS", fits.Header(), 0.5)])


def clean_bytes(
    image: Floats, mask: Bits, variance: Floats, cards: fits.Header, noise: float
) -> bytes:
    """Return the compressed planes of a cleaned detector.

    Parameters
    ----------
    image, mask, variance
        (Y, X) planes, finite.
    cards
        What each header holds beside: WCS, name of the detector, zero point.
    noise
        Standard deviation of the sky, ADU. Pixels are kept in steps of a sixteenth of it, with
        subtractive dither: that adds 0.02 % to the noise and nothing to the mean.
    """
    marked = cards.copy()
    marked.update(keywords())
    hdus = [
        _compressed(image, "IMAGE", cards, noise / STEPS),
        _compressed(mask, "MASK", marked),
        _compressed(variance, "VARIANCE", cards, noise * noise / (4 * STEPS)),
    ]
    return _drawer(hdus)


def primary_bytes(cards: fits.Header) -> bytes:
    """Return the primary HDU of a visit's file."""
    header = fits.PrimaryHDU().header
    header["EXTEND"] = True
    header.update(cards)
    return header.tostring().encode("ascii")


class CleanCcd:
    """The planes of one detector in the file of a cleaned visit, read piece by piece.

    Parameters
    ----------
    path
        The file.
    offset, length
        Where the bytes of the detector lie in it.
    """

    def __init__(self, path: str, offset: int, length: int) -> None:
        with Path(path).open("rb") as stream:
            stream.seek(offset)
            content = stream.read(length)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            self._hdus = fits.open(io.BytesIO(primary_bytes(fits.Header()) + content))
        self.cards = self._hdus["IMAGE"].header

    def planes(self, y0: int, y1: int, x0: int, x1: int) -> tuple[Floats, Floats, Bits]:
        """Return image, variance and mask of a part of the detector."""
        image, variance, mask = (
            self._hdus[name].section[y0:y1, x0:x1] for name in ("IMAGE", "VARIANCE", "MASK")
        )
        return (
            np.ascontiguousarray(image, np.float32),
            np.ascontiguousarray(variance, np.float32),
            np.ascontiguousarray(mask, np.uint8),
        )


def write_coadd(
    place: Path, planes: Mapping[str, npt.NDArray[Any]], cards: fits.Header, zero_point: float
) -> None:
    """Write the planes IMAGE, MASK, VARIANCE and NIMAGE of a co-add, without loss.

    A pixel that two patches share must be the same in both, and rounding would depend on its
    neighbours. Noise hardly shrinks without loss: for a quarter less of the disk, gzip takes nearly
    as long as the whole co-add. So image and variance are stored as they are, the others by Rice's
    method.
    """
    hdus = []
    for name, data in planes.items():
        own = cards.copy()
        own["MAGZERO"] = (zero_point, "mag that gives a value of one")
        if name == "MASK":
            own.update(keywords())
        plain = data.dtype.kind == "f"
        hdus.append(fits.ImageHDU(data, own, name) if plain else _compressed(data, name, own))
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(place)


def read_coadd(path: str | Path) -> tuple[dict[str, npt.NDArray[Any]], fits.Header]:
    """Read the planes of a co-add by name, in native byte order, and the header of the image."""
    with fits.open(path) as hdus:
        planes = {
            hdu.name: np.ascontiguousarray(hdu.data, hdu.data.dtype.newbyteorder("="))
            for hdu in hdus[1:]
        }
        return planes, hdus["IMAGE"].header.copy()
