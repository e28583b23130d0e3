"""Masks of hysteresis thresholds: what is above the lower one and joined to the upper one."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.imaging.steps import grow, open_work
from tessera.job import Job, atomic
from tessera.verdict import judge


def paint(job):
    work = open_work(job.input.volume, job.params.tiling)
    with atomic(job.output.masks, folder=True) as folder:
        grow(work, job.params.grid, job.input.pieces, job.params.counts, folder, job.progress)


with Job(snakemake) as job:
    judge(job, paint)
