"""Configuration: schemas, defaults, and every error at once in the user's terms."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import yaml
from jsonschema import Draft202012Validator, TypeChecker, ValidationError, validators

from tessera.errors import InputError, Problem

Schema = dict[str, Any]

_NULLS = {"null", "none", "~", ""}
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_MISSING = object()


def load_schema(schema_dir: Path, name: str) -> Schema:
    """Read the schema ``NAME.yaml`` with each ``$ref`` replaced by the schema it names.

    Parameters
    ----------
    schema_dir
        Folder of the schemas; a ``$ref`` may name a file of this folder only.
    name
        Name of the schema without suffix, such as ``config``.

    Returns
    -------
    dict
        The schema, complete.

    Raises
    ------
    ValueError
        If a ``$ref`` leaves the folder or leads back to itself.
    """

    def read(file: str, above: tuple[str, ...]) -> Any:
        if not re.fullmatch(r"\w+\.yaml", file) or file in above:
            raise ValueError(f"schema {name}: $ref {file!r} leaves the folder or is circular")
        return resolve(yaml.safe_load((schema_dir / file).read_text("utf-8")), (*above, file))

    def resolve(node: Any, above: tuple[str, ...]) -> Any:
        if isinstance(node, list):
            return [resolve(item, above) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return read(node["$ref"], above)
        # A $schema inside would make the validator fall back from ours to the standard one.
        return {key: resolve(item, above) for key, item in node.items() if key != "$schema"}

    return read(f"{name}.yaml", ())


def validate_config(config: Any, schema: Schema, *, name: str = "config") -> dict[str, Any]:
    """Fill in the defaults, turn strings into what the schema asks for, and validate.

    Parameters
    ----------
    config
        The configuration as it was read. Nested values given on a command line arrive as strings
        and are read as the schema says; a whole section may be one string such as
        ``{method: nlm}``. Where null is allowed, ``null``, ``none``, ``~`` and the empty string
        mean it, unless they are a listed choice. A section that is null takes its defaults.
    schema
        Schema as from `load_schema`.
    name
        What to call the configuration in messages.

    Returns
    -------
    dict
        A new, complete configuration; numbers are float, whole numbers int.

    Raises
    ------
    InputError
        With every error, in the order of their dotted paths.
    """
    filled, problems = check_value(config, schema, file=name)
    if problems:
        raise InputError(sorted(problems))
    return filled


def check_value(
    value: Any, schema: Schema, *, file: str, place: str = ""
) -> tuple[Any, list[Problem]]:
    """Convert one value, or a whole section, by its schema, and say what is wrong with it.

    Parameters
    ----------
    value
        What the user gave; left untouched.
    schema
        Schema of the value.
    file, place
        Where the value stands; the dotted path inside a section is appended to `place`.

    Returns
    -------
    value, problems
        The converted value with defaults filled in, and a `Problem` for each fault.
    """
    filled = _fill(value, schema)
    problems = [
        problem
        for error in _Validator(schema).iter_errors(filled)
        for problem in _problems(error, schema, file, place)
    ]
    return filled, list(dict.fromkeys(problems))


def expectation(schema: Schema, *, unit: bool = True) -> str:
    """Say in plain words which values a schema accepts.

    Parameters
    ----------
    schema
        Schema of one value.
    unit
        Whether to append the unit to the range of a number.

    Returns
    -------
    str
        Such as ``a number from 0 to 200 (s/mm2)`` or ``one of none, nlm, mppca``.
    """
    suffix = f" ({schema['x-unit']})" if unit and "x-unit" in schema else ""
    return " or ".join(_expected(option, suffix) for option in _alternatives(schema))


def did_you_mean(word: Any, known: Iterable[Any]) -> str:
    """Return `` (did you mean X?)`` for the known word nearest to a given one, or nothing."""
    match = closest(word, known)
    return f" (did you mean {match}?)" if match else ""


def closest(word: Any, known: Iterable[Any]) -> str | None:
    """Return the known word that is most like a given one, whatever its case, or None."""
    given = "none" if word is None else str(word).casefold()
    names = {str(name).casefold(): str(name) for name in known if name is not None}
    matches = difflib.get_close_matches(given, names, n=1)
    return names[matches[0]] if matches else None


def _is_number(_: TypeChecker, value: Any) -> bool:
    """Accept finite numbers only; a boolean is none."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


_Validator = validators.extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("number", _is_number),
)


def _alternatives(schema: Schema) -> list[Schema]:
    if "anyOf" in schema:
        return [option for part in schema["anyOf"] for option in _alternatives(part)]
    if isinstance(schema.get("type"), list):
        return [{**schema, "type": kind} for kind in schema["type"]]
    return [schema]


def _words(schema: Schema) -> list[Any]:
    """List the fixed choices (enum, const) among the values a schema accepts."""
    return [
        word
        for option in _alternatives(schema)
        for word in ([option["const"]] if "const" in option else option.get("enum", []))
    ]


def _types(schema: Schema) -> set[str]:
    return {str(option["type"]) for option in _alternatives(schema) if "type" in option}


