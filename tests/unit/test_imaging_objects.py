"""What is told of objects is what scikit-image tells of them, and exact where it can be."""

from __future__ import annotations

import math
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from scipy import ndimage
from skimage.measure import regionprops_table

from tessera.errors import InputError
from tessera.imaging import objects
from tessera.imaging.objects import BORDER, GROUPS, SMALL, central_moments, object_table, schema
from tessera.imaging.pieces import LIMB, PAIRS, PIECE


def grid(shape, ndim=3, voxel_size=(1.0, 1.0, 1.0)):
    return SimpleNamespace(shape=shape, ndim=ndim, voxel_size=voxel_size)


def pieces_of(labels, values=None, unit=1.0):
    """Sum up every object of a labelled image, one voxel at a time, and sort by first voxel."""
    values = np.zeros(labels.shape) if values is None else values
    found = []
    for label in np.unique(labels[labels > 0]):
        places = np.argwhere(labels == label)
        piece = np.zeros(1, PIECE)[0]
        piece["first"] = np.ravel_multi_index(places[0], labels.shape)
        piece["n"] = len(places)
        piece["lo"], piece["hi"] = places.min(axis=0), places.max(axis=0) + 1
        offset = places - piece["lo"]
        piece["sums"] = offset.sum(axis=0)
        piece["squares"] = [(offset[:, a] * offset[:, b]).sum() for a, b in PAIRS]
        inside = values[labels == label]
        total = sum(Fraction(float(value)) / Fraction(unit) for value in inside)
        assert total.denominator == 1
        high, low = divmod(int(total), 1 << LIMB)
        piece["total"] = high - 3, low + (3 << LIMB)  # sums of parts are as uneven
        piece["low"], piece["high"] = inside.min(), inside.max()
        found.append(piece)
    result = np.array(found, PIECE)
    return result[np.argsort(result["first"])]


def random_image(shape, seed):
    random = np.random.default_rng(seed)
    mask = random.random(shape) > 0.8
    labels, _ = ndimage.label(mask)
    shuffled = random.permutation(labels.max()) + 1
    return np.where(mask, shuffled[labels - 1], 0), random.integers(-500, 3000, shape)


@pytest.mark.parametrize(
    ("shape", "ndim", "voxel_size"),
    [((17, 23, 29), 3, (1.0, 1.0, 1.0)), ((1, 60, 70), 2, (9.0, 0.4, 0.5))],
)
def test_every_column_is_that_of_scikit_image(shape, ndim, voxel_size):
    labels, values = random_image(shape, ndim)
    image = grid(shape, ndim, voxel_size)
    told = object_table(pieces_of(labels, values), 1.0, image)
    table = told.table.to_pandas()
    assert len(table) > 100
    # Numbered anew in the order of the first voxels.
    order = labels.ravel()[told.pieces["first"]]
    lookup = np.zeros(labels.max() + 1, int)
    lookup[order] = np.arange(1, len(order) + 1)
    flat = lookup[labels][(0,) * (3 - ndim)]
    wanted = ["label", "area", "bbox", "centroid", "extent", "equivalent_diameter_area"]
    wanted += ["intensity_mean", "intensity_min", "intensity_max"]
    theirs = regionprops_table(flat, values[(0,) * (3 - ndim)], wanted)
    axes = "zyx"[3 - ndim :]
    assert table["label"].tolist() == theirs["label"].tolist()
    assert table["n_voxels"].tolist() == theirs["area"].tolist()
    edge = math.prod(voxel_size[3 - ndim :])
    np.testing.assert_allclose(table["volume"], theirs["area"] * edge, rtol=1e-14)
    diameter = theirs["equivalent_diameter_area"] * edge ** (1 / ndim)
    np.testing.assert_allclose(table["equivalent_diameter"], diameter, rtol=1e-12)
    np.testing.assert_allclose(table["extent"], theirs["extent"], rtol=1e-14)
    for k, axis in enumerate(axes):
        np.testing.assert_allclose(table[f"centroid_{axis}"], theirs[f"centroid-{k}"], rtol=1e-12)
        assert table[f"bbox_{axis}0"].tolist() == theirs[f"bbox-{k}"].tolist()
        assert table[f"bbox_{axis}1"].tolist() == theirs[f"bbox-{k + ndim}"].tolist()
    for name in ("mean", "min", "max"):
        np.testing.assert_allclose(
            table[f"intensity_{name}"], theirs[f"intensity_{name}"], rtol=1e-14
        )
    for _, row in table.iterrows():
        places = np.argwhere(flat == row["label"])
        inside = values[(0,) * (3 - ndim)][flat == row["label"]]
        assert row["intensity_sum"] == inside.sum()
        covariance = np.atleast_2d(np.cov(places.T, bias=True)) if len(places) > 1 else 0
        covariance = np.broadcast_to(covariance, (ndim, ndim))
        for a in range(ndim):
            for b in range(a, ndim):
                name = f"moment_{axes[a]}{axes[b]}"
                assert row[name] == pytest.approx(covariance[a, b], rel=1e-12, abs=1e-12)
        scale = np.array(voxel_size[3 - ndim :])
        values_of = np.linalg.eigvalsh(covariance * np.outer(scale, scale))
        expected = 1 - values_of[0] / values_of[-1] if len(places) > 1 else 0
        assert row["anisotropy"] == pytest.approx(expected, abs=1e-9)
        at_end = (places == 0).any() or (places == np.array(flat.shape) - 1).any()
        assert row["border"] == at_end


