"""Join people by id, look at every trait and covariate, and find the variants of burden tests."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import json

from tessera.filesets import Fileset
from tessera.genotype_files import read_samples
from tessera.job import Job, atomic
from tessera.wgr.burden import check_burden
from tessera.wgr.people import join_people
from tessera.wgr.prepare import variant_table

with Job(snakemake) as job:
    filesets = [Fileset(**each) for each in [*job.params.filesets, *job.params.step2]]
    samples = [(each.samples_file, read_samples(each, key=("fid", "iid"))) for each in filesets]
    people = join_people(job.params.section, samples)
    notes = list(people.notes)
    if job.params.burden:
        notes += check_burden(job.params.burden, variant_table(filesets[-len(job.params.step2) :]))
    for told in [*(f"Set aside: {problem}" for problem in people.aside.values()), *notes]:
        print(told)
    with atomic(job.output.check) as place:
        place.write_text(json.dumps({"notes": notes}, indent=1) + "\n", encoding="utf-8")
