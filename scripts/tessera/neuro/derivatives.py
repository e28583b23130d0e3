"""The output of an acquisition: maps in BIDS derivative names, a sidecar each, and back again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera import nifti
from tessera.errors import InputError, Problem
from tessera.neuro.bids import BIDS_VERSION, prefix, unit_name
from tessera.neuro.facts import Facts
from tessera.neuro.fit import COLUMNS
from tessera.neuro.presets import highest_b
from tessera.neuro.series import Series
from tessera.neuro.summary import SubjectResult, VolumeStatistics, volume_statistics

Section = Mapping[str, Any]

FRAME = "scanner RAS: x to the right, y to anterior, z to superior"
MAPS: dict[str, tuple[str, str]] = {
    "fa": ("Fractional anisotropy", ""),
    "md": ("Mean diffusivity", "mm^2/s"),
    "ad": ("Axial diffusivity, the largest eigenvalue", "mm^2/s"),
    "rd": ("Radial diffusivity, the mean of the two smaller eigenvalues", "mm^2/s"),
    "s0": ("Signal at b = 0 as fitted", "signal"),
    "residual": ("Root-mean-square residual of the signal over the fitted samples", "signal"),
    "v1": (f"Principal eigenvector, unit length, components in {FRAME}; its sign is free", ""),
    "tensor": (f"Diffusion tensor: xx, xy, xz, yy, yz, zz in {FRAME}", "mm^2/s"),
    "rgb": ("Colour-coded direction: absolute components of the eigenvector times FA", ""),
}


def _name(facts: Facts, rest: str) -> str:
    return f"{prefix(unit_name(facts.subject, facts.session))}_{rest}"


def subject_result(
    facts: Facts,
    table: NDArray[np.float32],
    mask: NDArray[np.bool_],
    mean_b0: NDArray[np.float32],
    sigma: NDArray[np.floating],
    series: Series,
    section: Section,
) -> tuple[SubjectResult, NDArray[np.float32]]:
    """Put the rows of all slabs back into space.

    Parameters
    ----------
    facts, series
        The acquisition.
    table
        (N, 17) rows of `tessera.neuro.fit.COLUMNS`, in the order of the masked voxels.
    mask
        (Z, Y, X) with N voxels set.
    mean_b0
        (Z, Y, X) in signal units.
    sigma
        (Z, Y, X) map, or (V,) levels per volume, of which the median is shown.
    section
        The settings that were in force.

    Returns
    -------
    SubjectResult
        Maps are 0 outside the mask and in invalid voxels.
    (6, Z, Y, X) float32
        The tensor.

    Raises
    ------
    InputError
        If no voxel has a tensor.
    ValueError
        If the rows and the mask do not match, or an FA leaves 0 to 1.
    """
    if len(table) != np.count_nonzero(mask):
        raise ValueError(f"{len(table)} rows for {np.count_nonzero(mask)} voxels of the mask")
    lost = np.logical_not(np.isfinite(table).all(axis=1))
    if lost.all():
        what, remedy = "no voxel of the mask has a tensor", "check mask, gradients and samples"
        raise InputError(Problem(facts.source, "", what, remedy))
    values = np.where(lost[:, None], np.float32(0), table)

    def place(first: str, count: int = 1) -> NDArray[np.float32]:
        column = COLUMNS.index(first)
        volume = np.zeros((count, *mask.shape), np.float32)
        volume[:, mask] = values[:, column : column + count].T
        return volume if count > 1 else volume[0]

    maps = {name: place(name) for name in ("fa", "md", "ad", "rd", "s0", "residual")}
    if not (maps["fa"].min() >= 0 and maps["fa"].max() <= 1 + 1e-6):
        raise ValueError("a fractional anisotropy is not between 0 and 1")
    invalid = np.zeros(mask.shape, bool)
    invalid[mask] = lost
    smallest = table[:, COLUMNS.index("min_eigenvalue")]
    result = SubjectResult(
        **_acquired(facts, mean_b0, section),
        mask=mask,
        invalid=invalid,
        sigma=_as_map(sigma, mask.shape),
        maps={**maps, "v1": place("v1x", 3)},
        volumes=volume_statistics(series, mask),
        n_nonpositive_definite=int(np.count_nonzero(smallest[~lost] <= 0)),
        estimator=_estimator(section),
        denoise=section["denoise"]["method"],
    )
    return result, place("dxx", 6)


def _acquired(facts: Facts, mean_b0: NDArray[np.float32], section: Section) -> dict[str, Any]:
    """Return the fields of a result that were known before the fit."""
    return {
        **{key: getattr(facts, key) for key in ("subject", "session", "affine", "bvals", "bvecs")},
        "fitted": facts.bvals <= highest_b(section),
        "b0_max": section["b0_max"],
        "mean_b0": mean_b0,
    }


def _as_map(sigma: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.float32]:
    if sigma.ndim == 1:
        return np.full(shape, np.median(sigma), np.float32)
    return sigma.astype(np.float32)


def _estimator(section: Section) -> str:
    fit = section["fit"]
    return f"iwls({fit['reweightings']})" if fit["method"] == "iwls" else fit["method"]


def write_derivatives(
    folder: Path,
    result: SubjectResult,
    tensor: NDArray[np.float32],
    facts: Facts,
    section: Section,
) -> None:
    """Write every map with its sidecar into the folder of an acquisition.

    Parameters
    ----------
    folder
        An empty folder.
    result, tensor
        As `subject_result` gives them.
    facts, section
        For names and sidecars.
    """
    rgb = np.abs(result.maps["v1"]) * result.maps["fa"]
    for name, (description, units) in MAPS.items():
        array = {"tensor": tensor, "rgb": rgb}.get(name)
        array = result.maps[name] if array is None else array
        extra: dict[str, Any] = {}
        if name in ("v1", "tensor"):
            kind = {"v1": "unit3vector", "tensor": "tensor"}[name]
            extra["OrientationEncoding"] = {"Type": kind, "Reference": "xyz", "EncodingAxis": 3}
            extra["ReferenceFrame"] = FRAME
        model = {"Model": "diffusion tensor", "Estimator": result.estimator}
        stem = _name(facts, f"model-tensor_param-{name}_dwimap")
        _write(folder, stem, array, facts, section, description, units, {**model, **extra})
    texts = {
        "desc-brain_mask": (result.mask, "Brain mask", ""),
        "desc-invalid_mask": (
            result.invalid,
            "Voxels of the mask without a tensor: fewer than 7 good samples, or a singular fit",
            "",
        ),
        "desc-sigma_dwimap": (
            result.sigma,
            "Standard deviation of the noise in each of the real and the imaginary channel",
            "signal",
        ),
    }
    for stem, (array, description, units) in texts.items():
        extra = {"Type": "Brain"} if stem == "desc-brain_mask" else {}
        _write(folder, _name(facts, stem), array, facts, section, description, units, extra)


def write_denoised(
    folder: Path, result: SubjectResult, facts: Facts, slabs: Sequence[str], section: Section
) -> None:
    """Write the denoised acquisition, a volume at a time, with its gradients as they came.

    Parameters
    ----------
    folder
        The folder of the acquisition.
    result, facts, section
        For grid, names and sidecar.
    slabs
        Files of (V, N) samples of the masked voxels of each slab, in order. Samples that were
        excluded, and voxels outside the mask, become 0.
    """
    mask = result.mask

    def volume(v: int) -> NDArray[np.float32]:
        # Mapped anew for every volume: pages of a lasting map count as memory of the job.
        tables = (np.load(path, mmap_mode="r") for path in slabs)
        out = np.zeros(mask.shape, np.float32)
        out[mask] = np.nan_to_num(np.concatenate([t[v] for t in tables]), nan=0.0)
        return out

    stem = _name(facts, "desc-denoised_dwi")
    count = len(facts.bvals)
    shape = (count, *mask.shape)
    volumes = map(volume, range(count))
    nifti.write_volumes(folder / f"{stem}.nii.gz", volumes, shape, facts.affine, np.float32)
    _write_sidecar(folder, stem, facts, section, "Denoised acquisition", "signal", {})
    texts = {"bval": facts.bvals[None], "bvec": facts.bvecs_image.T}
    for suffix, array in texts.items():
        lines = [" ".join(f"{value:.10g}" for value in line) for line in array]
        (folder / f"{stem}.{suffix}").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write(
    folder: Path,
    stem: str,
    array: NDArray,
    facts: Facts,
    section: Section,
    description: str,
    units: str,
    extra: Mapping[str, Any],
) -> None:
    nifti.write(folder / f"{stem}.nii.gz", array, facts.affine)
    _write_sidecar(folder, stem, facts, section, description, units, extra)


def _write_sidecar(
    folder: Path,
    stem: str,
    facts: Facts,
    section: Section,
    description: str,
    units: str,
    extra: Mapping[str, Any],
) -> None:
    content = {
        "Description": description,
        **({"Units": units} if units else {}),
        **extra,
        "SkullStripped": True,
        "Parameters": section,
        "Inputs": facts.inputs,
    }
    text = json.dumps(content, indent=2) + "\n"
    (folder / f"{stem}.json").write_text(text, encoding="utf-8")


def read_result(
    folder: Path,
    facts: Facts,
    mean_b0: NDArray[np.float32],
    summary: Mapping[str, Any],
    section: Section,
) -> SubjectResult:
    """Read the maps of an acquisition back.

    Parameters
    ----------
    folder
        What `write_derivatives` filled.
    facts, mean_b0, section
        As for `subject_result`.
    summary
        The row of the group table (``row``) and the statistics of the volumes (``volumes``).
    """

    def read(stem: str) -> NDArray:
        return nifti.read(folder / f"{_name(facts, stem)}.nii.gz")

    names = ("fa", "md", "ad", "rd", "s0", "residual", "v1")
    row = summary["row"]
    return SubjectResult(
        **_acquired(facts, mean_b0, section),
        mask=read("desc-brain_mask").astype(bool),
        invalid=read("desc-invalid_mask").astype(bool),
        sigma=read("desc-sigma_dwimap"),
        maps={name: read(f"model-tensor_param-{name}_dwimap") for name in names},
        volumes=VolumeStatistics(**{k: np.array(v) for k, v in summary["volumes"].items()}),
        n_nonpositive_definite=row["n_nonpositive_definite"],
        estimator=row["estimator"],
        denoise=row["denoise"],
    )


def dataset_files(version: str) -> tuple[str, str]:
    """Return the texts of ``dataset_description.json`` and ``.bidsignore``.

    Parameters
    ----------
    version
        Version of Tessera.
    """
    description = {
        "Name": "Tessera neuro: diffusion tensor maps",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "Tessera", "Version": version}],
    }
    # Model maps follow the proposal for diffusion models (BEP016), not yet part of the standard.
    ignored = ["*_dwimap.*", "*.html", "group_dwi.*", "quarantine.tsv", "quarantined.json"]
    return json.dumps(description, indent=2) + "\n", "\n".join(ignored) + "\n"
