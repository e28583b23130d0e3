"""Studies on the edge: nothing to test, nothing found, people far off, ties, biobanks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from gwas import (
    Known,
    assert_same,
    blocks_of,
    everything,
    genotypes,
    make_study,
    refit,
    scan,
    settings,
)
from tessera.errors import InputError
from tessera.pvalues import log10p_of_t
from tessera.vgwas import inference, parts
from tessera.vgwas.clusters import clusters
from tessera.vgwas.maps import t_maps
from tessera.vgwas.report import top_hits
from tessera.vgwas.rows import STATUS
from tessera.vgwas.scan import Mapper
from tessera.vgwas.voxels import Grid, neighbours


def test_first_block_without_a_snp_to_test_and_many_voxels():
    rng = np.random.default_rng(0)
    study = make_study(rng.normal(size=(2100, 30)))
    snps = scan(study, np.full((3, 30), np.nan, np.float32), settings())[0]
    assert (snps["status"] == STATUS.index("all_missing")).all()


@pytest.mark.parametrize("seed", range(4))
def test_strongest_voxel_is_exact_with_subjects_left_out(seed):
    known = Known(seed, n=60, n_voxels=150, n_snps=40, missing=0.04, noise="t")
    study = make_study(known.y[20:], known.covariates)
    t = refit(known.y[20:], known.covariates, known.g, missing="complete")[2]
    snps = scan(study, known.g, settings(missing="complete"))[0]
    tested = np.flatnonzero(snps["status"] == 0)
    strongest = t[tested, np.abs(t[tested]).argmax(axis=1)]
    np.testing.assert_allclose(snps["max_t"][tested], strongest, rtol=1e-6)


@pytest.mark.parametrize("missing", ["mean", "complete"])
def test_blocks_of_one_snp_give_the_same_bytes(missing):
    known = Known(7, n=60, n_voxels=2100, n_snps=70)
    chosen = settings(missing=missing)
    expected = everything(known.study, known.g, chosen, 512)
    for size in (7, 64, 1):
        assert_same(everything(known.study, known.g, chosen, size), expected)


def test_share_of_missing_genotypes_that_is_just_allowed():
    rng = np.random.default_rng(0)
    g = rng.permutation(np.repeat([0, 1, 2], [10, 20, 10])).astype(np.float32)[None]
    g[0, :2] = np.nan  # 2 of 40: 5 %
    snps = scan(make_study(rng.normal(size=(3, 40))), g, settings(max_missing=0.05))[0]
    assert snps["status"].tolist() == [0]


def test_study_without_clusters_and_without_hits(tmp_path):
    rng = np.random.default_rng(0)
    study, g = make_study(rng.normal(size=(5, 40))), genotypes(rng, 4, 40, 0, 0.3)
    chosen = settings(cluster_t=50.0, threshold_p=1e-30)
    parts.write_scan(tmp_path, Mapper(study, chosen).scan(blocks_of(g)))
    snps = pd.DataFrame({"id": list("abcd"), "chr": "1", "pos": 5})
    voxels = pd.DataFrame(dict.fromkeys([*"xyz", "label"], [1.0] * 5))
    top = top_hits(str(tmp_path / "hits.parquet"), snps, voxels)
    assert len(top) == 0
    assert {"snp", "chr", "pos", "x", "label", "t", "log10p"} <= set(top)


def test_study_without_clusters(tmp_path):
    rng = np.random.default_rng(0)
    study, g = make_study(rng.normal(size=(5, 40))), genotypes(rng, 4, 40, 0, 0.3)
    chosen = settings(cluster_t=50.0)
    parts.write_scan(tmp_path, Mapper(study, chosen).scan(blocks_of(g)))
    batches = parts.read_tables([tmp_path / "clusters.parquet"])
    table = inference.listed_clusters(batches, np.zeros(0, np.int64), np.full(4, 5.0))
    assert len(table) == 0
    snps = pd.DataFrame({"id": list("abcd"), "chr": "1", "pos": 5})
    voxels = pd.DataFrame(dict.fromkeys([*"xyz", "label"], [1.0] * 5))
    assert len(inference.cluster_table(table, snps, voxels)) == 0


def test_of_equal_peaks_the_first():
    """Two arms meet late: voxels 0 and 4 have the same value, 4's arm is found first..."""
    # A U of voxels (i, j): (0,0) (2,0) / (0,1) (1,1) (2,1); values 1 3 / 3 1 1
    ijk = np.array([(0, 0, 0), (2, 0, 0), (0, 1, 0), (1, 1, 0), (2, 1, 0)])
    value = np.array([1.0, 3, 3, 1, 1])
    every = np.arange(5, dtype=np.int32)
    found = clusters(np.zeros(5, np.int32), every, value, neighbours(ijk, 6))
    assert found.size.tolist() == [5]
    assert found.peak.tolist() == [1]


@pytest.mark.parametrize("df", [400_000, 1_000_000])
def test_p_of_biobanks(df):
    answer = log10p_of_t(np.linspace(34, 60, 50), df)
    assert np.isfinite(answer).all()
    assert (np.diff(answer) > 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_voxel_that_only_those_left_out_had(seed):
    """The rim of a mask: one subject alone has values there, and the SNP lacks that subject."""
    rng = np.random.default_rng(seed)
    n = 200
    y = np.zeros((12, n))
    y[:, 7] = 5
    y[6:] += rng.normal(size=(6, n))
    g = genotypes(rng, 5, n, 0, 0.3)
    g[:, 7] = np.nan
    covariates = rng.normal(size=(2, n))
    study, chosen = make_study(y, covariates), settings(missing="complete")
    t = refit(y[6:], covariates, g, missing="complete")[2]
    snps, _, _, counts = scan(study, g, chosen)
    np.testing.assert_allclose(snps["max_t"].abs(), np.abs(t).max(axis=1), rtol=1e-5)
    assert counts[500:].sum() == 0  # none below 1e-10: NaN falls into the last bin
    null = Mapper(study, chosen).null(blocks_of(g), range(3))
    np.testing.assert_allclose(null.max_t[0], np.abs(t).max(), rtol=1e-5)
    volumes = t_maps(study, chosen, Grid((12, 1, 1), np.eye(4), np.arange(12)), g)
    assert np.isfinite(volumes).all()


def test_no_hit_is_lost_where_those_left_out_were_far_off():
    """Hits just beyond the threshold, in maps of which one subject holds nearly all variance."""
    lost = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        g = genotypes(rng, 1, 60, 0, 0.3)
        g[:, 7] = np.nan
        y = rng.normal(size=(1, 60)) + 0.5 * np.nan_to_num(g)
        y[:, 7] += 300
        [_, hits, *_] = scan(make_study(y), g, settings(missing="complete", threshold_p=1.0))
        p = 10 ** -float(hits["log10p"].iloc[0]) * (1 + 1e-5)
        chosen = settings(missing="complete", threshold_p=p, cluster_t=1e3)
        lost += [seed] * (not len(scan(make_study(y), g, chosen)[1]))
    assert not lost


def test_more_permutations_than_arrangements_are_refused():
    known = Known(3, n=40, n_voxels=60, n_snps=20)
    study = replace(known.study, blocks=np.arange(40) // 2)
    blocks_of_one = replace(known.study, blocks=np.arange(40))
    assert len(Mapper(study, settings()).null(blocks_of(known.g), range(1, 4)).max_t) == 3
    with pytest.raises(InputError, match="in only 1 ways; make fewer permutations"):
        Mapper(blocks_of_one, settings()).null(blocks_of(known.g), range(1, 4))
