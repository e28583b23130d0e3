import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st
from scipy import ndimage

from tessera.vgwas.clusters import clusters
from tessera.vgwas.voxels import neighbours

SHARED = {6: 1, 18: 2, 26: 3}


def voxels_of(mask):
    """(V, 3) i, j, k of a mask (Z, Y, X), in the order of its file."""
    return np.argwhere(mask)[:, ::-1]


def found_by_scipy(fields, mask, least, connectivity):
    """Row, size and peak's voxel of clusters of (S, V) fields, sorted."""
    reach = ndimage.generate_binary_structure(3, SHARED[connectivity])
    out = []
    for row, field in enumerate(fields):
        volume = np.zeros(mask.shape)
        volume[mask] = field
        number = np.full(mask.shape, -1)
        number[mask] = np.arange(len(field))
        for sign in (1, -1):
            labels, count = ndimage.label(sign * volume >= least, reach)
            for label in range(1, count + 1):
                inside = number[labels == label]
                peak = inside[np.argmax(np.abs(field[inside]))]
                out.append((row, len(inside), peak))
    return sorted(out)


def found_by_us(fields, mask, least, connectivity):
    row, voxel = np.nonzero(np.abs(fields) >= least)
    row, voxel = row.astype(np.int32), voxel.astype(np.int32)
    before = neighbours(voxels_of(mask), connectivity)
    found = clusters(row, voxel, fields[row, voxel], before)
    assert (np.diff(found.row) >= 0).all()
    assert found.size.sum() == len(row)
    return sorted(zip(found.row, found.size, voxel[found.peak], strict=True))


@pytest.mark.parametrize("connectivity", [6, 18, 26])
@pytest.mark.parametrize("least", [0.1, 0.7, 1.3, 2.0, 9.0])
def test_same_clusters_as_scipy(connectivity, least):
    rng = np.random.default_rng(connectivity)
    mask = rng.random((9, 11, 13)) < 0.8
    mask[3:5, 2:7, 4:6] = False
    smooth = ndimage.gaussian_filter(rng.normal(size=(6, *mask.shape)), (0, 1, 1, 1))
    rough = rng.normal(size=(2, *mask.shape))
    fields = np.concatenate([smooth / smooth.std(), rough])[:, mask]
    expected = found_by_scipy(fields, mask, least, connectivity)
    assert found_by_us(fields, mask, least, connectivity) == expected
    assert (len(expected) > 8) == (least < 9)


@how(max_examples=150, deadline=None)
@given(st.data())
def test_same_clusters_as_scipy_in_any_mask(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    shape = data.draw(st.tuples(*[st.integers(1, 6)] * 3))
    mask = rng.random(shape) < data.draw(st.sampled_from([0.3, 0.8, 1.0]))
    mask.flat[rng.integers(mask.size)] = True
    fields = 4 * rng.uniform(-1, 1, (data.draw(st.integers(1, 4)), mask.sum()))
    least, connectivity = data.draw(st.integers(1, 4)), data.draw(st.sampled_from([6, 18, 26]))
    expected = found_by_scipy(fields, mask, least, connectivity)
    assert found_by_us(fields, mask, least, connectivity) == expected


def test_neither_signs_nor_snps_share_a_cluster():
    mask = np.ones((1, 1, 6), bool)
    fields = np.array([[3, 4, -5, -3, 0, 3], [0, 0, 0, 3, 3, 3], [3, 0, 0, 0, 0, 0]], float)
    assert found_by_us(fields, mask, 3, 6) == [
        (0, 1, 5),
        (0, 2, 1),
        (0, 2, 2),
        (1, 3, 3),
        (2, 1, 0),
    ]


def test_a_spiral_that_closes_late_is_one_cluster():
    plane = np.array([list(row) for row in ("#######", "#.....#", "#.###.#", "#.#...#", "#.#####")])
    field = np.where(plane == "#", 5.0, 0).ravel()
    field[-1] = 7
    mask = np.ones((1, *plane.shape), bool)
    expected = [(0, int((plane == "#").sum()), field.size - 1)]
    assert found_by_us(field[None], mask, 3, 6) == expected


def test_nothing_above_the_threshold():
    none = np.zeros(0, np.int32)
    found = clusters(none, none, np.zeros(0), neighbours(np.zeros((1, 3), int), 26))
    assert len(found.row) == len(found.size) == len(found.peak) == 0


@how(max_examples=80, deadline=None)
@given(st.data())
def test_neighbours_are_those_of_brute_force(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    shape = data.draw(st.tuples(*[st.integers(1, 5)] * 3))
    mask = rng.random(shape) < data.draw(st.sampled_from([0.4, 1.0]))
    mask.flat[rng.integers(mask.size)] = True
    ijk = voxels_of(mask) + data.draw(st.sampled_from([0, 100]))
    connectivity = data.draw(st.sampled_from([6, 18, 26]))
    before = neighbours(ijk, connectivity)
    assert before.shape == (len(ijk), connectivity // 2)
    step = np.abs(ijk[:, None] - ijk[None])
    touch = (step.max(axis=2) == 1) & (step.sum(axis=2) <= SHARED[connectivity])
    for v, row in enumerate(before):
        assert sorted(row[row >= 0]) == np.flatnonzero(touch[v, :v]).tolist()
