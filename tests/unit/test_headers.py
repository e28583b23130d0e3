"""Headers are read once, and again when the file changed."""

from pathlib import Path

from tessera.headers import cached_headers

reads: list[str] = []


def length(path: str) -> int:
    reads.append(path)
    return Path(path).stat().st_size


def test_a_header_is_read_again_only_after_a_change(tmp_path: Path) -> None:
    file, cache = tmp_path / "a", tmp_path / "cache.json"
    file.write_text("one")
    reads.clear()
    for _ in range(3):
        assert cached_headers([str(file)], length, cache=cache) == {str(file): 3}
    assert len(reads) == 1
    file.write_text("three")
    assert cached_headers([str(file)], length, cache=cache) == {str(file): 5}
    assert len(reads) == 2


def test_a_missing_file_is_left_out(tmp_path: Path) -> None:
    assert cached_headers([str(tmp_path / "no")], length, cache=tmp_path / "c") == {}


def test_a_broken_or_unwritable_cache_is_done_without(tmp_path: Path) -> None:
    file, cache = tmp_path / "a", tmp_path / "cache.json"
    file.write_text("one")
    cache.write_text("{ not json")
    assert cached_headers([str(file)], length, cache=cache) == {str(file): 3}
    assert cached_headers([str(file)], length, cache=file / "below") == {str(file): 3}
