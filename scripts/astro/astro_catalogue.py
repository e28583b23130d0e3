"""One catalogue of all patches: aperture corrections, one detection each in overlaps."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import json
from pathlib import Path

import pandas as pd

from tessera.astro.catalogue import merge, with_sky, write_catalogue
from tessera.astro.exposure import write_facts
from tessera.astro.skymap import make_skymap
from tessera.astro.sources import Settings
from tessera.astro.totals import finish
from tessera.job import Job, atomic

with Job(snakemake) as job:
    windows, skymap = job.params.windows, make_skymap(job.params.skymap)
    tables = {p: pd.read_parquet(f) for p, f in zip(windows, job.input.sources, strict=True)}
    facts = {
        p: json.loads(Path(f).read_text(encoding="utf-8"))
        for p, f in zip(windows, job.input.facts, strict=True)
    }
    finished, pooled = finish(
        tables,
        facts,
        settings=Settings(**job.params.detect),
        pixel_scale=skymap.pixel_scale,
        zero_point=job.params.zero_point,
    )
    table = with_sky(merge(finished, windows), windows, skymap)
    outputs = job.output
    with (
        atomic(outputs.parquet) as parquet,
        atomic(outputs.fits) as binary,
        atomic(outputs.ecsv) as ecsv,
    ):
        write_catalogue(table, parquet=parquet, binary=binary, ecsv=ecsv)
    with atomic(outputs.facts) as place:
        write_facts(place, pooled)
