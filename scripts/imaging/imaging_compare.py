"""Points of the grid side by side: counts, sizes, agreement, and their charts."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.imaging.study import write_comparison
from tessera.job import Job, atomic

with Job(snakemake) as job, atomic(job.output.compare, folder=True) as folder:
    write_comparison(job.input.verdicts, job.input.tables, job.params.grid, folder)
