"""The catalogue of a survey: one row per source, its columns, its files; and catalogues to read."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Table
from scipy.spatial import cKDTree

from tessera.astro.index import write_parquet
from tessera.astro.skymap import SkyMap, Window
from tessera.errors import InputError, Problem

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MATCH_RADIUS = 1.5
"""Pixels within which detections of two patches are one source. Both see the same pixel values, so
that positions of one source differ by far less, and the point-spread function is wider."""
_BLIND = 5.0
"""Pixels along the edge of a patch in which it is not expected to find what others do."""


class Column(NamedTuple):
    """What a column of the catalogue holds: numpy dtype, unit (FITS standard), meaning."""

    dtype: str
    unit: str
    description: str


def _apertures() -> dict[str, Column]:
    columns = {}
    for n, word in enumerate(("first", "second", "third"), 1):
        text = f"flux in the {word} circular aperture"
        columns[f"flux_aper_{n}"] = Column("float64", "adu", f"{text}, as measured")
        columns[f"flux_aper_{n}_err"] = Column("float64", "adu", f"standard error of flux_aper_{n}")
    return columns


COLUMNS: dict[str, Column] = {
    "id": Column("int64", "", "number of the source in the catalogue, from 1"),
    "ra": Column("float64", "deg", "right ascension, ICRS"),
    "dec": Column("float64", "deg", "declination, ICRS"),
    "x": Column("float64", "pix", "column in the image of the patch, from 0"),
    "y": Column("float64", "pix", "row in the image of the patch, from 0"),
    "patch": Column("str", "", "patch on which it was measured"),
    "flux": Column("float64", "adu", "best estimate of the total flux: flux_total"),
    "flux_err": Column("float64", "adu", "standard error of flux, correlated noise included"),
    "mag": Column("float64", "mag", "magnitude of flux; NaN where that is not above 0"),
    "mag_err": Column("float64", "mag", "standard error of mag"),
    "snr": Column("float64", "", "signal-to-noise ratio of flux"),
    "significance": Column("float64", "", "peak of the matched filter in standard deviations"),
    **_apertures(),
    "flux_kron": Column("float64", "adu", "flux in the Kron ellipse, as measured"),
    "flux_kron_err": Column("float64", "adu", "standard error of flux_kron"),
    "kron_radius": Column("float32", "", "semi-axes of the Kron ellipse over a and b"),
    "flux_total": Column("float64", "adu", "flux corrected for what lies outside the aperture"),
    "flux_total_err": Column("float64", "adu", "standard error of flux_total"),
    "a": Column("float32", "pix", "rms extent along the major axis"),
    "b": Column("float32", "pix", "rms extent along the minor axis"),
    "theta": Column("float32", "rad", "major axis, counter-clockwise from x, -pi/2 to pi/2"),
    "fwhm": Column("float32", "arcsec", "full width at half maximum, from the half-light radius"),
    "ellipticity": Column("float32", "", "1 - b / a"),
    "extended": Column("bool", "", "significantly larger than a point source"),
    "peak": Column("float32", "adu", "highest pixel"),
    "flags": Column("int32", "", "bits on the measurement; 0: nothing to say"),
    "mask": Column("uint8", "", "bits of the mask plane anywhere in the isophote"),
    "n_images": Column("int16", "", "median number of exposures in the core"),
}
"""The columns of the catalogue, in order. Fluxes are counts at the zero point of the co-adds."""


def merge(tables: Mapping[str, pd.DataFrame], windows: Mapping[str, Window]) -> pd.DataFrame:
    """Make one catalogue of the tables of overlapping patches.

    Each place of the sky belongs to the patch in which it lies deepest (farthest from the nearest
    edge; of equals, the first by name). Detections of different patches within `MATCH_RADIUS` are
    one source, closest pairs first and never two of one patch; it is kept from the patch in which
    it lies deepest. What the patch to which the place belongs has not found is dropped, unless the
    place is at that patch's very edge.

    Parameters
    ----------
    tables
        Name of a patch to its sources: ``x`` and ``y`` (0-based pixels of the patch) and any other
        columns, the same in all.
    windows
        Name of a patch to its pixels of the global grid.

    Returns
    -------
    DataFrame
        The rows kept, with columns ``id`` (from 1) and ``patch`` before the others, ordered by
        name of the patch, y, x. The order of the mapping does not matter.
    """
    names = sorted(tables)
    parts = [tables[n].iloc[np.lexsort((tables[n]["x"], tables[n]["y"]))] for n in names]
    rows = pd.concat(parts, ignore_index=True)
    sizes = [len(part) for part in parts]
    patch = np.repeat(np.arange(len(names)), sizes)
    corners = np.array([windows[name] for name in names], np.int64)
    y = rows["y"].to_numpy(np.float64) + corners[patch, 0]
    x = rows["x"].to_numpy(np.float64) + corners[patch, 2]
    depth = _depth(corners[patch].T, y, x)
    owner, owners_depth = _owners(corners, np.cumsum([0, *sizes]), depth, y, x)
    group = _groups(patch, y, x)

    # A source is confirmed where the owner of its place, as any of its detections has it, is among
    # the patches that found it.
    found_by = group * len(names) + patch
    confirmed = np.isin(group * len(names) + owner, found_by) | (owners_depth < _BLIND)
    genuine = np.zeros(len(rows), bool)
    genuine[group[confirmed]] = True
    order = np.lexsort((np.arange(len(rows)), -depth, group))
    first = order[np.diff(group[order], prepend=-1) != 0]
    kept = np.sort(first[genuine[group[first]]])
    result = rows.iloc[kept].reset_index(drop=True)
    result.insert(0, "id", np.arange(1, len(kept) + 1))
    result.insert(1, "patch", pd.Series([names[i] for i in patch[kept]], dtype="str"))
    return result


def _depth(corners: Ints, y: Floats, x: Floats) -> Floats:
    """Return the distance (pixels) from the nearest edge of windows y0, y1, x0, x1."""
    y0, y1, x0, x1 = corners
    edges = [y - y0 + 0.5, y1 - 0.5 - y, x - x0 + 0.5, x1 - 0.5 - x]
    return np.minimum.reduce(edges)


def _owners(
    corners: Ints, starts: Ints, depth: Floats, y: Floats, x: Floats
) -> tuple[Ints, Floats]:
    """Tell to which patch the place of each row belongs, and how deep it lies there.

    Rows of patch i are ``starts[i]`` to ``starts[i + 1]``.
    """
    owner = np.repeat(np.arange(len(corners)), np.diff(starts))
    deepest = depth.copy()
    y0, y1, x0, x1 = corners.T
    for other, (oy0, oy1, ox0, ox1) in enumerate(corners):
        for patch in np.flatnonzero((y0 < oy1) & (oy0 < y1) & (x0 < ox1) & (ox0 < x1)):
            part = slice(starts[patch], starts[patch + 1])
            there = _depth(corners[other], y[part], x[part])
            deeper = there > deepest[part]
            deeper |= (there == deepest[part]) & (other < owner[part])
            owner[part][deeper] = other
            deepest[part][deeper] = there[deeper]
    return owner, deepest


def _groups(patch: Ints, y: Floats, x: Floats) -> Ints:
    """Give detections of one source the same number: that of one of its rows."""
    group = np.arange(len(patch))
    if not len(patch):
        return group
    points = np.column_stack([y, x])
    pairs = np.sort(cKDTree(points).query_pairs(MATCH_RADIUS, output_type="ndarray"), axis=1)
    pairs = pairs[patch[pairs[:, 0]] != patch[pairs[:, 1]]]
    distance = np.hypot(*(points[pairs[:, 0]] - points[pairs[:, 1]]).T)
    members: dict[int, list[int]] = {}
    for i, j in pairs[np.lexsort((pairs[:, 1], pairs[:, 0], distance))].tolist():
        ours, theirs = members.get(group[i], [i]), members.get(group[j], [j])
        if group[i] != group[j] and not set(patch[ours]) & set(patch[theirs]):
            group[theirs] = group[i]
            members[group[i]] = ours + theirs
    return group


def with_sky(table: pd.DataFrame, windows: Mapping[str, Window], skymap: SkyMap) -> pd.DataFrame:
    """Return a merged table with ``ra`` and ``dec`` (deg), from ``x``, ``y`` and ``patch``."""
    corners = np.array([windows[name] for name in table["patch"]], float).reshape(-1, 4)
    ra, dec = skymap.wcs.all_pix2world(
        table["x"].to_numpy(float) + corners[:, 2], table["y"].to_numpy(float) + corners[:, 0], 0
    )
    return table.assign(ra=np.mod(ra, 360.0), dec=dec)


def write_catalogue(table: pd.DataFrame, *, parquet: Path, binary: Path, ecsv: Path) -> None:
    """Write the same rows and columns as parquet, FITS binary table and ECSV.

    Units and descriptions of `COLUMNS` go along: in the metadata of the fields, as TUNIT and TCOMM,
    in the header. The same table gives the same bytes.

    Parameters
    ----------
    table
        With exactly the columns of `COLUMNS`, in any order; they are converted to its dtypes.
    parquet, binary, ecsv
        Where to write.

    Raises
    ------
    ValueError
        If a column is missing or unknown.
    """
    if odd := sorted(set(table.columns) ^ set(COLUMNS)):
        raise ValueError(f"not columns of both the table and the catalogue: {', '.join(odd)}")
    values = {
        name: np.array(table[name].tolist(), str)
        if column.dtype == "str"
        else table[name].to_numpy(column.dtype)
        for name, column in COLUMNS.items()
    }
    arrays = {name: pa.array(column) for name, column in values.items()}
    fields = [
        pa.field(name, array.type, metadata={"unit": c.unit, "description": c.description})
        for (name, array), c in zip(arrays.items(), COLUMNS.values(), strict=True)
    ]
    write_parquet(pa.Table.from_arrays(list(arrays.values()), schema=pa.schema(fields)), parquet)

    written = Table(values)
    for name, column in COLUMNS.items():
        written[name].unit = column.unit or None
    hdu = fits.table_to_hdu(written)
    hdu.name = "CATALOGUE"
    for number, column in enumerate(COLUMNS.values(), 1):
        hdu.header[f"TCOMM{number}"] = column.description
    hdu.writeto(binary)
    for name, column in COLUMNS.items():
        written[name].description = column.description
    written.write(ecsv, format="ascii.ecsv")


_ALIASES = {
    "ra": ("ra", "raj2000", "ra_icrs", "ra_deg", "alpha_j2000"),
    "dec": ("dec", "dej2000", "decj2000", "de_icrs", "dec_deg", "delta_j2000"),
    "mag": ("mag", "magnitude"),
}
_RANGES = {"ra": (0.0, 360.0), "dec": (-90.0, 90.0), "mag": (-30.0, 50.0)}
_UNITS = {"ra": "deg", "dec": "deg", "mag": "mag"}
_MOST_BYTES = 2_000_000_000
_MOST_ROWS = 50_000_000
_TEXT = {".csv": ",", ".tsv": "\t"}
_BINARY = (".ecsv", ".fits", ".fit", ".parquet")


def read_reference(path: str | Path) -> pd.DataFrame:
    """Read a reference catalogue.

    Parameters
    ----------
    path
        CSV, TSV, ECSV, FITS or parquet, told by the suffix, with columns ``ra``, ``dec`` and
        ``mag`` in any case or under another usual name (``RAJ2000``, ``DEJ2000``, ...).

    Returns
    -------
    DataFrame
        ``ra``, ``dec`` (deg, ICRS) and ``mag``, float64. Rows in which one of them is empty or NaN
        are left out: they say nothing to compare with.

    Raises
    ------
    InputError
        If there is no such table, column or row, or a value is no number or out of range.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    if not file.is_file():
        raise _refuse(file, "does not exist", "correct astro.reference_catalogue")
    if suffix not in (*_TEXT, *_BINARY):
        what = f"is of an unknown kind ({suffix or 'no suffix'})"
        raise _refuse(file, what, f"save it as one of {', '.join((*_TEXT, *_BINARY))}")
    if not 0 < file.stat().st_size <= _MOST_BYTES:
        size = file.stat().st_size
        what = f"has {size / 1e9:.3g} GB" if size else "is empty"
        raise _refuse(file, what, "give the stars of the field alone, at least one")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            columns = _read_columns(file, suffix)
    except InputError:
        raise
    except Exception as error:  # the parsers of four formats have many kinds of their own
        reason = " ".join(str(error).split())[:120].rstrip(".")
        what = f"cannot be read as a table ({reason or type(error).__name__})"
        raise _refuse(file, what, f"check that it is a sound {suffix[1:].upper()} file") from None
    table = pd.DataFrame({name: _numbers(file, name, columns[name]) for name in _ALIASES})
    table = table.dropna(ignore_index=True)
    if table.empty:
        raise _refuse(file, "no row has ra, dec and mag", "add the stars to compare with")
    return table


