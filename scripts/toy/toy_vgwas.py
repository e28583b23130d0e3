"""A study of genotypes and brain maps with known truth, and with everything that can be wrong."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.job import Job, atomic
from tessera.vgwas.toy import write_toy

with Job(snakemake) as job:
    with atomic(job.output.data, folder=True) as folder:
        sheet = write_toy(folder, "data", job.params.seed)
    with atomic(job.output.sheet) as place:
        place.write_text(sheet, encoding="utf-8")
