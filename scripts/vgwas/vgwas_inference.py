"""What is beyond chance: tables, familywise thresholds, inflation, the account of everything."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from tessera.job import Job, atomic
from tessera.vgwas.inference import conclude
from tessera.vgwas.study import Settings

with Job(snakemake) as job:
    outputs, part = job.output, Path(job.input.part)
    voxels = pd.read_parquet(job.input.voxels).join(pd.read_parquet(job.input.regions))
    concluded = conclude(
        part,
        pd.read_parquet(job.input.variants),
        voxels,
        pd.read_csv(job.input.samples, sep="\t", dtype=str, keep_default_na=False),
        json.loads(Path(job.input.facts).read_text(encoding="utf-8")),
        Settings(**job.params.settings),
        job.params.max_maps,
    )
    for path, table in ((outputs.snps, concluded.snps), (outputs.voxels, voxels)):
        with atomic(path) as place:
            table.to_parquet(place, index=False)
    with atomic(outputs.hits) as place:
        shutil.copyfile(part / "hits.parquet", place)
    with atomic(outputs.clusters) as place:
        concluded.clusters.to_csv(place, sep="\t", index=False, na_rep="n/a")
    for path, values in (
        (outputs.max_t, concluded.null_t),
        (outputs.max_cluster, concluded.null_cluster),
    ):
        with atomic(path) as place:
            np.save(place, values)
    for path, content in (
        (outputs.inference, concluded.inference),
        (outputs.ledger, concluded.ledger),
    ):
        with atomic(path) as place:
            place.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
