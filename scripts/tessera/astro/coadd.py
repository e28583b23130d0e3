"""The co-add of a patch: block by block, every visit warped onto the grid, then stacked.

A block of all visits is in memory at a time, so a patch of any number of visits fits into the same
memory: more visits make smaller blocks. Blocks carry the margin that the clipping looks at, also
beyond the patch, so a pixel does not depend on the block or the patch that it was made in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.wcs import WCS

from tessera.astro.bits import CLIPPED, FEW, NODATA
from tessera.astro.clip import MARGIN, coadd_stack
from tessera.astro.exposure import seeing
from tessera.astro.lattice import Lattice, lattice, needed
from tessera.astro.planes import CleanCcd
from tessera.astro.skymap import REACH, SkyMap, Window
from tessera.astro.warp import Planes, warp
from tessera.astro.wcsheader import border, celestial, celestial_wcs
from tessera.tiles import partition


@dataclass
class Detector:
    """A cleaned detector and where its pixels fall on the sky map.

    `window` holds all of its pixels that are wanted, and few others.
    """

    path: str
    offset: int
    length: int
    shape: tuple[int, int]
    scale: float
    window: Window
    lattice: Lattice


@dataclass
class Visit:
    """What the stack knows of a visit.

    Attributes
    ----------
    detectors
        Those that touch the patch, in the order of the file.
    weight
        Inverse of the median variance of the sky in the units of the co-add: one number for a
        visit, so that the point spread function of the co-add is a fixed mean of the visits'.
    fwhm
        Seeing in pixels of the sky map, or NaN.
    """

    detectors: list[Detector]
    weight: float
    fwhm: float


def prepare_visit(
    path: str,
    facts: Mapping[str, Any],
    ccds: Sequence[str],
    skymap: SkyMap,
    window: Window,
    zero_point: float,
) -> Visit | None:
    """Gather what the stack needs of a visit's detectors.

    Parameters
    ----------
    path, facts
        The file of the cleaned visit, and what was found in cleaning it.
    ccds
        Names of the detectors that may touch the window.
    skymap, window
        The sky map and the pixels of it that are wanted, margin included.
    zero_point
        Zero point of the co-add, mag.

    Returns
    -------
    Visit or None
        None where no sound detector is left.
    """
    sound = [ccd for ccd in facts["ccds"] if not ccd["problem"]]
    if not sound:
        return None
    sky = skymap.wcs
    scales = {ccd["ccd"]: 10 ** (0.4 * (zero_point - ccd["zero_point"])) for ccd in sound}
    detectors = []
    for ccd in sound:
        if ccd["ccd"] not in ccds:
            continue
        wcs = celestial_wcs(fits.Header.fromstring(ccd["wcs"], sep="\n"))
        shape = (ccd["shape"][0], ccd["shape"][1])
        part = _shared(_outline(sky, wcs, shape), window)
        if part is None:
            continue
        place = path, ccd["offset"], ccd["length"]
        nodes = lattice(sky, wcs, part)
        detectors.append(Detector(*place, shape, scales[ccd["ccd"]], part, nodes))
    # All detectors of the visit count, not only those at hand: the weight is that of the visit.
    area = [(skymap.pixel_scale / ccd["pixel_scale"]) ** 2 for ccd in sound]
    noise = [
        scales[ccd["ccd"]] * ccd["noise"] * math.sqrt(a) for ccd, a in zip(sound, area, strict=True)
    ]
    return Visit(
        detectors, 1 / float(np.median(noise)) ** 2, seeing(dict(facts)) / skymap.pixel_scale
    )


def _outline(sky: WCS, exposure: WCS, shape: tuple[int, int]) -> Window:
    """Return a window of the sky map that holds all pixels of a detector."""
    x, y = sky.all_world2pix(*celestial(border(exposure, shape)), 0)
    low, high = np.floor([y.min(), x.min()]) - REACH, np.ceil([y.max(), x.max()]) + REACH
    return int(low[0]), int(high[0]), int(low[1]), int(high[1])


def _shared(one: Window, other: Window) -> Window | None:
    """Return the pixels that two windows share."""
    y0, x0 = max(one[0], other[0]), max(one[2], other[2])
    y1, x1 = min(one[1], other[1]), min(one[3], other[3])
    return (y0, y1, x0, x1) if y0 < y1 and x0 < x1 else None


def prepare_visits(
    paths: Sequence[str],
    facts: Sequence[Mapping[str, Any]],
    ccds: Sequence[Sequence[str]],
    skymap: SkyMap,
    window: Window,
    zero_point: float,
) -> dict[str, Visit]:
    """Gather what the stack needs, by name of the visit and in the order of the names.

    Each argument of `prepare_visit` as a list; ``window`` is that of the patch.
    """
    y0, y1, x0, x1 = window
    wanted = y0 - MARGIN, y1 + MARGIN, x0 - MARGIN, x1 + MARGIN
    visits = {
        each["visit"]: prepare_visit(path, each, names, skymap, wanted, zero_point)
        for path, each, names in zip(paths, facts, ccds, strict=True)
    }
    return {name: visit for name, visit in sorted(visits.items()) if visit is not None}


def coadd_patch(
    visits: Sequence[Visit],
    window: Window,
    *,
    block: int,
    kernel: str,
    clip: Mapping[str, Any],
    threads: int,
    progress: Callable[..., Iterable[Any]],
) -> dict[str, npt.NDArray[Any]]:
    """Stack the visits of a patch.

    Parameters
    ----------
    visits
        In an order that does not depend on the patch.
    window
        The pixels of the patch.
    block
        Width of the blocks; any number gives the same result.
    kernel
        ``lanczos3`` or ``bilinear``.
    clip
        The section ``coadd`` of the configuration: ``clip``, ``sigma``, ``iterations``.
    threads
        Visits warped, and bands of a block stacked, at a time.
    progress
        Passes blocks on while it shows how many are done.

    Returns
    -------
    dict
        ``IMAGE``, ``VARIANCE`` float32, ``MASK`` uint8, ``NIMAGE`` int16, each (Y, X).
    """
    y0, y1, x0, x1 = window
    planes: dict[str, npt.NDArray[Any]] = {
        "IMAGE": np.full((y1 - y0, x1 - x0), np.nan, np.float32),
        "MASK": np.full((y1 - y0, x1 - x0), NODATA, np.uint8),
        "VARIANCE": np.full((y1 - y0, x1 - x0), np.nan, np.float32),
        "NIMAGE": np.zeros((y1 - y0, x1 - x0), np.int16),
    }
    blocks = [
        (top, min(top + block, y1), left, min(left + block, x1))
        for top in range(y0, y1, block)
        for left in range(x0, x1, block)
    ]
    with ThreadPoolExecutor(threads) as pool:
        for inner in progress(blocks, "blocks", len(blocks)):
            result = _coadd_block(visits, inner, kernel, clip, threads, pool)
            if result is None:
                continue
            cut = slice(inner[0] - y0, inner[1] - y0), slice(inner[2] - x0, inner[3] - x0)
            for name, data in zip(("IMAGE", "VARIANCE", "MASK", "NIMAGE"), result, strict=True):
                planes[name][cut] = data
    return planes


def _coadd_block(
    visits: Sequence[Visit],
    inner: Window,
    kernel: str,
    clip: Mapping[str, Any],
    threads: int,
    pool: ThreadPoolExecutor,
) -> tuple[npt.NDArray[Any], ...] | None:
    outer = inner[0] - MARGIN, inner[1] + MARGIN, inner[2] - MARGIN, inner[3] + MARGIN
    shape = outer[1] - outer[0], outer[3] - outer[2]
    present = [(v, d) for v in visits if (d := _touching(v, outer))]
    if not present:
        return None
    image = np.full((len(present), *shape), np.nan, np.float32)
    variance = np.full((len(present), *shape), np.nan, np.float32)
    mask = np.full((len(present), *shape), NODATA, np.uint8)

    def fill(index: int) -> None:
        for detector, target, part in present[index][1]:
            rows = slice(target[0] - outer[0], target[1] - outer[0])
            columns = slice(target[2] - outer[2], target[3] - outer[2])
            cut = index, rows, columns
            warp(
                *CleanCcd(detector.path, detector.offset, detector.length).planes(*part),
                (part[0], part[2]),
                detector.lattice,
                target,
                kernel=kernel,
                scale=detector.scale,
                shape=detector.shape,
                out=Planes(image[cut], variance[cut], mask[cut]),
            )

    list(pool.map(fill, range(len(present))))
    weights = np.array([visit.weight for visit, _ in present])
    fwhm = np.array([visit.fwhm for visit, _ in present])

    def stack(rows: tuple[int, int]) -> tuple[npt.NDArray[Any], ...]:
        band = slice(rows[0], rows[1] + 2 * MARGIN)
        whole = coadd_stack(image[:, band], variance[:, band], mask[:, band], weights, fwhm, **clip)
        return tuple(plane[MARGIN:-MARGIN, MARGIN:-MARGIN] for plane in whole)

    bands = partition(inner[1] - inner[0], threads)
    return tuple(np.concatenate(parts) for parts in zip(*pool.map(stack, bands), strict=True))


def _touching(visit: Visit, window: Window) -> list[tuple[Detector, Window, Window]]:
    """Return the detectors that a window needs: for which pixels of it, and which of theirs."""
    return [
        (detector, target, part)
        for detector in visit.detectors
        if (target := _shared(detector.window, window))
        and (part := needed(detector.lattice, target, detector.shape))
    ]


def coadd_facts(
    planes: Mapping[str, npt.NDArray[Any]], visits: Mapping[str, Visit]
) -> dict[str, Any]:
    """Return the figures of a co-add that quality control gathers."""
    covered = planes["NIMAGE"] > 0
    n = int(np.count_nonzero(covered))
    return {
        "visits": list(visits),
        "n_pixels": int(covered.size),
        "n_covered": n,
        "n_few": int(np.count_nonzero(planes["MASK"] & FEW)),
        "n_clipped": int(np.count_nonzero(planes["MASK"] & CLIPPED)),
        "median_n_images": float(np.median(planes["NIMAGE"][covered])) if n else 0.0,
        "median_noise": float(np.sqrt(np.median(planes["VARIANCE"][covered]))) if n else None,
    }
