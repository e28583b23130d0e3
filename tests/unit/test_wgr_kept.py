"""What is kept from run to run: the same bytes with it, without it, and with a damaged one."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from ridges import genotypes
from tessera.genotypes import find_fileset, write_bed
from tessera.wgr.gram import Block
from tessera.wgr.kept import Shelf
from tessera.wgr.plan import kept_always, kept_factors
from tessera.wgr.steps import level0_block
from tessera.wgr.study import Study
from tessera.wgr.sums import RawGrams, fingerprints, folded, unfolded
from tools import ROOT

pytestmark = pytest.mark.usefixtures("one_thread")

N, B = 300, 21
GRID = [0.01, 0.5, 0.99]


def tables():
    """Names of N people and B variants."""
    import pandas as pd

    names = [f"P{i}" for i in range(N)]
    people = pd.DataFrame({"fid": names, "iid": names})
    ids = [f"rs{k}" for k in range(2 * B)]
    variants = pd.DataFrame({"id": ids, "chr": "1", "pos": np.arange(1, 2 * B + 1)})
    return people, variants.assign(a1="A", a2="G")


def write_genotypes(folder, g):
    people, variants = tables()
    people = people.iloc[: g.shape[1]]
    write_bed(folder / "g", [np.where(np.isnan(g), -1, g).astype(np.int8)], people, variants)


class Runs:
    """Runs of one block, each with the shelf that the one before left and beside one without."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        self.folder = folder
        self.g = genotypes(rng, 2 * B, N, 0.02)
        write_genotypes(folder, self.g)
        self.values = rng.normal(size=(20, N))
        self.covariates = rng.normal(size=(N, 2))
        self.settings = {"convention": "v4", "folds": 5, "h2_grid": GRID}
        self.rows = np.arange(N)
        self.study = self.of(range(10), self.rows)
        self.first, self.room, self.maker = 0, 1e9, "code"

    def of(self, traits, rows, binary=False):
        values = self.values[list(traits)][:, rows]
        return Study(
            tuple(f"p{i}" for i in rows),
            tuple(f"t{i}" for i in traits),
            binary,
            values,
            self.covariates[rows],
            (np.asarray(rows),),
            {},
        )

    def predict(self, shelf):
        kept = np.arange(self.first, 2 * B)
        np.savez(self.folder / "v.npz", kept=kept, chromosomes=np.ones(len(kept), int))
        place = self.folder / "out.npy"
        filesets = [find_fileset(str(self.folder / "g"))]
        variants = str(self.folder / "v.npz")
        level0_block(place, filesets, self.study, variants, [1, 0], B, self.settings, shelf)
        return place.read_bytes()

    @property
    def shelf(self) -> Path:
        return self.folder / "sums"

    def go(self) -> dict[str, str]:
        """Run with and without; return of each kind of file what was said of it."""
        shelf = Shelf(self.shelf, self.maker, self.room)
        assert self.predict(shelf) == self.predict(None)
        assert not list(self.shelf.glob(".tmp-*"))
        said = [note.split(": ", 1) for note in shelf.notes]
        return {name.split("-")[0].rstrip("0123456789"): what for name, what in said}


TAKEN = "taken from the last run."


@pytest.fixture
def runs(tmp_path):
    found = Runs(tmp_path)
    assert set(found.go().values()) == {"nothing kept."}
    return found


def test_the_same_again_takes_all_from_the_last_run(runs):
    before = {path.name: path.stat().st_mtime_ns for path in runs.shelf.iterdir()}
    assert len(before) == 3
    assert runs.go() == {"solutions": TAKEN}
    assert {path.name: path.stat().st_mtime_ns for path in runs.shelf.iterdir()} == before


@pytest.mark.parametrize(
    "traits", [range(11), range(20), range(12, 3, -1), [12], [3], [19, 0, 18], range(8)]
)
def test_other_traits_take_sums_and_factors(runs, traits):
    runs.study = runs.of(traits, runs.rows)
    said = runs.go()
    new = set(traits) - set(range(10))
    assert said == {"solutions": TAKEN} | ({"factors": TAKEN} if new else {})
    # And back, with what the last run left.
    runs.study = runs.of(range(10), runs.rows)
    assert "sums" not in runs.go()


