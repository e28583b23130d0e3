"""The histogram of a part of an image after a filter."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import numpy as np

from tessera.imaging.grid import as_step
from tessera.imaging.segment import histograms_of
from tessera.imaging.steps import open_work, read_json
from tessera.job import Job, atomic
from tessera.verdict import judge


def count(job):
    work = open_work(job.input.volume, job.params.tiling, job.params.tiles)
    ends = [read_json(path) for path in job.input.extents]
    known = (min(e["low"] for e in ends), max(e["high"] for e in ends)) if ends else None
    step = as_step(job.params.filter)
    found = histograms_of(work, step, job.params.kinds, known, job.progress)
    with atomic(job.output.counts) as place:
        np.savez(place, **found)


with Job(snakemake) as job:
    judge(job, count)
