"""The schemas, the shipped config.yaml and the reference page agree with each other."""

import os
import re
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from tessera.config import expectation, load_schema, validate_config
from tessera.config_docs import config_page

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "schemas"
SCHEMA = load_schema(SCHEMAS, "config")
DEFAULTS = validate_config({}, SCHEMA)
STATISTICS = [
    *("n", "count_nonzero", "fraction", "sum", "mean", "var", "min", "max", "median"),
    *("percentiles", "trimmed_mean"),
]
PROPERTIES = ["volume", "centroid", "bbox", "intensity", "border", "moments", "anisotropy"]
PROPERTIES += ["equivalent_diameter", "extent"]


def test_contract_of_defaults():
    assert DEFAULTS["neuro"] == {
        "subjects": None,
        "bids": None,
        "b0_max": 50,
        "fit_bmax": 1500,
        "mask": {"method": "otsu", "radius_mm": 5},
        "denoise": {
            "method": "nlm",
            "patch_radius": 1,
            "search_radius": 5,
            "rician": True,
            "sigma": "auto",
        },
        "fit": {"method": "wls_fitted", "reweightings": 2},
        "slabs": "auto",
        "preset": None,
        "keep_denoised": False,
        "strict": False,
    }
    assert DEFAULTS["astro"] == {
        "visits": None,
        "hdus": {"image": "IMAGE", "mask": "MASK", "variance": "VARIANCE"},
        "mask_bits": {"BAD": 0, "SAT": 1, "INTERP": 2, "CR": 3, "EDGE": 4},
        "gain_key": "GAIN",
        "read_noise_key": "RDNOISE",
        "saturation_key": "SATURATE",
        "zero_point_key": "MAGZERO",
        "zero_point": 27.0,
        "skymap": {
            "header": None,
            "ra": None,
            "dec": None,
            "pixel_scale": None,
            "patch_pixels": 4000,
            "overlap_pixels": 100,
        },
        "background": {"box": 128},
        "cosmic_rays": {
            "engine": "sparse",
            "sigclip": 4.5,
            "sigfrac": 0.3,
            "objlim": 5,
            "iterations": 4,
        },
        "warp": {"kernel": "lanczos3"},
        "coadd": {"clip": "varmedian", "sigma": 3, "iterations": 2},
        "detect": {
            "threshold_sigma": 5,
            "purity": 0.99,
            "apertures": [0.75, 1.5, 3.0],
            "background_pixels": 96,
            "deblend_contrast": 0.05,
            "kron_factor": 2.5,
        },
        "reference_catalogue": None,
        "granularity": "visit",
        "strict": False,
    }
    assert DEFAULTS["vgwas"] == {
        "genotypes": None,
        "images": None,
        "mask": None,
        "atlas": None,
        "covariates": None,
        "covariate_columns": "all",
        "categorical": [],
        "coding": "additive",
        "missing": "mean",
        "min_mac": 10,
        "max_missing": 0.05,
        "threshold_p": 1e-5,
        "cluster_p": 0.001,
        "cluster_t": None,
        "connectivity": 26,
        "permutations": 1000,
        "scheme": "smith",
        "exchangeability": None,
        "seed": 1,
        "snp_tile": "auto",
        "permutation_tile": "auto",
        "max_hits": 1e8,
        "max_maps": 20,
        "min_overlap": 0.9,
        "nan": "error",
        "engine": "sgemm",
        "strict": False,
    }
    assert DEFAULTS["wgr"] == {
        "genotypes": None,
        "step2_genotypes": None,
        "phenotypes": None,
        "traits": "all",
        "trait_type": "qt",
        "covariates": None,
        "convention": "v4",
        "block_size": 1000,
        "folds": 5,
        "h2_grid": [0.01, 0.25, 0.5, 0.75, 0.99],
        "test": "score",
        "firth_p": 0.05,
        "ref_first": False,
        "min_mac": 5,
        "maf": 0,
        "hwe": 0,
        "max_missing": 1,
        "min_info": 0,
        "keep": None,
        "remove": None,
        "burden": None,
        "chunk_size": "auto",
        "keep_sums": True,
        "strict": False,
    }
    assert DEFAULTS["cells"] == {
        "datasets": None,
        "groupings": [["cell_type"]],
        "normalize": "log2_cpm",
        "statistics": STATISTICS,
        "percentiles": [5, 25, 50, 75, 95],
        "trim": 0.25,
        "batch_nnz": "auto",
        "min_cells": 1,
        "duplicate_genes": "error",
        "keep_versions": 3,
        "grace_hours": 24,
        "store": "results/cells/store",
        "strict": False,
    }
    assert DEFAULTS["imaging"] == {
        "images": None,
        "filter": [{"name": "none"}],
        "threshold": [{"name": "otsu"}],
        "polarity": "bright",
        "morphology": [{"op": "none"}],
        "connectivity": 26,
        "min_size": 0,
        "border": "flag",
        "tile": "auto",
        "properties": PROPERTIES,
        "write_labels": False,
        "approximate": None,
        "slice": None,
        "strict": False,
    }
    top = {key: DEFAULTS[key] for key in ("pipelines", "seed", "threads", "memory_mb")}
    assert top == {"pipelines": ["neuro"], "seed": 1, "threads": 2, "memory_mb": 1100}


