"""HTML pages that stand alone: one file, no request, no script, every text escaped."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup


@dataclass(frozen=True)
class Picture:
    """A picture on a page: its PNG, the words that stand for it, and the words beneath it."""

    png: bytes
    alt: str
    caption: str


@dataclass(frozen=True)
class Table:
    """A table on a page; `marked` are the rows set off by a bar and the word *look*."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    marked: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Notice:
    """A message in a box, `good` or not, with a heading and any number of lines."""

    heading: str
    lines: Sequence[str] = ()
    good: bool = False


@dataclass(frozen=True)
class Section:
    """A part of a page, under a heading."""

    heading: str
    parts: Sequence[Picture | Table | Notice]


def aside_table(aside: Sequence[Mapping[str, str]], key: str, name: str) -> Table | Notice:
    """Tell what was set aside, and what to do about it.

    Parameters
    ----------
    aside
        Rows with ``file``, ``place``, ``what``, ``remedy``, and the item's name under `key`.
    key, name
        Column of the item, and what to call it.
    """
    if not aside:
        return Notice("Nothing was set aside", good=True)
    rows = [
        (
            row[key],
            f"{row['file']}: {row['place']}" if row["place"] not in ("", "n/a") else row["file"],
            row["what"],
            row["remedy"],
        )
        for row in aside
    ]
    return Table((name, "File and place", "What is wrong", "What to do"), rows)


def settings_table(settings: Mapping[str, Any]) -> Table:
    """Show settings in the words of a reader: yes and no, lists with commas."""
    return Table(("Setting", "Value"), [(key, _setting(value)) for key, value in settings.items()])


def _setting(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_setting(part)}" for key, part in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        parts = [
            f"[{_setting(part)}]" if isinstance(part, list) else _setting(part) for part in value
        ]
        return ", ".join(parts)
    if isinstance(value, bool):  # 1 == True, so no look-up
        return "yes" if value else "no"
    return "not set" if value is None else str(value)


def reasons(dropped: Mapping[str, int]) -> list[str]:
    """Tell why items were dropped, and how many each time."""
    return [f"{reason}: {n:,}" for reason, n in dropped.items() if n]


def account_table(
    ledger: Mapping[str, Mapping[str, Any]], nouns: Mapping[str, str], used: str = "used"
) -> Table:
    """Account for everything read; what does not add up is marked.

    Parameters
    ----------
    ledger
        Of each kind of item ``read``, `used` and ``dropped``, the latter by reason.
    nouns
        Kinds of items to show, and what to call them.
    """
    rows, marked = [], []
    for k, (key, noun) in enumerate(nouns.items()):
        read, kept, dropped = (ledger[key][part] for part in ("read", used, "dropped"))
        why, lost = "; ".join(reasons(dropped)), sum(dropped.values())
        if read != kept + lost:
            marked.append(k)
            why = f"read is not the sum of used and dropped. {why}"
        rows.append((noun, f"{read:,}", f"{kept:,}", f"{lost:,}", why))
    return Table(("What", "Read", "Used", "Dropped", "Why"), rows, frozenset(marked))


def html_page(
    title: str, subtitle: str, facts: Sequence[tuple[str, str]], sections: Sequence[Section]
) -> str:
    """Write one HTML file that holds everything it shows.

    Parameters
    ----------
    title, subtitle : str
        Heading of the page and the line under it.
    facts : sequence of (str, str)
        Name and value of what identifies the subject of the page.
    sections : sequence of Section
        The page from top to bottom; a section with an empty heading has none.

    Returns
    -------
    str
        The page. Every text is escaped; a content security policy forbids scripts and any
        request, so that a hostile name stays a name.
    """
    kinds = [[(type(part).__name__, part) for part in section.parts] for section in sections]
    return _PAGE.render(
        title=title,
        subtitle=subtitle,
        facts=facts,
        sections=list(zip([section.heading for section in sections], kinds, strict=True)),
        css=_CSS,
    )


def _data_uri(image: bytes) -> Markup:
    return Markup("data:image/png;base64,") + Markup(b64encode(image).decode("ascii"))


_CSS = Markup("""
:root { --ink: #1f2933; --soft: #5b6672; --line: #dfe3e8; --look: #D55E00; --good: #009E73; }
body { margin: 0; background: #fff; color: var(--ink); line-height: 1.5;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 26px; font-weight: 600; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 18px; font-weight: 600; margin: 36px 0 10px; }
.subtitle { color: var(--soft); margin: 2px 0 16px; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(240px, 1fr)); gap: 10px 24px;
  margin: 0; padding: 14px 0; border: 1px solid var(--line); border-width: 1px 0; }
dt { color: var(--soft); font-size: 13px; }
dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: 14px 0 26px; }
figure img { display: block; width: 100%; height: auto; }
figcaption { color: var(--soft); font-size: 14px; margin-top: 6px; max-width: 80ch; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: 6px 14px 6px 8px; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: anywhere; min-width: 3.5em; }
th { text-align: left; color: var(--soft); font-weight: 500; font-size: 13px;
  overflow-wrap: normal; }
th:nth-child(-n+2), td:nth-child(-n+2) { width: 22%; }
td { font-variant-numeric: tabular-nums; }
tr.look td:first-child { box-shadow: inset 3px 0 var(--look); }
tr.look td:last-child::before { content: "Look: "; color: #a84300; font-weight: 600; }
.notice { border-left: 4px solid var(--look); background: #fdf3ec; padding: 12px 18px;
  margin: 20px 0; }
.notice.good { border-color: var(--good); background: #eef8f4; }
.notice strong { font-size: 17px; font-weight: 600; }
.notice ul { margin: 6px 0 0; padding-left: 20px; }
@media print { figure, table { break-inside: avoid; } }
""")

_ENVIRONMENT = Environment(
    autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_ENVIRONMENT.filters["data_uri"] = _data_uri
_PAGE = _ENVIRONMENT.from_string("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>{{ css }}</style>
</head>
<body>
<main>
<h1>{{ title }}</h1>
<p class="subtitle">{{ subtitle }}</p>
{% if facts %}
<dl>
{% for name, value in facts %}
<div><dt>{{ name }}</dt><dd>{{ value }}</dd></div>
{% endfor %}
</dl>
{% endif %}
{% for heading, parts in sections %}
<section>
{% if heading %}
<h2>{{ heading }}</h2>
{% endif %}
{% for kind, part in parts %}
{% if kind == "Picture" %}
<figure>
<img src="{{ part.png | data_uri }}" alt="{{ part.alt }}">
<figcaption>{{ part.caption }}</figcaption>
</figure>
{% elif kind == "Table" %}
<table>
<thead><tr>{% for cell in part.header %}<th scope="col">{{ cell }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in part.rows %}
<tr{% if loop.index0 in part.marked %} class="look"{% endif %}>
{% for cell in row %}
<td>{{ cell }}</td>
{% endfor %}
</tr>
{% endfor %}
</tbody>
</table>
{% else %}
<div class="notice{% if part.good %} good{% endif %}" role="note">
<strong>{{ part.heading }}</strong>
{% if part.lines %}
<ul>
{% for line in part.lines %}
<li>{{ line }}</li>
{% endfor %}
</ul>
{% endif %}
</div>
{% endif %}
{% endfor %}
</section>
{% endfor %}
</main>
</body>
</html>
""")
