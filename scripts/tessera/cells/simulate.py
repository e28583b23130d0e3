"""A tissue with known truth: cells of 8 types and 3 donors, markers, and genes of known answers.

The answers of some genes are known in closed form, whatever the seed; those of all planted genes
are worked out in exact arithmetic (`truth`), by no code that the pipeline uses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import csr_array

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DONORS = {"D1": 41, "D2": 58, "D3": 63}
"""Donors and their age."""

TYPES = {
    "Astro": (220, 160, 100),
    "Endo": (50, 39, 1),  # one cell: no variance, and fewer than any sensible `min_cells`
    "L2/3 IT": (280, 220, 120),
    "L5 ET": (70, 50, 30),
    "Micro": (100, 70, 40),
    "OPC": (60, 40, 20),
    "Oligo": (240, 190, 110),
    "Sst": (90, 60, 40),
}
"""Types and their number of cells of each donor; the cells of a type are a multiple of 10."""

MARKERS = {
    "Astro": ("AQP4", "GFAP", "ALDH1L1", "SLC1A2", "GJA1"),
    "Endo": ("CLDN5", "FLT1", "PECAM1", "VWF", "ITM2A"),
    "L2/3 IT": ("CUX2", "LAMP5", "RORB", "CALB1", "RASGRF2"),
    "L5 ET": ("FEZF2", "BCL11B", "CRYM", "POU3F1", "FAM84B"),
    "Micro": ("CX3CR1", "CSF1R", "P2RY12", "AIF1", "C1QA"),
    "OPC": ("PDGFRA", "CSPG4", "OLIG1", "VCAN", "GPR17"),
    "Oligo": ("MBP", "MOG", "PLP1", "MAG", "OPALIN"),
    "Sst": ("SST", "GAD1", "GAD2", "CHODL", "NPY"),
}
"""Genes that are strong in one type and nearly absent elsewhere."""

HOUSEKEEPING = ("ACTB", "B2M", "EEF1A1", "GAPDH", "MALAT1", "RPL13", "RPS27", "UBC")
"""Genes with at least one count in every cell."""

ODD_NAMES = ("nan", "NA", "True", "1-Mar", "007", "\N{GREEK SMALL LETTER BETA}-globin")
"""Names that software likes to take for something else."""

LADDER, RAMP, HALF, LEVEL, ONCE = (
    f"TRUTH-{name}" for name in ("LADDER", "RAMP", "HALF", "LEVEL", "ONCE")
)
ZEROS = tuple(f"TRUTH-ZERO{k}" for k in (1, 2, 3))
PLANTED = (LADDER, RAMP, HALF, LEVEL, ONCE, ZEROS[0])
"""Genes of known answers; see `_plant`."""

RAMP_TYPE, HALF_TYPE, LEVEL_TYPE, ONCE_TYPE = "OPC", "Sst", "Micro", "Astro"
LEVEL_COUNT, ONCE_COUNT = 7, 42

N_GENES = 1500
PERCENTILES = (5, 25, 50, 75, 95)
TRIM = Fraction(1, 4)

_DEPTH, _SPREAD = 0.35, 2.0  # of the logarithm of a cell's depth; shape of the gamma of counts


@dataclass(frozen=True)
class Tissue:
    """Counts of cells, and what is known of them.

    Attributes
    ----------
    counts
        ``(n, g)`` int32: cells by genes.
    genes
        g names, in the order of the columns, which is not that of the alphabet.
    cells
        n rows: ``cell``, ``cell_type``, ``donor``, ``age``, in the order of the rows; types mixed.
    umap
        ``(n, 2)`` float32: a layout in the plane, which is that of the simulation itself.
    """

    counts: csr_array[Any]
    genes: tuple[str, ...]
    cells: pd.DataFrame
    umap: npt.NDArray[np.float32]


def simulate(seed: int) -> Tissue:
    """Make a tissue from a seed; the counts of a gene depend on the seed and its number alone."""
    cells = _cells(seed)
    kind = cells["cell_type"].to_numpy()
    donor = pd.Categorical(cells["donor"], categories=list(DONORS)).codes
    code = pd.Categorical(kind, categories=list(TYPES)).codes
    depth = np.exp(_DEPTH * _stream(seed, 1).standard_normal(len(cells)))
    planted = _plant(kind)
    marked = {gene: name for name, genes in MARKERS.items() for gene in genes}
    genes = [*marked, *HOUSEKEEPING, *planted, *ODD_NAMES]
    genes += [f"GENE{k:04d}" for k in range(N_GENES - len(genes))]
    columns = []
    for k, gene in enumerate(genes):
        draw = _stream(seed, 1000 + k)
        if gene in planted:
            column = planted[gene]
        elif gene in HOUSEKEEPING:
            column = 1 + draw.poisson(draw.uniform(4, 25) * depth)
        else:
            rate = np.exp(draw.normal(-2.8, 1.2) + 0.5 * draw.standard_normal(len(TYPES)))
            if gene in marked:
                rate[:] = 0.03
                rate[list(TYPES).index(marked[gene])] = draw.uniform(2, 9)
            own = np.exp(0.15 * draw.standard_normal(len(DONORS)))
            noise = draw.gamma(_SPREAD, 1 / _SPREAD, len(cells))
            column = draw.poisson(rate[code] * own[donor] * depth * noise)
        columns.append(column.astype(np.int32))
    order = _stream(seed, 2).permutation(len(genes))
    counts = csr_array(np.stack([columns[k] for k in order], axis=1))
    return Tissue(counts, tuple(genes[k] for k in order), cells, _umap(seed, code, donor))


def _stream(seed: int, item: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, item]))


def _cells(seed: int) -> pd.DataFrame:
    rows = [
        (name, donor)
        for name, sizes in TYPES.items()
        for donor, size in zip(DONORS, sizes, strict=True)
        for _ in range(size)
    ]
    rows = [rows[k] for k in _stream(seed, 3).permutation(len(rows))]
    table = pd.DataFrame(rows, columns=["cell_type", "donor"])
    table.insert(0, "cell", [f"C{k:05d}" for k in range(len(rows))])
    return table.assign(age=table["donor"].map(DONORS))


def _plant(kind: npt.NDArray[Any]) -> dict[str, Ints]:
    """Return the counts of the genes whose answers are known.

    ``LADDER``: in each type the counts 1 to 10, equally often. ``RAMP``: 1 to n in the n cells of
    one type, none elsewhere. ``HALF``: 1 to n/2 in every other cell of one type, none elsewhere.
    ``LEVEL``: the same count in all cells of one type. ``ONCE``: a count in a single cell.
    ``ZERO``: none at all.
    """
    found = {gene: np.zeros(len(kind), np.int64) for gene in (LADDER, RAMP, HALF, LEVEL, ONCE)}
    for name in TYPES:
        at = np.flatnonzero(kind == name)
        rank = np.arange(at.size)
        found[LADDER][at] = rank % 10 + 1
        if name == RAMP_TYPE:
            found[RAMP][at] = rank + 1
        if name == HALF_TYPE:
            found[HALF][at[1::2]] = np.arange(at.size // 2) + 1
        if name == LEVEL_TYPE:
            found[LEVEL][at] = LEVEL_COUNT
        if name == ONCE_TYPE:
            found[ONCE][at[3]] = ONCE_COUNT
    return {**found, **{gene: np.zeros(len(kind), np.int64) for gene in ZEROS}}


def _umap(seed: int, code: npt.NDArray[Any], donor: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Lay the cells out: an island for each type, with its donors a little apart."""
    draw = _stream(seed, 4)
    angle = 2 * np.pi * np.arange(len(TYPES)) / len(TYPES)
    centre = np.stack([9 * np.cos(angle), 6 * np.sin(angle)], axis=1)
    centre += draw.uniform(-1, 1, centre.shape)
    shift = draw.normal(0, 0.35, (len(TYPES), len(DONORS), 2))
    wide = draw.uniform(0.5, 1.1, (len(TYPES), 2))
    spread = draw.standard_normal((len(code), 2)) * wide[code]
    return (centre[code] + shift[code, donor] + spread).astype(np.float32)


