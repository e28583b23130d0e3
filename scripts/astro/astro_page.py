"""The page of the survey, and its pictures."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd

from tessera.astro.catalogue import read_reference
from tessera.astro.charts import number_counts, residuals_picture
from tessera.astro.pictures import mosaic_picture
from tessera.astro.quality import compare_with
from tessera.astro.skymap import make_skymap
from tessera.astro.survey_page import survey_page
from tessera.job import Job, atomic

with Job(snakemake) as job:
    windows, skymap = job.params.windows, make_skymap(job.params.skymap)
    qc = json.loads(Path(job.input.qc).read_text(encoding="utf-8"))
    with Path(job.input.quarantine).open(encoding="utf-8", newline="") as file:
        aside = list(csv.DictReader(file, delimiter="\t"))
    small = {p: np.load(f) for p, f in zip(windows, job.input.thumbnails, strict=True)}
    images, n_images = ({p: t[name] for p, t in small.items()} for name in ("image", "n_images"))
    table, comparison = pd.read_parquet(job.input.catalogue), None
    if job.input.get("reference"):
        reference = read_reference(job.input.reference)
        comparison = compare_with(table, reference, skymap.wcs, windows, images)
    mosaic = mosaic_picture(images, n_images, windows, skymap.pixel_scale)
    counts = number_counts(table, qc["depth"]["five_sigma_mag"])
    residuals = residuals_picture(comparison)
    page = survey_page(qc, aside, mosaic=mosaic, counts=counts, residuals=residuals)
    for path, content in (
        (job.output.survey, mosaic),
        (job.output.residuals, residuals),
        (job.output.page, page.encode()),
    ):
        with atomic(path) as place:
            place.write_bytes(content)
