"""Put the cleaned detectors of a visit into one file."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import json
from pathlib import Path

from tessera.astro.exposure import assemble, write_facts
from tessera.astro.visits import read_visit
from tessera.job import Job, atomic

with Job(snakemake) as job:
    problem = read_visit(job.input.visit, job.params.headers)["problem"]
    parts = (
        (Path(planes).read_bytes(), json.loads(Path(facts).read_text(encoding="utf-8")))
        for planes, facts in zip(job.input.planes, job.input.facts, strict=True)
    )
    with atomic(job.output.clean) as place:
        facts = assemble(place, job.wildcards.visit, problem, parts)
    with atomic(job.output.facts) as place:
        write_facts(place, facts)
