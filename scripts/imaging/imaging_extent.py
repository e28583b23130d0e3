"""The least and the greatest value of a part of an image after a filter."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.imaging.grid import as_step
from tessera.imaging.segment import extent_of
from tessera.imaging.steps import open_work, write_json
from tessera.job import Job, atomic
from tessera.verdict import judge


def look(job):
    work = open_work(job.input.volume, job.params.tiling, job.params.tiles)
    low, high = extent_of(work, as_step(job.params.filter), job.progress)
    with atomic(job.output.extent) as place:
        write_json(place, {"low": low, "high": high})


with Job(snakemake) as job:
    judge(job, look)
