"""The grid of parameters: every filter with every threshold with every morphology.

Where an entry of the configuration has a list in place of a number, it stands for several.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tessera.errors import InputError, Problem
from tessera.imaging.gaussian import radius

Entry = Mapping[str, Any]
GLOBAL = ("otsu", "li")
"""Thresholds that follow from the values of the whole image."""


@dataclass(frozen=True)
class Step:
    """A filter, threshold or morphology with its numbers.

    Attributes
    ----------
    kind
        Its name, such as ``gaussian``.
    numbers
        Its numbers, such as ``{"sigma": 2}``.
    """

    kind: str
    numbers: tuple[tuple[str, float], ...] = ()

    def __getitem__(self, key: str) -> float:
        return dict(self.numbers)[key]

    @property
    def name(self) -> str:
        """Return a name that can be part of a file's: ``gaussian-2``, ``hysteresis-10-20``."""
        return "-".join([self.kind, *(f"{value:.12g}" for _, value in self.numbers)])

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {"kind": self.kind, **dict(self.numbers)}


def as_step(content: Entry) -> Step:
    """Return the step that `Step.as_dict` told of."""
    numbers = tuple((key, value) for key, value in content.items() if key != "kind")
    return Step(content["kind"], numbers)


@dataclass(frozen=True)
class Point:
    """A point of the grid."""

    filter: Step
    threshold: Step
    morphology: Step

    @property
    def name(self) -> str:
        """Return the name that tables know it by: ``gaussian-2_otsu_open-1``."""
        return "_".join(step.name for step in (self.filter, self.threshold, self.morphology))

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "filter": self.filter.as_dict(),
            "threshold": self.threshold.as_dict(),
            "morphology": self.morphology.as_dict(),
        }


def as_point(content: Mapping[str, Entry]) -> Point:
    """Return the point that `Point.as_dict` told of."""
    return Point(*(as_step(content[key]) for key in ("filter", "threshold", "morphology")))


# Numbers of each kind in the order in which names have them.
NUMBERS: dict[str, tuple[str, ...]] = {
    "gaussian": ("sigma",),
    "median": ("size",),
    "nlm": ("patch_size", "patch_distance", "h"),
    "fixed": ("value",),
    "hysteresis": ("low", "high"),
    "erode": ("radius",),
    "dilate": ("radius",),
    "open": ("radius",),
    "close": ("radius",),
}


def steps(entries: Sequence[Entry], section: str, key: str) -> list[Step]:
    """Return the steps that a list of the configuration stands for.

    Parameters
    ----------
    entries
        Mappings with `key` (``name`` or ``op``) and numbers, or lists of numbers.
    section
        Name of the list.

    Raises
    ------
    InputError
        If an entry lacks a number, or has one that is not its own.
    """
    found: list[Step] = []
    problems = []
    for k, entry in enumerate(entries, start=1):
        kind, names = entry[key], NUMBERS.get(entry[key], ())
        place = f"imaging.{section}, entry {k}"
        own = f"{kind} has {', '.join(names)}" if names else f"{kind} has no numbers"
        for name in names:
            if name not in entry:
                problems.append(
                    Problem("config", f"{place}.{name}", "missing key", f"{own}: give it")
                )
        for name in entry:
            if name not in (key, *names):
                problems.append(Problem("config", f"{place}.{name}", "does not belong here", own))
        if problems:
            continue
        values = [entry[n] if isinstance(entry[n], list) else [entry[n]] for n in names]
        found += [
            Step(kind, tuple(zip(names, each, strict=True))) for each in itertools.product(*values)
        ]
    if problems:
        raise InputError(problems)
    return list(dict.fromkeys(found))


def points(section: Mapping[str, Any]) -> list[Point]:
    """Return the grid of a configuration, in its order.

    Raises
    ------
    InputError
        With every fault: numbers that are missing or not an entry's own, a hysteresis threshold
        with its numbers the wrong way round, two points of one name.
    """
    lists: list[list[Step]] = []
    problems: list[Problem] = []
    for name, key in (("filter", "name"), ("threshold", "name"), ("morphology", "op")):
        try:
            lists.append(steps(section[name], name, key))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    grid = [Point(*each) for each in itertools.product(*lists)]
    for step in lists[1]:
        if step.kind == "hysteresis" and step["low"] > step["high"]:
            what = f"low is {step['low']:g}, above high, {step['high']:g}"
            remedy = "objects are the voxels above low that are joined to one above high"
            problems.append(Problem("config", "imaging.threshold", what, remedy))
    names = [point.name for point in grid]
    for name in sorted({name for name in names if names.count(name) > 1}):
        what = f"two points of the grid have the name {name}"
        problems.append(Problem("config", "imaging", what, "write numbers of up to 12 digits"))
    if problems:
        raise InputError(problems)
    return grid


def seeds(point: Point) -> Point:
    """Return the point whose objects a hysteresis threshold chooses from."""
    low = Step("fixed", (("value", point.threshold["low"]),))
    return Point(point.filter, low, Step("none"))


def filter_margin(step: Step) -> int:
    """Return how many voxels on each side a filter looks at."""
    if step.kind == "gaussian":
        return radius(step["sigma"])
    if step.kind == "median":
        return int(step["size"]) // 2
    if step.kind == "nlm":
        return int(step["patch_size"]) // 2 + int(step["patch_distance"])
    return 0


def shape_margin(step: Step) -> int:
    """Return how many voxels on each side a morphology looks at."""
    return {"none": 0, "erode": 1, "dilate": 1}.get(step.kind, 2) * int(
        dict(step.numbers).get("radius", 0)
    )


def margin(grid: Iterable[Point]) -> int:
    """Return how many voxels around a tile the points of a grid look at, at most."""
    return max(filter_margin(p.filter) + shape_margin(p.morphology) for p in grid)
