"""What the headers of input files say, remembered between calls by path, size and time.

The number of tiles comes from headers, and the workflow is planned anew by every call and every
cluster job: with thousands of inputs the headers must not be read each time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tessera.job import atomic

CACHE = Path(".snakemake", "tessera", "headers.json")


def cached_headers(
    paths: Sequence[str], reader: Callable[[str], Any], *, cache: Path = CACHE
) -> dict[str, Any]:
    """Read the headers of files, those that changed since the last call only.

    Parameters
    ----------
    paths
        The files. One that cannot be examined is left out of the answer.
    reader
        Reads one header; returns what JSON can hold. Its name is part of the cache's key.
    cache
        Where the answers are kept. A cache that cannot be read or written is done without.

    Returns
    -------
    dict
        Path to what the reader returned.
    """
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    answers, fresh = {}, {}
    for path in paths:
        try:
            status = Path(path).stat()
        except OSError:
            continue
        key = f"{reader.__module__}.{reader.__name__} {Path(path).absolute()}"
        stamp = [status.st_size, status.st_mtime_ns]
        entry = known.get(key)
        if not entry or entry["stamp"] != stamp:
            entry = fresh[key] = {"stamp": stamp, "header": reader(path)}
        answers[path] = entry["header"]
    if fresh:
        try:
            with atomic(cache) as place:
                place.write_text(json.dumps(known | fresh), encoding="utf-8")
        except OSError:
            pass
    return answers
