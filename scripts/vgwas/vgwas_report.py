"""The page of the study and its pictures."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd

from tessera import nifti
from tessera.job import Job, atomic
from tessera.vgwas.report import draw, read_clusters, top_hits

with Job(snakemake) as job:
    inference, ledger = (
        json.loads(Path(path).read_text(encoding="utf-8"))
        for path in (job.input.inference, job.input.ledger)
    )
    with Path(job.input.quarantine).open(encoding="utf-8", newline="") as file:
        aside = list(csv.DictReader(file, dialect="excel-tab"))
    snps, voxels = pd.read_parquet(job.input.snps), pd.read_parquet(job.input.voxels)
    maps = [
        (lead["id"], nifti.read(path), nifti.read_header(path).affine)
        for lead in inference["leads"]
        for path in [Path(job.input.maps) / lead["map"]]
    ]
    page, pictures = draw(
        inference,
        ledger,
        aside,
        snps,
        read_clusters(job.input.clusters),
        top_hits(job.input.hits, snps, voxels),
        (np.load(job.input.max_t), np.load(job.input.max_cluster)),
        maps,
    )
    with atomic(job.output.pictures, folder=True) as folder:
        for name, picture in pictures.items():
            (folder / name).write_bytes(picture)
    with atomic(job.output.page) as place:
        place.write_text(page, encoding="utf-8")
