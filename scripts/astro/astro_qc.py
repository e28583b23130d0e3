"""Compare with the reference catalogue; account for every detector; the page of the survey."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import json
from pathlib import Path

import numpy as np
import pandas as pd

from tessera.astro.catalogue import read_reference
from tessera.astro.charts import number_counts, residuals_picture
from tessera.astro.exposure import write_facts
from tessera.astro.pictures import mosaic_picture
from tessera.astro.quality import compare_with, quality, quarantine, quarantine_tsv
from tessera.astro.skymap import make_skymap
from tessera.astro.survey_page import survey_page
from tessera.errors import InputError, Problem
from tessera.job import Job, atomic


def load(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


with Job(snakemake) as job:
    windows, skymap = job.params.windows, make_skymap(job.params.skymap)
    visits = [load(path) for path in job.input.facts]
    aside = quarantine(visits)
    if aside and job.params.strict:
        raise InputError(Problem(*(r[k] for k in ("file", "place", "what", "remedy"))) for r in aside)
    coadds = dict(zip(windows, map(load, job.input.coadds), strict=True))
    small = {p: dict(np.load(f)) for p, f in zip(windows, job.input.thumbnails, strict=True)}
    images, n_images = ({p: t[n] for p, t in small.items()} for n in ("image", "n_images"))
    index = pd.read_parquet(job.input.index, columns=["visit", "ccd"])
    table = pd.read_parquet(job.input.catalogue)
    comparison = None
    if job.input.get("reference"):
        reference = read_reference(job.input.reference)
        comparison = compare_with(table, reference, skymap.wcs, windows, images)
    qc = quality(
        table,
        comparison,
        read=[(visit, ccd) for visit, ccd in index.itertuples(index=False)],
        visits=visits,
        coadds=coadds,
        pooled=load(job.input.pooled),
        zero_point=job.params.zero_point,
    )
    pictures = {
        "mosaic": mosaic_picture(images, n_images, windows, skymap.pixel_scale),
        "counts": number_counts(table, qc["depth"]["five_sigma_mag"]),
        "residuals": residuals_picture(comparison),
    }
    page = survey_page(qc, aside, **pictures)
    with atomic(job.output.survey) as place:
        place.write_bytes(pictures["mosaic"])
    with atomic(job.output.residuals) as place:
        place.write_bytes(pictures["residuals"])
    with atomic(job.output.page) as place:
        place.write_text(page, encoding="utf-8")
    with atomic(job.output.quarantine) as place:
        place.write_text(quarantine_tsv(aside), encoding="utf-8")
    with atomic(job.output.qc) as place:
        write_facts(place, qc)
