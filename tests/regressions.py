"""The pipeline `wgr` without its rules: from files to predictions and tests, in this process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from ridges import H2
from tessera.genotype_files import read_samples
from tessera.genotypes import ALL_KINDS, GenotypeReader, find_fileset
from tessera.wgr.assoc import Rules
from tessera.wgr.people import join_people
from tessera.wgr.prepare import block_list, screen_variants, variant_table
from tessera.wgr.step2 import (
    associate,
    load_predictions,
    output_rows,
    panel_edges,
    turned_variants,
    variant_panels,
)
from tessera.wgr.steps import level0_block, level1_trait, load_model, loco_trait, save_model
from tessera.wgr.study import load_study, save_study
from tessera.wgr.tables_out import write_loco

SECTION = {
    "genotypes": "",
    "phenotypes": "",
    "traits": "all",
    "trait_type": "qt",
    "covariates": None,
    "keep": None,
    "remove": None,
    "convention": "v4",
    "block_size": 100,
    "folds": 5,
    "h2_grid": H2,
    "test": "score",
    "firth_p": 0.05,
    "ref_first": False,
    "min_mac": 5,
    "maf": 0.0,
    "hwe": 0.0,
    "max_missing": 0.1,
    "min_info": 0.0,
}


@dataclass
class Results:
    """Trait to its level 1, LOCO text, predictions of its people, and (8, V) tests."""

    curves: dict[str, dict[str, Any]]
    loco: dict[str, str]
    predictions: dict[str, np.ndarray]
    tests: dict[str, np.ndarray]
    variants: pd.DataFrame

    def bytes_of(self, trait):
        """All that is told of a trait; of predictions, those of people who have it."""
        loss = np.array(self.curves[trait]["loss"]).tobytes()
        columns = zip(*(line.split() for line in self.loco[trait].splitlines()), strict=True)
        loco = [column for column in columns if "NA" not in column]
        return loss, loco, self.tests[trait].tobytes()


def regress(folder: Path, step=2000, **section) -> Results:
    """Do what the rules do, one step after the other; a block is a job, and `step` variants."""
    section = SECTION | section
    folder.mkdir()
    with threadpool_limits(1):
        return _regress(folder, section, step)


def _regress(folder: Path, section: dict[str, Any], step: int) -> Results:
    filesets = [find_fileset(section["genotypes"], ALL_KINDS)]
    samples = [(each.samples_file, read_samples(each, key=("fid", "iid"))) for each in filesets]
    people = join_people(section, samples)
    table = screen_variants(filesets, people, section)
    save_study(folder / "study.npz", folder / "study.json", people, section["trait_type"], {})
    study = load_study(folder / "study.npz", folder / "study.json")
    kept = table[table["reason"] == ""]
    chromosomes = kept["chromosome"].to_numpy()
    np.savez(folder / "variants.npz", kept=kept.index.to_numpy(), chromosomes=chromosomes)
    blocks = []
    for each in block_list(table, section["block_size"]):
        first = [block["chromosome"] for _, block in blocks].count(each["chromosome"])
        path = folder / f"{each['block']}.npy"
        level0_block(
            path, filesets, study, str(folder / "variants.npz"),
            [each["chromosome"], first], section["block_size"], section,
        )  # fmt: skip
        blocks.append((str(path), each))
    paths, owners = [path for path, _ in blocks], [block["chromosome"] for _, block in blocks]
    curves, loco, predictions = {}, {}, {}
    for trait in study.traits:
        curves[trait], model = level1_trait(study, trait, paths, section)
        save_model(folder / f"{trait}.npz", model)
        again = load_model(str(folder / f"{trait}.npz"))
        values, rows = loco_trait(study, trait, paths, again, owners, section)
        text = folder / f"{trait}.loco"
        predictions[trait] = write_loco(text, study.ids, values, rows)
        np.save(folder / f"{trait}.npy", predictions[trait])
        loco[trait] = text.read_text()
    variants = variant_table(filesets)
    rules = Rules(**{field: section[field] for field in Rules.__dataclass_fields__})
    tests, rows = [], []
    stored = [str(folder / f"{trait}.npy") for trait in study.traits]
    with GenotypeReader(filesets, study.rows) as reader:
        for chromosome, own in variants.groupby("chromosome"):
            known = load_predictions(stored, study.traits, chromosome)
            for start in range(own.index[0], own.index[-1] + 1, step):
                stop = min(start + step, own.index[-1] + 1)
                turned = turned_variants(filesets, start, stop, section["ref_first"])
                odd = variants["multiallelic"].to_numpy(bool)[start:stop]
                panels = variant_panels(reader, panel_edges(start, stop), start, turned, odd)
                tests.append(associate(panels, study, known, rules, stop - start))
                rows.append(output_rows(variants.iloc[start:stop], turned))
    found = dict(zip(study.traits, np.concatenate(tests, axis=2), strict=True))
    return Results(curves, loco, predictions, found, pd.concat(rows, ignore_index=True))
