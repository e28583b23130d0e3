"""Whole objects of an image, from the pieces in all its tiles."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import numpy as np

from tessera.imaging.steps import merged, tiling_from
from tessera.job import Job, atomic
from tessera.verdict import judge


def join(job):
    tiling = tiling_from(job.params.tiling)
    with atomic(job.output.objects, folder=True) as folder:
        for name in job.progress(job.params.grid, "points"):
            found = merged(
                job.input.pieces, job.params.counts, name, tiling, job.params.connectivity
            )
            np.save(folder / f"{name}.npy", found.objects)
            np.save(folder / f"{name}.parts.npy", found.parts)


with Job(snakemake) as job:
    judge(job, join)
