"""Look at the headers of all images at once, before any voxel is read."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.errors import InputError
from tessera.imaging.steps import write_json
from tessera.imaging.volume import check
from tessera.job import Job, atomic

with Job(snakemake) as job:
    problems = []
    for row in job.progress(job.params.rows, "images"):
        try:
            check(row["path"])
        except InputError as error:
            problems += error.problems
            print(error)
    if problems and job.params.strict:
        raise InputError(problems)
    with atomic(job.output.check) as place:
        write_json(place, {"problems": [problem.as_dict() for problem in problems]})
