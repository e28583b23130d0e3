"""One table of the SNPs of all genotype filesets."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import pandas as pd

from tessera.errors import InputError
from tessera.genotypes import Fileset, read_variants
from tessera.job import Job, atomic

with Job(snakemake) as job:
    tables, problems = [], []
    for each in job.params.filesets:
        try:
            tables.append(read_variants(Fileset(**each)))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    with atomic(job.output.variants) as place:
        pd.concat(tables, ignore_index=True).to_parquet(place, index=False)
