"""Blocks and chunks cover every variant once; memory, time and the forecast follow from sizes."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from tessera.filesets import Fileset
from tessera.wgr.plan import SETS, Plan
from tessera.wgr.prepare import block_name, block_places
from tessera.wgr.variants import chromosome_spans

SECTION = {
    "phenotypes": "p.tsv",
    "covariates": "c.tsv",
    "keep": None,
    "remove": None,
    "burden": None,
    "block_size": 1000,
    "chunk_size": "auto",
    "folds": 5,
    "h2_grid": [0.01, 0.25, 0.5, 0.75, 0.99],
    "trait_type": "qt",
    "test": "firth",
    "firth_p": 0.05,
    "keep_sums": True,
}
STEPS = ("prep", "level0", "level1", "merge")


def plan_of(runs=(("1", 500_000),), people=5000, traits=3, covariates=10, sets=None, **section):
    """A plan of runs of variants on one chromosome, in the order of the files."""
    edges = np.cumsum([0, *(many for _, many in runs)]).tolist()
    named = [(name, a, b) for (name, _), a, b in zip(runs, edges, edges[1:], strict=False)]
    spans, _ = chromosome_spans(named)
    fileset = Fileset("g", "bed", people, edges[-1])
    study = {
        "step1": [fileset], "step2": [fileset], "spans1": spans, "spans2": spans, "folders": {},
        "traits": [f"t{k}" for k in range(traits)], "people": people, "covariates": covariates,
        "sets": sets or {}, "vcfs": {},
    }  # fmt: skip
    return Plan({**SECTION, **section}, lambda: study), spans


def at(**wildcards):
    return SimpleNamespace(**wildcards)


runs = st.lists(
    st.tuples(st.sampled_from(["1", "2", "chr11", "22", "X", "MT"]), st.integers(1, 400)),
    min_size=1,
    max_size=8,
)


@how(max_examples=50, deadline=None)
@given(runs, st.integers(1, 500), st.integers(0, 10**6))
def test_blocks_cover_every_variant_once(several, size, seed):
    plan, spans = plan_of(several, block_size=size)
    owner = np.zeros(sum(many for _, many in several), int)
    for chromosome, own in spans.items():
        for a, b in own:
            owner[a:b] = chromosome
    # Some are left out by screening, which may leave the last block of a chromosome empty.
    dropped = np.random.default_rng(seed).random(len(owner)) < 0.3
    for kept in (np.flatnonzero(owner), np.flatnonzero((owner > 0) & ~dropped)):
        blocks = [block_places(kept, owner[kept], *block, size) for block in plan.blocks.values()]
        assert sorted(place for block in blocks for place in block) == kept.tolist()
        for (chromosome, _), block in zip(plan.blocks.values(), blocks, strict=True):
            assert len(block) <= size
            assert (owner[block] == chromosome).all()
    for name, (chromosome, number) in plan.blocks.items():
        assert name == block_name(chromosome, number)
        assert plan.block(at(block=name)) == [chromosome, number]
    assert plan.block_files("d")() == [f"d/{name}.npy" for name in plan.blocks]
    assert list(plan.blocks) == sorted(plan.blocks)


def assert_chunks(plan, spans):
    """All variants of all runs, each once, none across the edge of a run."""
    for chromosome, own in spans.items():
        pieces = sorted((a, b) for c, a, b in plan.chunks.values() if c == chromosome)
        for start, stop in own:
            inside = [piece for piece in pieces if start <= piece[0] < stop]
            assert inside[0][0] == start
            assert inside[-1][1] == stop
            assert all(one[1] == other[0] for one, other in itertools.pairwise(inside))
        assert sum(b - a for a, b in pieces) == sum(b - a for a, b in own)
    assert {c for c, *_ in plan.chunks.values()} == set(spans)


@how(max_examples=100, deadline=None)
@given(runs, st.integers(1, 500) | st.just("auto"))
def test_chunks_cover_every_variant_once_and_never_cross_chromosomes(several, size):
    plan, spans = plan_of(several, chunk_size=size)
    assert_chunks(plan, spans)
    if size != "auto":
        assert max((b - a for _, a, b in plan.chunks.values()), default=0) <= size
    for name, chunk in plan.chunks.items():
        assert plan.chunk(at(chunk=name)) == list(chunk)
        assert name.startswith(f"c{chunk[0]:02d}k")
        assert plan.burden_of_chunk("sets.json")(at(chunk=name)) == []
    assert plan.chunk_files("d")() == [f"d/{name}" for name in plan.chunks]


@pytest.mark.parametrize(
    ("people", "variants", "traits"),
    [(500, 3000, 1), (5000, 10**6, 50), (500_000, 10**7, 10), (500_000, 9 * 10**7, 100)],
)
@pytest.mark.parametrize("trait_type", ["qt", "bt"])
def test_automatic_chunks_are_worth_a_job_and_not_too_many(people, variants, traits, trait_type):
    by_chromosome = [(str(c), variants // 22) for c in range(1, 23)]
    plan, spans = plan_of(by_chromosome, people, traits, trait_type=trait_type)
    assert_chunks(plan, spans)
    assert len(plan.chunks) <= 4000 + 22
    sizes = [b - a for _, a, b in plan.chunks.values()]
    assert min(sizes) >= min(1000, variants // 22)


@how(max_examples=60, deadline=None)
@given(st.dictionaries(st.integers(1, 23), st.integers(1, 5 * SETS)))
def test_sets_of_burden_tests_are_in_one_job_each(sets):
    tables = {"annotations": "a", "sets": "s", "masks": "m"}
    plan, _ = plan_of(sets=sets, burden=tables)
    found = {name: chunk for name, chunk in plan.chunks.items() if "m" in name}
    for chromosome, many in sets.items():
        pieces = sorted((a, b) for c, a, b in found.values() if c == chromosome)
        assert pieces[0][0] == 0
        assert pieces[-1][1] == many
        assert all(one[1] == other[0] for one, other in itertools.pairwise(pieces))
        assert max(b - a for a, b in pieces) <= SETS
    assert {c for c, *_ in found.values()} == set(sets)
    for name in found:
        assert plan.burden_of_chunk("sets.json")(at(chunk=name)) == ["sets.json", "a", "s", "m"]


def resources(plan):
    chunk = at(chunk=next(iter(plan.chunks)))
    found = {f"{step}_mb": getattr(plan, f"{step}_mb")(None, 1) for step in STEPS}
    found |= {f"{step}_minutes": getattr(plan, f"{step}_minutes")(None, 1) for step in STEPS}
    return found | {
        "assoc_mb": plan.assoc_mb(chunk, 1), "assoc_minutes": plan.assoc_minutes(chunk, 1),
    }  # fmt: skip


def test_memory_and_time_grow_with_people_and_attempts():
    by_people = [resources(plan_of(people=n, chunk_size=5000)[0]) for n in (500, 50_000, 500_000)]
    for name in by_people[0]:
        values = [found[name] for found in by_people]
        assert all(type(value) is int for value in values)
        assert values == sorted(values)
        if name in ("prep_mb", "level0_mb", "level1_mb", "assoc_mb"):
            assert values[0] < values[1] < values[2]
    for step in STEPS:
        plan, _ = plan_of()
        for what in ("mb", "minutes"):
            first, third = (getattr(plan, f"{step}_{what}")(None, n) for n in (1, 3))
            assert third == 3 * first


def test_memory_is_at_least_what_is_held():
    """Half a million people: genotypes of a block, and sums over its variants, in bytes."""
    plan, _ = plan_of(people=500_000, traits=50)
    block = 4e-6 * 1000 * 500_000
    predictions = 8e-6 * 50 * 500_000
    assert plan.level0_mb(None, 1) > block + predictions
    # Files of an earlier run are mapped into memory.
    many, _ = plan_of(people=500, block_size=8000, h2_grid=[k / 21 for k in range(1, 21)])
    assert many.level0_mb(None, 1) > many.kept_mb() > 10_000
    assert plan.level1_mb(None, 1) > 6 * 8e-6 * (500 * 5) ** 2
    chunk = at(chunk=next(iter(plan.chunks)))
    assert plan.assoc_mb(chunk, 1) > 8e-6 * 500_000 * 50 * 2 + 4e-6 * 128 * 500_000


def test_a_job_of_few_people_does_not_hold_millions_of_results():
    """Nine million variants of 500 people against 100 traits: a job holds all of its tests."""
    plan, _ = plan_of([(str(c), 400_000) for c in range(1, 23)], people=500, traits=100)
    assert max(plan.assoc_mb(at(chunk=chunk), 1) for chunk in plan.chunks) < 2000


@pytest.mark.parametrize(
    ("name", "less", "more"),
    [
        ("level0_mb", {"block_size": 500}, {"block_size": 4000}),
        ("level0_mb", {"traits": 2}, {"traits": 400}),
        ("level0_minutes", {"block_size": 500}, {"block_size": 8000}),
        ("level1_mb", {"block_size": 2000}, {"block_size": 500}),
        ("level1_minutes", {"trait_type": "qt"}, {"trait_type": "bt"}),
        ("assoc_mb", {"traits": 2}, {"traits": 200}),
        ("assoc_minutes", {"trait_type": "qt"}, {"trait_type": "bt"}),
        ("assoc_minutes", {"chunk_size": 2000}, {"chunk_size": 200_000}),
        ("merge_mb", {"runs": [("1", 10**5)]}, {"runs": [("1", 10**7)]}),
        ("prep_minutes", {"runs": [("1", 10**5)]}, {"runs": [("1", 10**7)]}),
    ],
)
def test_what_takes_more(name, less, more):
    one, other = (resources(plan_of(**({"people": 50_000} | each))[0]) for each in (less, more))
    assert one[name] < other[name]


def test_a_block_is_no_larger_than_a_chromosome():
    small, _ = plan_of([("1", 50), ("2", 70)], block_size=20_000)
    same, _ = plan_of([("1", 50), ("2", 70)], block_size=70)
    assert small.level0_mb(None, 1) == same.level0_mb(None, 1)


def test_forecast_is_what_jobs_are_told():
    plan, _ = plan_of([(str(c), 25_000) for c in range(1, 21)], people=100_000, traits=20)
    lines = plan.forecast()
    assert lines[0] == "100,000 people, 20 traits, 500,000 variants of step 1, 500,000 of step 2"
    scratch = 500 * 5 * 20 * 100_000 * 8 / 1e9
    assert f"level 0: 500 jobs, {plan.level0_mb(None, 1):,} MB each" in lines[1]
    kept = 500 * plan.kept_mb() / 1000
    assert lines[1].endswith(f"scratch {scratch:.1f} GB, kept for the next run up to {kept:.1f} GB")
    hours = 500 * plan.level0_seconds() / 3600
    assert f"about {hours:.1f} hours of CPU" in lines[1]
    assert lines[2] == f"level 1: 20 jobs, {plan.level1_mb(None, 1):,} MB each"
    assert lines[3].startswith(f"step 2: {len(plan.chunks):,} jobs, ")
    none, _ = plan_of([("MT", 10)])
    assert len(none.forecast()) == 3


def test_names_of_inputs():
    plan, _ = plan_of(keep="k.txt")
    assert plan.tables() == ["p.tsv", "c.tsv", "k.txt"]
    assert plan.burden_tables() == []
    assert plan.traits() == ["t0", "t1", "t2"]
    assert plan.genotype_files("step1", "step2")() == ["g.bed", "g.bim", "g.fam"]
    assert plan.filesets("step1")() == [
        {"prefix": "g", "kind": "bed", "n_samples": 5000, "n_variants": 500_000}
    ]


def test_a_fileset_made_of_a_vcf_comes_as_a_folder():
    made = Fileset("w/2/fileset", "pgen", 9, 70)
    other = Fileset("w/1/fileset", "pgen", 9, 30)
    study = {
        "step1": [Fileset("g", "bed", 9, 5), made], "step2": [other, made],
        "folders": {"w/1/fileset": "w/1", "w/2/fileset": "w/2"},
        "vcfs": {"1": "a.vcf", "2": "b.vcf.gz"},
    }  # fmt: skip
    plan = Plan(SECTION, lambda: study)
    files = plan.genotype_files("step1", "step2")()
    assert files == ["g.bed", "g.bim", "g.fam", "w/2", "w/1"]
    assert plan.vcf(at(vcf="2")) == "b.vcf.gz"
    assert [plan.vcf_variants(at(vcf=name)) for name in "12"] == [30, 70]


def test_predictions_of_traits_no_longer_asked_for(tmp_path):
    (tmp_path / "loco").mkdir()
    for name in ("t0", "t9", "old"):
        (tmp_path / "loco" / f"{name}.loco").touch()
    plan, _ = plan_of()
    assert plan.strays(tmp_path) == ["loco/old.loco", "loco/t9.loco"]
