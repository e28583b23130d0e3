"""From the file of a visit to that of its cleaned detectors, each cleaned by itself."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs.utils import proj_plane_pixel_area

from tessera.astro.clean import clean
from tessera.astro.planes import clean_bytes, primary_bytes, read_ccd
from tessera.astro.wcsheader import celestial_wcs, wcs_cards
from tessera.errors import InputError

Facts = dict[str, Any]
Part = tuple[bytes, Facts]


def clean_detector(path: str, record: Mapping[str, Any], settings: Mapping[str, Any]) -> Part:
    """Clean one detector.

    Parameters
    ----------
    path
        The visit's file.
    record
        What the header says of the detector (`tessera.astro.visits.read_visit`).
    settings
        As `tessera.astro.clean.clean` takes them.

    Returns
    -------
    bytes, dict
        The compressed planes and what was found; no bytes and a ``problem`` where the detector is
        set aside.
    """
    facts: Facts = {"ccd": record["ccd"], "problem": record["problem"]}
    if record["problem"]:
        return b"", facts
    try:
        raw = read_ccd(path, record)
        cards = wcs_cards(raw.header)
        cleaned = clean(raw, record, settings, path)
    except InputError as error:
        return b"", facts | {"problem": error.problems[0].as_dict()}
    scale = math.sqrt(proj_plane_pixel_area(celestial_wcs(cards))) * 3600
    facts |= cleaned.facts | {
        "shape": record["shape"],
        "zero_point": record["zero_point"],
        "pixel_scale": scale,
        "wcs": cards.tostring(sep="\n"),
        "problem": None,
    }
    cards["CCDNAME"] = record["ccd"]
    cards["MAGZERO"] = (record["zero_point"], "mag that gives one ADU")
    cards["SKYLEVEL"] = (round(facts["sky"], 6), "ADU, subtracted")
    cards["SKYNOISE"] = (round(facts["noise"], 6), "ADU, standard deviation")
    planes = clean_bytes(cleaned.image, cleaned.mask, cleaned.variance, cards, facts["noise"])
    return planes, facts


def clean_detectors(
    path: str,
    records: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    *,
    threads: int,
    progress: Callable[..., Iterable[Part]],
) -> Iterator[Part]:
    """Clean the detectors of a visit, one per thread, in the order of the file."""
    with ThreadPoolExecutor(threads) as pool:
        # No more at a time than threads: finished ones would pile up in memory.
        parts = (
            part
            for start in range(0, len(records), threads)
            for part in pool.map(
                lambda record: clean_detector(path, record, settings),
                records[start : start + threads],
            )
        )
        yield from progress(parts, "detectors", len(records))


def assemble(
    place: Path, visit: str, problem: Mapping[str, str] | None, parts: Iterable[Part]
) -> Facts:
    """Write the file of a cleaned visit.

    Parameters
    ----------
    place
        Where to write it.
    visit
        Name of the visit.
    problem
        Why the whole visit is set aside, or None.
    parts
        Of each detector, as from `clean_detector`.

    Returns
    -------
    dict
        ``visit``, ``problem``, and ``ccds`` with the facts of each and where its bytes lie
        (``offset``, ``length``).
    """
    cards = fits.Header()
    cards["VISIT"] = visit
    found: list[Facts] = []
    with place.open("wb") as stream:
        stream.write(primary_bytes(cards))
        for planes, facts in parts:
            found.append({**facts, "offset": stream.tell(), "length": len(planes)})
            stream.write(planes)
    return {"visit": visit, "problem": problem, "ccds": found}


def seeing(facts: Facts) -> float:
    """Return the seeing of a visit in arcsec: the median over its detectors, or NaN."""
    widths = [
        ccd["fwhm"] * ccd["pixel_scale"]
        for ccd in facts["ccds"]
        if not ccd["problem"] and ccd["fwhm"]
    ]
    return float(np.median(widths)) if widths else math.nan


def write_facts(place: Path, facts: Facts) -> None:
    """Write facts as JSON."""
    place.write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n", encoding="utf-8")
