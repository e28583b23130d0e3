"""Pictures of a t map: on the outline of a standard brain, and as slices of the study's own."""

from __future__ import annotations

import warnings

import matplotlib as mpl
import nibabel as nib
import numpy as np
import numpy.typing as npt
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from nilearn.plotting import plot_glass_brain

from tessera.figures import FIGURE_WIDTH, AxialView, house_style, mosaic, png

Floats = npt.NDArray[np.float32]
Affine = npt.NDArray[np.float64]

# Red and blue are told apart with any colour vision; the middle is the colour of the ground.
_ON_WHITE, _ON_BLACK = "RdBu_r", "berlin"
_BELOW = "#e5e7eb"


@house_style()
def glass_brain(t_map: Floats, affine: Affine, title: str, threshold: float) -> bytes:
    """Draw a t map as seen through the brain: of each line of sight the voxel of largest |t|.

    Parameters
    ----------
    t_map : (Z, Y, X) array
        Signed t; what is not finite is not drawn.
    affine : (4, 4) array
        From voxel indices (x, y, z) to mm. The outline fits where that is MNI152 space.
    title
        Written above.
    threshold
        Smallest |t| that is drawn: that which forms the clusters.

    Returns
    -------
    bytes
        PNG.
    """
    values, limit = _finite(t_map, threshold)
    figure = Figure(figsize=(FIGURE_WIDTH, 2.6))
    with warnings.catch_warnings():
        # A map with nothing beyond the threshold is drawn as an empty brain: no reason to warn.
        warnings.filterwarnings("ignore", "empty mask")
        plot_glass_brain(
            nib.Nifti1Image(values.T, affine),
            display_mode="lyrz",
            figure=figure,
            axes=(0, 0, 0.915, 0.9),
            threshold=threshold,
            cmap=mpl.colormaps[_ON_WHITE],
            vmin=-limit,
            vmax=limit,
            plot_abs=False,
            colorbar=False,
            # Of an oblique image too every value drawn is one that was tested.
            resampling_interpolation="nearest",
        )
    shades = mpl.colormaps[_ON_WHITE](np.linspace(0, 1, 512))
    shades[np.abs(np.linspace(-limit, limit, 512)) < threshold] = mpl.colors.to_rgba(_BELOW)
    scale = ScalarMappable(Normalize(-limit, limit), ListedColormap(shades))
    figure.colorbar(scale, cax=figure.add_axes((0.935, 0.15, 0.013, 0.65)), label="t")
    figure.text(0.005, 0.98, title, va="top", fontsize=10, parse_math=False)
    return png(figure)


@house_style()
def slices(t_map: Floats, affine: Affine, threshold: float) -> bytes:
    """Draw a t map as axial slices of the study's own space, whatever that is.

    Parameters
    ----------
    t_map : (Z, Y, X) array
        Signed t; zero or not finite outside the mask.
    affine : (4, 4) array
        From voxel indices (x, y, z) to mm.
    threshold
        Voxels of larger |t|, which form the clusters, are outlined.

    Returns
    -------
    bytes
        PNG.
    """
    values, limit = _finite(t_map, threshold)
    view = AxialView(affine, values != 0)
    tiles = view.tiles(values)
    figure = mosaic(
        np.where(view.tiles(values != 0), tiles, np.nan),
        pixel_aspect=view.pixel_aspect,
        limits=(-limit, limit),
        colours=_ON_BLACK,
        bar_label="t",
        labels=view.labels(),
        sides=("L", "R"),
        outline=np.abs(tiles) >= threshold,
    )
    return png(figure)


def _finite(t_map: Floats, threshold: float) -> tuple[Floats, float]:
    """Return a map with zero for what is not finite, and the |t| at the ends of its colours."""
    values = np.nan_to_num(t_map, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float32)
    return values, max(float(np.abs(values).max(initial=0.0)), 1.05 * threshold, 1e-6)