def test_labels_follow_the_first_voxels_whatever_the_numbers_before():
    labels, _ = random_image((9, 12, 15), 7)
    told = object_table(pieces_of(labels), 1.0, grid(labels.shape))
    first = told.pieces["first"]
    assert (np.diff(first) > 0).all()
    assert told.table["label"].to_pylist() == list(range(1, len(first) + 1))


def test_the_shape_of_known_bodies():
    labels = np.zeros((40, 40, 40), int)
    z, y, x = np.indices(labels.shape) - 12
    labels[z**2 + y**2 + x**2 <= 81] = 1
    labels[30, 5:9, 30] = 2  # a line
    labels[35:37, 5:9, 5:13] = 3  # a box
    labels[38, 38, 38] = 4
    table = object_table(pieces_of(labels), 1.0, grid(labels.shape)).table.to_pandas()
    ball, line, box, one = table.itertuples()
    assert ball.anisotropy == pytest.approx(0, abs=1e-12)
    assert ball.equivalent_diameter == pytest.approx(18, rel=0.03)
    assert (line.anisotropy, line.moment_yy, line.moment_zz) == (1, 1.25, 0)
    assert (box.moment_zz, box.moment_yy, box.moment_xx) == (3 / 12, 15 / 12, 63 / 12)
    assert box.anisotropy == pytest.approx(1 - 3 / 63)
    assert (box.extent, ball.border) == (1, False)
    assert (one.anisotropy, one.moment_xx, one.n_voxels) == (0, 0, 1)


def test_anisotropy_is_of_physical_space():
    labels = np.zeros((6, 8, 8), int)
    labels[1:3, 2:6, 2:6] = 1  # 2 x 4 x 4 voxels; a near-cube where z is thick
    thick = np.sqrt(15 / 3)  # makes the spread of two planes that of four
    flat, cube = (
        object_table(pieces_of(labels), 1.0, grid(labels.shape, 3, (size, 1.0, 1.0)))
        .table["anisotropy"]
        .to_pylist()[0]
        for size in (1.0, thick)
    )
    assert (flat, cube) == (pytest.approx(0.8), pytest.approx(0, abs=1e-12))


def test_small_objects_and_those_at_the_border_are_dropped_and_counted():
    labels = np.zeros((5, 9, 9), int)
    labels[0, 0, 0] = 1  # small, and at the border: it counts as small
    labels[0, 4:6, 4:6] = 2
    labels[2, 2, 2] = 3
    labels[2:4, 4:6, 6] = 4
    pieces = pieces_of(labels)
    kept = object_table(pieces, 1.0, grid(labels.shape), min_size=2, border="drop")
    assert kept.dropped == {SMALL: 2, BORDER: 1}
    assert kept.table["n_voxels"].to_pylist() == [4]
    assert kept.table["label"].to_pylist() == [1]
    flagged = object_table(pieces, 1.0, grid(labels.shape), min_size=2, border="flag")
    assert flagged.dropped == {SMALL: 2, BORDER: 0}
    assert flagged.table["border"].to_pylist() == flagged.border.tolist() == [True, False]


def test_the_planes_of_an_image_of_two_dimensions_are_no_border():
    labels = np.zeros((1, 6, 6), int)
    labels[0, 2:4, 2:4] = 1
    pieces = pieces_of(labels)
    assert not object_table(pieces, 1.0, grid(labels.shape, 2)).border.any()
    assert object_table(pieces, 1.0, grid(labels.shape, 3)).border.all()


