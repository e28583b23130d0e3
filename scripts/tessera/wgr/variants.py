"""Which variants step 1 is built on, and where they lie."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tessera.genotypes import GenotypeReader
from tessera.wgr.counts import centre, count
from tessera.wgr.hwe import hwe_p

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Singles = npt.NDArray[np.float32]

N_CHROMOSOMES = 23
FLAT = "does not vary"
COLLINEAR = "does not vary beyond the covariates"
SMALL_SHARE = 0.05
"""Share of variants that may not vary before the input is taken for a mistake."""

_GAP = 64  # unwanted variants that are read along, rather than read in two pieces
_TILE = 4096


def chromosome_number(name: str) -> int:
    """Return 1 to 23 (X), or 0 for what is not analysed.

    The pseudo-autosomal regions count as X, as in REGENIE.
    """
    bare = re.sub(r"^chr", "", name.strip(), flags=re.IGNORECASE).upper()
    if bare in {"X", "XY", "PAR1", "PAR2", "25"}:
        return N_CHROMOSOMES
    number = int(bare) if bare.isdecimal() else 0
    return number if number <= N_CHROMOSOMES else 0


def chromosome_spans(
    runs: Iterable[tuple[str, int, int]],
) -> tuple[dict[int, list[tuple[int, int]]], dict[str, int]]:
    """Sort runs of variants by chromosome.

    Parameters
    ----------
    runs
        Name of the chromosome, first and last + 1 variant.

    Returns
    -------
    spans, others
        Chromosome (1 to 23) to runs; name to number of variants that are not analysed.
    """
    spans: dict[int, list[tuple[int, int]]] = {}
    others: dict[str, int] = {}
    for name, start, stop in runs:
        number = chromosome_number(name)
        if number:
            spans.setdefault(number, []).append((start, stop))
        else:
            others[name] = others.get(name, 0) + stop - start
    return dict(sorted(spans.items())), others


def read_at(reader: GenotypeReader, places: Ints) -> Singles:
    """Read variants at ascending places: ``(len(places), n)`` float32."""
    if not len(places):
        return reader.read(0, 0)
    cuts = np.flatnonzero(np.diff(places) > _GAP) + 1
    parts = [
        reader.read(int(part[0]), int(part[-1]) + 1)[part - part[0]]
        for part in np.split(places, cuts)
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def screen(dosages: Singles, basis: Floats, rules: Mapping[str, float]) -> list[str]:
    """Tell of each variant why step 1 leaves it out; empty where it does not.

    Parameters
    ----------
    dosages
        ``(V, n)`` float32.
    basis
        ``(n, C)`` of the covariates.
    rules
        ``max_missing``, ``maf`` and ``hwe``.
    """
    there, total, hets, homs = count(dosages)
    people = dosages.shape[1]
    mean = np.divide(total, there, out=np.zeros_like(total), where=there > 0)
    squares = np.zeros(len(dosages))
    loads = np.zeros((len(dosages), basis.shape[1]))
    for a in range(0, people, _TILE):
        b = min(a + _TILE, people)
        tile = np.empty((len(dosages), b - a))
        centre(dosages[:, a:b], mean, tile)
        squares += np.einsum("ij,ij->i", tile, tile)
        loads += tile @ basis[a:b]
    left = squares - np.einsum("ij,ij->i", loads, loads)
    frequency = np.minimum(mean, 2 - mean) / 2
    reasons: Sequence[tuple[str, npt.NDArray[np.bool_]]] = [
        ("more genotypes missing than max_missing", people - there > rules["max_missing"] * people),
        (FLAT, squares <= 1e-6),
        ("minor allele frequency below maf", frequency < rules["maf"]),
        (COLLINEAR, left <= 1e-6 * squares),
    ]
    out = [""] * len(dosages)
    for reason, hit in reversed(reasons):
        for place in np.flatnonzero(hit):
            out[place] = reason
    if rules["hwe"] > 0:
        for place in np.flatnonzero(hwe_p(there - hets - homs, hets, homs) < rules["hwe"]):
            out[place] = out[place] or "Hardy-Weinberg p below hwe"
    return out
