"""Metadata of a Zarr array, version 2 or 3, read before any library does: what is allowed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tessera.errors import InputError, Problem

CODECS = ("blosc", "zstd", "gzip", "zlib", "lz4", "bytes", "endian", "sharding_indexed",
          "crc32c", "transpose")  # fmt: skip
"""What chunks may be packed by."""

_NUMBERS = ("bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
            "float16", "float32", "float64", "complex64", "complex128")  # fmt: skip
_MOST = 16 << 20  # bytes of a file of metadata
_FILES = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
_DAMAGED = "write or copy the image again"
_PACK = "write it with blosc, zstd or gzip"


@dataclass
class ArrayFacts:
    """What the metadata of an array tell.

    Attributes
    ----------
    shape, chunk
        Of the array, and of the pieces that are unpacked as a whole.
    dtype
        NumPy's name.
    problems
        What is wrong with it.
    """

    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: str
    problems: list[Problem] = field(default_factory=list)


def is_zarr(folder: Path) -> bool:
    """Tell whether a folder is one of Zarr's."""
    return any((folder / name).is_file() for name in _FILES)


def attributes(file: str, folder: Path) -> dict[str, Any]:
    """Return the attributes of a group or array."""
    found = _read(file, folder / "zarr.json")
    if found is not None:
        held = found.get("attributes", {})
        return held if isinstance(held, dict) else {}
    return _read(file, folder / ".zattrs") or {}


def read_array(file: str, folder: Path) -> ArrayFacts | None:
    """Read the metadata of an array.

    Returns
    -------
    ArrayFacts or None
        None if there is no array in the folder.

    Raises
    ------
    InputError
        They make no sense.
    """
    try:
        found = _read(file, folder / "zarr.json")
        if found is not None:
            return _version_3(file, found) if found.get("node_type") == "array" else None
        found = _read(file, folder / ".zarray")
        return None if found is None else _version_2(file, found)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError):
        raise InputError(Problem(file, "", "its metadata are damaged", _DAMAGED)) from None


def _read(file: str, path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    with path.open("rb") as stream:
        content = stream.read(_MOST + 1)
    try:
        found = json.loads(content) if len(content) <= _MOST else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError(Problem(file, path.name, "is no metadata of Zarr", _DAMAGED))
    return found


def _lengths(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(type(n) is int and 0 <= n < 1 << 48 for n in values):
        raise ValueError
    return tuple(values)


def _version_2(file: str, found: dict[str, Any]) -> ArrayFacts:
    shape, chunk = _lengths(found["shape"]), _lengths(found["chunks"])
    if len(shape) != len(chunk) or min(chunk, default=1) < 1:
        raise ValueError
    named = found["dtype"]
    # A list is a record, O are Python objects, which are never unpacked.
    plain = isinstance(named, str) and len(named) <= 5 and named[:1] in "<>|=" and len(named) > 2
    dtype = np.dtype(named).name if plain and named[1] in "biufc" else "no numbers"
    packers = [found.get("compressor"), *(found.get("filters") or [])]
    names = [packer["id"] for packer in packers if packer is not None]
    allowed = {"blosc", "zstd", "gzip", "zlib", "lz4"}
    return ArrayFacts(shape, chunk, dtype, _unknown(file, [n for n in names if n not in allowed]))


def _version_3(file: str, found: dict[str, Any]) -> ArrayFacts:
    shape = _lengths(found["shape"])
    if found["chunk_grid"]["name"] != "regular":
        remedy = "write it with chunks of one shape"
        raise InputError(Problem(file, "", "has chunks of several shapes", remedy))
    chunk = _lengths(found["chunk_grid"]["configuration"]["chunk_shape"])
    named = found["data_type"]
    dtype = named if isinstance(named, str) and named in _NUMBERS else "no numbers"
    names: list[str] = []
    inner = _codecs(found["codecs"], names)
    chunk = inner or chunk
    if len(shape) != len(chunk) or min(chunk, default=1) < 1:
        raise ValueError
    if found.get("storage_transformers"):
        names.append("storage_transformers")
    return ArrayFacts(shape, chunk, dtype, _unknown(file, [n for n in names if n not in CODECS]))


def _codecs(listed: list[Any], names: list[str]) -> tuple[int, ...] | None:
    """Collect the names of codecs, and return the shape of the innermost chunks of shards."""
    inner = None
    for codec in listed:
        name = codec if isinstance(codec, str) else codec["name"]
        names.append(str(name).removeprefix("numcodecs."))
        if name == "sharding_indexed":
            held = codec["configuration"]
            deeper = _codecs(held["codecs"], names)
            inner = deeper or _lengths(held["chunk_shape"])
            _codecs(held.get("index_codecs", []), names)
    return inner


def _unknown(file: str, names: list[str]) -> list[Problem]:
    shown = [str(name).encode("ascii", "replace").decode()[:40] for name in dict.fromkeys(names)]
    return [
        Problem(file, "", f"is packed by {name}, which is not read here", _PACK) for name in shown
    ]
