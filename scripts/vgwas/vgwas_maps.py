"""Maps of t of the SNPs that are beyond chance, and of the strongest."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

import json
from pathlib import Path

from tessera import nifti
from tessera.genotypes import Fileset, GenotypeReader
from tessera.job import Job, atomic
from tessera.vgwas.maps import t_maps
from tessera.vgwas.study import Settings, load_study
from tessera.vgwas.voxels import read_grid

with Job(snakemake) as job:
    study = load_study(job.input.study, job.input.phenotype)
    grid = read_grid(job.input.mask)
    inference = json.loads(Path(job.input.inference).read_text(encoding="utf-8"))
    filesets = [Fileset(**each) for each in job.params.filesets]
    with (
        GenotypeReader(filesets, study.genotypes) as reader,
        atomic(job.output.maps, folder=True) as folder,
    ):
        settings = Settings(**job.params.settings)
        for lead in job.progress(inference["leads"], "SNPs"):
            volume = t_maps(study, settings, grid, reader.read(lead["snp"], lead["snp"] + 1))[0]
            nifti.write(folder / lead["map"], volume, grid.affine)
