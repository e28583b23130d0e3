"""Find and measure the sources of a patch."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.astro.exposure import write_facts
from tessera.astro.planes import read_coadd
from tessera.astro.skymap import make_skymap
from tessera.astro.sources import Settings, measure_patch
from tessera.job import Job, atomic

with Job(snakemake) as job:
    planes, _ = read_coadd(job.input.coadd)
    table, facts = measure_patch(
        planes.pop("IMAGE"),  # let go of here, so that it is not kept beside its copy
        planes.pop("VARIANCE"),
        planes.pop("MASK"),
        planes.pop("NIMAGE"),
        settings=Settings(**job.params.detect),
        pixel_scale=make_skymap(job.params.skymap).pixel_scale,
    )
    with atomic(job.output.sources) as place:
        table.to_parquet(place, index=False)
    with atomic(job.output.facts) as place:
        write_facts(place, facts)
