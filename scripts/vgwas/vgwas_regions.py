"""The name of the region that each voxel of the mask lies in."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import pandas as pd

from tessera.job import Job, atomic
from tessera.vgwas.voxels import atlas_files, read_grid, read_labels

with Job(snakemake) as job:
    grid = read_grid(job.input.mask)
    labels = read_labels(atlas_files(job.params.atlas), grid, job.input.mask)
    with atomic(job.output.regions) as place:
        pd.DataFrame({"label": labels}).to_parquet(place, index=False)
