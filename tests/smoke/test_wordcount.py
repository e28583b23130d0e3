"""The example `wordcount`: words are counted once, wherever the text is cut."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools import ROOT, snakemake

CURLY = "\u2019"
APOSTROPHES = f"'{CURLY}"
EXAMPLE = ROOT / "examples/wordcount"
sys.path.insert(0, str(EXAMPLE / "scripts"))

import words as example  # noqa: E402


def plainly(text: str) -> Counter[str]:
    """Count words character by character, without a pattern."""
    found, word = Counter(), ""
    for here, after in itertools.pairwise(f"{text}  "):
        if here.isalnum() or (here in APOSTROPHES and word and after.isalnum()):
            word += "'" if here == CURLY else here
        elif word:
            found[word.casefold()] += 1
            word = ""
    return found


def table(text: str) -> bytes:
    rows = sorted(plainly(text).items(), key=lambda item: (-item[1], item[0]))
    return "".join(f"{word}\t{count}\n" for word, count in [("word", "count"), *rows]).encode()


def count(folder: Path, parts: int, text: str = "text.txt") -> subprocess.CompletedProcess[str]:
    return snakemake(
        *(folder, "--config", f"parts={parts}", f"text={text}"),
        snakefile=EXAMPLE / "Snakefile",
    )


@pytest.mark.parametrize("parts", [1, 3, 7])
def test_any_number_of_parts_counts_what_the_whole_text_holds(tmp_path: Path, parts: int) -> None:
    text = (EXAMPLE / "text.txt").read_bytes()
    (tmp_path / "text.txt").write_bytes(text)
    run = count(tmp_path, parts)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "results/counts.tsv").read_bytes() == table(text.decode())
    assert not [path for path in tmp_path.glob("work/**/*") if path.is_file()]


def test_a_folder_is_one_text_whose_files_are_cut_apart(tmp_path: Path) -> None:
    """With more parts than words, so that some are empty, and with an empty file."""
    texts = {"b.txt": "и't", "a.txt": "Don\u2019t stop", "c.txt": "", "d.txt": "don't STOP straße"}
    (tmp_path / "texts").mkdir()
    for name, text in texts.items():
        (tmp_path / "texts" / name).write_text(text, "utf-8")
    run = count(tmp_path, 6, "texts")
    assert run.returncode == 0, run.stderr
    found = (tmp_path / "results/counts.tsv").read_text("utf-8")
    assert found == "word\tcount\ndon't\t2\nstop\t2\nstrasse\t1\nи't\t1\n"


def test_a_text_that_is_not_utf8_is_told_by_its_byte(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes("Grüße ".encode() * 9 + "Grüße".encode("latin-1"))
    run = count(tmp_path, 3)
    assert run.returncode != 0
    told = "text.txt: byte 75: is not UTF-8; save the text in UTF-8."
    assert told in run.stderr.splitlines()
    assert (tmp_path / "logs/split.log").read_text() == f"{told}\n"
    assert not [path for path in tmp_path.glob("work/**/*") if path.is_file()]
    assert not (tmp_path / "results/counts.tsv").exists()


def test_an_empty_text_has_an_empty_table(tmp_path: Path) -> None:
    (tmp_path / "text.txt").touch()
    run = count(tmp_path, 2)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "results/counts.tsv").read_bytes() == b"word\tcount\n"


def test_a_missing_text_is_told(tmp_path: Path) -> None:
    run = count(tmp_path, 2, "other.txt")
    assert run.returncode != 0
    assert "other.txt: there is no such file or folder; name a text in config.yaml." in run.stderr
    assert "Traceback" not in run.stderr


TEXTS = st.text(st.sampled_from("aZ9é\u2018\u2019'_ß \n.ψ𝔘漢")) | st.text()


@given(TEXTS, st.integers(1, 9), st.integers(1, 9))
def test_parts_are_the_text_and_no_word_lies_in_two(text: str, parts: int, step: int) -> None:
    blocks = [text[at : at + step] for at in range(0, len(text), step)]
    pieces = [""] * parts
    for number, piece in example.split(blocks, len(text.encode()), parts):
        pieces[number] += piece
    assert "".join(pieces) == text
    counts = sum((Counter(example.words(piece)) for piece in pieces), Counter())
    assert counts == plainly(text)


def test_parts_are_about_as_long() -> None:
    text = "мозаика mosaic ψηφιδωτό " * 1000
    lengths = Counter()
    for number, piece in example.split([text[:7], text[7:]], len(text.encode()), 8):
        lengths[number] += len(piece.encode())
    assert max(lengths.values()) - min(lengths.values()) <= 2 * len("ψηφιδωτό ".encode())


@given(TEXTS, st.integers(1, 5))
def test_texts_are_read_whole_whatever_is_read_at_a_time(text: str, block: int) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder, "text.txt")
        file.write_bytes(text.encode())
        assert "".join(example.read([file, file], block)) == f"{text}\n{text}"
