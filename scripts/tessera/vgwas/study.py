"""What every map job loads: the adjusted maps, the covariates, thresholds, neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tessera.pvalues import t_of_p
from tessera.vgwas.exact import Model
from tessera.vgwas.rows import Rules
from tessera.vgwas.voxels import neighbours

Floats = npt.NDArray[np.float64]

SAMPLE = 32  # voxels whose tests are all counted, for lambda and the QQ plot
EDGES = np.linspace(0, 20, 1001)
"""Edges of the bins, in -log10 p, of that count; the last bin holds all beyond."""


@dataclass(frozen=True)
class Settings:
    """How pairs are tested and inferred on; the keys of the section ``vgwas`` of that name."""

    coding: str
    missing: str
    min_mac: float
    max_missing: float
    threshold_p: float
    cluster_p: float
    cluster_t: float | None
    connectivity: int
    scheme: str
    seed: int
    max_hits: float
    engine: str

    @property
    def rules(self) -> Rules:
        """Which SNPs are tested."""
        return Rules(self.coding, self.missing == "complete", self.min_mac, self.max_missing)

    def hit_t(self, df: npt.ArrayLike) -> Floats:
        """Return the least |t| of a hit."""
        return t_of_p(self.threshold_p, df)

    def least_t(self, df: npt.ArrayLike) -> Floats:
        """Return the least |t| of a voxel of a cluster."""
        if self.cluster_t is None:
            return t_of_p(self.cluster_p, df)
        return np.full(np.shape(df), self.cluster_t)


@dataclass(frozen=True)
class Study:
    """A study as the phenotype step left it.

    Attributes
    ----------
    model
        Maps and covariates.
    scale
        (V,) lengths of the adjusted maps in their own unit.
    voxel
        (V,) int32, rows of voxels.parquet.
    blocks
        (N,) exchangeability blocks.
    ijk
        (V, 3) voxel indices.
    genotypes
        (F, N) rows of the subjects in each genotype fileset.
    """

    model: Model
    scale: Floats
    voxel: npt.NDArray[np.int32]
    blocks: npt.NDArray[np.int64]
    ijk: npt.NDArray[np.int64]
    genotypes: npt.NDArray[np.int64]

    @property
    def n(self) -> int:
        """Number of subjects."""
        return self.model.y.shape[1]

    @property
    def df(self) -> int:
        """Degrees of freedom where no genotype is missing."""
        return self.n - len(self.model.basis) - 1

    def before(self, connectivity: int) -> npt.NDArray[np.int32]:
        """Return neighbours, as from `tessera.vgwas.voxels.neighbours`."""
        return neighbours(self.ijk, connectivity)

    @cached_property
    def sample(self) -> npt.NDArray[np.int32]:
        """Voxels, evenly spread, whose tests are all counted."""
        n_voxels = len(self.voxel)
        return np.unique(np.linspace(0, n_voxels - 1, min(SAMPLE, n_voxels)).astype(np.int32))


def save_study(path: Path, study: Study) -> None:
    """Write all of a study but the maps."""
    with path.open("wb") as file:
        np.savez(
            file,
            norm=study.model.norm,
            basis=study.model.basis,
            scale=study.scale,
            voxel=study.voxel,
            blocks=study.blocks,
            ijk=study.ijk,
            genotypes=study.genotypes,
        )


def load_study(path: Path | str, phenotype: Path | str) -> Study:
    """Read a study; its maps stay on disk until they are used."""
    y = np.load(phenotype, mmap_mode="r")
    with np.load(path) as stored:
        model = Model(y, stored["norm"], stored["basis"])
        names = ("scale", "voxel", "blocks", "ijk", "genotypes")
        return Study(model, *(stored[name] for name in names))
