"""Step 2 from the study on disk: a range of variants, or burden masks, against all traits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq

from tessera.filesets import Fileset
from tessera.genotypes import GenotypeReader
from tessera.wgr.assoc import ROWS, Field, Linear, Logistic, Rules, Tester
from tessera.wgr.burden import COLUMNS, Plan, build_masks, plan_burden
from tessera.wgr.cohort import Cohort, scaled_trait
from tessera.wgr.logistic import NotConverged, fit_null
from tessera.wgr.study import Study
from tessera.wgr.variants import read_at

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Singles = npt.NDArray[np.float32]

Flags = npt.NDArray[np.bool_]
Panel = tuple[Singles, Floats, Flags, Floats]
"""``(V, n)`` copies of the tested allele of all people; ``(V,)`` imputation quality, whether there
are more than two alleles, of how many variants the copies are a sum."""


def read_variant_rows(path: str | Path, start: int, stop: int) -> pd.DataFrame:
    """Read a range of rows of the table of variants of step 2, and no more than its row groups."""
    file = pq.ParquetFile(path)
    parts, first = [], 0
    for number in range(file.num_row_groups):
        after = first + file.metadata.row_group(number).num_rows
        if first < stop and start < after:
            part = file.read_row_group(number).to_pandas()
            parts.append(part.iloc[max(0, start - first) : stop - first])
        first = after
    return pd.concat(parts, ignore_index=True)


def turned_variants(filesets: Sequence[Fileset], start: int, stop: int, ref_first: bool) -> Flags:
    """Tell of a range of variants whether the second allele is the tested one, not a1.

    That is so in a ``.bim`` or ``.bgen`` whose first allele is the reference.
    """
    turned = np.zeros(stop - start, bool)
    first = 0
    for each in filesets:
        low, high = max(start, first), min(stop, first + each.n_variants)
        if low < high and ref_first and each.kind in ("bed", "bgen"):
            turned[low - start : high - start] = True
        first += each.n_variants
    return turned


def output_rows(variants: pd.DataFrame, turned: Flags) -> pd.DataFrame:
    """Describe variants as in the output: ALLELE1 is the tested one."""
    return pd.DataFrame(
        {
            "CHROM": variants["chromosome"].astype(np.int8),
            "GENPOS": variants["pos"],
            "ID": variants["id"],
            "ALLELE0": np.where(turned, variants["a1"], variants["a2"]),
            "ALLELE1": np.where(turned, variants["a2"], variants["a1"]),
            "MASK": False,
            "TEST": "ADD",
        }
    )


def variant_panels(
    reader: GenotypeReader,
    edges: Iterable[tuple[int, int]],
    start: int,
    turned: Flags,
    odd: Flags,
) -> Iterable[Panel]:
    """Read variants that begin at `start`, in terms of the tested allele."""
    for a, b in edges:
        part = slice(a - start, b - start)
        dosages, info = reader.read_with_info(a, b)
        other = turned[part]
        if other.any():
            dosages[other] = 2 - dosages[other]
        yield dosages, info, odd[part], np.ones(b - a)


def open_variants(
    reader: GenotypeReader,
    variants: str | Path,
    filesets: Sequence[Fileset],
    chunk: Sequence[int],
    ref_first: bool,
    progress: Callable[[Sequence[tuple[int, int]]], Iterable[tuple[int, int]]] = iter,
) -> tuple[pd.DataFrame, Iterable[Panel]]:
    """Describe the variants of a job as in the output, and read them.

    Parameters
    ----------
    variants
        Table of the variants of step 2.
    chunk
        Chromosome, first and last + 1 variant.
    """
    _, start, stop = chunk
    known = read_variant_rows(variants, start, stop)
    turned = turned_variants(filesets, start, stop, ref_first)
    odd = known["multiallelic"].to_numpy(bool)
    edges = progress(panel_edges(start, stop))
    return output_rows(known, turned), variant_panels(reader, edges, start, turned, odd)


def panel_edges(start: int, stop: int) -> list[tuple[int, int]]:
    """Cut a range of variants into what is held at a time."""
    return [(a, min(a + ROWS, stop)) for a in range(start, stop, ROWS)]


def load_predictions(
    paths: Sequence[str], traits: Sequence[str], chromosome: int
) -> dict[str, Floats]:
    """Return the predictions of each trait for a chromosome; none of a trait without."""
    rows = {
        trait: np.load(path, mmap_mode="r")[chromosome - 1]
        for trait, path in zip(traits, paths, strict=True)
    }
    return {trait: np.array(row) for trait, row in rows.items() if len(row)}


def make_model(
    study: Study, place: int, cohort: Cohort, prediction: Floats | None, rules: Rules
) -> Linear | Logistic | None:
    """Return what variants are tested against; None where there is no prediction or no model."""
    if prediction is None:
        return None
    values = study.values[place, cohort.rows]
    if not study.binary:
        scaled, scale = scaled_trait(values, cohort, rules.convention)
        return Linear.of(scaled, scale, prediction, cohort.df(rules.convention))
    try:
        null = fit_null(values, cohort.basis, prediction, firth=rules.test == "firth")
    except NotConverged as error:
        print(f"{study.traits[place]}: {error}")
        return None
    return Logistic(values, null)


def associate(
    panels: Iterable[Panel],
    study: Study,
    predictions: Mapping[str, Floats],
    rules: Rules,
    many: int,
) -> Floats:
    """Test variants against all traits.

    Parameters
    ----------
    panels
        The variants.
    predictions
        Trait to predictions of its people that leave out the variants' chromosome.
    many
        Variants of all panels.

    Returns
    -------
    ndarray
        ``(T, 8, V)`` float64, see `tessera.wgr.assoc.Field`.
    """
    testers = []
    for cohort in study.cohorts(5):
        models = [
            make_model(study, place, cohort, predictions.get(study.traits[place]), rules)
            for place in cohort.members
        ]
        testers.append((cohort, Tester(cohort, models, rules)))
    out = np.full((len(study.traits), len(Field), many), np.nan)
    first = 0
    for dosages, info, odd, summed in panels:
        part = slice(first, first + len(dosages))
        for cohort, tester in testers:
            own = dosages
            if len(cohort.rows) < dosages.shape[1]:
                own = np.take(dosages, cohort.rows, axis=1)
            out[list(cohort.members), :, part] = tester.test(own, info, odd, summed)
        first += len(dosages)
    return out


def mask_panels(masks: Singles, summed: Floats, people: Ints) -> Iterable[Panel]:
    """Go through burden masks of which some people are tested, and which are sums of variants."""
    for a, b in panel_edges(0, len(masks)):
        yield masks[a:b, people], np.ones(b - a), np.zeros(b - a, bool), summed[a:b]


def open_masks(
    reader: GenotypeReader,
    study: Study,
    variants: str | Path,
    filesets: Sequence[Fileset],
    chunk: Sequence[int],
    ref_first: bool,
    burden: Mapping[str, Any],
) -> tuple[pd.DataFrame, Iterable[Panel]]:
    """Describe the burden masks of a job as in the output, and make them.

    Parameters
    ----------
    reader
        Of ``study.base``.
    variants
        Table of the variants of step 2.
    chunk
        Chromosome, first and last + 1 of its sets.
    burden
        The validated section ``wgr.burden``.
    """
    plan, _ = plan_burden(burden, pd.read_parquet(variants, columns=["id", "chromosome"]))
    masks, summed, table = masks_of_sets(plan, burden, chunk, reader, filesets, ref_first)
    tested = np.flatnonzero(np.isin(study.base[0], study.rows[0]))
    return table, mask_panels(masks, summed, tested)


def masks_of_sets(
    plan: Plan,
    burden: Mapping[str, Any],
    chunk: Sequence[int],
    reader: GenotypeReader,
    filesets: Sequence[Fileset],
    ref_first: bool,
) -> tuple[Singles, Floats, pd.DataFrame]:
    """Build the masks of some of the sets of a chromosome.

    Parameters
    ----------
    plan
        Of all sets.
    burden
        The validated section ``wgr.burden``.
    chunk
        Chromosome, first and last + 1 of its sets.

    Returns
    -------
    masks, summed, table
        ``(M, n)`` float32; ``(M,)`` of how many variants each is a sum; M rows as from
        `output_rows`.
    """
    chromosome, start, stop = chunk
    values, tables = [reader.read(0, 0)], []
    for each in [own for own in plan.sets if own.chrom == chromosome][start:stop]:
        dosages = read_at(reader, each.rows)
        for row, place in enumerate(each.rows):
            if turned_variants(filesets, int(place), int(place) + 1, ref_first)[0]:
                dosages[row] = 2 - dosages[row]
        for rule in burden["tests"]:
            built = build_masks(
                dosages, each, plan.masks, burden["aaf_bins"], burden["singletons"], rule
            )
            values.append(built.values)
            tables.append(built.table)
    table = pd.concat(tables or [pd.DataFrame(columns=list(COLUMNS))], ignore_index=True)
    rule = table["rule"].astype(str)
    answer = pd.DataFrame(
        {
            "CHROM": table["chrom"].astype(np.int8),
            "GENPOS": table["pos"].astype(np.int64),
            "ID": table["id"],
            "ALLELE0": table["allele0"],
            "ALLELE1": table["allele1"],
            "MASK": True,
            "TEST": np.where(rule == "max", "ADD", "ADD-" + rule.str.upper()),
        }
    )
    summed = np.where(rule == "sum", table["n_variants"], 1).astype(np.float64)
    return np.concatenate(values), summed, answer
