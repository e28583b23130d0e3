"""Readers, two publishers that compete and a collector at work at once, killed at random.

    python benchmarks/cells/torture.py
    python benchmarks/cells/torture.py --reads 5000 --json

Real processes. Every read asks one gene in all groups; two of them and the manifest make a request,
and have to be of one version: the sums over the groups of two views agree to the last bit, and both
and the manifest carry the same stamp. Publishers make each version from the one that was current
when they began, with a number one higher, so a reader that meets a lower number than before has
found a publication that was lost. Publishers and the collector are killed (SIGKILL) at random times
and started again. Some requests sleep between their two reads for longer than the time of grace, so
that their version is removed meanwhile.

Writes ``torture.md`` beside this file; with ``--json`` it prints the counts and writes nothing.
Exit status 1 if anything was mixed, failed or went back.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # processes are forked: no threads in this one
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import numpy as np

from tessera.cells.gene_index import write_gene_index
from tessera.cells.manifest import write_manifest
from tessera.cells.reading import Cells, Snapshot
from tessera.cells.store import Conflict, open_store

HERE = Path(__file__).resolve()
DATASET, GENES, GROUPS = "torture", 200, 12
NAMES = [f"Gene{n}" for n in range(GENES)]
COLUMNS = ["n", "sum", "max"]

ABOUT = """\
# The store under readers, publishers, a collector and kill -9

