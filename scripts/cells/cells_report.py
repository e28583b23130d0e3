"""The account of every dataset, what was set aside and why, and the page."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.cells.layout import write_json
from tessera.cells.report import report
from tessera.errors import InputError
from tessera.job import Job, atomic
from tessera.verdict import read_verdict

with Job(snakemake) as job:
    problems = [each for path in job.input.verdicts for each in read_verdict(path)]
    if problems and job.params.strict:
        raise InputError(problems)
    told = report(
        job.params.rows, job.input.verdicts, job.input.summaries, job.input.figures,
        job.params.settings,
    )  # fmt: skip
    for path, table in ((job.output.datasets, told.datasets), (job.output.quarantine, told.aside)):
        with atomic(path) as place:
            table.to_csv(place, sep="\t", index=False, na_rep="n/a", lineterminator="\n")
    with atomic(job.output.ledger) as place:
        write_json(place, told.ledger)
    with atomic(job.output.page) as place:
        place.write_text(told.page, encoding="utf-8")
