"""A co-add with its sources marked, and its depth."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import pandas as pd

from tessera.astro.pictures import coadd_picture
from tessera.astro.planes import read_coadd
from tessera.astro.skymap import make_skymap
from tessera.job import Job, atomic

with Job(snakemake) as job:
    patch = job.wildcards.patch
    planes, _ = read_coadd(job.input.coadd)
    picture = coadd_picture(
        planes["IMAGE"],
        planes["VARIANCE"],
        planes["NIMAGE"],
        pd.read_parquet(job.input.catalogue, filters=[("patch", "==", patch)]),
        zero_point=job.params.zero_point,
        pixel_scale=make_skymap(job.params.skymap).pixel_scale,
        title=f"patch {patch}",
    )
    with atomic(job.output.picture) as place:
        place.write_bytes(picture)
