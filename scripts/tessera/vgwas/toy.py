"""The demonstration data of the pipeline: a small study, its files, its faults and its truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tessera import nifti
from tessera.genotypes import write_bed
from tessera.vgwas.simulate import (
    AFFINE,
    REGIONS,
    Effect,
    Genotypes,
    Roster,
    make_brain,
    make_covariates,
    make_genotypes,
    make_maps,
    make_roster,
    plant_effects,
    stream,
)

_CHUNK = 512  # variants


def write_toy(folder: Path, prefix: str, seed: int) -> str:
    """Write genotypes, covariates, maps, mask, atlas and truth.

    Parameters
    ----------
    folder
        An empty folder to fill.
    prefix
        The folder's name as the sheet beside it says it.
    seed
        Of the study.

    Returns
    -------
    str
        The images sheet.
    """
    roster = make_roster(seed)
    genotypes = make_genotypes(seed, roster)
    covariates = make_covariates(seed, roster, genotypes)
    mask, atlas = make_brain()
    effects = plant_effects(genotypes, mask)
    # Three files in three orders, so that only names can join them.
    rng = stream(seed, 0, 4)

    _write_genotypes(folder / "cohort", roster, genotypes, rng)
    nifti.write(folder / "mask.nii.gz", mask, AFFINE)
    nifti.write(folder / "atlas.nii.gz", atlas, AFFINE)
    names = pd.DataFrame({"index": range(1, len(REGIONS) + 1), "name": REGIONS})
    _write_table(folder / "atlas.tsv", names)
    _write_table(folder / "truth.tsv", truth_table(genotypes, effects))

    known = covariates.copy()
    known.loc[roster.ageless, ["age", "age_months"]] = np.nan
    _write_table(
        folder / "covariates.tsv", known.iloc[rng.permutation(np.flatnonzero(roster.described))]
    )

    shifted = AFFINE.copy()
    shifted[:3, 3] += 4
    for person, image in enumerate(make_maps(seed, covariates, genotypes, effects, mask)):
        if roster.mapped[person]:
            affine = shifted if person == roster.shifted else AFFINE
            nifti.write(folder / f"m_{roster.names[person]}.nii.gz", image, affine)
    subjects = roster.names[rng.permutation(np.flatnonzero(roster.mapped))]
    rows = ["subject\tmap", *(f"{name}\t{prefix}/m_{name}.nii.gz" for name in subjects)]
    return "\n".join(rows) + "\n"


def truth_table(genotypes: Genotypes, effects: list[Effect]) -> pd.DataFrame:
    """Return what was planted, and which variants are bad.

    Parameters
    ----------
    genotypes, effects
        Of the study.

    Returns
    -------
    pandas.DataFrame
        ``effect`` and ``snp``; of planted effects also the ``sign`` of ``a1``, the centre (voxel
        indices ``i``, ``j``, ``k`` along x, y, z), ``n_voxels``, and ``r``, the correlation in
        each of these, covariates apart. The ``effect`` of a bad variant is ``bad:`` and its fault.
    """
    ids = genotypes.variants["id"]
    rows: list[dict[str, object]] = []
    for effect in effects:
        k, j, i = map(int, effect.voxels[:, 0])
        rows.append(
            {
                **{"effect": effect.name, "snp": ids[effect.variant]},
                **{"sign": int(np.sign(effect.r)), "i": i, "j": j, "k": k},
                **{"n_voxels": effect.voxels.shape[1], "r": effect.r},
            }
        )
    rows += [{"effect": f"bad:{what}", "snp": ids[s]} for what, s in genotypes.bad.items()]
    return pd.DataFrame(rows).astype(dict.fromkeys(("sign", *"ijk", "n_voxels"), "Int64"))


def _write_genotypes(
    prefix: Path, roster: Roster, genotypes: Genotypes, rng: np.random.Generator
) -> None:
    order = rng.permutation(np.flatnonzero(roster.genotyped))
    names = roster.names[order]
    calls = genotypes.calls[:, order]
    chunks = (calls[start : start + _CHUNK] for start in range(0, len(calls), _CHUNK))
    samples = pd.DataFrame({"fid": names, "iid": names})
    write_bed(prefix, chunks, samples, genotypes.variants)


def _write_table(place: Path, table: pd.DataFrame) -> None:
    table.to_csv(place, sep="\t", index=False, na_rep="n/a", lineterminator="\n")
