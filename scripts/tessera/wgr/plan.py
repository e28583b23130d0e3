"""The plan of a run: blocks, chunks, memory, time, and a forecast of them all.

All of it follows from the configuration and from headers, before any job runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cached_property
from typing import Any

from tessera.tiles import partition

_BASE_MB = 260  # Python with its libraries

# Measured (benchmarks/wgr), with some reserve: operations per second of one thread.
_SYRK, _CHOLESKY, _DGEMM = 6e10, 3e10, 1.5e10
_READ = 3e8  # genotypes read per second
_CHUNK_SECONDS = 120
_MOST_CHUNKS = 4000
_MOST_FACTORED = 10  # times as many people as make sums cost what factors do
_MOST_RESULTS = 3_000_000  # tests of a job of step 2, of 64 bytes each, which it holds at a time
SETS = 200
"""Sets of a job that makes burden masks."""


def read_study(section: Mapping[str, Any], converted: str) -> dict[str, Any]:
    """Find the inputs, by what no other pipeline needs to import."""
    from tessera.wgr.inputs import read_inputs

    return read_inputs(section, converted)


def kept_always(size: int, folds: int, grid: int, traits: int, each: int) -> int:
    """Return the bytes that a block keeps: sums, of `each` bytes, and coefficients of traits."""
    return folds * (each * size * (size + 1) // 2 + 8 * grid * size * traits) + 64 * 8 * size


def kept_factors(size: int, folds: int, grid: int) -> int:
    """Return the bytes that a block keeps of one set of people: matrices and their factors."""
    return folds * (8 + 4 * grid) * size * (size + 1) // 2


class Plan:
    """What the rules ask of the plan; methods taking ``wildcards`` are input functions.

    Parameters
    ----------
    section
        The validated section ``wgr``.
    study
        Returns what `read_inputs` does; called when it is first needed.
    """

    def __init__(self, section: Mapping[str, Any], study: Callable[[], dict[str, Any]]) -> None:
        self._section = section
        self._study = study

    def strays(self, root: Any) -> list[str]:
        """Return results of earlier runs that belong to no trait of this one."""
        known = {f"{trait}.loco" for trait in self.traits()}
        return [
            f"loco/{path.name}"
            for path in sorted(root.glob("loco/*.loco"))
            if path.name not in known
        ]

    def traits(self, wildcards: object = None) -> list[str]:
        """Return the names of the traits that are asked for."""
        return list(self._study()["traits"])

    def filesets(self, step: str) -> Callable[..., list[dict[str, Any]]]:
        """Return a params function: genotype filesets of a step as plain mappings."""
        return lambda wildcards=None: [asdict(each) for each in self._study()[step]]

    def genotype_files(self, *steps: str) -> Callable[..., list[str]]:
        """Return an input function: the files of the genotypes of some steps."""

        def files(wildcards: object = None) -> list[str]:
            study = self._study()
            found: list[str] = []
            for each in (each for step in steps for each in study[step]):
                # What is turned into a fileset comes as a folder.
                own = study["folders"].get(each.prefix)
                found += [own] if own else each.files
            return list(dict.fromkeys(found))

        return files

    def tables(self, wildcards: object = None) -> list[str]:
        """Return the tables that the configuration names."""
        keys = ("phenotypes", "covariates", "keep", "remove")
        return [self._section[key] for key in keys if self._section[key]]

    def burden_tables(self, wildcards: object = None) -> list[str]:
        """Return the tables of the burden tests."""
        burden = self._section["burden"]
        return [burden[key] for key in ("annotations", "sets", "masks")] if burden else []

    def vcf(self, wildcards: Any) -> str:
        """Return the VCF that is turned into a fileset."""
        return str(self._study()["vcfs"][wildcards.vcf])

    def vcf_variants(self, wildcards: Any) -> int:
        """Return how many variants the VCF holds."""
        study = self._study()
        return next(
            int(each.n_variants)
            for each in [*study["step1"], *study["step2"]]
            if study["folders"].get(each.prefix, "").endswith(f"/{wildcards.vcf}")
        )

    @cached_property
    def blocks(self) -> dict[str, tuple[int, int]]:
        """Name of each block to its chromosome and its number there, from 0.

        Variants that are dropped later may leave the last block of a chromosome empty.
        """
        size = self._section["block_size"]
        return {
            f"c{chromosome:02d}b{number + 1:05d}": (chromosome, number)
            for chromosome, spans in self._study()["spans1"].items()
            for number in range(math.ceil(sum(b - a for a, b in spans) / size))
        }

    def block(self, wildcards: Any) -> list[int]:
        """Return chromosome and number of a block."""
        return list(self.blocks[wildcards.block])

    def block_files(self, root: str) -> Callable[..., list[str]]:
        """Return an input function: the predictions of all blocks."""
        return lambda wildcards=None: [f"{root}/{name}.npy" for name in self.blocks]

    @cached_property
    def chunks(self) -> dict[str, tuple[int, int, int]]:
        """Name of each job of step 2 to chromosome, first and last + 1 variant, or set."""
        study, size = self._study(), self._section["chunk_size"]
        if size == "auto":
            per_variant = self._people * (self._columns / _DGEMM + 1 / _READ)
            total = sum(b - a for spans in study["spans2"].values() for a, b in spans)
            jobs = min(max(1, total * per_variant / _CHUNK_SECONDS), _MOST_CHUNKS)
            held = _MOST_RESULTS // max(1, len(self.traits()))
            size = max(2000, min(math.ceil(total / jobs), held))
        named: dict[str, tuple[int, int, int]] = {}
        for chromosome, spans in study["spans2"].items():
            pieces = [
                (start + a, start + b)
                for start, stop in spans
                for a, b in partition(stop - start, math.ceil((stop - start) / size))
            ]
            for number, (a, b) in enumerate(pieces, 1):
                named[f"c{chromosome:02d}k{number:05d}"] = (chromosome, a, b)
        for chromosome, many in study["sets"].items():
            for number, (a, b) in enumerate(partition(many, math.ceil(many / SETS)), 1):
                named[f"c{chromosome:02d}m{number:05d}"] = (chromosome, a, b)
        return named

    def chunk(self, wildcards: Any) -> list[int]:
        """Return chromosome and range of a job of step 2."""
        return list(self.chunks[wildcards.chunk])

    def burden_of_chunk(self, checked: str) -> Callable[..., list[str]]:
        """Return an input function: the files of burden tests, if a job of step 2 makes some."""
        return lambda wildcards: [checked, *self.burden_tables()] if "m" in wildcards.chunk else []

    def chunk_files(self, root: str) -> Callable[..., list[str]]:
        """Return an input function: the results of all jobs of step 2."""
        return lambda wildcards=None: [f"{root}/{name}" for name in self.chunks]

    @property
    def _people(self) -> int:
        return int(self._study()["people"])

    @property
    def _columns(self) -> int:
        """Columns that a variant is multiplied with in step 2."""
        traits, covariates = len(self.traits()), self._study()["covariates"] + 1
        if self._section["trait_type"] == "bt":
            return traits * (covariates + 2)
        return covariates + 16 * math.ceil(traits / 16)

    def prep_mb(self, wildcards: object, attempt: int) -> int:
        """Return the memory of the first steps: tables, and a block of genotypes."""
        study = self._study()
        cells = self._people * (len(self.traits()) + study["covariates"] + 20)
        variants = sum(each.n_variants for each in study["step1"])
        return attempt * math.ceil(
            _BASE_MB + 100e-6 * cells + 400e-6 * variants + self._read_mb(256)
        )

    def prep_minutes(self, wildcards: object, attempt: int) -> int:
        """Return the wall time of the first steps."""
        study = self._study()
        genotypes = self._people * sum(each.n_variants for each in study["step1"])
        seconds = genotypes * (1 / _READ + 2 * (study["covariates"] + 1) / _DGEMM)
        return attempt * math.ceil(5 + seconds / 60)

    def _read_mb(self, variants: float) -> float:
        """Return the memory of genotypes in single precision, of all people and of some."""
        return 8e-6 * variants * self._people

    def level0_mb(self, wildcards: object, attempt: int) -> int:
        """Return the memory of a block: genotypes, matrices, coefficients, predictions."""
        size = self._block_size
        grid, traits, folds = len(self._section["h2_grid"]), len(self.traits()), self._folds
        matrices = (7 + 1.5 * folds) * 8e-6 * size**2
        if self._section["keep_sums"]:  # files that are mapped
            matrices = max(matrices, (32 + folds * (4 + 2 * grid)) * 1e-6 * size**2)
        coefficients = 3 * 8e-6 * folds * grid * size * traits
        out = 8e-6 * self._people * (grid * 20 + 2 * traits)
        tile = 16e-6 * 2048 * size
        return attempt * math.ceil(
            _BASE_MB + self._read_mb(size) + matrices + coefficients + out + tile
        )

    def kept_mb(self, wildcards: object = None) -> int:
        """Return what a job of level 0 may leave for that of the next run; 0, nothing."""
        if not self._section["keep_sums"]:
            return 0
        size, folds, grid = self._block_size, self._folds, len(self._section["h2_grid"])
        traits = len(self.traits())
        each = 2 if self._people / folds < 2**14 else 4
        kept = kept_always(size, folds, grid, traits, each) + 8 * self._people * 4
        # Of one set of people, that of the most traits. Where sums take much longer than factors,
        # these are not worth their place.
        if self._people < _MOST_FACTORED * folds * grid * size / 3:
            kept += kept_factors(size, folds, grid)
        return math.ceil(1e-6 * kept)

    @property
    def _block_size(self) -> int:
        return min(int(self._section["block_size"]), self._most_in_a_block)

    @property
    def _folds(self) -> int:
        """Folds of level 0, where `loocv` has one sum over all people."""
        return 1 if self._section["folds"] == "loocv" else int(self._section["folds"])

    @property
    def _most_in_a_block(self) -> int:
        spans = self._study()["spans1"].values()
        return max((sum(b - a for a, b in each) for each in spans), default=1)

    def level0_seconds(self) -> float:
        """Return the time of one full block."""
        size, folds = self._block_size, self._folds
        grid, people = len(self._section["h2_grid"]), self._people
        traits = 16 * math.ceil(len(self.traits()) / 16)
        alone = self._section["folds"] == "loocv"
        seconds = size * people / _READ + people * size**2 / _SYRK
        seconds += folds * grid * size**3 / 3 / _CHOLESKY
        seconds += 2 * people * size * (grid * traits + size * alone) / _DGEMM
        return seconds

    def level0_minutes(self, wildcards: object, attempt: int) -> int:
        """Return the wall time of a block."""
        return attempt * math.ceil(3 + 3 * self.level0_seconds() / 60)

    @property
    def _features(self) -> int:
        return len(self.blocks) * len(self._section["h2_grid"])

    def level1_mb(self, wildcards: object, attempt: int) -> int:
        """Return the memory of level 1: a matrix for each fold, a tile of people."""
        folds = 5 if self._section["folds"] == "loocv" else int(self._section["folds"])
        matrices = 8e-6 * self._features**2 * (folds + 4)
        tile = 4 * 8e-6 * 2048 * self._features
        return attempt * math.ceil(_BASE_MB + matrices + tile + 200e-6 * self._people)

    def level1_minutes(self, wildcards: object, attempt: int) -> int:
        """Return the wall time of level 1; of a binary trait, some ten iterations of each fit."""
        times = 1.0
        if self._section["trait_type"] == "bt":
            times = 10.0 * self._folds * len(self._section["h2_grid"])
        seconds = times * (
            self._people * self._features**2 / _DGEMM + 8 * self._people * self._features / 1e9
        )
        return attempt * math.ceil(3 + 2 * seconds / 60)

    def assoc_mb(self, wildcards: Any, attempt: int) -> int:
        """Return the memory of a job of step 2: models of all traits, a panel of variants."""
        per_person = 8 * (3 * len(self.traits()) + self._columns + 3 * self._study()["covariates"])
        _, start, stop = self.chunks[wildcards.chunk]
        out = 20 * 8e-6 * (stop - start) * len(self.traits())
        held = self._read_mb(256 if "m" not in wildcards.chunk else 8 * SETS)
        return attempt * math.ceil(_BASE_MB + 1e-6 * per_person * self._people + out + held)

    def assoc_minutes(self, wildcards: Any, attempt: int) -> int:
        """Return the wall time of a job of step 2."""
        _, start, stop = self.chunks[wildcards.chunk]
        seconds = (stop - start) * self._people * (self._columns / _DGEMM + 1 / _READ)
        corrected = self._section["trait_type"] == "bt" and self._section["test"] != "score"
        if corrected:
            share = min(1.0, 1.2 * self._section["firth_p"])
            seconds += (stop - start) * len(self.traits()) * share * self._people * 4e-7
        return attempt * math.ceil(5 + 3 * seconds / 60)

    def merge_mb(self, wildcards: object, attempt: int) -> int:
        """Return the memory of putting chunks together, one after the other, and of pictures."""
        largest = max((b - a for _, a, b in self.chunks.values()), default=1)
        tests = sum(b - a for _, a, b in self.chunks.values())
        fields = 8 * 8e-6 * largest * len(self.traits())
        return attempt * math.ceil(_BASE_MB + 150 + fields + 1500e-6 * largest + 60e-6 * tests)

    def merge_minutes(self, wildcards: object, attempt: int) -> int:
        """Return the wall time of writing a trait's tables."""
        tests = sum(b - a for _, a, b in self.chunks.values())
        return attempt * math.ceil(3 + 2 * tests / 1e5 / 60)

    def forecast(self) -> list[str]:
        """Tell what the run will take: jobs, memory, time, disk."""
        people, traits = self._people, len(self.traits())
        variants = sum(b - a for spans in self._study()["spans1"].values() for a, b in spans)
        tests = sum(b - a for _, a, b in self.chunks.values())
        hours0 = len(self.blocks) * self.level0_seconds() / 3600
        per_variant = people * (self._columns / _DGEMM + 1 / _READ)
        hours2 = tests * per_variant / 3600
        name = next(iter(self.chunks), None)
        scratch = 8e-9 * people * traits * self._features
        results = 1e-9 * tests * traits * 8 * 8
        lines = [
            f"{people:,} people, {traits} traits, {variants:,} variants of step 1, "
            f"{tests:,} of step 2",
            f"level 0: {len(self.blocks):,} jobs, {self.level0_mb(None, 1):,} MB each, "
            f"about {hours0:.1f} hours of CPU; scratch {scratch:,.1f} GB, "
            f"kept for the next run up to {1e-3 * len(self.blocks) * self.kept_mb():,.1f} GB",
            f"level 1: {traits} jobs, {self.level1_mb(None, 1):,} MB each",
        ]
        if name is not None:
            wanted = type("Wildcards", (), {"chunk": name})
            lines.append(
                f"step 2: {len(self.chunks):,} jobs, {self.assoc_mb(wildcards=wanted, attempt=1):,}"
                f" MB each, about {hours2:.1f} hours of CPU; scratch {results:,.1f} GB"
            )
        return lines
