"""A diffusion acquisition: what its headers tell, and its one-pass import into a plain array."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from tessera import nifti
from tessera.errors import InputError, Problem
from tessera.neuro.gradients import read_gradients
from tessera.neuro.slabs import mppca_radius as patch_radius_of_mppca

_AFFINE_TOLERANCE = 1e-3  # mm


@dataclass(frozen=True, eq=False)
class Imported:
    """What one pass over the samples gathered.

    Attributes
    ----------
    mean_b0
        ``(Z, Y, X)`` float32, mean of the finite b0 samples; nan where a voxel has none.
    nonfinite, nonpositive
        ``(V,)`` int64, samples per volume that are nan or infinite, and that are finite but <= 0.
    """

    mean_b0: NDArray[np.float32]
    nonfinite: NDArray[np.int64]
    nonpositive: NDArray[np.int64]


def check_row(row: Mapping[str, Any], **limits: Any) -> list[Problem]:
    """Check an acquisition as its row of the sheet names it; see `check_headers`.

    A row of a BIDS dataset may bring problems of its own.
    """
    if row.get("problems"):
        return [Problem(**problem) for problem in row["problems"]]
    return check_headers(row["dwi"], row["bval"], row["bvec"], row.get("mask"), **limits)


def check_headers(
    dwi: Path | str,
    bval: Path | str,
    bvec: Path | str,
    mask: Path | str | None = None,
    *,
    b0_max: float,
    fit_bmax: float = math.inf,
    mppca_radius: int | None = None,
) -> list[Problem]:
    """Check all that can be checked of an acquisition without reading its samples.

    Parameters
    ----------
    dwi
        NIfTI file of the diffusion-weighted series.
    bval, bvec
        Its gradients in FSL's format.
    mask
        NIfTI file of a brain mask on the same grid, if there is one.
    b0_max, fit_bmax
        As `tessera.neuro.gradients.read_gradients`.
    mppca_radius
        Patch radius that MP-PCA was asked for; None where the signal is not denoised so.

    Returns
    -------
    list of Problem
        Every problem found; empty for a sound acquisition.
    """
    problems: list[Problem] = []
    series = _header(dwi, problems)
    if series is not None:
        if len(series.shape) != 4:
            problems.append(
                Problem(
                    str(dwi),
                    "",
                    f"the image has {len(series.shape)} dimensions, not 4",
                    "give the whole series, all volumes in one file",
                )
            )
        else:
            try:
                read_gradients(bval, bvec, series.shape[3], b0_max=b0_max, fit_bmax=fit_bmax)
            except InputError as error:
                problems.extend(error.problems)
            if mppca_radius is not None:
                problems.extend(_check_extent(dwi, series.shape, mppca_radius))
    if mask is not None:
        grid = _header(mask, problems)
        if grid is not None and series is not None:
            problems.extend(_compare_grids(mask, grid, dwi, series))
    return problems


def import_acquisition(dwi: Path | str, out_path: Path | str, is_b0: NDArray[np.bool_]) -> Imported:
    """Decompress a series once, into a ``.npy`` file of float32 ``(V, Z, Y, X)``.

    Samples that are not finite are stored as nan. Memory holds a few volumes, whatever V is.

    Parameters
    ----------
    dwi
        NIfTI file of four dimensions.
    out_path
        File to write, exactly this one; of no use when an error is raised.
    is_b0
        ``(V,)``, the volumes that go into the mean b0.

    Returns
    -------
    Imported
        Mean b0 and counts of unusable samples.

    Raises
    ------
    InputError
        The data are truncated or corrupt; or volumes hold one value only (a dropped or padded
        volume), no finite sample, or no positive one. Single bad samples are counted, not refused.
    """
    x, y, z, count = nifti.read_header(dwi).shape
    if is_b0.shape != (count,) or not is_b0.any():
        raise ValueError(f"is_b0 must mark at least one of {count} volumes")
    nonfinite = np.zeros(count, dtype=np.int64)
    nonpositive = np.zeros(count, dtype=np.int64)
    b0_sum = np.zeros((z, y, x), dtype=np.float64)
    b0_samples = np.zeros((z, y, x), dtype=np.int64)
    faults: dict[str, list[int]] = {}
    with Path(out_path).open("wb") as stream:
        description = {"descr": "<f4", "fortran_order": False, "shape": (count, z, y, x)}
        npy.write_array_header_1_0(stream, description)
        for v, volume in enumerate(nifti.volumes(dwi)):
            finite = np.isfinite(volume)
            volume[~finite] = np.nan
            nonfinite[v] = volume.size - np.count_nonzero(finite)
            nonpositive[v] = np.count_nonzero(volume <= 0)
            fault = _volume_fault(volume, int(nonfinite[v]), int(nonpositive[v]))
            if fault:
                faults.setdefault(fault, []).append(v + 1)
            if is_b0[v]:
                np.add(b0_sum, volume, out=b0_sum, where=finite)
                b0_samples += finite
            stream.write(volume.astype("<f4", copy=False).data)
    if faults:
        raise InputError(_fault_problems(dwi, faults, count))
    mean = np.divide(b0_sum, b0_samples, out=np.full_like(b0_sum, np.nan), where=b0_samples > 0)
    return Imported(mean.astype(np.float32), nonfinite, nonpositive)


def _check_extent(dwi: Path | str, shape: tuple[int, ...], mppca_radius: int) -> Iterable[Problem]:
    needed = 2 * patch_radius_of_mppca(mppca_radius, shape[3]) + 1
    if min(shape[:3]) < needed:
        what = f"{' x '.join(map(str, shape[:3]))} voxels are too few for patches of {needed}"
        yield Problem(str(dwi), "", what, "set neuro.denoise.method to nlm or none")


def _header(path: Path | str, problems: list[Problem]) -> nifti.Header | None:
    try:
        header = nifti.read_header(path)
    except InputError as error:
        problems.extend(error.problems)
        return None
    axes = header.affine[:3, :3]
    samples = math.prod(header.shape)
    # Compression by more than a thousand is beyond what gzip can do.
    most = Path(path).stat().st_size * (1100 if str(path).endswith(".gz") else 1)
    if min(header.shape) < 1 or samples * header.dtype.itemsize > most:
        what = (
            f"the header tells of {' x '.join(map(str, header.shape))} samples, the file is smaller"
        )
        problems.append(Problem(str(path), "", what, "copy or export the file again"))
        return None
    if not np.isfinite(header.affine).all() or min(header.zooms) <= 0:
        what = f"voxel sizes of {' x '.join(f'{size:g}' for size in header.zooms)} mm"
    # Relative to the voxel's volume: a shear or a lost axis, whatever the unit.
    elif abs(np.linalg.det(axes)) < 1e-3 * math.prod(header.zooms):
        what = "the affine is singular (its axes lie in one plane)"
    else:
        return header
    problems.append(Problem(str(path), "", what, "correct sform and qform in the header"))
    return None


def _compare_grids(
    mask: Path | str, grid: nifti.Header, dwi: Path | str, series: nifti.Header
) -> Iterable[Problem]:
    remedy = f"resample the mask to the grid of {Path(dwi).name}"
    if grid.shape != series.shape[:3]:
        found, wanted = (" x ".join(map(str, shape)) for shape in (grid.shape, series.shape[:3]))
        yield Problem(str(mask), "", f"the mask has {found} voxels, the series {wanted}", remedy)
        return
    difference = float(np.abs(grid.affine - series.affine).max())
    if difference > _AFFINE_TOLERANCE:
        what = f"the affine differs from that of the series by up to {difference:.3g} mm"
        yield Problem(str(mask), "", what, remedy)


def _volume_fault(volume: NDArray[np.float32], nonfinite: int, nonpositive: int) -> str:
    usable = volume.size - nonfinite
    if not usable:
        return "no finite sample"
    if np.nanmin(volume) == np.nanmax(volume):
        return "one value only"
    return "no positive sample" if nonpositive == usable else ""


def _fault_problems(path: Path | str, faults: dict[str, list[int]], count: int) -> list[Problem]:
    return [
        Problem(
            str(path),
            f"volume{'s' if len(where) > 1 else ''} {', '.join(map(str, where))} of {count}",
            f"{'hold' if len(where) > 1 else 'holds'} {fault}",
            "remove from the series, with b-value and b-vector, or export the file again",
        )
        for fault, where in faults.items()
    ]
