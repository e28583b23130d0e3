"""The table of traits, the account of everything read, and the page."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import csv
import json
from pathlib import Path

from tessera.job import Job, atomic
from tessera.wgr.report import Results, make_page

with Job(snakemake) as job:
    with Path(job.input.quarantine).open(encoding="utf-8", newline="") as file:
        aside = list(csv.DictReader(file, dialect="excel-tab"))
    results = Results.read(
        job.params.traits,
        job.input.facts,
        job.input.curves,
        job.input.tallies,
        job.input.summaries,
        job.input.figures,
        job.input.sets,
    )
    with atomic(job.output.traits) as place:
        results.table.to_csv(place, sep="\t", index=False, na_rep="NA", float_format="%.6g")
    with atomic(job.output.ledger) as place:
        place.write_text(json.dumps(results.ledger, indent=1) + "\n", encoding="utf-8")
    with atomic(job.output.page) as place:
        place.write_text(make_page(results, job.params.settings, aside), encoding="utf-8")
