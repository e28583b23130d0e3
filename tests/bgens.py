"""BGEN files for tests, written by the package's own writer."""

from pathlib import Path

import numpy as np
from bgen import BgenWriter

from tessera.genotypes import ALL_KINDS, GenotypeReader, find_fileset

HARD = np.vstack([np.eye(3), np.full(3, np.nan)])  # 2, 1, 0 copies of the first allele; missing


def variant(chances, name="rs1", chrom="1", pos=1, alleles=("A", "G"), **options):
    ids = {"varid": f"v{pos}", "rsid": name, "chrom": chrom, "pos": pos, "alleles": alleles}
    return ids | {"genotypes": np.array(chances, dtype=float)} | options


def put_bgen(prefix, variants, names=None, index=True, **options):
    """Write a .bgen by the package's own writer, which makes an index as well."""
    n = len(variants[0]["genotypes"])
    names = [f"p{i}" for i in range(n)] if names is None else names
    with BgenWriter(f"{prefix}.bgen", n, samples=names or None, **options) as writer:
        for each in variants:
            writer.add_variant(**each)
    if not index:
        Path(f"{prefix}.bgen.bgi").unlink()
    return f"{prefix}.bgen"


def find(prefix):
    return find_fileset(str(prefix), ALL_KINDS)


def read_all(*filesets, rows=None):
    rows = rows or [np.arange(fileset.n_samples) for fileset in filesets]
    with GenotypeReader(filesets, rows) as reader:
        return reader.read_with_info(0, reader.n_variants)


def some(prefix, n_variants=60, n=7, seed=0, **options):
    """Write random hard calls and return the counts of the first allele."""
    codes = np.random.default_rng(seed).integers(0, 4, (n_variants, n))
    rows = [
        variant(HARD[row], f"rs{i}", f"{1 + i // 20}", i + 1, ("AC", "G"))
        for i, row in enumerate(codes)
    ]
    put_bgen(prefix, rows, **options)
    return np.array([2, 1, 0, np.nan], dtype=np.float32)[codes]
