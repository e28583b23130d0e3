"""Predict one trait from all chromosomes but one, for each of them."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import numpy as np

from tessera.job import Job, atomic
from tessera.wgr.steps import load_model, loco_trait
from tessera.wgr.study import load_study
from tessera.wgr.tables_out import write_loco

with Job(snakemake) as job:
    study = load_study(job.input.study, job.input.facts)
    predictions, people = loco_trait(
        study,
        job.wildcards.trait,
        list(job.input.blocks),
        load_model(job.input.model),
        job.params.chromosomes,
        job.params.settings,
    )
    with atomic(job.output.table) as table, atomic(job.output.predictions) as place:
        np.save(place, write_loco(table, study.ids, predictions, people))
