"""The volume of labels of an image at a point of the grid."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.imaging.segment import label
from tessera.imaging.steps import LabelFile, labels_of, open_work, read_json, rules
from tessera.job import Job, atomic
from tessera.verdict import judge


def paint(job):
    work = open_work(job.input.volume, job.params.tiling)
    values = read_json(job.input.thresholds)
    masks = next(iter(job.input.masks), None)
    ((name, rule),) = rules(job.params.point, values, masks, job.params.settings).items()
    with atomic(job.output.labels, folder=True) as folder:
        file = LabelFile(folder, work.tiling, "uint32")
        labels = labels_of(job.input.merged, job.input.tables, name)
        label(work, rule, labels, file.write, job.progress)


with Job(snakemake) as job:
    judge(job, paint)
