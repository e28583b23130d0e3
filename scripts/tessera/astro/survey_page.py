"""The page of a survey: what went in, what came out, how good it is, what was set aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tessera.astro.quality import BRIGHT_SNR
from tessera.page import Notice, Picture, Section, Table, aside_table, html_page

_UNKNOWN = "n/a"
_MINUS = "\N{MINUS SIGN}"


def survey_page(
    qc: Mapping[str, Any],
    aside: Sequence[Mapping[str, str]],
    *,
    mosaic: bytes,
    counts: bytes,
    residuals: bytes,
) -> str:
    """Write the page of a survey.

    Parameters
    ----------
    qc
        As from `tessera.astro.quality.quality`.
    aside
        As from `tessera.astro.quality.quarantine`.
    mosaic, counts, residuals
        PNG, as from `tessera.astro.pictures.mosaic_picture`,
        `tessera.astro.charts.number_counts` and `tessera.astro.charts.residuals_picture`.

    Returns
    -------
    str
        One HTML file with everything in it.
    """
    visits, ccds = qc["accounting"]["visits"], qc["accounting"]["ccds"]
    depth = _number(qc["depth"]["five_sigma_mag"], "{:.2f} mag")
    facts = [
        ("Visits", f"{visits['used']:,} of {visits['read']:,} used"),
        ("Detectors", f"{ccds['used']:,} of {ccds['read']:,} used"),
        ("Patches", f"{len(qc['patches']):,}"),
        ("Sources", f"{qc['sources']['n']:,}"),
        ("Depth (5 sigma, point source)", depth),
        ("Point sources, FWHM", _number(qc["photometry"]["fwhm"], "{:.2f} arcsec")),
        ("Seeing, median", _number(_median_seeing(qc["visits"]), "{:.2f} arcsec")),
    ]
    sections = [
        Section("", [_verdict(aside, ccds)]),
        Section("The survey", [_accounting(qc["accounting"])]),
        Section("Exposures", [_exposures(qc["visits"])]),
        Section("Co-adds and depth", [_mosaic(mosaic), _patches(qc["patches"])]),
        Section("Catalogue", [_counts(counts), _sources(qc["sources"], qc["photometry"])]),
        Section("Against the reference", _reference(qc["reference"], residuals)),
        Section("Set aside", [aside_table(aside, "visit", "Visit")]),
    ]
    return html_page("Survey imaging", "Co-adds and catalogue: page of the survey", facts, sections)


def _number(value: float | None, form: str) -> str:
    return _UNKNOWN if value is None else form.format(value).replace("-", _MINUS)


def _median_seeing(visits: Sequence[Mapping[str, Any]]) -> float | None:
    known = sorted(v["seeing_arcsec"] for v in visits if v["seeing_arcsec"] is not None)
    return known[len(known) // 2] if known else None


def _verdict(aside: Sequence[Mapping[str, str]], ccds: Mapping[str, int]) -> Notice:
    if not aside:
        return Notice("Nothing was set aside", good=True)
    whole = sum(not row["ccd"] for row in aside)
    lines = [f"detectors: {ccds['set_aside']:,} of {ccds['read']:,}"] if ccds["set_aside"] else []
    if whole:
        lines.append(f"visits whose file could not be used at all: {whole:,}")
    return Notice("Set aside; the reasons are at the end of this page", lines)


def _accounting(accounting: Mapping[str, Any]) -> Table:
    return Table(
        ("What", "Read", "Used", "Outside the sky map", "Set aside"),
        [
            (name, *(f"{accounting[key][n]:,}" for n in ("read", "used", "outside", "set_aside")))
            for name, key in (("visits", "visits"), ("detectors", "ccds"))
        ],
    )


def _exposures(visits: Sequence[Mapping[str, Any]]) -> Table:
    header = ("Visit", "Seeing (arcsec)", "Sky (ADU)", "Noise (ADU)", "Noise over stated")
    more = ("Zero point (mag)", "Cosmic rays (pixels)", "Detectors used")
    rows = [
        (
            visit["visit"],
            _number(visit["seeing_arcsec"], "{:.2f}"),
            _number(visit["sky"], "{:,.1f}"),
            _number(visit["noise"], "{:.2f}"),
            _number(visit["noise_ratio"], "{:.3f}"),
            _number(visit["zero_point"], "{:.3f}"),
            _number(visit["cr_share"], "{:.3%}"),
            f"{visit['n_used']:,} of {visit['n_ccds']:,}",
        )
        for visit in visits
    ]
    marked = [i for i, v in enumerate(visits) if v["n_used"] < v["n_ccds"] or not v["n_used"]]
    return Table((*header, *more), rows, frozenset(marked))


def _mosaic(picture: bytes) -> Picture:
    return Picture(
        picture,
        "All co-adds at their places on the sky map, and the number of exposures",
        "All co-adds at their places on the sky map (left; brighter is darker) and the number of "
        "exposures behind each pixel (right). Grey: no data. Lines are the borders of patches, "
        "which overlap.",
    )


def _patches(patches: Mapping[str, Mapping[str, Any]]) -> Table:
    return Table(
        ("Patch", "Visits", "Covered", "Exposures, median", "Sources", "Depth (mag)"),
        [
            (
                name,
                f"{len(facts['visits']):,}",
                _number(facts["n_covered"] / facts["n_pixels"], "{:.1%}"),
                _number(facts["median_n_images"], "{:g}"),
                f"{facts['n_sources']:,}",
                _number(facts["five_sigma_mag"], "{:.2f}"),
            )
            for name, facts in patches.items()
        ],
    )


def _counts(picture: bytes) -> Picture:
    return Picture(
        picture,
        "Number of sources by magnitude",
        "Number of sources by magnitude. They should rise up to the depth, the magnitude of a "
        "point source at a signal-to-noise ratio of 5, and fall beyond it.",
    )


def _sources(sources: Mapping[str, int], pooled: Mapping[str, Any]) -> Table:
    rows = [
        ("all", f"{sources['n']:,}"),
        ("extended", f"{sources['n_extended']:,}"),
        ("point sources that nothing disturbs", f"{sources['n_isolated_points']:,}"),
        ("saturated", f"{sources['n_saturated']:,}"),
        ("peaks of noise to be expected among them", _number(pooled["noise_peaks"], "{:,.1f}")),
        ("stars that the aperture corrections rest on", f"{pooled['stars']:,}"),
    ]
    return Table(("Sources", "Number"), rows)


def _reference(
    reference: Mapping[str, Any] | None, picture: bytes
) -> list[Picture | Table | Notice]:
    if reference is None:
        return [Notice("No reference catalogue is set", ["Name one in astro.reference_catalogue."])]
    bright = reference["bright"]
    both = "{:.1f}"
    summary = Table(
        ("Figure", "Value", "Meaning"),
        [
            (
                "found",
                f"{reference['n_found']:,} of {reference['n_covered']:,}"
                + _number(reference["completeness"], " ({:.1%})").replace(_UNKNOWN, ""),
                f"stars of the reference that lie on the co-adds, matched within "
                f"{reference['radius_arcsec']:g} arcsec",
            ),
            (
                "offset in RA, dec",
                f"{_number(bright['ra_offset_mas'], both)}, "
                f"{_number(bright['dec_offset_mas'], both)} mas",
                "median of catalogue less reference",
            ),
            (
                "scatter in RA, dec",
                f"{_number(bright['ra_scatter_mas'], both)}, "
                f"{_number(bright['dec_scatter_mas'], both)} mas",
                "robust standard deviation",
            ),
            ("offset in magnitude", _number(bright["mag_offset"], "{:.4f} mag"), "median"),
            (
                "scatter in magnitude",
                _number(bright["mag_scatter"], "{:.4f} mag"),
                "robust standard deviation",
            ),
            (
                "bright sources",
                f"{bright['n']:,}",
                f"isolated point sources of a signal-to-noise ratio above {BRIGHT_SNR:g}, on which "
                "the four lines above rest",
            ),
        ],
    )
    chart = Picture(
        picture,
        "Differences of positions and magnitudes, pull of the fluxes, completeness",
        "Catalogue less reference. The ellipse is one robust standard deviation of the bright "
        "sources; the line with its band is median and robust standard deviation by magnitude. "
        "The pull is the difference in flux over its error (the outermost bins hold all beyond): "
        "where the reference has no errors of its own it follows the unit Gaussian drawn over it.",
    )
    bins = Table(
        ("Magnitude", "Found", "Share", "Offset (mag)", "Scatter (mag)", "Pull, scatter"),
        [
            (
                "{:g} to {:g}".format(*each["mag"]),
                f"{each['n_found']:,} of {each['n_covered']:,}",
                _number(each["completeness"], "{:.1%}"),
                _number(each["mag_offset"], "{:.4f}"),
                _number(each["mag_scatter"], "{:.4f}"),
                _number(each["pull_scatter"], "{:.2f}"),
            )
            for each in reference["magnitudes"]
        ],
    )
    return [summary, chart, bins]
