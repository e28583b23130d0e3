"""Compare a version with what was read: by three routes, and a sample by another path."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from pathlib import Path

from tessera.cells.layout import VERSION, write_json
from tessera.cells.verify import verify
from tessera.job import Job, atomic
from tessera.verdict import judge


def look_again(job):
    found = verify(
        job.input.rows,
        job.input.genes,
        Path(job.input.version, VERSION),
        job.params.settings,
        job.params.seed,
    )
    with atomic(job.output.report) as place:
        write_json(place, found)


with Job(snakemake) as job:
    judge(job, look_again)
