"""The mosaic: the patches of a header's grid in one image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from tessera.astro.bits import NODATA, keywords
from tessera.astro.planes import primary_bytes, read_coadd
from tessera.astro.skymap import SkyMap, Window

PLANES: dict[str, tuple[np.dtype[Any], float]] = {
    "IMAGE": (np.dtype(">f4"), np.nan),
    "MASK": (np.dtype("u1"), NODATA),
    "VARIANCE": (np.dtype(">f4"), np.nan),
    "NIMAGE": (np.dtype(">i2"), 0),
}
"""Name to type in the file and value where there is no data."""
_BLOCK = 2880


def write_mosaic(
    place: Path, coadds: Mapping[str, str], windows: Mapping[str, Window], skymap: SkyMap
) -> None:
    """Write the mosaic, a patch at a time through a map of the file.

    Parameters
    ----------
    place
        Where to write it.
    coadds, windows
        File and pixels of each patch. Pixels that patches share are the same in all of them.
    skymap
        A sky map with an end.
    """
    if skymap.size is None:
        raise ValueError("a grid without end has no mosaic")
    shape = skymap.size
    starts: dict[str, int] = {}
    with place.open("wb") as stream:
        stream.write(primary_bytes(fits.Header()))
        for name, (kind, empty) in PLANES.items():
            header = fits.ImageHDU(np.empty((1, 1), kind), skymap.cards, name=name).header
            header["NAXIS1"], header["NAXIS2"] = shape[1], shape[0]
            if name == "MASK":
                header.update(keywords())
            stream.write(header.tostring().encode("ascii"))
            starts[name] = stream.tell()
            row = np.full(shape[1], empty, kind).tobytes()
            for _ in range(shape[0]):
                stream.write(row)
            stream.write(bytes(-(shape[0] * len(row)) % _BLOCK))
    for patch, path in coadds.items():
        y0, y1, x0, x1 = windows[patch]
        planes, _ = read_coadd(path)
        for name, (kind, _) in PLANES.items():
            whole = np.memmap(place, kind, "r+", starts[name], shape)
            whole[y0:y1, x0:x1] = planes[name]
            whole.flush()
            del whole
