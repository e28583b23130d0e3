"""The code digest follows names through the library, and does not see comments."""

from pathlib import Path

import pytest

from tessera.digest import code_digest

LIBRARY = {
    "tessera/__init__.py": "",
    "tessera/first.py": (
        "from tessera.second import helper\n"
        "LIMIT = 3\n"
        "def used():\n    '''Old words.'''\n    return helper() + LIMIT\n"
        "def unused():\n    return 1\n"
    ),
    "tessera/second.py": (
        "from tessera import third\n"
        "def helper():\n    return third.deep()\n"
        "def other():\n    return 2\n"
    ),
    "tessera/third.py": "def deep():\n    return 5\ndef shallow():\n    return 6\n",
}
SCRIPT = "from tessera.first import used\nprint(used())\n"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    for name, text in LIBRARY.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


def digest(library: Path) -> str:
    from tessera import digest as module

    module._library_module.cache_clear()
    return code_digest(library / "script.py", library)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("tessera/first.py", "LIMIT = 3", "LIMIT = 4"),
        ("tessera/first.py", "helper() + LIMIT", "helper() - LIMIT"),
        ("tessera/second.py", "third.deep()", "third.deep() * 2"),
        ("tessera/third.py", "return 5", "return 7"),
        ("tessera/third.py", "def deep", "import os\nos.umask(0)\ndef deep"),
        ("script.py", "print(used())", "print(used(), 1)"),
    ],
)
def test_a_change_that_is_reached_changes_the_digest(
    library: Path, file: str, old: str, new: str
) -> None:
    before = digest(library)
    path = library / file
    path.write_text(path.read_text().replace(old, new))
    assert digest(library) != before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("tessera/first.py", "Old words.", "New words."),
        ("tessera/first.py", "return helper() + LIMIT", "return (helper()   # why\n      + LIMIT)"),
        ("tessera/first.py", "return 1", "return 100"),
        ("tessera/second.py", "return 2", "return 200"),
        ("tessera/third.py", "return 6", "return 600"),
        ("script.py", "print(used())", "# a comment\n\nprint( used() )"),
    ],
)
def test_a_change_that_does_not_matter_leaves_the_digest(
    library: Path, file: str, old: str, new: str
) -> None:
    before = digest(library)
    path = library / file
    path.write_text(path.read_text().replace(old, new))
    assert digest(library) == before


def test_a_module_that_is_passed_on_counts_as_a_whole(library: Path) -> None:
    (library / "script.py").write_text("from tessera import third\nprint(vars(third))\n")
    before = digest(library)
    path = library / "tessera/third.py"
    path.write_text(path.read_text().replace("return 6", "return 600"))
    assert digest(library) != before


def test_the_place_of_the_library_does_not_matter(library: Path, tmp_path: Path) -> None:
    import shutil

    moved = tmp_path / "elsewhere"
    shutil.copytree(library, moved, ignore=lambda *_: ["elsewhere"])
    assert code_digest(moved / "script.py", moved) == digest(library)
