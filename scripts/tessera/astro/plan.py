"""The plan of a run: which exposure touches which patch, how much memory and time.

All of it follows from the sheet, the headers and the configuration, before any pixel is read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from tessera.errors import InputError, Problem
from tessera.headers import cached_headers

Record = Mapping[str, Any]

# Megabytes, and bytes per pixel, that jobs were measured to take (benchmarks/astro/memory.py).
BASE_MB = 230
CLEAN_BYTES = 40
PATCH_BYTES = 32
STACK_BYTES = 15
DETECT_BYTES = 44
PICTURE_BYTES = 30


def read_survey(section: Mapping[str, Any], schemas: Path) -> dict[str, Any]:
    """Read what the sheet and the headers say, and what the sky map makes of it.

    Parameters
    ----------
    section
        The validated section ``astro``.
    schemas
        The folder of the schemas.

    Returns
    -------
    dict
        ``visits``: name to file; ``headers``: name to what the headers say; ``skymap``;
        ``patches``: name to {visit: names of its detectors that touch it}.

    Raises
    ------
    InputError
        If sheet, sky map, apertures or pattern are at fault, an exposure has no zero point, or
        neither a variance nor gain and read noise, or no exposure falls onto the sky map.
    """
    # Slow to import, and needed by none of the other pipelines.
    import numpy as np

    from tessera.astro.skymap import make_skymap
    from tessera.astro.visits import header_reader, list_visits
    from tessera.astro.wcsheader import celestial

    radii = section["detect"]["apertures"]
    if sorted(set(radii)) != radii:
        what = f"the radii {radii} do not increase"
        place = "astro.detect.apertures"
        raise InputError(Problem("config", place, what, "list them from the smallest up"))
    visits = list_visits(section["visits"], schemas)
    skymap = make_skymap(section["skymap"])
    reference = section["reference_catalogue"]
    if reference is not None and not Path(reference).is_file():
        remedy = "correct astro.reference_catalogue, or set it to null"
        raise InputError(Problem(reference, "", "the reference catalogue does not exist", remedy))
    read = cached_headers(list(visits.values()), header_reader(section))
    headers = {visit: read[path] for visit, path in visits.items()}
    stops = [Problem(**stop) for header in headers.values() for stop in header["stops"]]
    if stops:
        raise InputError(stops)
    sound = [
        (visit, ccd["ccd"], np.array(ccd["border"]))
        for visit, header in headers.items()
        for ccd in header["ccds"]
        if not ccd["problem"]
    ]
    if not sound:
        aside = [header["problem"] for header in headers.values()]
        aside += [ccd["problem"] for header in headers.values() for ccd in header["ccds"]]
        raise InputError([Problem(**problem) for problem in aside if problem])
    patches: dict[str, dict[str, list[str]]] = {}
    touched = skymap.touched([border for _, _, border in sound])
    for (visit, ccd, _), names in zip(sound, touched, strict=True):
        for name in names:
            patches.setdefault(name, {}).setdefault(visit, []).append(ccd)
    if not patches:
        ra, dec = celestial(np.concatenate([border for _, _, border in sound]).mean(0))
        what = "no exposure falls onto the sky map"
        remedy = f"the exposures lie around ra {ra:.4f}, dec {dec:.4f} deg: correct the grid"
        raise InputError(Problem("config", "astro.skymap", what, remedy))
    ordered = sorted(patches, key=lambda name: skymap.window(name)[::2])
    return {
        "visits": visits,
        "headers": headers,
        "skymap": skymap,
        "patches": {name: patches[name] for name in ordered},
    }


class Plan:
    """What the rules ask of the plan; methods taking ``wildcards`` are input functions.

    Parameters
    ----------
    section
        The validated section ``astro``.
    memory_mb
        Memory that one job may use, in megabytes.
    threads
        Threads of a cleaning or co-adding job.
    survey
        Returns what `read_survey` does; called when it is first needed.
    """

    def __init__(
        self,
        section: Mapping[str, Any],
        memory_mb: int,
        threads: int,
        survey: Callable[[], dict[str, Any]],
    ) -> None:
        self._section = section
        self._memory_mb = memory_mb
        self._threads = threads
        self._survey = survey

    @cached_property
    def visits(self) -> dict[str, str]:
        """Name of a visit to its file."""
        return dict(self._survey()["visits"])

    @cached_property
    def patches(self) -> dict[str, dict[str, list[str]]]:
        """Name of a patch to the detectors of each visit that touch it."""
        return dict(self._survey()["patches"])

    def ccds(self, visit: str) -> list[Record]:
        """Return the records of a visit's detectors."""
        return list(self._survey()["headers"][visit]["ccds"])

    def files(self, wildcards: object = None) -> list[str]:
        """Return the files of all visits that are there."""
        return list(self.visits.values())

    def file(self, wildcards: Any) -> str:
        """Return the file of a visit."""
        if wildcards.visit not in self.visits:
            raise KeyError(f"no visit is called {wildcards.visit}")
        return self.visits[wildcards.visit]

    def header(self, wildcards: Any) -> Record:
        """Return what the headers of a visit say."""
        header = self._survey()["headers"][wildcards.visit]
        return {"problem": header["problem"], "ccds": header["ccds"]}

    def record(self, wildcards: Any) -> list[Record]:
        """Return what the header of one detector says."""
        return [r for r in self.ccds(wildcards.visit) if r["ccd"] == wildcards.ccd]

    def every_visit(self, template: str) -> Callable[..., list[str]]:
        """Return an input function: this file of every visit; the name holds ``{visit}``."""
        return lambda wildcards: [template.replace("{visit}", v) for v in self.visits]

    def every_patch(self, template: str) -> Callable[..., list[str]]:
        """Return an input function: this file of every patch; the name holds ``{patch}``."""
        return lambda wildcards: [template.replace("{patch}", p) for p in self.patches]

    def every_ccd(self, template: str) -> Callable[..., list[str]]:
        """Return an input function: this file of every detector of a visit."""
        return lambda wildcards: [
            template.replace("{visit}", wildcards.visit).replace("{ccd}", record["ccd"])
            for record in self.ccds(wildcards.visit)
        ]

    def touching(self, template: str) -> Callable[..., list[str]]:
        """Return an input function: this file of the visits that touch a patch."""
        return lambda wildcards: [
            template.replace("{visit}", visit) for visit in self.patches[wildcards.patch]
        ]

    def exposures(self, wildcards: Any) -> dict[str, list[str]]:
        """Return the detectors of each visit that touch a patch."""
        return self.patches[wildcards.patch]

    def window(self, wildcards: Any) -> list[int]:
        """Return the pixels of a patch: y0, y1, x0, x1."""
        return list(self._survey()["skymap"].window(wildcards.patch))

    def windows(self, wildcards: object = None) -> dict[str, list[int]]:
        """Return the pixels of every patch."""
        return {p: list(self._survey()["skymap"].window(p)) for p in self.patches}

    def mosaic(self, path: str) -> Callable[..., list[str]]:
        """Return an input function: the mosaic, where the sky map is a header's grid."""
        return lambda wildcards: [path] if self._section["skymap"]["header"] else []

    def reference(self, wildcards: object = None) -> str | list[str]:
        """Return the reference catalogue, if there is one."""
        return self._section["reference_catalogue"] or []

    def strays(self, folder: Path) -> list[str]:
        """Return results in a folder that belong to nothing asked for now."""
        known = {f"{visit}.fits.fz" for visit in self.visits}
        known |= {f"{patch}.fits.fz" for patch in self.patches}
        there = [*folder.glob("clean/*.fits.fz"), *folder.glob("coadd/*.fits.fz")]
        return sorted(str(p.relative_to(folder)) for p in there if p.name not in known)

    def _pixels(self, records: list[Record]) -> list[int]:
        return [math.prod(record["shape"]) for record in records if record.get("shape")] or [1]

    def clean_mb(self, wildcards: Any, attempt: int) -> int:
        """Return the memory of cleaning a visit: its largest detectors, as many as threads."""
        pixels = sorted(self._pixels(self.ccds(wildcards.visit)))[-self._threads :]
        return attempt * math.ceil(BASE_MB + CLEAN_BYTES * sum(pixels) / 1e6)

    def clean_ccd_mb(self, wildcards: Any, attempt: int) -> int:
        """Return the memory of cleaning one detector."""
        pixels = max(self._pixels(self.record(wildcards)))
        return attempt * math.ceil(BASE_MB + CLEAN_BYTES * pixels / 1e6)

    def clean_minutes(self, wildcards: Any, attempt: int) -> int:
        """Return the wall time of cleaning a visit: 3 minutes and 1 s a megapixel."""
        pixels = sum(self._pixels(self.ccds(wildcards.visit)))
        return attempt * math.ceil(3 + pixels / 1e6 / 60)

    def _patch_pixels(self, wildcards: Any) -> int:
        y0, y1, x0, x1 = self.window(wildcards)
        return (y1 - y0) * (x1 - x0)

    def block(self, wildcards: Any) -> int:
        """Return the width of the blocks in which a patch is stacked, within ``memory_mb``."""
        fixed = BASE_MB + PATCH_BYTES * self._patch_pixels(wildcards) / 1e6
        room = max(self._memory_mb - fixed, 20.0)
        visits = len(self.patches[wildcards.patch])
        return max(64, min(2048, int(math.sqrt(room * 1e6 / (STACK_BYTES * visits))) // 64 * 64))

    def coadd_mb(self, wildcards: Any, attempt: int) -> int:
        """Return the memory of a co-add: the patch, and the stack of one block of all visits."""
        y0, y1, x0, x1 = self.window(wildcards)
        block = min(self.block(wildcards) + 32, max(y1 - y0, x1 - x0))
        stack = STACK_BYTES * block**2 * len(self.patches[wildcards.patch])
        fixed = BASE_MB + PATCH_BYTES * self._patch_pixels(wildcards) / 1e6
        return attempt * math.ceil(fixed + stack / 1e6)

    def coadd_minutes(self, wildcards: Any, attempt: int) -> int:
        """Return the wall time of a co-add: 3 minutes and 0.5 s a stacked megapixel."""
        stacked = self._patch_pixels(wildcards) * len(self.patches[wildcards.patch]) / 1e6
        return attempt * math.ceil(3 + 0.5 * stacked / 60)

    def picture_mb(self, wildcards: Any, attempt: int) -> int:
        """Return the memory of a job that looks at one detector or one patch at a time."""
        pixels = self._section["skymap"]["patch_pixels"] ** 2
        largest = [max(self._pixels(self.ccds(visit))) for visit in self.visits]
        return attempt * math.ceil(BASE_MB + PICTURE_BYTES * max(pixels, *largest) / 1e6)

    def detect_mb(self, wildcards: Any, attempt: int) -> int:
        """Return the memory of detection on a patch."""
        return attempt * math.ceil(BASE_MB + DETECT_BYTES * self._patch_pixels(wildcards) / 1e6)

    def detect_minutes(self, wildcards: Any, attempt: int) -> int:
        """Return the wall time of detection on a patch: 3 minutes and 6 s a megapixel."""
        return attempt * math.ceil(3 + 6 * self._patch_pixels(wildcards) / 1e6 / 60)
