"""Digest of the code that a script really uses: itself and every definition it reaches.

Snakemake sees that a script file changed, but not the library behind it. The digest closes the
gap: starting from the script, every top-level definition of the library that is reachable by
name goes in, as its syntax tree without docstrings. So a changed function reruns the jobs that
can reach it, and a changed comment, docstring or line break reruns none.

What is reached is found from the source alone: ``from tessera.x import f``, and ``x.f`` after
``from tessera import x``, lead to ``f`` of that module, a name to the definitions it uses in turn.
A module that is used in any other way (passed on as a value, say) counts as a whole.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

PACKAGE = "tessera"
WHOLE = "*"


@dataclass
class _Module:
    """Top-level definitions of one file, what its names import, and its bare statements.

    Also what was found out about its definitions: their text, and what they use in turn.
    """

    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)
    statements: list[ast.stmt] = field(default_factory=list)
    known: dict[str, tuple[str, list[tuple[str, str]]]] = field(default_factory=dict)


class _DropDocstrings(ast.NodeTransformer):
    def _strip(self, node: ast.AST) -> ast.AST:
        self.generic_visit(node)
        body = getattr(node, "body", [])
        if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            node.body = body[1:]  # type: ignore[attr-defined]
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_Module = _strip


def _locate(root: Path, dotted: str) -> Path | None:
    base = root.joinpath(*dotted.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def _imports(root: Path, node: ast.stmt) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield (local name, (module, definition or WHOLE)) of an import from the library."""
    if isinstance(node, ast.ImportFrom) and not node.level and node.module:
        if node.module.split(".")[0] == PACKAGE:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                is_module = _locate(root, submodule) is not None
                target = (submodule, WHOLE) if is_module else (node.module, alias.name)
                yield alias.asname or alias.name, target
    elif isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.split(".")[0] == PACKAGE:
                if not alias.asname:
                    raise ValueError(f"write `from {PACKAGE} import ...` for {alias.name}")
                yield alias.asname, (alias.name, WHOLE)


def _bound_names(node: ast.stmt) -> list[str]:
    """Names that a top-level statement defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        return [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and _stored(n)]
    return []


def _stored(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)


def _parse(root: Path, source: str) -> _Module:
    module = _Module()
    for node in _DropDocstrings().visit(ast.parse(source)).body:
        # Imports inside functions are part of the function; their targets are found there.
        for inner in ast.walk(node):
            if isinstance(inner, ast.stmt):
                module.imports.update(_imports(root, inner))
        if isinstance(node, ast.Import | ast.ImportFrom):
            continue
        names = _bound_names(node)
        for name in names:
            module.definitions.setdefault(name, []).append(node)
        if not names:
            module.statements.append(node)
    return module


def _used(module: _Module, nodes: list[ast.stmt]) -> Iterator[tuple[str | None, str]]:
    """Yield (module or None for this one, definition) of everything that the nodes name."""
    for node in nodes:
        qualified = set()
        for part in ast.walk(node):
            if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
                target, what = module.imports.get(part.value.id, ("", ""))
                if what == WHOLE:
                    qualified.add(id(part.value))
                    yield target, part.attr
        for part in ast.walk(node):
            if isinstance(part, ast.Name) and id(part) not in qualified:
                if part.id in module.imports:
                    yield module.imports[part.id]
                elif part.id in module.definitions:
                    yield None, part.id


@cache
def _library_module(root: Path, dotted: str) -> _Module:
    path = _locate(root, dotted)
    return _parse(root, path.read_text(encoding="utf-8")) if path else _Module()


def _look_up(root: Path, dotted: str, name: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the text of a definition, and the module and name of what it uses."""
    module = _library_module(root, dotted)
    if name not in module.known:
        uses: list[tuple[str, str]] = []
        if name == WHOLE:
            uses += [(dotted, each) for each in module.definitions]
            uses += module.imports.values()
        elif name in module.imports and name not in module.definitions:
            uses.append(module.imports[name])
        nodes = module.definitions.get(name, []) + module.statements
        uses += [(target or dotted, used) for target, used in _used(module, nodes)]
        module.known[name] = "".join(ast.dump(node) for node in nodes), uses
    return module.known[name]


def code_digest(script: Path, root: Path) -> str:
    """Digest of a script and of all it reaches in the library.

    Parameters
    ----------
    script
        The script file.
    root
        The folder that holds the package ``tessera``.

    Returns
    -------
    str
        Sixteen hexadecimal digits; the same wherever the project lies.

    Raises
    ------
    ValueError
        If a module of the library is imported by its dotted name, which cannot be followed.
    SyntaxError
        If the script or a module of the library does not parse.
    """
    start = _parse(root, script.read_text(encoding="utf-8"))
    everything = [n for nodes in start.definitions.values() for n in nodes] + start.statements
    parts = {("", str(i)): ast.dump(node) for i, node in enumerate(everything)}
    todo = [(module, name) for module, name in _used(start, everything) if module]
    seen: set[tuple[str, str]] = set()
    while todo:
        item = todo.pop()
        if item in seen:
            continue
        seen.add(item)
        parts[item], uses = _look_up(root, *item)
        todo += uses
    text = "\n".join(f"{module}:{name}:{parts[module, name]}" for module, name in sorted(parts))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