Written by `torture.py`: real processes on two cores, two publishers that compete and never rest, a
collector with a time of grace of half a second, killed at random times and started again.
A read is one gene in all groups; two reads and the manifest make a request and have to be of one
version. "Went back" are requests answered from an older version than the reader's request before.
S3 is a server on the same machine that is slow itself, so it is read less.
"""
WHAT = {
    "reads": "reads",
    "mixed": "requests answered from two versions",
    "failed": "requests that failed",
    "back": "requests that went back",
    "retried": "requests whose version was removed meanwhile, asked again",
    "versions": "switches seen by readers",
    "published": "versions published",
    "conflicts": "publishers told that they came second",
    "removed": "versions removed",
    "killed publishers": "publishers killed",
    "killed collectors": "collectors killed",
    "damaged": "faults in the versions left",
    "seconds": "seconds",
}

Shared = Any  # an array of counts in shared memory; each is changed by one process at a time
COUNTS = ("conflicts", "removed")


def make(folder: Path, number: int, writer: int, attempt: int) -> None:
    """Make a version whose second view merges every two groups of the first."""
    stamp = 10 * number + writer
    counts = np.random.Generator(np.random.Philox(stamp)).integers(1, 10**6, (GENES, GROUPS, 2))
    for view, values in (("fine", counts), ("coarse", counts.reshape(GENES, -1, 2, 2).sum(2))):
        place = folder / "views" / view
        place.mkdir(parents=True)
        serving = np.full((*values.shape[:2], len(COLUMNS)), stamp, np.float64)
        serving[..., :2] = values
        np.save(place / "serving.npy", serving)
        groups = [f"group {n}" for n in range(values.shape[1])]
        (place / "definition.json").write_text(json.dumps({"columns": COLUMNS, "groups": groups}))
    write_gene_index(folder / "gene_index.npy", NAMES)
    facts = {"format": 1, "dataset": DATASET, "number": number, "stamp": stamp, "attempt": attempt}
    write_manifest(folder, {**facts, "groupings": {"fine": {}, "coarse": {}}})


def publish(location: str, work: Path, writer: int, counts: Shared) -> None:
    """Publish for ever, each version made from the one before."""
    store = open_store(location)
    while True:
        shutil.rmtree(work, ignore_errors=True)
        base = store.current(DATASET)
        number = store.facts(DATASET, base.version)["number"] if base else 0
        # Now and then the very version that another attempt, perhaps killed, has left behind.
        make(work, number + 1, writer, random.choice([0, 0, time.time_ns()]))
        try:
            store.publish(DATASET, work, base)
        except Conflict:
            counts[0] += 1


def collect(location: str, grace: float, counts: Shared) -> None:
    """Remove for ever whatever may go."""
    store = open_store(location)
    while True:
        counts[1] += len(store.collect(DATASET, 1, grace / 3600))
        time.sleep(grace / 10)


def read(location: str, reads: int, slow: float, grace: float, seed: int, report: Path) -> None:
    """Read so many times and write down what was met."""
    dice, cells, seen, last = random.Random(seed), Cells(location, DATASET), Counter(), 0
    while cells.store.current(DATASET) is None:
        time.sleep(0.01)
    while seen["reads"] < reads:
        gene, sleeps = dice.choice(NAMES), dice.random() < slow
        calls = 0

        def question(now: Snapshot) -> tuple[bool, int]:
            nonlocal calls
            calls += 1
            fine = now.gene(gene, "fine")  # noqa: B023
            if sleeps and calls == 1:  # noqa: B023
                time.sleep(3 * grace)
            coarse = now.gene(gene, "coarse")  # noqa: B023
            stamps = {*fine["max"], *coarse["max"], float(now.facts["stamp"])}
            whole = (
                fine["sum"].sum() == coarse["sum"].sum() and fine["n"].sum() == coarse["n"].sum()
            )
            return whole and len(stamps) == 1, now.facts["number"]

        try:
            # Whoever sleeps has files still to open: nothing is mapped from earlier requests.
            same, number = (Cells(location, DATASET) if sleeps else cells).ask(question)
            seen["mixed"] += not same
            if not sleeps:
                seen["back"] += number < last
                seen["versions"] += number != last
                last = number
        except Exception as error:
            seen["failed"] += 1
            print(f"reader: {type(error).__name__}: {error}", file=sys.stderr)
        seen["reads"] += 2
        seen["slow"] += sleeps
        seen["retried"] += calls > 1
    report.write_text(json.dumps(seen))


def torture(
    location: str, folder: Path, reads: int, readers: int, grace: float, slow: int, seed: int
) -> dict[str, Any]:
    """Let all of them work until the readers are done; returns what they counted."""
    fork, dice, began = (
        multiprocessing.get_context("fork"),
        random.Random(seed),
        time.perf_counter(),
    )
    counts = {role: fork.RawArray("q", len(COUNTS)) for role in ("one", "two", "collector")}
    work = {
        "one": (publish, (location, folder / "one", 1, counts["one"])),
        "two": (publish, (location, folder / "two", 2, counts["two"])),
        "collector": (collect, (location, grace, counts["collector"])),
    }

    def start(role: str) -> Any:
        target, arguments = work[role]
        process = fork.Process(target=target, args=arguments, daemon=True)
        process.start()
        return process

    at_work = {role: start(role) for role in work}
    reports = [folder / f"reader{n}.json" for n in range(readers)]
    # Of a request in `share` requests the version is removed under its hands.
    share = slow / (reads / 2)
    reading = [
        fork.Process(target=read, args=(location, reads // readers, share, grace, seed + n, report))
        for n, report in enumerate(reports)
    ]
    for process in reading:
        process.start()
    kills, died = Counter(), 0
    longest = 3.0 if "://" in location else 0.5  # seconds; somebody has to finish now and then
    while any(process.is_alive() for process in reading):
        time.sleep(dice.uniform(0.05, longest))
        role = dice.choice(sorted(work))
        died += not at_work[role].is_alive()  # by itself, which none of them should
        at_work[role].kill()
        at_work[role].join()
        kills[role] += 1
        at_work[role] = start(role)
    for process in at_work.values():
        process.kill()
        process.join()
    seen = Counter()
    for report in reports:
        seen.update(json.loads(report.read_text()) if report.exists() else {"failed": 1})
    total = {name: sum(one[k] for one in counts.values()) for k, name in enumerate(COUNTS)}
    keys = ("reads", "mixed", "failed", "back", "slow", "retried", "versions")
    return {
        **{key: seen[key] for key in keys},
        **total,
        "killed publishers": kills["one"] + kills["two"],
        "killed collectors": kills["collector"],
        "died": died,
        "seconds": round(time.perf_counter() - began, 1),
        **afterwards(location, grace),
    }


def afterwards(location: str, grace: float) -> dict[str, Any]:
    """Look at what is left when all are dead, and collect it."""
    store = open_store(location)
    pointer = store.current(DATASET)
    faults = sum(len(store.check(DATASET, version)) for version in store.versions(DATASET))
    time.sleep(2 * grace + 1)
    store.collect(DATASET, 1, grace / 3600)
    kept = not store.check(DATASET, pointer.version)
    if "://" not in location:  # there what a killed collector had marked stays for an hour
        kept &= len(list(Path(location, DATASET, "versions").iterdir())) == 1
    number = store.facts(DATASET, pointer.version)["number"]  # one higher for each
    return {"published": number, "damaged": faults, "one left": kept}


@contextlib.contextmanager
def objects() -> Iterator[str]:
    """Run an object storage on this machine; yields a location in it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(command, stdout=quiet, stderr=quiet)
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1",
    }  # fmt: skip
    import boto3
    from botocore.exceptions import EndpointConnectionError

    try:
        for _ in range(100):
            time.sleep(0.2)
            with contextlib.suppress(EndpointConnectionError):
                client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
                client.create_bucket(Bucket="bucket")
                break
        yield "s3://bucket/store"
    finally:
        server.kill()
        server.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description="Torture the store.")
    parser.add_argument("--reads", type=int, default=1_000_000)
    parser.add_argument("--readers", type=int, default=4)
    parser.add_argument("--grace", type=float, default=0.5, help="seconds")
    parser.add_argument("--slow", type=int, default=200, help="requests that sleep, about")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--objects", action="store_true", help="a storage that speaks S3 (moto)")
    parser.add_argument("--json", action="store_true", help="print the counts, write nothing")
    given = parser.parse_args()
    how = (given.reads, given.readers, given.grace, given.slow, given.seed)
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        os.environ["TESSERA_CACHE"] = str(folder / "cache")
        location = stack.enter_context(objects()) if given.objects else str(folder / "store")
        found = torture(location, folder, *how)
    print(json.dumps(found, indent=1))
    if not given.json:
        write(found, given)
    sound = not any(found[key] for key in ("mixed", "failed", "back", "died", "damaged"))
    return 0 if sound and found["one left"] else 1


def write(found: dict[str, Any], given: argparse.Namespace) -> None:
    """Write the column of one kind of store, and leave that of the other."""
    path, kind = HERE.with_suffix(".md"), "S3 (moto)" if given.objects else "folder"
    columns: dict[str, dict[str, str]] = {}
    if path.exists():
        rows = [line.strip("|").split("|") for line in path.read_text().splitlines() if "|" in line]
        for k, name in enumerate(cell.strip() for cell in rows[0][1:]):
            columns[name] = {row[0].strip(): row[k + 1].strip() for row in rows[2:]}
    columns[kind] = {what: f"{found[key]:,}" for key, what in WHAT.items()}
    names = sorted(columns, reverse=True, key=lambda name: name == "folder")
    lines = [f"| | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    lines += [
        f"| {w} | {' | '.join(columns[n].get(w, '') for n in names)} |" for w in WHAT.values()
    ]
    path.write_text(f"{ABOUT}\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
