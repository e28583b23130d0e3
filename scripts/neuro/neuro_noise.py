"""Noise level: a map by MP-PCA, a number from the config, or one per volume (preset)."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import numpy as np

from tessera.job import Job, atomic
from tessera.neuro.noise import noise_level
from tessera.verdict import judge


def estimate(job):
    sigma = noise_level(job.input.dwi, np.load(job.input.mask), job.params.sigma)
    with atomic(job.output.sigma) as place:
        np.save(place, sigma)


with Job(snakemake) as job:
    judge(job, estimate)
