"""Compare with the reference catalogue; account for every detector."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import json
from pathlib import Path

import numpy as np
import pandas as pd

from tessera.astro.accounting import quarantine, quarantine_tsv
from tessera.astro.catalogue import read_reference
from tessera.astro.exposure import write_facts
from tessera.astro.quality import compare_with, quality
from tessera.astro.skymap import make_skymap
from tessera.errors import InputError, Problem
from tessera.job import Job, atomic


def load(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


with Job(snakemake) as job:
    windows, visits = job.params.windows, [load(path) for path in job.input.facts]
    aside = quarantine(visits)
    if aside and job.params.strict:
        raise InputError(Problem(*[r[k] for k in Problem.__dataclass_fields__]) for r in aside)
    table, comparison = pd.read_parquet(job.input.catalogue), None
    if job.input.get("reference"):
        images = {
            p: np.load(f)["image"] for p, f in zip(windows, job.input.thumbnails, strict=True)
        }
        sky = make_skymap(job.params.skymap).wcs
        reference = read_reference(job.input.reference)
        comparison = compare_with(table, reference, sky, windows, images)
    index = pd.read_parquet(job.input.index, columns=["visit", "ccd"])
    qc = quality(
        table,
        comparison,
        read=[(visit, ccd) for visit, ccd in index.itertuples(index=False)],
        visits=visits,
        coadds=dict(zip(windows, map(load, job.input.coadds), strict=True)),
        pooled=load(job.input.pooled),
        zero_point=job.params.zero_point,
    )
    with atomic(job.output.quarantine) as place:
        place.write_text(quarantine_tsv(aside), encoding="utf-8")
    with atomic(job.output.qc) as place:
        write_facts(place, qc)
