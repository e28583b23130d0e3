"""The settings that are in force: published protocols, and no key that has no effect."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

# Mehta et al. 2017 (arXiv 1612.02485), neuroscience use case. Two values occur in a preset only:
# dipy's median Otsu with its radius in voxels, and one sigma per volume.
_PRESETS: dict[str, dict[str, Any]] = {
    "paper2017": {
        "b0_max": 10.0,
        "fit_bmax": "all",
        "mask": {"method": "median_otsu", "radius_voxels": 4, "passes": 2, "dilate": 1},
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
_WITHOUT_EFFECT = {
    ("mask", "file"): ("radius_mm",),
    ("denoise", "none"): ("patch_radius", "search_radius", "rician"),
    ("denoise", "mppca"): ("search_radius", "rician"),
    ("fit", "ols"): ("reweightings",),
    ("fit", "wls_measured"): ("reweightings",),
    ("fit", "wls_fitted"): ("reweightings",),
}
_NOMINAL = 1.05
"""b-values scatter about the nominal one of their shell; this much above still counts."""


def effective(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section ``neuro`` as it acts: preset applied, keys without effect left out.

    A changed value that has no effect then reruns nothing, and sidecars tell what was done.

    Parameters
    ----------
    section
        The validated section ``neuro`` of the configuration; left untouched.

    Returns
    -------
    dict
        A new section. Under ``paper2017`` (Mehta et al. 2017) the keys ``b0_max``, ``fit_bmax``,
        ``mask``, ``denoise`` and ``fit`` are the protocol's, whatever the section said.
    """
    result = deepcopy(dict(section)) | deepcopy(_PRESETS.get(section["preset"], {}))
    for (key, method), useless in _WITHOUT_EFFECT.items():
        if result[key]["method"] == method:
            result[key] = {k: v for k, v in result[key].items() if k not in useless}
    return result


def overruled(section: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """Return a sentence for every setting that the preset overrules, but for defaults."""
    sentences = []
    for key, protocol in _PRESETS.get(section["preset"], {}).items():
        pairs = (
            [(f"{key}.{k}", v, protocol.get(k), defaults[key][k]) for k, v in section[key].items()]
            if isinstance(protocol, dict)
            else [(key, section[key], protocol, defaults[key])]
        )
        sentences += [
            f"preset {section['preset']} overrules neuro.{name}: {given}"
            for name, given, wanted, default in pairs
            if given not in (wanted, default)
        ]
    return sentences


def settings_in_force(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the maps depend on, for their sidecars."""
    keys = ("b0_max", "fit_bmax", "mask", "denoise", "fit", "preset")
    return {key: section[key] for key in keys}


def highest_b(section: Mapping[str, Any]) -> float:
    """Return the largest b-value that is fitted, in s/mm2: 5 % above the nominal ``fit_bmax``."""
    return math.inf if section["fit_bmax"] == "all" else _NOMINAL * float(section["fit_bmax"])
