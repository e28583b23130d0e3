"""The maps of all subjects as a matrix voxels x subjects, adjusted for covariates.

Maps are read one at a time into a scratch file, and that is turned on its side block by block, so
that memory follows from the size of a block, not of the study.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tessera import nifti
from tessera.errors import InputError, Problem
from tessera.vgwas.voxels import CONSTANT, NAN, TESTED, Grid

Floats = npt.NDArray[np.float64]

BLOCK = 1 << 22  # values of the matrix in memory at a time, in double precision
_NEAR_CONSTANT = 1e-6
"""Length of a voxel's values once adjusted, relative to that before, below which it is constant:
values in single precision hold no more digits."""

_SHOWN = 3


@dataclass(frozen=True)
class Stack:
    """Maps as they were read.

    Attributes
    ----------
    values
        (N, V) float32, a file on disk.
    bad_maps
        Subject to the problem with its file.
    not_finite
        Subject to the number of voxels without a finite value, where there are any.
    nan_voxels
        (V,) whether any subject that is not among `bad_maps` has no finite value there.
    """

    values: npt.NDArray[np.float32]
    bad_maps: dict[str, Problem]
    not_finite: dict[str, int]
    nan_voxels: npt.NDArray[np.bool_]


def read_maps(maps: Iterable[tuple[str, str]], n: int, grid: Grid, scratch: Path) -> Stack:
    """Read N maps into a scratch file.

    Parameters
    ----------
    maps
        Subject and file of each.
    n
        How many there are.
    grid
        Its voxels are read.
    scratch
        File to be made.
    """
    shape = (n, len(grid.flat))
    values = np.lib.format.open_memmap(scratch, mode="w+", dtype=np.float32, shape=shape)
    bad: dict[str, Problem] = {}
    not_finite: dict[str, int] = {}
    nan_voxels = np.zeros(len(grid.flat), bool)
    for row, (subject, path) in enumerate(maps):
        try:
            values[row] = nifti.read(path).ravel()[grid.flat]
        except InputError as error:
            bad[subject] = error.problems[0]
            continue
        wrong = ~np.isfinite(values[row])
        if wrong.any():
            not_finite[subject] = int(wrong.sum())
            nan_voxels |= wrong
    return Stack(values, bad, not_finite, nan_voxels)


def refuse_nan(stack: Stack, maps: dict[str, str]) -> None:
    """Raise an error that counts values that are no numbers, with examples."""
    if not stack.not_finite:
        return
    remedy = "mask them out, or set vgwas.nan to drop_voxel or drop_subject"
    many = len(stack.not_finite)
    more = f" (one of {many} such maps)" if many > 1 else ""
    raise InputError(
        Problem(
            maps[subject], "", f"{count} voxels of the mask hold no finite number{more}", remedy
        )
        for subject, count in list(stack.not_finite.items())[:_SHOWN]
    )


@dataclass(frozen=True)
class Phenotype:
    """What the phenotype step tells beside the matrix itself.

    Attributes
    ----------
    status
        (V,) of every voxel of the mask: tested, constant or nan.
    scale
        Length of each tested voxel's adjusted values, by which its row was divided.
    norm
        Length of the row as it is stored: 1 but for rounding.
    """

    status: npt.NDArray[np.str_]
    scale: Floats
    norm: Floats


def adjust(
    stack: Stack,
    rows: npt.NDArray[np.int64],
    basis: Floats,
    drop: npt.NDArray[np.bool_],
    target: Path,
    progress: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> Phenotype:
    """Take the covariates out of every voxel and write the rows, each of length 1.

    Residuals are computed in double precision and stored in single.

    Parameters
    ----------
    stack
        The maps.
    rows
        (N,) rows of the stack that take part, in the order of the model.
    basis
        (K, N) orthonormal covariates.
    drop
        (V,) voxels to leave out for values that are no numbers.
    target
        File to be made: (tested voxels, N) float32, npy.
    """
    n_voxels, n = stack.values.shape[1], len(rows)
    block = max(1, BLOCK // n)
    status = np.where(drop, NAN, TESTED).astype("<U8")
    scales, norms = [], []
    # How many voxels are constant is known at the end only: the file is cut to its size then.
    longest = (n_voxels - int(drop.sum()), n)
    matrix = np.lib.format.open_memmap(target, mode="w+", dtype=np.float32, shape=longest)
    done = 0
    for start in progress(range(0, n_voxels, block)):
        stop = min(start + block, n_voxels)
        here = start + np.flatnonzero(~drop[start:stop])
        y = np.asarray(stack.values[:, start:stop])[rows][:, here - start].T.astype(np.float64)
        before = np.sqrt(np.einsum("ij,ij->i", y, y))
        y -= y.mean(axis=1, keepdims=True)
        for _ in range(2):
            y -= (y @ basis.T) @ basis
        after = np.sqrt(np.einsum("ij,ij->i", y, y))
        varies = after > _NEAR_CONSTANT * before
        status[here[~varies]] = CONSTANT
        unit = (y[varies] / after[varies, None]).astype(np.float32)
        matrix[done : done + len(unit)] = unit
        done += len(unit)
        scales.append(after[varies])
        norms.append(np.sqrt(np.einsum("ij,ij->i", unit, unit, dtype=np.float64)))
    matrix.flush()
    _shorten(target, matrix.offset, (done, n))
    return Phenotype(status, np.concatenate(scales), np.concatenate(norms))


def _shorten(path: Path, offset: int, shape: tuple[int, int]) -> None:
    """Cut a matrix in an npy file to the rows that were filled."""
    with path.open("r+b") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": shape}
        )
        if file.tell() != offset:
            raise RuntimeError("the header of the matrix changed its length")
        file.truncate(offset + 4 * shape[0] * shape[1])
