"""The page of an association study: what was tested, what was found, how far it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tessera.page import (
    Notice,
    Picture,
    Section,
    Table,
    account_table,
    aside_table,
    html_page,
    reasons,
)

_UNKNOWN = "n/a"
_MINUS = "\N{MINUS SIGN}"
_LOG10P = f"{_MINUS}log\N{SUBSCRIPT ONE}\N{SUBSCRIPT ZERO} p"
_MOST_ROWS = 20
_NOUNS = {"subjects": "people", "snps": "SNPs", "voxels": "voxels"}


def gwas_page(
    inference: Mapping[str, Any],
    clusters: pd.DataFrame,
    hits: pd.DataFrame,
    ledger: Mapping[str, Any],
    aside: Sequence[Mapping[str, str]],
    *,
    manhattan: bytes,
    qq: bytes,
    null: bytes | None,
    brains: Sequence[tuple[str, bytes]],
    slices: Sequence[tuple[str, bytes]] = (),
) -> str:
    """Write the page of a voxel-wise genome-wide association study.

    Parameters
    ----------
    inference
        Sizes, model, thresholds and counts of the study; ``fwer`` is None without permutations.
    clusters
        ``snp``, ``size`` (voxels), ``p_fwer``, ``peak_t``, ``peak_x``, ``peak_y``, ``peak_z`` (mm)
        ``label``, ``chr`` and ``pos`` of clusters; the largest 20 are shown.
    hits
        ``snp``, ``x``, ``y``, ``z`` (mm), ``label``, ``beta``, ``se``, ``t``, ``log10p``, ``chr``
        and ``pos`` of pairs of SNP and voxel, the strongest first; the first 20 are shown.
    ledger
        Of ``subjects``, ``snps`` and ``voxels``: how many were ``read``, ``tested`` and
        ``dropped``, the latter by reason.
    aside
        What could not be used: ``subject``, ``file``, ``place``, ``what``, ``remedy``.
    manhattan, qq, null
        PNG, as from `tessera.vgwas.charts`; `null` is None without permutations.
    brains, slices
        Name of a SNP and PNG, as from `tessera.vgwas.brains`.

    Returns
    -------
    str
        One HTML file with everything in it.
    """
    sections = [
        Section("", [_verdict(ledger, aside)]),
        Section("What was found", [_found(inference), _thresholds(inference)]),
        Section("Along the genome", [_manhattan(manhattan)]),
        Section("Against chance", [_qq(qq)]),
    ]
    if null is not None:
        sections.append(Section("What permutations gave", [_null(null)]))
    sections += [
        Section("Largest clusters", [_clusters(clusters)]),
        Section("Strongest pairs of SNP and voxel", [_hits(hits)]),
    ]
    pictures = [*_pictures("Glass brain", _GLASS, brains), *_pictures("Slices", _SLICES, slices)]
    if pictures:
        sections.append(Section("Leading SNPs in the brain", pictures))
    sections += [
        Section("What was read and used", [account_table(ledger, _NOUNS, "tested")]),
        Section("Model", [_model(inference), _covariates(inference)]),
        Section("Set aside", [aside_table(aside, "subject", "Person")]),
    ]
    return html_page(
        "Voxel-wise genome-wide association",
        "Every SNP against every voxel: page of the study",
        _facts(inference, ledger),
        sections,
    )


def _number(value: Any, form: str) -> str:
    if value is None or not np.isfinite(value):
        return _UNKNOWN
    return form.format(value).replace("-", _MINUS)


def _p(value: Any) -> str:
    """Write a p: 0.0312, 1e−5."""
    return _number(value, "{:.3g}").replace(f"e{_MINUS}0", f"e{_MINUS}")


def _count(n: int, singular: str, plural: str) -> str:
    return f"{n:,} {singular if n == 1 else plural}"


def _facts(inference: Mapping[str, Any], ledger: Mapping[str, Any]) -> list[tuple[str, str]]:
    used = {
        noun: f"{ledger[key]['tested']:,} of {ledger[key]['read']:,} used"
        for key, noun in _NOUNS.items()
    }
    return [
        ("People", used["people"]),
        ("SNPs", used["SNPs"]),
        ("Voxels", used["voxels"]),
        ("Tests", f"{inference['n_tests']:,}"),
        ("Degrees of freedom", _number(inference["df"], "{:,}")),
        ("Permutations", _number(inference["permutations"], "{:,}")),
        ("Genomic control lambda", _number(inference["lambda"], "{:.3f}")),
        (f"Hits (p below {_p(inference['threshold_p'])})", f"{inference['n_hits']:,}"),
    ]


def _verdict(ledger: Mapping[str, Any], aside: Sequence[Mapping[str, str]]) -> Notice:
    people = ledger["subjects"]
    n = people["read"] - people["tested"]
    if not n and not aside:
        return Notice("Nothing was set aside", good=True)
    if not n:
        heading = "All people are in the analysis; what was set aside is at the end of this page"
        return Notice(heading)
    verb = "is" if n == 1 else "are"
    lines = reasons(people["dropped"])
    if aside:
        lines.append("what to do about it is said at the end of this page")
    return Notice(f"{n:,} of {people['read']:,} people {verb} not in the analysis", lines)


def _found(inference: Mapping[str, Any]) -> Notice:
    """Say in one sentence what was found, and no more than the study can tell."""
    fwer, p = inference["fwer"], inference["threshold_p"]
    if fwer is None:
        pairs = _count(inference["n_hits"], "pair", "pairs")
        return Notice(
            f"{pairs} of SNP and voxel beyond p = {_p(p)}, not corrected for the number of tests",
            [
                f"By chance alone {inference['n_tests']:,} tests give "
                f"{inference['n_tests'] * p:,.1f} of them on average, and in clumps: neighbouring "
                "voxels, and SNPs in linkage, are alike.",
                "No permutations were run: what chance gives at most in a study of this size, for "
                "a voxel or for a cluster, is not known.",
            ],
        )
    voxel, cluster = (inference["n_significant_snps"][kind] for kind in ("voxel", "cluster"))
    chance = f"beyond what chance gives in 1 of {1 / fwer['alpha']:g} studies of this size"
    if voxel or cluster:
        has = "has" if cluster == 1 else "have"
        heading = f"{_count(cluster, 'SNP', 'SNPs')} {has} a cluster, {voxel:,} a voxel, {chance}"
    else:
        heading = f"No SNP has a cluster or a voxel {chance}"
    n = inference["permutations"]
    return Notice(
        heading,
        [
            f"Each of the two counts holds by itself at a familywise error rate of "
            f"{_number(fwer['alpha'], '{:.3g}')}, over all SNPs and voxels.",
            "A cluster beyond chance says that the SNP is associated somewhere within it, not at "
            "each of its voxels.",
            f"{n:,} permutations tell no familywise p below {_p(1 / (n + 1))}.",
        ],
        good=True,
    )


def _thresholds(inference: Mapping[str, Any]) -> Table:
    fwer, observed = inference["fwer"] or {}, inference["observed"]
    t, p, size = (fwer.get(key) for key in ("max_t", "max_t_log10p", "max_cluster"))
    voxel = "not known" if t is None else f"{_number(t, '{:.2f}')} ({_number(p, '{:.2f}')})"
    cluster = "not known" if size is None else _number(size, "{:,.0f}")
    formed = (
        f"voxels of |t| beyond {_number(inference['cluster_t'], '{:.2f}')} "
        f"(p = {_p(inference['cluster_p'])}), of one sign, that touch each other "
        f"({inference['connectivity']} neighbours)"
    )
    return Table(
        ("Statistic", "Familywise threshold", "Largest observed", "Meaning"),
        [
            (
                f"|t| of a voxel ({_LOG10P})",
                voxel,
                _number(observed["max_t"], "{:.2f}"),
                "test of one SNP at one voxel",
            ),
            ("voxels in a cluster", cluster, _number(observed["max_cluster"], "{:,}"), formed),
        ],
    )


def _manhattan(picture: bytes) -> Picture:
    return Picture(
        picture,
        "Strongest voxel and largest cluster of each SNP along the genome",
        "Each dot is a SNP at its place along the genome: above, the p of its strongest voxel; "
        "below, the size of its largest cluster. Diamonds are SNPs beyond the familywise "
        "threshold. As the best of many voxels, a SNP without any effect lies well above zero.",
    )


def _qq(picture: bytes) -> Picture:
    return Picture(
        picture,
        "Observed p of a sample of all tests against those expected by chance",
        "A sample of all tests, sorted, against what chance gives. Lambda is the median of the "
        "squared test statistics over that of chance: near 1 where the model fits. Well above 1 "
        "points to relatives, to ancestry or to a missing covariate, or to very many small "
        "effects; below 1 to a test that finds less than it could. Tests are not independent: "
        "neighbouring voxels, and SNPs in linkage, leave the band together, by chance too.",
    )


def _null(picture: bytes) -> Picture:
    return Picture(
        picture,
        "Largest |t| and largest cluster of each permutation",
        "Each permutation breaks the tie between genotypes and images, not those within each. Its "
        "largest |t| and its largest cluster, over all SNPs and voxels, show what chance gives at "
        "most in a study of this size. An arrow stands for an observed value far to the right.",
    )


def _snp(row: Any) -> str:
    """Name a SNP by its id, which may not be its own, and its place."""
    return f"{row.snp} ({row.chr}:{row.pos:,})"


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def _point(*mm: float) -> str:
    return ", ".join(_number(value, "{:.0f}") for value in mm)


def _clusters(clusters: pd.DataFrame) -> Table | Notice:
    if clusters.empty:
        return Notice("There is no cluster")
    largest = clusters.sort_values("size", ascending=False, kind="stable").head(_MOST_ROWS)
    return Table(
        (
            "SNP",
            "Region of the peak",
            "Size (voxels)",
            "Familywise p",
            "Peak t",
            "Peak x, y, z (mm)",
        ),
        [
            (
                _snp(row),
                _text(row.label),
                _number(row.size, "{:,.0f}"),
                _p(row.p_fwer),
                _number(row.peak_t, "{:.2f}"),
                _point(row.peak_x, row.peak_y, row.peak_z),
            )
            for row in largest.itertuples()
        ],
    )


def _hits(hits: pd.DataFrame) -> Table | Notice:
    if hits.empty:
        return Notice("No pair of SNP and voxel is beyond the p that hits are listed from")
    return Table(
        ("SNP", "Region", "x, y, z (mm)", "Beta", "Standard error", "t", _LOG10P),
        [
            (
                _snp(row),
                _text(row.label),
                _point(row.x, row.y, row.z),
                _number(row.beta, "{:#.3g}"),
                _number(row.se, "{:#.3g}"),
                _number(row.t, "{:.2f}"),
                _number(row.log10p, "{:.2f}"),
            )
            for row in hits.head(_MOST_ROWS).itertuples()
        ],
    )


_GLASS = (
    "Largest |t| along each line of sight, of voxels beyond the threshold that forms clusters: "
    "left side, from behind, right side, from above. Red: more of the counted allele goes with "
    "larger values; blue: with smaller ones. The outline is that of the MNI152 brain and fits "
    "only maps in that space."
)
_SLICES = (
    "Axial slices in the space of the study, anterior up. Outlined are voxels beyond the "
    "threshold that forms clusters. Red: more of the counted allele goes with larger values; "
    "blue: with smaller ones."
)


def _pictures(kind: str, meaning: str, named: Sequence[tuple[str, bytes]]) -> list[Picture]:
    """Caption pictures of SNPs; what they mean is said under the first."""
    return [
        Picture(image, f"{kind} of {name}", f"{name}. {meaning}" if k == 0 else f"{name}.")
        for k, (name, image) in enumerate(named)
    ]


def _model(inference: Mapping[str, Any]) -> Table:
    rows = [
        ("coding of genotypes", inference["coding"]),
        ("missing genotypes", inference["missing"]),
        ("hits are listed from", f"p = {_p(inference['threshold_p'])}"),
        ("scheme of permutations", inference["scheme"]),
        ("seed", str(inference["seed"])),
    ]
    if inference["fwer"] is None:
        del rows[-2:]  # nothing was permuted
    return Table(("Model", "Choice"), rows)


def _covariates(inference: Mapping[str, Any]) -> Table:
    rows = [(name, "used", "") for name in inference["covariates"]]
    rows += [(row["name"], "dropped", row["reason"]) for row in inference["dropped_covariates"]]
    rows = rows or [("none", "", "the intercept alone")]
    return Table(("Covariate", "Used or dropped", "Why"), rows)
