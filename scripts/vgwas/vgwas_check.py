"""Join the subjects by id and look at every header, before any map is read."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import json

from tessera.genotypes import Fileset
from tessera.job import Job, atomic
from tessera.vgwas.check import check_study

with Job(snakemake) as job:
    checked = check_study(
        job.params.section,
        job.params.maps,
        [Fileset(**each) for each in job.params.filesets],
        lambda subjects: job.progress(subjects, "headers"),
    )
    for problem in checked["aside"].values():
        print("Set aside:", *problem.values())
    with atomic(job.output.check) as place:
        place.write_text(json.dumps(checked, indent=1) + "\n", encoding="utf-8")
