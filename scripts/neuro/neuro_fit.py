"""Denoise a slab of slices with its halo and fit the tensor."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import numpy as np

from tessera.job import Job, atomic
from tessera.neuro.facts import read_facts
from tessera.neuro.fit import fit_slab
from tessera.neuro.series import Series
from tessera.tiles import partition
from tessera.verdict import judge


def fit(job):
    facts, dwi = read_facts(job.input.facts), Series(job.input.dwi)
    slab, slabs = map(int, job.wildcards.slab.split("of"))
    result = fit_slab(
        dwi,
        np.load(job.input.mask),
        np.load(job.input.sigma),
        facts.bvals,
        facts.bvecs,
        partition(dwi.shape[1], slabs)[slab],
        denoise=job.params.denoise,
        fit=job.params.fit,
        fit_bmax=job.params.fit_bmax,
        keep_denoised=job.params.keep_denoised,
        threads=job.threads,
        progress=job.progress,
    )
    with atomic(job.output.table) as place:
        np.save(place, result.table)
    with atomic(job.output.denoised) as place:
        np.save(place, result.denoised)


with Job(snakemake) as job:
    judge(job, fit)
