"""Pieces of objects in a part of an image, at every point of the grid that has its filter."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.imaging.grid import as_step
from tessera.imaging.segment import segment
from tessera.imaging.steps import open_work, read_json, rules
from tessera.job import Job, atomic
from tessera.verdict import judge


def find(job):
    work = open_work(job.input.volume, job.params.tiling, job.params.tiles)
    values = read_json(job.input.thresholds)
    masks = next(iter(job.input.masks), None)
    todo = rules(job.params.grid, values, masks, job.params.settings)
    with atomic(job.output.pieces, folder=True) as folder:
        segment(work, as_step(job.params.filter), todo, values["unit"], folder, job.progress)


with Job(snakemake) as job:
    judge(job, find)
