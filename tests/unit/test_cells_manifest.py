import json
import os
import shutil
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from tessera.cells.manifest import (
    MANIFEST,
    check_manifest,
    parse_facts,
    parse_manifest,
    write_manifest,
)
from versions import make_version


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    return folder / "a", make_version(folder / "a", 1)


@pytest.fixture
def copy(made, tmp_path):
    return Path(shutil.copytree(made[0], tmp_path / "copy"))


def test_it_lists_every_file_with_bytes_digest_and_rows(made):
    folder, version = made
    manifest = json.loads((folder / MANIFEST).read_text())
    files = {entry["path"]: entry for entry in manifest["files"]}
    paths = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    assert files.keys() == paths.keys() - {MANIFEST}
    assert list(files) == sorted(files, key=lambda name: Path(name).parts)
    assert {entry["bytes"] == paths[name].stat().st_size for name, entry in files.items()} == {True}
    assert files["cells.parquet"]["rows"] == 60
    assert files["views/cell_type/stats.parquet"]["rows"] == 9 * 3
    assert "rows" not in files["gene_index.npy"]
    assert manifest["version"] == version
    assert uuid.UUID(version).version == 5
    assert check_manifest(folder) == []


def test_digests_are_those_of_sha256sum(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    write_manifest(tmp_path, {})
    [entry] = json.loads((tmp_path / MANIFEST).read_text())["files"]
    assert entry == {
        "path": "x",
        "bytes": 3,
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    }


def test_the_version_follows_from_content_and_facts_alone(made, copy):
    folder, version = made
    facts = parse_facts((copy / MANIFEST).read_bytes())
    del facts["version"]
    os.utime(copy / "cells.parquet", (0, 0))
    assert write_manifest(copy, facts) == version
    assert (copy / MANIFEST).read_bytes() == (folder / MANIFEST).read_bytes()
    assert write_manifest(copy, {**facts, "cells": 61}) != version
    assert write_manifest(copy, dict(reversed(facts.items()))) != version
    (copy / "cells.parquet").rename(copy / "cell.parquet")
    assert write_manifest(copy, facts) != version


def test_what_differs_is_told(copy):
    (copy / "genes.parquet").unlink()
    (copy / "extra").write_text("x")
    size = (copy / "cells.parquet").stat().st_size
    with (copy / "cells.parquet").open("ab") as stream:
        stream.write(b"x")
    with (copy / "gene_index.npy").open("r+b") as stream:
        stream.seek(200)
        stream.write(b"\xff")
    assert check_manifest(copy) == [
        "genes.parquet is missing",
        f"cells.parquet has {size + 1} bytes instead of {size}",
        "extra is not in manifest.json",
        "gene_index.npy has other content than it had",
    ]


def test_a_manifest_that_was_changed_is_not_that_of_its_version(copy):
    text = (copy / MANIFEST).read_text()
    for changed in (
        text.replace('"cells": 60', '"cells": 61'),
        "{}",
        "[]",
        "x",
        "",
        '{"files": 1}',
    ):
        (copy / MANIFEST).write_text(changed)
        assert check_manifest(copy) == ["manifest.json is damaged"]
        with pytest.raises(ValueError):  # noqa: PT011
            parse_manifest(changed.encode())
    (copy / MANIFEST).unlink()
    assert check_manifest(copy) == ["manifest.json is missing"]


def test_links_are_refused(copy):
    (copy / "views" / "link").symlink_to("/etc")
    assert check_manifest(copy) == ["views/link is no plain file"]
    with pytest.raises(ValueError, match=r"^views/link is no plain file$"):
        write_manifest(copy, {})
    (copy / "views" / "link").unlink()
    os.mkfifo(copy / "pipe")
    assert check_manifest(copy) == ["pipe is no plain file"]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
KEYS = TEXTS.filter(lambda key: key not in ("version", "files"))
FACTS = st.dictionaries(KEYS, VALUES, max_size=5)


@how(max_examples=50, deadline=None)
@given(FACTS)
def test_any_facts_are_read_as_they_were_written(tmp_path_factory, facts):
    folder = tmp_path_factory.mktemp("m")
    (folder / 'files": [').write_text("x")
    version = write_manifest(folder, facts)
    content = (folder / MANIFEST).read_bytes()
    assert parse_facts(content) == {"version": version, **facts}
    assert {k: v for k, v in parse_manifest(content).items() if k != "files"} == parse_facts(
        content
    )
    assert check_manifest(folder) == []
