import itertools

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st

from gwas import blocks_of, genotypes, make_study, settings
from tessera.vgwas import parts
from tessera.vgwas.parts import PER_SNP, TableWriter, load_part, merge, read_tables
from tessera.vgwas.scan import Mapper, Null

FILES = ("part.npz", "hits.parquet", "clusters.parquet")
CUTS = [0, 3, 10, 11, 24, 40]
RUNS = [range(1, 4), range(4, 5), range(5, 9)]


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """Parts of a study: five ranges of SNPs, and three of permutations of each."""
    rng = np.random.default_rng(0)
    study = make_study(rng.normal(size=(300, 40)))
    g = genotypes(rng, CUTS[-1], 40, 0.02, 0.2)
    mapper = Mapper(study, settings(threshold_p=0.02, cluster_p=0.05))
    folder, found = tmp_path_factory.mktemp("parts"), []

    def made(name):
        found.append(folder / name)
        found[-1].mkdir()
        return found[-1]

    ranges = list(itertools.pairwise(CUTS))
    blocks = {
        edge: [(a + edge[0], *b) for a, *b in blocks_of(g[slice(*edge)], 6)] for edge in ranges
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "ROW_GROUP", 64)
        for edge in ranges:
            parts.write_scan(made(f"s{edge[0]}p0"), mapper.scan(blocks[edge]))
        for number, run in enumerate(RUNS, start=1):
            for edge in ranges:
                parts.write_null(made(f"s{edge[0]}p{number}"), mapper.null(blocks[edge], run))
        whole = made("whole")
        parts.write_scan(whole, mapper.scan(blocks_of(g, 6)))
        null = mapper.null(blocks_of(g, 6), range(1, 9))
    return found[:-1], whole, null


def bytes_of(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


@how(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_grouping_gives_the_same_bytes(pieces, tmp_path_factory, data):
    paths, whole, null = pieces
    folder = tmp_path_factory.mktemp("merge")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "ROW_GROUP", 64)
        level, depth = list(paths), 0
        while len(level) > 1:
            depth += 1
            cuts = data.draw(st.sets(st.integers(1, len(level) - 1), max_size=6))
            edges = [0, *sorted(cuts), len(level)] if depth < 4 else [0, len(level)]
            following = []
            for a, b in itertools.pairwise(edges):
                target = folder / f"{depth}-{a}"
                target.mkdir()
                merge(level[a:b], target)
                following.append(target)
            level = following
        direct = folder / "direct"
        direct.mkdir()
        merge(paths, direct)
    assert bytes_of(level[0]) == bytes_of(direct)
    for name in FILES[1:]:
        assert (direct / name).read_bytes() == (whole / name).read_bytes()
    arrays, scanned = load_part(direct), load_part(whole)
    assert set(arrays) == {"counts", *PER_SNP, "permutations", "null_t", "null_cluster"}
    for name in ("counts", *PER_SNP):
        assert arrays[name].tobytes() == scanned[name].tobytes()
    assert arrays["permutations"].tolist() == list(range(1, 9))
    np.testing.assert_array_equal(arrays["null_t"], null.max_t)
    np.testing.assert_array_equal(arrays["null_cluster"], null.max_cluster)


def test_what_was_scanned_is_what_is_read(pieces):
    paths, whole, _ = pieces
    arrays = load_part(whole)
    assert {name: arrays[name].dtype for name in PER_SNP} == PER_SNP
    assert arrays["counts"].dtype == np.int64
    assert all(len(arrays[name]) == CUTS[-1] for name in PER_SNP)
    hits = pq.read_table(whole / "hits.parquet")
    assert hits.schema.equals(parts.HITS)
    assert pq.read_table(whole / "clusters.parquet").schema.equals(parts.CLUSTERS)
    assert len(hits) > 130
    frame = hits.to_pandas()
    assert (np.diff(frame["snp"] * 1000 + frame["voxel"]) > 0).all()
    separate = pa.concat_tables(pq.read_table(p / "hits.parquet") for p in paths[:5])
    assert separate.equals(hits)


def test_permutations_of_all_snps_take_the_largest(tmp_path):
    nulls = [([1, 2], [3.0, 4.0], [0, 7]), ([2, 5], [3.5, 1.0], [9, 0]), ([1], [2.0], [1])]
    paths = []
    for number, (order, t, size) in enumerate(nulls):
        paths.append(tmp_path / str(number))
        paths[-1].mkdir()
        parts.write_null(paths[-1], Null(np.array(order), np.array(t), np.array(size)))
    merge(paths, tmp_path)
    arrays = load_part(tmp_path)
    assert set(arrays) == {"permutations", "null_t", "null_cluster"}
    assert arrays["permutations"].tolist() == [1, 2, 5]
    assert arrays["null_t"].tolist() == [3, 4, 1]
    assert arrays["null_cluster"].tolist() == [1, 9, 0]
    assert arrays["null_cluster"].dtype == np.int64
    assert not (tmp_path / "hits.parquet").exists()


@how(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=12), st.integers(1, 17))
def test_row_groups_have_one_size_however_rows_come(tmp_path_factory, sizes, group):
    path = tmp_path_factory.mktemp("table") / "a.parquet"
    rows = pd.DataFrame({name: np.arange(sum(sizes)) for name in parts.CLUSTERS.names})
    table = pa.Table.from_pandas(rows, parts.CLUSTERS, preserve_index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "ROW_GROUP", group)
        for target, batches in ((path, sizes), (path.with_name("b.parquet"), [sum(sizes)])):
            with TableWriter(target, parts.CLUSTERS) as writer:
                start = 0
                for size in batches:
                    writer.add(table.slice(start, size))
                    start += size
    assert path.read_bytes() == path.with_name("b.parquet").read_bytes()
    meta = pq.read_metadata(path)
    lengths = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
    whole, rest = divmod(sum(sizes), group)
    assert lengths == [group] * whole + [rest] * (rest > 0)
    batches = list(read_tables([path, path]))
    assert [len(batch) for batch in batches] == 2 * (lengths or [0])
    if batches:
        assert pa.concat_tables(batches).equals(pa.concat_tables([table, table]))
