"""Every detector of every visit, from headers alone: place on the sky, zero point, faults."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.astro.catalogue import read_reference
from tessera.astro.index import index_table, write_parquet
from tessera.astro.visits import header_reader
from tessera.errors import InputError, Problem
from tessera.headers import cached_headers
from tessera.job import Job, atomic

with Job(snakemake) as job:
    read = cached_headers(list(job.params.visits.values()), header_reader(job.params.headers))
    items = [item for header in read.values() for item in (header, *header["ccds"])]
    problems = [Problem(**item["problem"]) for item in items if item["problem"]]
    if problems and job.params.strict:
        raise InputError(problems)
    print(*problems, sep="\n")
    if job.input.get("reference"):
        read_reference(job.input.reference)
    with atomic(job.output.index) as place:
        write_parquet(index_table(job.params.visits, read), place)
