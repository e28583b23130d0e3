"""NIfTI-1 images: headers read cheaply, volumes streamed, the same bytes written each time.

Arrays of the library are C-ordered with x fastest, ``(Z, Y, X)`` or ``(V, Z, Y, X)``: the order in
which a NIfTI file stores its samples, so that reading and writing never shuffle them. A header's
``shape`` keeps the order of the NIfTI standard, ``(X, Y, Z[, V])``.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from nibabel.openers import ImageOpener
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import DTypeLike, NDArray

from tessera.errors import InputError, Problem

_COPY_AGAIN = "copy or export the file again"
_UNREADABLE = (EOFError, OSError, zlib.error, ImageFileError, HeaderDataError, WrapStructError)


@dataclass(frozen=True, eq=False)
class Header:
    """What a NIfTI header says of an image.

    Attributes
    ----------
    shape
        Samples along each axis, in the order of the standard: ``(X, Y, Z)`` or ``(X, Y, Z, V)``.
    zooms
        Voxel size along x, y and z in mm: the lengths of the affine's columns.
    affine
        ``(4, 4)`` float64, voxel indices (x, y, z) to scanner RAS coordinates in mm (the sform
        where it has a code, else the qform).
    dtype
        The stored data type, before any scaling.
    """

    shape: tuple[int, ...]
    zooms: tuple[float, float, float]
    affine: NDArray[np.float64]
    dtype: np.dtype


def read_header(path: Path | str) -> Header:
    """Read the header of a NIfTI file, and nothing else of it.

    Parameters
    ----------
    path
        A ``.nii`` or ``.nii.gz`` file.

    Returns
    -------
    Header
        Shape, voxel sizes, affine and stored data type.

    Raises
    ------
    InputError
        The file is missing, is no single-file NIfTI image of real numbers, or ends early (for an
        uncompressed file this includes the data; a compressed one shows it only when read).
    """
    header = _load(path).header
    affine = np.array(header.get_best_affine(), dtype=np.float64)
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    return Header(
        shape=tuple(int(n) for n in header.get_data_shape()),
        zooms=(float(sizes[0]), float(sizes[1]), float(sizes[2])),
        affine=affine,
        dtype=header.get_data_dtype(),
    )


def volumes(path: Path | str) -> Iterator[NDArray[np.float32]]:
    """Read an image volume by volume, forwards, holding one volume at a time.

    Parameters
    ----------
    path
        A ``.nii`` or ``.nii.gz`` file of three or four dimensions.

    Yields
    ------
    ndarray
        ``(Z, Y, X)`` float32, with the header's slope and intercept applied (in float64).

    Raises
    ------
    InputError
        As `read_header`; also when the data end early or are corrupt, naming the volume reached.
        The checksum of a compressed file is checked after its last volume.
    """
    # The proxy, not the header, of a loaded image keeps offset and scaling as they were stored.
    stored = _samples(_load(path))
    spatial, count = stored.shape[:3], int(np.prod(stored.shape[3:]))
    size = stored.dtype.itemsize * int(np.prod(spatial))
    scaled = (stored.slope, stored.inter) != (1.0, 0.0)
    reached = 0
    try:
        with ImageOpener(str(path)) as stream:
            stream.seek(stored.offset)
            while reached < count:
                reached += 1
                block = stream.read(size)
                if len(block) < size:
                    raise EOFError
                volume = np.frombuffer(block, stored.dtype).reshape(spatial[::-1])
                if scaled:
                    volume = volume * np.float64(stored.slope) + np.float64(stored.inter)
                yield volume.astype(np.float32)
            # The checksum is compared at the end of the file, which damage may have moved.
            while stream.read(1 << 20):
                pass
    except _UNREADABLE as error:
        raise InputError(
            Problem(
                str(path),
                f"volume {reached} of {count}",
                f"the data cannot be read ({_reason(error)})",
                _COPY_AGAIN,
            )
        ) from error


def read(path: Path | str) -> NDArray[np.float32]:
    """Read a whole image, as `volumes` does: ``(Z, Y, X)``, or ``(V, Z, Y, X)`` of several."""
    parts = list(volumes(path))
    return parts[0] if len(parts) == 1 else np.stack(parts)


def write(
    path: Path | str,
    array: NDArray,
    affine: NDArray[np.floating],
    *,
    dtype: DTypeLike | None = None,
) -> None:
    """Write an image as ``.nii.gz``; the same array gives the same bytes.

    Parameters
    ----------
    path
        File to write, exactly this one whatever its suffix.
    array
        ``(Z, Y, X)`` or ``(V, Z, Y, X)``.
    affine
        ``(4, 4)``, voxel indices (x, y, z) to scanner RAS coordinates in mm.
    dtype
        Stored data type; by default that of `array` (bool as uint8). Integers are rounded to, never
        scaled.

    Raises
    ------
    ValueError
        `array` has a value that `dtype` cannot hold.
    """
    if dtype is None:
        dtype = np.uint8 if array.dtype == bool else array.dtype
    parts = array if array.ndim == 4 else array[np.newaxis]
    write_volumes(path, parts, array.shape, affine, dtype)


def write_volumes(
    path: Path | str,
    parts: Iterable[NDArray],
    shape: tuple[int, ...],
    affine: NDArray[np.floating],
    dtype: DTypeLike,
) -> None:
    """Write an image as ``.nii.gz`` from volumes that come one at a time.

    The header is made anew, so that no free text of an input (which may name a patient) can pass
    into an output. Units are mm and seconds; sform and qform are the affine, in scanner axes.

    Parameters
    ----------
    path
        File to write, exactly this one whatever its suffix.
    parts
        The volumes, each ``(Z, Y, X)``.
    shape
        ``(Z, Y, X)`` or ``(V, Z, Y, X)``.
    affine
        ``(4, 4)``, voxel indices (x, y, z) to scanner RAS coordinates in mm.
    dtype
        Stored data type. Integers are rounded to, never scaled.

    Raises
    ------
    ValueError
        The volumes do not add up to `shape`, or hold a value that `dtype` cannot hold.
    """
    stored = np.dtype(dtype).newbyteorder("<")
    header = nib.Nifti1Header(endianness="<")
    header.set_data_dtype(stored)
    header.set_data_shape(shape[::-1])
    header.set_xyzt_units("mm", "sec")
    header.set_qform(affine, code="scanner")
    header.set_sform(affine, code="scanner")
    header.set_slope_inter(1.0, 0.0)
    header["magic"] = b"n+1"
    header.set_data_offset(header.single_vox_offset)
    expected = shape[0] if len(shape) == 4 else 1
    written = 0
    # A gzip header without time and name keeps the bytes the same from run to run.
    with (
        Path(path).open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0) as stream,
    ):
        stream.write(header.binaryblock)
        stream.write(bytes(header.single_vox_offset - len(header.binaryblock)))
        for part in parts:
            if part.shape != tuple(shape[-3:]):
                raise ValueError(f"volume of shape {part.shape} where {shape[-3:]} was announced")
            stream.write(np.ascontiguousarray(_cast(part, stored)).data)
            written += 1
    if written != expected:
        raise ValueError(f"{written} volumes came where {expected} were announced")


def _cast(volume: NDArray, dtype: np.dtype) -> NDArray:
    if dtype.kind not in "iu" or volume.dtype == bool:
        return volume.astype(dtype)
    limits = np.iinfo(dtype)
    if not (volume.min() >= limits.min and volume.max() <= limits.max):
        raise ValueError(f"values {volume.min()} to {volume.max()} do not fit {dtype.name}")
    return np.rint(volume).astype(dtype)


def _load(path: Path | str) -> nib.Nifti1Image:
    def problem(what: str, remedy: str) -> InputError:
        return InputError(Problem(str(path), "", what, remedy))

    if not Path(path).is_file():
        raise problem("the file does not exist", "correct the path or provide the file")
    if not str(path).endswith((".nii", ".nii.gz")):
        raise problem("the name ends neither in .nii nor in .nii.gz", "convert the file to NIfTI")
    try:
        image = nib.load(path)
    except _UNREADABLE as error:
        raise problem(f"this is no readable NIfTI image ({_reason(error)})", _COPY_AGAIN) from error
    if not isinstance(image, nib.Nifti1Image):  # NIfTI-2 is a subclass
        raise problem(f"this is no NIfTI image but {type(image).__name__}", "convert it to NIfTI")
    dtype = image.header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise problem(f"the samples are {dtype}, not real numbers", "store magnitudes")
    if str(path).endswith(".nii"):
        needed = _samples(image).offset + dtype.itemsize * int(np.prod(image.shape))
        size = Path(path).stat().st_size
        if size < needed:
            raise problem(f"holds {size} bytes where its header announces {needed}", _COPY_AGAIN)
    return image


def _samples(image: nib.Nifti1Image) -> ArrayProxy:
    return cast(ArrayProxy, image.dataobj)


def _reason(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "the file ends early"
    if isinstance(error, ImageFileError):  # whose message is the path again
        return "damaged, or of another format"
    return str(error).rstrip(".")
