"""Maps of t of single SNPs, and the names of their files."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tessera.vgwas.exact import correlations, t_of_r
from tessera.vgwas.rows import make_rows
from tessera.vgwas.study import Settings, Study
from tessera.vgwas.voxels import Grid


def t_maps(
    study: Study, settings: Settings, grid: Grid, dosages: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return the t of every voxel.

    Parameters
    ----------
    study, settings
        Maps, covariates and model.
    grid
        Of the mask.
    dosages
        (S, N) copies of the counted allele of SNPs that can be tested.

    Returns
    -------
    (S, Z, Y, X); 0 outside the voxels that are tested.
    """
    rows, _ = make_rows(dosages, np.zeros(len(dosages), bool), study.model.basis, settings.rules)
    volumes = np.zeros((len(dosages), *grid.shape[::-1]), np.float32)
    every = np.arange(len(study.voxel), dtype=np.int32)
    for s, place in enumerate(rows.place):
        r = correlations(rows, study.model, np.full(len(every), s, np.int32), every)
        t = t_of_r(r, np.full(len(every), rows.df[s]))
        volumes[place].reshape(-1)[grid.flat[study.voxel]] = t
    return volumes


def file_names(ids: Sequence[str]) -> list[str]:
    """Return a file name for each SNP: its id, what may not be in a name replaced, none twice."""
    names: list[str] = []
    for snp in ids:
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", snp).strip("-")[:100] or "snp"
        name, number = f"{stem}_t.nii.gz", 1
        while name.casefold() in (other.casefold() for other in names):
            number += 1
            name = f"{stem}-{number}_t.nii.gz"
        names.append(name)
    return names
