"""A detector of a visit before and after cleaning: the first sound one."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import json
from pathlib import Path

from tessera.astro.pictures import exposure_picture, notice_picture
from tessera.astro.planes import CleanCcd, read_ccd
from tessera.astro.visits import read_visit
from tessera.job import Job, atomic

with Job(snakemake) as job:
    visit = job.wildcards.visit
    facts = json.loads(Path(job.input.facts).read_text(encoding="utf-8"))
    sound = [ccd for ccd in facts["ccds"] if not ccd["problem"]]
    if sound:
        ccd = sound[0]
        records = read_visit(job.input.visit, job.params.headers)["ccds"]
        record = next(each for each in records if each["ccd"] == ccd["ccd"])
        raw = read_ccd(job.input.visit, record).image
        clean = CleanCcd(job.input.clean, ccd["offset"], ccd["length"])
        image, _, mask = clean.planes(0, ccd["shape"][0], 0, ccd["shape"][1])
        picture = exposure_picture(raw, image, mask, f"visit {visit}, CCD {ccd['ccd']}")
    else:
        picture = notice_picture(f"visit {visit} was set aside: see quarantine.tsv")
    with atomic(job.output.picture) as place:
        place.write_bytes(picture)
