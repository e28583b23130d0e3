"""Merge parts: of the scan one after the other, of each permutation the largest."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.job import Job, atomic
from tessera.vgwas.parts import merge

with Job(snakemake) as job, atomic(job.output.part, folder=True) as folder:
    merge(job.input.parts, folder)
