"""The account of every image, what was set aside and why, and the page."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.errors import InputError
from tessera.imaging.outcome import write_table
from tessera.imaging.steps import write_json
from tessera.imaging.study import tell
from tessera.job import Job, atomic
from tessera.verdict import read_verdict

with Job(snakemake) as job:
    problems = [each for path in job.input.verdicts for each in read_verdict(path)]
    if problems and job.params.strict:
        raise InputError(problems)
    told = tell(
        job.params.rows, job.input.verdicts, job.input.tables, job.input.pictures,
        job.input.study, job.input.compare, job.params.settings,
    )  # fmt: skip
    for path, table in ((job.output.images, told.images), (job.output.quarantine, told.aside)):
        with atomic(path) as place:
            write_table(place, table)
    with atomic(job.output.ledger) as place:
        write_json(place, told.ledger)
    with atomic(job.output.page) as place:
        place.write_text(told.page, encoding="utf-8")
