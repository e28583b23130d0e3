"""Put views, matrices and definitions together as one version, with its manifest."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.cells.assemble import assemble
from tessera.cells.layout import VERSION, grouping_name
from tessera.job import Job, atomic
from tessera.verdict import judge


def put_together(job):
    names = [grouping_name(columns) for columns in job.params.groupings]
    # The files of one grouping come after those of the other.
    each = len(job.input.genes)
    stats = {
        name: job.input.stats[number * each : (number + 1) * each]
        for number, name in enumerate(names)
    }
    with atomic(job.output.version, folder=True) as folder:
        (folder / VERSION).mkdir()
        version = assemble(
            job.wildcards.dataset, job.input.rows, job.input.genes, stats, job.params.groupings,
            job.params.settings, folder / VERSION,
        )  # fmt: skip
    print(f"version {version}")


with Job(snakemake) as job:
    judge(job, put_together)
