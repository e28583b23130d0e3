from pathlib import Path

import numpy as np
import pytest

from tessera import nifti
from tessera.errors import InputError, Problem
from tessera.vgwas import phenotype
from tessera.vgwas.design import make_design
from tessera.vgwas.phenotype import Stack, adjust, read_maps, refuse_nan
from tessera.vgwas.voxels import CONSTANT, NAN, TESTED, Grid


def stack_of(values):
    values = np.asarray(values, np.float32)
    return Stack(values, {}, {}, np.zeros(values.shape[1], bool))


def run(tmp_path, values, covariates=(), rows=None, drop=None, name="y.npy"):
    """Adjust (N, V) values; what is told, and the matrix as a later job loads it."""
    stack = stack_of(values)
    rows = np.arange(len(stack.values)) if rows is None else rows
    basis = make_design(len(rows), {f"c{i}": c for i, c in enumerate(covariates)}).basis
    drop = np.zeros(stack.values.shape[1], bool) if drop is None else drop
    told = adjust(stack, rows, basis, drop, tmp_path / name)
    return told, np.load(tmp_path / name, mmap_mode="r")


def residuals(values, covariates):
    """Of least squares in double precision, one voxel at a time: (V, N)."""
    values = np.asarray(values, np.float32).astype(float)
    columns = [(c - np.mean(c)) / np.std(c) for c in covariates]
    design = np.column_stack([np.ones(len(values)), *columns])
    values = values - values.mean(axis=0)
    return (values - design @ np.linalg.lstsq(design, values, rcond=None)[0]).T


@pytest.mark.parametrize("block", [1, 500, phenotype.BLOCK])
def test_rows_are_the_residuals_at_length_one(tmp_path, monkeypatch, block):
    monkeypatch.setattr(phenotype, "BLOCK", block)
    rng = np.random.default_rng(0)
    covariates = [rng.normal(size=60) * 10 + 1e4, rng.normal(size=60)]
    values = rng.normal(size=(60, 37)) * np.geomspace(1e-6, 1e6, 37)
    values += values.std(axis=0) * (50 * rng.normal(size=37) + 3 * covariates[1][:, None])
    told, matrix = run(tmp_path, values, covariates)
    expected = residuals(values, covariates)
    length = np.linalg.norm(expected, axis=1)
    assert matrix.dtype == np.float32
    assert matrix.shape == (37, 60)
    np.testing.assert_allclose(told.scale, length, rtol=1e-9)
    np.testing.assert_allclose(matrix, expected / length[:, None], rtol=0, atol=6e-8)
    np.testing.assert_allclose(told.norm, np.linalg.norm(matrix.astype(float), axis=1), rtol=1e-14)
    np.testing.assert_allclose(told.norm, 1, atol=1e-6)
    assert told.status.tolist() == [TESTED] * 37
    basis = make_design(60, dict(enumerate(covariates))).basis
    assert np.abs(matrix.astype(float) @ basis.T).max() < 1e-7


def test_constant_voxels_are_left_out_and_the_file_cut(tmp_path):
    rng = np.random.default_rng(1)
    n = 50
    age = rng.normal(size=n)
    noise = rng.normal(size=n)
    voxels = {
        "zero": np.zeros(n),
        "noise": noise,
        "one": np.ones(n) / 3,
        "large and constant": np.full(n, 1.2345e8),
        "all but constant": 1e6 + 0.01 * noise,
        "last digit": 1e6 + 0.0625 * (noise > 1.5),
        "age alone": 7 - 3 * age,
        "large, but it varies": 1e5 + noise,
        "tiny": 1e-30 * noise,
        "age and noise": 100 * age + noise,
    }
    values = np.array(list(voxels.values())).T
    told, matrix = run(tmp_path, values, [age])
    status = dict(zip(voxels, told.status, strict=True))
    kept = ["noise", "large, but it varies", "tiny", "age and noise"]
    assert [name for name in voxels if status[name] == TESTED] == kept
    assert {status[name] for name in voxels if name not in kept} == {CONSTANT}
    assert matrix.shape == (4, n)
    offset = (tmp_path / "y.npy").stat().st_size - 4 * 4 * n
    assert offset == matrix.offset < 1024
    pure = residuals(noise[:, None], [age])[0]
    pure /= np.linalg.norm(pure)
    np.testing.assert_allclose(matrix[[0, 2]], [pure, pure], atol=6e-8)
    # Values in single precision hold this much of the noise.
    np.testing.assert_allclose(matrix[[1]], [pure], atol=2e-3)
    np.testing.assert_allclose(matrix[[3]], [pure], atol=1e-5)
    np.testing.assert_allclose(told.scale[2], 1e-30 * told.scale[0], rtol=1e-6)


