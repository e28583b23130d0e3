"""The demonstration data of the pipeline: a small survey, its files, its faults and its truth."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.table import Table

from tessera.astro.camera import Ccd, expose
from tessera.astro.scene import BETA, KINDS, STAR, Sources, core_radius
from tessera.astro.survey import (
    Survey,
    Visit,
    counts,
    ideal_snr,
    make_sky,
    make_visits,
    wcs_header,
)

SKYMAP = {"ra": 0.0, "dec": -5.0, "pixel_scale": 0.27, "patch_pixels": 700, "overlap_pixels": 60}
"""The sky map on which the field of `demonstration` lies in four patches."""


_BLOCK = 2880


@dataclass(frozen=True)
class Form:
    """How a visit is stored, and what is wrong with it.

    Attributes
    ----------
    packed
        Tile-compressed, as by fpack.
    floating
        The image as float32, not as uint16; the mask as int32.
    planes
        There are mask and variance planes. Where there are none, there are no defects either.
    nan, torn, lost
        Number of the CCD with pixels that are NaN, with bytes that its CHECKSUM does not fit, and
        without a WCS; 0 for none.
    """

    packed: bool = False
    floating: bool = False
    planes: bool = True
    nan: int = 0
    torn: int = 0
    lost: int = 0


PLAIN = Form()
FORMS = (
    *(PLAIN, PLAIN, Form(packed=True), Form(floating=True, nan=2)),
    *(Form(planes=False), Form(planes=False), Form(torn=3), Form(lost=4)),
)
"""Of the visits of the demonstration."""


def demonstration(seed: int) -> Survey:
    """Return the survey: eight visits of four CCDs, across 0h of right ascension."""
    # Half a patch from where patch x0y0 has its centre, so that four patches cover the field.
    shift = (SKYMAP["patch_pixels"] - SKYMAP["overlap_pixels"]) / 2 * SKYMAP["pixel_scale"] / 3600
    return Survey(seed, ra=360 - shift, dec=SKYMAP["dec"] + shift)


def write_toy(folder: Path, prefix: str, seed: int) -> str:
    """Write visits and truth.

    Parameters
    ----------
    folder
        An empty folder to fill.
    prefix
        The folder's name as the sheet beside it says it.
    seed
        Of the survey.

    Returns
    -------
    str
        The visits sheet.
    """
    survey = demonstration(seed)
    sky, visits = make_sky(survey), make_visits(survey)
    rows = ["visit\tfile"]
    seen = np.zeros((len(visits), len(sky)), bool)
    cosmic: dict[str, npt.NDArray[np.int32]] = {}
    for visit, form in zip(visits, FORMS, strict=True):
        name = f"{visit.name}.fits.fz" if form.packed else f"{visit.name}.fits"
        rows.append(f"{visit.name}\t{prefix}/{name}")
        for number, ccd in enumerate(write_visit(folder / name, survey, sky, visit, form), 1):
            cosmic[f"{visit.name}_{number}"] = ccd.cosmic
            if number not in (form.torn, form.lost):
                seen[visit.index] |= ccd.seen
    truth = truth_table(survey, sky, visits, seen)
    truth.write(folder / "truth.ecsv", format="ascii.ecsv")
    reference_table(survey, truth, visits).write(folder / "reference.ecsv", format="ascii.ecsv")
    np.savez_compressed(folder / "truth_cr.npz", allow_pickle=False, **cosmic)
    return "\n".join(rows) + "\n"


def write_visit(
    place: Path, survey: Survey, sky: Sources, visit: Visit, form: Form = PLAIN
) -> Iterator[Ccd]:
    """Take the pictures of a visit and write them, detector by detector; yield each in turn.

    Parameters
    ----------
    place
        The file, complete when the last detector was taken.
    survey, sky, visit
        What is observed.
    form
        How it is stored.
    """
    primary = fits.PrimaryHDU()
    primary.header["VISIT"] = visit.name
    primary.header["FILTER"], primary.header["EXPTIME"] = "r", (90.0, "s")
    with place.open("wb") as stream:
        stream.write(_bytes_of([primary]))
        for number in range(1, survey.n_ccds + 1):
            ccd = expose(survey, sky, visit, number, defects=form.planes)
            stream.write(_planes(survey, visit, number, ccd, form))
            yield ccd


def truth_table(
    survey: Survey, sky: Sources, visits: list[Visit], seen: npt.NDArray[np.bool_]
) -> Table:
    """Return what was on a detector.

    Parameters
    ----------
    survey, sky, visits
        What was observed.
    seen
        (visits, N) bool: where each source is on a detector that is not set aside.

    Returns
    -------
    astropy.table.Table
        A row per source, with the ``visits`` that see it and, of points, the signal-to-noise ratio
        ``snr_ideal`` that those can give at best; ``half_light_radius`` is in arcsec, movers' pace
        ``move_ra``, ``move_dec`` in arcsec per visit, counted from visit 0, where they are at
        ``ra``, ``dec``.
    """
    snr = ideal_snr(sky.mag, seen, visits, survey.pixel_scale)
    snr[sky.half_light_radius > 0] = np.nan
    names = np.array([visit.name for visit in visits])
    columns = {
        "id": np.arange(1, len(sky) + 1),
        "kind": np.array(KINDS)[sky.kind],
        "ra": sky.ra.round(9),
        "dec": sky.dec.round(9),
        "mag": sky.mag.round(5),
        "half_light_radius": sky.half_light_radius.round(4),
        "axis_ratio": sky.axis_ratio.round(4),
        "position_angle": sky.position_angle.round(3),
        "move_ra": sky.move_ra.round(4),
        "move_dec": sky.move_dec.round(4),
        "isolated": sky.isolated,
        "snr_ideal": snr.round(3),
        "n_visits": seen.sum(axis=0),
        "visits": [",".join(names[column]) for column in seen.T],
    }
    return Table(columns)[seen.any(axis=0)]


def reference_table(survey: Survey, truth: Table, visits: list[Visit]) -> Table:
    """Return the catalogue a user would have: bright stars that are saturated in no visit."""
    full = np.full(len(truth), False)
    for visit in visits:
        peak = (BETA - 1) / (np.pi * core_radius(visit.fwhm / survey.pixel_scale) ** 2)
        full |= peak * counts(np.asarray(truth["mag"]), visit) + visit.sky > 0.8 * visit.saturate
    stars = truth[(truth["kind"] == KINDS[STAR]) & (truth["snr_ideal"] >= 100) & ~full]
    return stars["ra", "dec", "mag"]


def _planes(survey: Survey, visit: Visit, number: int, ccd: Ccd, form: Form) -> bytes:
    """Return the bytes of the extensions of a detector."""
    header = ccd.header.copy()
    if number == form.lost:
        for key in wcs_header(survey, visit, number):
            del header[key]
    data: dict[str, npt.NDArray] = {
        "IMAGE": ccd.image if form.floating else np.rint(ccd.image).astype(np.uint16)
    }
    if number == form.nan:
        data["IMAGE"][40:43, 60:65] = np.nan
    if form.planes:
        data["MASK"] = ccd.mask.astype(np.int32) if form.floating else ccd.mask
        data["VARIANCE"] = ccd.variance
    own = fits.Header({"CCDNUM": number})
    hdus = [
        _extension(name, plane, header if name == "IMAGE" else own, number, form.packed)
        for name, plane in data.items()
    ]
    content = bytearray(_bytes_of([fits.PrimaryHDU(), *hdus])[_BLOCK:])
    if number == form.torn:
        start = len(hdus[0].header.tostring()) + data["IMAGE"].nbytes // 2
        content[start : start + 8] = (byte ^ 0xFF for byte in content[start : start + 8])
    return bytes(content)


def _extension(
    name: str, data: npt.NDArray, header: fits.Header, number: int, packed: bool
) -> fits.ImageHDU | fits.CompImageHDU:
    """Make an extension with CHECKSUM and DATASUM; comments of these would hold the time."""
    if packed:
        # The variance in steps that are far below it, since gzip would note the time.
        how = {"quantize_level": -0.01, "dither_seed": 1} if data.dtype.kind == "f" else {}
        hdu = fits.CompImageHDU(data, header, name=name, compression_type="RICE_1", **how)
    else:
        hdu = fits.ImageHDU(data, header, name=name)
    hdu.ver = number
    hdu.add_checksum(when="of this HDU")
    return hdu


def _bytes_of(hdus: list[fits.hdu.base._BaseHDU]) -> bytes:
    buffer = io.BytesIO()
    fits.HDUList(hdus).writeto(buffer)
    return buffer.getvalue()
