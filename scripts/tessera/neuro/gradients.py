"""Diffusion gradients: b-values and b-vectors as FSL writes them, and the turn to scanner axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tessera.errors import InputError, Problem

_LENGTH_TOLERANCE = 0.01
# No dMRI protocol has a largest b-value this low in s/mm2; in ms/um2 all have.
_LOWEST_MAX_B = 50.0
# Directions that lie in a plane up to the rounding of their digits still give a full rank in exact
# arithmetic. The smallest singular value of usable designs (6 to 1,000 directions, one b0) is
# above 1e-2 of the largest.
_RANK_TOLERANCE = 1e-3


def read_gradients(
    bval: Path | str,
    bvec: Path | str,
    n_volumes: int,
    *,
    b0_max: float,
    fit_bmax: float = math.inf,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read b-values and b-vectors and check that a tensor can be fitted with them.

    Parameters
    ----------
    bval
        Text file of V numbers, in a row or a column.
    bvec
        Text file of 3 rows and V columns (FSL) or V rows and 3 columns; 3 x 3 is read as FSL does.
    n_volumes
        Volumes of the image they describe.
    b0_max
        Volumes up to this b-value (s/mm2) count as b0; their vectors may be zero or missing (nan).
    fit_bmax
        Volumes up to this b-value (s/mm2) are fitted.

    Returns
    -------
    bvals : ndarray
        ``(V,)`` float64 in s/mm2.
    bvecs : ndarray
        ``(V, 3)`` float64 in the file's own frame (see `to_ras`), of unit length, or zero for a b0
        without direction.

    Raises
    ------
    InputError
        With every problem of both files. Columns (or rows) are counted from 1.
    """
    problems: list[Problem] = []
    value_rows = _read_rows(bval, problems)
    vector_rows = _read_rows(bvec, problems)
    if problems:
        raise InputError(problems)

    if len(vector_rows) == 1 and len(value_rows) == 3:
        what, remedy = (
            "three rows where one is expected, and the bvec file has one",
            ("bval and bvec look swapped: exchange them in the sheet"),
        )
        raise InputError(Problem(str(bval), "", what, remedy))
    bvals = np.array([number for row in value_rows for number in row])
    vectors, axis = _vectors(bvec, vector_rows, n_volumes, problems)
    if not len(bvals) == n_volumes == (n_volumes if vectors is None else len(vectors)):
        found = "an unknown number of" if vectors is None else str(len(vectors))
        problems.append(
            Problem(
                str(bval),
                "",
                f"{len(bvals)} b-values, {found} b-vectors and {n_volumes} volumes",
                "give one b-value and one b-vector per volume",
            )
        )
    bval_axis = "column" if len(value_rows) == 1 else "row"
    usable_bvals = _check_bvals(bval, bvals, b0_max, bval_axis, problems)
    if vectors is not None and len(vectors) == len(bvals):
        vectors = _check_bvecs(bvec, vectors, bvals <= b0_max, axis, problems)
        if usable_bvals and not problems:
            _check_rank(bvec, bvals, vectors, fit_bmax, problems)
    if problems or vectors is None:
        raise InputError(problems)
    return bvals, vectors


def to_ras(bvecs: NDArray[np.float64], affine: NDArray[np.floating]) -> NDArray[np.float64]:
    """Turn b-vectors of FSL's convention into scanner RAS axes.

    FSL's vectors are in the image's axes, with x negated when the affine's determinant is positive.
    They are rotated by the affine's columns at unit length, as MRtrix does.

    Parameters
    ----------
    bvecs
        ``(V, 3)`` vectors as in the file.
    affine
        ``(4, 4)``, voxel indices to scanner RAS coordinates in mm; must be invertible.

    Returns
    -------
    ndarray
        ``(V, 3)`` float64 in RAS axes, of unit length; zero vectors stay zero.
    """
    axes = np.asarray(affine, dtype=np.float64)[:3, :3]
    rotation = axes / np.linalg.norm(axes, axis=0)
    flip = np.array([-1.0 if np.linalg.det(rotation) > 0 else 1.0, 1.0, 1.0])
    return _normalised((bvecs * flip) @ rotation.T)


