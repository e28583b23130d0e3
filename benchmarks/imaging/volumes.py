"""Volumes to measure with, and the steps of the rules on them, each a function of one folder."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
# The last, since there is a kernels.py too.
sys.path.append(str(Path(__file__).resolve().parents[1] / "cells"))

from machine import processor

from tessera.imaging.grid import points
from tessera.imaging.outcome import measure_image
from tessera.imaging.plan import Plan
from tessera.imaging.segment import segment
from tessera.imaging.simulate import Balls, scatter
from tessera.imaging.steps import merged, open_work, rules, thresholds, tiling_from
from tessera.imaging.volume import Volume, convert, look
from tessera.job import peak_mb

__all__ = ["processor"]

SEED, VALUE = 1, 115
DENSITY = 20_000 / 800**3
JOINING = {"polarity": "bright", "connectivity": 26}
SETTINGS = {"min_size": 0, "border": "keep", "properties": ["centroid", "bbox", "intensity"]}
ONE = {
    "filter": [{"name": "gaussian", "sigma": 1}],
    "threshold": [{"name": "fixed", "value": VALUE}],
    "morphology": [{"op": "none"}],
}
CORES = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


def quiet(items: Iterable, *_: object) -> Iterable:
    """Pass items on without a bar of progress."""
    return items


class Clock:
    """Seconds of CPU of parts of the work."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self._start = time.process_time()

    def stop(self, part: str) -> None:
        """Note what was spent since the last part, under a name."""
        now = time.process_time()
        self.parts[part], self._start = now - self._start, now


def measure(script: Path, side: str, *arguments: object) -> dict[str, Any]:
    """Run one side of a script in a process of its own; returns CPU by part, and its memory."""
    command = [sys.executable, str(script), side, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **CORES})
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(side, *arguments[1:], found, flush=True)
    return found


def answer(sides: Mapping[str, Callable[..., None]]) -> None:
    """Do what `measure` asked for: the side, a folder, and numbers."""
    side, folder, *numbers = sys.argv[1:]
    clock = Clock()
    sides[side](Path(folder), clock, *map(int, numbers))
    clock.parts.pop("imports", None)
    print(json.dumps({"cpu": clock.parts, "memory": peak_mb()}))


def balls(edge: int, dtype: str = "uint8") -> Balls:
    """Return a cube of balls on noise, as many in a voxel at every edge."""
    found = scatter((edge, edge, edge), round(DENSITY * edge**3), (4.0, 11.0), SEED, dtype)
    return replace(found, noise=0.1)


def write_tiff(path: Path, image: Balls) -> None:
    """Write a volume as TIFF, 32 planes at a time."""
    import tifffile

    def planes() -> Iterator[np.ndarray]:
        for start in range(0, image.shape[0], 32):
            yield from image.voxels(start, min(start + 32, image.shape[0]))

    tifffile.imwrite(
        path, planes(), shape=image.shape, dtype=image.dtype, bigtiff=True, photometric="minisblack"
    )


def plan_of(path: Path, section: Mapping[str, Any], memory_mb: int) -> Plan:
    """Return the plan that the rules would have for one image."""
    known = {
        "rows": {"image": {"image": "image", "path": str(path)}},
        "headers": {"image": asdict(look(path))},
        "grid": points(section),
    }
    whole = {"tile": "auto", "slice": None, "images": str(path), **section}
    return Plan(whole, memory_mb=memory_mb, images=lambda: known)


def wildcards(**names: str) -> SimpleNamespace:
    return SimpleNamespace(image="image", **names)


def parts(plan: Plan, name: str) -> list[str]:
    return plan.parts("{part}")(wildcards(filter=name))


def convert_(folder: Path, memory_mb: int = 1100) -> None:
    """Do what the rule imaging_convert does: ``image.tif`` to ``volume``."""
    convert(folder / "image.tif", folder / "volume", memory_mb=memory_mb, progress=quiet)


def segment_(folder: Path, plan: Plan, name: str, part: str) -> None:
    """Do what a job of imaging_segment does: a part of ``volume`` to ``pieces``."""
    own = wildcards(filter=name, part=part)
    grid = plan.points_of(own)
    work = open_work(str(folder / "volume"), plan.tiling(own), plan.tiles(own))
    values = thresholds(Volume(folder / "volume"), "", grid, {})
    place = folder / "pieces" / name / part
    place.mkdir(parents=True)
    todo = rules(grid, values, None, JOINING)
    segment(work, plan.filters[name], todo, values["unit"], place, quiet)


def merge_(folder: Path, plan: Plan, name: str) -> None:
    """Do what a job of imaging_merge does: ``pieces`` to ``merged``."""
    own = wildcards(filter=name)
    place = folder / "merged" / name
    place.mkdir(parents=True)
    found = [str(folder / "pieces" / name / part) for part in parts(plan, name)]
    tiling = tiling_from(plan.tiling(own))
    for point in plan.points_of(own):
        whole = merged(found, plan.tile_counts(own), point, tiling, JOINING["connectivity"])
        np.save(place / f"{point}.npy", whole.objects)
        np.save(place / f"{point}.parts.npy", whole.parts)


def merged_files(folder: Path, name: str) -> list[Path]:
    """Return the files of objects of all points of a filter."""
    found = (folder / "merged" / name).glob("*.npy")
    return sorted(path for path in found if not path.name.endswith(".parts.npy"))


def objects_(folder: Path, plan: Plan) -> None:
    """Do what imaging_objects does, but for the picture: ``merged`` to ``tables``."""
    header = Volume(folder / "volume").header
    values = thresholds(Volume(folder / "volume"), "", plan.whole_grid(), {})
    places = {point: folder / "merged" / name for point, name in plan.filter_names().items()}
    (folder / "tables").mkdir()
    measure_image("image", header, values, places, SETTINGS, folder / "tables", quiet)


def versions(*names: str) -> str:
    """Tell versions of packages."""
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
