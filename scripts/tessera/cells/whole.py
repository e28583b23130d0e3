"""A Zarr folder of a version, in which what should be there is there."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from typing import Any

from zarr.abc.store import ByteRequest
from zarr.abc.store import Store as ZarrStore
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore


class Whole(WrapperStore[ZarrStore]):
    """A store of Zarr in which a listed key that is missing is an error.

    Zarr takes a missing chunk for one that holds nothing but zeros, so whoever reads a version
    while it is being removed would be told of zeros that never were.

    Parameters
    ----------
    store
        What is read from.
    keys
        The keys that there are.
    """

    def __init__(self, store: ZarrStore, keys: Iterable[str] = ()) -> None:
        super().__init__(store)
        self._keys = frozenset(keys)

    def _with_store(self, store: ZarrStore) -> Whole:
        return type(self)(store, self._keys)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return what is stored under a key, or a part of it; None where nothing is listed."""
        found = await self._store.get(key, prototype, byte_range)
        if found is None and key in self._keys:
            raise FileNotFoundError(f"{key} is missing in {self._store}")
        return found

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Return parts of what is stored, one after the other."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def _get_many(
        self, requests: Iterable[tuple[str, BufferPrototype, ByteRequest | None]]
    ) -> AsyncGenerator[tuple[str, Buffer | None], None]:
        for key, prototype, part in requests:
            yield key, await self.get(key, prototype, part)


def keys_under(manifest: dict[str, Any], name: str) -> list[str]:
    """Return the keys of a Zarr folder of a version, from the version's manifest."""
    above = f"{name}/"
    paths = (str(entry["path"]) for entry in manifest["files"])
    return [path.removeprefix(above) for path in paths if path.startswith(above)]
