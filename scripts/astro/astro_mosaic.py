"""Lay the patches of a header's grid side by side in one image."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.astro.mosaic import write_mosaic
from tessera.astro.skymap import make_skymap
from tessera.job import Job, atomic

with Job(snakemake) as job:
    coadds = dict(zip(job.params.windows, job.input.coadds, strict=True))
    with atomic(job.output.mosaic) as place:
        write_mosaic(place, coadds, job.params.windows, make_skymap(job.params.skymap))
