"""Decompress an acquisition once; gradients to scanner axes, mean b0, verdict."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import json

import numpy as np

from tessera.errors import InputError
from tessera.job import Job, atomic
from tessera.neuro.acquisition import check_row, import_acquisition
from tessera.neuro.facts import gather_facts
from tessera.verdict import judge


def bring_in(job):
    limits = job.params.limits
    if problems := check_row(job.params.row, **limits):
        raise InputError(problems)
    facts = gather_facts(job.params.row, b0_max=limits["b0_max"])
    with atomic(job.output.dwi) as place:
        imported = import_acquisition(
            job.input.dwi, place, np.array(facts["bvals"]) <= limits["b0_max"]
        )
    with atomic(job.output.b0) as place:
        np.save(place, imported.mean_b0)
    with atomic(job.output.facts) as place:
        place.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


with Job(snakemake) as job:
    judge(job, bring_in)
