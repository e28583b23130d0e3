"""Simulated volumes whose objects are known, real pictures, and a damaged one."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.imaging.toy import write_toy
from tessera.job import Job, atomic

with (
    Job(snakemake) as job,
    atomic(job.output.sheet) as sheet,
    atomic(job.output.data, folder=True) as folder,
):
    write_toy(sheet, folder, job.params.seed, "data")
