"""Predict all traits from one block of variants, each person by models that have not seen it."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.filesets import Fileset
from tessera.job import Job, atomic
from tessera.wgr.kept import Shelf
from tessera.wgr.steps import level0_block
from tessera.wgr.study import load_study

with Job(snakemake) as job:
    study = load_study(job.input.study, job.input.facts)
    filesets = [Fileset(**each) for each in job.params.filesets]
    room = 1e6 * snakemake.resources.kept_mb
    shelf = Shelf(job.params.sums, job.params.code, room) if room else None
    with atomic(job.output.predictions) as place:
        level0_block(
            place, filesets, study, job.input.variants, job.params.block, job.params.block_size,
            job.params.settings, shelf,
        )  # fmt: skip
    print(*(shelf.notes if shelf else []), sep="\n")