@pytest.mark.parametrize("gone", [[0, 17], [299], list(range(100, 104)), [59, 60, 61]])
def test_people_who_come_and_go_are_added_and_taken_off(runs, gone):
    """At the start, in the middle, at the end, at the border of a fold; read again when gone."""
    runs.study = runs.of(range(10), np.delete(runs.rows, gone))
    said = runs.go()
    assert said["sums"] == TAKEN
    assert said["factors"] == said["solutions"] == "nothing kept."
    runs.study = runs.of(range(10), runs.rows)
    assert runs.go()["sums"] == TAKEN


def test_people_of_other_files_are_known_by_their_genotypes(runs):
    """Three more people in the file, one gone from it, one with another genotype."""
    rng = np.random.default_rng(7)
    g = np.delete(runs.g, 200, axis=1)
    g[3, 40] = 1 if g[3, 40] != 1 else 2
    g = np.insert(g, [10, 150, 299], genotypes(rng, 2 * B, 3, 0.02)[:, :3], axis=1)
    write_genotypes(runs.folder, g[:, :N])
    assert runs.go()["sums"] == TAKEN


def test_traits_that_some_people_lack(runs):
    runs.values[11, ::9] = np.nan
    runs.values[12, :100] = np.nan
    runs.values[13, 5:] = np.nan
    runs.study = runs.of(range(14), runs.rows)
    runs.go()
    assert len(list(runs.shelf.glob("factors-*"))) == 4
    assert set(runs.go().values()) == {TAKEN}
    runs.study = runs.of([12, 11], runs.rows)
    assert set(runs.go().values()) == {TAKEN}
    assert len(list(runs.shelf.glob("factors-*"))) == 2


@pytest.mark.parametrize(
    "change", [{"convention": "v1"}, {"h2_grid": [0.2, 0.3]}, {"folds": 4}, {"folds": "loocv"}]
)
def test_other_settings_take_what_does_not_depend_on_them(runs, change):
    runs.settings |= change
    assert runs.go().get("sums") == ("nothing kept." if "folds" in change else TAKEN)
    assert "made anew" not in str(runs.go())


def test_other_covariates_take_the_sums(runs):
    runs.study = replace(runs.study, covariates=runs.study.covariates[:, :1])
    assert runs.go()["sums"] == TAKEN


def test_other_variants_take_nothing(runs):
    runs.first = 1
    said = runs.go()
    assert said["factors"] == said["solutions"] == "nothing kept."
    assert runs.go() == {"solutions": TAKEN}


def test_other_code_takes_nothing(runs):
    runs.maker = "other code"
    assert all("other data, settings or code" in what for what in runs.go().values())
    assert runs.go() == {"solutions": TAKEN}


def test_dosages_keep_nothing(runs):
    """Their sums are not exact, so that another route would be other bytes."""
    block = Block.of(np.full((3, 9), 0.5, np.float32))
    assert not block.whole
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tessera.wgr.steps.read_at", lambda *_: np.full((B, N), 0.5, np.float32))
        shelf = Shelf(runs.shelf, "code")
        assert runs.predict(shelf) == runs.predict(None)
    assert not list(runs.shelf.iterdir())
    assert "no whole numbers" in shelf.notes[0]


def test_what_there_is_no_room_for_is_not_kept(runs):
    shutil.rmtree(runs.shelf)
    runs.room = 1e-3 + kept_always(B, 5, 3, 10, 2)
    runs.go()
    assert {path.name.split("-")[0] for path in runs.shelf.iterdir()} == {"solutions", "sums5.kept"}
    runs.study = runs.of(range(11), runs.rows)
    assert runs.go() == {"solutions": TAKEN, "sums": TAKEN}


def test_files_are_as_large_as_foretold(runs):
    sizes = {path.name.split("-")[0]: path.stat().st_size for path in runs.shelf.iterdir()}
    overhead = 64 * 40 + 4000
    assert 0 < sizes["factors"] - kept_factors(B, 5, 3) < overhead
    rest = sizes["solutions"] + sizes["sums5.kept"]
    assert 0 < rest - kept_always(B, 5, 3, 10, 2) + 64 * 8 * B < overhead + 4 * 8 * N + 8 * B * 6


