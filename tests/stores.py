"""Stores for tests: a folder, and an object storage that listens on this machine only."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer

from tessera.cells.store import Store, open_store

KINDS = ("folder", "objects")
ENVIRONMENT = {
    "AWS_ALLOW_HTTP": "true",
    "AWS_ACCESS_KEY_ID": "somebody",
    "AWS_SECRET_ACCESS_KEY": "something",
    "AWS_REGION": "us-east-1",
}

_BUCKETS = itertools.count()


@contextlib.contextmanager
def object_storage() -> Iterator[str]:
    """Run the storage; yields its address, which the environment names as well."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    cache = tempfile.TemporaryDirectory()
    said = {**ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://{host}:{port}", "TESSERA_CACHE": cache.name}
    before = {name: os.environ.get(name) for name in said}
    os.environ.update(said)
    try:
        yield said["AWS_ENDPOINT_URL"]
    finally:
        server.stop()
        cache.cleanup()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def new_bucket() -> str:
    """Make a bucket that nobody else uses; returns the location of a store in it."""
    name = f"bucket-{next(_BUCKETS)}"
    # Asked for by the environment, and so are the keys.
    boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"]).create_bucket(Bucket=name)
    return f"s3://{name}/some/where"


class Place:
    """A store, and what somebody does to what is in it behind its back."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.location = str(folder / "store") if kind == "folder" else new_bucket()
        self.store: Store = open_store(self.location)

    def names(self) -> list[str]:
        """List all files or objects there are, but for the lock."""
        if self.kind == "folder":
            root = Path(self.location)
            paths = sorted(path for path in root.rglob("*") if path.is_file())
            return [path.relative_to(root).as_posix() for path in paths if path.name != ".lock"]
        bucket, prefix = self._bucket()
        found = bucket.objects.filter(Prefix=prefix)
        return sorted(entry.key.removeprefix(prefix) for entry in found)

    def write(self, name: str, content: bytes) -> None:
        """Write a file or an object."""
        if self.kind == "folder":
            path = Path(self.location, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_bytes(content)
        else:
            bucket, prefix = self._bucket()
            bucket.put_object(Key=prefix + name, Body=content)

    def read(self, name: str) -> bytes:
        """Return the content of a file or an object."""
        if self.kind == "folder":
            return Path(self.location, name).read_bytes()
        bucket, prefix = self._bucket()
        return bucket.Object(prefix + name).get()["Body"].read()

    def remove(self, name: str) -> None:
        """Remove a file or an object."""
        if self.kind == "folder":
            Path(self.location, name).unlink()
        else:
            bucket, prefix = self._bucket()
            bucket.Object(prefix + name).delete()

    def _bucket(self):
        name, _, prefix = self.location.removeprefix("s3://").partition("/")
        resource = boto3.resource("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
        return resource.Bucket(name), f"{prefix}/"
