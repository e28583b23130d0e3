"""Publishers and collectors killed at random times, and what they leave; a program of its own.

    python tests/killing.py STORE MADE KILLS SEED

MADE holds version folders. Prints a JSON object: how often the version that was to be published
was not there, there but not current, and current when its publisher was killed, and after how many
kills leftovers lay about.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from tessera.cells.names import version_of
from tessera.cells.store import open_store

STATES = {"not there": 0, "there": 0, "current": 0, "leftovers": 0}


def kill(work: Callable[[], object], after: float) -> None:
    """Do something in a process, and kill it after so many seconds if it is not done by then."""
    child = os.fork()
    if not child:
        work()
        os._exit(0)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def main(location: str, made: str, kills: int, seed: int) -> None:
    dice, store, seen = random.Random(seed), open_store(location), Counter(STATES)
    folders = sorted(Path(made).iterdir())
    started = time.perf_counter()
    store.publish("toy", folders[-1], None)
    longest = 1.2 * (time.perf_counter() - started)
    for number in range(kills):
        before, folder = store.current("toy"), folders[number % len(folders)]
        version = version_of(folder)
        if number % 3 == 2:
            kill(lambda: store.collect("toy", 1, 0.0), dice.uniform(0, longest / 5))
            allowed = {before.version}
        else:
            kill(lambda: store.publish("toy", folder, before), dice.uniform(0, longest))  # noqa: B023
            allowed = {before.version, version}
            there = version in store.versions("toy")
            state = "current" if store.current("toy").version == version else "there"
            seen[state if there else "not there"] += 1
        assert store.current("toy").version in allowed
        for one in store.versions("toy"):
            assert store.check("toy", one) == [], one
        seen["leftovers"] += any(Path(location, "toy", "versions").glob(".t*"))
    # Whatever was left behind, nobody is kept from publishing, and all of it can go.
    before = store.current("toy")
    last = next(folder for folder in folders if version_of(folder) != before.version)
    store.publish("toy", last, before)
    time.sleep(0.05)
    store.collect("toy", 1, 0.0)
    assert store.versions("toy") == [version_of(last)]
    assert [path.name for path in Path(location, "toy", "versions").iterdir()] == [version_of(last)]
    print(json.dumps(seen))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
