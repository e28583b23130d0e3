"""The demonstration data of the pipeline: a simulated study as files, and its truth."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tessera.genotypes import write_bed
from tessera.wgr.simulate import simulate


def write_toy(folder: Path, seed: int) -> None:
    """Write genotypes, traits, covariates, burden files and truth into an empty folder."""
    study = simulate(seed)
    write_bed(folder / "cohort", [study.counts], study.people, study.variants)
    _write(folder / "traits.tsv", study.traits, header=True)
    _write(folder / "covariates.tsv", study.covariates, header=True)
    _write(folder / "truth.tsv", study.truth, header=True)
    _write(folder / "annotations.tsv", study.annotations, header=False)
    _write(folder / "sets.tsv", study.sets, header=False)
    _write(folder / "masks.tsv", study.masks, header=False)


def _write(path: Path, table: pd.DataFrame, *, header: bool) -> None:
    table.to_csv(path, sep="\t", index=False, header=header, na_rep="NA", lineterminator="\n")
