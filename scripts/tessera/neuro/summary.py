"""One finished subject in figures: its row of the group table, its shells, its outlying volumes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from nibabel.affines import voxel_sizes

WHITE_MATTER_FA = 0.2  # the customary threshold of tractography; a proxy, not a segmentation


@dataclass(frozen=True)
class VolumeStatistics:
    """What the volumes of an acquisition are like inside the mask.

    Attributes
    ----------
    mean : (V,) array of float64
        Mean of the finite samples, in signal units; NaN where there is none.
    n_nonfinite, n_nonpositive : (V,) arrays of int64
        Samples that are NaN or infinite, and finite samples that are zero or below.
    """

    mean: np.ndarray
    n_nonfinite: np.ndarray
    n_nonpositive: np.ndarray

    def as_dict(self) -> dict[str, list[float]]:
        """Return the three arrays as lists under their names (for summary files)."""
        return {name: values.tolist() for name, values in vars(self).items()}


@dataclass(frozen=True)
class SubjectResult:
    """One finished subject (or session of a subject), as tables and pictures need it.

    Attributes
    ----------
    subject, session : str, str or None
        Labels without ``sub-`` and ``ses-``.
    affine : (4, 4) array
        From voxel indices (x, y, z) to scanner RAS coordinates in mm.
    bvals : (V,) array
        In s/mm2.
    bvecs : (V, 3) array
        Unit vectors.
    fitted : (V,) array of bool
        The volumes that the tensor was fitted to.
    b0_max : float
        Volumes with a b-value up to this one count as b = 0.
    mean_b0, sigma : (Z, Y, X) arrays
        Signal units; sigma is the standard deviation of the noise in each of the real and the
        imaginary channel.
    mask, invalid : (Z, Y, X) arrays of bool
    maps : mapping of str to array
        ``fa``, ``md``, ``ad``, ``rd``, ``s0``, ``residual`` (Z, Y, X) and ``v1`` (3, Z, Y, X) in
        scanner RAS axes; diffusivities in mm2/s.
    volumes : VolumeStatistics
    n_nonpositive_definite : int
        Voxels whose fitted tensor had an eigenvalue of zero or below.
    estimator, denoise : str
        Names of the methods.
    """

    subject: str
    session: str | None
    affine: np.ndarray
    bvals: np.ndarray
    bvecs: np.ndarray
    fitted: np.ndarray
    b0_max: float
    mean_b0: np.ndarray
    mask: np.ndarray
    invalid: np.ndarray
    sigma: np.ndarray
    maps: Mapping[str, np.ndarray]
    volumes: VolumeStatistics
    n_nonpositive_definite: int
    estimator: str
    denoise: str

    @property
    def valid(self) -> np.ndarray:
        """Voxels of the mask that have a tensor, (Z, Y, X) bool."""
        return self.mask & ~self.invalid & np.isfinite(self.maps["fa"])


def volume_statistics(dwi: Iterable[np.ndarray], mask: np.ndarray) -> VolumeStatistics:
    """Measure every volume inside the mask, one volume in memory at a time.

    Parameters
    ----------
    dwi : (V, Z, Y, X) array, or an iterable of its volumes
    mask : (Z, Y, X) array of bool
    """
    mean, n_nonfinite, n_nonpositive = [], [], []
    for volume in dwi:
        samples = volume[mask]
        finite = samples[np.isfinite(samples)]
        mean.append(finite.mean(dtype=np.float64) if finite.size else np.nan)
        n_nonfinite.append(samples.size - finite.size)
        n_nonpositive.append(np.count_nonzero(finite <= 0))
    return VolumeStatistics(np.array(mean), np.array(n_nonfinite), np.array(n_nonpositive))


def find_shells(bvals: np.ndarray, b0_max: float) -> list[np.ndarray]:
    """Group volumes by b-value: the b = 0 volumes, then a shell wherever a gap exceeds 100 s/mm2.

    Parameters
    ----------
    bvals : (V,) array
        In s/mm2.
    b0_max : float
        Volumes up to this b-value form the first group, which may be empty.

    Returns
    -------
    list of int arrays
        Indices of the volumes of each group, the b = 0 group first, shells ascending.
    """
    weighted = np.flatnonzero(bvals > b0_max)
    weighted = weighted[np.argsort(bvals[weighted], kind="stable")]
    gaps = np.flatnonzero(np.diff(bvals[weighted]) > 100) + 1
    shells = np.split(weighted, gaps) if weighted.size else []
    return [np.flatnonzero(bvals <= b0_max), *(np.sort(shell) for shell in shells)]


def outlier_volumes(mean: np.ndarray, shells: Sequence[np.ndarray]) -> np.ndarray:
    """Find volumes whose mean signal stands apart from their shell's.

    In a shell of twelve or more, a volume stands apart when it differs from the median by more than
    five robust standard deviations (1.4826 times the median absolute deviation) and by more than
    5 %. Dropped slices, spikes and failed volumes do; the dependence on direction does not, since
    it widens the deviation itself.

    Parameters
    ----------
    mean : (V,) array
        Mean signal in the mask; a NaN stands apart by itself.
    shells : sequence of int arrays
        As `find_shells` gives them.

    Returns
    -------
    (V,) array of bool
    """
    apart = ~np.isfinite(mean)
    for shell in shells:
        values = mean[shell][np.isfinite(mean[shell])]
        if values.size < 12:
            continue
        median = np.median(values)
        spread = 1.4826 * np.median(np.abs(values - median))
        apart[shell] |= np.abs(mean[shell] - median) > max(5 * spread, 0.05 * abs(median))
    return apart


def _count_directions(bvecs: np.ndarray) -> int:
    """Count vectors that differ by more than one degree from all before, whatever their sign."""
    close = np.abs(bvecs @ bvecs.T) > np.cos(np.radians(1.0))
    return int(np.count_nonzero(~np.tril(close, -1).any(axis=1)))


# Order of the columns of group_dwi.tsv, and its sidecar.
COLUMNS: dict[str, tuple[str, str]] = {
    "subject": ("Subject label", ""),
    "session": ("Session label", ""),
    "n_volumes": ("Volumes of the acquisition", ""),
    "n_b0": ("Volumes that count as b = 0", ""),
    "n_directions": (
        "Distinct gradient directions among the fitted volumes with b above the b = 0 limit; "
        "opposite vectors and vectors within 1 degree count once",
        "",
    ),
    "bmax_fit": ("Highest b-value among the fitted volumes", "s/mm^2"),
    "voxel_mm": ("Voxel size along the stored axes", "mm"),
    "mask_ml": ("Volume of the brain mask", "mL"),
    "sigma_median": (
        "Median over the mask of the noise standard deviation per real and imaginary channel",
        "signal",
    ),
    "snr_b0": ("Median over the mask of mean b = 0 signal over sigma: SNR of one volume", ""),
    "fa_mean": ("Mean fractional anisotropy over the valid voxels of the mask", ""),
    "fa_median": ("Median fractional anisotropy over the valid voxels of the mask", ""),
    "md_mean": ("Mean of mean diffusivity over the valid voxels of the mask", "mm^2/s"),
    "md_median": ("Median of mean diffusivity over the valid voxels of the mask", "mm^2/s"),
    "ad_mean": ("Mean axial diffusivity over the valid voxels of the mask", "mm^2/s"),
    "rd_mean": ("Mean radial diffusivity over the valid voxels of the mask", "mm^2/s"),
    "fa_wm_mean": (f"Mean fractional anisotropy over valid voxels with FA > {WHITE_MATTER_FA}", ""),
    "md_wm_mean": (
        f"Mean of mean diffusivity over valid voxels with FA > {WHITE_MATTER_FA}",
        "mm^2/s",
    ),
    "residual_median": (
        "Median over the valid voxels of the root-mean-square residual of the fit",
        "signal",
    ),
    "n_invalid": (
        "Voxels of the mask without a tensor (fewer than 7 good samples, or a singular fit)",
        "voxels",
    ),
    "n_nonpositive_definite": (
        "Voxels of the mask whose fitted tensor had an eigenvalue of zero or below",
        "voxels",
    ),
    "n_nonfinite_samples": ("Samples in the mask that are NaN or infinite", "samples"),
    "n_nonpositive_samples": ("Finite samples in the mask that are zero or below", "samples"),
    "n_outlier_volumes": (
        "Volumes whose mean signal differs from their shell's median by more than 5 robust "
        "standard deviations and more than 5 %",
        "volumes",
    ),
    "estimator": ("Tensor estimator", ""),
    "denoise": ("Denoising method", ""),
}


def summarise(result: SubjectResult) -> dict[str, float | int | str | None]:
    """Reduce a subject to its row of the group table.

    Parameters
    ----------
    result : SubjectResult

    Returns
    -------
    dict
        The keys of `COLUMNS`, in order; None where a figure does not exist (no session, no valid
        voxel). Figures are means and medians in float64.
    """
    mask, valid = result.mask, result.valid
    white = valid & (result.maps["fa"] > WHITE_MATTER_FA)
    weighted = result.fitted & (result.bvals > result.b0_max)
    sizes = voxel_sizes(result.affine)
    noisy = mask & (result.sigma > 0) & np.isfinite(result.mean_b0)

    def mean(name: str, where: np.ndarray) -> float | None:
        return float(result.maps[name][where].mean(dtype=np.float64)) if where.any() else None

    def median(values: np.ndarray) -> float | None:
        return float(np.median(values.astype(np.float64))) if values.size else None

    shells = find_shells(result.bvals, result.b0_max)
    row: dict[str, float | int | str | None] = {
        "subject": result.subject,
        "session": result.session,
        "n_volumes": len(result.bvals),
        "n_b0": len(shells[0]),
        "n_directions": _count_directions(result.bvecs[weighted]),
        "bmax_fit": float(result.bvals[result.fitted].max()),
        "voxel_mm": "x".join(f"{size:.4g}" for size in sizes),
        "mask_ml": float(np.count_nonzero(mask) * np.prod(sizes) / 1000),
        "sigma_median": median(result.sigma[mask]),
        "snr_b0": median(result.mean_b0[noisy] / result.sigma[noisy]),
        "fa_mean": mean("fa", valid),
        "fa_median": median(result.maps["fa"][valid]),
        "md_mean": mean("md", valid),
        "md_median": median(result.maps["md"][valid]),
        "ad_mean": mean("ad", valid),
        "rd_mean": mean("rd", valid),
        "fa_wm_mean": mean("fa", white),
        "md_wm_mean": mean("md", white),
        "residual_median": median(result.maps["residual"][valid]),
        "n_invalid": int(np.count_nonzero(mask & ~valid)),
        "n_nonpositive_definite": result.n_nonpositive_definite,
        "n_nonfinite_samples": int(result.volumes.n_nonfinite.sum()),
        "n_nonpositive_samples": int(result.volumes.n_nonpositive.sum()),
        "n_outlier_volumes": int(np.count_nonzero(outlier_volumes(result.volumes.mean, shells))),
        "estimator": result.estimator,
        "denoise": result.denoise,
    }
    assert tuple(row) == tuple(COLUMNS)
    return row


def display_name(subject: str, session: str | None) -> str:
    """Name a subject as in BIDS: ``sub-01`` or ``sub-01_ses-2``."""
    return f"sub-{subject}_ses-{session}" if session else f"sub-{subject}"


def format_value(value: float | int | str | None) -> str:
    """Write a value as it stands in a table: ``%.6g`` for floats, ``n/a`` for none."""
    if value is None or value == "" or (isinstance(value, float) and not np.isfinite(value)):
        return "n/a"
    if isinstance(value, float):
        return f"{value:.6g}"
    # A tab or a line break in a name would shift the columns.
    return " ".join(str(value).split())
