"""Pieces of what is above the lower thresholds of hysteresis, in a part of an image."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.imaging.grid import as_step
from tessera.imaging.segment import segment
from tessera.imaging.steps import open_work, seed_rules
from tessera.job import Job, atomic
from tessera.verdict import judge


def find(job):
    work = open_work(job.input.volume, job.params.tiling, job.params.tiles)
    with atomic(job.output.pieces, folder=True) as folder:
        segment(
            work, as_step(job.params.filter), seed_rules(job.params.grid), 1.0, folder,
            job.progress, of_filtered=True,
        )  # fmt: skip


with Job(snakemake) as job:
    judge(job, find)
