"""The demonstration data of the pipeline: phantoms with truth, and small real acquisitions."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
from dipy.data import get_fnames
from numpy.typing import NDArray

from tessera import nifti
from tessera.neuro.phantom import Phantom, make_phantom, with_bad_samples, with_short_bvec

REAL = {"stanford64": "small_64D", "dsi101": "small_101D"}
"""Subject label to dipy's name for a small block of a real acquisition."""


def phantoms(seed: int) -> dict[str, Phantom]:
    """Return the phantoms by subject label.

    ``negative`` and ``positive`` are the same head, stored with either sign of the affine's
    determinant; ``oblique`` is another, turned; ``badsamples`` has samples to be excluded and
    ``badbvec`` a b-vector for which it must be set aside.
    """
    return {
        "negative": make_phantom(seed, 0),
        "positive": make_phantom(seed, 0, orientation="positive"),
        "oblique": make_phantom(seed, 1, orientation="oblique"),
        "badsamples": with_bad_samples(make_phantom(seed, 2)),
        "badbvec": with_short_bvec(make_phantom(seed, 3)),
    }


def write_toy(folder: Path, prefix: str, seed: int) -> str:
    """Write images, gradients, masks and truth.

    Parameters
    ----------
    folder
        An empty folder to fill.
    prefix
        The folder's name as the sheet beside it says it.
    seed
        Of the phantoms.

    Returns
    -------
    str
        The subjects sheet.
    """
    rows = ["subject\tdwi\tbval\tbvec\tmask"]

    def add(label: str, mask: str = "n/a") -> None:
        files = [f"{prefix}/{label}.{suffix}" for suffix in ("nii.gz", "bval", "bvec")]
        rows.append("\t".join([label, *files, mask]))

    for label, phantom in phantoms(seed).items():
        # As scanners store it, but for the phantom whose NaN only a float can hold.
        dtype = np.int16 if np.isfinite(phantom.dwi).all() else np.float32
        nifti.write(folder / f"{label}.nii.gz", phantom.dwi, phantom.affine, dtype=dtype)
        _write_gradients(folder / label, phantom.bvals, phantom.bvecs)
        for name in ("fa", "md", "v1", "sigma", "labels"):
            nifti.write(folder / f"{label}_{name}.nii.gz", getattr(phantom, name), phantom.affine)
        add(label)
    for label, name in REAL.items():
        image, bval, bvec = map(Path, get_fnames(name=name))
        _copy_compressed(image, folder / f"{label}.nii.gz")
        shutil.copyfile(bval, folder / f"{label}.bval")
        shutil.copyfile(bvec, folder / f"{label}.bvec")
        # A block from the middle of a brain has no background that Otsu could tell apart.
        header = nifti.read_header(image)
        everywhere = np.ones(header.shape[2::-1], bool)
        nifti.write(folder / f"{label}_mask.nii.gz", everywhere, header.affine)
        add(label, mask=f"{prefix}/{label}_mask.nii.gz")
    return "\n".join(rows) + "\n"


def _write_gradients(stem: Path, bvals: NDArray[np.float64], bvecs: NDArray[np.float64]) -> None:
    for suffix, table in (("bval", bvals[None]), ("bvec", bvecs.T)):
        lines = [" ".join(f"{value:.10g}" for value in line) for line in table]
        stem.with_name(f"{stem.name}.{suffix}").write_text("\n".join(lines) + "\n", "utf-8")


def _copy_compressed(source: Path, target: Path) -> None:
    if source.suffix == ".gz":
        shutil.copyfile(source, target)
        return
    with target.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as stream:
        stream.write(source.read_bytes())
