"""What every source of images offers: a header, and rows of its planes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tessera.errors import InputError, Problem
from tessera.imaging.boxes import Index

Array = npt.NDArray[Any]
Sizes = tuple[float, float, float]

DTYPES = ("uint8", "int8", "uint16", "int16", "float32", "float64")
WIDER = {"bool": "uint8", "float16": "float32"}
"""Types that are held as another, which has all of their values."""

ISOTROPIC: Sizes = (1.0, 1.0, 1.0)
COPY = "copy the file again from where it came"
AS_GREY = "save it as grey values, one channel in a file (in Fiji: Image > Type > 8-bit or 16-bit)"


@dataclass(frozen=True)
class Header:
    """What the header of an image tells.

    Attributes
    ----------
    shape
        Planes, rows and columns; a 2-D image has one plane.
    ndim
        2 or 3.
    dtype
        Of the voxels, one of `DTYPES`.
    voxel_size
        Along z, y, x; 1 where the file does not tell.
    unit
        Of `voxel_size`, such as ``µm``; empty if unknown.
    kind
        ``tiff``, ``png``, ``slices`` or ``ome-zarr``.
    """

    shape: Index
    ndim: int
    dtype: str
    voxel_size: Sizes
    unit: str
    kind: str


class Planes(Protocol):
    """An image that is read plane by plane."""

    @property
    def file(self) -> str:
        """Return its name as the user gave it."""
        ...

    @property
    def header(self) -> Header:
        """Return what its header tells."""
        ...

    def needs(self) -> int:
        """Return bytes of the largest piece that is unpacked as a whole."""
        ...

    def rows(self, z: int, lo: int, hi: int) -> Array:
        """Return rows `lo` up to, not including, `hi` of plane `z`: all columns.

        Raises
        ------
        InputError
            They cannot be read.
        """
        ...

    def close(self) -> None:
        """Let go of open files and of what is held in memory; it can be read again."""
        ...


def itemsize(dtype: str) -> int:
    """Return bytes of a value."""
    return np.dtype(dtype).itemsize


def dtype_problem(file: str, name: str, place: str = "") -> Problem | None:
    """Tell that values of a type are not read here; None if they are."""
    if WIDER.get(name, name) in DTYPES:
        return None
    remedy = "convert it to uint16 or float32"
    if name.startswith("complex"):
        remedy = "save its magnitude, as float32"
    return Problem(file, place, f"its values are {name}, which is not read here", remedy)


def sizes_or_one(sizes: list[float]) -> list[float]:
    """Return sizes of a voxel as a file gives them; 1 for what can be none."""
    return [size if math.isfinite(size) and size > 0 else 1.0 for size in sizes]


def damaged(file: str, place: str, why: object = "") -> InputError:
    """Tell that some of a file cannot be unpacked."""
    text = " ".join(str(why).split()).rstrip(".")[:120]
    what = f"cannot be unpacked ({text})" if text else "cannot be unpacked"
    return InputError(Problem(file, place, what, COPY))


@contextmanager
def unpacking(file: str, place: str = "") -> Iterator[None]:
    """Turn errors of reading and unpacking into `InputError`."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise missing(file) from None
    except OSError as error:
        if error.errno is None:
            raise damaged(file, place, error) from None
        what = f"cannot be read ({error.strerror})"
        raise InputError(Problem(file, place, what, "check that it is a readable file")) from None
    except Exception as error:  # what a damaged file raises is all but any
        raise damaged(file, place, str(error).encode("ascii", "replace").decode()) from None


def missing(file: str) -> InputError:
    """Tell that there is no such file."""
    return InputError(Problem(file, "", "does not exist", "correct the path or provide the file"))
