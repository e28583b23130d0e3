"""What the configuration names, as far as headers tell, when a run is planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tessera.errors import InputError, Problem
from tessera.filesets import Fileset, gather
from tessera.genotype_files import ALL_KINDS, chromosome_runs, find_filesets
from tessera.headers import cached_headers
from tessera.vcf_files import scan_vcf
from tessera.wgr.burden_files import count_sets
from tessera.wgr.tables import column_names
from tessera.wgr.traits import safe_name
from tessera.wgr.variants import chromosome_spans


def read_inputs(section: Mapping[str, Any], converted: str) -> dict[str, Any]:
    """Find the inputs and read their headers.

    Parameters
    ----------
    section
        The validated section ``wgr``.
    converted
        Folder in which VCFs are turned into filesets.

    Returns
    -------
    dict
        ``step1`` and ``step2``: filesets; ``spans1`` and ``spans2``: chromosome to ranges of their
        variants; ``vcfs``: name of a converted fileset to its VCF; ``traits``: names; ``people``:
        of the first fileset; ``covariates``: columns; ``sets``: chromosome to number of sets.

    Raises
    ------
    InputError
        Keys are missing or files are, genotype files do not fit one another.
    """
    problems = [
        Problem("config", f"wgr.{key}", "nothing is named", "name the input")
        for key in ("genotypes", "phenotypes")
        if section[key] is None
    ]
    burden = section["burden"]
    for key in ("annotations", "sets", "masks") if burden else ():
        if burden[key] is None:
            problems.append(Problem("config", f"wgr.burden.{key}", "is empty", "name the table"))
    for key in ("phenotypes", "covariates", "keep", "remove"):
        problems += _missing(key, section[key])
    for key in ("annotations", "sets", "masks") if burden else ():
        problems += _missing(f"burden.{key}", burden[key])
    named = {step: _listed(section[key]) for step, key in _STEPS.items()}
    if named["step2"] in ([], ["same"]):
        named["step2"] = named["step1"]
    vcfs = list(dict.fromkeys(path for paths in named.values() for path in paths if is_vcf(path)))
    found: dict[str, Any] = {
        "vcfs": {str(number): path for number, path in enumerate(vcfs, 1)},
        "folders": {f"{converted}/{n}/fileset": f"{converted}/{n}" for n, _ in enumerate(vcfs, 1)},
    }
    scans = {path: scan for path in vcfs if (scan := gather(problems, _scan, path)) is not None}
    prefixes = dict(zip(vcfs, found["folders"], strict=True))
    for step, paths in named.items():
        readable = [path for path in paths if not is_vcf(path) or path in scans]
        found[step] = gather(problems, _filesets, readable, scans, prefixes) or []
    problems = list(dict.fromkeys(problems))
    if problems:
        raise InputError(problems)
    for number, (step, paths) in enumerate(named.items(), 1):
        runs = _runs(found[step], paths, scans)
        found[f"spans{number}"], others = chromosome_spans(runs)
        if not found[f"spans{number}"]:
            what = f"no variant lies on chromosomes 1 to 22 or X, but on {', '.join(others)}"
            remedy = "name the chromosomes by number"
            problems.append(Problem(paths[0], "", what, remedy))
    names = column_names(section["phenotypes"])
    chosen = names if section["traits"] == "all" else list(dict.fromkeys(section["traits"]))
    found["traits"] = [name for name in chosen if safe_name(name)]
    found["people"] = found["step1"][0].n_samples
    found["covariates"] = len(column_names(section["covariates"])) if section["covariates"] else 0
    found["sets"] = count_sets(burden["sets"]) if burden else {}
    if problems:
        raise InputError(list(dict.fromkeys(problems)))
    return found


_STEPS = {"step1": "genotypes", "step2": "step2_genotypes"}


def is_vcf(path: str) -> bool:
    """Tell by its name whether a file is a VCF."""
    return path.endswith((".vcf", ".vcf.gz", ".vcf.bgz", ".bcf"))


def _listed(value: str | Sequence[str] | None) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def _missing(key: str, path: str | None) -> list[Problem]:
    if path is None or Path(path).is_file():
        return []
    toy = Path(path).parts[:1] == ("toy",)
    remedy = "run `snakemake toy` first, which makes the toy data" if toy else "correct the path"
    return [Problem(path, "", f"the file that wgr.{key} names does not exist", remedy)]


def _scan(path: str) -> dict[str, Any]:
    """Read through a VCF, which is done once as long as it stays the same."""
    if not Path(path).is_file():
        raise InputError(Problem(path, "", "the file does not exist", "correct the path"))
    return dict(cached_headers([path], scan_vcf)[path])


def _filesets(
    paths: Sequence[str], scans: Mapping[str, Any], prefixes: Mapping[str, str]
) -> list[Fileset]:
    """Find filesets; of a VCF, the one that it will be turned into."""
    plain = iter(find_filesets([path for path in paths if not is_vcf(path)], ALL_KINDS))
    return [
        Fileset(prefixes[path], "pgen", len(scans[path]["samples"]), scans[path]["n_variants"])
        if is_vcf(path)
        else next(plain)
        for path in paths
    ]


def _runs(
    filesets: Sequence[Fileset], paths: Sequence[str], scans: Mapping[str, Any]
) -> list[tuple[str, int, int]]:
    """Return runs of variants on one chromosome, counted over all filesets."""
    runs, first = [], 0
    for fileset, path in zip(filesets, paths, strict=True):
        if path in scans:
            own, start = [], 0
            for name, many in scans[path]["chromosomes"]:
                own.append((name, start, start + many))
                start += many
        else:
            table = fileset.files[0 if fileset.kind == "bgen" else 1]
            own = cached_headers([table], _Runs(fileset))[table]
        runs += [(name, first + start, first + stop) for name, start, stop in own]
        first += fileset.n_variants
    return runs


class _Runs:
    """Reads the chromosomes of a fileset, under a name that the memory of headers can keep."""

    __name__ = "chromosome_runs"

    def __init__(self, fileset: Fileset) -> None:
        self._fileset = fileset

    def __call__(self, path: str) -> list[tuple[str, int, int]]:
        return chromosome_runs(self._fileset)
