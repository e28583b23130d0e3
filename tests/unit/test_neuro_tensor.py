from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera.neuro import tensor as module
from tessera.neuro.tensor import design_matrix, eigen, fit_tensor, metrics

PARITY = runpy.run_path(
    str(Path(__file__).resolve().parents[2] / "benchmarks" / "neuro" / "parity.py")
)
ACQUISITIONS = list(PARITY["acquisitions"]())
METHODS = ["ols", "wls_measured", "wls_fitted", "iwls"]


def gradients(n: int = 36, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Every sixth volume without weighting, the others at two shells in random directions."""
    rng = np.random.default_rng(seed)
    bvals = np.where(np.arange(n) % 6 == 0, 0.0, np.where(np.arange(n) % 2, 1000.0, 2000.0))
    bvecs = rng.normal(size=(n, 3))
    bvecs /= np.linalg.norm(bvecs, axis=1, keepdims=True)
    return bvals, np.where(bvals[:, None] > 0, bvecs, 0)


def tensors(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random (N, 6) tensors, their (N, 3) descending eigenvalues and (N, 3) first vectors."""
    rng = np.random.default_rng(seed)
    evals = -np.sort(-rng.uniform(0.1e-3, 2.5e-3, (n, 3)), axis=1)
    axes = np.linalg.qr(rng.normal(size=(n, 3, 3)))[0]
    full = np.einsum("nij,nj,nkj->nik", axes, evals, axes)
    return full.reshape(n, 9)[:, [0, 1, 2, 4, 5, 8]], evals, axes[:, :, 0]


def signals(packed: np.ndarray, s0: np.ndarray, bvals: np.ndarray, bvecs: np.ndarray) -> np.ndarray:
    full = packed[:, [0, 1, 2, 1, 3, 4, 2, 4, 5]].reshape(-1, 3, 3)
    return s0[:, None] * np.exp(-bvals * np.einsum("vi,nij,vj->nv", bvecs, full, bvecs))


def noisy(n: int = 50, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    bvals, bvecs = gradients()
    rng = np.random.default_rng(seed + 1)
    clean = signals(tensors(n, seed)[0], rng.uniform(200, 800, n), bvals, bvecs)
    return np.maximum(clean + rng.normal(0, 15, clean.shape), 1), bvals, bvecs


def brute_force(signal, bvals, bvecs, method, reweightings=2):
    """Solve one voxel by QR or SVD (`lstsq`), never by the normal equations."""
    design = design_matrix(bvals, bvecs)
    design[:, :6] /= 1000
    good = np.isfinite(signal) & (signal > 0)
    design, measured = design[good], signal[good]

    def solve(root_weight):
        rows = design * root_weight[:, None]
        return np.linalg.lstsq(rows, root_weight * np.log(measured), rcond=None)[0]

    beta = solve(np.ones(len(measured)) if method in ("ols", "wls_fitted") else measured)
    for _ in range({"wls_fitted": 1, "iwls": reweightings}.get(method, 0)):
        beta = solve(np.exp(design @ beta))
    residual = np.sqrt(np.mean((measured - np.exp(design @ beta)) ** 2))
    return beta[[0, 3, 4, 1, 5, 2]] / 1000, np.exp(beta[6]), residual


def test_design_matrix_is_the_logarithm_of_the_signal():
    bvals, bvecs = gradients()
    packed, _, _ = tensors(5)
    xx, xy, xz, yy, yz, zz = packed.T
    beta = np.stack([xx, yy, zz, xy, xz, yz, np.full(5, np.log(300.0))])
    expected = np.log(signals(packed, np.full(5, 300.0), bvals, bvecs))
    np.testing.assert_allclose((design_matrix(bvals, bvecs) @ beta).T, expected, rtol=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    method=st.sampled_from(METHODS),
    s0=st.floats(1e-3, 1e6),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_recovers_noise_free_tensors(seed, method, s0, dtype):
    bvals, bvecs = gradients(seed=seed)
    packed, evals, v1 = tensors(7, seed)
    signal = signals(packed, np.full(7, s0), bvals, bvecs).astype(dtype)
    fit = fit_tensor(signal, bvals, bvecs, method=method)
    tight = 1e-9 if dtype == np.float64 else 1e-3
    np.testing.assert_allclose(fit.tensor, packed, atol=tight * 1e-3)
    np.testing.assert_allclose(fit.s0, s0, rtol=tight)
    assert (fit.residual <= tight * s0).all()
    assert (fit.n_good == len(bvals)).all()
    if dtype == np.float64:
        found, direction = eigen(fit.tensor)
        np.testing.assert_allclose(found, evals, atol=1e-11)
        distinct = evals[:, 0] - evals[:, 1] > 1e-5
        cosine = np.abs(np.sum(direction * v1, axis=1))
        np.testing.assert_allclose(cosine[distinct], 1, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("holes", [False, True])
def test_equals_brute_force(method, holes):
    signal, bvals, bvecs = noisy()
    if holes:
        spoiled = np.random.default_rng(9).random(signal.shape) < 0.2
        signal[spoiled] = np.resize([0.0, -5.0, np.nan, np.inf, -np.inf], spoiled.sum())
    fit = fit_tensor(signal, bvals, bvecs, method=method)
    for voxel, samples in enumerate(signal):
        packed, s0, residual = brute_force(samples, bvals, bvecs, method)
        np.testing.assert_allclose(fit.tensor[voxel], packed, atol=1e-12)
        np.testing.assert_allclose(fit.s0[voxel], s0, rtol=1e-9)
        np.testing.assert_allclose(fit.residual[voxel], residual, rtol=1e-9)
        assert fit.n_good[voxel] == np.sum(np.isfinite(samples) & (samples > 0))


def test_reweightings_are_counted():
    signal, bvals, bvecs = noisy(5)
    for rounds in (0, 1, 5):
        fit = fit_tensor(signal, bvals, bvecs, method="iwls", reweightings=rounds)
        expected = [brute_force(s, bvals, bvecs, "iwls", rounds)[0] for s in signal]
        np.testing.assert_allclose(fit.tensor, expected, atol=1e-12)


@pytest.mark.parametrize("data", ACQUISITIONS, ids=lambda data: data.name)
def test_wls_fitted_equals_dipy(data):
    ours, evals = PARITY["tessera_maps"](data, "wls_fitted")
    fa, md, angle = PARITY["differences"](ours, PARITY["dipy_maps"](data), evals)
    assert fa <= 1e-9
    assert md <= 1e-12
    assert angle <= 1e-6


@pytest.mark.skipif(not shutil.which("dwi2tensor"), reason="MRtrix (dwi2tensor) is not installed")
@pytest.mark.parametrize("data", ACQUISITIONS, ids=lambda data: data.name)
@pytest.mark.parametrize("method", PARITY["MRTRIX_OPTIONS"])
def test_equals_mrtrix(data, method):
    ours, evals = PARITY["tessera_maps"](data, method)
    theirs = PARITY["mrtrix_maps"](data, PARITY["MRTRIX_OPTIONS"][method])
    fa, md, angle = PARITY["differences"](ours, theirs, evals)
    assert fa <= 1e-6
    assert md <= 1e-9
    assert angle <= 0.05


@pytest.mark.parametrize("method", METHODS)
def test_undetermined_voxels_are_invalid_and_harm_no_other(method):
    signal, bvals, bvecs = noisy(6)
    expected = fit_tensor(signal, bvals, bvecs, method=method)
    spoiled = signal.copy()
    spoiled[0, 6:] = np.nan  # 6 good samples
    spoiled[1] = 0
    spoiled[2, bvals == 0] = np.nan
    spoiled[2, bvals == 2000] = np.nan  # one shell: S0 and the trace cannot be told apart
    fit = fit_tensor(spoiled, bvals, bvecs, method=method)
    for values in (fit.tensor, fit.s0, fit.residual):
        assert np.isnan(values[:3]).all()
        assert np.isfinite(values[3:]).all()
    np.testing.assert_allclose(fit.tensor[3:], expected.tensor[3:], rtol=1e-9, atol=1e-15)
    assert list(fit.n_good[:2]) == [6, 0]


@pytest.mark.parametrize("method", METHODS)
def test_singular_gradients_give_no_finite_rubbish(method):
    signal, bvals, bvecs = noisy(4)
    flat = bvecs * [1, 1, 0]
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
    assert np.isnan(fit_tensor(signal, bvals, flat, method=method).tensor).all()
    assert np.isnan(fit_tensor(signal, bvals * 0, bvecs, method=method).s0).all()


@given(exponent=st.integers(-60, 60))
@settings(max_examples=10, deadline=None)
def test_unit_of_the_signal_is_arbitrary(exponent):
    signal, bvals, bvecs = noisy(4)
    for method in METHODS:
        one = fit_tensor(signal, bvals, bvecs, method=method)
        other = fit_tensor(signal * 2.0**exponent, bvals, bvecs, method=method)
        np.testing.assert_allclose(other.tensor, one.tensor, atol=1e-14)
        np.testing.assert_allclose(other.residual, one.residual * 2.0**exponent, rtol=1e-6)


def test_chunks_make_no_difference(monkeypatch):
    signal, bvals, bvecs = noisy(50)
    signal[17, 3] = np.nan
    whole = fit_tensor(signal, bvals, bvecs, method="wls_fitted")
    monkeypatch.setattr(module, "CHUNK_VOXELS", 8)
    parts = fit_tensor(signal, bvals, bvecs, method="wls_fitted")
    np.testing.assert_allclose(parts.tensor, whole.tensor, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(parts.residual, whole.residual, rtol=1e-9)
    np.testing.assert_array_equal(parts.n_good, whole.n_good)
    again = fit_tensor(signal.copy(), bvals, bvecs, method="wls_fitted")
    assert again.tensor.tobytes() == parts.tensor.tobytes()
    nothing = fit_tensor(signal[:0], bvals, bvecs, method="iwls")
    assert nothing.tensor.shape == (0, 6)


def test_unknown_method_is_refused():
    signal, bvals, bvecs = noisy(1)
    with pytest.raises(ValueError, match="unknown method 'wls'"):
        fit_tensor(signal, bvals, bvecs, method="wls")


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    gap=st.sampled_from([0.0, 1e-15, 1e-12, 1e-9, 1e-6, 1e-3, 1.0]),
    twins=st.sampled_from(["first", "last", "all"]),
)
def test_eigen_is_robust_near_degeneracy(seed, gap, twins):
    """Against `eigh`, with eigenvalues as near to each other as one likes."""
    rng = np.random.default_rng(seed)
    base = {"first": [2, 2, 1], "last": [2, 1, 1], "all": [1, 1, 1]}[twins]
    evals = (np.array(base) + gap * rng.uniform(-1, 1, (20, 3))) * 1e-3
    axes = np.linalg.qr(rng.normal(size=(20, 3, 3)))[0]
    full = np.einsum("nij,nj,nkj->nik", axes, evals, axes)
    full = (full + full.transpose(0, 2, 1)) / 2
    found, v1 = eigen(full.reshape(20, 9)[:, [0, 1, 2, 4, 5, 8]])
    np.testing.assert_allclose(found, np.linalg.eigvalsh(full)[:, ::-1], atol=1e-14)
    np.testing.assert_allclose(np.linalg.norm(v1, axis=1), 1, atol=1e-12)
    # An eigenvector to within rounding of the matrix, whatever the gap.
    np.testing.assert_allclose(np.einsum("nij,nj->ni", full, v1), found[:, :1] * v1, atol=1e-13)
    assert (np.take_along_axis(v1, np.abs(v1).argmax(1)[:, None], 1) > 0).all()


def test_eigen_of_special_tensors():
    packed = np.zeros((5, 6))
    packed[0] = [1e-3, 0, 0, 1e-3, 0, 1e-3]
    packed[1] = [1e-3, 0, 0, 2e-3, 0, -5e-4]
    packed[2, 1] = np.nan
    packed[3, 0] = np.inf
    evals, v1 = eigen(packed)
    np.testing.assert_allclose(evals[[0, 1, 4]], [[1e-3] * 3, [2e-3, 1e-3, -5e-4], [0] * 3])
    np.testing.assert_allclose(v1[1], [0, 1, 0], atol=1e-12)
    assert np.isnan(evals[2:4]).all()
    assert np.isnan(v1[2:4]).all()


def test_metrics():
    evals = np.array([[1.7e-3, 3e-4, 2e-4], [1e-3] * 3, [1e-3, 0, 0], [1e-3, 0, -1e-3], [0] * 3])
    evals = np.vstack([evals, [np.nan] * 3])
    found = metrics(evals)
    l1, l2, l3 = evals[0]
    mean = evals[0].mean()
    fa = np.sqrt(1.5 * np.sum((evals[0] - mean) ** 2) / np.sum(evals[0] ** 2))
    np.testing.assert_allclose(found.fa, [fa, 0, 1, 1, 0, np.nan], atol=1e-12)
    np.testing.assert_allclose(found.md[:2], [mean, 1e-3])
    np.testing.assert_allclose(found.ad[:2], [l1, 1e-3])
    np.testing.assert_allclose(found.rd[:2], [(l2 + l3) / 2, 1e-3])
    assert found.md[3] == pytest.approx(1e-3 / 3)
