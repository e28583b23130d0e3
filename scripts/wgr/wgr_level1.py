"""Combine the predictions of all blocks for one trait, shrunk as cross-validation says."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import json

from tessera.job import Job, atomic
from tessera.wgr.steps import level1_trait, save_model
from tessera.wgr.study import load_study

with Job(snakemake) as job:
    study = load_study(job.input.study, job.input.facts)
    curve, model = level1_trait(
        study, job.wildcards.trait, list(job.input.blocks), job.params.settings
    )
    if curve["status"] != "ok":
        print(f"{job.wildcards.trait}: {curve['status']}: {curve['reason']}")
    with atomic(job.output.model) as place:
        save_model(place, model)
    with atomic(job.output.curve) as place:
        place.write_text(json.dumps(curve, indent=1) + "\n", encoding="utf-8")