def _refuse(file: Path, what: str, remedy: str, place: str = "") -> InputError:
    return InputError(Problem(str(file), place, what, remedy))


def _read_columns(file: Path, suffix: str) -> dict[str, pd.Series]:
    """Read what stands in the three columns, as it stands there."""
    if suffix in _TEXT:
        with file.open(encoding="utf-8-sig") as stream:
            comments = 0
            while stream.readline(1_000_000).startswith("#"):
                comments += 1
        layout = {"sep": _TEXT[suffix], "skiprows": comments, "encoding": "utf-8-sig"}
        names = _find(file, list(pd.read_csv(file, nrows=0, **layout)))
        table = pd.read_csv(file, usecols=list(names.values()), dtype=str, **layout)
        return {name: table[own] for name, own in names.items()}
    if suffix == ".parquet":
        content = pq.ParquetFile(file)
        if content.metadata.num_rows > _MOST_ROWS:
            what = f"has {content.metadata.num_rows} rows"
            raise _refuse(file, what, "give the stars of the field alone")
        names = _find(file, content.schema_arrow.names)
        read = content.read(columns=list(names.values()))
        return {name: read[own].to_pandas() for name, own in names.items()}
    if suffix == ".ecsv":
        table = Table.read(file, format="ascii.ecsv")
        names = _find(file, table.colnames)
        units = {name: str(table[own].unit or "") for name, own in names.items()}
        series = {name: pd.Series(table[own].tolist()) for name, own in names.items()}
    else:
        with fits.open(file) as hdus:
            tables = [hdu for hdu in hdus if type(hdu) in (fits.BinTableHDU, fits.TableHDU)]
            if not tables:
                raise _refuse(file, "holds no table HDU", "give a FITS table")
            layout = tables[0].columns
            names = _find(file, layout.names)
            units = {name: layout[own].unit or "" for name, own in names.items()}
            data = tables[0].data
            series = {n: pd.Series(np.asarray(data[own]).tolist()) for n, own in names.items()}
    for name, unit in units.items():
        if unit.lower() not in ("", _UNITS[name], "degree", "degrees"):
            place = f"column {names[name]}"
            raise _refuse(file, f"is in {unit}", f"convert it to {_UNITS[name]}", place)
    return series


