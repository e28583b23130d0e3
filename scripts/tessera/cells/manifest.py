"""The manifest of a version: every file with its bytes and digest, and a name that follows from it.

A version is named by what is in it: a UUID of version 5 (RFC 9562) of the digest of its manifest.
The same data and definitions make the same version, and whoever holds a version's name can tell
whether its manifest, and by it every file, is what was published.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

MANIFEST = "manifest.json"

_FILES = b',\n "files": ['
_NAMESPACE = uuid.UUID("1a5c9e3e-8f0e-5d5e-9b57-6e1f3c2d7a10")


def write_manifest(folder: str | Path, facts: dict[str, Any]) -> str:
    """Write ``manifest.json`` of a complete version folder.

    Parameters
    ----------
    folder
        The folder, with all its other files in place.
    facts
        What the manifest says besides, such as ``format``, ``dataset``, ``definitions``, ``cells``;
        no ``version`` and no ``files``. Their order counts: the first grouping is the default one.

    Returns
    -------
    str
        The name of the version: a UUID that follows from the facts and from the files' paths and
        digests alone.

    Raises
    ------
    ValueError
        If the folder holds anything but files and folders, such as a link.
    """
    folder = Path(folder)
    rest: dict[str, Any] = {**facts, "files": [_entry(folder, path) for path in _files(folder)]}
    version = _version(rest)
    text = json.dumps({"version": version, **rest}, ensure_ascii=False, indent=1, allow_nan=False)
    (folder / MANIFEST).write_text(text + "\n", "utf-8")
    return version


def parse_manifest(content: bytes) -> dict[str, Any]:
    """Return what a manifest says.

    Parameters
    ----------
    content
        Bytes of ``manifest.json``.

    Raises
    ------
    ValueError
        If they are no manifest, or not that of the version which they name.
    """
    manifest = json.loads(content)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), list):
        raise ValueError("is no manifest")
    if manifest.get("version") != _version(_without_version(manifest)):
        raise ValueError("is not the manifest of the version that it names")
    return manifest


def parse_facts(content: bytes) -> dict[str, Any]:
    """Return what a manifest says but for its files, which come last and may be thousands.

    Parameters
    ----------
    content
        Bytes of a ``manifest.json`` that was checked when it was published.
    """
    # No text in JSON holds a line break, so this one is where the list begins.
    facts, _, _ = content.partition(_FILES)
    return json.loads(facts + b"}")


def check_manifest(folder: str | Path) -> list[str]:
    """Compare a version folder with its manifest, byte by byte.

    Parameters
    ----------
    folder
        The folder.

    Returns
    -------
    list of str
        A clause for each fault, such as ``genes.parquet has 12 bytes instead of 408``; empty if
        the folder holds what its manifest lists and nothing else.
    """
    folder = Path(folder)
    try:
        manifest = parse_manifest((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        return [f"{MANIFEST} is missing"]
    except ValueError:
        return [f"{MANIFEST} is damaged"]
    try:
        found = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    except ValueError as error:
        return [str(error)]
    sizes = {name: path.stat().st_size for name, path in found.items()}
    return compare(manifest, sizes, lambda name: sha256(found[name]))


def compare(
    manifest: dict[str, Any], sizes: Mapping[str, int], digest: Callable[[str], str]
) -> list[str]:
    """Compare the files that there are with a manifest.

    Parameters
    ----------
    manifest
        What `parse_manifest` returned.
    sizes
        Path and bytes of each file but the manifest.
    digest
        Returns the SHA-256 digest of a file; asked only where its size is right.

    Returns
    -------
    list of str
        A clause for each fault; empty if the files are those of the manifest.
    """
    listed = {entry["path"]: entry for entry in manifest["files"]}
    faults = [f"{name} is missing" for name in sorted(listed.keys() - sizes.keys())]
    for name, size in sorted(sizes.items()):
        if name not in listed:
            faults.append(f"{name} is not in {MANIFEST}")
        elif size != listed[name]["bytes"]:
            faults.append(f"{name} has {size} bytes instead of {listed[name]['bytes']}")
        elif digest(name) != listed[name]["sha256"]:
            faults.append(f"{name} has other content than it had")
    return faults


def sha256(path: Path) -> str:
    """Return the SHA-256 digest of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _version(rest: dict[str, Any]) -> str:
    canonical = json.dumps(rest, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return str(uuid.uuid5(_NAMESPACE, hashlib.sha256(canonical.encode()).hexdigest()))


def _without_version(manifest: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in manifest.items() if key != "version"}


def _entry(folder: Path, path: Path) -> dict[str, Any]:
    name = path.relative_to(folder).as_posix()
    entry: dict[str, Any] = {"path": name, "bytes": path.stat().st_size, "sha256": sha256(path)}
    if path.suffix == ".parquet":
        entry["rows"] = pq.read_metadata(path).num_rows
    return entry


def _files(folder: Path) -> Iterator[Path]:
    """Walk through the files of a version but for its manifest, in the order of their names."""
    for path in sorted(Path(place, name) for place, _, names in _walk(folder) for name in names):
        if path == folder / MANIFEST:
            continue
        if not stat.S_ISREG(path.lstat().st_mode):
            raise ValueError(f"{path.relative_to(folder).as_posix()} is no plain file")
        yield path


def _walk(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    for place, folders, names in os.walk(folder):
        links = [name for name in folders if Path(place, name).is_symlink()]
        yield place, folders, names + links
