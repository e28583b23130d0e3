"""The page of one acquisition: pictures and numbers, or why it was set aside."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import json
from pathlib import Path

import numpy as np

from tessera.job import Job, atomic
from tessera.neuro.derivatives import read_result
from tessera.neuro.facts import read_facts
from tessera.neuro.qc import qc_page, quarantine_page

with Job(snakemake) as job:
    summary = json.loads(Path(job.input.summary).read_text(encoding="utf-8"))
    if problems := summary.get("problems"):
        row = job.params.row
        page = quarantine_page(row["subject"], row.get("session"), problems)
    else:
        facts = read_facts(job.input.facts)
        result = read_result(
            Path(job.input.maps), facts, np.load(job.input.b0), summary, job.params.settings
        )
        page = qc_page(result, summary["row"])
    with atomic(job.output.page) as place:
        place.write_text(page, encoding="utf-8")
