"""The threshold of every point of the grid, from the histograms of all parts."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.imaging.steps import in_order, thresholds, write_json
from tessera.imaging.volume import Volume
from tessera.job import Job, atomic
from tessera.verdict import judge


def decide(job):
    found = dict(in_order(job.params.filters, job.input.histograms))
    volume = Volume(job.input.volume)
    told = thresholds(volume, job.params.row["path"], job.params.grid, found)
    with atomic(job.output.thresholds) as place:
        write_json(place, told)


with Job(snakemake) as job:
    judge(job, decide)
