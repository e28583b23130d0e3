"""Fixtures that unit tests of several modules share."""

import pytest

import services


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write texts to files of the working directory: ``write(p="...")`` makes p.txt."""
    monkeypatch.chdir(tmp_path)

    def write_to(**files):
        for name, text in files.items():
            (tmp_path / f"{name}.txt").write_text(text)

    return write_to


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory):
    """Versions of `services.make_store`, to be read only."""
    return services.make_store(tmp_path_factory.mktemp("service"))


@pytest.fixture(scope="module")
def server(shared_store):
    with services.served(shared_store) as running:
        yield running


@pytest.fixture(scope="module")
def get(server):
    """Ask for something that there is."""

    def ask(path):
        answer = server.get(path)
        assert answer.status == 200, answer.body
        assert answer.headers["content-type"] == "application/json"
        return answer.json

    return ask
