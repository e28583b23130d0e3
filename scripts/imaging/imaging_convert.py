"""Write an image, of whatever kind, as an array that tiles are read from."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.imaging.steps import box_from, check_slice
from tessera.imaging.volume import convert, look
from tessera.job import Job, atomic
from tessera.verdict import judge


def read(job):
    path, held = job.params.row["path"], job.params.held
    check_slice(look(path).shape, path, job.params.slice)
    with atomic(job.output.volume, folder=True) as folder:
        convert(
            path, folder, box=box_from(held) if held else None,
            memory_mb=job.params.memory_mb, progress=job.progress,
        )  # fmt: skip


with Job(snakemake) as job:
    judge(job, read)
