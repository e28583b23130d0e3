"""The service of `cells` as users have it: published data, and a server on a free port."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import uvicorn

from assembled import Given, make
from tessera.cells.service import application, listen
from tessera.cells.store import open_store

GENES = ("Slc17a7", "Gad1", "Gad2", "Sst", "SST-like", "mt-Co1", "Silent", "a/b", "1")
TYPES = ("Exc", "Int", "Glia")
BAD = '<img src=x onerror="alert(1)">'
HOSTILE = (BAD, "'; DROP TABLE genes; --", "..", "a/../b", "%2e%2e", "\u202egene", "ä β", "Gad1")
HOSTILE_TYPES = (BAD, 'a "b"', "x,y")
LOG = {"normalize": "log2_cpm", "statistics": ["n", "mean", "var", "percentiles", "median"]}
GROUPINGS = (("cell_type",), ("cell_type", "sex"))


@dataclass(frozen=True)
class Tissue:
    """Counts ``(cells, genes)``, and the cells they are of."""

    counts: np.ndarray
    genes: tuple[str, ...]
    cells: pd.DataFrame


def tissue(
    seed: int,
    n_cells: int = 90,
    genes: Sequence[str] = GENES,
    types: Sequence[str] = TYPES,
    umap: bool = True,
) -> Tissue:
    """Make cells of a few types; gene k is high in type k, but ``Silent`` is 0 everywhere."""
    random = np.random.Generator(np.random.Philox(seed))
    kind = np.arange(n_cells) % len(types)
    mean = np.where(kind[:, None] == np.arange(len(genes)) % (len(types) + 1), 5.0, 0.4)
    counts = random.poisson(mean).astype(float)
    counts[:, [name == "Silent" for name in genes]] = 0
    cells = pd.DataFrame(
        {
            "cell": [f"cell{n}" for n in range(n_cells)],
            "cell_type": np.array(types, dtype=object)[kind],
            "sex": np.array(["F", "M"], dtype=object)[random.integers(0, 2, n_cells)],
        }
    )
    if umap:
        cells["umap_1"] = kind * 4 + random.normal(size=n_cells)
        cells["umap_2"] = (kind - 1) ** 2 * 3 + random.normal(size=n_cells)
    return Tissue(counts, tuple(genes), cells)


def publish(
    store: Path, folder: Path, dataset: str, made: Tissue, settings: Mapping[str, Any] | None = None
) -> str:
    """Take a tissue the way of the pipeline into a store; returns the version."""
    given = Given(made.counts, list(made.genes), made.cells)
    version = make(folder, given, GROUPINGS, settings, dataset=dataset).version
    opened = open_store(store)
    return opened.publish(dataset, version, opened.current(dataset)).version


def make_store(folder: Path) -> Path:
    """Publish ``brain``, counts with a map; ``logs``, without one; ``hostile``, of bad names."""
    store = folder / "store"
    publish(store, folder / "brain", "brain", tissue(1))
    publish(store, folder / "logs", "logs", tissue(2, n_cells=7, umap=False), LOG)
    publish(store, folder / "hostile", "hostile", tissue(3, 40, HOSTILE, HOSTILE_TYPES))
    return store


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def _lower(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@dataclass(frozen=True)
class Server:
    """A service that runs on this machine."""

    address: str

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Ask, with the path exactly as it is given."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.address + path, headers=names, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return Answer(reply.status, _lower(reply.headers), reply.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, _lower(error.headers), error.read())


@contextlib.contextmanager
def served(store: Path, host: str = "127.0.0.1") -> Iterator[Server]:
    """Run the service of a store, by uvicorn on a free port."""
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(application(store, host), log_level="critical"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield Server(f"http://127.0.0.1:{listening.getsockname()[1]}")
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def refused(server, path, status):
    """Return the sentences with which a service refuses a question."""
    answer = server.get(path)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    assert "etag" not in answer.headers
    said = answer.json["error"].splitlines()
    assert len(said) == len(answer.json["problems"])
    return said