def truth(tissue: Tissue, normalize: Sequence[str]) -> pd.DataFrame:
    """Work out all statistics of the planted genes by type, in exact arithmetic.

    Parameters
    ----------
    tissue
        The cells.
    normalize
        Normalisations to work them out for: ``none``, ``cpm``, ``log1p_cpm``, ``log2_cpm``.

    Returns
    -------
    DataFrame
        A row per gene, type and normalisation: ``gene``, ``group``, ``normalize`` and the
        statistics, those of percentiles 5, 25, 50, 75, 95 and trim 0.25 among them. A value is
        normalised in double precision; all that follows is done in fractions and rounded once.
    """
    totals = tissue.counts.sum(axis=1)
    kind = tissue.cells["cell_type"].to_numpy()
    rows = []
    for gene in PLANTED:
        column = tissue.counts[:, [tissue.genes.index(gene)]].toarray()[:, 0]
        for form in normalize:
            for name in TYPES:
                cells = np.flatnonzero(kind == name)
                values = [_normalised(int(column[k]), int(totals[k]), form) for k in cells]
                rows.append({"gene": gene, "group": name, "normalize": form, **exactly(values)})
    return pd.DataFrame(rows)


def _normalised(count: int, total: int, form: str) -> float:
    cpm = count * 1e6 / total
    return {
        "none": float(count),
        "cpm": cpm,
        "log1p_cpm": math.log1p(cpm),
        "log2_cpm": math.log2(cpm + 1),
    }[form]


def exactly(values: Sequence[float]) -> dict[str, float]:
    """Return all statistics of a group's values, worked out in fractions and rounded once."""
    exact = sorted(map(Fraction, values))
    n = len(exact)
    mean = sum(exact, Fraction()) / n
    cut = math.floor(TRIM * n)
    kept = exact[cut : n - cut]
    found: dict[str, float | Fraction] = {
        "n": n,
        "count_nonzero": sum(value != 0 for value in exact),
        "fraction": Fraction(sum(value != 0 for value in exact), n),
        "sum": mean * n,
        "mean": mean,
        "var": sum(((x - mean) ** 2 for x in exact), Fraction()) / (n - 1) if n > 1 else math.nan,
        "min": exact[0],
        **{_name(p): _percentile(exact, p) for p in PERCENTILES if p < 50},
        "median": _percentile(exact, 50),
        **{_name(p): _percentile(exact, p) for p in PERCENTILES if p > 50},
        "max": exact[-1],
        "trimmed_mean": sum(kept, Fraction()) / len(kept),
    }
    return {name: float(value) for name, value in found.items()}


def _name(percentile: int) -> str:
    return f"p{percentile:02d}"


def _percentile(exact: Sequence[Fraction], percentile: int) -> Fraction:
    """Return a percentile by linear interpolation between the values, as numpy's default."""
    place = Fraction(percentile, 100) * (len(exact) - 1)
    low = math.floor(place)
    high = min(low + 1, len(exact) - 1)
    return exact[low] + (place - low) * (exact[high] - exact[low])
