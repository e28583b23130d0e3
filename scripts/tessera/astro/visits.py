"""What the headers of a visit's file say: its detectors, their planes, sky positions and faults."""

from __future__ import annotations

import fnmatch
import glob
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from tessera.astro.wcsheader import border, celestial_wcs, fault_of_wcs, wcs_cards
from tessera.config import load_schema
from tessera.errors import InputError, Problem
from tessera.sheets import read_sheet

Record = dict[str, Any]
CCD_KEY = "CCDNUM"
SEEING_KEYS = ("SEEING", "FWHM")
SETTINGS = (
    *("hdus", "gain_key", "read_noise_key", "saturation_key", "zero_point_key"),
)  # fmt: skip
_SUFFIX = re.compile(r"\.(fits|fit|fts)(\.fz)?$|\.fz$")


def list_visits(visits: str | None, schemas: Path) -> dict[str, str]:
    """Return the files of the visits by name, from a sheet or from a pattern.

    Raises
    ------
    InputError
        If nothing is named, the sheet is at fault, or a pattern finds no file or two of one name.
    """
    if visits is None:
        remedy = "set astro.visits (a sheet, or a pattern such as raw/*.fits.fz)"
        raise InputError(Problem("config", "astro.visits", "nothing to work on", remedy))
    if not glob.has_magic(visits):
        rows = read_sheet(visits, load_schema(schemas, "astro_visits"), key=("visit",))
        return {str(row["visit"]): str(row["file"]) for row in rows}
    found: dict[str, str] = {}
    problems = []
    for path in sorted(glob.glob(visits, recursive=True)):  # noqa: PTH207 - absolute patterns too
        name = _SUFFIX.sub("", Path(path).name)
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
            remedy = "rename it (letters, digits, _ and -), or name visits in a sheet"
            problems.append(Problem(path, "", f"no visit can be called {name!r}", remedy))
        elif name in found:
            remedy = "rename one, or name visits in a sheet"
            problems.append(Problem(path, "", f"is visit {name} as {found[name]} is", remedy))
        found.setdefault(name, path)
    if problems:
        raise InputError(problems)
    if not found:
        remedy = "correct the pattern; it counts from the working directory"
        raise InputError(Problem("config", "astro.visits", f"no file matches {visits!r}", remedy))
    return found


def header_reader(section: Mapping[str, Any]) -> Callable[[str], Record]:
    """Return a function that reads the headers of one visit as `read_visit` does.

    Its name tells all settings that it follows, since `tessera.headers` keeps answers by name.
    """
    settings = {key: section[key] for key in SETTINGS}

    def read(path: str) -> Record:
        return read_visit(path, settings)

    read.__name__ = f"read_visit {sorted(settings.items())}"
    return read


def read_visit(path: str, settings: Mapping[str, Any]) -> Record:
    """Read the headers of one visit; no pixel is read.

    Parameters
    ----------
    path
        A FITS file, plain or tile-compressed.
    settings
        ``hdus`` (names of the planes) and the names of the header keys.

    Returns
    -------
    dict
        ``ccds``: a record per detector, with its name ``ccd``, the indices of its HDUs ``image``,
        ``mask`` and ``variance`` (None where there is none), ``shape`` (Y, X), ``border`` (unit
        vectors), ``zero_point``, ``gain``, ``read_noise``, ``saturation``, ``seeing``, ``datasum``
        and ``problem`` (None, or why the detector is set aside). ``problem``: why the whole visit
        is. ``stops``: what no result may be made without. All of it is what JSON can hold.
    """
    visit: Record = {"ccds": [], "problem": None, "stops": []}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            with fits.open(path, memmap=True, lazy_load_hdus=False) as hdus:
                _read_hdus(path, hdus, settings, visit)
    except InputError as error:
        visit["problem"] = error.problems[0].as_dict()
    except (OSError, ValueError, KeyError, TypeError, fits.VerifyError) as error:
        what = f"is not a FITS file that can be read ({_one_line(error)})"
        visit["problem"] = Problem(path, "", what, "copy the file anew").as_dict()
    return visit


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120].rstrip(".")


