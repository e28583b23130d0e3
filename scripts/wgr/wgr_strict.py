"""Fail for the traits that were set aside, if that is asked for."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import json
from pathlib import Path

from tessera.errors import InputError, Problem
from tessera.job import Job, atomic

with Job(snakemake) as job:
    found = json.loads(Path(job.input.check).read_text(encoding="utf-8"))
    aside = [Problem(**each) for each in found["aside"]]
    if job.params.strict and aside:
        raise InputError(aside)
    with atomic(job.output.strict) as place:
        place.write_text(f"{len(aside)}\n", encoding="utf-8")
