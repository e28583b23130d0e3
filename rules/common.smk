"""What every pipeline shares: the library's place, the checked configuration, code digests."""

import functools
import hashlib
import os
import pathlib
import sys

from snakemake.sourcecache import LocalSourceFile

# Every file of the library and every schema, by name: only a file that was asked for through
# source_path() comes along when this workflow is a module fetched by git or is sent to a node
# without a shared file system. tests/dag/test_house.py keeps the list complete.
LIBRARY = [
    "schemas/astro.yaml",
    "schemas/astro_visits.yaml",
    "schemas/cells.yaml",
    "schemas/cells_datasets.yaml",
    "schemas/config.yaml",
    "schemas/imaging.yaml",
    "schemas/imaging_images.yaml",
    "schemas/neuro.yaml",
    "schemas/neuro_subjects.yaml",
    "schemas/vgwas.yaml",
    "schemas/vgwas_images.yaml",
    "schemas/wgr.yaml",
    *[f"scripts/tessera/{name}.py" for name in (
        "__init__", "alive", "config", "config_docs", "digest", "errors", "figures", "filesets",
        "genotype_files", "genotypes", "gwas_charts", "bgen_files", "headers", "job", "nifti", "page",
        "plink_filesets", "plink_tables", "pvalues", "sheets", "tiles", "vcf_files", "verdict",
        "astro/__init__", "astro/accounting", "astro/bits", "astro/camera", "astro/catalogue", "astro/charts", "astro/clean",
        "astro/clip", "astro/coadd", "astro/combine", "astro/cosmics", "astro/detect", "astro/exposure",
        "astro/growth", "astro/index", "astro/laplacian", "astro/lattice", "astro/medians", "astro/mosaic", "astro/noise",
        "astro/photometry", "astro/pictures", "astro/plan", "astro/planes", "astro/quality",
        "astro/repair", "astro/rings", "astro/scene", "astro/score", "astro/skymap", "astro/sources",
        "astro/survey", "astro/survey_page", "astro/thumbnail", "astro/totals", "astro/toy",
        "astro/visits", "astro/warp", "astro/watershed", "astro/wcsheader",
        "cells/__init__", "cells/aggregate", "cells/answers", "cells/archive", "cells/assemble",
        "cells/cells_page", "cells/cellwise", "cells/charts", "cells/checking", "cells/chunks",
        "cells/commands", "cells/decimals", "cells/definitions", "cells/densities", "cells/entries",
        "cells/faults", "cells/gene_index", "cells/gene_names", "cells/groups", "cells/h5ad",
        "cells/h5ad_obs", "cells/h5ad_probe", "cells/h5ad_safety", "cells/h5ad_values",
        "cells/ingest", "cells/layout", "cells/local_store", "cells/manifest", "cells/markers",
        "cells/memory", "cells/metadata", "cells/metadata_columns", "cells/metadata_rows",
        "cells/mtx", "cells/mtx_scan", "cells/names", "cells/normalize", "cells/object_store",
        "cells/plan", "cells/printing", "cells/queries", "cells/reading", "cells/reduction",
        "cells/report", "cells/routes", "cells/row_tables", "cells/row_tiles", "cells/service",
        "cells/simulate", "cells/sources", "cells/spot_checks", "cells/sql", "cells/sql_worker",
        "cells/statistics", "cells/store", "cells/streams", "cells/summary", "cells/text_matrix",
        "cells/text_scan", "cells/toy", "cells/transpose", "cells/verify", "cells/walk",
        "cells/whole", "cells/zarr_matrices",
        "imaging/__init__", "imaging/boxes", "imaging/charts", "imaging/compare",
        "imaging/database", "imaging/filters", "imaging/gaussian", "imaging/grid",
        "imaging/histograms", "imaging/imaging_page", "imaging/merge", "imaging/morphology",
        "imaging/neighbours", "imaging/objects", "imaging/ome_zarr", "imaging/outcome",
        "imaging/overlays", "imaging/pieces", "imaging/plan", "imaging/planes", "imaging/png",
        "imaging/report", "imaging/runs", "imaging/segment", "imaging/sheet", "imaging/simulate",
        "imaging/slices", "imaging/sources", "imaging/steps", "imaging/study", "imaging/tables",
        "imaging/tiff", "imaging/tiff_notes", "imaging/tiff_pages", "imaging/toy",
        "imaging/volume", "imaging/zarr_meta",
        "neuro/__init__", "neuro/acquisition", "neuro/bids", "neuro/derivatives", "neuro/facts",
        "neuro/fit", "neuro/gradients", "neuro/group", "neuro/mask", "neuro/nlm", "neuro/noise",
        "neuro/phantom", "neuro/plan", "neuro/presets", "neuro/qc", "neuro/readings",
        "neuro/series", "neuro/slabs", "neuro/summary", "neuro/tensor", "neuro/toy",
        "vgwas/__init__", "vgwas/brains", "vgwas/charts", "vgwas/check", "vgwas/clusters",
        "vgwas/design", "vgwas/engines", "vgwas/exact", "vgwas/gwas_page", "vgwas/inference",
        "vgwas/maps", "vgwas/parts", "vgwas/permutations", "vgwas/permuted", "vgwas/phenotype",
        "vgwas/plan", "vgwas/prepare", "vgwas/report", "vgwas/rows", "vgwas/scan", "vgwas/search", "vgwas/simulate",
        "vgwas/study", "vgwas/subjects", "vgwas/toy", "vgwas/voxels",
        "wgr/__init__", "wgr/assoc", "wgr/burden", "wgr/burden_files", "wgr/charts", "wgr/cohort",
        "wgr/counts", "wgr/firth", "wgr/gram", "wgr/hwe", "wgr/inputs", "wgr/kept", "wgr/level0", "wgr/level1",
        "wgr/logistic", "wgr/mismatch", "wgr/people", "wgr/plan", "wgr/prepare", "wgr/recall", "wgr/report",
        "wgr/ridge", "wgr/ridge_logistic", "wgr/simulate", "wgr/spa", "wgr/step2", "wgr/steps", "wgr/study",
        "wgr/summary", "wgr/sums", "wgr/tables", "wgr/tables_out", "wgr/toy", "wgr/traits", "wgr/variants",
        "wgr/wgr_page",
    )],
]  # fmt: skip


