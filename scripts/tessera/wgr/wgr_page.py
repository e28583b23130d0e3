"""The page of a whole-genome regression: what was analysed, each trait, how far to trust it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tessera.figures import shorten
from tessera.gwas_charts import LOG10P
from tessera.page import (
    Notice,
    Picture,
    Section,
    Table,
    account_table,
    aside_table,
    html_page,
    reasons,
    settings_table,
)
from tessera.wgr.summary import GENOME_WIDE, MOST, SUGGESTIVE, Summary, chromosome_name

_UNKNOWN = "n/a"
_MINUS = "\N{MINUS SIGN}"
_ALPHA = 0.05
_TYPES = {"qt": "quantitative", "bt": "binary"}
_NOUNS = {"people": "people", "variants": "variants of the regression", "tests": "tests"}


def wgr_page(
    ledger: Mapping[str, Any],
    settings: Mapping[str, Any],
    traits: pd.DataFrame,
    summaries: Mapping[str, Summary],
    aside: Sequence[Mapping[str, str]],
    *,
    loco: bytes,
    pictures: Mapping[str, Mapping[str, bytes]],
    notes: Sequence[str],
) -> str:
    """Write the page of a whole-genome regression and its association tests.

    Parameters
    ----------
    ledger
        Of ``people``, ``variants`` (of the regression) and ``tests`` (trait by variant): how many
        were ``read``, ``used`` and ``dropped``, the latter by reason; ``blocks``: their number.
    settings
        Name and value of each setting; ``convention``, ``trait_type`` and ``test`` among them.
    traits
        One row per trait: ``trait``, ``type``, ``status``, ``reason``, ``note``, ``n``,
        ``cases``, ``controls``, ``h2``, ``rsq``, ``lambda_gc``, ``tested``, ``dropped``,
        ``hits``. What is unknown is NaN.
    summaries
        Of each trait that was analysed, as from `tessera.wgr.summary.summarise`.
    aside
        What could not be used: ``trait``, ``file``, ``place``, ``what``, ``remedy``.
    loco
        PNG, as from `tessera.wgr.charts.loco_chart`.
    pictures
        Of each trait in `summaries` PNG by file name, as from `tessera.wgr.charts.draw_trait`.
    notes
        What the user should know and need not correct, a sentence each.

    Returns
    -------
    str
        One HTML file with everything in it.
    """
    noted = [Notice("Good to know", notes, good=True)] if notes else []
    sections = [
        Section("", [_verdict(ledger, traits, summaries), *noted]),
        Section("Traits", [_traits(traits)]),
        Section("Whole-genome regression", [_loco(loco)]),
    ]
    explain = True
    for trait, summary in summaries.items():
        sections.append(Section(trait, _trait(trait, summary, pictures[trait], explain)))
        explain = False
    sections += [
        Section("What was read and used", [account_table(ledger, _NOUNS)]),
        Section("Settings", [settings_table(settings)]),
        Section("Set aside", [aside_table(aside, "trait", "Trait")]),
    ]
    return html_page(
        "Whole-genome regression",
        "Association of every variant with every trait, beyond what the other chromosomes predict",
        _facts(ledger, settings, traits, summaries),
        sections,
    )


def _number(value: Any, form: str) -> str:
    if pd.isna(value) or not np.isfinite(value):
        return _UNKNOWN
    return form.format(value).replace("-", _MINUS)


def _count(value: Any) -> str:
    return _number(value, "{:,.0f}")


def _p(value: float) -> str:
    """Write a p: 0.0312, 5e−8."""
    return _number(value, "{:.3g}").replace(f"e{_MINUS}0", f"e{_MINUS}")


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def _facts(
    ledger: Mapping[str, Any],
    settings: Mapping[str, Any],
    traits: pd.DataFrame,
    summaries: Mapping[str, Summary],
) -> list[tuple[str, str]]:
    facts = [
        (name, f"{ledger[key]['used']:,} of {ledger[key]['read']:,} used")
        for key, name in (("people", "People"), ("variants", "Variants of the regression"))
    ]
    facts += [
        ("Blocks of variants", f"{ledger['blocks']:,}"),
        ("Traits", f"{len(summaries):,} of {len(traits):,} analysed"),
        ("Tests", f"{sum(summary.tests for summary in summaries.values()):,}"),
        (
            f"Hits (p below {_p(GENOME_WIDE)})",
            f"{sum(summary.hits for summary in summaries.values()):,}",
        ),
    ]
    return [
        *facts,
        ("Convention of REGENIE", settings["convention"]),
        ("Traits are", _TYPES[settings["trait_type"]]),
        ("Test", settings["test"]),
    ]


def _verdict(ledger: Mapping[str, Any], traits: pd.DataFrame, analysed: Collection[str]) -> Notice:
    lines = []
    people = ledger["people"]
    n = people["read"] - people["used"]
    if n:
        why = "; ".join(reasons(people["dropped"]))
        lines.append(f"{n:,} of {people['read']:,} people are not in the analysis ({why})")
    names = [name for name in traits["trait"] if name not in analysed]
    if names:
        verb = "trait was" if len(names) == 1 else "traits were"
        lines.append(f"{len(names):,} {verb} set aside: {', '.join(names)}")
        lines.append("what to do about it is said at the end of this page")
    if not lines:
        return Notice("Nothing was set aside", good=True)
    return Notice(f"{len(traits) - len(names):,} of {len(traits):,} traits were analysed", lines)


def _traits(traits: pd.DataFrame) -> Table:
    rows = []
    for row in traits.itertuples():
        people = _count(row.n)
        if row.type == "bt":
            people += f" ({_count(row.cases)} cases)"
        words = filter(None, map(_text, (row.status, row.reason, row.note)))
        rows.append(
            (
                f"{row.trait} ({_TYPES[row.type]})",
                "; ".join(words),
                people,
                _number(row.h2, "{:.3g}"),
                _number(row.rsq, "{:.4f}"),
                _number(row.lambda_gc, "{:.3f}"),
                _count(row.tested),
                _count(row.hits),
            )
        )
    header = ("Trait", "Status", "People", "Best h²", "R²", "Lambda", "Tests", "Hits")
    return Table(header, rows)


def _loco(picture: bytes) -> Picture:
    return Picture(
        picture,
        "Cross-validated loss of each trait by the heritability that the shrinkage stands for",
        "Each panel is a trait: how much worse people who were left out are predicted at other "
        "amounts of shrinkage than at the best one (diamond), which is used. A quantitative trait "
        "is judged by its mean squared error, a binary one by its "
        f"{_MINUS}log-likelihood. The h² of the axis is a setting of the shrinkage, not an "
        "estimate of heritability. R² is that of the predictions from the whole genome, of people "
        "who were left out; those that enter a test leave out the chromosome of its variant.",
    )


_MANHATTAN = (
    "Each dot is a variant at its place along the genome; of those that would hide each other "
    "the strongest is drawn. Diamonds are variants beyond the genome-wide threshold, which "
    "allows for about a million independent tests of one trait, not for the number of traits. "
    f"The table lists variants with p below {_p(SUGGESTIVE)} that have no stronger one within "
    f"500 kb; the strongest {MOST} at most."
)
_QQ = (
    "All p-values, sorted, against what chance gives. Lambda is the median of the test "
    "statistics (chi-squared) over that of chance: near 1 where the model fits. Well above 1 "
    "points to relatives, to ancestry or to a missing covariate, or to very many small effects; "
    "below 1 to a test that finds less than it could. Tests are not independent: variants in "
    "linkage leave the band together, by chance too."
)


def _trait(
    trait: str, summary: Summary, pictures: Mapping[str, bytes], explain: bool
) -> list[Picture | Table | Notice]:
    """Show a trait; what its pictures mean is said under the first ones."""
    told = [f"{trait} along the genome.", f"{trait} against chance."]
    if explain:
        told = [f"{told[0]} {_MANHATTAN}", f"{told[1]} {_QQ}"]
    parts: list[Picture | Table | Notice] = []
    if summary.tests or not summary.masks:
        parts += [
            Picture(pictures["manhattan.png"], f"Variants of {trait} along the genome", told[0]),
            _leads(summary.leads),
            Picture(pictures["qq.png"], f"p of {trait} against those by chance", told[1]),
        ]
    if summary.failed:
        parts.append(Notice(f"Tests that failed and have no p: {summary.failed:,}"))
    if summary.masks:
        parts += [_burden_words(summary.masks), _burden(summary.burden)]
    return parts


def _leads(leads: pd.DataFrame) -> Table | Notice:
    if leads.empty:
        return Notice(f"No variant has a p below {_p(SUGGESTIVE)}", good=True)
    alleles = [f"{shorten(row.ALLELE1)} / {shorten(row.ALLELE0)}" for row in leads.itertuples()]
    return _results(leads, "Variant", "Tested / other allele", alleles)


def _burden_words(masks: int) -> Notice:
    return Notice(
        f"{masks:,} burden tests, of which the strongest {min(masks, MOST)} are listed",
        [
            f"Of traits without any effect at most one in {1 / _ALPHA:.0f} has a p below "
            f"{_p(_ALPHA / masks)} among them."
        ],
        good=True,
    )


def _burden(burden: pd.DataFrame) -> Table:
    rules = burden["TEST"].str.removeprefix("ADD").str.removeprefix("-").str.lower()
    cells = [
        f"{shorten(mask)}, {rule or 'max'}"
        for mask, rule in zip(burden["ALLELE1"], rules, strict=True)
    ]
    return _results(burden, "Id", "Mask, cutoff and rule", cells)


def _results(table: pd.DataFrame, noun: str, second: str, cells: Iterable[str]) -> Table:
    """Show rows of results; the second column is the caller's."""
    header = (noun, second, "Place", "Frequency", "People", "Beta", "SE", LOG10P)
    rows = [
        (
            row.ID,
            cell,
            f"{chromosome_name(row.CHROM)}:{row.GENPOS:,}",
            _number(row.A1FREQ, "{:.3g}"),
            _count(row.N),
            _number(row.BETA, "{:#.3g}"),
            _number(row.SE, "{:#.3g}"),
            _number(row.LOG10P, "{:.2f}"),
        )
        for row, cell in zip(table.itertuples(), cells, strict=True)
    ]
    return Table(header, rows)
