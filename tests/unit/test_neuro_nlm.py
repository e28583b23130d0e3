from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from dipy.denoise.nlmeans import nlmeans as dipy_nlmeans
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera.neuro.nlm import nlmeans, nlmeans_padded, pad_reflect

SHAPE = (9, 11, 13)


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    """Two tissues and background in Rician noise of sigma 30, so many voxels clip at 0."""
    rng = np.random.default_rng(1)
    z, y, x = np.indices(SHAPE)
    clean = np.where(x + y < 9, 0.0, np.where(z > 4, 300.0, 450.0))
    noise = rng.normal(0, 30, (2, *SHAPE))
    return np.hypot(clean + noise[0], noise[1]).astype(np.float32)


@pytest.fixture(scope="module")
def sigma_map() -> np.ndarray:
    return np.random.default_rng(2).uniform(15, 60, SHAPE).astype(np.float32)


@pytest.mark.parametrize(
    ("patch", "search", "rician", "mapped"),
    [
        (1, 5, True, False),
        (1, 5, False, False),
        (1, 5, True, True),
        (1, 3, False, True),
        (2, 4, True, False),
        (2, 4, True, True),
        (1, 1, True, False),
    ],
)
def test_equals_dipy_classic(volume, sigma_map, patch, search, rician, mapped):
    sigma = sigma_map if mapped else 30.0
    ours = nlmeans(volume, sigma, patch_radius=patch, search_radius=search, rician=rician)
    theirs = dipy_nlmeans(
        volume.astype(np.float64),
        sigma,
        patch_radius=patch,
        block_radius=search,
        rician=rician,
        num_threads=1,
        method="classic",
    )
    assert ours.dtype == np.float32
    # Voxel by voxel, also next to the clip at 0 where the Rician correction cancels digits.
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-4)


def test_equals_dipy_with_mask(volume):
    mask = np.random.default_rng(3).random(SHAPE) < 0.3
    ours = nlmeans(volume, 30.0, mask=mask)
    theirs = dipy_nlmeans(
        volume.astype(np.float64), 30.0, mask=mask, num_threads=1, method="classic"
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-4)
    assert not ours[~mask].any()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_crop_with_margin_gives_the_same_bytes(data):
    """Any box of any volume, cut out with its margin and with any mask: the bytes of the whole."""
    shape = tuple(data.draw(st.integers(1, 19), label="size") for _ in range(3))
    seed = data.draw(st.integers(0, 2**20), label="seed")
    patch = data.draw(st.sampled_from([1, 2]), label="patch")
    search = patch + data.draw(st.integers(0, 2), label="reach")
    rng = np.random.default_rng(seed)
    block = rng.gamma(2, 100, tuple(n + 2 * search for n in shape)).astype(np.float32)
    mapped = data.draw(st.booleans(), label="mapped")
    sigma = rng.uniform(0, 90, block.shape).astype(np.float32) if mapped else 60.0
    options = {"patch_radius": patch, "search_radius": search, "rician": True}
    whole = nlmeans_padded(block, sigma, **options)

    starts = [data.draw(st.integers(0, n - 1), label="start") for n in shape]
    stops = [
        data.draw(st.integers(a + 1, n), label="stop") for a, n in zip(starts, shape, strict=True)
    ]
    core = tuple(slice(a, b) for a, b in zip(starts, stops, strict=True))
    outer = tuple(slice(a, b + 2 * search) for a, b in zip(starts, stops, strict=True))
    mask = rng.random(whole[core].shape) < 0.7
    part = nlmeans_padded(block[outer], sigma[outer] if mapped else sigma, mask=mask, **options)
    assert part.tobytes() == np.where(mask, whole[core], np.float32(0)).tobytes()