def damaged(path, how):
    raw = bytearray(path.read_bytes())
    if how == "short":
        raw = raw[: len(raw) // 2]
    elif how == "empty":
        raw = bytearray()
    elif how == "garbage":
        raw = bytearray(np.random.default_rng(0).bytes(len(raw)))
    elif how == "one bit":
        raw[len(raw) // 3 // 64 * 64 + 2] ^= 16
    elif how == "no end":
        raw = raw[:-1]
    path.write_bytes(raw)


@pytest.mark.parametrize("how", ["short", "empty", "garbage", "one bit", "no end"])
@pytest.mark.parametrize("kind", ["sums", "factors", "solutions"])
def test_a_damaged_file_is_told_and_made_anew(runs, kind, how):
    (path,) = runs.shelf.glob(f"{kind}*")
    damaged(path, how)
    if kind == "sums":
        runs.study = runs.of(range(10), np.delete(runs.rows, [7]))
    if kind == "factors":
        runs.study = runs.of(range(11), runs.rows)
    assert "is damaged" in runs.go()[kind]
    assert "is damaged" not in str(runs.go())


def test_a_file_is_whole_or_not_there(tmp_path):
    """Killed in the middle of writing: the old one stays, and the next run clears up."""
    shelf = Shelf(tmp_path, "code")
    with shelf.put("a", "x") as add:
        add("one", np.arange(5.0))
    program = (
        "import os, signal, sys\nimport numpy as np\nfrom tessera.wgr.kept import Shelf\n"
        "with Shelf(sys.argv[1], 'code').put('a', 'x') as add:\n"
        "    add('one', np.ones(10**6))\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "scripts")},
        check=False,
    )
    assert run.returncode == -signal.SIGKILL
    np.testing.assert_array_equal(shelf.get("a", "x")["one"], np.arange(5.0))
    with pytest.raises(ZeroDivisionError), shelf.put("a", "x") as add:
        add("one", np.ones(3))
        _ = 1 / 0
    np.testing.assert_array_equal(shelf.get("a", "x")["one"], np.arange(5.0))
    with shelf.put("a", "x") as add:
        add("one", np.zeros((2, 0), np.float32))
        add("two", np.array([b"ab", b"c"]))
    again = shelf.get("a", "x")
    assert again["one"].shape == (2, 0)
    assert again["two"].tolist() == [b"ab", b"c"]
    assert not list(tmp_path.glob(".tmp-*"))


@how(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 70), st.integers(2, 60))
def test_fingerprints_tell_people_apart_by_any_genotype(seed, variants, people):
    rng = np.random.default_rng(seed)
    g = rng.integers(0, 4, (variants, people)).astype(np.float32)
    g[g == 3] = np.nan
    g[:, -1] = g[:, 0]
    found = fingerprints(Block.of(g.copy()))
    same = [[np.array_equal(a, b, equal_nan=True) for a in g.T] for b in g.T]
    np.testing.assert_array_equal(found[:, None] == found, same)


@pytest.mark.parametrize("size", [1, 2, 31, 32, 33, 100])
def test_triangles_are_folded_and_unfolded(size):
    rng = np.random.default_rng(size)
    whole = rng.integers(0, 5, (size, 40)).astype(np.float32)
    gram = whole @ whole.T
    for many, kind in ((1, np.uint16), (10**4, np.uint32)):
        packed = folded(gram * np.float32(many), whole=True)
        assert packed.dtype == (kind if size > 1 or many > 1 else np.uint16)
        np.testing.assert_array_equal(unfolded(packed, size, single=True), gram * many)
    double = rng.normal(size=(size, size))
    double = double + double.T
    np.testing.assert_array_equal(unfolded(folded(double), size), double)


def test_sums_survive_a_reader_that_finds_nobody(tmp_path):
    """Who went is no longer in the files: the fold is made anew."""
    rng = np.random.default_rng(1)
    g = genotypes(rng, 6, 100, 0.02)
    for people in (np.arange(100), np.arange(1, 100)):
        block = Block.of(g[:, people].copy())
        shelf = Shelf(tmp_path, "code")

        def reader(rows):
            raise ValueError(rows)

        raw = RawGrams(block, fingerprints(block), shelf, people[None], reader)
        for fold, (a, b) in enumerate(raw._edges(4)):
            expected = block.counts[:, a:b] @ block.counts[:, a:b].T
            np.testing.assert_array_equal(raw.of(np.arange(a, b), fold, 4), expected)
        raw.keep()
