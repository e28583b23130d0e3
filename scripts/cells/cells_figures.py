"""Draw a published dataset, and sum up what is in it."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import json
from pathlib import Path

from tessera.cells.layout import write_json
from tessera.cells.reading import Snapshot
from tessera.cells.store import open_store
from tessera.cells.summary import summarise
from tessera.job import Job, atomic
from tessera.verdict import judge


def draw(job):
    published, checked = (
        json.loads(Path(path).read_text(encoding="utf-8"))
        for path in (job.input.published, job.input.checked)
    )
    snapshot = Snapshot(open_store(job.params.store), job.wildcards.dataset, published["version"])
    with atomic(job.output.figures, folder=True) as folder:
        found = summarise(snapshot, checked, folder)
    with atomic(job.output.summary) as place:
        write_json(place, found)


with Job(snakemake) as job:
    judge(job, draw)
