"""Warp the exposures that touch a patch onto its grid and stack them, outliers clipped."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import json
from pathlib import Path

import numpy as np

from tessera.astro.coadd import coadd_facts, coadd_patch, prepare_visits
from tessera.astro.exposure import write_facts
from tessera.astro.planes import write_coadd
from tessera.astro.skymap import make_skymap
from tessera.astro.thumbnail import thumbnails
from tessera.job import Job, atomic

with Job(snakemake) as job:
    skymap, window = make_skymap(job.params.skymap), tuple(job.params.window)
    facts = [json.loads(Path(path).read_text(encoding="utf-8")) for path in job.input.facts]
    ccds = [job.params.exposures[each["visit"]] for each in facts]
    visits = prepare_visits(job.input.clean, facts, ccds, skymap, window, job.params.zero_point)
    planes = coadd_patch(
        list(visits.values()),
        window,
        block=job.params.block,
        kernel=job.params.kernel,
        clip=job.params.clip,
        threads=job.threads,
        progress=job.progress,
    )
    with atomic(job.output.coadd) as place:
        write_coadd(place, planes, skymap.header(window), job.params.zero_point)
    with atomic(job.output.thumbnail) as place:
        np.savez(place, **thumbnails(planes))
    with atomic(job.output.facts) as place:
        write_facts(place, coadd_facts(planes, visits))
