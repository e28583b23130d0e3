"""Every statistic of a range of genes in every group of one grouping."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.cells.aggregate import aggregate_part
from tessera.cells.groups import groups_of
from tessera.cells.layout import CELLS, Part, Rows
from tessera.job import Job, atomic
from tessera.verdict import judge


def reckon(job):
    rows, settings = Rows(job.input.rows), job.params.settings
    groups = groups_of(rows.grouping(job.params.columns), job.params.columns, settings["min_cells"])
    with atomic(job.output.stats) as place:
        aggregate_part(
            Part(job.input.genes), rows.column(CELLS, "total"), groups.codes, groups.sizes,
            place, normalize=settings["normalize"], percentiles=settings["percentiles"],
            trim=settings["trim"], batch_nnz=job.params.batch_nnz,
        )  # fmt: skip


with Job(snakemake) as job:
    judge(job, reckon)
