"""Brain masks from the mean b0 volume."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from dipy.segment.mask import median_otsu
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from tessera import nifti
from tessera.errors import InputError, Problem


def brain_mask(
    mean_b0: NDArray[np.floating], zooms: tuple[float, float, float], radius_mm: float = 5.0
) -> NDArray[np.bool_]:
    """Find the brain: median filter, Otsu's threshold, largest component, holes filled.

    The recipe of dipy's ``median_otsu`` with two changes: the filter's window is an ellipsoid given
    in mm, so that it does not change with the voxel size, and one connected body is kept.

    Parameters
    ----------
    mean_b0
        ``(Z, Y, X)`` mean of the volumes without diffusion weighting; nan counts as 0.
    zooms
        Voxel size in mm along z, y and x, the order of the array's axes.
    radius_mm
        Radius of the median filter; at least one voxel along each axis.

    Returns
    -------
    ndarray
        ``(Z, Y, X)`` bool; all False when the volume has no contrast.
    """
    image = np.nan_to_num(mean_b0, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float32)
    smooth = ndimage.median_filter(image, footprint=_ellipsoid(zooms, radius_mm))
    if smooth.min() == smooth.max():
        return np.zeros(smooth.shape, dtype=bool)
    components, count = ndimage.label(smooth > threshold_otsu(smooth.ravel()))
    sizes = np.bincount(components.ravel(), minlength=count + 1)[1:]
    return ndimage.binary_fill_holes(components == 1 + sizes.argmax())


def paper_mask(mean_b0: NDArray[np.floating], settings: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Find the brain as Mehta et al. (2017) do, for a comparison with their figures.

    dipy's ``median_otsu`` with a radius of 4 voxels, two passes and one dilation.

    Parameters
    ----------
    mean_b0
        ``(Z, Y, X)`` mean of the volumes without diffusion weighting; nan counts as 0.

    Returns
    -------
    ndarray
        ``(Z, Y, X)`` bool.
    """
    image = np.nan_to_num(mean_b0, nan=0.0, posinf=0.0, neginf=0.0)
    with warnings.catch_warnings():  # a threshold is not defined for an image of one value
        warnings.simplefilter("ignore", UserWarning)
        _, mask = median_otsu(
            image,
            median_radius=settings["radius_voxels"],
            numpass=settings["passes"],
            dilate=settings["dilate"],
        )
    return mask.astype(bool)


def check_mask(mask: NDArray[np.bool_], file: Path | str) -> list[Problem]:
    """Return the problem of an empty mask, or nothing.

    Parameters
    ----------
    mask
        Any shape, bool.
    file
        The file to name: the mask's own, or the series it was made from.
    """
    if mask.any():
        return []
    return [
        Problem(
            str(file),
            "",
            "the brain mask is empty",
            "check the b0 volumes, or give a mask in column mask of the sheet",
        )
    ]


def make_mask(
    mean_b0: NDArray[np.floating],
    zooms: tuple[float, float, float],
    settings: Mapping[str, Any],
    given: str | None,
    source: str,
) -> NDArray[np.bool_]:
    """Make the mask of an acquisition as the configuration says.

    Parameters
    ----------
    mean_b0, zooms
        As for `brain_mask`.
    settings
        The section ``neuro.mask``.
    given
        The mask that the sheet names, if any: it goes before any method.
    source
        The image, to be named when a mask is missing.

    Raises
    ------
    InputError
        If no mask is given and the method is ``file``, or the given one cannot be read.
    """
    if given:
        return nifti.read(given) > 0
    match settings["method"]:
        case "otsu":
            return brain_mask(mean_b0, zooms, settings["radius_mm"])
        case "median_otsu":
            return paper_mask(mean_b0, settings)
        case _:
            remedy = "name one in column mask of the sheet, or set neuro.mask.method to otsu"
            raise InputError(Problem(source, "", "no mask is given for this image", remedy))


def _ellipsoid(zooms: tuple[float, float, float], radius_mm: float) -> NDArray[np.bool_]:
    radii = [max(1.0, radius_mm / zoom) for zoom in zooms]
    axes = [np.arange(-int(radius), int(radius) + 1) / radius for radius in radii]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return z**2 + y**2 + x**2 <= 1 + 1e-9
