"""Metadata of cells in an AnnData file, as plain columns."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd

from tessera.cells.h5ad_safety import reading_h5
from tessera.cells.metadata_columns import check_groups, few, unknown_columns
from tessera.errors import InputError, Problem

UMAP = "X_umap"
UMAP_COLUMNS = ("umap_1", "umap_2")


def read_obs(
    file: str, h5: h5py.File, names: list[str], columns: Sequence[str]
) -> tuple[pd.DataFrame, list[str]]:
    """Read the metadata of all cells.

    Parameters
    ----------
    file, h5
        The file as the user named it, and open.
    names
        Names of the cells.
    columns
        Columns that group cells.

    Returns
    -------
    table : DataFrame
        As `tessera.cells.chunks.Source.table` has it.
    warnings : list of str
        Unused categories, and columns that are left out.

    Raises
    ------
    InputError
        obs cannot be read, lacks a column, or has gaps in one that groups cells.
    """
    from anndata.io import read_elem  # takes a second to import

    with reading_h5(file), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old forms, which are read all the same
        obs = read_elem(h5["obs"])
        if not isinstance(obs, pd.DataFrame) or len(obs) != len(names):
            raise ValueError("obs is no table of the cells")
    known = [str(name) for name in obs.columns]
    problems = unknown_columns(file, "obs", known, columns)
    frame, odd = pd.DataFrame({"cell": np.asarray(names, object)}), []
    for name, series in zip(known, (obs[column] for column in obs.columns), strict=True):
        unused = _unused(series)
        if unused:
            shown = few(unused)
            odd.append(f"{file}: obs, column {name}: no cell is of category {shown}")
        values = _texts(series) if name in columns else _plain(series)
        if values is None:
            odd.append(f"{file}: obs, column {name}: left out, for it holds no text or numbers")
            continue
        frame[name] = pd.Series(values, dtype=values.dtype)
        if name in columns:

            def place(n: int, name: str = name) -> str:
                return f"obs, column {name}, cell {names[n]}"

            problems += check_groups(file, place, values)
    problems += _add_umap(file, h5, frame, odd)
    if problems:
        raise InputError(problems)
    return frame, odd


def _unused(series: pd.Series) -> list[str]:
    if not isinstance(series.dtype, pd.CategoricalDtype):
        return []
    codes = series.cat.codes.to_numpy()
    counts = np.bincount(codes[codes >= 0], minlength=len(series.cat.categories))
    return [str(series.cat.categories[n]) for n in np.flatnonzero(counts == 0)]


def _texts(series: pd.Series) -> npt.NDArray[Any]:
    """Return a column as text, None where missing."""
    values = np.empty(len(series), object)
    known: dict[Any, str] = {}
    gaps = series.isna().to_numpy(bool)
    for n, value in enumerate(series.tolist()):
        if not gaps[n]:
            values[n] = known.setdefault(value, str(value))
    return values


def _plain(series: pd.Series) -> npt.NDArray[Any] | None:
    """Return a column as numbers or text; None if it is neither."""
    dtype, gaps = series.dtype, series.isna()
    if isinstance(dtype, pd.CategoricalDtype) or pd.api.types.is_object_dtype(dtype):
        there = series[~gaps]
        if isinstance(dtype, pd.CategoricalDtype) or there.map(lambda v: isinstance(v, str)).all():
            return _texts(series)
        return None
    if pd.api.types.is_string_dtype(dtype) or (pd.api.types.is_bool_dtype(dtype) and gaps.any()):
        return _texts(series)
    if pd.api.types.is_bool_dtype(dtype):
        return series.to_numpy(bool)
    if pd.api.types.is_integer_dtype(dtype):
        large = bool((series[~gaps] > np.iinfo(np.int64).max).any())
        return (
            series.to_numpy(np.float64, na_value=np.nan)
            if gaps.any() or large
            else series.to_numpy(np.int64)
        )
    if pd.api.types.is_float_dtype(dtype):
        return series.to_numpy(np.float64, na_value=np.nan)
    return None


def _add_umap(file: str, h5: h5py.File, frame: pd.DataFrame, odd: list[str]) -> list[Problem]:
    """Add the places of cells in a UMAP, if there are any."""
    if "obsm" not in h5 or UMAP not in h5["obsm"]:
        return []
    places = h5["obsm"][UMAP]
    place = f"obsm, {UMAP}"
    numbers = isinstance(places, h5py.Dataset) and places.dtype.kind in "iuf" and places.ndim == 2
    if not numbers or places.shape[1] < 2:
        odd.append(f"{file}: {place}: left out, for it is no array of two columns")
        return []
    if places.shape[0] != len(frame):
        what = f"has {places.shape[0]} rows for {len(frame)} cells"
        return [Problem(file, place, what, "write the file again with anndata's write_h5ad")]
    with reading_h5(file):
        values = places[:, :2].astype(np.float64)
    for column, name in enumerate(UMAP_COLUMNS):
        frame[name] = values[:, column]
    return []