def _read_rows(path: Path | str, problems: list[Problem]) -> list[list[float]]:
    """Read numbers line by line; words that are none become nan and a problem each file."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        problems.append(
            Problem(
                str(path),
                "",
                f"the file cannot be read ({error.strerror})",
                "correct the path or provide the file",
            )
        )
        return []
    rows, wrong = [], []
    for line_number, line in enumerate(text.splitlines(), start=1):
        row = []
        for column, word in enumerate(line.split(), start=1):
            try:
                row.append(float(word))
            except ValueError:
                wrong.append((line_number, column, word[:20]))
        if row or line.strip():
            rows.append(row)
    if wrong:
        line_number, column, word = wrong[0]
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        problems.append(
            Problem(
                str(path),
                f"row {line_number}, column {column}",
                f"{word!r} is not a number{more}",
                "write numbers separated by spaces",
            )
        )
    elif not rows:
        problems.append(Problem(str(path), "", "the file is empty", "provide the gradients"))
    return rows


def _vectors(
    path: Path | str, rows: list[list[float]], n_volumes: int, problems: list[Problem]
) -> tuple[NDArray[np.float64] | None, str]:
    """Arrange the numbers as (V, 3); also say what the file counts its vectors by."""
    widths = {len(row) for row in rows}
    if len(widths) == 1:
        table = np.array(rows)
        if len(table) == 3:
            return table.T, "column"
        if table.shape[1] == 3:
            return table, "row"
    shape = (
        f"{len(rows)} rows of {min(widths)} to {max(widths)} numbers"
        if len(widths) > 1
        else f"{len(rows)} row{'s' * (len(rows) > 1)} and {widths.pop()} columns"
    )
    problems.append(
        Problem(
            str(path), "", f"{shape} are no vectors", f"give 3 rows of {n_volumes} numbers each"
        )
    )
    return None, ""


def _check_bvals(
    path: Path | str,
    bvals: NDArray[np.float64],
    b0_max: float,
    axis: str,
    problems: list[Problem],
) -> bool:
    def add(place: str, what: str, remedy: str) -> None:
        problems.append(Problem(str(path), place, what, remedy))

    before = len(problems)
    for fault, which in (("not finite", ~np.isfinite(bvals)), ("negative", bvals < 0)):
        if which.any():
            columns = np.flatnonzero(which)
            what = f"the b-value {bvals[columns[0]]:g} is {fault}"
            add(_places(axis, columns), what, "correct the file")
    if len(problems) > before:
        return False
    largest = bvals.max()
    if 0 < largest < _LOWEST_MAX_B:
        add(
            "",
            f"the largest b-value is {largest:g}, as if in ms/um2",
            "multiply all b-values by 1000 to have s/mm2",
        )
    elif largest <= b0_max:
        add(
            "",
            f"all volumes have b <= {b0_max:g} s/mm2 (only b0s)",
            "give an acquisition with diffusion weighting",
        )
    elif bvals.min() > b0_max:
        add(
            "",
            f"no volume has b <= {b0_max:g} s/mm2 (the smallest is {bvals.min():g}), but the mask "
            "and S0 need a b0",
            "add a b0 volume or raise neuro.b0_max (a preset fixes it)",
        )
    return len(problems) == before


def _check_bvecs(
    path: Path | str,
    vectors: NDArray[np.float64],
    is_b0: NDArray[np.bool_],
    axis: str,
    problems: list[Problem],
) -> NDArray[np.float64]:
    """Check finiteness and length where it matters; return unit (or zero) vectors."""
    finite = np.isfinite(vectors).all(axis=1)
    # Some converters write nan for the direction that a b0 does not have.
    vectors = np.where((finite | ~is_b0)[:, np.newaxis], vectors, 0.0)
    lengths = np.linalg.norm(vectors, axis=1)
    missing = np.flatnonzero(~finite & ~is_b0)
    wrong = np.flatnonzero(finite & ~is_b0 & (np.abs(lengths - 1.0) > _LENGTH_TOLERANCE))
    if len(missing):
        what = "the direction of a diffusion-weighted volume is not finite"
        problems.append(Problem(str(path), _places(axis, missing), what, "correct the file"))
    if len(wrong):
        found = f"length {lengths[wrong[0]]:.2f}"
        if len(wrong) > 1:
            found = f"lengths {lengths[wrong].min():.2f} to {lengths[wrong].max():.2f}"
        what = f"{found} differs from 1 by more than 1 %"
        remedy = "normalise the vector or correct the file"
        if len(wrong) > 1:
            what, remedy = what.replace("differs", "differ"), remedy.replace("vector", "vectors")
        problems.append(Problem(str(path), _places(axis, wrong), what, remedy))
    return _normalised(vectors)


def _check_rank(
    path: Path | str,
    bvals: NDArray[np.float64],
    bvecs: NDArray[np.float64],
    fit_bmax: float,
    problems: list[Problem],
) -> None:
    fitted = bvals <= fit_bmax
    x, y, z = bvecs[fitted].T
    b = bvals[fitted] / bvals.max()
    products = np.stack([x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z], axis=1)
    design = np.concatenate([np.ones((len(b), 1)), b[:, np.newaxis] * products], axis=1)
    rank = np.linalg.matrix_rank(design, rtol=_RANK_TOLERANCE)
    if rank < 7:
        limit = "" if math.isinf(fit_bmax) else f" with b <= {fit_bmax:g} s/mm2"
        problems.append(
            Problem(
                str(path),
                "",
                f"the {int(fitted.sum())} volumes{limit} determine {rank} of the 7 unknowns of a "
                "tensor fit (b0 and at least 6 independent directions)",
                "give more directions" if math.isinf(fit_bmax) else "raise neuro.fit_bmax",
            )
        )


def _places(axis: str, indices: Sequence[int] | NDArray[np.integer]) -> str:
    shown = [str(int(index) + 1) for index in indices[:4]]
    if len(indices) == 1:
        return f"{axis} {shown[0]}"
    if len(indices) > len(shown):
        return f"{axis}s {', '.join(shown)} and {len(indices) - len(shown)} more"
    return f"{axis}s {', '.join(shown[:-1])} and {shown[-1]}"


def _normalised(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
