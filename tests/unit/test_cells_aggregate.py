import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st
from scipy.stats import trim_mean

from tessera.cells.aggregate import aggregate_part
from tessera.cells.normalize import NORMALIZATIONS
from tessera.cells.statistics import columns, percentile_name
from triples import Triples, counts, parts_of, rows_of

PERCENTILES = [2.5, 5, 25, 50, 75, 95]


def dense_normalised(dense, totals, normalize):
    dense = dense.astype(np.float64)
    if normalize == "none":
        return dense
    totals = np.asarray(totals)[:, None]
    scaled = np.divide(dense * 1e6, totals, out=np.zeros_like(dense), where=totals != 0)
    return {"cpm": lambda x: x, "log1p_cpm": np.log1p, "log2_cpm": lambda x: np.log2(x + 1)}[
        normalize
    ](scaled)


def brute_force(dense, totals, codes, groups, normalize, percentiles, trim):
    values = dense_normalised(dense, totals, normalize)
    names = columns(percentiles)
    out = np.empty((dense.shape[1], groups, len(names)))
    for group in range(groups):
        own, there = values[codes == group], dense[codes == group] != 0
        n = len(own)
        found = {
            "n": np.full(dense.shape[1], n),
            "count_nonzero": there.sum(axis=0),
            "fraction": there.mean(axis=0),
            "sum": own.sum(axis=0),
            "mean": own.mean(axis=0),
            "var": own.var(axis=0, ddof=1) if n > 1 else np.full(dense.shape[1], np.nan),
            "min": own.min(axis=0),
            "max": own.max(axis=0),
            "median": np.median(own, axis=0),
            "trimmed_mean": trim_mean(own, trim, axis=0),
        }
        for percentile in set(percentiles) - {50}:
            found[percentile_name(percentile)] = np.percentile(own, percentile, axis=0)
        out[:, group] = np.stack([found[name] for name in names], axis=1)
    return out


ADDED = ("sum", "mean", "var", "trimmed_mean")  # the order of additions is ours


def compare(found, expected, percentiles, size):
    assert found.shape == expected.shape
    for number, name in enumerate(columns(percentiles)):
        if name in ADDED:
            scale = size * size if name == "var" else size
            np.testing.assert_allclose(
                found[..., number], expected[..., number], 1e-11, 1e-13 * scale, err_msg=name
            )
        else:
            np.testing.assert_array_equal(found[..., number], expected[..., number], err_msg=name)


def aggregate(parts, rows, codes, groups, file, **options):
    options = {"percentiles": PERCENTILES, "trim": 0.25, "batch_nnz": 100, **options}
    sizes, totals = np.bincount(codes[codes >= 0], minlength=groups), rows.cells["total"].to_numpy()
    found = []
    for part in parts:
        aggregate_part(part, totals, codes, sizes, file, **options)
        found.append(np.load(file, allow_pickle=False))
        assert found[-1].dtype == np.float64
    return np.concatenate(found)


def grouped(seed, cells):
    """Groups of very different sizes, one of them of one cell; some cells in none."""
    codes = np.random.default_rng(seed).choice([0, 0, 0, 1, 1, 2, -1], cells).astype(np.int32)
    codes[[11, 12, 13]] = 3, 4, 4
    return codes


MATRICES = {
    "counts": lambda: counts(1, cells=150),
    "decimals": lambda: counts(2, cells=150).astype(np.float64) * 0.1,
    "negative": lambda: np.where(
        counts(3, cells=150) > 0, np.random.default_rng(3).normal(0.2, 1, (150, 30)), 0
    ),
    "dense": lambda: np.random.default_rng(4).lognormal(size=(150, 30)).astype(np.float32),
    "empty": lambda: np.zeros((150, 30), np.float32),
}


@pytest.mark.parametrize("normalize", NORMALIZATIONS)
@pytest.mark.parametrize("kind", MATRICES)
@pytest.mark.parametrize("trim", [0, 0.25])
def test_all_statistics_are_those_of_the_dense_matrix(tmp_path, kind, normalize, trim):
    dense = MATRICES[kind]()
    if kind == "negative" and normalize != "none":
        dense[:, 0] += 1000  # so that cpm is above -1
        dense[:, 1:] *= 1e-6
    codes = grouped(1, len(dense))
    rows = rows_of(Triples.of(dense), tmp_path / "rows", normalize=normalize, batch_nnz=200)
    parts = parts_of(rows, tmp_path / "genes", 2)
    options = {"normalize": normalize, "trim": trim}
    found = aggregate(parts, rows, codes, 5, tmp_path / "out.npy", **options)
    totals = rows.cells["total"]
    expected = brute_force(dense, totals, codes, 5, normalize, PERCENTILES, trim)
    size = np.abs(dense_normalised(dense, totals, normalize)).max()
    compare(found, expected, PERCENTILES, size)


@how(max_examples=8, deadline=None)
@given(st.integers(1, 500), st.integers(1, 12), st.integers(1, 3000))
def test_the_same_bytes_for_any_tiles_parts_and_batches(tmp_path_factory, tile, parts, batch_nnz):
    folder = tmp_path_factory.mktemp("many")
    dense, codes = counts(4), grouped(4, 60)
    options = {"normalize": "log2_cpm", "percentiles": [10, 90]}
    found = []
    for name, n, k, batch in (("a", tile, parts, batch_nnz), ("b", 5000, 1, 5000)):
        rows = rows_of(Triples.of(dense), folder / name, batch_nnz=n)
        made = parts_of(rows, folder / f"{name} genes", k)
        file = folder / f"{name}.npy"
        found.append(aggregate(made, rows, codes, 5, file, batch_nnz=batch, **options))
    assert found[0].tobytes() == found[1].tobytes()


