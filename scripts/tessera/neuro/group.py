"""What a group of subjects comes to: the tables, and one picture of all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tessera.figures import BLUE, FIGURE_WIDTH, GREY, VERMILION, house_style, png
from tessera.neuro.summary import COLUMNS, display_name, format_value

Row = Mapping[str, Any]

QUARANTINE_COLUMNS = ("subject", "session", "file", "place", "what", "remedy")


@dataclass(frozen=True)
class Quarantined:
    """A subject that was set aside; `problems` as `tessera.errors.Problem.as_dict` gives them."""

    subject: str
    session: str | None
    problems: Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class GroupTables:
    """The texts of ``group_dwi.tsv``, its JSON sidecar, and ``quarantine.tsv``."""

    group_tsv: str
    group_json: str
    quarantine_tsv: str


def group_tables(
    read: Sequence[tuple[str, str | None]],
    rows: Sequence[Row],
    quarantined: Sequence[Quarantined],
) -> GroupTables:
    """Write the tables of a group, in the order of the sheet.

    Parameters
    ----------
    read : sequence of (subject, session)
        Every item of the sheet.
    rows : sequence of mappings
        What `summarise` returned for the items that were used, in any order.
    quarantined : sequence of Quarantined
        The items that were set aside, in any order.

    Returns
    -------
    GroupTables
        Tab-separated values in the manner of BIDS: floats as ``%.6g``, ``n/a`` for what is
        missing, one line per problem in the quarantine.

    Raises
    ------
    ValueError
        Unless every item read is used or set aside exactly once, the latter with a reason.
    """
    used = [(row["subject"], row["session"]) for row in rows]
    aside = [(item.subject, item.session) for item in quarantined]
    place = {key: i for i, key in enumerate(read)}
    if (
        len(place) != len(read)
        or len(used) + len(aside) != len(read)
        or set(used + aside) != set(read)
    ):
        raise ValueError(
            f"{len(read)} subjects were read, {len(used)} used and {len(aside)} set aside; "
            f"not accounted for or more than once: {_differences(read, used + aside)}"
        )
    silent = [key for key, item in zip(aside, quarantined, strict=True) if not item.problems]
    if silent:
        raise ValueError(
            f"set aside without a reason: {', '.join(display_name(*k) for k in silent)}"
        )

    ordered = sorted(rows, key=lambda row: place[row["subject"], row["session"]])
    reasons = [
        {"subject": item.subject, "session": item.session, **problem}
        for item in sorted(quarantined, key=lambda item: place[item.subject, item.session])
        for problem in item.problems
    ]
    sidecar = {
        name: {"Description": text} | ({"Units": units} if units else {})
        for name, (text, units) in COLUMNS.items()
    }
    return GroupTables(
        group_tsv=_tsv(tuple(COLUMNS), ordered),
        group_json=json.dumps(sidecar, indent=2) + "\n",
        quarantine_tsv=_tsv(QUARANTINE_COLUMNS, reasons),
    )


def _differences(
    read: Sequence[tuple[str, str | None]], found: Sequence[tuple[str, str | None]]
) -> str:
    keys = dict.fromkeys([*read, *found])
    odd = [key for key in keys if (read.count(key), found.count(key)) != (1, 1)]
    return ", ".join(display_name(*key) for key in odd)


def _tsv(columns: Sequence[str], rows: Sequence[Row]) -> str:
    lines = [columns, *([format_value(row[name]) for name in columns] for row in rows)]
    return "".join("\t".join(line) + "\n" for line in lines)


_MEASURES = (
    ("fa_median", 1.0, "median FA"),
    ("md_median", 1e3, "median MD (10$^{-3}$ mm$^2$/s)"),
    ("snr_b0", 1.0, "SNR of b = 0"),
)
_MOST_NAMED = 40  # more names than this cannot be read one under the other
_MOST_LISTED = 12


@house_style()
def group_figure(rows: Sequence[Row], quarantined: Sequence[Quarantined] = ()) -> bytes:
    """Draw every subject as a dot for FA, MD and SNR, and list those set aside.

    Parameters
    ----------
    rows : sequence of mappings
        What `summarise` returned, in the order to be shown from top to bottom.
    quarantined : sequence of Quarantined
        Named under the picture, the first twelve with their first reason.

    Returns
    -------
    bytes
        PNG. Up to 40 subjects are named along the side; beyond that only those outside the
        shaded band of median plus or minus three robust standard deviations are.
    """
    named = len(rows) <= _MOST_NAMED
    plot_height = max(1.2, 0.2 * len(rows) if named else 6.5)
    aside = [
        f"{display_name(item.subject, item.session)}: {item.problems[0]['what']}"
        for item in quarantined[:_MOST_LISTED]
    ]
    if len(quarantined) > _MOST_LISTED:
        aside.append(f"and {len(quarantined) - _MOST_LISTED} more, all in quarantine.tsv")
    if aside:
        aside.insert(0, f"Set aside: {len(quarantined)} of {len(rows) + len(quarantined)}")
    below = 0.6 + 0.155 * len(aside)
    height = plot_height + below + 0.35
    figure = Figure(figsize=(FIGURE_WIDTH, height))
    axes = figure.subplots(
        1,
        len(_MEASURES),
        sharey=True,
        gridspec_kw={
            "left": 0.17 if named else 0.06,
            "right": 0.985,
            "top": 1 - 0.35 / height,
            "bottom": below / height,
            "wspace": 0.06,
        },
    )
    names = [display_name(row["subject"], row["session"]) for row in rows]
    for panel, (column, factor, title) in zip(axes, _MEASURES, strict=True):
        values = np.array([np.nan if row[column] is None else row[column] for row in rows], float)
        _dots(panel, values * factor, names, named)
        panel.set_title(title)
    axes[0].set_ylim(len(rows) - 0.5, -0.5) if rows else axes[0].set_ylim(1, 0)
    if named:
        axes[0].set_yticks(
            range(len(rows)), [_shorten(name, 22) for name in names], parse_math=False
        )
    else:
        axes[0].set_ylabel(f"{len(rows)} subjects, in the order of the sheet")
        axes[0].set_yticks([])
    figure.text(
        0.015,
        0.08 / height,
        "\n".join(_shorten(line, 150) for line in aside),
        color=VERMILION,
        va="bottom",
        parse_math=False,
    )
    return png(figure)


def _dots(panel: Axes, values: np.ndarray, names: Sequence[str], named: bool) -> None:
    """Draw one measure; dots outside the robust limits are set off by colour and shape."""
    known = values[np.isfinite(values)]
    median = np.median(known) if known.size else np.nan
    apart = np.zeros(values.shape, bool)
    if known.size >= 5:  # limits from fewer would mean nothing
        reach = 3 * 1.4826 * np.median(np.abs(known - median))
        apart = np.abs(values - median) > reach
        panel.axvspan(median - reach, median + reach, color=GREY, alpha=0.12, lw=0)
        panel.axvline(median, color=GREY, lw=0.8)
    where = np.arange(values.size)
    size = 22 if named else 6
    panel.scatter(values[~apart], where[~apart], s=size, color=BLUE, linewidths=0)
    panel.scatter(
        values[apart], where[apart], s=max(size, 18), color=VERMILION, marker="D", linewidths=0
    )
    if not named and apart.any():
        distance = np.where(apart, np.abs(values - median), 0)
        for i in np.argsort(-distance, kind="stable")[: min(_MOST_LISTED, np.count_nonzero(apart))]:
            outward = 1 if values[i] > median else -1
            panel.annotate(
                _shorten(names[i], 16),
                (values[i], i),
                xytext=(5 * outward, 0),
                textcoords="offset points",
                ha="left" if outward > 0 else "right",
                va="center",
                fontsize=7,
                parse_math=False,
            )
    if not known.size:
        panel.set_xticks([])
    panel.margins(x=0.12 if named else 0.3)
    panel.grid(axis="both" if named else "x", color="#e5e7eb", lw=0.6)
    panel.set_axisbelow(True)
    panel.tick_params(axis="y", length=0)


def _shorten(text: str, length: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"
