"""Reduce: the counts of all parts to those of the text."""
# ruff: noqa: F821 -- Snakemake puts `snakemake` into the namespace of a script

import json
from collections import Counter
from pathlib import Path

from words import BadInput, task, written

with task(snakemake.log[0]), written(snakemake.output.counts) as (file,):
    counts, total = Counter(), 0
    for name in snakemake.input.counts:
        part = json.loads(Path(name).read_text("utf-8"))
        counts.update(part["counts"])
        total += part["words"]
    if counts.total() != total:
        what = f"counts add up to {counts.total():,}, but {total:,} words were counted"
        raise BadInput(f"{Path(name).parent}: {what}; remove the folder and run again.")
    file.write(b"word\tcount\n")
    for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        file.write(f"{word}\t{count}\n".encode())