def _fill(value: Any, schema: Schema) -> Any:
    """Return a copy with defaults filled in and strings converted, as far as that is possible."""
    if value is _MISSING:
        value = deepcopy(schema.get("default"))
    types = _types(schema)
    if types & {"object", "array"} and isinstance(value, str):
        value = _flow(value)
    if "object" in types and value is None and "null" not in types:
        value = {}
    if "object" in types and isinstance(value, Mapping):
        known = schema.get("properties", {})
        filled = {
            key: _fill(value.get(key, _MISSING), part)
            for key, part in known.items()
            if key in value or "default" in part or "object" in _types(part)
        }
        return filled | {key: item for key, item in value.items() if key not in known}
    if "array" in types and isinstance(value, list | tuple):
        return [_fill(item, schema.get("items", {})) for item in value]
    return _scalar(value, schema, types)


def _flow(text: str) -> Any:
    """Read a section or list that was given as one string; other strings stay as they are."""
    if text.strip().casefold() in _NULLS:
        return None
    try:
        # This loader leaves every scalar a string, to be converted by the schema.
        value = yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError:
        return text
    return value if isinstance(value, dict | list) else text


def _scalar(value: Any, schema: Schema, types: set[str]) -> Any:
    if isinstance(value, str):
        text, words = value.strip(), _words(schema)
        if text in words:
            return text
        if ("null" in types or None in words) and text.casefold() in _NULLS:
            return None
        if "string" in types:
            return value
        if "boolean" in types and text.casefold() in _BOOLEANS:
            return _BOOLEANS[text.casefold()]
        if not types & {"integer", "number"}:
            return value
        for read in (int, float):
            try:
                return _number(read(text), value, types)
            except ValueError:
                continue
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(value, value, types)
    return value


def _number(number: int | float, given: Any, types: set[str]) -> Any:
    """Make 5 and 5.0 one value, so that how it was written makes no difference downstream."""
    if "integer" in types:
        whole = isinstance(number, int) or number.is_integer()
        return int(number) if whole else given
    if "number" in types:
        try:
            return float(number)
        except OverflowError:
            return math.inf  # to be refused
    return given


def _problems(error: ValidationError, root: Schema, file: str, place: str) -> Iterator[Problem]:
    """Put one error of the validator into the user's terms."""
    schema, value = cast(Schema, error.schema), cast(Any, error.instance)
    where = _dotted(place, error.absolute_path)
    if error.validator == "additionalProperties":
        known = list(schema.get("properties", {}))
        for key in value:
            if key not in known:
                elsewhere = [p for p in _paths(root) if p.rpartition(".")[2] == key]
                hint = (
                    f" (did you mean {' or '.join(elsewhere)}?)"
                    if elsewhere
                    else did_you_mean(key, known)
                )
                remedy = f"expected one of {', '.join(known)}{hint}"
                yield Problem(file, _dotted(where, [str(key)]), "unknown key", remedy)
    elif error.validator == "required":
        for key in schema["required"]:
            if key not in value:
                expected = expectation(schema["properties"][key])
                yield Problem(file, _dotted(where, [key]), "missing key", f"give {expected}")
    elif error.validator == "not":
        yield Problem(file, where, schema["x-what"], schema["x-remedy"])
    else:
        hint = did_you_mean(value, _words(schema))
        if "string" in _types(schema) and not isinstance(value, str | list | dict | None):
            hint = " (put it in quotes)"
        yield Problem(
            file, where, f"found {_shown(value)}", f"expected {expectation(schema)}{hint}"
        )


def _dotted(place: str, path: Iterable[Any]) -> str:
    for part in path:
        entry = f"entry {part + 1}" if isinstance(part, int) else str(part)
        separator = ", " if isinstance(part, int) else "."
        place = f"{place}{separator}{entry}" if place else entry
    return place


def _paths(schema: Schema, above: str = "") -> Iterator[str]:
    """Walk through the dotted paths of all keys."""
    for key, part in schema.get("properties", {}).items():
        yield above + key
        yield from _paths(part, f"{above}{key}.")


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, list):
        text = f"[{', '.join(_shown(item) for item in value)}]"
    elif isinstance(value, float):
        text = f"{value:.12g}"
    else:
        text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _expected(schema: Schema, unit: str) -> str:
    words = ["null" if word is None else str(word) for word in _words(schema)]
    if words:
        return f"the word {words[0]}" if len(words) == 1 else f"one of {', '.join(words)}"
    match schema.get("type"):
        case "number" | "integer" as kind:
            return ("a number" if kind == "number" else "a whole number") + _range(schema) + unit
        case "boolean":
            return "true or false"
        case "array":
            least, most = schema.get("minItems"), schema.get("maxItems")
            limits = [f"{least} entries"] if least and least == most else []
            limits += ["not empty"] if least and not limits else []
            limits += ["no repeats"] if schema.get("uniqueItems") else []
            suffix = f" ({', '.join(limits)})" if limits else ""
            return f"a list{suffix}, each entry {expectation(schema['items'])}"
        case "object":
            return f"a section with the keys {', '.join(schema['properties'])}"
        case "null":
            return "null"
        case _:
            return schema.get("x-form", "text")


def _range(schema: Schema) -> str:
    if "minimum" in schema and "maximum" in schema:
        return f" from {schema['minimum']} to {schema['maximum']}"
    words = {
        "minimum": "of at least",
        "exclusiveMinimum": "above",
        "maximum": "of at most",
        "exclusiveMaximum": "below",
    }
    parts = [f" {word} {schema[key]}" for key, word in words.items() if key in schema]
    return " and".join(parts)
