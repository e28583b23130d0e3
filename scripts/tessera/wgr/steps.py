"""The steps of the regression, from the study on disk and back to disk."""

from __future__ import annotations

import resource
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tessera.filesets import Fileset
from tessera.genotypes import GenotypeReader
from tessera.wgr.cohort import Cohort, scaled_trait
from tessera.wgr.gram import Block
from tessera.wgr.kept import Shelf
from tessera.wgr.level0 import level0
from tessera.wgr.level1 import (
    Features,
    Level1,
    contributions,
    fit_binary,
    fit_quantitative,
    loco,
)
from tessera.wgr.logistic import NotConverged, fit_null
from tessera.wgr.plan import kept_always
from tessera.wgr.prepare import block_places
from tessera.wgr.study import Study
from tessera.wgr.sums import RawGrams, fingerprints
from tessera.wgr.variants import N_CHROMOSOMES, read_at

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Singles = npt.NDArray[np.float32]


def level0_block(
    place: Path,
    filesets: Sequence[Fileset],
    study: Study,
    variants: str,
    block: Sequence[int],
    size: int,
    settings: Mapping[str, Any],
    shelf: Shelf | None = None,
) -> None:
    """Write the predictions of one block, ``(T, L, n)`` float64: 0 for those without the trait.

    A block that screening left without variants is written as ``(T, 0, n)``.

    Parameters
    ----------
    filesets
        Of step 1.
    variants
        The ``.npz`` of the variants that are kept.
    block
        Chromosome, and number of the block there.
    settings
        ``convention``, ``folds``, ``h2_grid``.
    shelf
        Has what an earlier run kept of this block, and keeps what the next one may need.
    """
    with np.load(variants) as held:
        kept, chromosomes = held["kept"], held["chromosomes"]
    places = block_places(kept, chromosomes, block[0], block[1], size)
    grid = list(settings["h2_grid"]) if len(places) else []
    shape = (len(study.traits), len(grid), len(study.ids))
    out = np.lib.format.open_memmap(place, mode="w+", dtype=np.float64, shape=shape)

    def read(rows: Sequence[Ints]) -> Singles:
        with GenotypeReader(filesets, rows) as reader:
            return read_at(reader, places)

    if len(places):
        rows = study.rows[: len(filesets)]
        everyone = Block.of(read(rows))
        if shelf is not None and not everyone.whole:
            shelf.notes.append("Dosages are no whole numbers, of which nothing is kept.")
            shelf.sweep()
            shelf = None
        prints = fingerprints(everyone) if shelf else None
        if shelf:
            folds = 1 if settings["folds"] == "loocv" else settings["folds"]
            shelf.charge(kept_always(len(places), folds, len(grid), len(study.traits), 2))
        raw = RawGrams(everyone, prints, shelf, np.stack(rows), read)
        # What there is room for is kept of those first that have the most traits.
        for cohort in sorted(study.cohorts(settings["folds"]), key=lambda each: -len(each.members)):
            scaled = np.column_stack(
                [
                    scaled_trait(study.values[t, cohort.rows], cohort, settings["convention"])[0]
                    for t in cohort.members
                ]
            )
            predictions = level0(
                everyone.of_people(cohort.rows),
                scaled,
                cohort,
                grid,
                len(kept),
                settings["convention"],
                raw,
                shelf,
                None if prints is None else prints[cohort.rows],
            )
            for trait, own in zip(cohort.members, predictions, strict=True):
                out[trait][:, cohort.rows] = own
            raw.spare(cohort.folds or 1)
        if shelf:
            raw.keep()
            shelf.sweep()
    out.flush()


def _features(study: Study, trait: str, blocks: Sequence[str], cohort: Cohort) -> Features:
    place = study.traits.index(trait)
    # A mapped file stays open, and there may be more blocks than files are allowed by default.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = len(blocks) + 256
    if soft < wanted <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    parts = [np.load(path, mmap_mode="r")[place] for path in blocks]
    return Features(parts, cohort.rows)


def _model_inputs(
    study: Study, trait: str, settings: Mapping[str, Any]
) -> tuple[Cohort, Floats, Floats | None]:
    """Return people, trait (scaled, or cases) and, of a binary one, log-odds by covariates."""
    cohort, values = study.cohort_of(trait, settings["folds"])
    if not study.binary:
        return cohort, scaled_trait(values, cohort, settings["convention"])[0], None
    null = fit_null(values, cohort.basis, np.zeros(len(values)), firth=False)
    return cohort, values, np.log(null.p) - np.log1p(-null.p)


def level1_trait(
    study: Study, trait: str, blocks: Sequence[str], settings: Mapping[str, Any]
) -> tuple[dict[str, Any], Level1 | None]:
    """Fit level 1 of one trait.

    Returns
    -------
    curve, model
        For JSON: ``status`` (``ok``, ``set aside`` or ``not converged``), ``reason``, ``h2``,
        ``loss``, ``loss_name``, ``rsq``, ``best``, ``n``. And the model, unless there is none.
    """
    if trait not in study.traits:
        reason = next(row["reason"] for row in study.facts["traits_all"] if row["trait"] == trait)
        return {"trait": trait, "status": "set aside", "reason": reason}, None
    grid = list(settings["h2_grid"])
    try:
        cohort, values, offset = _model_inputs(study, trait, settings)
        features = _features(study, trait, blocks, cohort)
        if offset is None:
            model = fit_quantitative(features, values, cohort, grid, settings["convention"])
        else:
            model = fit_binary(features, values, offset, cohort, grid)
    except NotConverged as error:
        return {"trait": trait, "status": "not converged", "reason": str(error)}, None
    curve = {
        "trait": trait,
        "status": "ok",
        "reason": "",
        "n": len(cohort.rows),
        "folds": cohort.folds or "loocv",
        "h2": grid,
        "loss_name": "MSE" if offset is None else "-log-likelihood per person",
        "loss": model.loss.tolist(),
        "rsq": model.rsq.tolist(),
        "best": model.best,
    }
    return curve, model


def save_model(place: Path, model: Level1 | None) -> None:
    """Write a model without pickled objects; of a trait without one, an empty archive."""
    arrays = {} if model is None else vars(model)
    with place.open("wb") as stream:
        np.savez(stream, **arrays)


def load_model(path: str) -> Level1 | None:
    """Read what `save_model` wrote."""
    with np.load(path, allow_pickle=False) as held:
        if not held.files:
            return None
        arrays = {name: held[name] for name in held.files}
    return Level1(**{**arrays, "best": int(arrays["best"])})


def loco_trait(
    study: Study,
    trait: str,
    blocks: Sequence[str],
    model: Level1 | None,
    chromosomes: Sequence[int],
    settings: Mapping[str, Any],
) -> tuple[Floats, Ints]:
    """Predict one trait from all chromosomes but one.

    Parameters
    ----------
    chromosomes
        Of each block.

    Returns
    -------
    predictions, people
        ``(23, m)`` and the m places of the trait's people; m = 0 without a model.
    """
    if model is None:
        return np.empty((N_CHROMOSOMES, 0)), np.empty(0, np.int64)
    cohort, values, offset = _model_inputs(study, trait, settings)
    features = _features(study, trait, blocks, cohort)
    widths = [len(np.load(path, mmap_mode="r")[0]) for path in blocks]
    columns = np.repeat(np.asarray(chromosomes), widths)
    return loco(contributions(features, model, cohort, columns, values, offset)), cohort.rows
