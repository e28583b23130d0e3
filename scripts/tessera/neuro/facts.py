"""What is known of an acquisition beside its samples, handed from the import step to the others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera import nifti
from tessera.neuro.gradients import read_gradients, to_ras


@dataclass(frozen=True, eq=False)
class Facts:
    """Grid, gradients and provenance of an acquisition.

    Attributes
    ----------
    subject, session
        Labels without ``sub-`` and ``ses-``; session may be None.
    source
        The image as the user named it.
    affine
        ``(4, 4)``, voxel indices (x, y, z) to scanner RAS coordinates in mm.
    zooms
        Voxel size in mm along z, y and x.
    bvals
        ``(V,)`` in s/mm2.
    bvecs, bvecs_image
        ``(V, 3)`` unit vectors in scanner RAS axes, and as the file has them.
    inputs
        Name (without folder) and SHA-256 of each input file, by its column of the sheet.
    """

    subject: str
    session: str | None
    source: str
    affine: NDArray[np.float64]
    zooms: tuple[float, float, float]
    bvals: NDArray[np.float64]
    bvecs: NDArray[np.float64]
    bvecs_image: NDArray[np.float64]
    inputs: Mapping[str, Mapping[str, str]]


def gather_facts(row: Mapping[str, Any], *, b0_max: float) -> dict[str, Any]:
    """Read header and gradients of an acquisition, and digest its files.

    Parameters
    ----------
    row
        The row of the subjects sheet.
    b0_max
        Volumes with b up to this, in s/mm2, count as b = 0.

    Returns
    -------
    dict
        The fields of `Facts`, as JSON can hold them.
    """
    header = nifti.read_header(row["dwi"])
    bvals, bvecs = read_gradients(row["bval"], row["bvec"], header.shape[3], b0_max=b0_max)
    files = {key: row[key] for key in ("dwi", "bval", "bvec", "mask") if row.get(key)}
    return {
        "subject": row["subject"],
        "session": row.get("session"),
        "source": row["dwi"],
        "affine": header.affine.tolist(),
        "zooms": list(header.zooms[::-1]),
        "bvals": bvals.tolist(),
        "bvecs": to_ras(bvecs, header.affine).tolist(),
        "bvecs_image": bvecs.tolist(),
        "inputs": {
            key: {"File": Path(file).name, "SHA256": _digest(file)} for key, file in files.items()
        },
    }


def read_facts(path: Path | str) -> Facts:
    """Read what `gather_facts` gathered, from a JSON file."""
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    for key in ("affine", "bvals", "bvecs", "bvecs_image"):
        content[key] = np.array(content[key])
    return Facts(**content | {"zooms": tuple(content["zooms"])})


def _digest(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