def test_shipped_config_is_the_defaults_with_the_toy_sheet():
    text = (ROOT / "config.yaml").read_text("utf-8")
    assert text.startswith("# yaml-language-server: $schema=schemas/config.yaml\n")
    shipped = yaml.safe_load(text)
    before = deepcopy(shipped)
    validated = validate_config(shipped, SCHEMA)
    assert shipped == before, "the given configuration is left untouched"
    expected = deepcopy(DEFAULTS)
    expected["pipelines"] = ["neuro", "astro", "vgwas", "wgr", "cells", "imaging"]
    expected["neuro"]["subjects"] = "toy/neuro/subjects.tsv"
    toy = {"ra": 0.0, "dec": -5.0, "pixel_scale": 0.27, "patch_pixels": 700, "overlap_pixels": 60}
    expected["astro"]["visits"] = "toy/astro/visits.tsv"
    expected["astro"]["skymap"] |= toy
    expected["astro"]["reference_catalogue"] = "toy/astro/data/reference.ecsv"
    expected["cells"]["datasets"] = "toy/cells/datasets.tsv"
    expected["cells"]["groupings"] = [["cell_type"], ["cell_type", "donor"]]
    expected["imaging"] |= {
        "images": "toy/imaging/images.tsv",
        "filter": [{"name": "gaussian", "sigma": 1}],
        "threshold": [{"name": "otsu"}, {"name": "li"}],
        "morphology": [{"op": "none"}, {"op": "open", "radius": 1}],
    }
    data = "toy/vgwas/data"
    expected["vgwas"] |= {
        "genotypes": f"{data}/cohort",
        "images": "toy/vgwas/images.tsv",
        "mask": f"{data}/mask.nii.gz",
        "atlas": f"{data}/atlas.nii.gz",
        "covariates": f"{data}/covariates.tsv",
        "categorical": ["sex", "site", "array"],
        "permutations": 200,
    }
    data = "toy/wgr/data"
    expected["wgr"] |= {
        "genotypes": f"{data}/cohort",
        "phenotypes": f"{data}/traits.tsv",
        "covariates": f"{data}/covariates.tsv",
        "burden": {
            "annotations": f"{data}/annotations.tsv",
            "sets": f"{data}/sets.tsv",
            "masks": f"{data}/masks.tsv",
            "aaf_bins": [0.01],
            "singletons": True,
            "tests": ["max", "sum", "comphet"],
        },
    }
    assert validated == expected
    assert shipped["neuro"] == expected["neuro"], "every key of the section is shown"


def walk(schema, place=""):
    for key, part in schema.get("properties", {}).items():
        yield f"{place}{key}", part
        yield from walk(part, f"{place}{key}.")


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.yaml")), ids=lambda path: path.stem)
def test_schemas_are_valid_and_help(path):
    schema = load_schema(SCHEMAS, path.stem)
    Draft202012Validator.check_schema(schema)
    for key, part in [("", schema), *walk(schema)]:
        if "properties" in part:
            open_sheet = path.stem == "imaging_images"  # its other columns tell of the sample
            assert part["additionalProperties"] is open_sheet, key
    for key, part in walk(schema):
        assert part["description"].endswith("."), key
        assert expectation(part), key
        if "default" in part:
            Draft202012Validator(part).validate(part["default"])


def test_every_key_of_the_config_has_a_default():
    assert [
        k for k, part in walk(SCHEMA) if "default" not in part and "properties" not in part
    ] == []


def test_pathvars_agree_with_the_snakefile():
    block = (ROOT / "Snakefile").read_text("utf-8").partition("\npathvars:\n")[2].split("\n\n")[0]
    theirs = {"results": "results"} | dict(re.findall(r'^ +(\w+)="(.*)",$', block, re.MULTILINE))
    assert theirs == DEFAULTS["pathvars"]


def test_reference_page_is_fresh():
    page = (ROOT / "docs" / "config.md").read_text("utf-8")
    assert page == config_page(SCHEMAS), "stale: run `make docs`"


def test_reference_page_names_every_key_and_column():
    run = [sys.executable, "-m", "tessera.config_docs", str(SCHEMAS)]
    env = os.environ | {"PYTHONPATH": str(ROOT / "scripts")}
    page = subprocess.run(run, env=env, capture_output=True, text=True, check=True).stdout
    assert page == config_page(SCHEMAS)
    for key, part in walk(SCHEMA):
        short = re.sub(r"^(neuro|astro|vgwas|wgr|cells|imaging)\.", "", key)
        assert f"`{short}`" in page or key.startswith("pathvars."), key
        assert part["description"] in page, key
    assert "| `burden` | section or null | `null` |" in page
    for sheet in ("neuro_subjects", "astro_visits", "vgwas_images"):
        for column, part in load_schema(SCHEMAS, sheet)["properties"].items():
            assert f"| `{column}` |" in page
            assert part["description"] in page


def test_import_stays_light():
    heavy = "numpy pandas scipy snakemake nibabel matplotlib"
    code = (
        "import sys, tessera.config, tessera.sheets;"
        f"print([m for m in '{heavy}'.split() if m in sys.modules])"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT / "scripts")}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert run.stdout.strip() == "[]"
