"""Where versions are published: what a pointer, a conflict and a store are, whatever holds it.

``STORE/DATASET/versions/UUID/`` never changes once it is there. ``STORE/DATASET/CURRENT`` names the
version that is read, and the ones it replaced and when; it is exchanged whole, and only by whom it
is still what it was when their work began. So a reader meets the old version or the new one, and
of two publishers that began from the same version one is told.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from zarr.abc.store import Store as ZarrStore

from tessera.cells.names import check_version
from tessera.config import did_you_mean
from tessera.errors import InputError, Problem

CURRENT, VERSIONS = "CURRENT", "versions"
HOUR = 3600.0


class Conflict(Exception):
    """The dataset is no longer at the version that the publisher's work was based on.

    The version that was to be published stays where it is, unread, until it is collected.
    """


@dataclass(frozen=True)
class Pointer:
    """What ``CURRENT`` says.

    Attributes
    ----------
    version
        The version that is read.
    retired
        Versions that it replaced and that are still there, with the time (s since 1970) when they
        were replaced; the last is the one before.
    removing
        Versions that are about to be removed, and since when (object storage only). No publisher
        loses by them: they are not in the token.
    serial
        Counts what was written (object storage only). Without it marks that come and go would
        leave an object that nothing tells from the one before.
    """

    version: str
    retired: tuple[tuple[str, float], ...] = ()
    removing: tuple[tuple[str, float], ...] = ()
    serial: int = field(default=0, compare=False)

    @property
    def token(self) -> str:
        """Digest of version and retired, which tells whether another pointer is the same."""
        content = json.dumps([self.version, self.retired])
        return hashlib.sha256(content.encode()).hexdigest()

    def encode(self) -> bytes:
        """Return the content of ``CURRENT``: the version, and below it what else is to be known."""
        more = {"retired": self.retired, "removing": self.removing, "serial": self.serial}
        said = {key: value for key, value in more.items() if value}
        return f"{self.version}\n{json.dumps(said) if said else ''}".encode()

    def moved(self, version: str, now: float, there: Iterable[str]) -> Pointer:
        """Return the pointer that follows when `version` replaces this one.

        Parameters
        ----------
        version
            The new version.
        now
            Time in s since 1970.
        there
            The versions that exist; others are forgotten, so that the list stays as short as the
            store.
        """
        left = set(there) - {version, self.version}
        kept = tuple((one, when) for one, when in self.retired if one in left)
        return Pointer(version, (*kept, (self.version, now)), self.removing, self.serial)


def decode(content: bytes, place: str) -> Pointer:
    """Read the content of ``CURRENT``.

    Parameters
    ----------
    content
        Its bytes.
    place
        What to call it in a message.

    Raises
    ------
    InputError
        If somebody wrote something else into it.
    """
    try:
        version, _, more = content.decode().partition("\n")
        said = json.loads(more or "{}")
        retired, removing = (
            tuple((check_version(one), float(when)) for one, when in said.get(key, []))
            for key in ("retired", "removing")
        )
        serial = int(said.get("serial", 0))
        return Pointer(check_version(version), retired, removing, serial)
    except (ValueError, TypeError, KeyError, AttributeError, InputError):
        remedy = "roll back to one of the dataset's versions by its name"
        raise InputError(Problem(place, "", "does not name a version", remedy)) from None


class Store(Protocol):
    """Versions of datasets, in a folder or an object storage (`open_store`)."""

    location: str

    def current(self, dataset: str) -> Pointer | None:
        """Return what is published of a dataset now; None if nothing is."""

    def publish(self, dataset: str, folder: Path, base: Pointer | None) -> Pointer:
        """Publish a version folder, all at once.

        Parameters
        ----------
        dataset
            Name of the dataset.
        folder
            A version folder with its manifest; it is copied.
        base
            What was `current` when the work on it began.

        Returns
        -------
        Pointer
            What is current now. If that version was current already, nothing was changed.

        Raises
        ------
        Conflict
            If something else was published since; nothing that is read was changed.
        InputError
            If the folder is not what its manifest says.
        """

    def rollback(self, dataset: str, version: str | None = None) -> Pointer:
        """Make the version before, or a given one that is still there, the current one.

        Raises
        ------
        InputError
            If there is no such version, or if it is damaged.
        """

    def versions(self, dataset: str) -> list[str]:
        """List the complete versions of a dataset, in the order of their names."""

    def datasets(self) -> list[str]:
        """List the datasets of which something is published, in the order of their names."""

    def collect(self, dataset: str, keep: int, grace_hours: float) -> list[str]:
        """Remove versions that are no longer needed, and what killed publishers left behind.

        Parameters
        ----------
        dataset
            Name of the dataset.
        keep
            How many of the newest versions stay, the current one among them.
        grace_hours
            How long the others stay after they were replaced (those that never were current: after
            they were written), so that whoever reads them can finish.

        Returns
        -------
        list of str
            The versions that were removed.
        """

    def check(self, dataset: str, version: str) -> list[str]:
        """Read a version as a whole; return a clause for each fault, as `check_manifest` does."""

    def manifest(self, dataset: str, version: str) -> dict[str, Any]:
        """Return the manifest of a version (FileNotFoundError if the version is gone)."""

    def facts(self, dataset: str, version: str) -> dict[str, Any]:
        """Return the manifest without its list of files, which is most of it."""

    def path(self, dataset: str, version: str, name: str) -> Path:
        """Return a local path to a file of a version (FileNotFoundError if it is gone).

        From an object storage it is fetched, once, into the folder that ``TESSERA_CACHE`` names or
        ``~/.cache/tessera``.
        """

    def arrays(self, dataset: str, version: str, name: str) -> ZarrStore:
        """Return a Zarr folder of a version, to be read in place.

        A chunk that should be there and is not raises FileNotFoundError, where Zarr would take it
        for one that holds nothing but zeros.
        """


def open_store(location: str | Path) -> Store:
    """Open the store at a place.

    Parameters
    ----------
    location
        A folder, or ``s3://BUCKET/PREFIX`` of an object storage, whose endpoint, region and keys
        are taken from the usual environment (``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID``, ...).

    Raises
    ------
    InputError
        If it is of another kind.
    """
    from tessera.cells.local_store import LocalStore  # it needs what is above

    location = str(location)
    kind, mark, _ = location.partition("://")
    if not mark:
        return LocalStore(location)
    if kind == "s3":
        from tessera.cells.object_store import ObjectStore

        return ObjectStore(location)
    what, remedy = f"is a {kind} address", "expected a folder or s3://bucket/prefix"
    raise InputError(Problem(location, "", what, remedy))


def target_of_rollback(
    dataset: str, pointer: Pointer | None, version: str | None, there: list[str]
) -> str:
    """Return the version to go back to.

    Parameters
    ----------
    dataset
        Name of the dataset.
    pointer
        What is current.
    version
        The version asked for; the one before if None.
    there
        Versions that exist.

    Raises
    ------
    InputError
        If there is none.
    """
    if version is not None:
        if check_version(version) in there:
            return version
        known = f"expected one of {', '.join(there)}" if there else "publish it first"
        raise InputError(Problem(dataset, "", f"has no version {version}", known))
    before = [one for one, _ in (pointer.retired if pointer else ()) if one in there]
    if before:
        return before[-1]
    remedy = "name one of its versions, or publish one"
    raise InputError(Problem(dataset, "", "has no version before the current one", remedy))


def to_collect(
    pointer: Pointer, written: Mapping[str, float], keep: int, grace_hours: float, now: float
) -> list[str]:
    """Say which versions may go.

    Parameters
    ----------
    pointer
        What is current.
    written
        The versions that exist, and when they were written (s since 1970).
    keep, grace_hours
        As for `Store.collect`.
    now
        Time in s since 1970.

    Returns
    -------
    list of str
        Those that are not current, not among the `keep` newest and were needed no longer for more
        than `grace_hours`; the longest unneeded first.
    """
    since = {**written, **dict(pointer.retired)}
    others = sorted(
        (version for version in written if version != pointer.version),
        key=lambda version: (since[version], version),
    )
    old = others[: max(0, len(others) - (keep - 1))]
    return [version for version in old if now - since[version] > grace_hours * HOUR]


def conflict(dataset: str, pointer: Pointer | None, version: str) -> Conflict:
    """Return what to tell the publisher that came second."""
    now = f"at version {pointer.version}" if pointer else "not published any more"
    return Conflict(
        f"{dataset}: is {now}, which is not what this run began from: something else was "
        f"published meanwhile; run again to publish {version} after it."
    )


def unknown_dataset(store: Store, dataset: str) -> InputError:
    """Return what to tell somebody who asks for a dataset of which nothing is published."""
    known = store.datasets()
    if not known:
        what, remedy = "holds no published dataset", "publish one first (snakemake cells)"
        return InputError(Problem(store.location, "", what, remedy))
    some = ", ".join(known[:20]) + (" and others" if known[20:] else "")
    remedy = f"expected one of {some}{did_you_mean(dataset, known)}"
    return InputError(Problem(store.location, "", f"has no dataset {dataset}", remedy))
