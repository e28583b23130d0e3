"""A cohort with traits, covariates, genes and a truth, and with a trait that cannot be analysed."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.job import Job, atomic
from tessera.wgr.toy import write_toy

with Job(snakemake) as job, atomic(job.output.data, folder=True) as folder:
    write_toy(folder, job.params.seed)
