"""Turn a VCF, which cannot be read from the middle, into a PLINK 2 fileset."""

import os
import sys

sys.path.insert(0, os.environ["TESSERA_LIBRARY"])

from tessera.job import Job, atomic
from tessera.vcf_files import convert_vcf

with Job(snakemake) as job, atomic(job.output.fileset, folder=True) as folder:
    convert_vcf(job.input.vcf, str(folder / "fileset"), job.params.n_variants)
