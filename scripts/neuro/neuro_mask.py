"""Brain mask: from the mean b0, or the one that the sheet names."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import numpy as np

from tessera.errors import InputError
from tessera.job import Job, atomic
from tessera.neuro.facts import read_facts
from tessera.neuro.mask import check_mask, make_mask
from tessera.verdict import judge


def cover(job):
    facts = read_facts(job.input.facts)
    given = job.input.get("mask")
    mask = make_mask(np.load(job.input.b0), facts.zooms, job.params.mask, given, facts.source)
    if problems := check_mask(mask, given or facts.source):
        raise InputError(problems)
    with atomic(job.output.mask) as place:
        np.save(place, mask)


with Job(snakemake) as job:
    judge(job, cover)