def test_in_any_order_of_cells_the_same_ranks(tmp_path):
    dense, codes = MATRICES["negative"](), grouped(5, 150)
    order = np.random.default_rng(6).permutation(150)
    found = []
    for name, cells in (("a", np.arange(150)), ("b", order)):
        rows = rows_of(Triples.of(dense[cells]), tmp_path / name)
        made = parts_of(rows, tmp_path / f"{name} genes")
        file = tmp_path / f"{name}.npy"
        found.append(aggregate(made, rows, codes[cells], 5, file, normalize="none"))
    compare(found[0], found[1], PERCENTILES, np.abs(dense).max())


def test_whatever_the_percentiles_and_the_share_that_is_trimmed(tmp_path):
    dense, codes = MATRICES["decimals"](), grouped(7, 150)
    rows = rows_of(Triples.of(dense), tmp_path / "rows")
    made = parts_of(rows, tmp_path / "genes")
    for percentiles, trim in (([], 0), ([0, 100], 0.49), ([99.9], 0.1), ([50], 0.25), ([1], 0.4)):
        options = {"normalize": "none", "percentiles": percentiles, "trim": trim}
        found = aggregate(made, rows, codes, 5, tmp_path / "out.npy", **options)
        expected = brute_force(dense, None, codes, 5, "none", percentiles, trim)
        compare(found, expected, percentiles, dense.max())


def test_a_part_without_genes_and_progress(tmp_path):
    dense, codes = counts(8), grouped(8, 60)
    rows = rows_of(Triples.of(dense), tmp_path / "rows")
    made = parts_of(rows, tmp_path / "genes", 40)
    assert any(part.start == part.stop for part in made)
    seen = []

    def progress(items, label):
        seen.append(label)
        return items

    options = {"normalize": "cpm", "progress": progress}
    found = aggregate(made, rows, codes, 5, tmp_path / "out.npy", **options)
    assert found.shape == (30, 5, len(columns(PERCENTILES)))
    assert set(seen) == {"genes"}


def test_groups_that_are_not_those_of_the_cells_are_a_bug(tmp_path):
    rows = rows_of(Triples.of(counts(9)), tmp_path / "rows")
    (part,) = parts_of(rows, tmp_path / "genes")
    totals, codes = rows.cells["total"].to_numpy(), np.repeat(np.arange(2, dtype=np.int32), 30)
    for own, sizes in ((codes, [30, 29]), (codes[1:], [29, 30]), (codes + 1, [30, 30])):
        with pytest.raises(ValueError, match="not those of the groups of all cells"):
            aggregate_part(
                part, totals, own, np.array(sizes), tmp_path / "out.npy",
                normalize="none", percentiles=[], trim=0, batch_nnz=100,
            )  # fmt: skip


@pytest.mark.filterwarnings("ignore")
def test_real_cells_beside_scanpy_and_pandas(tmp_path):
    data = sc.datasets.pbmc68k_reduced()
    matrix, cells = data.raw.X.tocsr(), data.obs
    codes, labels = pd.factorize(cells["bulk_labels"].astype(str), sort=True)
    dense = matrix.toarray()
    rows = rows_of(Triples.of(dense), tmp_path / "rows", batch_nnz=20_000)
    made = parts_of(rows, tmp_path / "genes", 3, 20_000)
    codes = codes.astype(np.int32)
    found = aggregate(made, rows, codes, len(labels), tmp_path / "out.npy", normalize="none")
    names = columns(PERCENTILES)
    view = {name: found[..., number].T for number, name in enumerate(names)}

    raw = data.raw.to_adata()
    raw.X = raw.X.astype(np.float64)  # it would take medians in single precision
    raw.obs["label"] = cells["bulk_labels"].astype(str).astype("category")
    theirs = sc.get.aggregate(raw, "label", ["mean", "count_nonzero", "median", "var", "sum"])
    assert list(theirs.obs_names) == list(labels)
    np.testing.assert_array_equal(view["count_nonzero"], theirs.layers["count_nonzero"])
    np.testing.assert_array_equal(view["median"], theirs.layers["median"])
    for name in ("mean", "sum"):
        np.testing.assert_allclose(view[name], theirs.layers[name], 1e-12)
    np.testing.assert_allclose(view["var"], theirs.layers["var"], 1e-9, 1e-12)

    table = pd.DataFrame(dense.astype(np.float64)).groupby(codes)
    for name, expected in {
        "n": table.count(),
        "median": table.median(),
        "min": table.min(),
        "max": table.max(),
    }.items():
        np.testing.assert_array_equal(view[name], expected.to_numpy(), err_msg=name)
    np.testing.assert_allclose(view["p95"], table.quantile(0.95).to_numpy(), 1e-13, 1e-13)
    np.testing.assert_allclose(view["mean"], table.mean().to_numpy(), 1e-12)
    np.testing.assert_allclose(view["var"], table.var().to_numpy(), 1e-9, 1e-12)