def house():
    """Return the folder that holds the library and the schemas: the checkout where there is
    one, else a copy under .snakemake, named by its content."""
    here = workflow.current_basedir
    if isinstance(here, LocalSourceFile):
        return pathlib.Path(os.path.abspath(here.get_path_or_uri(secret_free=True))).parent
    sources = {name: pathlib.Path(workflow.source_path(f"../{name}")) for name in LIBRARY}
    content = b"\0".join(path.read_bytes() for path in sources.values())
    folder = pathlib.Path(".snakemake", "tessera", hashlib.sha256(content).hexdigest()[:16])
    for name, path in sources.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            place = target.with_name(f"{target.name}.{os.getpid()}")
            place.write_bytes(path.read_bytes())
            place.replace(target)
    return folder.absolute()


HOUSE = house()
sys.path.insert(0, str(HOUSE / "scripts"))
# Scripts find the library through this variable: unlike PYTHONPATH it reaches conda environments.
os.environ.update(TESSERA_LIBRARY=str(HOUSE / "scripts"))
# Compiled kernels are kept in one place per run, wherever the checkout may be written to or not,
# and per state of the library: numba looks for changes in a kernel's own file only, not in those
# from which that takes constants and other kernels.
STATE = hashlib.sha256()
for source in sorted((HOUSE / "scripts" / "tessera").rglob("*.py")):
    STATE.update(source.read_bytes())
os.environ.setdefault(
    "NUMBA_CACHE_DIR", os.path.abspath(f".snakemake/numba/{STATE.hexdigest()[:16]}")
)

from tessera.alive import RUN, hold
from tessera.config import load_schema, validate_config
from tessera.digest import code_digest
from tessera.errors import InputError

hold(RUN)

VERSION = "0.1.0"


def plainly(function, *args, **kwargs):
    """Call a function; bad input ends the run with its sentences and nothing else."""
    try:
        return function(*args, **kwargs)
    except InputError as error:
        raise SystemExit(f"Tessera cannot start:\n{error}")


def deferred(function, *args):
    """Return a function that makes this call once, when it is first needed."""
    return functools.cache(functools.partial(plainly, function, *args))


def code(*names):
    """Digest of scripts and of all that they reach in the library, for the param `code`."""
    scripts = [pathlib.Path(workflow.source_path(f"../scripts/{name}.py")) for name in names]
    return "-".join(code_digest(script, HOUSE / "scripts") for script in scripts)


def foretold(path, forecast):
    """An input function of a target, which in a dry run tells what the run will take."""

    def input_of(wildcards):
        if workflow.dryrun:
            print("Forecast:", *forecast(), sep="\n  ", file=sys.stderr)
        return path

    return input_of


def defaults_of(word):
    """The section of a pipeline as it is where nothing is set."""
    return plainly(validate_config, {}, SCHEMA)[word]


SCHEMA = load_schema(HOUSE / "schemas", "config")
# In place: the rules, and a workflow that uses this one as a module, hold the same mapping.
config.update(plainly(validate_config, dict(config), SCHEMA))

# Of each pipeline: what finds folders of earlier runs that belong to nothing asked for now.
STRAYS = {}


def closing_words(first):
    """What the end of a run says: what there is, what was set aside, where to look."""
    lines = [first]
    root = pathlib.Path(workflow.pathvars.apply("<results>"))
    for word in config["pipelines"]:
        folder = root / word
        quarantine = folder / "quarantine.tsv"
        if not quarantine.exists():
            continue
        rows = quarantine.read_text(encoding="utf-8").splitlines()[1:]
        names = [[cell for cell in row.split("\t")[:2] if cell not in ("", "n/a")] for row in rows]
        aside = sorted({" ".join(name) for name in names})
        told = f"; set aside: {', '.join(aside)} (reasons in {quarantine})" if aside else ""
        lines.append(f"{word}: {folder}{told}")
        if strays := STRAYS[word](folder):
            lines.append(f"Of an earlier run, not of this one: {', '.join(strays)} in {folder}")
    here = pathlib.Path.cwd() == HOUSE and not {"--configfile", "--configfiles"} & set(sys.argv)
    call = "make report" if here else "this command again, with --report report.html"
    lines.append(f"One page with everything: {call}")
    return "\n".join(lines)