def _find(file: Path, there: list[str]) -> dict[str, str]:
    """Find the three columns by any of their names."""
    lower = {str(name).strip().lower(): name for name in reversed(there)}
    found = {
        name: next((lower[a] for a in aliases if a in lower), None)
        for name, aliases in _ALIASES.items()
    }
    missing = [name for name, own in found.items() if own is None]
    if missing:
        listed = ", ".join(str(name)[:40] for name in there[:20]) or "none"
        what = f"there is no column {' or '.join(missing)} (found {listed})"
        raise _refuse(file, what, "name the columns ra, dec (deg) and mag")
    return {name: own for name, own in found.items() if own is not None}


def _numbers(file: Path, name: str, column: pd.Series) -> Floats:
    """Turn a column into numbers; NaN where it is empty."""
    if column.dtype.kind not in "iufO" and column.dtype != "str":  # truth values, times, ...
        what = f"is of type {column.dtype}, no number"
        raise _refuse(file, what, "convert it to floating-point numbers", f"column {name}")
    texts = column.map(lambda value: value.strip() if isinstance(value, str) else value)
    texts = texts.mask(texts.map(lambda value: isinstance(value, str) and not value))
    values = pd.to_numeric(texts, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    low, high = _RANGES[name]
    with np.errstate(invalid="ignore"):
        outside = (values < low) | (values > high)
    for faults, expected in (
        (np.isnan(values) & texts.notna().to_numpy(), "a number"),
        (outside, f"{low:g} to {high:g} {_UNITS[name]}"),
    ):
        if faults.any():
            row = int(np.argmax(faults))
            what = f"found {str(column.iloc[row])[:40]!r} where {expected} is expected"
            more = f" ({np.count_nonzero(faults)} such rows)" if faults.sum() > 1 else ""
            remedy = "correct it, or leave the cell empty"
            raise _refuse(file, what + more, remedy, f"row {row + 1}, column {name}")
    return values
