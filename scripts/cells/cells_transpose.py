"""Gather a range of genes from all tiles of cells: the second pass of the transposition."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.cells.layout import GENES, Rows, gene_ranges
from tessera.cells.transpose import transpose_part
from tessera.job import Job, atomic
from tessera.verdict import judge


def gather(job):
    rows = Rows(job.input.rows)
    number, of = map(int, job.wildcards.part.split("of"))
    start, stop = gene_ranges(rows.column(GENES, "nnz"), of)[number - 1]
    with atomic(job.output.genes, folder=True) as folder:
        transpose_part(rows, start, stop, folder, batch_nnz=job.params.batch_nnz)


with Job(snakemake) as job:
    judge(job, gather)
