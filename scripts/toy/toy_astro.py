"""A survey of a sky with known truth: stars, galaxies, transients, movers and every defect."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.astro.toy import write_toy
from tessera.job import Job, atomic

with Job(snakemake) as job:
    with atomic(job.output.data, folder=True) as folder:
        sheet = write_toy(folder, "data", job.params.seed)
    with atomic(job.output.sheet) as place:
        place.write_text(sheet, encoding="utf-8")
