"""Tables of an image, and a plane of it with the outlines of its objects at the first point."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from pathlib import Path

from tessera.imaging.outcome import header_of, measure_image, picture
from tessera.imaging.steps import labels_of, open_work, read_json, rules
from tessera.job import Job, atomic
from tessera.verdict import judge


def tell(job):
    image, size = job.params.row["image"], job.params.row["voxel_size"]
    work = open_work(job.input.volume, job.params.tiling)
    header, values = header_of(work.source, size), read_json(job.input.thresholds)
    folders = dict(zip(job.params.filters, map(Path, job.input.merged), strict=True))
    merged = {name: folders[kind] for name, kind in job.params.grid.items()}
    with atomic(job.output.tables, folder=True) as folder:
        measure_image(image, header, values, merged, job.params.settings, folder, job.progress)
    masks = next(iter(job.input.masks), None)
    ((name, rule),) = rules(job.params.point, values, masks, job.params.settings).items()
    labels = labels_of(merged[name], job.output.tables, name)
    plane = read_json(Path(job.output.tables, "summary.json"))["plane"]
    with atomic(job.output.picture, folder=True) as folder:
        png = picture(work, rule, labels, plane, image, header)
        (folder / "overlay.png").write_bytes(png)


with Job(snakemake) as job:
    judge(job, tell)
