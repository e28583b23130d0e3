"""Write the tables of one trait: parquet, and text as REGENIE writes it."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import json
from collections import Counter

from tessera.job import Job, atomic
from tessera.wgr.tables_out import Writer, chunks_of

with (
    Job(snakemake) as job,
    atomic(job.output.parquet) as parquet,
    atomic(job.output.regenie) as text,
    atomic(job.output.tally) as place,
):
    tally: Counter[str] = Counter()
    with Writer(parquet, text) as writer:
        parts = job.progress(list(job.input.parts), "parts")
        for rows, counts in chunks_of(parts, job.wildcards.trait, job.input.facts):
            writer.write(rows)
            tally.update(counts)
    place.write_text(json.dumps(tally, sort_keys=True) + "\n", encoding="utf-8")
