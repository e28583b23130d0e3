"""From maps and tables to the study that the map jobs load."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tessera.errors import InputError, Problem
from tessera.genotypes import Fileset, read_samples
from tessera.vgwas.check import enough
from tessera.vgwas.design import Design, columns_of, make_design
from tessera.vgwas.exact import Model
from tessera.vgwas.phenotype import Stack, adjust, read_maps, refuse_nan
from tessera.vgwas.study import Study
from tessera.vgwas.subjects import Joined, bare
from tessera.vgwas.voxels import TESTED, read_grid, voxel_table

Progress = Callable[..., Any]


@dataclass(frozen=True)
class Prepared:
    """A study and what is told about it.

    Attributes
    ----------
    study
        To be loaded by the map jobs; its maps are in the file that was asked for.
    samples
        subject, status (used, or why not), map.
    voxels
        As from `tessera.vgwas.voxels.voxel_table`.
    quarantine
        Those set aside, as a table in text.
    facts
        For JSON: subjects, covariates and those dropped.
    """

    study: Study
    samples: pd.DataFrame
    voxels: pd.DataFrame
    quarantine: str
    facts: dict[str, Any]


def prepare(
    section: Mapping[str, Any],
    maps: Mapping[str, str],
    filesets: Sequence[Fileset],
    check: Mapping[str, Any],
    target: Path,
    progress: Progress,
) -> Prepared:
    """Read the maps, adjust them for the covariates and write them as a matrix.

    Parameters
    ----------
    section
        The validated section ``vgwas``.
    maps
        Subject to map.
    filesets
        The genotypes.
    check
        As from `tessera.vgwas.check.check_study`.
    target
        File of the matrix; one beside it, of the same size, is made and removed.
    progress
        Passes items on, as ``progress(items, label)``.
    """
    grid = read_grid(section["mask"])
    aside = {subject: Problem(**problem) for subject, problem in check["aside"].items()}
    joined = Joined(list(check["used"]), dict(check["dropped"]), aside)
    first = list(joined.used)
    scratch = target.with_suffix(".scratch")
    try:
        named = ((s, maps[s]) for s in progress(first, "maps"))
        stack = read_maps(named, len(first), grid, scratch)
        drop = _without_nan(stack, joined, maps, section)
        enough(joined, len(first) + len(check["aside"]), section)
        row = {subject: i for i, subject in enumerate(first)}
        rows = np.array([row[subject] for subject in joined.used], np.int64)
        design = _design(check, rows, section)
        result = adjust(
            stack, rows, design.basis, drop, target, lambda items: progress(items, "voxels")
        )
    finally:
        scratch.unlink(missing_ok=True)
    tested = np.flatnonzero(result.status == TESTED)
    if not len(tested):
        remedy = "look at the maps: each voxel has one value for all, once adjusted"
        raise InputError(Problem(section["mask"], "", "no voxel of the mask varies", remedy))
    y = np.load(target, mmap_mode="r")
    study = Study(
        Model(y, result.norm, design.basis),
        result.scale,
        tested.astype(np.int32),
        np.unique([check["blocks"][i] for i in rows], return_inverse=True)[1].astype(np.int64),
        grid.ijk[tested],
        np.array([_places(fileset, joined.used) for fileset in filesets]),
    )
    facts = {
        "n_subjects": study.n,
        "df": design.df,
        "exchangeability": section["exchangeability"],
        "covariates": list(design.names[1:]),
        "dropped_covariates": [
            {"name": name, "reason": "constant, or a combination of the columns before it"}
            for name in design.dropped
        ],
    }
    samples = _samples(joined, maps)
    voxels = voxel_table(grid, result.status)
    return Prepared(study, samples, voxels, _quarantine(joined), facts)


def _without_nan(
    stack: Stack, joined: Joined, maps: Mapping[str, str], section: Mapping[str, Any]
) -> Any:
    """Set unreadable maps aside and do as `nan` says; return the voxels to leave out."""
    for subject, problem in stack.bad_maps.items():
        joined.set_aside(subject, "map unusable", problem)
    if section["nan"] == "error":
        refuse_nan(stack, dict(maps))
    if section["nan"] == "drop_voxel":
        return stack.nan_voxels
    for subject, count in stack.not_finite.items():
        what = f"{count} voxels of the mask hold no finite number"
        problem = Problem(maps[subject], "", what, "mend the map, or mask them out")
        joined.set_aside(subject, "map not finite", problem)
    return np.zeros_like(stack.nan_voxels)


def _design(check: Mapping[str, Any], rows: Any, section: Mapping[str, Any]) -> Design:
    values = {name: [column[i] for i in rows] for name, column in check["covariates"].items()}
    design = make_design(len(rows), columns_of(values, section["categorical"]))
    if design.df < 1:
        what = f"{len(rows)} subjects and {len(design.names)} columns leave nothing to test with"
        remedy = "use fewer covariates or more subjects"
        raise InputError(Problem("config", "vgwas.covariate_columns", what, remedy))
    return design


def _places(fileset: Fileset, used: Sequence[str]) -> list[int]:
    row = {bare(iid): i for i, iid in enumerate(read_samples(fileset)["iid"])}
    return [row[subject] for subject in used]


def _samples(joined: Joined, maps: Mapping[str, str]) -> pd.DataFrame:
    """Return who took part, in the order of the model, and then who did not."""
    order = [*joined.used, *sorted(joined.dropped)]
    return pd.DataFrame(
        {
            "subject": order,
            "status": [joined.dropped.get(subject, "used") for subject in order],
            "map": [Path(maps[s]).name if s in maps else "n/a" for s in order],
        }
    )


def _quarantine(joined: Joined) -> str:
    text = io.StringIO()
    writer = csv.writer(text, "excel-tab", lineterminator="\n")
    writer.writerow(["subject", "reason", "file", "place", "what", "remedy"])
    for subject in sorted(joined.aside):
        problem = joined.aside[subject]
        cells = (problem.file, problem.place or "n/a", problem.what, problem.remedy)
        writer.writerow([subject, joined.dropped[subject], *cells])
    return text.getvalue()
