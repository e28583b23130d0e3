"""Tables of all images as parquet, and as one database."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.imaging.database import write_database
from tessera.imaging.study import write_tables
from tessera.job import Job, atomic

with Job(snakemake) as job:
    with atomic(job.output.tables, folder=True) as folder:
        write_tables(
            job.params.rows, job.input.verdicts, job.input.tables, job.params.grid,
            job.params.settings, folder,
        )  # fmt: skip
    with atomic(job.output.database) as place:
        write_database(place, job.output.tables, memory_mb=job.params.memory_mb)
