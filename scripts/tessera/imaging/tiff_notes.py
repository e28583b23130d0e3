"""What ImageJ, OME and tifffile note in a TIFF: how its planes are counted, size of a voxel."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from tessera.errors import InputError, Problem
from tessera.imaging.planes import ISOTROPIC, Sizes, sizes_or_one
from tessera.imaging.tiff_pages import Tiff

_METRES = {
    "m": 1.0, "cm": 1e-2, "mm": 1e-3, "µm": 1e-6, "nm": 1e-9, "Å": 1e-10, "pm": 1e-12,
    "inch": 0.0254,
}  # fmt: skip
_UNITS = {
    "metre": "m", "meter": "m", "centimeter": "cm", "millimeter": "mm", "micrometer": "µm",
    "micron": "µm", "microns": "µm", "um": "µm", "\u03bcm": "µm", "\\u00b5m": "µm",
    "nanometer": "nm",
    "angstrom": "Å", "picometer": "pm", "inches": "inch", "in": "inch", "pixel": "", "pixels": "",
}  # fmt: skip
_ONE_AXIS = "save each channel and time point as a file of its own"


@dataclass(frozen=True)
class Notes:
    """What is noted of a stack.

    Attributes
    ----------
    planes
        How many there are; None if it is not noted.
    voxel_size
        Along z, y, x.
    unit
        Of `voxel_size`; empty if unknown.
    """

    planes: int | None
    voxel_size: Sizes
    unit: str


def unit_of(name: object) -> str:
    """Return the usual sign of a unit of length, as far as it is known."""
    text = name.strip() if isinstance(name, str) else ""
    sign = _UNITS.get(text.casefold(), text)
    return sign if sign.isprintable() and len(sign) <= 20 else ""


def in_one_unit(sizes: list[float], units: list[str]) -> tuple[Sizes, str]:
    """Return sizes along z, y, x in the unit of x; of 1 where units cannot be converted."""
    z, y, x = sizes_or_one(sizes)
    unit = units[2]
    if any(each != unit for each in units):
        if not all(each in _METRES for each in units):
            return ISOTROPIC, ""
        z, y = (size * _METRES[u] / _METRES[unit] for size, u in ((z, units[0]), (y, units[1])))
    return (z, y, x), unit


def read_notes(file: str, tiff: Tiff) -> Notes:
    """Read what the description of a TIFF says.

    Raises
    ------
    InputError
        It has several channels and planes, or time points and planes, or is spread over files.
    """
    text = tiff.description
    reader: Callable[[str, Tiff], Notes]
    if text.startswith("ImageJ="):
        reader = _imagej
    elif text[-10:].strip().endswith("OME>"):
        reader = _ome
    elif text.startswith('{"shape":'):
        reader = _shaped
    else:
        return Notes(None, ISOTROPIC, "")
    try:
        return reader(file, tiff)
    except InputError:
        raise
    except Exception:  # notes that make no sense are as good as none
        return Notes(None, ISOTROPIC, "")


def _sole(file: str, counts: dict[str, int]) -> int:
    """Return the number of planes, of which one axis alone may have many."""
    many = {name: count for name, count in counts.items() if count > 1}
    if len(many) > 1:
        text = " and ".join(f"{count} {name}" for name, count in many.items())
        what = f"has {text}, where one stack of planes is expected"
        raise InputError(Problem(file, "", what, _ONE_AXIS))
    return math.prod(many.values())


def _imagej(file: str, tiff: Tiff) -> Notes:
    pairs = (line.partition("=") for line in tiff.description.splitlines())
    notes = {name.strip(): value.strip() for name, _, value in pairs}
    axes = {name: int(notes.get(name, 1)) for name in ("slices", "channels", "frames")}
    planes = _sole(file, axes)
    if planes == 1:
        planes = int(notes.get("images", 1))
    per_y, per_x = tiff.pages[0].resolution
    unit = unit_of(notes.get("unit"))
    spacing = float(notes.get("spacing", 1))
    if not unit and "spacing" not in notes:  # dots per inch say nothing of what is seen
        return Notes(planes, ISOTROPIC, "")
    sizes = [abs(spacing), *(1 / per if per else 1.0 for per in (per_y, per_x))]
    units = [unit_of(notes.get(f"{axis}unit", unit)) for axis in "zyx"]
    return Notes(planes, *in_one_unit(sizes, units))


def _ome(file: str, tiff: Tiff) -> Notes:
    root = ElementTree.fromstring(tiff.description.strip("\0 \r\n"))
    images = [element for element in root.iter() if _tag(element) == "Pixels"]
    if len(images) != 1:
        what = f"holds {len(images)} images"
        raise InputError(Problem(file, "", what, "save each as a file of its own"))
    pixels = images[0]
    axes = {"planes": "SizeZ", "channels": "SizeC", "time points": "SizeT"}
    planes = _sole(file, {name: int(pixels.get(key, 1)) for name, key in axes.items()})
    owners = {element.get("FileName") for element in pixels.iter() if _tag(element) == "UUID"}
    if len(owners) > 1:
        what = f"is one of {len(owners)} files that make up an image"
        raise InputError(Problem(file, "", what, "save the image as one file"))
    _check_order(file, pixels, planes)
    sizes = [float(pixels.get(f"PhysicalSize{axis}", 1)) for axis in "ZYX"]
    # A size that is not noted has the unit of x, so that the others can be told in one.
    units = [
        unit_of(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        if f"PhysicalSize{axis}" in pixels.attrib else None for axis in "ZYX"
    ]  # fmt: skip
    common = next((unit for unit in reversed(units) if unit is not None), "")
    size, unit = in_one_unit(sizes, [common if u is None else u for u in units])
    return Notes(planes, size, unit)


def _check_order(file: str, pixels: ElementTree.Element, planes: int) -> None:
    """See that pages are in the order of the planes."""
    for element in (e for e in pixels.iter() if _tag(e) == "TiffData"):
        first = max(int(element.get(f"First{axis}", 0)) for axis in "ZCT")
        if int(element.get("IFD", 0)) != first and element.get("IFD") and planes > 1:
            what = f"has plane {first + 1} in page {int(element.get('IFD', 0)) + 1}"
            raise InputError(Problem(file, "", what, "save it with its planes in order"))


def _tag(element: ElementTree.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _shaped(file: str, tiff: Tiff) -> Notes:
    match = re.match(r"\{.*\}", tiff.description, re.DOTALL)
    notes: dict[str, Any] = json.loads(match[0]) if match else {}
    shape = [int(count) for count in notes["shape"]]
    page = tiff.pages[0]
    while shape and shape[-1] == 1 and tuple(shape[-2:]) != (page.height, page.width):
        shape.pop()
    if tuple(shape[-2:]) != (page.height, page.width):
        return Notes(None, ISOTROPIC, "")
    counts = {f"planes along axis {k}": count for k, count in enumerate(shape[:-2])}
    return Notes(_sole(file, counts), ISOTROPIC, "")