def test_no_voxel_that_varies_leaves_an_empty_matrix(tmp_path):
    told, matrix = run(tmp_path, np.ones((12, 5)))
    assert matrix.shape == (0, 12)
    assert told.status.tolist() == [CONSTANT] * 5
    assert len(told.scale) == len(told.norm) == 0
    told, matrix = run(tmp_path, np.ones((12, 5)), drop=np.ones(5, bool), name="z.npy")
    assert matrix.shape == (0, 12)
    assert told.status.tolist() == [NAN] * 5


@pytest.mark.parametrize("block", [1, 100, phenotype.BLOCK])
def test_rows_and_voxels_that_take_no_part_leave_no_trace(tmp_path, monkeypatch, block):
    """The order is that of the model; what was left out may hold anything."""
    monkeypatch.setattr(phenotype, "BLOCK", block)
    rng = np.random.default_rng(2)
    values = rng.normal(size=(20, 11))
    rows = rng.permutation(20)[:15]
    drop = np.arange(11) % 4 == 1
    covariate = rng.normal(size=15)
    clean = run(tmp_path, values[rows][:, ~drop], [covariate], name="clean.npy")
    values[np.setdiff1d(np.arange(20), rows)] = np.nan
    values[3, drop] = np.inf
    values[:, drop & (np.arange(11) < 3)] = 1
    told, matrix = run(tmp_path, values, [covariate], rows, drop)
    assert (told.status == NAN).tolist() == drop.tolist()
    np.testing.assert_allclose(matrix, clean[1], atol=1e-7)
    np.testing.assert_allclose(told.scale, clean[0].scale, rtol=1e-12)


@pytest.fixture
def maps(tmp_path):
    """Four maps of 5 x 4 x 3 voxels, one of them truncated, two with values that are no numbers."""
    rng = np.random.default_rng(3)
    volumes = rng.normal(size=(4, 3, 4, 5)).astype(np.float32)
    volumes[1, 0, 0, 0] = np.nan
    volumes[2, 2, 1, 3] = np.inf
    volumes[2, 2, 1, 4] = -np.inf
    paths = {}
    for i, volume in enumerate(volumes):
        paths[f"s{i}"] = str(tmp_path / f"{i}.nii.gz")
        nifti.write(paths[f"s{i}"], volume, np.eye(4))
    with Path(paths["s3"]).open("r+b") as file:
        file.truncate(100)
    return volumes, paths


def grid_of(mask):
    z, y, x = mask.shape
    return Grid((x, y, z), np.eye(4), np.flatnonzero(mask))


def test_maps_are_read_in_the_order_of_the_mask(tmp_path, maps):
    volumes, paths = maps
    mask = np.random.default_rng(4).random((3, 4, 5)) < 0.5
    mask[0, 0, 0] = mask[2, 1, 3] = mask[2, 1, 4] = True
    stack = read_maps(paths.items(), 4, grid_of(mask), tmp_path / "scratch")
    assert stack.values.shape == (4, mask.sum())
    assert stack.values.dtype == np.float32
    np.testing.assert_array_equal(stack.values[:3], volumes[:3][:, mask])
    assert list(stack.bad_maps) == ["s3"]
    assert stack.bad_maps["s3"].file == paths["s3"]
    assert stack.not_finite == {"s1": 1, "s2": 2}
    wrong = ~np.isfinite(volumes[:3]).all(axis=0)
    np.testing.assert_array_equal(stack.nan_voxels, wrong[mask])
    with pytest.raises(InputError) as caught:
        refuse_nan(stack, paths)
    first, second = str(caught.value).splitlines()
    assert first.startswith(f"{paths['s1']}: 1 voxels of the mask hold no finite number (one of 2")
    assert second.startswith(f"{paths['s2']}: 2 voxels of the mask hold no finite number")
    assert first.endswith("mask them out, or set vgwas.nan to drop_voxel or drop_subject.")


def test_values_outside_of_the_mask_may_be_anything(tmp_path, maps):
    volumes, paths = maps
    mask = np.isfinite(volumes).all(axis=0)
    some = {subject: paths[subject] for subject in ("s2", "s0")}
    stack = read_maps(some.items(), 2, grid_of(mask), tmp_path / "scratch")
    np.testing.assert_array_equal(stack.values, volumes[[2, 0]][:, mask])
    assert (stack.bad_maps, stack.not_finite) == ({}, {})
    assert not stack.nan_voxels.any()
    refuse_nan(stack, paths)


def test_no_more_than_three_maps_are_shown():
    many = {f"s{i}": i + 1 for i in range(9)}
    stack = Stack(np.zeros((9, 1), np.float32), {}, many, np.zeros(1, bool))
    with pytest.raises(InputError) as caught:
        refuse_nan(stack, {subject: f"{subject}.nii" for subject in many})
    assert [problem.file for problem in caught.value.problems] == ["s0.nii", "s1.nii", "s2.nii"]
    assert all(isinstance(problem, Problem) for problem in caught.value.problems)
    assert "(one of 9 such maps)" in str(caught.value)
