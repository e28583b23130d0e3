"""The little of BIDS that the pipeline needs: a raw dataset in, derivative names out.

A reader of one suffix in one folder level does not need the database that the full libraries
build: a dataset of a thousand sessions is listed in well under a second. The names that are
written follow the schema of BIDS (version 1.11) for diffusion derivatives.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tessera.errors import InputError, Problem

BIDS_VERSION = "1.11.0"
LABEL = re.compile(r"[A-Za-z0-9]+")


def _entities(name: str) -> dict[str, str]:
    pairs = (part.split("-", 1) for part in name.split(".")[0].split("_") if "-" in part)
    return dict(pairs)


def inherited(dwi: Path, suffix: str, root: Path) -> Path | None:
    """Find the gradient file of an acquisition by the inheritance principle.

    The nearest folder on the way up to ``root`` wins; there, a file applies when all its entities
    stand in the name of the acquisition too, and the one with most entities wins.
    """
    wanted = _entities(dwi.name).items()
    folder = dwi.parent
    while True:
        found = [
            path for path in folder.glob(f"*dwi.{suffix}") if _entities(path.name).items() <= wanted
        ]
        if found:
            return max(found, key=lambda path: (len(_entities(path.name)), path.name))
        if folder == root:
            return None
        folder = folder.parent


def find_acquisitions(root: str) -> list[dict[str, Any]]:
    """List the diffusion acquisitions of a raw BIDS dataset.

    Parameters
    ----------
    root
        The dataset. ``derivatives`` and everything else outside ``sub-*`` is left alone.

    Returns
    -------
    list of dict
        One row per subject or session with the columns of the subjects sheet, ordered by path,
        and ``problems``: what sets it aside (no gradients, several acquisitions, no content).

    Raises
    ------
    InputError
        If the folder is missing or holds no acquisition, or a label is not valid.
    """
    base = Path(root)
    if not base.is_dir():
        raise InputError(Problem(root, "", "no such folder", "correct neuro.bids in the config"))
    files = sorted(
        path
        for pattern in ("sub-*/dwi/*_dwi.nii*", "sub-*/ses-*/dwi/*_dwi.nii*")
        for path in base.glob(pattern)
        if re.search(r"_dwi\.nii(\.gz)?$", path.name)
    )
    if not files:
        remedy = "expected files like sub-01/dwi/sub-01_dwi.nii.gz"
        raise InputError(Problem(root, "", "no diffusion acquisition in this dataset", remedy))
    rows: dict[tuple[str, str | None], dict[str, Any]] = {}
    for path in files:
        entities = _entities(path.name)
        key = (entities.get("sub", ""), entities.get("ses"))
        place = path.relative_to(base).as_posix()
        if not all(LABEL.fullmatch(label) for label in key if label is not None):
            remedy = "rename it; labels are letters and digits"
            raise InputError(Problem(root, place, "not a valid BIDS label", remedy))
        row = rows.setdefault(
            key, {"subject": key[0], "session": key[1], "dwi": str(path), "problems": []}
        )

        def tell(what: str, remedy: str, row: dict = row, place: str = place) -> None:
            row["problems"].append(Problem(root, place, what, remedy).as_dict())

        if row["dwi"] != str(path):
            first = Path(row["dwi"]).name
            remedy = "name the one to use in a sheet of all acquisitions, with neuro.bids: null"
            tell(f"second acquisition of this subject and session, beside {first}", remedy)
            continue
        if not path.exists():
            tell("the file's content is not here", "fetch it, for instance with datalad get")
        for suffix in ("bval", "bvec"):
            gradients = inherited(path, suffix, base)
            if gradients is None:
                tell(f"no .{suffix} file applies to it", "add it beside the image or higher up")
            row[suffix] = str(gradients)
    return list(rows.values())


def unit_name(subject: str, session: str | None) -> str:
    """Return the path of a subject's or session's folder, such as ``sub-01/ses-1``."""
    return f"sub-{subject}/ses-{session}" if session else f"sub-{subject}"


def prefix(unit: str) -> str:
    """Return the leading part of the file names in a folder: ``sub-01_ses-1``."""
    return unit.replace("/", "_")
