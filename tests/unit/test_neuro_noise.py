import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest
from dipy.data import get_fnames
from dipy.denoise.noise_estimate import estimate_sigma
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera import nifti
from tessera.errors import InputError
from tessera.neuro.noise import (
    _channel_variance,
    _shrinkage,
    noise_level,
    per_volume_sigma,
    sigma_map,
)
from tessera.neuro.phantom import GREY, WHITE, make_phantom, with_bad_samples


def ratio(phantom, sigma, where):
    return np.median((sigma / phantom.sigma)[where])


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(1)


@pytest.fixture(scope="module")
def sigma(phantom):
    return sigma_map(phantom.dwi, phantom.brain)


def test_sigma_of_the_phantom_is_found(phantom, sigma):
    tissue = (phantom.labels == WHITE) | (phantom.labels == GREY)
    assert ratio(phantom, sigma, phantom.brain) == pytest.approx(1, abs=0.05)
    assert ratio(phantom, sigma, tissue) == pytest.approx(1, abs=0.05)
    assert ratio(phantom, sigma, phantom.labels == WHITE) == pytest.approx(1, abs=0.05)


def test_sigma_follows_its_variation_in_space(phantom, sigma):
    low, high = np.quantile((sigma / phantom.sigma)[phantom.brain], [0.05, 0.95])
    assert 0.93 < low < high < 1.07
    true = phantom.sigma[phantom.brain]
    assert true.max() > 1.5 * true.min()


@pytest.mark.parametrize(
    "options",
    [
        {"snr": 6.0, "shells": {1000.0: 30}},
        {"shells": {1000.0: 30, 2000.0: 30}},
        {"snr": 10.0, "shells": {2500.0: 40}},
    ],
)
def test_weak_signals_do_not_pull_sigma_down(options):
    phantom = make_phantom(2, shape=(26, 36, 32), **options)
    sigma = sigma_map(phantom.dwi, phantom.brain)
    assert ratio(phantom, sigma, phantom.brain) == pytest.approx(1, abs=0.05)


def test_sigma_does_not_depend_on_where_the_samples_are_kept(tmp_path, phantom, sigma):
    np.save(tmp_path / "dwi.npy", phantom.dwi)
    np.testing.assert_array_equal(noise_level(tmp_path / "dwi.npy", phantom.brain, "auto"), sigma)


def test_samples_outside_the_mask_do_not_matter(phantom, sigma):
    padded = np.where(phantom.brain, phantom.dwi, 0)
    np.testing.assert_array_equal(sigma_map(padded, phantom.brain), sigma)


def test_bad_samples_are_left_out(phantom):
    sigma = sigma_map(with_bad_samples(phantom).dwi, phantom.brain)
    assert np.isfinite(sigma).all()
    assert ratio(phantom, sigma, phantom.brain) == pytest.approx(1, abs=0.05)
    middle = tuple(slice(n // 2 - 4, n // 2 + 8) for n in phantom.labels.shape)
    near = phantom.brain[middle]
    assert np.quantile((sigma / phantom.sigma)[middle][near], 0.99) < 1.15


def test_a_scaled_series_has_a_scaled_sigma():
    phantom = make_phantom(4, shape=(18, 20, 20), shells={1000.0: 12})
    sigma = sigma_map(phantom.dwi, phantom.brain)
    np.testing.assert_array_equal(sigma_map(4 * phantom.dwi, phantom.brain), 4 * sigma)


@pytest.mark.parametrize("name", ["small_64D", "small_101D"])
def test_tiny_real_acquisitions_agree_with_mrtrix(tmp_path, name):
    if not shutil.which("dwidenoise"):
        pytest.skip("needs MRtrix (dwidenoise)")
    image = get_fnames(name=name)[0]
    dwi = np.stack(list(nifti.volumes(image)))
    command = ["dwidenoise", image, "d.nii", "-noise", "n.nii", "-quiet", "-nthreads", "1"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    reference = np.median(nib.load(tmp_path / "n.nii").get_fdata())
    sigma = sigma_map(dwi, np.ones(dwi.shape[1:], bool))
    assert np.median(sigma) == pytest.approx(reference, rel=0.12)


def test_a_mask_of_a_few_voxels_is_refused(phantom):
    mask = np.zeros_like(phantom.brain)
    mask[20, 20, 20:24] = True
    with pytest.raises(InputError) as caught:
        sigma_map(phantom.dwi, mask)
    assert str(caught.value) == (
        "brain mask: 4 of its 4 voxels have usable samples, of which the noise cannot be told "
        "(needed: 27); correct the mask, or give neuro.denoise.sigma a number."
    )


def test_a_small_mask_away_from_the_lattice_will_do(phantom):
    mask = np.zeros_like(phantom.brain)
    mask[20:23, 20:23, 20:24] = True
    assert ratio(phantom, sigma_map(phantom.dwi, mask), mask) == pytest.approx(1, abs=0.2)


def test_a_series_without_noise_has_none():
    dwi = np.full((10, 7, 7, 7), 100.0, np.float32)
    np.testing.assert_array_equal(sigma_map(dwi, np.ones((7, 7, 7), bool)), 0)


def test_per_volume_sigma_is_that_of_dipy(tmp_path, phantom):
    expected = estimate_sigma(phantom.dwi.T)
    np.testing.assert_allclose(per_volume_sigma(phantom.dwi), expected, rtol=1e-6)
    np.save(tmp_path / "dwi.npy", phantom.dwi)
    level = noise_level(tmp_path / "dwi.npy", phantom.brain, "per_volume")
    np.testing.assert_array_equal(level, per_volume_sigma(phantom.dwi))


def test_a_number_goes_everywhere(phantom):
    level = noise_level("unread.npy", phantom.brain, 12.5)
    assert level.shape == phantom.brain.shape
    assert set(level.ravel()) == {12.5}


def test_shrinkage_is_that_of_simulated_magnitudes():
    rng = np.random.default_rng(0)
    for snr in (0.0, 0.7, 1.5, 3.0, 8.0):
        real, imaginary = rng.standard_normal((2, 400_000))
        measured = np.hypot(snr + real, imaginary).var()
        assert _shrinkage(np.array([snr]))[0] == pytest.approx(measured, rel=0.01)
    assert _shrinkage(np.array([0.0]))[0] == pytest.approx(2 - np.pi / 2, rel=1e-12)
    below, above = _shrinkage(np.array([20 - 1e-9, 20 + 1e-9]))
    assert below == pytest.approx(above, abs=1e-4)


@settings(max_examples=50, deadline=None)
@given(
    sigma=st.floats(1e-3, 1e3),
    snr=st.lists(st.floats(0, 100), min_size=1, max_size=20),
)
def test_the_channel_variance_is_recovered(sigma, snr):
    signal = sigma * np.array(snr)
    measured = sigma**2 * _shrinkage(np.array(snr)).mean()
    found = _channel_variance(measured, signal**2 + 2 * sigma**2)
    assert np.sqrt(found) == pytest.approx(sigma, rel=0.01)


def test_data_without_noise_have_none():
    phantom = make_phantom(1, shape=(16, 18, 16))
    sigma = sigma_map(phantom.clean, phantom.brain)
    assert np.isfinite(sigma).all()
    assert sigma.max() < 1e-2 * phantom.s0.max()
