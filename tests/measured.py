"""Objects of a whole image as scikit-image and scipy find and measure them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage
from skimage import filters, measure, morphology

RANK = {4: 1, 6: 1, 8: 2, 18: 2, 26: 3}


def foreground(image: np.ndarray, point: dict[str, Any], *, dark: bool = False) -> np.ndarray:
    """Return the mask of a point: ``filter``, ``threshold`` and ``morphology`` as in a config."""
    step = point["filter"]
    values = {
        "none": lambda: image,
        "gaussian": lambda: ndimage.gaussian_filter(image.astype(np.float32), step["sigma"]),
        "median": lambda: ndimage.median_filter(image, step["size"]),
    }[step["name"]]()
    step = point["threshold"]
    mask = {
        "fixed": lambda: values > step["value"],
        "otsu": lambda: values > filters.threshold_otsu(values),
        "li": lambda: values > filters.threshold_li(values),
        "hysteresis": lambda: filters.apply_hysteresis_threshold(values, step["low"], step["high"]),
    }[step["name"]]()
    mask = ~mask if dark else mask
    step = point["morphology"]
    if step["op"] == "none":
        return mask
    ball = (morphology.ball if image.ndim == 3 else morphology.disk)(step["radius"])
    names = {"erode": "erosion", "dilate": "dilation", "open": "opening", "close": "closing"}
    return getattr(morphology, names[step["op"]])(mask, ball, mode="ignore")


def labels(mask: np.ndarray, connectivity: int = 26) -> np.ndarray:
    """Label a mask."""
    return measure.label(mask, connectivity=min(RANK[connectivity], mask.ndim))


def table(image: np.ndarray, labelled: np.ndarray) -> pd.DataFrame:
    """Measure objects; columns are named as in ``objects.parquet``."""
    wanted = ("label", "area", "centroid", "bbox", "intensity_mean", "intensity_min")
    found = pd.DataFrame(
        measure.regionprops_table(labelled, image, properties=(*wanted, "intensity_max"))
    )
    axes = "zyx"[3 - image.ndim :]
    names = {"area": "n_voxels"}
    names |= {f"centroid-{k}": f"centroid_{axis}" for k, axis in enumerate(axes)}
    names |= {f"bbox-{k}": f"bbox_{axis}0" for k, axis in enumerate(axes)}
    names |= {f"bbox-{k + len(axes)}": f"bbox_{axis}1" for k, axis in enumerate(axes)}
    return found.rename(columns=names)


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Compare rows of ``objects.parquet`` with what `table` returned."""
    assert len(found) == len(expected)
    for column in expected:
        rtol = 1e-12 if column.startswith("centroid") else 1e-7 * (column == "intensity_mean")
        np.testing.assert_allclose(
            found[column].to_numpy(float), expected[column].to_numpy(float), rtol=rtol,
            err_msg=column,
        )  # fmt: skip
