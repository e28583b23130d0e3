"""Gather the slabs of an acquisition into maps with sidecars."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import json

import numpy as np

from tessera.job import Job, atomic
from tessera.neuro.derivatives import subject_result, write_denoised, write_derivatives
from tessera.neuro.facts import read_facts
from tessera.neuro.series import Series
from tessera.neuro.summary import summarise
from tessera.verdict import judge


def gather(job):
    facts = read_facts(job.input.facts)
    mask = np.load(job.input.mask)
    table = np.concatenate([np.load(path) for path in job.input.tables])
    result, tensor = subject_result(
        facts,
        table,
        mask,
        np.load(job.input.b0),
        np.load(job.input.sigma),
        Series(job.input.dwi),
        job.params.settings,
    )
    with atomic(job.output.maps, folder=True) as folder:
        write_derivatives(folder, result, tensor, facts, job.params.settings)
        if job.params.keep_denoised:
            write_denoised(folder, result, facts, job.input.denoised, job.params.settings)
    content = {"row": summarise(result), "volumes": result.volumes.as_dict()}
    with atomic(job.output.summary) as place:
        place.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


with Job(snakemake) as job:
    judge(job, gather)
