"""Find the variants of all sets of the burden tests, before any is tested."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import json

import pandas as pd

from tessera.job import Job, atomic
from tessera.wgr.burden import plan_burden

with Job(snakemake) as job:
    variants = pd.read_parquet(job.input.variants, columns=["id", "chromosome"])
    plan, notes = plan_burden(job.params.burden, variants)
    print(*notes, sep="\n")
    with atomic(job.output.sets) as place:
        found = {"sets": len(plan.sets), "dropped": plan.dropped, "notes": notes}
        place.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
