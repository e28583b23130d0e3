"""The plan of a run: which acquisitions, how many slabs, how much memory and time.

All of it follows from the sheet, the headers and the configuration, before any job runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tessera.config import load_schema
from tessera.errors import InputError, Problem
from tessera.headers import cached_headers
from tessera.neuro.bids import find_acquisitions, unit_name
from tessera.neuro.slabs import fit_memory_mb, fit_seconds, halo_of
from tessera.sheets import read_sheet
from tessera.tiles import parts_for_budget

Row = Mapping[str, Any]


def read_units(section: Mapping[str, Any], schemas: Path) -> dict[str, Row]:
    """Read the acquisitions that the configuration names.

    Parameters
    ----------
    section
        The validated section ``neuro``.
    schemas
        The folder of the schemas.

    Returns
    -------
    dict
        Folder name (``sub-01`` or ``sub-01/ses-1``) to the row of the sheet.

    Raises
    ------
    InputError
        If neither ``subjects`` nor ``bids`` is set, or what is named is at fault.
    """
    sheet, bids = section["subjects"], section["bids"]
    if bids is not None:
        rows: list[Row] = [*find_acquisitions(bids)]
    elif sheet is None:
        remedy = "set neuro.subjects (a sheet) or neuro.bids (a dataset)"
        raise InputError(Problem("config", "neuro", "nothing to work on", remedy))
    else:
        schema = load_schema(schemas, "neuro_subjects")
        rows = [*read_sheet(sheet, schema, key=("subject", "session"))]
        bare = [row["subject"] for row in rows if not row.get("mask")]
        if section["mask"]["method"] == "file" and bare:
            remedy = "fill the column, or set neuro.mask.method to otsu"
            raise InputError(
                Problem(sheet, f"subject {name}, column mask", "no mask", remedy) for name in bare
            )
    return {unit_name(row["subject"], row.get("session")): row for row in rows}


def _shape(path: str) -> list[int] | None:
    """Shape of a 4-D image; None for anything else, which the check step will tell about."""
    from tessera.nifti import read_header  # slow to import, and seldom needed: headers are cached

    try:
        shape = read_header(path).shape
    except InputError:
        return None
    return [int(n) for n in shape] if len(shape) == 4 and min(shape) > 0 else None


class Plan:
    """What the rules ask of the plan; methods taking ``wildcards`` are input functions.

    Parameters
    ----------
    section
        The validated section ``neuro``, any preset applied.
    memory_mb
        Memory that one slab job may use, in megabytes.
    threads
        Threads of a slab job.
    units
        Returns the acquisitions; called when they are first needed.
    """

    def __init__(
        self,
        section: Mapping[str, Any],
        memory_mb: int,
        threads: int,
        units: Callable[[], dict[str, Row]],
    ) -> None:
        self._section = section
        self._memory_mb = memory_mb
        self._threads = threads
        self._units = units
        self._shapes: dict[str, list[int] | None] | None = None

    @property
    def units(self) -> list[str]:
        """Folder names of all acquisitions."""
        return list(self._units())

    def rows(self, wildcards: object = None) -> list[dict[str, Any]]:
        """Return the sheet as plain rows, with the folder name of each."""
        return [{"unit": unit, **row} for unit, row in self._units().items()]

    def files(self, wildcards: object = None) -> list[str]:
        """Return every input file of every acquisition."""
        columns = ("dwi", "bval", "bvec", "mask")
        rows = [row for row in self._units().values() if not row.get("problems")]
        return [row[c] for row in rows for c in columns if row.get(c)]

    def row(self, wildcards: Any) -> dict[str, Any]:
        """Return the row of one acquisition."""
        units = self._units()
        if wildcards.unit not in units:
            remedy = f"ask for one of {', '.join(list(units)[:5])}"
            raise InputError(Problem(wildcards.unit, "", "no such acquisition", remedy))
        return dict(units[wildcards.unit])

    def strays(self, root: str) -> list[str]:
        """Return folders of earlier runs under ``root`` that belong to no row of the sheet."""
        known = {unit.split("/")[0] for unit in self.units}
        return sorted(path.name for path in Path(root).glob("sub-*") if path.name not in known)

    def of_units(self, root: str, name: str) -> Callable[..., list[str]]:
        """Return an input function: this file of every acquisition."""
        return lambda wildcards: [f"{root}/{unit}/{name}" for unit in self.units]

    def of_slabs(self, root: str, name: str) -> Callable[..., list[str]]:
        """Return an input function: the files of all slabs; ``name`` holds ``{slab}``."""
        return lambda wildcards: [
            f"{root}/{wildcards.unit}/{name.format(slab=slab)}" for slab in self.slabs(wildcards)
        ]

    def file(self, column: str) -> Callable[..., str | list[str]]:
        """Return an input function: an acquisition's file of this column, if there is one."""

        def named(wildcards: Any) -> str | list[str]:
            row = self.row(wildcards)
            # What has problems of its own is set aside without its files being looked at.
            return [] if row.get("problems") else row.get(column) or []

        return named

    def shape(self, wildcards: Any) -> tuple[int, int, int, int]:
        """Return (volumes, z, y, x) from the header; ones where it cannot be read."""
        if self._shapes is None:
            self._shapes = cached_headers([row["dwi"] for row in self._units().values()], _shape)
        x, y, z, volumes = self._shapes.get(self.row(wildcards)["dwi"]) or (1, 1, 1, 1)
        return volumes, z, y, x

    def slabs(self, wildcards: Any) -> list[str]:
        """Return the names of the slabs, ``00of03`` and so on."""
        volumes, z, _, _ = self.shape(wildcards)
        slabs = self._section["slabs"]
        if slabs == "auto":
            fixed, per_slice = self._fit_memory(wildcards)
            slabs = parts_for_budget(z, fixed, per_slice, self._memory_mb)
            # A slab thinner than its halos would be mostly halo: rather over the budget, and
            # said so in the job's mem_mb, than the same slices denoised again and again.
            halo = halo_of(self._section["denoise"], volumes)
            slabs = min(slabs, math.ceil(z / max(1, 2 * halo)))
        slabs = min(slabs, z)
        width = len(str(slabs))
        return [f"{i:0{width}}of{slabs}" for i in range(slabs)]

    def _fit_memory(self, wildcards: Any) -> tuple[float, float]:
        section = self._section
        return fit_memory_mb(
            self.shape(wildcards), section["denoise"], self._threads, section["keep_denoised"]
        )

    def _volume_mb(self, wildcards: Any) -> float:
        return math.prod(self.shape(wildcards)[1:]) * 4e-6

    def import_mb(self, wildcards: Any, attempt: int) -> int:
        """Return the memory of an import job: a few volumes in double precision."""
        return attempt * math.ceil(160 + 7 * self._volume_mb(wildcards))

    def mask_mb(self, wildcards: Any, attempt: int) -> int:
        """Return the memory of a mask job."""
        return attempt * math.ceil(200 + 13 * self._volume_mb(wildcards))

    def noise_mb(self, wildcards: Any, attempt: int) -> int:
        """Return the memory of a noise job: the slices of a patch in all volumes, some volumes."""
        volumes, z, _, _ = self.shape(wildcards)
        slice_mb = self._volume_mb(wildcards) / z * volumes
        return attempt * math.ceil(250 + 9 * slice_mb + 11 * self._volume_mb(wildcards))

    def fit_mb(self, wildcards: Any, attempt: int) -> int:
        """Return the memory of a slab job: see `tessera.neuro.slabs.fit_memory_mb`."""
        fixed, per_slice = self._fit_memory(wildcards)
        return attempt * math.ceil(fixed + per_slice * self._slices(wildcards))

    def _slices(self, wildcards: Any) -> int:
        _, z, _, _ = self.shape(wildcards)
        return math.ceil(z / int(wildcards.slab.split("of")[1]))

    def maps_mb(self, wildcards: Any, attempt: int) -> int:
        """Return the memory of a gather job: all maps of the brain, and a volume or two."""
        return attempt * math.ceil(180 + 30 * self._volume_mb(wildcards))

    def qc_mb(self, wildcards: Any, attempt: int) -> int:
        """Return the memory of a report job."""
        return attempt * math.ceil(220 + 22 * self._volume_mb(wildcards))

    def minutes(self, wildcards: Any, attempt: int) -> int:
        """Return the wall time of a step over the whole series: 2 minutes and 0.8 us a sample."""
        return attempt * math.ceil(2 + math.prod(self.shape(wildcards)) * 0.8e-6 / 60)

    def fit_minutes(self, wildcards: Any, attempt: int) -> int:
        """Return the wall time of a slab job: see `tessera.neuro.slabs.fit_seconds`."""
        seconds = fit_seconds(
            self.shape(wildcards), self._section["denoise"], self._slices(wildcards)
        )
        return attempt * math.ceil(2 + seconds / 60)
