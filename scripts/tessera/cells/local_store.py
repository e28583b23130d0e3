"""A store in a folder: copied beside, synced, checked, renamed; and switched under a lock."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zarr.abc.store import Store as ZarrStore
from zarr.storage import LocalStore as ZarrFolder

from tessera.cells.manifest import MANIFEST, check_manifest, parse_facts
from tessera.cells.names import (
    check_dataset,
    check_name,
    check_version,
    is_dataset,
    is_version,
    refuse_damaged,
    version_of,
)
from tessera.cells.store import (
    CURRENT,
    HOUR,
    VERSIONS,
    Pointer,
    conflict,
    decode,
    target_of_rollback,
    to_collect,
)
from tessera.cells.whole import Whole, keys_under
from tessera.errors import InputError
from tessera.job import sync

_TMP, _TRASH, _HELD = ".tmp-", ".trash-", "held"


class LocalStore:
    """Versions of datasets in a folder; see `tessera.cells.store.Store` for what each call does.

    A version is copied to ``versions/.tmp-RANDOM``, synced and checked, and renamed to its name;
    it goes by being renamed to ``versions/.trash-...`` first. So a folder with a version's name is
    complete at any time. Those renamings and the switch of ``CURRENT`` happen under a lock of the
    kernel (``flock`` on ``DATASET/.lock``), which ends with its process, however it ends. Readers
    need no lock.

    Parameters
    ----------
    location
        The folder; made by the first publication.
    """

    def __init__(self, location: str | Path) -> None:
        self.location = str(location)
        self._folder = Path(location)

    def current(self, dataset: str) -> Pointer | None:
        """Return what is published now; None if nothing is."""
        place = self._home(dataset) / CURRENT
        try:
            content = place.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return decode(content, str(place))

    def publish(self, dataset: str, folder: Path, base: Pointer | None) -> Pointer:
        """Publish a version folder, all at once."""
        version = version_of(folder)
        target = self._versions(dataset) / version
        pointer = self.current(dataset)
        if pointer and pointer.version == version and not self.check(dataset, version):
            return pointer
        with self._copied(Path(folder), target.parent) as copy, self._locked(dataset):
            self._put(copy, target, dataset)
            pointer = self.current(dataset)
            if pointer and pointer.version == version:
                return pointer
            if (pointer and pointer.token) != (base and base.token):
                raise conflict(dataset, pointer, version)
            return self._switch(dataset, pointer, version)

    def rollback(self, dataset: str, version: str | None = None) -> Pointer:
        """Make the version before, or a given one, the current one."""
        with self._locked(dataset):
            try:
                pointer = self.current(dataset)
            except InputError:
                if version is None:
                    raise
                pointer = None  # to name a version is the remedy
            version = target_of_rollback(dataset, pointer, version, self.versions(dataset))
            if pointer and pointer.version == version:
                return pointer
            refuse_damaged(f"{dataset}, version {version}", self.check(dataset, version))
            return self._switch(dataset, pointer, version)

    def versions(self, dataset: str) -> list[str]:
        """List the complete versions."""
        return sorted(path.name for path in self._listed(dataset))

    def datasets(self) -> list[str]:
        """List the datasets of which something is published."""
        names = (path.parent.name for path in self._folder.glob(f"*/{CURRENT}"))
        return sorted(name for name in names if is_dataset(name))

    def collect(self, dataset: str, keep: int, grace_hours: float) -> list[str]:
        """Remove what is no longer needed."""
        removed: list[str] = []
        if not self._home(dataset).is_dir():
            return removed
        versions, now = self._versions(dataset), time.time()
        with self._locked(dataset):
            pointer = self.current(dataset)
            if pointer:
                written = {path.name: path.stat().st_mtime for path in self._listed(dataset)}
                removed = to_collect(pointer, written, keep, grace_hours, now)
            for version in removed:
                (versions / version).rename(versions / f"{_TRASH}{version}-{secrets.token_hex(4)}")
        for path in versions.glob(f"{_TRASH}*"):
            shutil.rmtree(path, ignore_errors=True)
        for path in versions.glob(f"{_TMP}*"):
            if now - _touched(path) > grace_hours * HOUR and not _is_held(path):
                shutil.rmtree(path, ignore_errors=True)
        return removed

    def check(self, dataset: str, version: str) -> list[str]:
        """Read a version as a whole and return a clause for each fault."""
        folder = self._versions(dataset) / check_version(version)
        try:
            faults = check_manifest(folder)
            if not faults and version_of(folder) != version:
                return [f"{MANIFEST} is that of another version"]
        except FileNotFoundError:  # it goes while it is read
            faults = ["is missing"]
        return faults if folder.is_dir() else ["is missing"]

    def manifest(self, dataset: str, version: str) -> dict[str, Any]:
        """Return the manifest of a version."""
        return json.loads(self.path(dataset, version, MANIFEST).read_bytes())

    def facts(self, dataset: str, version: str) -> dict[str, Any]:
        """Return the manifest without its list of files."""
        return parse_facts(self.path(dataset, version, MANIFEST).read_bytes())

    def path(self, dataset: str, version: str, name: str) -> Path:
        """Return a local path to a file of a version."""
        within = f"{check_dataset(dataset)}/{VERSIONS}/{check_version(version)}/{check_name(name)}"
        path = self._folder / within
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing")
        return path

    def arrays(self, dataset: str, version: str, name: str) -> ZarrStore:
        """Return a Zarr folder of a version."""
        keys = keys_under(self.manifest(dataset, version), check_name(name))
        folder = self._versions(dataset) / version / name
        return Whole(ZarrFolder(folder, read_only=True), keys)

    def _home(self, dataset: str) -> Path:
        return self._folder / check_dataset(dataset)

    def _versions(self, dataset: str) -> Path:
        return self._home(dataset) / VERSIONS

    def _listed(self, dataset: str) -> list[Path]:
        paths = self._versions(dataset).glob("[0-9a-f]*-*-*-*-*")
        return [path for path in paths if path.is_dir() and is_version(path.name)]

    @contextlib.contextmanager
    def _locked(self, dataset: str) -> Iterator[None]:
        """Hold the dataset for what only one may do at a time."""
        home = self._home(dataset)
        home.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(home / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _copied(self, folder: Path, versions: Path) -> Iterator[Path]:
        """Make a checked, synced copy that nobody reads yet, read-only."""
        versions.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        versions.mkdir(mode=0o755, exist_ok=True)
        place = versions / f"{_TMP}{secrets.token_hex(8)}"
        place.mkdir(mode=0o755)
        # However slow the disk and short the time of grace, no collector takes it from under us.
        with (place / _HELD).open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            try:
                # A link is copied as a link, which the check refuses: it may lead anywhere.
                copy = Path(shutil.copytree(folder, place / "copy", True, None, shutil.copyfile))
                _seal(copy)
                refuse_damaged(str(folder), check_manifest(copy))
                yield copy
            finally:
                shutil.rmtree(place, ignore_errors=True)

    def _put(self, copy: Path, target: Path, dataset: str) -> None:
        """Bring a copy to its place; a damaged version there is mended file by file."""
        if not target.exists():
            copy.rename(target)
        elif self.check(dataset, target.name):
            # Somebody may be reading it: what is whole stays, and no file is ever missing.
            names = {path.relative_to(copy) for path in copy.rglob("*")}
            for path in sorted(target.rglob("*"), reverse=True):
                if path.is_symlink() or path.relative_to(target) not in names:
                    _remove(path)
            for name in sorted(names):
                if (copy / name).is_dir():
                    (target / name).mkdir(mode=0o755, exist_ok=True)
                else:
                    if (target / name).is_dir():
                        shutil.rmtree(target / name)
                    (copy / name).replace(target / name)
            for place, _, _ in os.walk(target):
                sync(Path(place))
        sync(target.parent)

    def _switch(self, dataset: str, pointer: Pointer | None, version: str) -> Pointer:
        """Exchange ``CURRENT``, whole; under the lock."""
        home, there = self._home(dataset), self.versions(dataset)
        new = pointer.moved(version, time.time(), there) if pointer else Pointer(version)
        place = home / f"{_TMP}{CURRENT}"
        place.write_bytes(new.encode())
        place.chmod(0o644)
        sync(place)
        place.replace(home / CURRENT)
        sync(home)
        return new


def _seal(folder: Path) -> None:
    """Make a folder read-only for everybody, and bring it to the disk."""
    for place, _, names in os.walk(folder, topdown=False):
        for path in (Path(place, name) for name in names):
            if not path.is_symlink():
                path.chmod(0o444)
                sync(path)
        Path(place).chmod(0o755)
        sync(Path(place))


def _is_held(place: Path) -> bool:
    """Tell whether the publisher that works there is alive."""
    try:
        with (place / _HELD).open("r+") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()  # what was in it is gone already
    else:
        path.unlink()


def _touched(folder: Path) -> float:
    """Return when anything in a folder was last changed; now, if it is just vanishing."""
    try:
        return max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
    except FileNotFoundError:
        return time.time()
