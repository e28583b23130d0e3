"""Test a range of variants, or the masks of some sets, against all traits."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import numpy as np

from tessera.filesets import Fileset
from tessera.genotypes import GenotypeReader
from tessera.job import Job, atomic
from tessera.wgr.assoc import Rules
from tessera.wgr.step2 import (
    associate,
    load_predictions,
    mask_panels,
    masks_of_sets,
    output_rows,
    panel_edges,
    read_variant_rows,
    turned_variants,
    variant_panels,
)
from tessera.wgr.study import load_study

with Job(snakemake) as job:
    chromosome, start, stop = job.params.chunk
    settings = dict(job.params.settings)
    ref_first = settings.pop("ref_first")
    study = load_study(job.input.study, job.input.facts)
    predictions = load_predictions(list(job.input.loco), job.params.traits, chromosome)
    filesets = [Fileset(**each) for each in job.params.filesets]
    rows = study.rows[-len(filesets) :]
    with atomic(job.output.part, folder=True) as folder, GenotypeReader(filesets, rows) as reader:
        if job.params.burden:
            masks, table, told = masks_of_sets(
                job.params.burden, job.params.chunk, job.input.variants, reader, filesets, ref_first
            )
            print(*told, sep="\n")
            panels = mask_panels(*masks)
        else:
            variants = read_variant_rows(job.input.variants, start, stop)
            turned = turned_variants(filesets, start, stop, ref_first)
            table = output_rows(variants, turned)
            edges = job.progress(panel_edges(start, stop), "variants")
            panels = variant_panels(reader, edges, start, turned, variants["multiallelic"].values)
        fields = associate(panels, study, predictions, Rules(**settings), len(table))
        table.to_parquet(folder / "variants.parquet")
        np.save(folder / "tests.npy", fields)
