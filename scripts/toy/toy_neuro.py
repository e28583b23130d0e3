"""Phantoms with known truth, two small real acquisitions from dipy, and a defective one."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.job import Job, atomic
from tessera.neuro.toy import write_toy

with Job(snakemake) as job:
    with atomic(job.output.data, folder=True) as folder:
        sheet = write_toy(folder, "data", job.params.seed)
    with atomic(job.output.sheet) as place:
        place.write_text(sheet, encoding="utf-8")
