"""PLINK filesets for tests: known bytes, simulated genotypes, and what plink2 makes of them."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tessera import genotypes
from tessera.errors import InputError

needs_plink2 = pytest.mark.skipif(not shutil.which("plink2"), reason="plink2 is not installed")

# Five people, so that the last byte of a variant is three quarters empty; the comments give codes
# from the first person to the last. 00: two copies of a1, 01: missing, 10: one, 11: none.
BED = b"".join(
    (
        b"\x6c\x1b\x01",
        bytes([0b11_10_01_00, 0b00]),  # 00 01 10 11, 00
        bytes([0b00_00_11_11, 0b01]),  # 11 11 00 00, 01
    )
)
BIM = "1\trs1\t0\t100\tA\tG\n23\trs2\t0\t2000\tT\tC\n"
FAM = "".join(f"f{i} p{i} 0 0 0 -9\n" for i in range(5))


def put(prefix, bed=BED, bim=BIM, fam=FAM):
    for suffix, content in (("bed", bed), ("bim", bim), ("fam", fam)):
        content = content if isinstance(content, bytes) else content.encode()
        Path(f"{prefix}.{suffix}").write_bytes(content)
    return str(prefix)


def put_pgen(prefix, pvar, psam="#IID\tSEX\na\tNA\nb\tNA\nc\tNA\n", pgen=b""):
    for suffix, content in (("pgen", pgen), ("pvar", pvar.encode()), ("psam", psam.encode())):
        Path(f"{prefix}.{suffix}").write_bytes(content)
    return str(prefix)


def people(count):
    return pd.DataFrame({"fid": "0", "iid": [f"p{i}" for i in range(count)]})


def snps(count, a1="A", a2="G"):
    table = {"id": [f"rs{i}" for i in range(count)], "chr": "1", "pos": range(1, count + 1)}
    return pd.DataFrame(table | {"a1": a1, "a2": a2})


def simulate(prefix, n_variants, n_samples, seed=0, **alleles):
    """Write a fileset; return its genotypes, int8 with -1 where missing."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(-1, 3, (n_variants, n_samples)).astype(np.int8)
    genotypes.write_bed(prefix, [truth], people(n_samples), snps(n_variants, **alleles))
    return truth


def plink2(*arguments):
    subprocess.run(["plink2", "--silent", *map(str, arguments)], check=True, capture_output=True)


def message(call, *arguments):
    with pytest.raises(InputError) as caught:
        call(*arguments)
    return str(caught.value)
