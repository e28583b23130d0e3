"""A store in an object storage that speaks S3: conditional puts take the place of the lock."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store
from zarr.abc.store import Store as ZarrStore
from zarr.storage import ObjectStore as ZarrObjects

from tessera.cells.manifest import MANIFEST, check_manifest, compare, parse_manifest
from tessera.cells.names import (
    check_dataset,
    check_name,
    check_version,
    damaged,
    is_dataset,
    is_version,
    refuse_damaged,
    version_of,
)
from tessera.cells.store import (
    CURRENT,
    HOUR,
    VERSIONS,
    Conflict,
    Pointer,
    conflict,
    decode,
    target_of_rollback,
    to_collect,
)
from tessera.cells.whole import Whole, keys_under
from tessera.errors import InputError, Problem

if TYPE_CHECKING:
    from obstore.store import RetryConfig

P = TypeVar("P", Pointer, Pointer | None)

# After so many hours in which nothing was heard of them, uploads and collectors count as killed,
# however short the time of grace: there is no lock to tell.
_KILLED = 1.0

_REMEMBERED = 16  # manifests

# Connections that fail are tried again, but nobody should wait for minutes to be told.
_RETRIES: RetryConfig = {"max_retries": 5, "retry_timeout": timedelta(seconds=60)}


class ObjectStore:
    """Versions of datasets in an object storage; see `tessera.cells.store.Store` for each call.

    The manifest of a version is put last and removed first, so a version that has one is complete.
    ``CURRENT`` is put on the condition that it is still the object that was read (``If-Match``; the
    first time ``If-None-Match``). There is no lock, so versions that are to be removed are named in
    ``CURRENT`` first, in the same way: none of them can become current any more.

    Parameters
    ----------
    location
        ``s3://BUCKET/PREFIX``.
    """

    def __init__(self, location: str) -> None:
        self.location = location.rstrip("/")
        self._manifests: dict[tuple[str, str], dict[str, Any]] = {}
        self._objects = self._open("")

    def current(self, dataset: str) -> Pointer | None:
        """Return what is published now; None if nothing is."""
        return self._current(dataset)[0]

    def publish(self, dataset: str, folder: Path, base: Pointer | None) -> Pointer:
        """Publish a version folder, all at once."""
        folder = Path(folder)
        version = version_of(folder)
        refuse_damaged(str(folder), check_manifest(folder))
        with self._told():
            if self.check(dataset, version):
                self._refuse_removing(dataset, self.current(dataset), version)
                self._upload(dataset, version, folder)

            def switch(pointer: Pointer | None) -> Pointer:
                if pointer and pointer.version == version:
                    return pointer
                if (pointer and pointer.token) != (base and base.token):
                    raise conflict(dataset, pointer, version)
                return self._moved(dataset, pointer, version)

            return self._exchange(dataset, switch)

    def rollback(self, dataset: str, version: str | None = None) -> Pointer:
        """Make the version before, or a given one, the current one."""
        with self._told():
            pointer = self.current(dataset) if version is None else None
            target = target_of_rollback(dataset, pointer, version, self.versions(dataset))
            refuse_damaged(f"{dataset}, version {target}", self.check(dataset, target))

            def switch(pointer: Pointer | None) -> Pointer:
                if pointer and pointer.version == target:
                    return pointer
                return self._moved(dataset, pointer, target)

            return self._exchange(dataset, switch, mend=version is not None)

    def versions(self, dataset: str) -> list[str]:
        """List the complete versions."""
        with self._told():
            names = self._folders(f"{check_dataset(dataset)}/{VERSIONS}")
            names = [name for name in names if is_version(name)]
            return [name for name in names if self._there(self._key(dataset, name, MANIFEST))]

    def datasets(self) -> list[str]:
        """List the datasets of which something is published."""
        with self._told():
            names = [name for name in self._folders("") if is_dataset(name)]
            return [name for name in names if self._there(f"{name}/{CURRENT}")]

    def collect(self, dataset: str, keep: int, grace_hours: float) -> list[str]:
        """Remove what is no longer needed."""
        now = time.time()
        removed: list[str] = []

        def mark(pointer: Pointer | None) -> Pointer | None:
            removed.clear()
            if pointer is None:
                return None
            left_over = max(_KILLED, grace_hours) * HOUR
            others = [(one, when) for one, when in pointer.removing if now - when <= left_over]
            removed.extend(one for one, when in pointer.removing if now - when > left_over)
            written, begun = self._written(dataset)
            for one, _ in pointer.removing:
                written.pop(one, None)
                begun.pop(one, None)
            removed.extend(to_collect(pointer, written, keep, grace_hours, now))
            removed.extend(one for one, when in begun.items() if now - when > left_over)
            return replace(pointer, removing=(*others, *((one, now) for one in removed)))

        def unmark(pointer: Pointer | None) -> Pointer | None:
            if pointer is None:
                return None
            left = tuple(one for one in pointer.removing if one[0] not in removed)
            return replace(pointer, removing=left)

        with self._told():
            self._exchange(dataset, mark)
            for version in removed:
                self._remove(dataset, version)
            self._exchange(dataset, unmark)
        return removed

    def check(self, dataset: str, version: str) -> list[str]:
        """Read a version as a whole and return a clause for each fault."""
        above = self._key(dataset, version, "")
        with self._told():
            try:
                manifest = self._read_manifest(dataset, version)
                found = self._list(above)
                sizes = {entry["path"].removeprefix(above): entry["size"] for entry in found}
                sizes.pop(MANIFEST, None)
                return compare(manifest, sizes, lambda name: self._digest(above + name))
            except FileNotFoundError:  # even while it is read
                return ["is missing"]
            except ValueError:
                return [f"{MANIFEST} is damaged"]

    def manifest(self, dataset: str, version: str) -> dict[str, Any]:
        """Return the manifest of a version."""
        key = check_dataset(dataset), check_version(version)
        manifest = self._manifests.get(key)
        if manifest is None:
            with self._told():
                try:
                    manifest = self._read_manifest(dataset, version)
                except ValueError:
                    place, what = f"{dataset}, version {version}", f"{MANIFEST} is damaged"
                    raise damaged(place, [what]) from None
            if len(self._manifests) >= _REMEMBERED:
                self._manifests.clear()
            self._manifests[key] = manifest
        return manifest

    def facts(self, dataset: str, version: str) -> dict[str, Any]:
        """Return the manifest without its list of files."""
        manifest = self.manifest(dataset, version)
        return {key: value for key, value in manifest.items() if key != "files"}

    def path(self, dataset: str, version: str, name: str) -> Path:
        """Return a local path to a file of a version."""
        name = check_name(name)
        files = self.manifest(dataset, version)["files"]
        entry = next((entry for entry in files if entry["path"] == name), None)
        if entry is None:
            raise FileNotFoundError(f"{dataset}, version {version}: {name} is missing")
        place = _cache() / entry["sha256"][:2] / entry["sha256"]
        if not place.is_file() or place.stat().st_size != entry["bytes"]:
            with self._told():
                self._fetch(self._key(dataset, version, name), place, entry["sha256"])
        return place

    def arrays(self, dataset: str, version: str, name: str) -> ZarrStore:
        """Return a Zarr folder of a version."""
        keys = keys_under(self.manifest(dataset, version), check_name(name))
        objects = self._open(self._key(dataset, version, name))
        return Whole(ZarrObjects(objects, read_only=True), keys)

    def _open(self, below: str) -> S3Store:
        # The storage compares every put with its digest; keys and endpoint are the environment's.
        address = f"{self.location}/{below}".rstrip("/")
        try:
            return S3Store.from_url(
                address, config={"checksum_algorithm": "SHA256"}, retry_config=_RETRIES
            )
        except (BaseError, ValueError) as error:
            raise self._refused(error) from None

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Tell in one sentence that the storage cannot be used."""
        try:
            yield
        except BaseError as error:
            raise self._refused(error) from None

    def _refused(self, error: Exception) -> InputError:
        said = " ".join(str(error).split())[:300]
        remedy = "check bucket, AWS_ENDPOINT_URL, AWS_REGION and the keys in the environment"
        return InputError(Problem(self.location, "", f"cannot be used ({said})", remedy))

    def _key(self, dataset: str, version: str, name: str) -> str:
        return f"{check_dataset(dataset)}/{VERSIONS}/{check_version(version)}/{name}"

    def _list(self, above: str) -> Iterator[Any]:
        for entries in obstore.list(self._objects, above.rstrip("/") or None):
            yield from entries

    def _folders(self, above: str) -> list[str]:
        found = obstore.list_with_delimiter(self._objects, above or None)
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found["common_prefixes"])

    def _there(self, key: str) -> bool:
        try:
            obstore.head(self._objects, key)
        except FileNotFoundError:
            return False
        return True

    def _bytes(self, key: str) -> tuple[bytes, str | None]:
        found = self._get(key)
        return bytes(found.bytes()), found.meta["e_tag"]

    def _get(self, key: str) -> obstore.GetResult:
        try:
            return obstore.get(self._objects, key)
        except FileNotFoundError:
            raise FileNotFoundError(f"{self.location}/{key} is missing") from None

    def _current(self, dataset: str, mend: bool = False) -> tuple[Pointer | None, str | None]:
        """Return what is current, and the tag of the object that says so.

        Where it says something else: nothing if it is to be mended, otherwise it is refused.
        """
        key = f"{check_dataset(dataset)}/{CURRENT}"
        with self._told():
            try:
                content, tag = self._bytes(key)
            except FileNotFoundError:
                return None, None
        try:
            return decode(content, f"{self.location}/{key}"), tag
        except InputError:
            if not mend:
                raise
            return None, tag

    def _exchange(
        self, dataset: str, change: Callable[[Pointer | None], P], mend: bool = False
    ) -> P:
        """Exchange ``CURRENT`` by what `change` makes of it; after a loss it is asked again."""
        while True:
            pointer, tag = self._current(dataset, mend)
            new = change(pointer)
            if new is None or new == pointer:
                return new
            new = replace(new, serial=new.serial + 1)
            try:
                obstore.put(
                    self._objects,
                    f"{dataset}/{CURRENT}",
                    new.encode(),
                    mode="create" if tag is None else {"e_tag": tag},
                )
            except (AlreadyExistsError, PreconditionError):
                time.sleep(0.05 * (1 + secrets.randbelow(4)))
                continue
            return new

    def _moved(self, dataset: str, pointer: Pointer | None, version: str) -> Pointer:
        if pointer is None:
            return Pointer(version)
        self._refuse_removing(dataset, pointer, version)
        # Looked up after CURRENT was read: whoever removes it from here on has to change CURRENT
        # first, and then the put of ours fails.
        there = self.versions(dataset)
        if version not in there:
            raise Conflict(f"{dataset}: version {version} was removed meanwhile; try again.")
        return pointer.moved(version, time.time(), there)

    def _refuse_removing(self, dataset: str, pointer: Pointer | None, version: str) -> None:
        if pointer and version in dict(pointer.removing):
            raise Conflict(f"{dataset}: version {version} is just being removed; try again later.")

    def _upload(self, dataset: str, version: str, folder: Path) -> None:
        """Put all files of a version, its manifest last, and nothing beside them."""
        manifest = parse_manifest((folder / MANIFEST).read_bytes())
        names = [entry["path"] for entry in manifest["files"]]
        above = self._key(dataset, version, "")
        others = {entry["path"] for entry in self._list(above)} - {above + n for n in names}
        self._delete(sorted(others))
        for name in names:
            obstore.put(self._objects, above + check_name(name), folder / name)
        there = {entry["path"]: entry["size"] for entry in self._list(above)}
        if any(there.get(above + e["path"]) != e["bytes"] for e in manifest["files"]):
            raise Conflict(
                f"{dataset}: files of {version} vanished while they were put; try again."
            )
        obstore.put(self._objects, above + MANIFEST, folder / MANIFEST)

    def _remove(self, dataset: str, version: str) -> None:
        above = self._key(dataset, version, "")
        self._delete([above + MANIFEST])
        self._delete([entry["path"] for entry in self._list(above)])
        self._manifests.pop((dataset, version), None)

    def _delete(self, keys: list[str]) -> None:
        with contextlib.suppress(FileNotFoundError):
            if keys:
                obstore.delete(self._objects, keys)

    def _written(self, dataset: str) -> tuple[dict[str, float], dict[str, float]]:
        """Return when something was last put into each complete version, and into the others."""
        above = f"{dataset}/{VERSIONS}/"
        newest: dict[str, float] = {}
        complete: set[str] = set()
        for entry in self._list(above):
            version, _, name = entry["path"].removeprefix(above).partition("/")
            if is_version(version):
                when = entry["last_modified"].timestamp()
                newest[version] = max(newest.get(version, 0.0), when)
                complete |= {version} if name == MANIFEST else set()
        return (
            {version: when for version, when in newest.items() if version in complete},
            {version: when for version, when in newest.items() if version not in complete},
        )

    def _read_manifest(self, dataset: str, version: str) -> dict[str, Any]:
        manifest = parse_manifest(self._bytes(self._key(dataset, version, MANIFEST))[0])
        if manifest["version"] != version:
            raise ValueError("is that of another version")
        return manifest

    def _digest(self, key: str) -> str:
        digest = hashlib.sha256()
        for piece in self._get(key).stream():
            digest.update(piece)
        return digest.hexdigest()

    def _fetch(self, key: str, place: Path, expected: str) -> None:
        """Bring an object to its place in the cache, if its content is what it should be."""
        place.parent.mkdir(parents=True, exist_ok=True)
        beside, digest = place.with_name(f".tmp-{secrets.token_hex(8)}"), hashlib.sha256()
        try:
            with beside.open("wb") as stream:
                for piece in self._get(key).stream():
                    digest.update(piece)
                    stream.write(piece)
            if digest.hexdigest() != expected:
                raise damaged(f"{self.location}/{key}", ["has other content than it had"])
            beside.replace(place)
        finally:
            beside.unlink(missing_ok=True)


def _cache() -> Path:
    named = os.environ.get("TESSERA_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "tessera"
