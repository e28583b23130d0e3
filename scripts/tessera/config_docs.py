"""Render the schemas as the reference page of the configuration.

Run as ``python -m tessera.config_docs SCHEMA_DIR``; prints Markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from tessera.config import Schema, expectation, load_schema

_INTRODUCTION = """\
<!-- Generated from schemas/ by `make docs`; do not edit. -->
# Configuration

`config.yaml` holds the settings of a run; a key left out keeps its default. Another file is laid
over it by `--configfile FILE`, single values by `--config`:
`snakemake neuro --config seed=7 'neuro={denoise: {method: none}}'`.
Unknown keys are refused, and all errors are shown at once. On the command line `null`, `none` and
an empty value mean null where null is allowed and the word is not itself a choice.
"""


def config_page(schema_dir: Path) -> str:
    """Render all keys of the configuration and the columns of all sheets.

    Parameters
    ----------
    schema_dir
        Folder with ``config.yaml``, the sections it refers to, and the schemas of the sheets,
        which are those named ``PIPELINE_SHEET.yaml``.

    Returns
    -------
    str
        A page in Markdown.
    """
    root = load_schema(schema_dir, "config")
    sections = {k: part for k, part in root["properties"].items() if part.get("type") == "object"}
    scalars = {k: part for k, part in root["properties"].items() if k not in sections}
    parts = [_INTRODUCTION, "## Top level\n", _key_table({"properties": scalars})]
    for name, section in sections.items():
        parts += [f"## `{name}`\n", f"{section['description']}\n", _key_table(section)]
        refused = [f"- {rule['x-what']}: {rule['x-remedy']}." for rule in section.get("allOf", [])]
        if refused:
            parts.append("Refused:\n\n" + "\n".join(refused) + "\n")
    for path in sorted(schema_dir.glob("*_*.yaml")):
        sheet = load_schema(schema_dir, path.stem)
        parts += [f"## {sheet['title']}\n", f"{sheet['description']}\n", _column_table(sheet)]
    return "\n".join(parts)


def _key_table(section: Schema) -> str:
    rows = (
        (
            f"`{key}`",
            _value(part),
            f"`{_yaml(part['default'])}`" if "default" in part else "",
            part.get("x-unit", ""),
            part["description"],
        )
        for key, part in _keys(section)
    )
    return _table(("key", "value", "default", "unit", "meaning"), rows)


def _value(part: Schema) -> str:
    if "properties" not in part:
        return expectation(part, unit=False)
    return "section" if part["type"] == "object" else "section or null"


def _column_table(sheet: Schema) -> str:
    rows = (
        (
            f"`{name}`",
            expectation(column, unit=False),
            "required" if name in sheet["required"] else "optional",
            column.get("x-unit", ""),
            column["description"],
        )
        for name, column in sheet["properties"].items()
    )
    return _table(("column", "value", "", "unit", "meaning"), rows)


def _keys(section: Schema, above: str = "") -> Iterator[tuple[str, Schema]]:
    for key, part in section.get("properties", {}).items():
        yield above + key, part
        yield from _keys(part, f"{above}{key}.")


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    cells = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def _yaml(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=True).splitlines()[0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Print the reference of the configuration.")
    parser.add_argument("schema_dir", type=Path)
    print(config_page(parser.parse_args().schema_dir), end="")
