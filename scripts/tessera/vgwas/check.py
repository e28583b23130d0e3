"""What can be known to be wrong before any map or genotype is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tessera.errors import InputError, Problem
from tessera.genotypes import Fileset, read_samples
from tessera.vgwas.subjects import Joined, bare, join, read_covariates, take_covariates
from tessera.vgwas.voxels import Grid, misfit, read_grid

_SHOWN = 10

Progress = Callable[[Sequence[str]], Any]


def check_study(
    section: Mapping[str, Any],
    maps: Mapping[str, str],
    filesets: Sequence[Fileset],
    progress: Progress = iter,
) -> dict[str, Any]:
    """Join the subjects and look at every header.

    Parameters
    ----------
    section
        The validated section ``vgwas``.
    maps
        Subject to map.
    filesets
        The genotypes.

    Returns
    -------
    dict
        For JSON. `used`: subjects in the order of the model; `dropped`: subject to reason;
        `aside`: subject to its problem; `covariates`: name to values in the order of `used`;
        `blocks`: exchangeability block of each.

    Raises
    ------
    InputError
        What concerns all subjects: mask, tables, too few subjects in common; with
        ``strict`` also what concerns single ones.
    """
    problems: list[Problem] = []

    def attempt(function: Callable[..., Any], *args: Any) -> Any:
        try:
            return function(*args)
        except InputError as error:
            problems.extend(error.problems)
            return None

    grid: Grid | None = attempt(read_grid, section["mask"])
    path = section["covariates"]
    table, columns = ({}, [])
    if path is not None:
        table, columns = attempt(read_covariates, path, section) or ({}, [])
    ids = [attempt(read_samples, fileset) for fileset in filesets]
    for fileset, frame in zip(filesets, ids, strict=True):
        if frame is not None and (twice := frame["iid"].map(bare).duplicated()).any():
            example = bare(frame["iid"][twice].iloc[0])
            what = f"{int(twice.sum())} subjects are there with and without sub-, such as {example}"
            problems.append(Problem(fileset.files[2], "", what, "keep one of each"))
    if problems or grid is None:
        raise InputError(problems)
    joined = join(
        list(maps),
        [[bare(iid) for iid in frame["iid"]] for frame in ids],
        list(table) if path is not None else None,
        (section["images"], [fileset.files[2] for fileset in filesets], path),
        section["min_overlap"],
    )
    many = len(joined.used)
    for subject in progress(list(joined.used)):
        try:
            problem = misfit(maps[subject], grid, section["mask"])
        except InputError as error:
            problem = error.problems[0]
        if problem:
            joined.set_aside(subject, "map unusable", problem)
    values: dict[str, dict[str, Any]] = {subject: {} for subject in joined.used}
    if path is not None:
        values = take_covariates(joined, table, columns, section["categorical"], path)
    enough(joined, many, section)
    block = section["exchangeability"]
    return {
        "used": joined.used,
        "dropped": joined.dropped,
        "aside": {subject: problem.as_dict() for subject, problem in joined.aside.items()},
        "covariates": {name: [values[s][name] for s in joined.used] for name in columns},
        "blocks": [values[s][block] if block else "" for s in joined.used],
    }


def enough(joined: Joined, before: int, section: Mapping[str, Any]) -> None:
    """Refuse to go on without those set aside where that is `strict`, or where too few are left.

    Parameters
    ----------
    joined
        Subjects.
    before
        How many all inputs have in common.
    section
        `strict` and `min_overlap` are looked at.
    """
    share = len(joined.used) / before
    too_few = share < section["min_overlap"] or not joined.used
    if joined.aside and (section["strict"] or too_few):
        told = list(joined.aside.values())[:_SHOWN]
        if not section["strict"]:
            what = f"only {len(joined.used)} of {before} subjects could be used"
            remedy = f"mend the others, or lower vgwas.min_overlap from {section['min_overlap']:g}"
            told.append(Problem("config", "vgwas.min_overlap", what, remedy))
        elif len(joined.aside) > _SHOWN:
            what = f"{len(joined.aside)} subjects have problems like these"
            told.append(Problem("config", "vgwas.strict", what, "mend them, or set it to false"))
        raise InputError(told)