@pytest.mark.parametrize("chosen", [(), ("border",), ("anisotropy", "volume"), tuple(GROUPS)])
def test_properties_pick_columns_in_the_order_of_the_contract(chosen):
    labels, values = random_image((6, 9, 12), 3)
    whole = object_table(pieces_of(labels, values), 1.0, grid(labels.shape)).table
    some = object_table(pieces_of(labels, values), 1.0, grid(labels.shape), properties=chosen).table
    columns = {name for group in chosen for name in GROUPS[group]} | {"label", "n_voxels"}
    assert some.column_names == [name for name in whole.column_names if name in columns]
    assert some.equals(whole.select(some.column_names))


def test_no_objects_make_an_empty_table_of_the_same_types():
    told = object_table(np.empty(0, PIECE), 1.0, grid((4, 4, 4)), min_size=3, border="drop")
    assert told.table.num_rows == 0
    assert told.table.schema == schema()
    types = {field.name: field.type for field in told.table.schema}
    assert types["label"] == pa.uint32()
    assert types["n_voxels"] == pa.int64()
    assert types["border"] == pa.bool_()
    assert types["bbox_z0"] == pa.int32()
    assert types["moment_yx"] == pa.float64()
    assert told.dropped == {SMALL: 0, BORDER: 0}


def test_more_objects_than_labels_are_refused(monkeypatch):
    assert objects.MOST == 2**32 - 1
    labels, _ = random_image((6, 9, 12), 3)
    pieces = pieces_of(labels)
    monkeypatch.setattr(objects, "MOST", len(pieces))
    object_table(pieces, 1.0, grid(labels.shape))
    monkeypatch.setattr(objects, "MOST", len(pieces) - 1)
    with pytest.raises(InputError) as caught:
        object_table(pieces, 1.0, grid(labels.shape), name="brain at none_otsu_none")
    assert str(caught.value) == (
        f"brain at none_otsu_none: has {len(pieces)} objects, more than {len(pieces) - 1}; "
        "set imaging.min_size, or smooth the image more, so that noise makes no objects."
    )


def cuboid(edges, at=(0, 0, 0)):
    """Return the piece of a solid cuboid, by formulas, in integers that wrap around."""
    ez, ey, ex = edges
    n = ez * ey * ex
    sums = [n * (e - 1) // 2 for e in edges]
    squares = []
    for a, b in PAIRS:
        if a == b:
            squares.append(n * (edges[a] - 1) * (2 * edges[a] - 1) // 6)
        else:
            squares.append(n * (edges[a] - 1) * (edges[b] - 1) // 4)
    piece = np.zeros(1, PIECE)
    piece["n"], piece["lo"] = n, at
    piece["hi"] = np.array(at) + edges
    piece["sums"] = sums
    piece["squares"] = [(value + 2**63) % 2**64 - 2**63 for value in squares]
    return piece


@pytest.mark.parametrize(
    "edges",
    [(1, 1, 1), (1, 1, 16_384), (16_384, 16_384, 1), (300, 500, 700), (2**13, 2**13, 2**13),
     (2**14, 2**11, 2**11), (6_000, 7_000, 8_000)],
)  # fmt: skip
def test_moments_of_the_largest_bodies_are_exact(edges):
    moments = central_moments(cuboid(edges, (5, 1000, 3)))[0]
    for (a, b), value in zip(PAIRS, moments, strict=True):
        exact = Fraction(edges[a] ** 2 - 1, 12) if a == b else 0
        assert value == pytest.approx(float(exact), rel=4e-16, abs=0)
    told = object_table(cuboid(edges, (5, 1000, 3)), 1.0, grid((2**15,) * 3)).table.to_pylist()[0]
    assert told["centroid_y"] == 1000 + (edges[1] - 1) / 2
    assert told["extent"] == 1


def test_bodies_whose_sums_may_not_fit_have_no_moments_rather_than_wrong_ones():
    told = object_table(cuboid((2**14, 2**13, 2**13)), 1.0, grid((2**14,) * 3)).table
    row = told.to_pylist()[0]
    assert row["n_voxels"] == 2**40
    assert math.isnan(row["moment_zz"])
    assert math.isnan(row["anisotropy"])
    assert row["centroid_z"] == (2**14 - 1) / 2


def test_intensities_of_fractions_add_up_exactly():
    values = np.random.default_rng(0).normal(size=(1, 30, 30)) * 1e-3
    unit = math.ldexp(1.0, -60)
    values = np.round(values / unit) * unit
    table = object_table(
        pieces_of(np.ones((1, 30, 30), int), values, unit), unit, grid((1, 30, 30), 2)
    ).table
    assert table["intensity_sum"].to_pylist() == [math.fsum(values.ravel())]
