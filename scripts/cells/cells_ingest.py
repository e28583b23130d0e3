"""Read and validate a matrix once, into tiles of cells, each sorted by cell and by gene."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.cells.ingest import ingest
from tessera.cells.sources import check_dataset, open_source
from tessera.job import Job, atomic
from tessera.verdict import judge


def read(job):
    row, settings = job.params.row, job.params.reading
    check_dataset(row["matrix"], row["metadata"], job.params.groupings, **settings)
    columns = list(dict.fromkeys(name for each in job.params.groupings for name in each))
    with atomic(job.output.rows, folder=True) as folder:
        ingest(
            open_source(row["matrix"], row["metadata"]), folder, grouping_columns=columns,
            batch_nnz=job.params.batch_nnz, progress=job.progress, **settings,
        )  # fmt: skip


with Job(snakemake) as job:
    judge(job, read)
