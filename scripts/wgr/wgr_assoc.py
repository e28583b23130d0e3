"""Test a range of variants, or the masks of some sets, against all traits."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import numpy as np

from tessera.filesets import Fileset
from tessera.genotypes import GenotypeReader
from tessera.job import Job, atomic
from tessera.wgr.assoc import Rules
from tessera.wgr.step2 import associate, load_predictions, open_masks, open_variants
from tessera.wgr.study import load_study

with Job(snakemake) as job:
    chunk = job.params.chunk
    burden, settings = job.params.burden, dict(job.params.settings)
    ref_first, variants = settings.pop("ref_first"), job.input.variants
    study = load_study(job.input.study, job.input.facts)
    predictions = load_predictions(list(job.input.loco), job.params.traits, chunk[0])
    filesets = [Fileset(**each) for each in job.params.filesets]
    rows = (study.base if burden else study.rows)[-len(filesets) :]
    with atomic(job.output.part, folder=True) as folder, GenotypeReader(filesets, rows) as reader:
        if burden:
            table, panels = open_masks(reader, study, variants, filesets, chunk, ref_first, burden)
        else:
            table, panels = open_variants(
                reader, variants, filesets, chunk, ref_first,
                lambda edges: job.progress(edges, "variants"),
            )  # fmt: skip
        fields = associate(panels, study, predictions, Rules(**settings), len(table))
        table.to_parquet(folder / "variants.parquet")
        np.save(folder / "tests.npy", fields)
