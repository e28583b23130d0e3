"""Published protocols of diffusion MRI as settings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

# Mehta et al. 2017 (arXiv 1612.02485), neuroscience use case.
_PRESETS: dict[str, dict[str, Any]] = {
    "paper2017": {
        "b0_max": 10.0,
        "fit_bmax": "all",
        "mask": {"method": "median_otsu_voxels"},
        "denoise": {
            "method": "nlm",
            "patch_radius": 1,
            "search_radius": 5,
            "rician": True,
            "sigma": "per_volume",
        },
        "fit": {"method": "wls_fitted"},
    }
}


def apply_preset(section: dict[str, Any]) -> dict[str, Any]:
    """Return the section ``neuro`` with what its preset overrides.

    Parameters
    ----------
    section
        The validated section ``neuro`` of the configuration; left untouched.

    Returns
    -------
    dict
        A new section. Under ``paper2017`` (Mehta et al. 2017) the keys ``b0_max``, ``fit_bmax``,
        ``mask``, ``denoise`` and ``fit`` are the protocol's, whatever the section said; two values
        occur in a preset only: ``mask.method`` is ``median_otsu_voxels`` (median Otsu of radius
        4 voxels, 2 passes, dilated once) and ``denoise.sigma`` is ``per_volume`` (one sigma per
        volume). The section keeps its shape: keys that the protocol has no use for stay.
    """
    result = deepcopy(section)
    for key, value in _PRESETS.get(section["preset"], {}).items():
        result[key] = {**result[key], **value} if isinstance(value, dict) else value
    return result


def highest_b(section: Mapping[str, Any]) -> float:
    """Return the largest b-value that is fitted, in s/mm2: ``fit_bmax``, infinite for ``all``."""
    return math.inf if section["fit_bmax"] == "all" else float(section["fit_bmax"])
