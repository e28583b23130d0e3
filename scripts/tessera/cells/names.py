"""Names in a store, none of which leads out of it, and of what a folder holds."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

from tessera.cells.manifest import MANIFEST, parse_manifest
from tessera.errors import InputError, Problem

_DATASET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_PART = re.compile(r"[^/\\\x00]+")
_REMEDY = "make the version again from its data"


def check_dataset(dataset: str) -> str:
    """Return the name of a dataset if it is one, so that it never leads out of the store.

    Raises
    ------
    InputError
        Otherwise.
    """
    if is_dataset(dataset):
        return dataset
    what = f"{dataset!r} is no name of a dataset"
    remedy = "expected letters, digits and _ . - only, a letter or digit first, 100 at most"
    raise InputError(Problem("store", "", what, remedy))


def is_dataset(name: str) -> bool:
    """Tell whether a name may be that of a dataset."""
    return isinstance(name, str) and bool(_DATASET.fullmatch(name))


def check_version(version: str) -> str:
    """Return the name of a version if it is one: a UUID, in lower case.

    Raises
    ------
    InputError
        Otherwise.
    """
    try:
        if str(uuid.UUID(version)) == version:
            return version
    except (ValueError, AttributeError, TypeError):
        pass
    what, remedy = f"{version!r} is no name of a version", "expected a UUID as the store lists them"
    raise InputError(Problem("store", "", what, remedy))


def is_version(name: str) -> bool:
    """Tell whether a name is that of a version."""
    try:
        return bool(check_version(name))
    except InputError:
        return False


def check_name(name: str) -> str:
    """Return the path of a file in a version if it does not lead out of it.

    Raises
    ------
    InputError
        Otherwise.
    """
    if all(_PART.fullmatch(part) and part not in (".", "..") for part in name.split("/")):
        return name
    what, remedy = f"{name!r} is no file of a version", "expected a path within the version"
    raise InputError(Problem("store", "", what, remedy))


def version_of(folder: str | Path) -> str:
    """Return the version that the manifest of a folder names.

    Raises
    ------
    InputError
        If there is no manifest, or a damaged one.
    """
    try:
        return str(parse_manifest((Path(folder) / MANIFEST).read_bytes())["version"])
    except (OSError, ValueError):
        raise damaged(str(folder), [f"{MANIFEST} is missing or damaged"]) from None


def refuse_damaged(place: str, faults: list[str]) -> None:
    """Raise what is wrong with a version, if anything is.

    Raises
    ------
    InputError
        With a line for each fault.
    """
    if faults:
        raise damaged(place, faults)


def damaged(place: str, faults: list[str]) -> InputError:
    """Return what to tell whoever wants to use a damaged version."""
    return InputError([Problem(place, "", fault, _REMEDY) for fault in faults])
