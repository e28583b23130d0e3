"""Clean the detectors of a visit and write them into one file."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.astro.exposure import assemble, clean_detectors, write_facts
from tessera.astro.visits import read_visit
from tessera.job import Job, atomic

with Job(snakemake) as job:
    visit = read_visit(job.input.visit, job.params.headers)
    parts = clean_detectors(
        job.input.visit,
        visit["ccds"],
        job.params.cleaning,
        threads=job.threads,
        progress=job.progress,
    )
    with atomic(job.output.clean) as place:
        facts = assemble(place, job.wildcards.visit, visit["problem"], parts)
    with atomic(job.output.facts) as place:
        write_facts(place, facts)
