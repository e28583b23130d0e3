"""Join people by id, look at every trait and covariate, and find the variants of burden tests."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import json

from tessera.errors import InputError
from tessera.filesets import Fileset
from tessera.genotype_files import read_samples
from tessera.job import Job, atomic
from tessera.wgr.people import join_people

with Job(snakemake) as job:
    filesets = [Fileset(**each) for each in [*job.params.filesets, *job.params.step2]]
    samples = [(each.samples_file, read_samples(each, key=("fid", "iid"))) for each in filesets]
    people = join_people(job.params.section, samples)
    if snakemake.resources.strict and people.aside:
        raise InputError(people.aside.values())
    for told in [*(f"Set aside: {problem}" for problem in people.aside.values()), *people.notes]:
        print(told)
    aside = [problem.as_dict() for problem in people.aside.values()]
    with atomic(job.output.check) as place:
        found = {"notes": people.notes, "aside": aside}
        place.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