def _read_hdus(path: str, hdus: fits.HDUList, settings: Mapping[str, Any], visit: Record) -> None:
    names = settings["hdus"]
    images = _of_role(hdus, names["image"])
    if not images:
        there = [hdu.name for hdu in hdus if hdu.name and hdu.header.get("NAXIS") != 0]
        found = ", ".join(dict.fromkeys(there)) or "none with data"
        what = f"no image HDU is named {names['image']} (found {found})"
        raise InputError(Problem(path, "", what, "set astro.hdus.image to the name of the images"))
    planes = {
        role: _paired(images, _of_role(hdus, names[role])) if names[role] else {}
        for role in ("mask", "variance")
    }
    size = Path(path).stat().st_size
    seen: dict[str, int] = {}
    for index, (ccd, *_) in images.items():
        place = f"HDU {index} ({names['image']}, CCD {ccd})"
        record: Record = {"ccd": ccd, "image": index, "problem": None}
        record |= {role: planes[role].get(index) for role in planes}
        problem = None
        if ccd in seen:
            what = f"CCD {ccd} is already in HDU {seen[ccd]}"
            problem = Problem(path, place, what, f"give each its own {CCD_KEY} or EXTVER")
            record["ccd"] = f"{ccd}-HDU{index}"
        seen.setdefault(ccd, index)
        header = Keys(hdus[index].header, hdus[0].header)
        problem = problem or _fill_record(record, path, place, hdus, size)
        if problem is None:
            visit["stops"] += [
                stop.as_dict() for stop in _read_keys(record, path, place, header, settings)
            ]
        else:
            record["problem"] = problem.as_dict()
        visit["ccds"].append(record)


class Keys:
    """Values of header keys: of the image first, then of the primary HDU."""

    def __init__(self, image: fits.Header, primary: fits.Header) -> None:
        self._headers = image, primary

    def number(self, key: str) -> float | None:
        """Return the value of a key where it is a finite number, else None."""
        for header in self._headers:
            value = header.get(key)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return float(value) if math.isfinite(value) else None
        return None

    def text(self, key: str) -> str | None:
        """Return the value of a key of the image itself as text, or None."""
        value = self._headers[0].get(key)
        return None if value is None else str(value).strip()


def _of_role(hdus: fits.HDUList, name: str) -> dict[int, tuple[str, str, str]]:
    """Find the HDUs of a role: index to name of the detector, suffix of the EXTNAME, EXTVER."""
    wild = any(c in name for c in "*?[")
    found = {}
    for index, hdu in enumerate(hdus):
        extname = str(hdu.name or "").strip()
        if not hdu.is_image or hdu.header.get("NAXIS", 0) == 0:
            continue
        upper = extname.upper()
        if wild and fnmatch.fnmatchcase(upper, name.upper()):
            suffix = extname
        elif upper == name.upper():
            suffix = ""
        elif match := re.fullmatch(re.escape(name.upper()) + r"[_.\- ]?(\w+)", upper):
            if not re.match(r"[_.\- \d]", upper[len(name) :]):
                continue
            suffix = match[1]
        else:
            continue
        number = hdu.header.get(CCD_KEY)
        found[index] = (str(number) if number is not None else "", suffix, str(hdu.ver))
    # What tells the detectors apart: their number, else what follows the name, else the version.
    for part in range(3):
        labels = [labels[part] for labels in found.values()]
        if all(labels) and (len(set(labels)) == len(labels) or part == 0):
            return {
                i: (re.sub(r"[^A-Za-z0-9]", "", v[part]) or "x", *v[1:]) for i, v in found.items()
            }
    return {i: (str(k), *v[1:]) for k, (i, v) in enumerate(found.items(), 1)}


