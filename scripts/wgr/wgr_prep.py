"""Who takes part, which traits can be analysed, and the variants of each block."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import json
from pathlib import Path

import numpy as np

from tessera.filesets import Fileset
from tessera.genotype_files import read_samples
from tessera.job import Job, atomic
from tessera.wgr.people import join_people
from tessera.wgr.prepare import account, block_list, screen_variants, variant_table
from tessera.wgr.study import records, save_study, write_quarantine

with Job(snakemake) as job:
    filesets = [Fileset(**each) for each in [*job.params.filesets, *job.params.step2]]
    step1 = filesets[: len(job.params.filesets)]
    step2 = filesets[len(step1) :]
    samples = [(each.samples_file, read_samples(each, key=("fid", "iid"))) for each in filesets]
    people = join_people(job.params.section, samples)
    table = screen_variants(
        step1, people, job.params.screening, lambda edges: job.progress(edges, "variants")
    )
    kept, dropped = table[table["reason"] == ""], table[table["reason"] != ""]
    blocks = block_list(table, job.params.block_size)
    facts = {
        **account(people, table),
        "blocks": len(blocks),
        "traits_all": records(people.traits),
        "covariates_dropped": people.covariates_dropped,
        "notes": json.loads(Path(job.input.check).read_text(encoding="utf-8"))["notes"],
    }
    with atomic(job.output.study) as arrays, atomic(job.output.facts) as place:
        save_study(arrays, place, people, job.params.section["trait_type"], facts)
    with atomic(job.output.variants) as place, place.open("wb") as stream:
        np.savez(stream, kept=kept.index.to_numpy(), chromosomes=kept["chromosome"].to_numpy())
    with atomic(job.output.tested) as place:
        variant_table(step2).to_parquet(place, row_group_size=1 << 16)
    with atomic(job.output.samples) as place:
        people.samples.to_csv(place, sep="\t", index=False)
    with atomic(job.output.dropped) as place:
        dropped[["id", "reason", "chr", "pos"]].to_csv(place, sep="\t", index=False)
    with atomic(job.output.blocks) as place:
        place.write_text(json.dumps(blocks, indent=1) + "\n", encoding="utf-8")
    with atomic(job.output.quarantine) as place:
        write_quarantine(place, people)
