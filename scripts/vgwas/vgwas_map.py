"""Test a range of SNPs against all voxels, as observed or under a range of permutations."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import pandas as pd

from tessera.genotypes import Fileset, GenotypeReader
from tessera.job import Job, atomic
from tessera.vgwas.parts import write_null, write_scan
from tessera.vgwas.plan import BLOCK
from tessera.vgwas.scan import Mapper
from tessera.vgwas.study import Settings, load_study

with Job(snakemake) as job:
    start, stop, first, last = job.params.tile
    study = load_study(job.input.study, job.input.phenotype)
    mapper = Mapper(study, Settings(**job.params.settings))
    multiallelic = pd.read_parquet(job.input.variants, columns=["multiallelic"])
    flags = multiallelic["multiallelic"].to_numpy(bool)
    filesets = [Fileset(**each) for each in job.params.filesets]
    with (
        GenotypeReader(filesets, study.genotypes) as reader,
        atomic(job.output.part, folder=True) as folder,
    ):
        edges = [(a, min(a + BLOCK, stop)) for a in range(start, stop, BLOCK)]
        blocks = ((a, reader.read(a, b), flags[a:b]) for a, b in job.progress(edges, "SNPs"))
        if first == 0:
            write_scan(folder, mapper.scan(blocks))
        else:
            write_null(folder, mapper.null(blocks, range(first, last)))