def _paired(
    images: Mapping[int, Sequence[str]], planes: Mapping[int, Sequence[str]]
) -> dict[int, int]:
    """Tell which plane belongs to which image: by name of the detector, else by place."""
    for part in (0, 1, 2):
        by_label = {labels[part]: index for index, labels in planes.items()}
        if len(by_label) == len(planes) and all(
            labels[part] in by_label for labels in images.values()
        ):
            return {index: by_label[labels[part]] for index, labels in images.items()}
    pairs = {}
    for plane in planes:  # the nearest image before it, which has none yet
        before = [index for index in images if index < plane and index not in pairs]
        if before:
            pairs[before[-1]] = plane
    return pairs


def _fill_record(
    record: Record, path: str, place: str, hdus: fits.HDUList, size: int
) -> Problem | None:
    """Fill in shape and place on the sky; return why the detector cannot be used, if so."""
    planes = {role: record[role] for role in ("image", "mask", "variance")}
    for role, index in planes.items():
        info = None if index is None else hdus[index].fileinfo()
        if info and info["datLoc"] + info["datSpan"] > size and not path.endswith(".gz"):
            what = f"the file ends within the {role} plane (HDU {index}) of this CCD"
            return Problem(path, place, what, "copy the file anew")
    shapes = {role: hdus[i].shape for role, i in planes.items() if i is not None}
    if len(shapes["image"]) != 2 or min(shapes["image"]) < 16:
        what = f"the image has shape {shapes['image']}"
        return Problem(path, place, what, "give images of two dimensions, at least 16 x 16 pixels")
    for role, shape in shapes.items():
        if shape != shapes["image"]:
            what = f"the {role} plane has shape {shape}, the image {shapes['image']}"
            return Problem(path, place, what, "give planes of one shape")
    record["shape"] = [int(n) for n in shapes["image"]]
    cards = wcs_cards(hdus[record["image"]].header)
    if fault := fault_of_wcs(cards):
        return Problem(path, place, *fault)
    try:
        vectors = border(celestial_wcs(cards), shapes["image"])
    except Exception as error:  # wcslib has many kinds of its own
        what = f"the WCS cannot be used ({_one_line(error)})"
        return Problem(path, place, what, "solve the astrometry of this image anew")
    if not np.isfinite(vectors).all():
        what = "the WCS puts a corner of the image outside the sky"
        return Problem(path, place, what, "solve the astrometry of this image anew")
    record["border"] = np.round(vectors, 12).tolist()
    return None


def _read_keys(
    record: Record, path: str, place: str, header: Keys, settings: Mapping[str, Any]
) -> list[Problem]:
    """Fill in what the keys say; return what the run cannot do without."""
    key = {name: settings[f"{name}_key"] for name in ("gain", "read_noise", "saturation")}
    record |= {name: header.number(key[name]) for name in key}
    record["zero_point"] = header.number(settings["zero_point_key"])
    seeing = [header.number(each) for each in SEEING_KEYS]
    record["seeing"] = next((value for value in seeing if value is not None), None)
    record["datasum"] = header.text("DATASUM")
    stops = []
    if record["zero_point"] is None:
        what = f"there is no zero point (key {settings['zero_point_key']})"
        remedy = "write it to the header, or set astro.zero_point_key to the key that holds it"
        stops.append(Problem(path, place, what, remedy))
    if record["variance"] is None:
        for name in ("gain", "read_noise"):
            value = record[name]
            if value is not None and (value > 0 or (name == "read_noise" and value == 0)):
                continue
            state = "no" if value is None else f"a useless ({value:g})"
            what = f"there is neither a variance plane nor {state} {name.replace('_', ' ')}"
            what = what.replace("nor no", "nor a").replace("nor a useless", "nor a useful")
            remedy = (
                f"write key {key[name]} to the header, set astro.{name}_key to the key that holds "
                "it, or name the variance plane in astro.hdus.variance"
            )
            stops.append(Problem(path, place, f"{what} (key {key[name]})", remedy))
    return stops
