"""The maps as a matrix voxels x subjects, adjusted for the covariates."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import json
from pathlib import Path

from tessera.genotypes import Fileset
from tessera.job import Job, atomic
from tessera.vgwas.prepare import prepare
from tessera.vgwas.study import save_study

with Job(snakemake) as job:
    with atomic(job.output.phenotype) as target:
        prepared = prepare(
            job.params.section,
            job.params.maps,
            [Fileset(**each) for each in job.params.filesets],
            json.loads(Path(job.input.check).read_text(encoding="utf-8")),
            target,
            job.progress,
        )
    with atomic(job.output.study) as place:
        save_study(place, prepared.study)
    with atomic(job.output.samples) as place:
        prepared.samples.to_csv(place, sep="\t", index=False)
    with atomic(job.output.voxels) as place:
        prepared.voxels.to_parquet(place, index=False)
    with atomic(job.output.quarantine) as place:
        place.write_text(prepared.quarantine, encoding="utf-8")
    with atomic(job.output.facts) as place:
        place.write_text(json.dumps(prepared.facts, indent=1) + "\n", encoding="utf-8")