def test_slabs_and_threads_give_the_same_bytes():
    rng = np.random.default_rng(4)
    volume = rng.gamma(2, 100, (17, 40, 131)).astype(np.float32)  # rows longer than a vector
    options = {"patch_radius": 1, "search_radius": 4, "rician": True}
    whole = nlmeans(volume, 50.0, patch_radius=1, search_radius=4)
    block = pad_reflect(volume, 4)
    for cuts in ([0, 17], [0, 5, 17], [0, 1, 2, 9, 16, 17]):
        spans = list(pairwise(cuts))
        with ThreadPoolExecutor(2) as pool:
            slabs = pool.map(
                lambda span: nlmeans_padded(block[span[0] : span[1] + 8], 50.0, **options), spans
            )
            assert np.concatenate(list(slabs)).tobytes() == whole.tobytes()
    # Other rows and columns come first, so loops are cut elsewhere.
    for z, y, x in [(0, 3, 5), (2, 0, 1), (1, 22, 100)]:
        part = nlmeans_padded(block[z:, y:, x:], 50.0, **options)
        assert part.tobytes() == whole[z:, y:, x:].tobytes()


def test_sigma_zero_returns_the_voxel_unchanged(volume, sigma_map):
    np.testing.assert_array_equal(nlmeans(volume, 0.0), volume)
    sigma = sigma_map.copy()
    sigma[:, :5] = 0
    denoised = nlmeans(volume, sigma)
    np.testing.assert_array_equal(denoised[:, :5], volume[:, :5])
    assert np.isfinite(denoised).all()
    assert (denoised[:, 5:] != volume[:, 5:]).any()


def test_constant_volume_keeps_its_value():
    flat = np.full((4, 5, 6), 100, np.float32)
    np.testing.assert_array_equal(nlmeans(flat, 7.0, rician=False), flat)
    np.testing.assert_allclose(nlmeans(flat, 30.0), np.sqrt(100**2 - 2 * 30**2), rtol=1e-6)
    assert not nlmeans(flat, 80.0).any()


@given(exponent=st.integers(-20, 20))
@settings(max_examples=8, deadline=None)
def test_scales_with_the_unit_of_the_signal(volume, exponent):
    factor = np.float32(2.0**exponent)
    expected = factor * nlmeans(volume, 30.0, search_radius=2)
    assert nlmeans(volume * factor, 30.0 * factor, search_radius=2).tobytes() == expected.tobytes()


def test_distant_intensities_do_not_mix():
    volume = np.full((5, 6, 7), 1e-3, np.float32)
    volume[:, :, 3:] = 1e6
    denoised = nlmeans(volume, 1e-4, rician=False)
    np.testing.assert_allclose(denoised, volume, rtol=1e-6)


def test_a_nan_reaches_no_further_than_the_search_cube(volume):
    clean = nlmeans(volume, 30.0, search_radius=2)
    spoiled = volume.copy()
    spoiled[4, 5, 6] = np.nan
    far = np.ones(SHAPE, bool)
    far[2:7, 3:8, 4:9] = False
    np.testing.assert_array_equal(nlmeans(spoiled, 30.0, search_radius=2)[far], clean[far])


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 4, 9), (3, 2, 1)])
def test_axes_shorter_than_the_margin_are_reflected_repeatedly(shape):
    volume = np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape)
    padded = pad_reflect(volume, 5)
    assert padded.shape == tuple(n + 10 for n in shape)
    assert set(padded.ravel()) == set(volume.ravel())
    assert np.isfinite(nlmeans(volume, 1.0)).all()


def test_impossible_requests_are_refused(volume):
    block = pad_reflect(volume, 2)
    options = {"patch_radius": 1, "search_radius": 2, "rician": True}
    with pytest.raises(ValueError, match="patch radius 3"):
        nlmeans_padded(block, 1.0, **{**options, "patch_radius": 3})
    with pytest.raises(ValueError, match="no core"):
        nlmeans_padded(block[:4], 1.0, **options)
    with pytest.raises(ValueError, match="mask of shape"):
        nlmeans_padded(block, 1.0, mask=np.ones(block.shape, bool), **options)
    with pytest.raises(ValueError, match="sigma of shape"):
        nlmeans_padded(block, volume, **options)
    for sigma in (-1.0, np.nan):
        with pytest.raises(ValueError, match="negative or not finite"):
            nlmeans_padded(block, sigma, **options)
    assert not nlmeans(volume, 1.0, mask=np.zeros(SHAPE, bool)).any()
