"""Remove versions that are neither kept nor within their grace time."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import json

from tessera.cells.store import open_store
from tessera.job import Job, atomic
from tessera.verdict import judge


def collect(job):
    settings = job.params.settings
    removed = open_store(settings["store"]).collect(
        job.wildcards.dataset, settings["keep_versions"], settings["grace_hours"]
    )
    with atomic(job.output.removed) as place:
        place.write_text(json.dumps({"removed": removed, "problems": []}) + "\n")


with Job(snakemake) as job:
    judge(job, collect)
