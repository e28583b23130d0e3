import itertools
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from tessera.vgwas.plan import BLOCK, FAN_IN, Plan

SECTION = {
    "snp_tile": "auto",
    "permutation_tile": "auto",
    "permutations": 1000,
    "missing": "mean",
    "threshold_p": 1e-5,
    "cluster_p": 0.001,
    "cluster_t": None,
    "atlas": None,
    "mask": "mask.nii.gz",
    "images": "maps.tsv",
    "covariates": None,
}
MEMORY = ("check_mb", "snps_mb", "phenotype_mb", "map_mb")


def plan_of(subjects=740, snps=300_000, voxels=30_000, **other):
    halves = [SimpleNamespace(n_variants=n) for n in (snps // 2, snps - snps // 2)]
    maps = {f"s{i}": f"{i}.nii.gz" for i in range(subjects)}
    study = {"maps": maps, "filesets": halves, "voxels": voxels}
    return Plan({**SECTION, **other}, lambda: study)


def at(**wildcards):
    return SimpleNamespace(**wildcards)


sizes = st.fixed_dictionaries(
    {
        "subjects": st.sampled_from([3, 50, 740, 5000]),
        "snps": st.integers(1, 2000) | st.integers(2000, 10**6),
        "voxels": st.sampled_from([1, 500, 30_000, 10**6]),
        "permutations": st.integers(0, 60) | st.sampled_from([1000, 10_000]),
    }
)


def assert_partition(pieces, first, last):
    pieces = sorted(pieces)
    assert pieces[0][0] == first
    assert pieces[-1][1] == last
    assert all(a < b for a, b in pieces)
    assert all(one[1] == other[0] for one, other in itertools.pairwise(pieces))


def check(plan, snps, permutations):
    tiles = plan.tiles
    assert len(set(tiles.values())) == len(tiles)
    scan = [tile for name, tile in tiles.items() if name.endswith("p0")]
    null = [tile for name, tile in tiles.items() if not name.endswith("p0")]
    assert {tile[2:] for tile in scan} == {(0, 1)}
    assert_partition([tile[:2] for tile in scan], 0, snps)
    # Each range of SNPs meets each range of permutations once.
    runs = {tile[2:] for tile in null}
    assert len(null) == len(runs) * len(scan)
    assert {tile[:2] for tile in null} == ({tile[:2] for tile in scan} if null else set())
    if permutations:
        assert_partition(runs, 1, permutations + 1)
    else:
        assert not null
    assert list(tiles)[: len(scan)] == [f"s{i}p0" for i in range(len(scan))]
    # Merged in this order, SNPs come one after the other.
    assert scan == sorted(scan)


@how(max_examples=150, deadline=None)
@given(sizes)
def test_automatic_tiles_cover_each_snp_and_permutation_once(size):
    plan = plan_of(**size)
    if size["subjects"] * size["snps"] * size["voxels"] > 10**16:
        return
    check(plan, size["snps"], size["permutations"])
    edges = {tile[0] for tile in plan.tiles.values()}
    assert all(edge % BLOCK == 0 for edge in edges)


@how(max_examples=100, deadline=None)
@given(
    st.integers(1, 500),
    st.integers(0, 60),
    st.integers(1, 700),
    st.integers(1, 70) | st.just("auto"),
)
def test_chosen_tiles_cover_each_snp_and_permutation_once(snps, permutations, tile, run):
    plan = plan_of(
        40, snps, 100, permutations=permutations, snp_tile=tile, permutation_tile=run
    )  # fmt: skip
    check(plan, snps, permutations)
    assert max(b - a for a, b, *_ in plan.tiles.values()) <= tile
    if run != "auto":
        assert max(b - a for _, _, a, b in plan.tiles.values()) <= run


@pytest.mark.parametrize("tile", ["auto", 700])
@pytest.mark.parametrize("size", [(200, 9000, 20_000), (740, 300_000, 30_000), (30, 5, 1)])
def test_permutations_do_not_change_the_tiles_of_the_scan(size, tile):
    scans = []
    for many, run in ((0, "auto"), (10, "auto"), (5000, "auto"), (40, 7)):
        tiles = plan_of(*size, permutations=many, permutation_tile=run, snp_tile=tile).tiles
        scans.append({name: t for name, t in tiles.items() if name.endswith("p0")})
    assert all(scan == scans[0] for scan in scans)


@pytest.mark.parametrize("run", ["auto", 8])
def test_more_permutations_leave_the_tiles_of_the_fewer_as_they_are(run):
    size = {"subjects": 100, "snps": 5000, "voxels": 20_000, "permutation_tile": run}
    many = plan_of(**size, permutations=1000).tiles
    length = next(t for name, t in many.items() if name.startswith("s0p1to"))[3] - 1
    few = plan_of(**size, permutations=length).tiles
    many = plan_of(**size, permutations=3 * length + 1).tiles
    assert few == {name: many[name] for name in few}
    assert len(few) == 2 * len({tile[:2] for tile in many.values()})


def test_more_permutations_are_more_jobs_but_not_without_end():
    counts = [len(plan_of(permutations=many).tiles) for many in (0, 100, 1000, 10_000, 10**6)]
    assert counts[0] < counts[1] < counts[2]
    assert max(counts) <= 4000 + counts[0]


def test_settings_that_a_job_does_not_look_at_leave_it_as_it_was():
    plan = plan_of(permutations=5)
    testing = {"coding": "additive", "seed": 7, "scheme": "freedman-lane"}
    testing |= {"threshold_p": 1e-9, "max_hits": 5.0}
    scan, null = (
        plan.settings(testing)(at(tile=next(t for t in plan.tiles if t.endswith(end) == whole)))
        for end, whole in (("p0", True), ("p0", False))
    )
    assert {key for key in testing if scan[key] != testing[key]} == {"seed", "scheme"}
    assert {key for key in testing if null[key] != testing[key]} == {"threshold_p", "max_hits"}


@how(max_examples=60, deadline=None)
@given(st.integers(1, 5000))
def test_tree_merges_every_part_once_and_few_at_a_time(snps):
    plan = plan_of(10, snps, 10, snp_tile=1, permutations=0)
    order, node = [], plan.whole("out")(None)
    assert node.startswith("out/reduce/")

    def walk(path):
        kind, name = path.removeprefix("out/").split("/")
        if kind == "map":
            order.append(name)
            return
        children = plan.parts("out")(at(node=name))
        assert 1 <= len(children) <= FAN_IN
        for child in children:
            walk(child)

    walk(node)
    assert order == list(plan.tiles)
    assert len(order) == snps
    depth = int(node.rsplit("/", 1)[1].split("-")[0])
    assert FAN_IN**depth >= snps
    assert depth == 1 or FAN_IN ** (depth - 1) < snps


@how(max_examples=60, deadline=None)
@given(sizes, st.sampled_from(["mean", "complete"]))
def test_memory_and_time_are_positive_and_grow_with_each_attempt(size, missing):
    if size["subjects"] * size["snps"] * size["voxels"] > 10**14:
        return
    plan = plan_of(**size, missing=missing)
    for name in MEMORY:
        first, second = (getattr(plan, name)(None, attempt) for attempt in (1, 2))
        assert type(first) is int
        assert second == 2 * first >= 600
    matrix = 4e-6 * size["subjects"] * size["voxels"]
    assert plan.map_mb(None, 1) > matrix
    assert plan.phenotype_mb(None, 1) > 2 * matrix
    assert plan.phenotype_minutes(None, 2) == 2 * plan.phenotype_minutes(None, 1) >= 10
    for tile in list(plan.tiles)[:: max(1, len(plan.tiles) // 5)]:
        assert plan.map_minutes(at(tile=tile), 1) >= 4


def test_rules_are_told_what_they_ask():
    plan = plan_of(3, 1000, 20, snp_tile=512, permutations=6, permutation_tile=3)
    assert plan.maps() == {"s0": "0.nii.gz", "s1": "1.nii.gz", "s2": "2.nii.gz"}
    assert plan.map_files() == ["0.nii.gz", "1.nii.gz", "2.nii.gz"]
    assert plan.tiles == {
        "s0p0": (0, 500, 0, 1),
        "s1p0": (500, 1000, 0, 1),
        "s0p1to3": (0, 500, 1, 4),
        "s1p1to3": (500, 1000, 1, 4),
        "s0p4to6": (0, 500, 4, 7),
        "s1p4to6": (500, 1000, 4, 7),
    }
    assert plan.tile(at(tile="s1p4to6")) == [500, 1000, 4, 7]
    assert plan.whole("d")(None) == "d/reduce/1-0"
    assert plan.parts("d")(at(node="1-0")) == [f"d/map/{name}" for name in plan.tiles]
    assert plan.named("mask", "atlas", "covariates", "images")() == ["mask.nii.gz", "maps.tsv"]
    with_atlas = plan_of(atlas="a/b.nii.gz").named("atlas", "mask")
    assert with_atlas() == ["a/b.nii.gz", "a/b.tsv", "mask.nii.gz"]
