"""The group's table, picture and quarantine list, and the dataset's description."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import json
from pathlib import Path

from tessera.errors import InputError, Problem
from tessera.job import Job, atomic
from tessera.neuro.derivatives import dataset_files
from tessera.neuro.group import Quarantined, group_figure, group_tables

with Job(snakemake) as job:
    read, rows, aside = [], [], []
    for item, path in zip(job.params.rows, job.input.summaries, strict=True):
        name = item["subject"], item.get("session")
        summary = json.loads(Path(path).read_text(encoding="utf-8"))
        read.append(name)
        if problems := summary.get("problems"):
            aside.append(Quarantined(*name, problems))
        else:
            rows.append(summary["row"])
    if aside and job.params.strict:
        raise InputError(Problem(**problem) for item in aside for problem in item.problems)
    tables = group_tables(read, rows, aside)
    description, ignore = dataset_files(job.params.version)
    texts = {
        job.output.table: tables.group_tsv,
        job.output.sidecar: tables.group_json,
        job.output.quarantine: tables.quarantine_tsv,
        job.output.description: description,
        job.output.ignore: ignore,
    }
    for path, text in texts.items():
        with atomic(path) as place:
            place.write_text(text, encoding="utf-8")
    with atomic(job.output.figure) as place:
        place.write_bytes(group_figure(rows, aside))
