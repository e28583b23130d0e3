"""A folder of slices: a TIFF or PNG of one page for each plane."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path

from tessera.errors import InputError, Problem, told
from tessera.imaging.planes import Array, Header, Planes, unpacking
from tessera.imaging.png import PngPlanes
from tessera.imaging.tiff import TiffPlanes

SUFFIXES = {".tif": "TIFF", ".tiff": "TIFF", ".png": "PNG"}

_IGNORED = ("thumbs.db", "desktop.ini")


def names_in(folder: Path) -> list[str]:
    """Return names of what lies in a folder, but for what systems leave behind."""
    with unpacking(str(folder)):
        names = sorted(path.name for path in folder.iterdir())
    return [name for name in names if name[0] != "." and name.casefold() not in _IGNORED]


def numbered(name: str) -> int | None:
    """Return the last number in a name, without its suffix; None if there is none."""
    numbers = re.findall(r"\d+", Path(name).stem)
    return int(numbers[-1]) if numbers and len(numbers[-1]) < 16 else None


class SlicePlanes:
    """The slices of a folder, in the order of the last number in their names.

    Parameters
    ----------
    file
        The folder.

    Raises
    ------
    InputError
        With all that names and headers show to be wrong.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        names = _in_order(file)
        self._open = 0
        self._slices: list[Planes] = []
        problems: list[Problem] = []
        for name in names:
            kind = PngPlanes if SUFFIXES[Path(name).suffix.casefold()] == "PNG" else TiffPlanes
            try:
                self._slices.append(kind(str(Path(file) / name)))
            except InputError as error:
                problems += error.problems
        problems += _unlike(self._slices)
        if problems:
            raise InputError(problems)
        first = self._slices[0].header
        size, unit = ((1.0, *first.voxel_size[1:]), first.unit)
        self.header = replace(
            first, shape=(len(names), *first.shape[1:]), ndim=3 if len(names) > 1 else 2,
            voxel_size=size, unit=unit, kind="slices",
        )  # fmt: skip

    def needs(self) -> int:
        """Return bytes of the largest piece of a slice that is unpacked as a whole."""
        return max(each.needs() for each in self._slices)

    def rows(self, z: int, lo: int, hi: int) -> Array:
        """Return rows of a plane: all columns. One slice is open at a time."""
        if z != self._open:
            self.close()
            self._open = z
        return self._slices[z].rows(0, lo, hi)

    def close(self) -> None:
        """Close the slice that is open."""
        self._slices[self._open].close()


def _in_order(file: str) -> list[str]:
    """Return names of the slices in their order."""
    names = names_in(Path(file))
    foreign = [name for name in names if Path(name).suffix.casefold() not in SUFFIXES]
    problems = told(
        f"{file}", foreign, lambda k: (foreign[k], "is no TIFF and no PNG"),
        "keep nothing but the slices in the folder",
    )  # fmt: skip
    slices = [name for name in names if name not in set(foreign)]
    if not slices:
        what = "the folder holds no TIFF and no PNG"
        raise InputError([Problem(file, "", what, "name a folder of slices"), *problems])
    formats = {SUFFIXES[Path(name).suffix.casefold()] for name in slices}
    if len(formats) > 1:
        what = "holds slices in TIFF and in PNG"
        problems.append(Problem(file, "", what, "keep the slices of one image, in one format"))
    numbers = {name: numbered(name) for name in slices}
    if len(slices) > 1:
        problems += _numbering(file, numbers)
    if problems:
        raise InputError(problems)
    return sorted(slices, key=lambda name: numbers[name] or 0)


def _numbering(file: str, numbers: dict[str, int | None]) -> list[Problem]:
    """Return what is wrong with numbers in names: each has to be there, once."""
    none = [name for name, number in numbers.items() if number is None]
    problems = told(
        file, none, lambda k: (none[k], "has no number in its name"),
        "number the slices, as in slice_001.tif",
    )  # fmt: skip
    owner: dict[int, str] = {}
    twice = []
    for name, number in numbers.items():
        if number is not None and owner.setdefault(number, name) != name:
            twice.append((name, number))
    problems += told(
        file, twice,
        lambda k: (twice[k][0], f"has number {twice[k][1]}, as has {owner[twice[k][1]]}"),
        "keep one slice of each number",
    )  # fmt: skip
    known = sorted(owner)
    gaps = [(a, b) for a, b in itertools.pairwise(known) if b > a + 1]
    problems += told(
        file, gaps,
        lambda k: (owner[gaps[k][1]], f"follows {owner[gaps[k][0]]}: "
                   + _absent(gaps[k][0] + 1, gaps[k][1] - 1)),
        "provide what is missing, or number the slices anew",
    )  # fmt: skip
    return problems


def _absent(first: int, last: int) -> str:
    if first == last:
        return f"number {first} is missing"
    return f"numbers {first} to {last} are missing"


def _unlike(slices: list[Planes]) -> list[Problem]:
    """Return slices that are unlike the first."""
    problems = []
    odd = []
    for each in slices:
        if each.header.shape[0] > 1:
            what = f"has {each.header.shape[0]} pages, where one is expected"
            problems.append(Problem(each.file, "", what, "keep a file for each plane"))
        elif _alike(each.header) != _alike(slices[0].header):
            odd.append(each)
    if odd:
        first, name = _shown(slices[0].header), Path(slices[0].file).name
        problems += [
            problem
            for each in odd[:10]
            for problem in [
                Problem(each.file, "", f"is {_shown(each.header)}, where {name} is {first}",
                        "keep slices of one shape and type in a folder")
            ]
        ]  # fmt: skip
    if len(odd) > 10:
        what = f"{len(odd) - 10:,} more of this kind"
        problems.append(Problem(slices[0].file, "", what, "correct them in the same way"))
    return problems


def _alike(header: Header) -> tuple[object, ...]:
    return header.shape[1:], header.dtype


def _shown(header: Header) -> str:
    return f"{header.shape[1]} x {header.shape[2]} of {header.dtype}"
