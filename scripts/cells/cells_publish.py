"""Let readers see the new version, whole, from one moment to the next."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import json
from pathlib import Path

from tessera.cells.layout import VERSION
from tessera.cells.store import open_store
from tessera.job import Job, atomic
from tessera.verdict import judge


def publish(job):
    store, dataset = open_store(job.params.store), job.wildcards.dataset
    pointer = store.publish(dataset, Path(job.input.version, VERSION), store.current(dataset))
    content = {
        "dataset": dataset,
        "version": pointer.version,
        "store": job.params.store,
        "problems": [],
    }
    with atomic(job.output.published) as place:
        place.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


with Job(snakemake) as job:
    judge(job, publish)
