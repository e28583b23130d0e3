"""Individuals by hand for tests of `wgr`: ids, tables of traits and covariates, refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tessera.errors import InputError
from tessera.wgr.people import join_people

SECTION = {
    "phenotypes": "p.txt",
    "traits": "all",
    "trait_type": "qt",
    "covariates": None,
    "keep": None,
    "remove": None,
}


def people_of(pairs):
    return pd.DataFrame(list(pairs), columns=["fid", "iid"], dtype=str)


def text_of(names, rows):
    """Rows of (fid, iid, *cells); None is missing."""
    cells = [["FID", "IID", *names], *rows]
    return "".join(" ".join("NA" if c is None else str(c) for c in row) + "\n" for row in cells)


def told(section, files):
    with pytest.raises(InputError) as caught:
        join_people({**SECTION, **section}, files)
    return str(caught.value).splitlines()


def pairs(n, fid="f{}", iid="i{}"):
    return [(fid.format(k), iid.format(k)) for k in range(n)]


def table_of(ids, *columns, names=None):
    names = names or [f"Y{n + 1}" for n in range(len(columns))]
    return text_of(names, [(*who, *row) for who, *row in zip(ids, *columns, strict=True)])


NOISE = np.random.default_rng(5).normal(size=(4, 40)).round(4)
