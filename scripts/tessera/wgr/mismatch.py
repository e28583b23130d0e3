"""Ids of two files that should be of the same people: told where they are not, with a guess why."""

from __future__ import annotations

import pandas as pd

from tessera.errors import Problem

LEAST_SHARE = 0.5
"""Share of the smaller of two files that must be in the other: a guess must reach it, too."""

_SHOWN = 5


def joined(ids: pd.DataFrame, by: str = "\t") -> pd.Index:
    """Return one text per individual: FID and IID, or the IID alone where there is no FID."""
    return pd.Index(ids["fid"] + by + ids["iid"] if "fid" in ids else ids["iid"])


def mismatch(file: str, ids: pd.DataFrame, other: str, others: pd.DataFrame) -> Problem | None:
    """Tell that two files have few individuals in common.

    Parameters
    ----------
    file, ids
        The file to be corrected; its individuals, ``fid`` (if it has any) and ``iid``.
    other, others
        The file that it should go with.

    Returns
    -------
    Problem or None
        How many and which individuals are in one of them only and what may be the reason; None if
        at least half of the smaller file is in the other.
    """
    both = [name for name in ("fid", "iid") if name in ids]
    here, there = joined(ids), joined(others[both])
    found = here.isin(there)
    if _alike(here, there):
        return None
    what = (
        f"{found.sum()} of its {len(ids)} individuals are among the {len(others)} of {other} "
        f"(unmatched here: {_examples(ids[~found])}, and there: "
        f"{_examples(others[~there.isin(here)])})"
    )
    return Problem(file, "", what, _guess(file, ids, other, others) or "make the ids alike")


def _alike(here: pd.Index, there: pd.Index) -> bool:
    return len(here.intersection(there)) >= LEAST_SHARE * min(len(here), len(there))


def _examples(ids: pd.DataFrame) -> str:
    shown = [" ".join(row)[:40] for row in ids[:_SHOWN].itertuples(index=False)]
    return ", ".join(text if text.isprintable() else repr(text) for text in shown) or "none"


def _guess(file: str, ids: pd.DataFrame, other: str, others: pd.DataFrame) -> str:
    """Try what is often wrong with ids; return what made them agree, and what to do about it."""
    here, there = pd.Index(ids["iid"]), pd.Index(others["iid"])
    if "fid" in ids:
        if _alike(here, there):
            return _guess_fid(file, ids, other, others)
        if _alike(joined(ids.rename(columns={"fid": "iid", "iid": "fid"})), joined(others)):
            return f"FID and IID are swapped in one of the two, so swap the columns in {file}"
        if _alike(joined(ids, "_"), there):
            return f"the IID of {other} is FID_IID of {file} in one, so write the same in both"
    if _alike(here, joined(others, "_")):
        return f"the IID of {file} is FID_IID of {other} in one, so cut it into FID and IID"
    prefixes = [_prefix(here), _prefix(there)]
    bare = [
        index.str.removeprefix(prefix)
        for index, prefix in zip((here, there), prefixes, strict=True)
    ]
    zeros = not _alike(*bare)
    if zeros and not _alike(*(index.str.lstrip("0") for index in bare)):
        return ""
    faults = [
        f"the IIDs of {name} start with {prefix!r}"
        for name, prefix in zip((file, other), prefixes, strict=True)
        if prefix and prefixes[0] != prefixes[1]
    ]
    faults += ["the IIDs differ by leading zeros"] if zeros else []
    return f"{' and '.join(faults)}, so write them alike in both"


def _guess_fid(file: str, ids: pd.DataFrame, other: str, others: pd.DataFrame) -> str:
    """Tell how FIDs differ where the IIDs agree."""
    sides = {file: (ids, others, other), other: (others, ids, file)}
    remedy = f"so write the FID of {other} into {file}"
    for name, (mine, _, _) in sides.items():
        if (mine["fid"] == "0").all():
            return f"FID is 0 in {name}, {remedy}"
    for name, (mine, theirs, their_name) in sides.items():
        if (mine["fid"] == mine["iid"]).all() and not (theirs["fid"] == theirs["iid"]).all():
            return f"FID equals IID in {name} but not in {their_name}, {remedy}"
    return f"the IIDs agree but the FIDs do not, {remedy}"


def _prefix(ids: pd.Index) -> str:
    """Return what most ids have before their first digit."""
    return str(ids.str.extract(r"^(\D*)\d", expand=False).dropna().to_series().mode().get(0, ""))
