"""Fixtures that unit tests of several modules share."""

import pytest


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write texts to files of the working directory: ``write(p="...")`` makes p.txt."""
    monkeypatch.chdir(tmp_path)

    def write_to(**files):
        for name, text in files.items():
            (tmp_path / f"{name}.txt").write_text(text)

    return write_to
