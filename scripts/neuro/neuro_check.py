"""Find what headers and gradient tables show to be wrong, in all acquisitions at once."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import json

from tessera.errors import InputError
from tessera.job import Job, atomic
from tessera.neuro.acquisition import check_row

with Job(snakemake) as job:
    found = {
        row["unit"]: check_row(row, **job.params.limits)
        for row in job.progress(job.params.rows, "headers")
    }
    everything = [problem for problems in found.values() for problem in problems]
    if job.params.strict and everything:
        raise InputError(everything)
    print(*everything, sep="\n")
    content = {unit: [problem.as_dict() for problem in found[unit]] for unit in found}
    with atomic(job.output.check) as place:
        place.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
