"""The plan of a run: how SNPs and permutations are cut into jobs, how much memory and time.

All of it follows from the configuration, the sheet and headers, before any job runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from tessera.config import load_schema
from tessera.errors import InputError, Problem
from tessera.headers import cached_headers
from tessera.sheets import read_sheet
from tessera.tiles import partition

FAN_IN = 32
BLOCK = 512  # SNPs of one product: enough for a BLAS to be at its best; tiles are multiples of it

# Measured (benchmarks/vgwas): multiply-adds per second of one thread, with some reserve, and
# seconds per test beyond them.
_SPEED, _PER_TEST = 3.5e10, 2e-9
_SCAN_SECONDS, _NULL_SECONDS = 30, 300  # of a job of the scan, of one of permutations
_MOST_JOBS = 4000
_BASE_MB = 300
_PAIRS_MB = 120  # of as many pairs as may pass the sieve at a time


def read_study(section: Mapping[str, Any], schemas: Path) -> dict[str, Any]:
    """Find the inputs that the configuration names.

    Parameters
    ----------
    section
        The validated section ``vgwas``.
    schemas
        The folder of the schemas.

    Returns
    -------
    dict
        ``maps``: subject to file; ``filesets``: of the genotypes; ``voxels``: of the mask, those
        above zero.

    Raises
    ------
    InputError
        Keys are missing or do not go together, files are missing, genotype files do not fit one
        another, or more hits are to be expected than allowed.
    """
    # Slow to import, and needed by none of the other pipelines.
    from tessera.genotypes import find_filesets
    from tessera.vgwas.voxels import atlas_files, exists

    problems = [
        Problem("config", f"vgwas.{key}", "nothing is named", "name the input")
        for key in ("genotypes", "images", "mask")
        if section[key] is None
    ]
    apart = section["missing"] == "complete" and section["scheme"] == "freedman-lane"
    if apart and section["permutations"]:
        what = "freedman-lane adjusts a map once for all SNPs, missing: complete for each SNP anew"
        remedy = "set vgwas.scheme to smith, or vgwas.missing to mean"
        problems.append(Problem("config", "vgwas.scheme", what, remedy))
    columns = [section["exchangeability"], section["categorical"], section["covariate_columns"]]
    if section["covariates"] is None and columns not in ([None, [], "all"], [None, [], []]):
        what = "columns are named, but no table"
        problems.append(Problem("config", "vgwas.covariates", what, "name the table"))
    named = {"mask": section["mask"], "covariates": section["covariates"]}
    for place, path in zip(
        ("atlas", "atlas (labels)"), atlas_files(section["atlas"]) or (), strict=False
    ):
        named[place] = path
    for key, path in named.items():
        if path is not None and (problem := exists(path, key)):
            problems.append(problem)
    filesets, maps = [], {}
    try:
        if section["genotypes"] is not None:
            prefixes = section["genotypes"]
            filesets = find_filesets([prefixes] if isinstance(prefixes, str) else prefixes)
    except InputError as error:
        problems += error.problems
    try:
        if section["images"] is not None:
            rows = read_sheet(
                section["images"], load_schema(schemas, "vgwas_images"), key=("subject",)
            )
            maps = {str(row["subject"]): str(row["map"]) for row in rows}
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError(problems)
    voxels = cached_headers([section["mask"]], _count_voxels).get(section["mask"]) or 1
    p, most = section["threshold_p"], section["max_hits"]
    expected = sum(fileset.n_variants for fileset in filesets) * voxels * p
    if expected > most:
        raise InputError(too_many_hits(f"by chance alone {expected:,.0f}", p, most))
    return {"maps": maps, "filesets": filesets, "voxels": voxels}


def too_many_hits(many: str, threshold_p: float, max_hits: float) -> Problem:
    """Tell that there are more hits than allowed."""
    what = f"{many} hits at p <= {threshold_p:g}, where {max_hits:g} are allowed"
    remedy = "lower vgwas.threshold_p, or raise vgwas.max_hits"
    return Problem("config", "vgwas.max_hits", what, remedy)


def _count_voxels(path: str) -> int:
    """Count the voxels of a mask; 1 where it cannot be read, of which the check step tells."""
    import numpy as np

    from tessera import nifti

    try:
        return int(np.count_nonzero(nifti.read(path) > 0))
    except InputError:
        return 1


class Plan:
    """What the rules ask of the plan; methods taking ``wildcards`` are input functions.

    Parameters
    ----------
    section
        The validated section ``vgwas``.
    study
        Returns what `read_study` does; called when it is first needed.
    """

    def __init__(self, section: Mapping[str, Any], study: Callable[[], dict[str, Any]]) -> None:
        self._section = section
        self._study = study

    @cached_property
    def _size(self) -> tuple[int, int, int]:
        """Subjects, SNPs, voxels."""
        study = self._study()
        n_snps = sum(fileset.n_variants for fileset in study["filesets"])
        return len(study["maps"]), n_snps, study["voxels"]

    def strays(self, root: str) -> list[str]:
        """Return folders of earlier runs: there are none, for no folder is named after an item."""
        return []

    def maps(self, wildcards: object = None) -> dict[str, str]:
        """Return the file of each subject's map."""
        return dict(sorted(self._study()["maps"].items()))

    def map_files(self, wildcards: object = None) -> list[str]:
        """Return the files of all maps."""
        return list(self.maps().values())

    def filesets(self, wildcards: object = None) -> list[dict[str, Any]]:
        """Return the genotype filesets as plain mappings."""
        return [asdict(fileset) for fileset in self._study()["filesets"]]

    def genotype_files(self, wildcards: object = None) -> list[str]:
        """Return the files of all genotype filesets."""
        return [file for fileset in self._study()["filesets"] for file in fileset.files]

    def named(self, *keys: str) -> Callable[..., list[str]]:
        """Return an input function: the files that the configuration names under these keys."""

        def files(wildcards: object = None) -> list[str]:
            from tessera.vgwas.voxels import atlas_files

            found: list[str] = []
            for key in keys:
                value = self._section[key]
                found += atlas_files(value) or () if key == "atlas" else [value] if value else []
            return found

        return files

    @cached_property
    def tiles(self) -> dict[str, tuple[int, int, int, int]]:
        """Name to first and last SNP, first and last permutation, of each map job."""
        subjects, n_snps, voxels = self._size
        per_test = subjects / _SPEED + _PER_TEST
        tile = self._section["snp_tile"]
        if tile == "auto":
            seconds = n_snps * voxels * per_test
            jobs = min(math.ceil(seconds / _SCAN_SECONDS), _MOST_JOBS // 8)
            blocks = partition(math.ceil(n_snps / BLOCK), jobs)
            edges = [(BLOCK * a, min(BLOCK * b, n_snps)) for a, b in blocks]
        else:
            edges = partition(n_snps, math.ceil(n_snps / tile))
        scan = {f"s{i}p0": (*edge, 0, 1) for i, edge in enumerate(edges)}
        many = self._section["permutations"]
        each = self._section["permutation_tile"]
        if each == "auto":
            once = n_snps * voxels * per_test / len(edges)
            each = max(1, round(_NULL_SECONDS / once))
            # Twice as many as long as there are too many jobs.
            while math.ceil(many / each) * len(edges) > _MOST_JOBS:
                each *= 2
        # Named by what they hold, and of one length, so that more permutations leave them valid.
        null = {
            f"s{i}p{first}to{last}": (*edge, first, last + 1)
            for first in range(1, many + 1, each)
            for last in [min(first + each - 1, many)]
            for i, edge in enumerate(edges)
        }
        return scan | null

    def settings(self, testing: Mapping[str, Any]) -> Callable[..., dict[str, Any]]:
        """Return a params function: the settings of a map job.

        What a job of its kind does not look at is put to one value, so that a change of it leaves
        the job as it was.
        """

        def of_job(wildcards: Any) -> dict[str, Any]:
            if self.tiles[wildcards.tile][2] == 0:
                return {**testing, "seed": 0, "scheme": "smith"}
            return {**testing, "threshold_p": 1.0, "max_hits": 1.0}

        return of_job

    def tile(self, wildcards: Any) -> list[int]:
        """Return the SNPs and permutations of a map job."""
        return list(self.tiles[wildcards.tile])

    @cached_property
    def _tree(self) -> dict[str, list[str]]:
        """Name of each merged part to those that it is made of; the last one is the whole."""
        level, nodes, depth = [f"map/{name}" for name in self.tiles], {}, 0
        while depth == 0 or len(level) > 1:
            depth += 1
            groups = [level[i : i + FAN_IN] for i in range(0, len(level), FAN_IN)]
            level = []
            for number, group in enumerate(groups):
                nodes[f"{depth}-{number}"] = group
                level.append(f"reduce/{depth}-{number}")
        return nodes

    def parts(self, root: str) -> Callable[..., list[str]]:
        """Return an input function: the parts that a merged one is made of."""
        return lambda wildcards: [f"{root}/{name}" for name in self._tree[wildcards.node]]

    def whole(self, root: str) -> Callable[..., str]:
        """Return an input function: the part that holds everything."""
        return lambda wildcards: f"{root}/reduce/{next(reversed(self._tree))}"

    def check_mb(self, wildcards: object, attempt: int) -> int:
        """Return the memory of the check."""
        return attempt * math.ceil(300 + 0.002 * self._size[0])

    def snps_mb(self, wildcards: object, attempt: int) -> int:
        """Return the memory of a job that holds the table of SNPs."""
        return attempt * math.ceil(450 + 1e-6 * 800 * self._size[1])

    def phenotype_mb(self, wildcards: object, attempt: int) -> int:
        """Return the memory of the phenotype step: two matrices on disk, blocks of them."""
        return attempt * math.ceil(_BASE_MB + 160 + 2 * self._matrix_mb)

    def map_mb(self, wildcards: object, attempt: int) -> int:
        """Return the memory of a map job: the maps, and a block of SNPs in several forms."""
        subjects = self._size[0]
        # Where people are left out of some models the squares of the maps are needed as well.
        matrices = 2 if self._section["missing"] == "complete" else 1
        block = 1e-6 * BLOCK * (45 * subjects + 10_000)
        fixed = _BASE_MB + 110 + _PAIRS_MB
        return attempt * math.ceil(fixed + matrices * self._matrix_mb + block)

    @property
    def _matrix_mb(self) -> float:
        subjects, _, voxels = self._size
        return 4e-6 * subjects * voxels

    def map_minutes(self, wildcards: Any, attempt: int) -> int:
        """Return the wall time of a map job."""
        subjects, _, voxels = self._size
        start, stop, first, last = self.tiles[wildcards.tile]
        tests = (stop - start) * (last - first) * voxels
        return attempt * math.ceil(3 + 2 * tests * (subjects / _SPEED + _PER_TEST) / 60)

    def phenotype_minutes(self, wildcards: object, attempt: int) -> int:
        """Return the wall time of the phenotype step: half a second per map."""
        return attempt * math.ceil(5 + 0.5 * self._size[0] / 60)
