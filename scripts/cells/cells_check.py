"""Find what headers, names and metadata show to be wrong, in all datasets at once."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.cells.sources import check_dataset
from tessera.errors import InputError
from tessera.job import Job
from tessera.verdict import write_verdict

with Job(snakemake) as job:
    problems = []
    for row in job.progress(job.params.rows, "datasets"):
        try:
            check_dataset(
                row["matrix"], row["metadata"], job.params.groupings, **job.params.reading
            )
        except InputError as error:
            print(error)
            problems += error.problems
    if problems and job.params.strict:
        raise InputError(problems)
    write_verdict(job.output.check, problems)
