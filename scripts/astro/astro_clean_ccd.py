"""Clean one detector of a visit."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.astro.exposure import clean_detector, write_facts
from tessera.astro.visits import read_visit
from tessera.job import Job, atomic

with Job(snakemake) as job:
    visit = read_visit(job.input.visit, job.params.headers)
    record = next(each for each in visit["ccds"] if each["ccd"] == job.wildcards.ccd)
    planes, facts = clean_detector(job.input.visit, record, job.params.cleaning)
    with atomic(job.output.planes) as place:
        place.write_bytes(planes)
    with atomic(job.output.facts) as place:
        write_facts(place, facts)
