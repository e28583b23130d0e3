"""The declarative layer keeps its own rules: policy, environments, profiles, completeness."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
import yaml

from tools import ROOT, plan

ORDER = (
    *("input", "output", "log", "benchmark", "threads", "resources", "params", "conda", "script"),
)
PROFILES = sorted(path.parent.name for path in ROOT.glob("profiles/*/profile.yaml"))
WORDS = tuple(yaml.safe_load((ROOT / "config.yaml").read_text())["pipelines"])
TARGET_RULES = {"all", "toy", *WORDS}


def rule_blocks() -> dict[str, str]:
    """Name to text of every rule in the sources."""
    blocks = {}
    for file in [ROOT / "Snakefile", *sorted(ROOT.glob("rules/*.smk"))]:
        parts = re.split(r"^rule (\w+):\n", file.read_text(encoding="utf-8"), flags=re.M)
        blocks.update(zip(parts[1::2], parts[2::2], strict=True))
    return blocks


BLOCKS = rule_blocks()


@pytest.fixture(scope="module")
def rules(toy: Path) -> dict:
    return plan(toy).rules


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_every_rule_says_what_it_is_for(name: str) -> None:
    assert re.match(r'    """[A-Z]', BLOCKS[name]), "no docstring"


@pytest.mark.parametrize("name", sorted(set(BLOCKS) - TARGET_RULES))
def test_every_rule_declares_all_of_it_in_order(name: str) -> None:
    keys = [key for key in re.findall(r"^    (\w+):", BLOCKS[name], flags=re.M) if key in ORDER]
    assert keys == [key for key in ORDER if key in keys]
    optional = {"input"} if name.startswith("toy") else set()
    assert set(ORDER) - set(keys) <= optional


def test_rules_are_complete_when_loaded(rules: dict) -> None:
    assert set(rules) == set(BLOCKS)
    for name in set(rules) - TARGET_RULES:
        rule = rules[name]
        for io in (rule.output, rule.input):
            unnamed = len(io) - len(set(dict(io._get_names())))
            assert unnamed <= 0 or name == "neuro_check", f"{name} has unnamed files"
        assert {"mem_mb", "runtime"} <= set(rule.resources), name
        assert str(rule.benchmark).endswith(".jsonl"), name
        assert "code" in dict(rule.params.items()), name


def test_no_construct_that_the_design_rules_out() -> None:
    text = "\n".join(p.read_text() for p in [ROOT / "Snakefile", *ROOT.glob("rules/*.smk")])
    assert not re.findall(r"^\s+(?:run|shadow):|^checkpoint |import pandas", text, flags=re.M)


@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_name_rules_that_exist(profile: str) -> None:
    content = yaml.safe_load((ROOT / "profiles" / profile / "profile.yaml").read_text())
    named = {
        rule
        for key in ("set-threads", "set-resources", "groups", "consider-ancient", "set-scatter")
        for rule in content.get(key, {})
    }
    assert named <= set(BLOCKS), f"no such rule: {named - set(BLOCKS)}"


def test_default_profile_takes_nothing_from_a_named_one() -> None:
    """Keys of the workflow profile win over those of --profile, so they must not meet."""
    load = {p: yaml.safe_load((ROOT / f"profiles/{p}/profile.yaml").read_text()) for p in PROFILES}
    default = set(load.pop("default"))
    for name, content in load.items():
        assert not default & set(content), name


def test_the_library_list_is_complete() -> None:
    text = (ROOT / "rules/common.smk").read_text()
    source = text[text.index("LIBRARY = ") : text.index("]  # fmt: skip") + 1]
    listed = set(eval(source.removeprefix("LIBRARY = ")))  # our own list, from our own file
    there = {str(p.relative_to(ROOT)) for p in ROOT.glob("schemas/*.yaml")}
    there |= {str(p.relative_to(ROOT)) for p in ROOT.glob("scripts/tessera/**/*.py")}
    assert listed == there


PACKAGES = {"PIL": "pillow", "skimage": "scikit-image", "yaml": "pyyaml", "jinja2": "jinja2"}


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
    outside = found - set(sys.stdlib_module_names) - {"tessera"}
    return {PACKAGES.get(name, name) for name in outside}


def library_closure(path: Path, seen: set[Path]) -> set[Path]:
    if path in seen:
        return seen
    seen.add(path)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tessera"):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            for name in names:
                file = ROOT / "scripts" / f"{name.replace('.', '/')}.py"
                if file.exists():
                    library_closure(file, seen)
    return seen


def environment(path: Path) -> set[str]:
    """Names of the packages of a conda environment, those that pip installs among them."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
    by_pip = [name for entry in entries if isinstance(entry, dict) for name in entry["pip"]]
    entries = [entry for entry in entries if isinstance(entry, str)]
    names = {re.split(r"[ =<>]", entry)[0] for entry in entries + by_pip}
    # Other names than on PyPI: matplotlib-base, python-duckdb.
    names = {name.removesuffix("-base").removeprefix("python-") for name in names}
    assert ("pip" in names) == bool(by_pip), path
    return names - {"python", "pip"}


@pytest.mark.parametrize(
    "script",
    sorted(path for word in (*WORDS, "toy") for path in ROOT.glob(f"scripts/{word}/*.py")),
    ids=lambda p: p.stem,
)
def test_every_import_is_in_the_environment(script: Path) -> None:
    name = script.stem.split("_")[script.parent.name == "toy"]
    packages = environment(ROOT / f"envs/{name}.yaml")
    needed = set().union(*(imported(p) for p in library_closure(script, set())))
    assert needed <= packages, f"envs/{name}.yaml lacks {needed - packages}"


def test_requirements_cover_the_environments() -> None:
    wanted = set().union(*map(environment, ROOT.glob("envs/*.yaml")))
    listed = set(re.findall(r"^([A-Za-z][\w.-]*)", (ROOT / "requirements.in").read_text(), re.M))
    assert wanted <= {name.lower() for name in listed}


def test_the_lock_is_hashed_and_names_no_host() -> None:
    text = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^([a-z0-9][\w.-]*)==", text, re.M)
    assert len(pins) > 50
    assert text.count("--hash=sha256:") >= len(pins)
    assert "://" not in text
    assert "index" not in text.replace("importlib", "")


def test_the_version_is_told_alike_everywhere() -> None:
    places = {
        "pyproject.toml": r'^version = "(.+)"',
        "rules/common.smk": r'^VERSION = "(.+)"',
        "CITATION.cff": r"^version: (.+)",
        "CHANGELOG.md": r"^## (\S+)",
    }
    told = {
        re.findall(pattern, (ROOT / name).read_text(), re.M)[0] for name, pattern in places.items()
    }
    assert len(told) == 1, told


def test_arrows_run_one_way() -> None:
    """A pipeline's folder imports shared modules, never another pipeline's; none know Snakemake."""
    for file in ROOT.glob("scripts/tessera/**/*.py"):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"^\s*(?:import|from) snakemake", text, re.M), file
        word = file.relative_to(ROOT / "scripts/tessera").parts[0]
        for other in re.findall(r"from tessera\.(\w+)\.?", text):
            folder = (ROOT / "scripts/tessera" / other).is_dir()
            assert not folder or other == word, f"{file} imports from {other}"


def test_scripts_are_thin() -> None:
    for file in ROOT.glob("scripts/[!t]*/*.py"):
        lines = [line for line in file.read_text().splitlines() if line.strip()]
        assert len(lines) <= 45, f"{file.name} has {len(lines)} lines"
