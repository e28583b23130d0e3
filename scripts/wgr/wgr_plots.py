"""Draw the Manhattan and the QQ plot of one trait."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import pandas as pd

from tessera.job import Job, atomic
from tessera.wgr.charts import draw_trait
from tessera.wgr.summary import COLUMNS, save_summary, summarise

with Job(snakemake) as job:
    summary = summarise(pd.read_parquet(job.input.table, columns=list(COLUMNS)))
    with atomic(job.output.figures, folder=True) as folder:
        for name, picture in draw_trait(summary).items():
            (folder / name).write_bytes(picture)
    with atomic(job.output.summary) as place:
        save_summary(place, summary)
